"""Coloured shapes and signs: the pictures that no artist drew.

Each is drawn once, large, with Pillow's polygons, and scaled down like any sprite.
"""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from mmlearn.paths import data_path
from mmlearn.world.artwork import _read
from mmlearn.world.scene import COLOURS, SHAPES
from mmlearn.world.words import WorldError, known

LARGE = 512


def _polygon(*turns_and_radii: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners given as (turn in degrees clockwise from the top, radius)."""
    return [
        (0.5 + r * math.sin(math.radians(a)), 0.5 - r * math.cos(math.radians(a)))
        for a, r in turns_and_radii
    ]


def _heart() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * math.pi, 200)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(0.5 + a / 33, 0.46 - b / 33) for a, b in zip(x, y, strict=True)]


_OUTLINES = {
    "circle": _polygon(*((a, 0.49) for a in range(0, 360, 2))),
    "square": [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)],
    "triangle": [(0.5, 0.04), (0.98, 0.92), (0.02, 0.92)],
    "star": _polygon(*((36 * i, 0.5 if i % 2 == 0 else 0.215) for i in range(10))),
    "heart": _heart(),
    "diamond": [(0.5, 0.01), (0.86, 0.5), (0.5, 0.99), (0.14, 0.5)],
    "cube": _polygon(*((60 * i, 0.5) for i in range(6))),
}


def _shade(colour, factor: float) -> tuple[int, ...]:
    """Darker below 1, towards white above it."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)
    return tuple(round(c + (255 - c) * (factor - 1)) for c in colour)


@lru_cache(len(SHAPES) * len(COLOURS))
def shape(name: str, colour: str) -> np.ndarray:
    """A coloured shape with a rim, ``(512, 512, 4)`` uint8 RGBA.

    The rim is a darker tone of the same colour (a lighter one on black), so that a
    white star shows on snow and a black one at night. A cube has three tones.
    """
    corners = [
        (x * LARGE, y * LARGE) for x, y in _OUTLINES[known("shape", name, SHAPES)]
    ]
    fill = COLOURS[known("colour", colour, COLOURS)]
    rim = _shade(fill, 1.45) if colour == "black" else _shade(fill, 0.72)
    image = Image.new("RGBA", (LARGE, LARGE))
    draw = ImageDraw.Draw(image)
    if name == "cube":
        top, a, b, bottom, c, d = corners
        centre = (LARGE / 2, LARGE / 2)
        tones = (1.2, 0.8, 0.6) if colour == "black" else (1.35, 1.0, 0.72)
        if colour == "white":
            tones = (1.0, 0.88, 0.74)
        faces = ((top, a, centre, d), (d, centre, bottom, c), (a, b, bottom, centre))
        for face, tone in zip(faces, tones, strict=True):
            draw.polygon(face, fill=(*_shade(fill, tone), 255))
        return np.array(image)
    draw.polygon(corners, fill=(*rim, 255))
    inner = [
        (LARGE / 2 + (x - LARGE / 2) * 0.88, LARGE / 2 + (y - LARGE / 2) * 0.88)
        for x, y in corners
    ]
    draw.polygon(inner, fill=(*fill, 255))
    return np.array(image)


@lru_cache(1)
def glyphs() -> dict[str, np.ndarray]:
    """The letters a sign can show, each ``(104, width)`` uint8 coverage."""
    path = data_path("artwork", "letters", "glyphs.npz")
    _read(path)
    with np.load(path) as table:
        return {letter: table[letter] for letter in table.files}


def check_words(words: str) -> str:
    """``words`` in capitals if a sign can show them, else a WorldError."""
    text = str(words).upper().strip()
    parts = text.split()
    odd = sorted({c for c in text if c != " " and c not in glyphs()})
    if not parts or len(parts) > 2 or max(map(len, parts)) > 7 or odd:
        raise WorldError(
            f"a sign cannot say {words!r}: one or two words of up to seven letters "
            "each, A to Z, digits, ! and ?" + (f" (not {' '.join(odd)})" if odd else "")
        )
    return text


@lru_cache(256)
def sign(words: str) -> np.ndarray:
    """A board on a post, ``(height, 512, 4)`` uint8 RGBA, one line a word."""
    lines = check_words(words).split()
    board = 190 if len(lines) == 1 else 330
    image = Image.new("RGBA", (LARGE, board + 80))
    draw = ImageDraw.Draw(image)
    brown, cream = (124, 78, 44, 255), (255, 248, 226, 255)
    draw.rectangle((236, board - 20, 276, board + 79), fill=brown)
    draw.rounded_rectangle((0, 0, LARGE - 1, board), 34, fill=brown)
    draw.rounded_rectangle((16, 16, LARGE - 17, board - 16), 22, fill=cream)
    for i, line in enumerate(lines):
        tiles = [glyphs()[letter] for letter in line]
        text = Image.fromarray(np.concatenate(tiles, axis=1))
        width = min(450, text.width * 122 / text.height)
        text = text.resize((round(width), 122), Image.LANCZOS)
        at = ((LARGE - text.width) // 2, 34 + 140 * i)
        image.paste((30, 28, 40, 255), at, text)
    return np.array(image)
