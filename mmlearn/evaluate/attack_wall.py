"""The attack page: the ten easiest ways to fool the judge, and what it says.

    python -m mmlearn evaluate judge --only attacks      # the numbers, first
    python -m mmlearn.evaluate.attack_wall               # the page, from them

Six ways to a wrong yes and four to a wrong no, no more than two about clauses of one
category. Each shows six of the pictures that fooled the judge, spread evenly over all
that did.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from mmlearn.evaluate.attack_bench import Outcome, attempt
from mmlearn.evaluate.attacks import ATTACKS
from mmlearn.evaluate.judge import Judge, load_judge
from mmlearn.paths import data_path
from mmlearn.show.figures import COLOURS, INK, PAPER, png_bytes
from mmlearn.show.pictures import FRAME, enlarge, font, to_pictures, wrap
from mmlearn.weights.atomic import atomic_file
from mmlearn.world import artwork

SHOWN = {"wrong yes": 6, "wrong no": 4}  # rows of each kind
ALIKE = 2  # rows of one kind and category, at most
PICTURES = 6  # a row
SCALE = 2  # screen pixels of a picture's pixel
CELL, LEFT = 156, 252  # pixels: a picture's column, and the column of names
MARGIN, HEAD, LINE, GAP = 26, 96, 17, 22
SAID = {"wrong yes": "judge: yes", "wrong no": "judge: no"}
INKS = {"wrong yes": COLOURS["vermilion"], "wrong no": COLOURS["blue"]}


def easiest(rows: Sequence[dict]) -> list[dict]:
    """The rows that the page shows: of each kind the easiest, if they fooled at all."""
    found, seen = [], Counter()
    for kind, number in SHOWN.items():
        own = [row for row in rows if row["kind"] == kind and row["fooled"]]
        for row in sorted(own, key=lambda row: -row["share"]):
            sort = kind, row["category"]
            if seen[sort] < ALIKE and number:
                found.append(row)
                seen[sort] += 1
                number -= 1
    return found


def wall(
    judge: Judge,
    rows: Sequence[dict],
    out: str | Path,
    size: str = "laptop",
    seeds: Sequence[int] = (0, 1, 2),
) -> Path:
    """Write the page as PNG, whole or not at all; return its path.

    rows: of `attacks`, by this judge, at this size and from these seeds, so that the
    same pictures are made again. Raises ValueError if none of them fooled it.
    """
    chosen = easiest(rows)
    if not chosen:
        raise ValueError("no attack fooled the judge: there is nothing to show")
    known = {attack.name: attack for attack in ATTACKS}
    lines = []
    for number, row in enumerate(chosen):
        outcome = attempt(judge, known[row["attack"]], size, seeds)
        lines.append((row, _fooled(outcome, row["kind"] == "wrong yes", number)))
    page = _page(lines)
    with atomic_file(out) as file:
        file.write(png_bytes(page))
    return Path(out)


def _fooled(outcome: Outcome, wrong: bool, first: int) -> list[tuple]:
    """Some of the pictures that fooled the judge, and what was asked of each.

    ``first`` is where to begin, so that two attacks do not show the same scenes.
    """
    places = [i for i, said in enumerate(outcome.judge) if said is wrong]
    number = min(PICTURES, len(places))
    steps = (first + k * len(places) // number for k in range(number))
    places = sorted(places[k % len(places)] for k in steps)
    pictures = to_pictures(outcome.images[places])
    asked = [outcome.asked[i] for i in places]
    return [(enlarge(p, SCALE), a) for p, a in zip(pictures, asked, strict=True)]


def _page(lines: list[tuple[dict, list]]) -> Image.Image:
    texts = [[wrap(f"{asked}?", CELL - 12) for _, asked in some] for _, some in lines]
    below = [LINE * (1 + max(text.count("\n") + 1 for text in row)) for row in texts]
    side = lines[0][1][0][0].height
    wide = 2 * MARGIN + LEFT + PICTURES * CELL
    credit = _wrapped(artwork.credit(), 11, wide - 2 * MARGIN)
    foot = 15 * len(credit) + MARGIN // 2
    tall = HEAD + sum(side + under + GAP for under in below) + foot
    page = Image.new("RGB", (wide, tall), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, 18), "The ten easiest ways to fool the judge", INK, font(22))
    about = (
        "First to a wrong yes, then to a wrong no; at most two about one sort of "
        "clause. Under each picture: what was asked, and what the judge said."
    )
    pen.text((MARGIN, 54), about, COLOURS["grey"], font(13))
    y = HEAD
    for number, ((row, some), asked, under) in enumerate(
        zip(lines, texts, below, strict=True), start=1
    ):
        pen.line((MARGIN, y - GAP // 2, page.width - MARGIN, y - GAP // 2), FRAME)
        _name(pen, row, number, y)
        for column, ((picture, _), text) in enumerate(zip(some, asked, strict=True)):
            x = MARGIN + LEFT + column * CELL
            at = x + (CELL - picture.width) // 2, y
            frame = (at[0] - 1, y - 1, at[0] + picture.width, y + picture.height)
            pen.rectangle(frame, outline=FRAME)
            page.paste(picture, at)
            _under(pen, x + CELL // 2, y + picture.height + 4, text, row["kind"])
        y += side + under + GAP
    pen.text((MARGIN, tall - foot), "\n".join(credit), COLOURS["grey"], font(11))
    return page


def _name(pen: ImageDraw.ImageDraw, row: dict, number: int, y: int) -> None:
    """The column at the left: which attack, how often it succeeds, what one sees."""
    colour = INKS[row["kind"]]
    name = _wrapped(f"{number}  {row['attack']}", 16, LEFT - 20)
    for line in name:
        pen.text((MARGIN, y), line, INK, font(16))
        y += 22
    share = f"fooled by {row['fooled']} of {row['n']}: {row['share']:.0%}"
    pen.text((MARGIN, y + 2), share, colour, font(15))
    interval = f"({row['low']:.0%} to {row['high']:.0%}; {row['kind']})"
    pen.text((MARGIN, y + 23), interval, COLOURS["grey"], font(13))
    for k, line in enumerate(wrap(row["sees"], LEFT - 20).split("\n")):
        pen.text((MARGIN, y + 48 + LINE * k), line, INK, font(13))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and font(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _under(pen: ImageDraw.ImageDraw, x: int, y: int, text: str, kind: str) -> None:
    for line in text.split("\n"):
        pen.text((x, y), line, INK, font(13), "ma")
        y += LINE
    pen.text((x, y), SAID[kind], INKS[kind], font(13), "ma")


def main(source: str = "laptop", result: str | None = None) -> None:
    """Write the page beside the result it is about.

    source: the judge that was measured. result: the result's file, by default the one
    in data/results.
    """
    path = Path(result or data_path("results") / "judge-attacks.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    judge = load_judge(source)
    size = "smoke" if "--size smoke" in found["command"] else "laptop"
    print(wall(judge, found["rows"], path.with_suffix(".png"), size, found["seeds"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
