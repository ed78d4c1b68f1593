"""CLIP in one figure: two towers, one matrix, and the diagonal that training wants."""

from matplotlib.patches import FancyBboxPatch

from mmlearn.show.figures import COLOURS, INK, PAPER, axes, figure

NOUNS = ("fox", "bicycle", "cactus", "owl")
ALT = (
    "CLIP: four captions, one a row, go through the text tower; four drawings, one a "
    "column, go through the image tower; each pair meets in a matrix of dot products. "
    "The four on the diagonal, a caption with its own drawing, are to become large, "
    "the other twelve small."
)


def clip_figure() -> None:
    """Show figure 1 of the paper, with drawings of this world."""
    from mmlearn import world

    drawn = (world.sprites(NOUNS, "noto") + 1) / 2  # (4, 3, 64, 64) in [0, 1]
    fig, ax = axes(size=(7.4, 4.6))
    for i, noun in enumerate(NOUNS):
        x = 4.3 + 1.15 * i
        picture = drawn[i].permute(1, 2, 0).numpy()
        ax.imshow(picture, extent=(x - 0.42, x + 0.42, 6.1, 6.94), zorder=3)
        _arrow(ax, (x, 6.05), (x, 5.62))
        _arrow(ax, (x, 4.88), (x, 4.5))
        y = 3.55 - 1.0 * i
        ax.text(-0.2, y, f'"{world.words.article(noun)}"', va="center", fontsize=10)
        _arrow(ax, (1.22, y), (1.62, y))
        _arrow(ax, (2.42, y), (2.95, y))
        ax.text(3.2, y, rf"$T_{i + 1}$", ha="center", va="center")
        ax.text(x, 4.27, rf"$I_{i + 1}$", ha="center", va="center")
    _tower(ax, (3.75, 4.9), (4.75, 0.7), "image tower (ViT)", "orange")
    _tower(ax, (1.65, 0.1), (0.75, 3.95), "text tower", "blue", upright=True)
    for i in range(4):
        for j in range(4):
            x, y = 3.78 + 1.15 * j, 3.12 - 1.0 * i
            colour = COLOURS["green"] if i == j else "white"
            cell = FancyBboxPatch(
                (x, y), 1.03, 0.86, boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=colour, edgecolor=COLOURS["grey"], linewidth=0.8,
            )  # fmt: skip
            ax.add_patch(cell)
            text = rf"$I_{j + 1}\cdot T_{i + 1}$"
            ink = PAPER if i == j else INK
            ax.text(x + 0.51, y + 0.43, text, ha="center", va="center", color=ink)
    ax.set(xlim=(-0.25, 8.6), ylim=(-0.05, 7.05), aspect="equal")
    ax.axis("off")
    figure(fig, alt=ALT)


def _arrow(ax, start, end) -> None:
    style = {"arrowstyle": "-|>", "color": COLOURS["grey"], "linewidth": 1.2}
    ax.annotate("", end, start, arrowprops=style)


def _tower(ax, corner, size, name, colour, upright=False) -> None:
    box = FancyBboxPatch(
        corner, *size, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor="white", edgecolor=COLOURS[colour], linewidth=1.8, zorder=2,
    )  # fmt: skip
    ax.add_patch(box)
    x, y = corner[0] + size[0] / 2, corner[1] + size[1] / 2
    turn = 90 if upright else 0
    ax.text(
        x, y, name, ha="center", va="center", rotation=turn, weight="bold", zorder=3
    )
