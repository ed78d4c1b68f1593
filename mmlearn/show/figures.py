"""The house style of figures, and how one becomes a picture on the page.

Figures are made without pyplot: nothing global is changed, nothing has to be closed,
and no backend draws a second copy.
"""

import base64
import html
import io
import os

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette: told apart without colour vision. Black and yellow are left
# out (black is ink, yellow is too faint on paper); blue, the strongest, comes first.
COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "grey": "#6B6B6B",
}
INK = "#222222"
PAPER = "#F6F3EC"  # soft enough for a dark page, light enough for dark ink
DPI = 100

STYLE = {
    "figure.facecolor": PAPER,
    "figure.edgecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values())),
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: equal on every machine
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "image.interpolation": "nearest",
}


def axes(rows: int = 1, columns: int = 1, size: tuple[float, float] | None = None):
    """A figure in house style and its axes: ``fig, ax = show.axes()``.

    size: (width, height) in inches, at 100 pixels an inch; by default 5 by 3.2 for
    one axes and smaller when there are several. Returns what ``plt.subplots`` does:
    one axes, or an array of them.
    """
    if rows < 1 or columns < 1:
        raise ValueError(
            f"axes needs at least 1 row and 1 column, not {rows}, {columns}"
        )
    if size is None:
        width = 5.0 if columns == 1 else min(3.4 * columns, 9.6)
        size = (width, min(3.2 * rows, 9.6))
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=size, dpi=DPI, layout="constrained")
        return fig, fig.subplots(rows, columns)


def to_image(picture) -> Image.Image:
    """Anything a notebook can show, as an opaque RGB image.

    picture: a matplotlib figure, a PIL image, or images ``(n, 3, h, w)`` or
    ``(3, h, w)`` in [-1, 1], which become a grid.
    """
    if isinstance(picture, Image.Image):
        return flatten(picture)
    if isinstance(picture, Figure):
        buffer = io.BytesIO()
        for axis in picture.axes:  # a legend's box is white unless told otherwise
            if axis.get_legend() is not None:
                axis.get_legend().get_frame().set(facecolor=PAPER, edgecolor="none")
        with mpl.rc_context(STYLE):
            dpi = min(picture.get_dpi(), DPI)  # small files, at most 100 dots an inch
            picture.savefig(buffer, format="png", dpi=dpi)
        buffer.seek(0)
        return flatten(Image.open(buffer))
    if picture is None:
        raise ValueError(
            "there is nothing to show: a drawing function must return its figure, "
            "images or PIL image, and this one returned None"
        )
    from mmlearn.show.pictures import grid

    return grid(picture)


def flatten(image: Image.Image) -> Image.Image:
    """An RGB copy; what was transparent is paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, PAPER)
        return Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("RGB")


def png_bytes(image: Image.Image) -> bytes:
    """The image as PNG; with a palette where nobody sees it, at a third of the size."""
    fewer = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=0)
    before, after = np.asarray(image, int), np.asarray(fewer.convert("RGB"), int)
    error = np.abs(before - after)
    if error.mean() < 0.3 and error.max() <= 64:  # a few pixels at letters' edges
        image = fewer
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def check_alt(alt: str | None, what: str) -> str:
    """The alt text, or one sentence saying that it is missing."""
    if not isinstance(alt, str) or len(alt.strip()) < 15:
        raise ValueError(
            f"{what} needs alt=: a sentence of at least 15 characters that says what "
            f"the picture shows, for readers who do not see it (got {alt!r})"
        )
    return " ".join(alt.split())


def display_png(image: Image.Image, alt: str, extra: dict | None = None) -> None:
    """Send a PNG with its alt text to the page (outside a notebook, print the text).

    JupyterLab does not read the alt text of a PNG, but does that of HTML: a live page
    gets both. What is committed holds the PNG alone, which every viewer can show.
    """
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(f"[picture: {alt}]")
        return
    png = base64.b64encode(png_bytes(image)).decode("ascii")
    data = {"image/png": png, "text/plain": f"[picture: {alt}]", **(extra or {})}
    if not extra and os.environ.get("MMLEARN_STATIC") != "1":
        data["text/html"] = img_tag(png, image.size, alt)
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)


def img_tag(png: str, size: tuple[int, int], alt: str) -> str:
    """An <img> of fixed size, decoded before it is shown: no jump and no flicker."""
    return (
        f'<img class="mmlearn" decoding="sync" alt="{html.escape(alt)}" '
        f'width="{size[0]}" height="{size[1]}" style="max-width:none" '
        f'src="data:image/png;base64,{png}">'
    )


def figure(fig: Figure, *, alt: str) -> None:
    """Show a matplotlib figure as a PNG that says ``alt`` to a screen reader."""
    alt = check_alt(alt, "show.figure")
    if not isinstance(fig, Figure):
        raise ValueError(f"show.figure shows a matplotlib figure, not a {type(fig)}")
    display_png(to_image(fig), alt)
    close(fig)


def close(fig) -> None:
    """Close a figure that pyplot made, so that no backend shows it once more."""
    import sys

    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and isinstance(fig, Figure):
        pyplot.close(fig)
