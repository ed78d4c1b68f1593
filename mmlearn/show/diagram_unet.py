"""A U-Net in one figure: the grid shrinks, grows again, and is handed across."""

from matplotlib.patches import Rectangle

from mmlearn.show.figures import COLOURS, INK, axes, figure

ALT = (
    "A U-Net as a U: on the way down the picture's grid shrinks from 32 to 16, 8 and 4 "
    "positions a side; on the way up it grows back to 8, 16 and 32. At 32, 16 and 8 an "
    "arrow, the skip connection, hands the fine grid from the left arm to the right."
)
SIDES = (32, 16, 8, 4)


def unet_diagram() -> None:
    """Show the U."""
    fig, ax = axes(size=(6.4, 3.6))
    arrow = {"arrowstyle": "-|>", "linewidth": 1.4}
    for level, side in enumerate(SIDES):
        y, half = -1.25 * level, 0.18 + 0.011 * side
        places = (level, 7 - level) if level < 3 else (3.5,)
        for x in places:
            box = Rectangle((x - half, y - half), 2 * half, 2 * half)
            box.set(facecolor="white", edgecolor=COLOURS["blue"], linewidth=1.6)
            ax.add_patch(box)
            ax.text(x, y, f"{side}×{side}", ha="center", va="center", fontsize=8)
        if level == 3:
            continue
        style = {**arrow, "color": COLOURS["vermilion"], "linestyle": "--"}
        start, end = (level + half + 0.05, y), (7 - level - half - 0.05, y)
        ax.annotate("", end, start, arrowprops=style)
        if level == 0:
            ax.text(3.5, y + 0.12, "skip connection", ha="center", fontsize=9)
        across = 1.24 if level == 2 else 0.72  # the lowest box lies further away
        down = (level + 0.28, y - half - 0.02), (level + across, y - 0.9)
        up = (7 - level - across, y - 0.9), (7 - level - 0.28, y - half - 0.02)
        for start, end in (down, up):
            ax.annotate("", end, start, arrowprops={**arrow, "color": COLOURS["grey"]})
    ax.text(-0.55, -2.6, "down:\nwhat is there?", color=INK, fontsize=9)
    ax.text(6.2, -2.6, "up:\nwhere is it?", color=INK, fontsize=9)
    ax.set(xlim=(-0.8, 7.8), ylim=(-4.3, 0.7), aspect="equal")
    ax.axis("off")
    figure(fig, alt=ALT)
