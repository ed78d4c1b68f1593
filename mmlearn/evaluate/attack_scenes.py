"""Attacks on scenes: how many, where, what else, which place, which word.

Each function takes (n, seed) and returns n pictures (n, 3, 64, 64) in [-1, 1] with the
records that are asked of them. It is a pure function of the two.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmlearn.evaluate.attack_drawing import (
    SIZE,
    Case,
    art,
    central,
    lot_of,
    moved,
    paste,
    places,
    put,
    scenes,
    single,
    small,
)
from mmlearn.world import artwork, draw, everyday
from mmlearn.world.scene import COLOURS, Item, Scene
from mmlearn.world.shapes import glyphs
from mmlearn.world.splits import WORDS
from mmlearn.world.sprite_row import extent, original

# How many


def one_more(side: int, cut: float = 0.0):
    """Two or three of a kind, and one more, ``side`` pixels wide, in a free place.

    cut: the share of it that lies beyond the picture's edge.
    """

    def make(n: int, seed: int) -> Case:
        words = {"kinds": ("count",), "counts": (2, 3), "shapes": ()}
        found = scenes(n, seed, lambda s: _free(s, side, cut, Random(0)), **words)
        images = draw(found, SIZE)
        for i, record in enumerate(found):
            at = _free(record, side, cut, lot_of(seed, i))
            paste(images[i], small(art(record.items[0]), side, side), *at)
        return images, found

    return make


def _free(record: Scene, side: int, cut: float, lot: Random) -> tuple[int, int] | None:
    """Where a square of ``side`` px touches nothing, two pixels of room around it."""
    beyond = round(side * cut)
    last = SIZE - side
    if cut:
        spots = [(x, y) for x in (-beyond, last + beyond) for y in range(1, last)]
    else:
        spots = [(x, y) for x in range(1, last) for y in range(1, last)]
    boxes = [[s * SIZE for s in item.box] for item in record.items]
    free = [
        (x, y)
        for x, y in spots
        if all(
            x + side + 1 < a or y + side + 1 < b or x > c + 1 or y > d + 1
            for a, b, c, d in boxes
        )
    ]
    return lot.choice(free) if free else None


def nine(n: int, seed: int) -> Case:
    """Nine of a kind in three rows, asked as four or five."""
    words = {"kinds": ("count",), "counts": (4, 5), "shapes": ()}
    records = scenes(n, seed, **words)
    drawn = [r.replace(items=_in_rows(r.items[0])) for r in records]
    return draw(drawn, SIZE), records


def _in_rows(item: Item) -> tuple[Item, ...]:
    return tuple(moved(item, x, y, 18) for y in (11, 32, 53) for x in (11, 32, 53))


def crowded(n: int, seed: int) -> Case:
    """Three of a kind in a row, each covering a third of the one before."""
    words = {"kinds": ("count",), "counts": (3,), "shapes": ()}
    records = scenes(n, seed, **words)

    def together(record: Scene) -> Scene:
        first = record.items[0]
        y = 32 + lot_of(seed, record.index).uniform(-10, 10)
        return record.replace(items=tuple(moved(first, x, y, 24) for x in (17, 32, 47)))

    return draw([together(record) for record in records], SIZE), records


# Where, and how large


def hovering(n: int, seed: int) -> Case:
    """Asked "on top of": the upper one hangs three pixels above the lower one."""
    words = {"kinds": ("relation",), "relations": ("on top of",)}
    records = scenes(n, seed, lambda s: s.items[1].box[3] < 0.94, **words)
    drawn = []
    for record in records:
        a, b = record.items
        up = tuple(
            side - by / SIZE for side, by in zip(a.box, (0, 2, 0, 2), strict=True)
        )
        low = tuple(s + by / SIZE for s, by in zip(b.box, (0, 2, 0, 2), strict=True))
        drawn.append(record.replace(items=(replace(a, box=up), replace(b, box=low))))
    return draw(drawn, SIZE), records


def by_the_box(n: int, seed: int) -> Case:
    """Asked "on top of": only the shapes' boxes touch, at an empty corner."""
    shapes, lower = ("circle", "diamond", "heart"), ("diamond", "triangle", "star")
    words = {"kinds": ("relation",), "relations": ("on top of",), "things": ()}

    def allowed(scene: Scene) -> bool:
        a, b = scene.items
        return a.noun in shapes and b.noun in lower and a.noun != b.noun

    records, drawn = scenes(n, seed, allowed, **words), []
    for i, record in enumerate(records):
        a, b = record.items
        way, side = lot_of(seed, i).choice((-1, 1)), 24
        b = moved(b, 32 - way * 10, 46, side)
        (al, _, ar, low), (bl, high, br, _) = (extent(x.noun, None) for x in (a, b))
        # A quarter of the narrower one lies over the other, two pixels deep.
        apart = side * ((ar - al + br - bl) / 2 - 0.25 * min(ar - al, br - bl))
        shift = side * ((bl + br) - (al + ar)) / 2
        top = b.box[1] * SIZE + side * (high - low) + 2
        a = moved(a, 32 - way * 10 + shift + way * apart, top + side / 2, side)
        drawn.append(record.replace(items=(a, b)))
    return draw(drawn, SIZE), records


def overlapping(n: int, seed: int) -> Case:
    """Asked left or right of: so it is, and the one covers a quarter of the other."""
    words = {"kinds": ("relation",), "relations": ("left of", "right of")}
    records, drawn = scenes(n, seed, **words), []
    for record in records:
        items = []
        for item in record.items:
            x = (item.box[0] + item.box[2]) * 32
            y = (item.box[1] + item.box[3]) * 32
            items.append(moved(item, 32 + (9 if x > 32 else -9), y, 24))
        drawn.append(record.replace(items=tuple(items)))
    return draw(drawn, SIZE), records


def somewhat_bigger(n: int, seed: int) -> Case:
    """Two shapes, one 1.3 times as wide as the other."""
    words = {"kinds": ("sizes",), "things": (), "shapes": ("circle", "square", "cube")}
    records, drawn = scenes(n, seed, **words), []
    for record in records:
        items = []
        for item in record.items:
            x = 17 if item.box[0] + item.box[2] < 1 else 47
            items.append(moved(item, x, 32, 26 if item.size == "big" else 20))
        drawn.append(record.replace(items=tuple(items)))
    return draw(drawn, SIZE), records


# What else


def with_corner(
    extra: Callable[[Random, Scene], Tensor], inset: int = 2, number: int = 1
):
    """One thing in the middle, and ``number`` extras in free corners."""

    def make(n: int, seed: int) -> Case:
        records = [central(record) for record in single(n, seed)]
        images = draw(records, SIZE)
        for i, record in enumerate(records):
            lot = lot_of(seed, i)
            for right, low in lot.sample([(0, 0), (0, 1), (1, 0), (1, 1)], number):
                drawing = extra(lot, record)
                _, tall, wide = drawing.shape
                x = SIZE - wide - inset if right else inset
                y = SIZE - tall - max(inset, 1) if low else max(inset, 1)
                paste(images[i], drawing, x, y)
        return images, records

    return make


def half_hidden(n: int, seed: int) -> Case:
    """Another thing behind the one asked for, which covers about half of it."""
    records = [central(record, 26) for record in single(n, seed)]
    images = places(records)
    for i, record in enumerate(records):
        lot, (item,) = lot_of(seed, i), record.items
        behind = _thing(lot, record, 26)
        paste(images[i], behind, lot.choice((6, 32)), lot.choice((6, 14)))
        put(images[i], art(item), item.box)
    return images, records


def tiny(lot: Random, record: Scene) -> Tensor:
    """Another thing, 9 pixels wide."""
    return _thing(lot, record, 9)


def peeking(lot: Random, record: Scene) -> Tensor:
    """Another thing, 26 pixels wide; two thirds of it are to lie beyond the edge."""
    return _thing(lot, record, 26)


def _thing(lot: Random, record: Scene, side: int) -> Tensor:
    noun = lot.choice([n for n in everyday() if n != record.items[0].noun])
    return small(art(replace(record.items[0], noun=noun)), side, side)


def unnamed(lot: Random, record: Scene) -> Tensor:
    """A thing for which the judge has no word, 17 pixels wide."""
    drawing = original(lot.choice(everything()), record.items[0].artist, None, None, 64)
    return small(drawing, 17, 17)


def letters(lot: Random, record: Scene) -> Tensor:
    """Three dark letters, 10 pixels tall."""
    table = glyphs()
    marks = [table[c] for c in lot.choice([w for w in WORDS if len(w) == 3])]
    ink = np.concatenate(marks, axis=1)
    dark = np.zeros((*ink.shape, 4), np.uint8)
    dark[..., :3], dark[..., 3] = (40, 40, 46), ink
    return small(dark, min(26, round(ink.shape[1] * 10 / ink.shape[0])), 10)


def scrawled(n: int, seed: int) -> Case:
    """One thing in the middle, and a pen's scrawl around it."""
    records = [central(record) for record in single(n, seed)]
    images = draw(records, SIZE)
    for i in range(n):
        lot = lot_of(seed, i)
        page = Image.new("RGBA", (256, 256))
        pen, colour = (
            ImageDraw.Draw(page),
            COLOURS[lot.choice(("red", "blue", "black"))],
        )
        turns = np.linspace(0, 2 * np.pi * lot.uniform(0.6, 0.95), 60) + lot.uniform(
            0, 6
        )
        wave = 100 + 14 * np.sin(turns * lot.choice((7, 9, 11)))
        line = [
            (128 + r * np.cos(t), 128 + r * np.sin(t))
            for r, t in zip(wave, turns, strict=True)
        ]
        pen.line(line, fill=(*colour, 255), width=7, joint="curve")
        paste(images[i], small(np.array(page), SIZE, SIZE), 0, 0)
    return images, records


def everything() -> tuple[str, ...]:
    """Names of what artists drew and the judge has no word for."""
    known = artwork.concepts()
    return tuple(name for name in known if not known[name].everyday)
