"""The book in one figure: six models, what each turns into what, and what it needs."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mmlearn.show.figures import COLOURS, INK, axes, figure

# name -> (column, row, chapter, what goes in and comes out, colour, needs)
MODELS = {
    "The world": (
        0,
        1,
        "00",
        "a seed  →  pictures, captions,\nexact records",
        "grey",
        (),
    ),
    "CLIP": (
        1,
        2,
        "01",
        "a picture and a sentence\n→  how well they fit",
        "blue",
        ("The world",),
    ),
    "GLIDE": (1, 0, "02", "a sentence\n→  a picture", "orange", ("The world",)),
    "Flamingo": (
        2,
        3,
        "06",
        "pictures and words in turn\n→  words",
        "green",
        ("CLIP",),
    ),
    "Stable Diffusion": (
        2,
        2,
        "05",
        "a sentence  →  a compressed\npicture  →  a picture",
        "orange",
        ("CLIP", "GLIDE"),
    ),
    "DALL·E 2": (
        2,
        1,
        "03",
        "a sentence  →  CLIP features\n→  a picture",
        "orange",
        ("CLIP", "GLIDE"),
    ),
    "Imagen": (
        2,
        0,
        "04",
        "a sentence, read by a language\nmodel  →  a picture",
        "orange",
        ("GLIDE",),
    ),
}
WIDE, TALL, STEP_X, STEP_Y = 2.5, 0.86, 3.25, 1.08
ALT = (
    "The book as a map. The world makes pictures, captions and exact records. CLIP "
    "(chapter 1) scores how well a picture and a sentence fit; GLIDE (chapter 2) turns "
    "a sentence into a picture. DALL·E 2 (3) and Stable Diffusion (5) are built from "
    "both, Imagen (4) from GLIDE's diffusion, and Flamingo (6), which turns pictures "
    "and words into words, from CLIP's idea of reading pictures."
)


def book_map() -> None:
    """Show the map."""
    fig, ax = axes(size=(8.2, 4.3))
    for column, row, number, text, colour, _ in MODELS.values():
        x, y = column * STEP_X, row * STEP_Y
        style = "round,pad=0.02,rounding_size=0.12"
        box = FancyBboxPatch(
            (x, y), WIDE, TALL, boxstyle=style, linewidth=1.6, zorder=2,
            facecolor="white", edgecolor=COLOURS[colour],
        )  # fmt: skip
        ax.add_patch(box)
        name = next(n for n, m in MODELS.items() if m[2] == number)
        ax.text(
            x + 0.12,
            y + 0.68,
            f"{number}  {name}",
            weight="bold",
            va="center",
            zorder=3,
        )
        ax.text(x + 0.12, y + 0.29, text, fontsize=8, va="center", color=INK, zorder=3)
    for column, row, *_, needs in MODELS.values():
        for need in needs:
            from_column, from_row = MODELS[need][:2]
            start = (from_column * STEP_X + WIDE + 0.03, from_row * STEP_Y + TALL / 2)
            end = (column * STEP_X - 0.03, row * STEP_Y + TALL / 2)
            arrow = FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=12, linewidth=1.2,
                color=COLOURS["grey"], connectionstyle="arc3,rad=0.0", zorder=1,
            )  # fmt: skip
            ax.add_patch(arrow)
    ax.set(xlim=(-0.1, 2 * STEP_X + WIDE + 0.1), ylim=(-0.12, 3 * STEP_Y + TALL + 0.12))
    ax.axis("off")
    figure(fig, alt=ALT)
