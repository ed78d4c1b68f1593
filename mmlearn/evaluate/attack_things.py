"""Attacks on one thing or shape: what was broken, mixed or misshapen, and what was not.

Each function takes (n, seed) and returns n pictures (n, 3, 64, 64) in [-1, 1] with the
records that are asked of them. It is a pure function of the two.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from mmlearn.evaluate.attack_drawing import (
    PLAIN,
    SIZE,
    Case,
    Change,
    art,
    narrowed,
    other_noun,
    paste,
    places,
    remade,
    single,
    small,
    whole,
)
from mmlearn.evaluate.templates import rivals
from mmlearn.world import draw
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.scene import Item, Scene
from mmlearn.world.sprite_row import extent, original

# Broken things


def a_third(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """The lowest third of what is visible, or the outer third of one side."""
    return _strip(drawing, item, 1 / 3, lot.choice(("bottom", "left", "right")))


def half(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """The left or the right half."""
    return _strip(drawing, item, 1 / 2, lot.choice(("left", "right")))


def _strip(drawing: np.ndarray, item: Item, share: float, side: str) -> np.ndarray:
    left, top, right, bottom = extent(item.noun, item.artist, item.colour)
    tall, wide = drawing.shape[:2]
    x, y = (np.arange(wide) + 0.5) / wide, (np.arange(tall) + 0.5) / tall
    keep = {
        "bottom": (y > bottom - share * (bottom - top))[:, None],
        "left": (x < left + share * (right - left))[None],
        "right": (x > right - share * (right - left))[None],
    }[side]
    drawing[..., 3] *= keep.astype(np.uint8)
    return drawing


def chimera(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Its left half and another thing's right half."""
    other = art(replace(item, noun=other_noun(item.noun, lot)))
    drawing[:, SIZE // 2 :] = other[:, SIZE // 2 :]
    return drawing


def head_to_foot(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Its lower half under another thing's upper half."""
    other = art(replace(item, noun=other_noun(item.noun, lot)))
    drawing[: SIZE // 2] = other[: SIZE // 2]
    return drawing


def puzzle(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Two by two pieces, each in another's place: the same pixels."""
    middle = drawing.shape[0] // 2
    top, bottom = drawing[:middle], drawing[middle:]
    pieces = [top[:, :middle], top[:, middle:], bottom[:, :middle], bottom[:, middle:]]
    order = lot.choice(((3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1), (3, 0, 1, 2)))
    a, b, c, d = (pieces[i] for i in order)
    return np.concatenate([np.concatenate([a, b], 1), np.concatenate([c, d], 1)], 0)


def faint(share: float) -> Change:
    """Opacity as a share of the drawing's own."""

    def change(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
        drawing[..., 3] = (drawing[..., 3] * share).round().astype(np.uint8)
        return drawing

    return change


def blurred(n: int, seed: int) -> Case:
    """The whole picture under a bell 8 pixels wide (sigma)."""
    records = single(n, seed, backgrounds=PLAIN)
    images = [_pillow(image) for image in draw(records, SIZE)]
    return _tensor([i.filter(ImageFilter.GaussianBlur(8)) for i in images]), records


def _pillow(image: Tensor) -> Image.Image:
    pixels = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


def _tensor(images: Sequence[Image.Image]) -> Tensor:
    pixels = np.stack([np.array(image) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def lookalike(n: int, seed: int) -> Case:
    """Each thing is drawn as it is; asked for is the noun that resembles it most."""
    records = single(n, seed)
    asked = []
    for record in records:
        (item,) = record.items
        near = next(r for r in rivals(item.noun, item.artist, None) if r[1])
        asked.append(record.replace(items=(replace(item, noun=near[0]),)))
    return draw(records, SIZE), asked


# Style


def silhouette(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Its outline, filled with its mean colour."""
    drawing[..., :3] = drawing[drawing[..., 3] > 128, :3].mean(axis=0).round()
    return drawing


def as_style(artist: str, change: Change | None, hand: str | None = None):
    """Asked in one artist's style; drawn by another hand, or changed."""

    def make(n: int, seed: int) -> Case:
        words = {"backgrounds": PLAIN, "artists": (artist,)}
        records = [r.replace(says=("style",)) for r in single(n, seed, **words)]
        drawn = [_by(record, hand) if hand else record for record in records]
        return remade(drawn, change or _as_it_is, seed), records

    return make


def _by(record: Scene, artist: str) -> Scene:
    items = tuple(replace(item, artist=artist) for item in record.items)
    return record.replace(items=items)


def _as_it_is(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    return drawing


def by_hand_of(artist: str):
    """Singles drawn by an artist that the judge was never shown."""

    def make(n: int, seed: int) -> Case:
        records = single(n, seed, backgrounds=PLAIN)
        return draw([_by(record, artist) for record in records], SIZE), records

    return make


# What a person still sees


def turned(degrees: float) -> Change:
    """Turned clockwise, in a frame that leaves room for its corners."""

    def change(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
        room = len(drawing) // 5 if degrees % 90 else 0
        drawing = np.pad(drawing, ((room, room), (room, room), (0, 0)))
        image = Image.fromarray(drawing).convert("RGBa")
        return np.array(image.rotate(-degrees, Image.BICUBIC).convert("RGBA"))

    return change


def mirrored(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Left and right exchanged."""
    return drawing[:, ::-1]


def grey(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """As on black-and-white film."""
    light = drawing[..., :3] @ np.array([0.299, 0.587, 0.114])
    drawing[..., :3] = light.round()[..., None]
    return drawing


def negative(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """As on a film's negative."""
    drawing[..., :3] = 255 - drawing[..., :3]
    return drawing


def barred(drawing: np.ndarray, item: Item, lot: Random) -> np.ndarray:
    """Behind four dark bars, which cover a quarter of it."""
    tall = drawing.shape[0]
    for i in range(4):
        x = round((i + 0.5) * tall / 4)
        drawing[:, x - 2 : x + 2] = (50, 50, 55, 255)
    return drawing


def of_side(side: int):
    """A thing ``side`` pixels wide in the picture's middle; beyond 64 it is cut off."""

    def make(n: int, seed: int) -> Case:
        records = single(n, seed, backgrounds=PLAIN)
        images = places(records)
        for i, record in enumerate(records):
            (item,) = record.items
            drawing = small(
                original(item.noun, item.artist, None, None, 128), side, side
            )
            paste(images[i], drawing, (SIZE - side) // 2, (SIZE - side) // 2)
        return images, records

    return make


def dark(n: int, seed: int) -> Case:
    """A quarter of the light."""
    records = single(n, seed, backgrounds=BACKGROUNDS[:8])
    return whole((draw(records, SIZE) + 1) / 4 - 1), records


def squashed(n: int, seed: int) -> Case:
    """A thing 8 wide to 5 tall, or turned."""
    records = single(n, seed)
    return narrowed(records, 5 / 8, seed), records
