"""Attacks on the place a scene is set in, and on the word that its sign says.

Each function takes (n, seed) and returns n pictures (n, 3, 64, 64) in [-1, 1] with the
records that are asked of them. It is a pure function of the two.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from mmlearn.evaluate.attack_drawing import (
    SIZE,
    Case,
    art,
    central,
    lot_of,
    places,
    put,
    scenes,
    single,
    whole,
)
from mmlearn.show.pictures import font
from mmlearn.world import draw
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.scene import SIGN, Scene
from mmlearn.world.shapes import sign as board

# Everyday things whose names a sign can hold.
NAMED = ("cat", "dog", "bus", "taxi", "cake", "fox", "owl", "car", "tiger", "house")


def two_places(n: int, seed: int) -> Case:
    """The left half is the place asked for, the right half another."""
    records, images = single(n, seed), []
    records = [r.replace(says=("background",)) for r in records]
    others = [
        r.replace(background=_elsewhere(r, lot_of(seed, i)), variant=0)
        for i, r in enumerate(records)
    ]
    images = places(records)
    images[..., SIZE // 2 :] = places(others)[..., SIZE // 2 :]
    for image, record in zip(images, records, strict=True):
        put(image, art(record.items[0]), record.items[0].box)
    return images, records


def _elsewhere(record: Scene, lot: Random) -> str:
    kinds = ({"white", "grey", "light blue", "lavender"}, {"meadow", "beach", "sea"})
    near = next((k for k in kinds if record.background in k), {record.background})
    return lot.choice([b for b in BACKGROUNDS if b not in near])


def other_stripes(n: int, seed: int) -> Case:
    """Blue stripes that lie instead of standing, blue dots on blue."""
    records = single(n, seed, backgrounds=("striped", "dotted"))
    records = [r.replace(says=("background",)) for r in records]
    images = places(records)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    dots = ((x % 12 - 5.5) ** 2 + (y % 12 - 5.5) ** 2 < 12).float()
    lying = ((y // 8) % 2).float()
    for i, record in enumerate(records):
        one, other = ((206, 224, 255), (160, 190, 244))
        mask = lying if record.background == "striped" else dots
        a, b = (
            torch.tensor(c).float()[:, None, None] / 127.5 - 1 for c in (one, other)
        )
        images[i] = whole(mask * b + (1 - mask) * a)
        put(images[i], art(record.items[0]), record.items[0].box)
    return images, records


def framed(n: int, seed: int) -> Case:
    """In a black frame five pixels wide."""
    records = [central(r, 34).replace(says=("background",)) for r in single(n, seed)]
    images = draw(records, SIZE)
    inside = torch.zeros(SIZE, SIZE)
    inside[5:-5, 5:-5] = 1
    return whole(images * inside - 0.9 * (1 - inside)), records


def restless(n: int, seed: int) -> Case:
    """One thing before coloured clouds and grain."""
    records = single(n, seed)
    generator = torch.Generator().manual_seed(seed)
    clouds = torch.randn(n, 3, 12, 12, generator=generator)
    clouds = F.interpolate(clouds, (SIZE, SIZE), mode="bicubic", align_corners=True)
    grain = torch.randn(n, 3, SIZE, SIZE, generator=generator)
    images = whole(0.35 + 0.22 * clouds + 0.06 * grain)
    for image, record in zip(images, records, strict=True):
        put(image, art(record.items[0]), record.items[0].box)
    return images, records


# The word


def misspelt(change: Callable[[str, Random], str]):
    """A sign whose first word was changed; asked for as it was."""

    def make(n: int, seed: int) -> Case:
        records = scenes(n, seed, _long, kinds=("sign",))
        drawn = []
        for i, record in enumerate(records):
            first, *others = record.items[0].words.split()
            words = " ".join([change(first, lot_of(seed, i)), *others])
            item = replace(record.items[0], words=words)
            drawn.append(record.replace(items=(item, *record.items[1:])))
        return draw(drawn, SIZE), records

    return make


def _long(record: Scene) -> bool:
    first = record.items[0].words.split()[0]
    alike = sum(letter in ALIKE for letter in first)
    return len(first) >= 4 and alike >= 2 and any(letter in LIKE for letter in first)


LIKE = {"E": "3", "A": "4", "S": "5", "T": "7", "G": "6", "B": "8"}
ALIKE = dict(zip("ODCGEFPRBHNMUVKLTYQ", "QOGCFEFBRNHNVUXIIVO", strict=True))


def two_letters(word: str, lot: Random) -> str:
    """Two letters become others of a like form: HELLO, HFLLQ."""
    able = [i for i, letter in enumerate(word) if letter in ALIKE]
    chosen = lot.sample(able, 2)
    return "".join(ALIKE[c] if i in chosen else c for i, c in enumerate(word))


def a_digit(word: str, lot: Random) -> str:
    """One letter becomes a digit: HELLO, H3LLO."""
    place = lot.choice([i for i, c in enumerate(word) if c in LIKE])
    return word[:place] + LIKE[word[place]] + word[place + 1 :]


def backwards(word: str, lot: Random) -> str:
    """From the last letter to the first."""
    return word[::-1] if word[::-1] != word else word[1:] + word[0]


def signs(written: Callable[[str], np.ndarray]):
    """A sign that says what it should, its board drawn by ``written``."""

    def make(n: int, seed: int) -> Case:
        records = scenes(n, seed, _one_word, kinds=("sign",))
        images = places(records)
        for image, record in zip(images, records, strict=True):
            for item in record.items:
                drawing = written(item.words) if item.noun == SIGN else art(item)
                put(image, drawing, item.box)
        return images, records

    return make


def _one_word(record: Scene) -> bool:
    return " " not in record.items[0].words


def other_letters(words: str) -> np.ndarray:
    """The board of a sign in another typeface, in small letters."""
    drawing = board("I").copy()
    drawing[16:174, 16:496] = drawing[30, 60]
    page = Image.fromarray(drawing)
    text = words.capitalize()
    size = 130
    while font(size).getlength(text) > 440:
        size -= 4
    ImageDraw.Draw(page).text((256, 92), text, (30, 28, 40), font(size), "mm")
    return np.array(page)


def light_on_dark(words: str) -> np.ndarray:
    """The board of a sign, light and dark exchanged."""
    drawing = board(words).copy()
    drawing[16:174, 16:496, :3] = 255 - drawing[16:174, 16:496, :3]
    return drawing


def labelled(n: int, seed: int) -> Case:
    """A sign with the word for a thing, and nothing else; asked for the thing."""
    records = single(n, seed, things=NAMED)
    images = places(records)
    for i, (image, record) in enumerate(zip(images, records, strict=True)):
        top = lot_of(seed, i).randint(10, 24)
        box = (5 / SIZE, top / SIZE, 59 / SIZE, (top + 28) / SIZE)
        put(image, board(record.items[0].noun.upper()), box)
    return images, records
