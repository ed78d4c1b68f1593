"""GLIDE in one figure: one caption, read by a transformer, heard in two ways."""

import torch
from matplotlib.patches import FancyBboxPatch, Rectangle

from mmlearn.show.figures import COLOURS, INK, PAPER, axes, figure, to_image

CAPTION = ("a", "cat", "left", "of", "a", "red", "star", "·", "·")
ALT = (
    "GLIDE: the caption 'a cat left of a red star', filled up with padding, goes "
    "through a text transformer. Its last state is added to the time and told to every "
    "residual block of the U-Net; all its states stand among the keys and values of "
    "the U-Net's attentions. The U-Net turns a noisy picture into a guess of the clean "
    "one; this is repeated from noise to picture. An upsampler, a second U-Net with a "
    "text transformer of its own, which reads the caption too, enlarges the picture "
    "from 32 to 64 pixels."
)


def glide_figure() -> None:
    """Show the base as it reads, and the upsampler after it."""
    fig, ax = axes(size=(8.6, 4.7))
    _text(ax)
    _unet(ax)
    _pictures(ax)
    ax.set(xlim=(-0.1, 12.5), ylim=(-0.65, 6.85), aspect="equal")
    ax.axis("off")
    figure(fig, alt=ALT)


def _text(ax) -> None:
    """The caption's tokens, the transformer, its states and the two ways out."""
    _box(ax, (0, 4.55), (5.6, 0.75), "text transformer (looks both ways)", "blue")
    for i, word in enumerate(CAPTION):
        x = 0.35 + 0.61 * i
        ink = INK if word != "·" else COLOURS["grey"]
        ax.text(x, 6.35, word, ha="center", va="center", fontsize=9, color=ink)
        _arrow(ax, (x, 6.1), (x, 5.35))
        _arrow(ax, (x, 4.52), (x, 4.14))
        last = i == len(CAPTION) - 1
        colour = COLOURS["vermilion" if last else "blue"]
        ax.add_patch(Rectangle((x - 0.17, 3.78), 0.34, 0.34, color=colour))
    ax.text(5.0, 6.62, "padding, learned", ha="center", fontsize=8, color=INK)
    ax.plot([0.18, 5.4], [3.62, 3.62], color=COLOURS["blue"], linewidth=1.4)
    ax.text(0.2, 3.22, "all states: keys and values", fontsize=8.5, color=INK)
    _arrow(ax, (3.76, 3.6), (3.76, 2.62), "blue")
    _arrow(ax, (5.5, 3.95), (6.5, 3.95), "vermilion")
    ax.text(5.45, 4.18, "last state", fontsize=8.5, color=INK)
    ax.text(6.72, 3.95, "+", ha="center", va="center", fontsize=14, color=INK)
    _box(ax, (6.98, 3.65), (1.3, 0.6), "time t", "vermilion")
    ax.plot([6.72, 6.72], [3.75, 3.3], color=COLOURS["vermilion"], linewidth=1.2)
    ax.plot([2.05, 6.72], [3.0, 3.0], color=COLOURS["vermilion"], linewidth=1.2)
    ax.plot([6.72, 6.72], [3.3, 3.0], color=COLOURS["vermilion"], linewidth=1.2)


def _unet(ax) -> None:
    """A row of blocks: residual (told the sum) and attention (reads the states)."""
    heights = (1.7, 1.7, 1.15, 1.15, 1.15, 1.7, 1.7)
    names = ("R", "A", "R", "A", "R", "R", "A")
    for i, (height, name) in enumerate(zip(heights, names, strict=True)):
        x, attends = 2.05 + 0.68 * i, name == "A"
        colour = COLOURS["blue" if attends else "vermilion"]
        box = Rectangle((x - 0.26, 1.35 - height / 2), 0.52, height)
        box.set(facecolor="white", edgecolor=colour, linewidth=1.6, zorder=2)
        ax.add_patch(box)
        ax.text(x, 1.35, name, ha="center", va="center", fontsize=9, zorder=3)
        top = 1.35 + height / 2
        if attends:
            ax.plot([x, x], [2.6, top + 0.1], color=COLOURS["blue"], linewidth=1)
            _arrow(ax, (x, top + 0.16), (x, top), "blue")
        else:
            ax.plot([x, x], [3.0, top + 0.1], color=COLOURS["vermilion"], linewidth=1)
            _arrow(ax, (x, top + 0.16), (x, top), "vermilion")
    ax.plot([2.4, 6.13], [2.6, 2.6], color=COLOURS["blue"], linewidth=1.2)
    for first, last, low in ((0, 6, 0.34), (2, 4, 0.56)):  # handed across, as ever
        ends = [2.05 + 0.68 * i for i in (first, last)]
        tops = [1.35 - heights[first] / 2, low, low, 1.35 - heights[last] / 2]
        ax.plot([ends[0], *ends, ends[1]], tops, color=COLOURS["grey"], linewidth=1)
    note = "U-Net: R residual blocks, A attention among pixels and words"
    ax.text(4.1, 0.08, note, ha="center", fontsize=8.5, color=INK)


def _pictures(ax) -> None:
    """Noise in, a guess out, again and again; then the upsampler."""
    from mmlearn import world

    scene = world.arrange("cat", "red star", relation="left of")
    small = world.draw([scene], 32)
    generator = torch.Generator().manual_seed(0)
    noisy = 0.45 * small + 0.8 * torch.randn(small.shape, generator=generator)
    large = world.draw([scene], 64)
    for picture, x, size, name in (
        (noisy.clamp(-1, 1), 0.0, 1.25, r"$x_t$"),
        (small, 7.0, 1.25, r"$\hat x_0$"),
        (large, 10.35, 2.1, "64 px"),
    ):
        box = (x, x + size, 1.35 - size / 2, 1.35 + size / 2)
        ax.imshow(to_image(picture[0]), extent=box, zorder=3)
        ax.text(x + size / 2, 1.42 + size / 2, name, ha="center", fontsize=9)
    _arrow(ax, (1.3, 1.35), (1.72, 1.35))
    _arrow(ax, (6.45, 1.35), (6.93, 1.35))
    _box(ax, (8.6, 0.85), (1.35, 1.0), "upsampler", "green")
    ax.text(9.27, 2.55, "the caption, read\nby its own reader", ha="center", fontsize=8)
    _arrow(ax, (9.27, 2.5), (9.27, 1.9), "blue")
    _arrow(ax, (8.28, 1.35), (8.58, 1.35))
    _arrow(ax, (9.97, 1.35), (10.3, 1.35))
    line = {"color": COLOURS["grey"], "linewidth": 1.2}
    ax.plot([7.62, 7.62, 0.62], [0.3, -0.2, -0.2], **line)
    _arrow(ax, (0.62, -0.2), (0.62, 0.3))
    ax.text(4.1, -0.52, "one step less noisy, and again", ha="center", fontsize=8.5)


def _arrow(ax, start, end, colour: str = "grey") -> None:
    style = {"arrowstyle": "-|>", "color": COLOURS[colour], "linewidth": 1.2}
    ax.annotate("", end, start, arrowprops=style)


def _box(ax, corner, size, name: str, colour: str) -> None:
    box = FancyBboxPatch(
        corner, *size, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=PAPER, edgecolor=COLOURS[colour], linewidth=1.8, zorder=2,
    )  # fmt: skip
    ax.add_patch(box)
    x, y = corner[0] + size[0] / 2, corner[1] + size[1] / 2
    ax.text(x, y, name, ha="center", va="center", weight="bold", fontsize=9, zorder=3)
