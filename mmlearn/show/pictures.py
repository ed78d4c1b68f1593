"""Grids of small pictures, each pixel a crisp square, each caption wrapped below."""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmlearn.show.figures import INK, PAPER, check_alt, display_png, flatten

GAP = 12  # pixels between pictures
TARGET = 128  # pictures smaller than this are enlarged by a whole number
FRAME = "#D5CFC0"  # a thin line, so that a white picture does not melt into the paper
WIDEST = 960  # a grid wider than a notebook page is folded


def images(
    images,
    titles=None,
    columns: int | None = None,
    *,
    alt: str | None = None,
    scale: int | None = None,
    row_titles=None,
    column_titles=None,
) -> None:
    """Show pictures in a grid.

    images: ``(n, 3, h, w)`` or ``(3, h, w)`` in [-1, 1], or a list of ``(3, h, w)``
    or PIL images, of equal or different sizes; one channel is shown as grey.
    titles: one caption a picture, wrapped below it. row_titles, column_titles: labels
    to the left of each row and above each column. scale: how many screen pixels a
    pixel becomes (default: enough for 128). alt: what the pictures show; made from
    the titles where there are some. Bad shapes, ranges or counts raise ValueError.
    """
    pictures = to_pictures(images)
    picture = grid(pictures, titles, columns, scale, row_titles, column_titles)
    if alt is None:
        alt = describe(len(pictures), titles, row_titles, column_titles)
    display_png(picture, check_alt(alt, "show.images without titles"))


def grid(
    images,
    titles=None,
    columns: int | None = None,
    scale: int | None = None,
    row_titles=None,
    column_titles=None,
) -> Image.Image:
    """The grid that `images` shows, as a PIL image (for widgets and files)."""
    pictures = [enlarge(p, scale) for p in to_pictures(images)]
    titles = count_titles(titles, len(pictures), "titles", "pictures")
    if column_titles is not None and columns is None:
        columns = len(column_titles)
    if row_titles is not None and columns is None:
        columns = math.ceil(len(pictures) / max(len(row_titles), 1))
    width = max(p.width for p in pictures)
    cell = max(width, 96 if titles or column_titles is not None else 0)
    if columns is None:
        columns = fold(len(pictures), cell)
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    rows = math.ceil(len(pictures) / columns)
    row_titles = count_titles(row_titles, rows, "row_titles", "rows")
    column_titles = count_titles(column_titles, columns, "column_titles", "columns")
    return lay_out(pictures, titles, columns, cell, row_titles, column_titles)


def lay_out(pictures, titles, columns, cell, row_titles, column_titles):
    """Place the pictures and their captions on paper."""
    heads = [wrap(t, cell) for t in column_titles or []]
    sides = [wrap(t, 150) for t in row_titles or []]
    left = GAP + (max(map(text_width, sides)) + GAP if sides else 0)
    top = GAP + (max(map(text_height, heads)) + GAP // 2 if heads else 0)
    captions = [wrap(t, cell) for t in titles or [""] * len(pictures)]
    lines = [range(i, min(i + columns, len(pictures)))
             for i in range(0, len(pictures), columns)]  # fmt: skip
    tall = [max(pictures[i].height for i in line) for line in lines]
    below = [max(text_height(captions[i]) for i in line) for line in lines]
    width = left + columns * (cell + GAP)
    height = top + sum(t + b + GAP for t, b in zip(tall, below, strict=True))
    paper = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(paper)
    for column, head in enumerate(heads):
        middle = left + column * (cell + GAP) + cell // 2
        write(pen, (middle, GAP), head, "ma")
    y = top
    for row, line in enumerate(lines):
        if sides:
            write(pen, (left - GAP, y + tall[row] // 2), sides[row], "rm")
        for column, i in enumerate(line):
            x = left + column * (cell + GAP)
            inner = x + (cell - pictures[i].width) // 2
            frame = (
                inner - 1,
                y - 1,
                inner + pictures[i].width,
                y + pictures[i].height,
            )
            pen.rectangle(frame, outline=FRAME)
            paper.paste(pictures[i], (inner, y))
            write(pen, (x + cell // 2, y + tall[row] + 4), captions[i], "ma")
        y += tall[row] + below[row] + GAP
    return paper


def to_pictures(images) -> list[Image.Image]:
    """A list of RGB images from any of the kinds `images` takes."""
    if isinstance(images, Image.Image):
        return [flatten(images)]
    if hasattr(images, "ndim"):
        if images.ndim not in (3, 4):
            raise ValueError(
                "images must have the shape (n, 3, h, w) or (3, h, w), "
                f"not {tuple(images.shape)}"
            )
        images = images[None] if images.ndim == 3 else images
    images = list(images)
    if not images:
        raise ValueError("there are no images to show: the list is empty")
    return [one_picture(image, i) for i, image in enumerate(images)]


def one_picture(image, index: int) -> Image.Image:
    """(3, h, w) or (1, h, w) in [-1, 1] as an RGB image."""
    if isinstance(image, Image.Image):
        return flatten(image)
    if hasattr(image, "detach"):
        image = image.detach().float().cpu().numpy()
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        channels_last = array.ndim == 3 and array.shape[-1] in (1, 3)
        hint = "; move the channels to the front" if channels_last else ""
        raise ValueError(
            f"image {index} must have the shape (3, h, w), not {array.shape}{hint}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"image {index} holds values that are not numbers (NaN or ∞)")
    low, high = float(array.min()), float(array.max())
    if low < -1.001 or high > 1.001:
        hint = "divide by 127.5 and subtract 1" if high > 2 and low >= 0 else "clamp it"
        raise ValueError(
            f"image {index} must lie in [-1, 1], but runs from {low:.3g} to "
            f"{high:.3g}; {hint} first"
        )
    pixels = np.rint((array.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels))


def enlarge(picture: Image.Image, scale: int | None) -> Image.Image:
    """Each pixel becomes a square of ``scale`` by ``scale``, unblurred."""
    if scale is None:
        scale = max(1, TARGET // max(picture.size))
    if scale < 1 or scale != int(scale):
        raise ValueError(f"scale must be a whole number from 1 up, not {scale}")
    width, height = picture.size
    return picture.resize(
        (width * int(scale), height * int(scale)), Image.Resampling.NEAREST
    )


def fold(number: int, cell: int) -> int:
    """How many columns: as many as fit on a page, the last row not left ragged."""
    most = max(1, (WIDEST - GAP) // (cell + GAP))
    if number <= most:
        return number
    rows = math.ceil(number / most)
    return math.ceil(number / rows)


def count_titles(titles, number: int, name: str, of: str) -> list[str] | None:
    """The titles as strings, or one sentence if there are too many or too few."""
    if titles is None:
        return None
    titles = [titles] if isinstance(titles, str) else [str(t) for t in titles]
    if len(titles) != number:
        raise ValueError(
            f"{name} must hold a text for each of the {number} {of}, not {len(titles)}"
        )
    return titles


def describe(number: int, titles, row_titles, column_titles) -> str | None:
    """Alt text from the captions, the first twelve of them."""
    parts = []
    if row_titles is not None:
        parts.append("rows: " + ", ".join(map(str, row_titles)))
    if column_titles is not None:
        parts.append("columns: " + ", ".join(map(str, column_titles)))
    if titles is not None:
        titles = [titles] if isinstance(titles, str) else [str(t) for t in titles]
        text = "; ".join(" ".join(t.split()) for t in titles[:12])
        parts.append(text + ("; and so on" if number > 12 else ""))
    if not parts:
        return None
    return f"{number} picture{'s' * (number > 1)}: " + "; ".join(parts)


@lru_cache
def font(size: int = 13) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size)


def wrap(text: str, width: int) -> str:
    """The text broken into lines no wider than ``width`` pixels."""
    lines = []
    for paragraph in str(text).split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font().getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def text_width(text: str) -> int:
    """How wide a text is, in pixels."""
    return math.ceil(max(font().getlength(line) for line in text.split("\n")))


def text_height(text: str) -> int:
    """How tall a text is, in pixels."""
    return 0 if not text else 17 * len(text.split("\n")) + 4


def write(pen: ImageDraw.ImageDraw, at, text: str, anchor: str) -> None:
    """Write lines centred (``ma``) or flush right and half-way up (``rm``)."""
    x, y = at
    lines = text.split("\n") if text else []
    if anchor.endswith("m"):
        y -= 17 * len(lines) // 2
    for i, line in enumerate(lines):
        pen.text((x, y + 17 * i), line, INK, font(), anchor[0] + "a")
