"""Things that are no things: what a reader must not take for a fox.

A drawing cut through or full of holes, melted with another, bent beyond recognition,
smeared, with its parts in disorder, faded, or only a scribble in its colours. Failed
pictures are full of these, and a reader that has seen none calls each by its nearest
name. All of it happens within one thing's box and is made of three pictures of the
same scene: `whole`, `without` the thing, and with an `other` in its place, so that the
background and all else stay true.

Each kind also comes in mild forms. How much of the thing is left decides what it is
called: `FINE` of it is the thing; `BROKEN` or less, "something"; what lies between is
not asked for, and next to nothing is nothing.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.detector_decode import IGNORE, STYLES, Targets, nouns
from mmlearn.evaluate.reading import SOMETHING
from mmlearn.train.degrade import identity

FINE, BROKEN, GONE = 0.87, 0.62, 0.1
LEFT = 32  # pixels of the crop from which smears and disorders are made


def malform(
    whole: Tensor, without: Tensor, other: Tensor, boxes: Tensor, generator
) -> tuple[Tensor, Tensor]:
    """Change one thing in each picture: pictures (n, 3, h, w) and what is left (n,).

    boxes (n, 4): where the thing is, in fractions of the picture. The kinds take
    turns, row by row, so that any batch holds all of them. What is left is a share of
    the thing in [0, 1].
    """
    images, left = whole.clone(), torch.ones(len(whole), device=whole.device)
    for number, kind in enumerate(KINDS):
        rows = slice(number, None, len(KINDS))
        if len(whole[rows]):
            parts = whole[rows], without[rows], other[rows]
            images[rows], left[rows] = kind(*parts, Box(boxes[rows], whole), generator)
    return images, left


def retarget(targets: Targets, rows: Tensor, which: Tensor, left: Tensor) -> Targets:
    """What to say of pictures ``rows`` whose thing number ``which`` was malformed."""
    new = targets.clone()
    nothing = len(STYLES) - 1  # "unknown"
    broken, fine = left <= BROKEN, left >= FINE
    gone, unclear = left <= GONE, ~(broken | fine)
    noun, colour = new.noun[rows, which], new.colour[rows, which]
    noun = noun.masked_fill(broken, nouns().index(SOMETHING))
    new.noun[rows, which] = noun.masked_fill(unclear | gone, IGNORE)
    new.colour[rows, which] = colour.masked_fill(~fine, IGNORE)
    style = new.style[rows, which].masked_fill(broken, nothing)
    new.style[rows, which] = style.masked_fill(unclear | gone, IGNORE)
    there = new.there[rows, which]
    there = there.masked_fill(gone, IGNORE)
    new.there[rows, which] = there.masked_fill(left <= 0, 0)
    return replace(new)


class Box:
    """One thing's box in each picture: places within it, and smooth noise over it."""

    def __init__(self, boxes: Tensor, images: Tensor):
        self.low, self.high = 2 * boxes[:, :2] - 1, 2 * boxes[:, 2:] - 1
        self.middle, self.half = (self.low + self.high) / 2, (self.high - self.low) / 2
        self.here = identity(images).expand(len(boxes), -1, -1, -1)
        # From the picture's places to the box's: -1 and 1 are the box's edges.
        self.inner = (self.here - self.middle[:, None, None]) / self.half[:, None, None]
        self.inside = (self.inner.abs() <= 1).all(dim=-1)[:, None].to(images)

    def outer(self, inner: Tensor) -> Tensor:
        """The inverse of `inner`: places in the picture of places in the box."""
        return self.middle[:, None, None] + inner * self.half[:, None, None]

    def noise(self, channels: int, knots: int, generator) -> Tensor:
        """Smooth noise (n, channels, h, w), fixed to the box, about normal."""
        shape = (len(self.low), channels, knots, knots)
        field = torch.randn(shape, generator=generator, device=self.low.device)
        return 1.5 * sample(field, self.inner)

    def number(self, low: float, high: float, generator) -> Tensor:
        """One number for each picture, (n, 1, 1, 1)."""
        shape = (len(self.low), 1, 1, 1)
        number = torch.rand(shape, generator=generator, device=self.low.device)
        return low + (high - low) * number


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Images (n, c, h, w) at a grid (n, h, w, 2) in [-1, 1]; borders repeat."""
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def mixed(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a`` where the mask (n, 1, h, w) is 1, ``b`` where it is 0."""
    return mask * a + (1 - mask) * b


def kept(mask: Tensor, whole: Tensor, without: Tensor) -> Tensor:
    """The share (n,) of a thing's visible pixels that a mask (n, 1, h, w) leaves."""
    seen = ((whole - without).abs().amax(dim=1, keepdim=True) > 0.05).to(whole)
    return (mask * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3)).clamp(1)


def cut(whole, without, other, box: Box, generator):
    """Cut off along a straight line."""
    turn = box.number(0, 6.2832, generator)
    direction = torch.cat([turn.cos(), turn.sin()], dim=-1)
    along = (box.inner * direction).sum(dim=-1)[:, None]
    mask = ((along - box.number(-0.5, 0.9, generator)) * -12).sigmoid()
    return mixed(mask, whole, without), kept(mask, whole, without)


def holes(whole, without, other, box: Box, generator):
    """Pieces missing."""
    field = box.noise(1, 6, generator) + box.number(-0.8, 1.8, generator)
    mask = (field * 8).sigmoid()
    return mixed(mask, whole, without), kept(mask, whole, without)


def melt(whole, without, other, box: Box, generator):
    """Two drawings in one: in patches, or one showing through the other."""
    patches = (box.noise(1, 4, generator) * 6).sigmoid()
    through = box.number(0.35, 0.65, generator)
    in_patches = box.number(0, 1, generator) < 0.6
    mask = torch.where(in_patches, patches, through)
    left = kept(mask, whole, without)
    # Mostly one of the two drawings is not asked for, rather than called broken.
    left = torch.where((left > 0.25) & (left < 0.75), 0.5, 0.75)
    return mixed(mask, whole, other), left


def warp(whole, without, other, box: Box, generator):
    """Bent by a smooth field: a little, or until nothing stays where it was."""
    strength = box.number(0, 1, generator)
    strength = torch.where(strength < 0.3, strength / 10, 0.15 + 0.35 * strength)
    field = box.noise(2, 5, generator).permute(0, 2, 3, 1) * strength
    bent = sample(whole, box.outer(box.inner + field))
    left = torch.where(strength < 0.04, 1.0, (0.95 - 1.6 * strength).clamp(0.5, 0.8))
    return mixed(box.inside, bent, whole), left[:, 0, 0, 0]


def scribble(whole, without, other, box: Box, generator):
    """Lines in the thing's colours."""
    lines = box.noise(1, 6, generator).abs()
    mask = ((box.number(0.1, 0.3, generator) - lines) * 20).sigmoid() * box.inside
    anywhere = box.outer(box.noise(2, 3, generator).permute(0, 2, 3, 1) * 0.5)
    return mixed(mask, sample(whole, anywhere), without), _same(whole, 0.5)


def smear(whole, without, other, box: Box, generator):
    """Only three to five patches of colour are left along each side."""
    patches = crop(whole, box, LEFT)
    few = int(torch.randint(3, 6, (), generator=generator, device=whole.device))
    patches = F.adaptive_avg_pool2d(patches, few)
    return mixed(box.inside, sample(patches, box.inner), whole), _same(whole, 0.5)


def disorder(whole, without, other, box: Box, generator):
    """Its parts exchanged: three by three or four by four tiles, shuffled."""
    tiles = int(torch.randint(3, 5, (), generator=generator, device=whole.device))
    side = LEFT // tiles
    piece = crop(whole, box, tiles * side)
    piece = piece.unfold(2, side, side).unfold(3, side, side).flatten(2, 3)
    order = torch.rand(len(whole), tiles**2, generator=generator, device=whole.device)
    order = order.argsort(dim=1)[:, None, :, None, None]
    piece = piece.gather(2, order.expand_as(piece)).unflatten(2, (tiles, tiles))
    piece = piece.permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)
    return mixed(box.inside, sample(piece, box.inner), whole), _same(whole, 0.5)


def fade(whole, without, other, box: Box, generator):
    """Its opacity: below a half it counts as broken, from 0.8 on as whole."""
    alpha = box.number(0.12, 1, generator)
    left = torch.where(alpha < 0.5, 0.5, torch.where(alpha < 0.8, 0.75, 1.0))
    return mixed(alpha, whole, without), left[:, 0, 0, 0]


def gone(whole, without, other, box: Box, generator):
    """Not there at all."""
    return without, _same(whole, 0.0)


def crop(images: Tensor, box: Box, side: int) -> Tensor:
    """The box alone, (n, 3, side, side)."""
    grid = identity(images[:1, :, :1, :1].expand(1, 3, side, side))
    return sample(images, box.outer(grid))


def _same(images: Tensor, value: float) -> Tensor:
    return torch.full((len(images),), value, device=images.device)


KINDS = (cut, holes, melt, warp, scribble, smear, disorder, fade, gone)
