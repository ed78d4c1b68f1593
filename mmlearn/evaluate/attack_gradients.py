"""Attacks by someone who has the detector's weights: its own gradient, turned on it.

Projected gradient descent (Madry et al., "Towards Deep Learning Models Resistant to
Adversarial Attacks", 2018): small steps against the loss of the wrong answer, each
followed by a cut back into what is allowed: so many 255ths a pixel, or one corner.
The matcher has no gradient here; whoever can fool the detector must still fool it.

Each function takes (detector, n, seed, steps) and returns n pictures with the records
asked of them. Pictures are whole 255ths, so that they survive being saved.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.attack_drawing import (
    SIZE,
    Case,
    art,
    central,
    lot_of,
    other_noun,
    put,
    remade,
    scenes,
    single,
    whole,
)
from mmlearn.evaluate.attack_things import a_third, lookalike
from mmlearn.evaluate.detector import Detector
from mmlearn.evaluate.detector_decode import encode
from mmlearn.train.detector_loss import detector_loss
from mmlearn.world import COLOURS, draw
from mmlearn.world.scene import SHAPES, Scene


def steer(
    detector: Detector,
    images: Tensor,
    records: Sequence[Scene],
    reach: Tensor,
    steps: int,
) -> Tensor:
    """Pictures (n, 3, 64, 64) changed until the detector sees the records in them.

    reach: how far each pixel may go, broadcast to the pictures, in 255ths. The result
    is in whole 255ths and never further away than that.
    """
    detector.eval()
    targets = encode(records)
    start = ((images + 1) * 127.5).round()
    low, high = (start - reach).clamp(min=0), (start + reach).clamp(max=255)
    pixels, step = start, reach * 2.5 / steps
    for _ in range(steps):
        seen = (pixels / 127.5 - 1).requires_grad_()
        loss, _ = detector_loss(detector(seen), targets)
        (slope,) = torch.autograd.grad(loss, seen)
        pixels = (pixels - step * slope.sign()).clamp(low, high)
    return whole(pixels.round() / 127.5 - 1)


def renamed(bound: int):
    """One thing, and noise of ``bound`` 255ths; asked for is the noun most like it."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        images, records = lookalike(n, seed)
        reach = torch.tensor(float(bound))
        return steer(detector, images, records, reach, steps), records

    return make


def repainted(bound: int):
    """A shape in one colour, and noise; asked for is the colour nearest to it."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        found, records = single(n, seed, things=(), shapes=SHAPES), []
        for record in found:
            (item,) = record.items
            colour = _nearest(item.colour)
            records.append(record.replace(items=(replace(item, colour=colour),)))
        reach = torch.tensor(float(bound))
        return steer(detector, draw(found, SIZE), records, reach, steps), records

    return make


def _nearest(colour: str) -> str:
    def apart(other: str) -> float:
        return math.dist(COLOURS[colour], COLOURS[other])

    return min((other for other in COLOURS if other != colour), key=apart)


def overlooked(bound: int):
    """Two things, and noise; asked for is the first, and nothing else."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        words = {"kinds": ("pair",), "shapes": (), "tinted": 0.0}
        found = scenes(n, seed, lambda s: s.items[0].noun != s.items[1].noun, **words)
        records = [r.replace(kind="single", items=r.items[:1]) for r in found]
        reach = torch.tensor(float(bound))
        return steer(detector, draw(found, SIZE), records, reach, steps), records

    return make


def denied(bound: int):
    """One thing, and noise that makes the detector see an empty place."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        found = single(n, seed)
        empty = [record.replace(items=()) for record in found]
        reach = torch.tensor(float(bound))
        return steer(detector, draw(found, SIZE), empty, reach, steps), found

    return make


def elsewhere(bound: int):
    """Clouds of colour that are no place, and noise; asked for is a place."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        records = [r.replace(says=("background",)) for r in single(n, seed)]
        generator = torch.Generator().manual_seed(seed)
        clouds = torch.randn(n, 3, 5, 5, generator=generator)
        size, options = (SIZE, SIZE), {"mode": "bicubic", "align_corners": True}
        images = whole(0.3 + 0.5 * F.interpolate(clouds, size, **options))
        for i, record in enumerate(records):
            (item,) = record.items
            put(images[i], art(item), item.box)
        reach = torch.tensor(float(bound))
        return steer(detector, images, records, reach, steps), records

    return make


def completed(bound: int):
    """A third of a thing, and noise; asked for is the thing."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        records = single(n, seed)
        images = remade(records, a_third, seed)
        reach = torch.tensor(float(bound))
        return steer(detector, images, records, reach, steps), records

    return make


def from_noise(detector: Detector, n: int, seed: int, steps: int) -> Case:
    """Grey noise, and any change at all: pixels that climb to a thing's name."""
    records = single(n, seed)
    generator = torch.Generator().manual_seed(seed)
    images = whole(0.3 * torch.randn(n, 3, SIZE, SIZE, generator=generator))
    return steer(detector, images, records, torch.tensor(255.0), steps), records


def stuck_on(side: int):
    """One thing in the middle, and a square in a corner, optimised to be another."""

    def make(detector: Detector, n: int, seed: int, steps: int) -> Case:
        found = [central(record) for record in single(n, seed)]
        records, images = [], draw(found, SIZE)
        reach = torch.zeros(n, 1, SIZE, SIZE)
        for i, record in enumerate(found):
            lot = lot_of(seed, i)
            x, y = (lot.choice((1, SIZE - side - 1)) for _ in range(2))
            box = tuple(s / SIZE for s in (x, y, x + side, y + side))
            noun = other_noun(record.items[0].noun, lot)
            item = replace(record.items[0], noun=noun, box=box)
            records.append(record.replace(items=(item,)))
            reach[i, :, y : y + side, x : x + side] = 255
            images[i, :, y : y + side, x : x + side] = 0
        both = [
            record.replace(items=(*record.items, *first.items))
            for record, first in zip(records, found, strict=True)
        ]
        return steer(detector, images, both, reach, steps), records

    return make
