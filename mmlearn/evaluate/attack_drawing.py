"""Pictures that the world cannot draw: its drawings changed, then put where they stood.

A drawing is RGBA, (h, w, 4) uint8, as the world keeps it. `remade` draws a scene's
place, changes each of its drawings by a function, and pastes them in their boxes;
`paste` cuts off what lies beyond the picture's edge.
"""

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmlearn.world import Grammar, compose, draw, everyday
from mmlearn.world.layout import box
from mmlearn.world.scene import COLOURS, Item, Scene
from mmlearn.world.shapes import LARGE
from mmlearn.world.sprite_row import original, scaled

SIZE = 64
SEEDS = 70_000_000  # the first of the attacks' own seeds
PLAIN = ("white", "grey", "light blue", "lavender")
Change = Callable[[np.ndarray, Item, Random], np.ndarray]
Case = tuple[Tensor, list[Scene]]


def scenes(n: int, seed: int, allowed=None, **words) -> list[Scene]:
    """The first ``n`` scenes of a seed that are ``allowed``; words: of the Grammar."""
    grammar = Grammar(split="test", **words)
    found: list[Scene] = []
    for index in range(400 * n):
        scene = compose(grammar, SEEDS + seed, index)
        if allowed is None or allowed(scene):
            found.append(scene)
        if len(found) == n:
            return found
    raise ValueError(f"of {400 * n} scenes only {len(found)} are allowed, not {n}")


def single(n: int, seed: int, **words) -> list[Scene]:
    """Scenes of one large thing in its own colours, or shape (``things=()``)."""
    return scenes(n, seed, kinds=("single",), **{"shapes": (), "tinted": 0.0} | words)


def central(scene: Scene, side: int = 28) -> Scene:
    """A scene of one thing, moved to the middle: the corners are free."""
    (item,) = scene.items
    return scene.replace(items=(moved(item, 32, 32, side),))


def moved(item: Item, x: float, y: float, side: float | None = None) -> Item:
    """The item with its box's middle at (x, y), in 64ths of the picture."""
    side = (item.box[2] - item.box[0]) * 64 if side is None else side
    return Item(item.noun, box(x, y, side), item.colour, item.artist, item.size)


def lot_of(seed: int, number: int) -> Random:
    """One picture's own generator."""
    return Random((SEEDS + seed << 32) + number)


def art(item: Item) -> np.ndarray:
    """An item's drawing, (h, w, 4) uint8."""
    return original(item.noun, item.artist, item.colour, item.words, 64).copy()


def places(records: Sequence[Scene]) -> Tensor:
    """The scenes' places with nothing in them, (n, 3, 64, 64) in [-1, 1]."""
    return draw([record.replace(items=()) for record in records], SIZE)


def remade(records: Sequence[Scene], change: Change, seed: int) -> Tensor:
    """Scenes whose drawings were changed first: (n, 3, 64, 64) in [-1, 1].

    change: (drawing, item, generator) to a drawing of any size; it is scaled into the
    item's box.
    """
    images = places(records)
    for number, record in enumerate(records):
        lot = lot_of(seed, number)
        for item in record.items:
            put(images[number], change(art(item), item, lot), item.box)
    return images


def changed(change: Change, **words):
    """The attack that changes each drawing of a single thing by one function."""

    def make(n: int, seed: int) -> Case:
        records = single(n, seed, **words)
        return remade(records, change, seed), records

    return make


def narrowed(records: Sequence[Scene], share: float, seed: int) -> Tensor:
    """Single things drawn ``share`` as wide as they should be: (n, 3, h, w)."""
    images = places(records)
    for number, record in enumerate(records):
        (item,) = record.items
        left, _, right, _ = item.box
        by = (right - left) * (1 - share) / 2
        flat = lot_of(seed, number).random() < 0.5
        edges = (0, by, 0, -by) if flat else (by, 0, -by, 0)
        box = tuple(a + b for a, b in zip(item.box, edges, strict=True))
        put(images[number], art(item), box)
    return images


def put(image: Tensor, drawing: np.ndarray, where) -> None:
    """Paste a drawing into a box (left, top, right, bottom) in fractions, in place."""
    left, top = round(where[0] * SIZE), round(where[1] * SIZE)
    wide, tall = (round((where[i + 2] - where[i]) * SIZE) for i in (0, 1))
    paste(image, small(drawing, wide, tall), left, top)


def small(drawing: np.ndarray, wide: int, tall: int) -> Tensor:
    """A drawing scaled as scenes scale it: (4, tall, wide) in [0, 1], premultiplied."""
    packed = scaled(np.ascontiguousarray(drawing), wide, tall).view(torch.uint8)
    return packed.view(tall, wide, 4).permute(2, 0, 1).float() / 255


def paste(image: Tensor, drawing: Tensor, left: int, top: int) -> None:
    """Lay a small drawing over an image (3, 64, 64) in [-1, 1], in place.

    What lies beyond the picture's edge is cut off. The pixels are whole 255ths.
    """
    _, tall, wide = drawing.shape
    x, y = slice(max(left, 0), left + wide), slice(max(top, 0), top + tall)
    part = image[:, y, x]
    cut = drawing[:, max(-top, 0) :, max(-left, 0) :]
    cut = cut[:, : part.shape[1], : part.shape[2]]
    below = (part + 1) / 2
    part.copy_(whole(2 * (cut[:3] + (1 - cut[3:]) * below) - 1))


def whole(images: Tensor) -> Tensor:
    """Rounded to what a picture file can hold: whole 255ths, within [-1, 1]."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def recoloured(drawing: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """A red shape in any colour, its rim in a darker tone of it."""
    tone = drawing[..., :1] / COLOURS["red"][0]
    painted = (tone * np.array(rgb)).clip(0, 255).round().astype(np.uint8)
    return np.concatenate([painted, drawing[..., 3:]], axis=-1)


def polygon(corners: Sequence[tuple[float, float]], colour: str) -> np.ndarray:
    """A shape of our own, filled and rimmed like the world's; corners in [0, 1]."""
    image = Image.new("RGBA", (LARGE, LARGE))
    pen, fill = ImageDraw.Draw(image), COLOURS[colour]
    rim = tuple(round(c * 0.72) for c in fill)
    for scale, paint in ((1.0, rim), (0.88, fill)):
        points = [(LARGE * (0.5 + scale * (c - 0.5))) for p in corners for c in p]
        pen.polygon(points, fill=(*paint, 255))
    return np.array(image)


def around(number: int, radius: float = 0.49, turn: float = 0.0, inner=None):
    """Corners of a polygon of ``number`` sides, or of a star with inner radius."""
    radii = [radius] if inner is None else [radius, inner]
    angles = [
        2 * np.pi * (i / (number * len(radii)) + turn)
        for i in range(number * len(radii))
    ]
    return [
        (
            0.5 + radii[i % len(radii)] * np.sin(a),
            0.5 - radii[i % len(radii)] * np.cos(a),
        )
        for i, a in enumerate(angles)
    ]


def other_noun(noun: str, lot: Random) -> str:
    """Another everyday noun, by lot."""
    return lot.choice([other for other in everyday() if other != noun])
