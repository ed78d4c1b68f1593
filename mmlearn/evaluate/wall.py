"""The picture wall beside a table: what was judged, and what the judge said of it.

    wall("text-to-image-wall.png", images, prompts, verdicts, title="text-to-image")

A number without its pictures is hard to believe, and pictures without a rule by which
they were chosen are worse. So a wall shows, for each prompt, its pictures in the order
in which they were drawn, and under each the judge's word: right, what is wrong, or
what it is unsure of. It tells marks apart by form and by words, not by colour alone.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

from mmlearn.evaluate.judged import Verdict
from mmlearn.show.figures import COLOURS, INK, PAPER, png_bytes
from mmlearn.show.pictures import FRAME, enlarge, font, text_height, to_pictures, wrap
from mmlearn.weights.atomic import atomic_file

MARKS = {  # what the judge says: colour, sign, words
    True: (COLOURS["green"], "✓", "right"),
    False: (
        COLOURS["vermilion"],
        "✗",
        "wrong in what is named (+1: and one thing more)",
    ),
    None: (COLOURS["grey"], "?", "the judge is unsure of it"),
}
SIDE = 96  # pixels that a picture has on the wall at least
LARGEST = 128  # and at most
WIDE = 1300  # pixels: as many prompts stand side by side as fit
NARROW = 680  # pixels that a page has at least: the legend needs them
MARGIN, GAP, BETWEEN = 30, 6, 30  # around the page, between pictures, between prompts
LINE = 17  # of text
HEAVY = 1_500_000  # bytes: a page above this is saved in 256 colours


@dataclass(frozen=True)
class Block:
    """The pictures of one prompt, what is said of each, and the prompt's lines."""

    pictures: list[Image.Image]
    verdicts: Sequence[Verdict | None]
    lines: str

    @property
    def height(self) -> int:
        """In pixels: pictures, marks where there are any, and the prompt."""
        marks = 22 if any(self.verdicts) else 6
        return self.pictures[0].height + marks + text_height(self.lines)


def wall(
    path: str | Path,
    images: Tensor,
    prompts: Sequence[str],
    verdicts: Sequence[Verdict | None] | None = None,
    *,
    title: str,
    note: str = "",
    groups: Sequence[str] | None = None,
    heads: Sequence[str] | None = None,
) -> Path:
    """Write a page of pictures as PNG, whole or not at all; return its path.

    images: (n, k, 3, h, w) in [-1, 1], the k pictures of each of n prompts. verdicts:
    one for each picture, prompt by prompt, None where a picture was not judged.
    title, note: at the top. groups: one word for each prompt; prompts of one group,
    which must stand together, get it as their heading. heads: what stands above the
    k pictures. Raises ValueError for shapes and lists that do not fit together.
    """
    verdicts = _checked(images, prompts, verdicts, groups, heads)
    n, k = images.shape[:2]
    large = [_at_size(p) for p in to_pictures(images.detach().cpu().flatten(0, 1))]
    width = k * large[0].width + (k - 1) * GAP
    blocks = [
        Block(
            large[i * k : (i + 1) * k],
            verdicts[i * k : (i + 1) * k],
            wrap(prompts[i], width),
        )
        for i in range(n)
    ]
    groups = groups or [""] * n
    most = max(Counter(groups).values())  # that stand side by side
    columns = max(1, min(most, (WIDE + BETWEEN) // (width + BETWEEN)))
    shelves = _shelves(blocks, groups, columns)
    page = _page(shelves, width, columns, title, note, heads, any(verdicts))
    content = png_bytes(page)
    if len(content) > HEAVY:
        buffer = io.BytesIO()
        page.quantize(256, dither=0).save(buffer, "PNG", optimize=True)
        content = buffer.getvalue()
    with atomic_file(path) as file:
        file.write(content)
    return Path(path)


def _checked(images, prompts, verdicts, groups, heads) -> list[Verdict | None]:
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 5 or shape[2] != 3 or 0 in shape:
        raise ValueError(
            "a wall's pictures have the shape (prompts, pictures of each, 3, h, w), "
            f"not {shape}"
        )
    n, k = shape[:2]
    verdicts = [None] * (n * k) if verdicts is None else list(verdicts)
    for name, found, wanted in (
        ("prompts", prompts, n),
        ("verdicts", verdicts, n * k),
        ("groups", groups, n),
        ("heads", heads, k),
    ):
        if found is not None and len(found) != wanted:
            raise ValueError(
                f"a wall of {n} prompts with {k} pictures each needs {wanted} {name}, "
                f"not {len(found)}"
            )
    return verdicts


def _at_size(picture: Image.Image) -> Image.Image:
    """Small pictures with every pixel a square; only what is too large is averaged."""
    side = max(picture.size)
    if side <= LARGEST:
        return enlarge(picture, max(1, -(-SIDE // side)))
    share = LARGEST / side
    size = (round(picture.width * share), round(picture.height * share))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _shelves(blocks: list[Block], groups: Sequence[str], columns: int) -> list[tuple]:
    """(heading or "", up to ``columns`` blocks): the page from top to bottom."""
    shelves: list[tuple[str, list[Block]]] = []
    last = ""
    for block, group in zip(blocks, groups, strict=True):
        if group != last or not shelves or len(shelves[-1][1]) == columns:
            shelves.append((group if group != last else "", []))
        shelves[-1][1].append(block)
        last = group
    return shelves


def _page(shelves, width, columns, title, note, heads, judged) -> Image.Image:
    across = max(NARROW, 2 * MARGIN + columns * width + (columns - 1) * BETWEEN)
    note = wrap(note, across - 2 * MARGIN) if note else ""
    top = MARGIN + 34 + text_height(note) + (28 if judged else 0)
    height = top + sum(
        max(block.height for block in blocks)
        + (20 if heads else 0)
        + 14
        + (36 if name else 0)
        for name, blocks in shelves
    )
    page = Image.new("RGB", (across, height + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN - 6), title, INK, font(21))
    pen.multiline_text((MARGIN, MARGIN + 30), note, COLOURS["grey"], font(), spacing=2)
    if judged:
        _legend(pen, MARGIN, top - 20)
    y = top + 8
    for name, blocks in shelves:
        if name:
            pen.line((MARGIN, y + 4, across - MARGIN, y + 4), FRAME)
            pen.text((MARGIN, y + 11), name, INK, font(15))
            y += 36
        for i, block in enumerate(blocks):
            x = MARGIN + i * (width + BETWEEN)
            if heads:
                _heads(pen, x, y, block.pictures[0].width, heads)
            _block(page, pen, x, y + (20 if heads else 0), block)
        y += max(block.height for block in blocks) + (20 if heads else 0) + 14
    return page


def _block(page, pen, x: int, y: int, block: Block) -> None:
    side, tall = block.pictures[0].size
    for i, (picture, verdict) in enumerate(
        zip(block.pictures, block.verdicts, strict=True)
    ):
        left = x + i * (side + GAP)
        pen.rectangle((left - 1, y - 1, left + side, y + tall), outline=FRAME)
        page.paste(picture, (left, y))
        if verdict is not None:
            answer = verdict.whole
            _mark(pen, left, y + tall + 4, answer)
            words = _fitting(amiss(verdict), side - 20)
            pen.text((left + 19, y + tall + 4), words, INK, font(11))
    below = y + tall + (22 if any(block.verdicts) else 6)
    pen.multiline_text((x, below), block.lines, INK, font(), spacing=2)


def _mark(pen, x: int, y: int, answer: bool | None) -> None:
    """A small field with a sign on it, its upper left corner at (x, y)."""
    colour, sign, _ = MARKS[answer]
    full = answer is False  # mistakes are what one looks for
    fill, ink = (colour, "white") if full else (PAPER, colour)
    pen.rounded_rectangle((x, y, x + 14, y + 14), 3, fill, colour, width=1)
    pen.text((x + 7.5, y + 7.5), sign, ink, font(12), "mm", stroke_width=0.6)


def _legend(pen, x: int, y: int) -> None:
    for answer, (_, _, words) in MARKS.items():
        _mark(pen, x, y, answer)
        pen.text((x + 20, y), words, INK, font(12))
        x += 46 + round(font(12).getlength(words))


def _heads(pen, x: int, y: int, side: int, heads: Sequence[str]) -> None:
    for i, head in enumerate(heads):
        middle = x + i * (side + GAP) + side // 2
        pen.text((middle, y), head, INK, font(12), "ma")


def _fitting(words: Sequence[str], width: int) -> str:
    """As many of the words as there is room for, and how many more there are."""
    for shown in range(len(words), 0, -1):
        more = f" +{len(words) - shown}" if shown < len(words) else ""
        text = ", ".join(words[:shown]) + more
        if font(11).getlength(text) <= width or shown == 1:
            return text
    return ""


def amiss(verdict: Verdict) -> list[str]:
    """The categories in which a picture is wrong, or else those left open; or none."""
    answer = verdict.whole
    asked = zip(verdict.clauses, verdict.answers, strict=True)
    found = [clause.category for clause, given in asked if given is answer]
    return [] if answer else list(dict.fromkeys(found))
