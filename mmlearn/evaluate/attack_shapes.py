"""Attacks on one shape: its outline, its colour, and what is done to both.

Each function takes (n, seed) and returns n pictures (n, 3, 64, 64) in [-1, 1] with the
records that are asked of them. It is a pure function of the two.
"""

from dataclasses import replace
from random import Random

import numpy as np
import torch

from mmlearn.evaluate.attack_drawing import (
    PLAIN,
    Case,
    around,
    art,
    changed,
    narrowed,
    places,
    polygon,
    put,
    recoloured,
    remade,
    scenes,
    single,
)
from mmlearn.evaluate.attack_things import half
from mmlearn.world.scene import COLOURS, Item, Scene
from mmlearn.world.sprite_row import extent, original

# Where no colour of the world is the picture's: its RGB, and what is asked for.
BETWEEN = (
    ((140, 140, 144), "white"),
    ((112, 112, 116), "black"),
    ((168, 230, 40), "yellow"),
    ((30, 190, 200), "green"),
    ((200, 178, 150), "orange"),
)


# Two colours, and what lies between them.
MIXED = (
    ("red", "blue", "purple"),
    ("red", "yellow", "orange"),
    ("red", "white", "pink"),
    ("yellow", "blue", "green"),
)
SOLID = ("circle", "square", "star", "heart", "diamond", "cube", "triangle")


def half_shape(n: int, seed: int) -> Case:
    """Half of a circle, square, star, heart, diamond or cube."""
    names = ("circle", "square", "star", "heart", "diamond", "cube")
    records = single(n, seed, things=(), shapes=names)
    return remade(records, half, seed), records


def stretched(n: int, seed: int) -> Case:
    """An ellipse for a circle, an oblong for a square: 8 wide to 5 tall, or turned."""
    records = single(n, seed, things=(), shapes=("circle", "square"))
    return narrowed(records, 5 / 8, seed), records


def _top() -> list[tuple[float, float]]:
    """A heart's point below, and a round top without a cleft."""
    arc = np.linspace(-np.pi, 0, 40)
    top = [(0.5 + 0.46 * np.cos(a), 0.4 + 0.36 * np.sin(a)) for a in arc]
    return [*top, (0.5, 0.98)]


OUTLINES = {
    "hexagon": around(6),
    "octagon": around(8, turn=1 / 16),
    "trapezoid": [(0.32, 0.2), (0.68, 0.2), (0.98, 0.92), (0.02, 0.92)],
    "top": _top(),
    "pentagon": around(5),
    "six points": around(6, inner=0.24),
    "leaning": [(0.3, 0.1), (0.99, 0.1), (0.7, 0.9), (0.01, 0.9)],
}


def instead(name: str, outline: str):
    """Asked for a shape of the world; drawn with one of `OUTLINES`."""

    def make(n: int, seed: int) -> Case:
        records = single(n, seed, things=(), shapes=(name,))

        def change(drawing, item: Item, lot: Random) -> np.ndarray:
            return polygon(OUTLINES[outline], item.colour)

        return remade(records, change, seed), records

    return make


def between_colours(n: int, seed: int) -> Case:
    """A grey heart asked as white or black, a lime one as yellow, and so on."""
    names = ("circle", "square", "star", "heart", "diamond", "triangle")
    places_ = ("light blue", "lavender", "night")
    found = single(n, seed, things=(), shapes=names, backgrounds=places_)
    images, records = places(found), []
    for i, record in enumerate(found):
        rgb, asked = BETWEEN[i % len(BETWEEN)]
        item = replace(record.items[0], colour=asked)
        put(images[i], recoloured(art(replace(item, colour="red")), rgb), item.box)
        records.append(record.replace(items=(item,)))
    return images, records


def in_parts(number: int):
    """A shape in ``number`` colours, side by side; asked for the first, by lot."""

    def change(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
        left, _, right, _ = extent(item.noun, None, item.colour)
        others = ("red", "yellow", "green", "blue", "purple", "orange")
        others = [c for c in others if c != item.colour]
        paints = [item.colour, *lot.sample(others, number - 1)]
        lot.shuffle(paints)
        edges = np.linspace(left, right, number + 1) * drawing.shape[1]
        parts = np.digitize(np.arange(drawing.shape[1]), edges[1:-1])
        for part, paint in enumerate(paints):
            piece = original(item.noun, None, paint, None, 64)
            drawing[:, parts == part] = piece[:, parts == part]
        return drawing

    def make(n: int, seed: int) -> Case:
        colours = ("red", "yellow", "green", "blue", "purple", "orange")
        words = {"backgrounds": PLAIN, "colours": colours}
        return changed(change, things=(), shapes=SOLID, **words)(n, seed)

    return make


def checked(n: int, seed: int) -> Case:
    """A shape in squares of two colours, asked for in the colour of their mixture."""
    found = single(n, seed, things=(), shapes=SOLID, backgrounds=PLAIN)
    images, records = places(found), []
    for i, record in enumerate(found):
        one, other, asked = MIXED[i % len(MIXED)]
        item = replace(record.items[0], colour=asked)
        a, b = (art(replace(item, colour=colour)) for colour in (one, other))
        tile = np.arange(len(a)) * 10 // len(a) % 2
        a[(tile[:, None] + tile) % 2 == 1] = b[(tile[:, None] + tile) % 2 == 1]
        put(images[i], a, item.box)
        records.append(record.replace(items=(item,)))
    return images, records


def two_toned(n: int, seed: int) -> Case:
    """Two shapes, each half in its own colour and half in the other's."""
    told = ("red", "yellow", "green", "blue", "purple", "orange")
    words = {"kinds": ("pair",), "things": (), "colours": told, "backgrounds": PLAIN}
    records = scenes(n, seed, _bound, **words)

    def change(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
        other = next(c for c in colours if c != item.colour)
        piece = original(item.noun, None, other, None, 64)
        middle = drawing.shape[1] // 2
        drawing[:, middle:] = piece[:, middle:]
        return drawing

    images = []
    for record in records:
        colours = [item.colour for item in record.items]
        images.append(remade([record], change, seed))
    return torch.cat(images), records


def _bound(record: Scene) -> bool:
    a, b = record.items
    return a.noun != b.noun and a.colour != b.colour


def glossy(n: int, seed: int) -> Case:
    """A shape lit from above: lighter at its top, darker below."""
    told = tuple(c for c in COLOURS if c not in ("black", "white", "brown", "orange"))
    names = ("circle", "square", "star", "heart", "diamond")

    def change(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
        light = np.linspace(0.45, -0.35, len(drawing))[:, None, None]
        rgb = drawing[..., :3] / 255
        rgb = rgb + np.maximum(light, 0) * (1 - rgb) + np.minimum(light, 0) * rgb
        drawing[..., :3] = (rgb * 255).round()
        return drawing

    return changed(change, things=(), shapes=names, colours=told)(n, seed)
