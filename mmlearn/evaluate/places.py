"""Where things stand to each other: the world's relations, read back from boxes.

`mmlearn.world.layout` places things so that each relation can be read in one way only;
these are the same definitions from the reader's side, with their tolerances. A box is
the whole drawing's, and what counts is its visible part (`visible`). Distances are in
64ths of the picture, the layout's grid.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mmlearn.evaluate.reading import SOMETHING, Found
from mmlearn.world import artwork
from mmlearn.world.layout import Box
from mmlearn.world.scene import SHAPES, SIGN
from mmlearn.world.sprite_row import extent

# The layout draws "above" with 2 or more 64ths of background between the two, and "on
# top of" with 0 to 2 of overlap, mostly 1: the line between them is half way.
GAP = 1.5 / 64
SUNK = 6 / 64  # deeper than this the upper one stands in, not on, the lower
OVER = 0.2  # of the narrower one's width lies over the lower (drawn: 0.26 or more)
OVERLAP = 2 / 64  # side by side, and under a sign: this much overlap is forgiven
BIGGER = 1.4  # times as wide; "big" is drawn 1.83 to 2.4 times as wide as "small"
LEVEL = 0.25  # of their mean height: how far the things of a row may stray from it


def visible(thing: Found) -> Box:
    """The box of what can be seen of a thing: its drawing without the margin.

    The margin is known from the noun and the artist; where the artist was not read,
    it is the mean of the training artists'.
    """
    left, top, right, bottom = thing.box
    if thing.noun in (SIGN, SOMETHING):
        return thing.box
    if thing.noun in SHAPES and thing.artist is None:
        part = extent(thing.noun, None)
    else:
        artists = [thing.artist] if thing.artist else artwork.TRAIN_ARTISTS
        part = np.mean([extent(thing.noun, artist) for artist in artists], axis=0)
    wide, tall = right - left, bottom - top
    return (
        left + float(part[0]) * wide,
        top + float(part[1]) * tall,
        left + float(part[2]) * wide,
        top + float(part[3]) * tall,
    )


def _between(a: Box, b: Box) -> tuple[float, float]:
    """From the middle of a to the middle of b: rightwards and downwards."""
    return (b[0] + b[2] - a[0] - a[2]) / 2, (b[1] + b[3] - a[1] - a[3]) / 2


def left_of(a: Found, b: Found) -> bool:
    """a's middle lies left of b's, more across than up or down; they don't overlap."""
    a, b = visible(a), visible(b)
    across, down = _between(a, b)
    return across > abs(down) and b[0] - a[2] >= -OVERLAP


def above(a: Found, b: Found, gap: float = GAP) -> bool:
    """a's middle lies above b's, more up than across; background shows between them."""
    a, b = visible(a), visible(b)
    across, down = _between(a, b)
    return down > abs(across) and b[1] - a[3] >= gap


def on_top_of(a: Found, b: Found) -> bool:
    """a stands on b: its lowest part touches b's highest, and lies over b's width."""
    a, b = visible(a), visible(b)
    _, down = _between(a, b)
    over = min(a[2], b[2]) - max(a[0], b[0])
    narrower = min(a[2] - a[0], b[2] - b[0])
    return down > 0 and -SUNK <= b[1] - a[3] < GAP and over >= OVER * narrower


HOLDS = {
    "left of": left_of,
    "right of": lambda a, b: left_of(b, a),
    "above": above,
    "below": lambda a, b: above(b, a),
    "on top of": on_top_of,
    "under": lambda a, b: above(b, a, -OVERLAP),  # a sign, whose post may touch a
}


def bigger(a: Found, b: Found) -> bool:
    """a's drawing is at least `BIGGER` times as wide as b's."""
    return _side(a) >= BIGGER * _side(b)


def in_a_row(things: Sequence[Found]) -> bool:
    """Two or more things side by side at one height."""
    if len(things) < 2:
        return False
    boxes = sorted(thing.box for thing in things)
    heights = [(top + bottom) / 2 for _, top, _, bottom in boxes]
    middle = sum(heights) / len(heights)
    tall = sum(bottom - top for _, top, _, bottom in boxes) / len(boxes)
    level = all(abs(height - middle) <= LEVEL * tall for height in heights)
    beside = all(b[0] - a[2] >= -OVERLAP for a, b in pairwise(boxes))
    return level and beside


def _side(thing: Found) -> float:
    left, top, right, bottom = thing.box
    return ((right - left) * (bottom - top)) ** 0.5
