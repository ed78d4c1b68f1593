"""Stable Diffusion in one figure: pixels, latents and words, and who speaks to whom."""

import torch
import torch.nn.functional as F
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle
from torch import Tensor

from mmlearn.show.figures import COLOURS, INK, PAPER, axes, figure

CAPTION = ("a", "cat", "left", "of", "a", "red", "star")
TOP, LOW = 4.75, 1.4  # the heights of training's row and of drawing's
READ = 2.82  # where words reach the U-Net
ALT = (
    "Stable Diffusion in three parts. Pixels: an encoder makes a picture of 64 by 64 "
    "pixels small, a decoder makes it large again. Latents: four planes of 16 by 16 "
    "numbers, to which training adds noise, and from which a U-Net takes it away, step "
    "by step; it starts from pure noise when a picture is drawn. Words: a caption goes "
    "through CLIP's text tower, which is never trained, and every word's state gives "
    "keys and values to the cross-attentions of the U-Net."
)


def stable_diffusion_figure() -> None:
    """Show figure 3 of the paper, with a picture of this world."""
    fig, ax = axes(size=(9.4, 5.0))
    _panel(ax, (0.0, 3.55), "pixels", "orange")
    _panel(ax, (3.75, 7.0), "latents", "green")
    _panel(ax, (10.95, 3.05), "words", "blue")
    _training(ax)
    _drawing(ax)
    _words(ax)
    ax.set(xlim=(-0.05, 14.05), ylim=(-0.55, 6.9), aspect="equal")
    ax.axis("off")
    figure(fig, alt=ALT)


def _training(ax) -> None:
    """Above: a picture, encoded and noised, as the U-Net is shown it in training."""
    picture = _scene()
    small = _planes(picture)
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    _picture(ax, picture, (0.18, TOP))
    ax.text(0.83, TOP + 0.83, "64 × 64 × 3", ha="center", fontsize=8)
    _funnel(ax, 2.05, TOP, "encoder", narrows=True)
    _stack(ax, small, (4.05, TOP))
    ax.text(4.82, TOP + 0.95, "16 × 16 × 4", ha="center", fontsize=8)
    _stack(ax, (0.5 * small + 0.6 * noise).clamp(-1, 1), (9.05, TOP))
    ax.text(4.53, TOP - 1.1, r"$z_0$", ha="center", fontsize=10)
    ax.text(9.55, TOP - 1.1, r"$z_t$", ha="center", fontsize=10)
    for start, end in ((1.53, 2.0), (3.22, 3.98), (5.7, 8.98)):
        _arrow(ax, (start, TOP), (end, TOP))
    ax.text(7.3, TOP + 0.17, "noise is added", ha="center", fontsize=9)
    ax.text(7.3, TOP - 0.4, "training: any $t$", ha="center", fontsize=8.5)


def _drawing(ax) -> None:
    """Below: from noise through the U-Net, many times over, and then decoded."""
    picture = _scene()
    small = _planes(picture)
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(1))
    _stack(ax, (0.8 * noise).clamp(-1, 1), (9.05, LOW))
    _stack(ax, small, (4.05, LOW))
    ax.text(9.7, LOW - 1.05, "drawing: pure noise", ha="center", fontsize=8.5)
    ax.text(4.53, LOW - 1.1, r"$\hat z_0$", ha="center", fontsize=10)
    _funnel(ax, 2.05, LOW, "decoder", narrows=False)
    _picture(ax, picture, (0.18, LOW))
    for start, end in ((8.98, 8.55), (6.05, 5.65), (3.98, 3.22), (2.0, 1.53)):
        _arrow(ax, (start, LOW), (end, LOW))
    under = {"color": COLOURS["grey"], "linewidth": 1.2}
    ax.plot([9.75, 9.75], [TOP - 1.2, READ + 0.12], **under)
    _arrow(ax, (9.75, READ - 0.12), (9.75, LOW + 1.02))
    _unet(ax)
    ax.plot([5.78, 5.78, 8.76], [LOW, 0.12, 0.12], **under)
    _arrow(ax, (8.76, 0.12), (8.76, LOW - 0.03))
    ax.text(7.27, -0.22, "a little less noise, and again", ha="center", fontsize=8.5)


def _unet(ax) -> None:
    """The U-Net as a row of blocks, from right to left; those that read are blue."""
    heights = (1.75, 1.25, 0.8, 1.25, 1.75)
    for i, height in enumerate(heights):
        x, reads = 8.2 - 0.46 * i, i in (1, 2, 3)
        colour = COLOURS["blue" if reads else "vermilion"]
        box = Rectangle((x - 0.17, LOW - height / 2), 0.34, height)
        box.set(facecolor="white", edgecolor=colour, linewidth=1.6, zorder=3)
        ax.add_patch(box)
        if reads:
            _arrow(ax, (x, READ), (x, LOW + height / 2), "blue")
    for first, low in ((0, 0.45), (1, 0.67)):  # handed across
        ends = (8.2 - 0.46 * first, 8.2 - 0.46 * (4 - first))
        top = LOW - heights[first] / 2
        ax.plot(
            [ends[0], *ends, ends[1]], [top, low, low, top],
            color=COLOURS["grey"], linewidth=1, zorder=1,
        )  # fmt: skip
    ax.plot([6.82, 11.17], [READ, READ], color=COLOURS["blue"], linewidth=1.4)
    ax.text(7.28, 3.38, "U-Net", ha="center", weight="bold", fontsize=9.5)
    note = "cross-attention: keys and values"
    ax.text(7.28, READ + 0.14, note, ha="center", fontsize=8.5, color=INK)


def _words(ax) -> None:
    """The caption's words, CLIP's tower, and a state for each word."""
    ax.text(12.47, 5.05, "a cat left of a red star", ha="center", fontsize=8.5)
    _arrow(ax, (12.47, 4.93), (12.47, 4.48))
    box = FancyBboxPatch(
        (11.15, 3.58), 2.65, 0.88, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor="white", edgecolor=COLOURS["blue"], linewidth=1.8, zorder=2,
    )  # fmt: skip
    ax.add_patch(box)
    name = {"ha": "center", "va": "center", "zorder": 3}
    ax.text(12.47, 4.16, "CLIP's text tower", weight="bold", fontsize=9, **name)
    ax.text(12.47, 3.82, "frozen", fontsize=8.5, **name)
    for i, word in enumerate(CAPTION):
        x = 11.33 + 0.38 * i
        _arrow(ax, (x, 3.56), (x, READ + 0.16))
        square = Rectangle((x - 0.14, READ - 0.14), 0.28, 0.28, color=COLOURS["blue"])
        ax.add_patch(square)
        ax.text(x, READ - 0.25, word, ha="center", va="top", rotation=60, fontsize=8)
    ax.text(12.47, 1.45, "a state for each word", ha="center", fontsize=8.5)


def _panel(ax, place: tuple[float, float], name: str, colour: str) -> None:
    """A part of the figure with its name: (left, width)."""
    left, width = place
    box = FancyBboxPatch(
        (left, -0.45), width, 6.75, boxstyle="round,pad=0,rounding_size=0.2",
        facecolor=COLOURS[colour], alpha=0.12, edgecolor="none", zorder=0,
    )  # fmt: skip
    ax.add_patch(box)
    x = left + width / 2
    ax.text(x, 6.5, name, ha="center", weight="bold", fontsize=11, color=INK)


def _scene() -> Tensor:
    """The picture (3, 64, 64) that the caption is of."""
    from mmlearn import world

    return world.draw([world.arrange("cat", "red star", relation="left of")], 64)[0]


def _planes(picture: Tensor) -> Tensor:
    """Four planes (4, 16, 16) in [-1, 1], as latents might be: no network made them."""
    r, g, b = F.avg_pool2d(picture, 4)
    edges = F.pad(picture.mean(dim=0).diff(dim=0).abs(), (0, 0, 0, 1))
    edges = F.avg_pool2d(edges[None], 4)[0]
    mixes = ((r + g + b) / 3, 0.3 - r + g, b - 0.4, 0.5 - 6 * edges)
    return torch.stack(mixes).clamp(-1, 1)


def _picture(ax, picture: Tensor, place: tuple[float, float], side: float = 1.3):
    """A picture (3, h, w) in [-1, 1] at (left, middle)."""
    x, y = place
    box = (x, x + side, y - side / 2, y + side / 2)
    ax.imshow((picture.permute(1, 2, 0) + 1) / 2, extent=box, zorder=3)


def _stack(ax, planes: Tensor, place: tuple[float, float]) -> None:
    """Planes (4, h, w) one behind the other, the first in front, at (left, middle)."""
    x, y = place
    for i in reversed(range(len(planes))):
        left, low = x + 0.19 * i, y - 0.77 + 0.19 * i
        box = (left, left + 0.97, low, low + 0.97)
        shades = {"cmap": "gray", "vmin": -1, "vmax": 1}
        ax.imshow(planes[i], extent=box, zorder=3, **shades)
        frame = Rectangle((left, low), 0.97, 0.97, zorder=3)
        frame.set(facecolor="none", edgecolor=PAPER, linewidth=1.4)
        ax.add_patch(frame)


def _funnel(ax, left: float, y: float, name: str, narrows: bool) -> None:
    """An encoder, or from right to left a decoder: wide at the pixels' side."""
    high, low, width = 0.95, 0.55, 1.15
    corners = [(left, high), (left + width, low), (left + width, -low), (left, -high)]
    shape = Polygon([(x, y + dy) for x, dy in corners], closed=True)
    colour = COLOURS["vermilion"]
    shape.set(facecolor="white", edgecolor=colour, linewidth=1.8, zorder=2)
    ax.add_patch(shape)
    ax.text(left + width / 2 - 0.02, y, name, ha="center", va="center", weight="bold",
            fontsize=9, zorder=3)  # fmt: skip


def _arrow(ax, start, end, colour: str = "grey") -> None:
    style = {"arrowstyle": "-|>", "color": COLOURS[colour], "linewidth": 1.2}
    style |= {"shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=style, zorder=4)
