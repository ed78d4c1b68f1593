"""Twelve backgrounds, each a formula, so that any size shows the same place.

A background is a function of position: ``paint(x, y, v)`` with x and y in [0, 1]
from the top left and a variant v in 0..3, giving RGB in [0, 255]. It is evaluated
on a grid at least twice as fine as asked for, and averaged down.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from mmlearn.world.words import known

VARIANTS = 4
Paint = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def _mix(a, b, t) -> np.ndarray:
    """From colour a to colour b as t goes from 0 to 1."""
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


def _plain(colour) -> Paint:
    return lambda x, y, v: _mix(colour, colour, x)


def _striped(x, y, v):
    wide = np.floor((x + 0.04 * v) * 8) % 2
    return _mix((255, 236, 214), (255, 211, 207), wide)


def _dotted(x, y, v):
    row = np.floor(y * 6)
    across = (x * 6 + 0.5 * (row % 2) + 0.25 * v) % 1 - 0.5
    dot = across**2 + (y * 6 % 1 - 0.5) ** 2 < 0.045
    return _mix((226, 243, 228), (160, 212, 180), dot)


def _tiled(x, y, v):
    odd = (np.floor(x * 6 + 0.5 * (v % 2)) + np.floor(y * 6 + 0.5 * (v // 2))) % 2
    return _mix((250, 226, 178), (236, 184, 128), odd)


def _sky(y):
    return _mix((140, 205, 250), (206, 236, 255), y / 0.6)


def _cloud(picture, x, y, cx, cy, r=0.07):
    """Three white circles on a flat base."""
    for dx, dr in ((-1.1, 0.7), (0, 1.0), (1.1, 0.75)):
        inside = ((x - cx - dx * r) ** 2 + (y - cy) ** 2 < (dr * r) ** 2) & (
            y < cy + r * 0.4
        )
        picture[inside] = (250, 252, 255)
    return picture


def _meadow(x, y, v):
    far = 0.60 + 0.03 * np.sin(5 * x + 1.7 * v)
    near = 0.72 + 0.03 * np.sin(4 * x + 2 + 2.3 * v)
    picture = _cloud(_sky(y), x, y, 0.2 + 0.2 * v, 0.12)
    picture[y > far] = (150, 210, 105)
    picture[y > near] = (122, 192, 82)
    return picture


def _beach(x, y, v):
    shore = 0.66 + 0.02 * np.sin(7 * x + 2 * v)
    picture = _cloud(_sky(y), x, y, 0.8 - 0.2 * v, 0.1)
    picture[y > 0.46] = (64, 160, 215)
    picture[y > shore - 0.02] = (235, 248, 250)
    picture[y > shore] = (246, 221, 160)
    return picture


def _sea(x, y, v):
    picture = _mix((196, 232, 250), (232, 247, 255), y / 0.4)
    for i, colour in enumerate(((92, 170, 225), (62, 143, 208), (44, 118, 190))):
        crest = (
            0.42 + 0.2 * i + 0.018 * np.sin(2 * np.pi * (3 * x + 0.35 * i + 0.25 * v))
        )
        picture[y > crest] = colour
    return picture


def _night(x, y, v):
    picture = _mix((18, 22, 58), (50, 50, 104), y)
    for i in range(26):
        # An irrational turn spreads the stars without a random number.
        sx, sy = (0.11 + 0.754877 * i + 0.21 * v) % 1, (0.07 + 0.569840 * i) % 1
        r = 0.006 + 0.004 * (i % 3 == 0)
        picture[(x - sx) ** 2 + (y - sy) ** 2 < r * r] = (255, 248, 210)
    return picture


def _snow(x, y, v):
    hill = 0.66 + 0.04 * np.sin(4.5 * x + 1.9 * v)
    picture = _mix((150, 182, 214), (196, 216, 234), y / 0.6)
    picture[y > hill] = (240, 246, 252)
    for i in range(22):
        sx, sy = (0.05 + 0.754877 * i + 0.17 * v) % 1, (0.03 + 0.569840 * i) % 1
        picture[(x - sx) ** 2 + (y - sy * 0.66) ** 2 < 0.011**2] = (250, 253, 255)
    return picture


# name -> (paint, the colours that a thing in front of it must differ from)
_PAINTS: dict[str, tuple[Paint, tuple]] = {
    "white": (_plain((252, 252, 252)), ((252, 252, 252),)),
    "grey": (_plain((186, 188, 194)), ((186, 188, 194),)),
    "light blue": (_plain((172, 220, 250)), ((172, 220, 250),)),
    "lavender": (_plain((216, 204, 246)), ((216, 204, 246),)),
    "striped": (_striped, ((255, 236, 214), (255, 211, 207))),
    "dotted": (_dotted, ((226, 243, 228), (160, 212, 180))),
    "tiled": (_tiled, ((250, 226, 178), (236, 184, 128))),
    "meadow": (_meadow, ((170, 218, 250), (130, 198, 90))),
    "beach": (_beach, ((170, 218, 250), (64, 160, 215), (246, 221, 160))),
    "sea": (_sea, ((215, 240, 253), (62, 143, 208), (44, 118, 190))),
    "night": (_night, ((20, 24, 62), (48, 48, 100))),
    "snow": (_snow, ((165, 195, 220), (240, 246, 252))),
}
BACKGROUNDS = tuple(_PAINTS)


def main_colours(name: str) -> tuple:
    """The colours a background is made of, for the contrast check."""
    return _PAINTS[known("background", name, BACKGROUNDS)][1]


@lru_cache(96)
def background(name: str, variant: int, size: int) -> torch.Tensor:
    """One background: ``(size, size)`` int32, each pixel's four bytes RGBA."""
    paint, _ = _PAINTS[known("background", name, BACKGROUNDS)]
    fine = size * max(2, -(-256 // size))
    place = (np.arange(fine, dtype=np.float32) + 0.5) / fine
    x, y = np.meshgrid(place, place)
    picture = torch.from_numpy(paint(x, y, variant % VARIANTS).astype(np.float32))
    picture = F.avg_pool2d(picture.permute(2, 0, 1)[None], fine // size)[0]
    pixels = torch.full((size, size, 4), 255, dtype=torch.uint8)
    pixels[..., :3] = picture.permute(1, 2, 0).add(0.5).floor().to(torch.uint8)
    return pixels.view(torch.int32)[..., 0]
