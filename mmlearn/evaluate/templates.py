"""Drawings as templates: how well one explains each place of a picture.

A template T has its own colours and its opacity A. Over a background B, one of the
world's if the picture shows one, it would look like  A·T + (1 - A)·(B + b),  where b, a
tinge of one colour, is found at each place in closed form. The score is R², the share
it explains of the picture's variance about the background there: a squared correlation
to which colour counts, and the outline against what lies around it.

Every sum over a place is a correlation of the picture with one of the template's maps,
made for all places at once by Fourier transforms. Pictures and templates are softened
alike first, so that 32 px pictures, scaled up, match like 64 px ones.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.detector_decode import SIGHT
from mmlearn.world import artwork
from mmlearn.world.scene import COLOURS, SHAPES, SIGN
from mmlearn.world.sprite_row import original, scaled

RING = 2  # pixels around a drawing that must look like background
FIELD = 72  # side of the transforms: at least 68, and a product of twos and threes
FLAT = 0.001  # variance a pixel: where there is no more, there is nothing to explain


@dataclass(frozen=True)
class Template:
    """One drawing at one size: what it shows, and its maps, padded by `RING`.

    weight (h, w): 1 on the drawing and a ring around it. alpha (h, w): opacity.
    colour (3, h, w): what it adds, premultiplied, in [0, 1].
    """

    noun: str
    artist: str | None
    colour_name: str | None
    width: int
    height: int
    weight: Tensor
    alpha: Tensor
    colour: Tensor


@lru_cache(20_000)
def template(
    noun: str,
    artist: str | None,
    colour: str | None,
    width: int,
    height: int,
    native: int = SIGHT,
) -> Template:
    """A drawing, shape or blank board at a size in pixels of 64.

    native: the side of the picture before it was brought to 64 px. Below 64, the
    drawing is scaled down first and up then, as the picture's was.
    """
    blank = noun == SIGN
    words = ("HI" if height < 0.66 * width else "HI HI") if blank else None
    picture = original(noun, artist, colour, words, 64)
    wide, tall = (max(1, round(x * native / SIGHT)) for x in (width, height))
    packed = scaled(picture, wide, tall).view(torch.uint8).view(tall, wide, 4)
    pixels = packed.permute(2, 0, 1).float() / 255
    if (wide, tall) != (width, height):
        pixels = _enlarged(pixels, width, height)
    pixels = F.pad(pixels, (RING,) * 4)
    alpha = pixels[3:]
    reach = 2 * RING + 1
    weight = F.max_pool2d((alpha > 0.1).float(), reach, 1, RING)[0]
    if blank:  # what is written is not this template's business
        top, bottom = (
            RING + round(line * width / 512)
            for line in (30, 160 if height < 0.66 * width else 300)
        )
        left, right = (RING + round(x * width / 512) for x in (28, 484))
        weight[top:bottom, left:right] = 0
    soft = soften(pixels[None])[0]
    return Template(noun, artist, colour, width, height, weight, soft[3], soft[:3])


def _enlarged(pixels: Tensor, width: int, height: int) -> Tensor:
    """Interpolated as pictures are; beyond its edges there is nothing."""
    pixels = F.interpolate(pixels[None], (height, width), mode="bilinear")
    return pixels[0]


def soften(images: Tensor) -> Tensor:
    """Each pixel averaged with its neighbours, 1 2 1 across and down: (…, h, w)."""
    for dim in (-1, -2):
        before, after = images.roll(1, dim), images.roll(-1, dim)
        before.select(dim, 0).copy_(images.select(dim, 0))  # borders repeat themselves
        after.select(dim, -1).copy_(images.select(dim, -1))
        images = (before + 2 * images + after) / 4
    return images


def prepared(images: Tensor) -> Tensor:
    """Pictures (n, 3, 64, 64) in [-1, 1] as templates see them: (n, 3, 68, 68).

    In [0, 1], softened, with their border repeated.
    """
    images = F.pad((images.float() + 1) / 2, (RING,) * 4, mode="replicate")
    return soften(images)


def explained(
    picture: Tensor, templates: list[Template], background: Tensor | None = None
) -> Tensor:
    """R² of templates of one size at each place of a prepared picture (3, 68, 68).

    background: prepared likewise, or None for one plain colour. The result,
    (k, 65 - height, 65 - width), goes by the places of the drawing's top left corner.
    """
    b = torch.zeros_like(picture) if background is None else background
    d = picture - b
    products = torch.stack([(x * y).sum(dim=0) for x, y in ((d, d), (b, b), (d, b))])
    d, b, (dd, bb, db) = (
        torch.fft.rfft2(x, s=(FIELD, FIELD)) for x in (d, b, products)
    )
    wide, tall = templates[0].width, templates[0].height

    def spectrum(maps: Tensor) -> Tensor:
        return torch.fft.rfft2(maps, s=(FIELD, FIELD)).conj()

    def at_places(product: Tensor) -> Tensor:
        field = torch.fft.irfft2(product, s=(FIELD, FIELD))
        return field[..., : SIGHT + 1 - tall, : SIGHT + 1 - wide]

    # Templates that differ in colour alone share their outline, and much of the work.
    outlines: dict[tuple, int] = {}
    number = [outlines.setdefault((t.noun, t.artist), len(outlines)) for t in templates]
    first = [templates[number.index(i)] for i in range(len(outlines))]
    w = torch.stack([t.weight for t in first])
    alpha = torch.stack([t.alpha for t in first])
    free = w * (1 - alpha)  # where the background shows
    sums = {k: spectrum(m) for k, m in (("w", w), ("free", free))}
    energy = at_places(sums["w"] * dd)
    mean = at_places(sums["w"][:, None] * d)
    outside = sums["free"][:, None] * d
    error = sums["w"] * dd
    if background is not None:
        outside = outside + spectrum(free * alpha)[:, None] * b
        error = error + spectrum(w * alpha**2) * bb + 2 * spectrum(w * alpha) * db
    outside = at_places(outside)
    area, room = w.sum(dim=(1, 2)), (w * (1 - alpha) ** 2).sum(dim=(1, 2))
    variance = energy - (mean**2).sum(dim=1) / area[:, None, None]

    colour = torch.stack([t.colour for t in templates])
    w, alpha, free = w[number, None], alpha[number, None], free[number, None]
    error = error[number] - 2 * (spectrum(w * colour) * d).sum(dim=1)
    if background is not None:
        error = error - 2 * (spectrum(w * alpha * colour) * b).sum(dim=1)
    error = at_places(error) + (w * colour**2).sum(dim=(1, 2, 3))[:, None, None]
    shift = outside[number] - (free * colour).sum(dim=(2, 3))[:, :, None, None]
    error = error - (shift**2).sum(dim=1) / room[number, None, None].clamp(1e-3)
    spread = variance[number].clamp(0)
    return (spread - error.clamp(0)) / (spread + FLAT * area[number, None, None])


def looks_of(noun: str) -> list[tuple[str | None, str | None]]:
    """Every (artist, colour) in which a noun is drawn by the training artists."""
    if noun == SIGN:
        return [(None, None)]
    if noun in SHAPES:
        return [(None, colour) for colour in COLOURS]
    tints: list[str | None] = [None]
    if artwork.concepts()[noun].tintable:
        tints += [colour for colour in COLOURS if colour not in ("black", "white")]
    return [(artist, tint) for artist in artwork.TRAIN_ARTISTS for tint in tints]


SMALL = 16  # pixels at which drawings are compared with each other


@lru_cache(4096)
def rivals(noun: str, artist: str | None, colour: str | None, number: int = 8):
    """The other nouns' drawings that resemble one most: (noun, artist, colour) each.

    By the cosine of colours and opacity at 16 px, the best drawing of each noun; and
    for a shape all other shapes of its colour, which resemble it at other sizes.
    """
    names, rows = _gallery()
    likeness = rows @ _row(noun, artist, colour)
    found: dict[str, tuple] = {}
    for i in likeness.argsort(descending=True).tolist():
        if names[i][0] != noun:
            found.setdefault(names[i][0], names[i])
        if len(found) == number:
            break
    if noun in SHAPES:
        found |= {other: (other, None, colour) for other in SHAPES if other != noun}
    return tuple(found.values())


@lru_cache(1)
def _gallery() -> tuple[list[tuple], Tensor]:
    names = [
        (noun, artist, None)
        for noun in artwork.everyday()
        for artist in artwork.TRAIN_ARTISTS
    ]
    names += [(shape, None, colour) for shape in SHAPES for colour in COLOURS]
    return names, torch.stack([_row(*name) for name in names])


def _row(noun: str, artist: str | None, colour: str | None) -> Tensor:
    t = template(noun, artist, colour, SMALL, SMALL)
    row = torch.cat([t.colour - 0.5 * t.alpha, t.alpha[None]]).flatten()
    return row / row.norm()
