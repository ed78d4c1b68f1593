"""Pictures made worse in the ways that generators make them, with the truth untouched.

Blurred, scaled down and up, tinged, pale, noisy, compressed in blocks, slightly bent:
a person would still say the same of them. A reader that only knows clean drawings would
doubt every generated one.

Images (n, 3, h, w) in [-1, 1] to the same. Each change befalls some of the pictures,
`share` of them, drawn from the generator on the images' device; the others pay nothing.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.train.augment import uniform

BLOCK = 8  # pixels along a side of JPEG's blocks


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """All of the changes below, one after the other; a third escape most of them."""
    images = images.clone()
    for change, share in CHANGES:
        chosen = torch.rand(len(images), generator=generator, device=images.device)
        rows = (chosen < share).nonzero()[:, 0]
        if len(rows):
            images[rows] = change(images[rows], generator)
    return images.clamp_(-1, 1)


def blur(images: Tensor, generator: torch.Generator) -> Tensor:
    """A bell of width (sigma) 0.3 to 1.2 pixels."""
    sigma = uniform(images, generator, 0.3, 1.2, 1)
    place = torch.arange(-3, 4, device=images.device)
    bell = (-(place**2) / (2 * sigma**2)).exp()
    bell = (bell / bell.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    n, channels, height, width = images.shape
    x = images.reshape(1, n * channels, height, width)
    for shape, pad in (((-1, 1, 7, 1), (0, 0, 3, 3)), ((-1, 1, 1, 7), (3, 3, 0, 0))):
        x = F.pad(x, pad, mode="replicate")
        x = F.conv2d(x, bell.reshape(shape), groups=n * channels)
    return x.reshape(images.shape)


def resample(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scaled down to 24 to 56 of 64 pixels, all to the same, and up again."""
    side = images.shape[-1]
    share = torch.randint(24, 57, (), generator=generator, device=images.device)
    options = {"mode": "bilinear", "align_corners": False}
    small = F.interpolate(
        images, max(2, side * int(share) // 64), **options, antialias=True
    )
    return F.interpolate(small, side, **options)


def tinge(images: Tensor, generator: torch.Generator) -> Tensor:
    """Channels mixed a little, and each a little lighter or darker: red stays red."""
    mix = uniform(images, generator, -0.06, 0.06, 3, 3)
    mix = torch.eye(3, device=images.device) + mix
    light = uniform(images, generator, -0.1, 0.1, 3, 1, 1)
    return torch.einsum("nij,njhw->nihw", mix, images) + light


def pale(images: Tensor, generator: torch.Generator) -> Tensor:
    """55 to 115 % of the contrast, around a level between dark grey and white."""
    factor = uniform(images, generator, 0.55, 1.15, 1, 1, 1)
    level = uniform(images, generator, -0.4, 0.9, 1, 1, 1)
    return level + factor * (images - level)


def noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Independent noise, up to 0.2 strong; its grain is one or two pixels."""
    n, channels, height, width = images.shape
    strength = uniform(images, generator, 0.02, 0.2, 1, 1, 1)
    options = {"generator": generator, "device": images.device}
    coarse = torch.randn(n, channels, -(-height // 2), -(-width // 2), **options)
    coarse = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    fine = torch.randn(images.shape, **options)
    grain = torch.where(
        uniform(images, generator, 0, 1, 1, 1, 1) < 0.7,
        fine,
        coarse[..., :height, :width],
    )
    return images + strength * grain


def blocks(images: Tensor, generator: torch.Generator) -> Tensor:
    """What JPEG does: the cosines of every block of 8 x 8, rounded coarsely.

    Higher frequencies are rounded more, as in the standard's tables, in grey and
    colours alike. Sides that are no multiple of 8 keep their last pixels as they were.
    """
    n, channels, height, width = images.shape
    rows, columns = height // BLOCK, width // BLOCK
    body = images[..., : rows * BLOCK, : columns * BLOCK]
    cosines = _cosines().to(images)
    x = body.reshape(n, channels, rows, BLOCK, columns, BLOCK)
    x = torch.einsum("ai,ncribj,dj->ncrabd", cosines, x.transpose(-1, -1), cosines)
    order = torch.arange(BLOCK, device=images.device)
    step = (1 + order[:, None] + order).to(images)[:, None, :]
    step = step * uniform(images, generator, 0.02, 0.12, 1, 1, 1, 1, 1)
    x = (x / step).round() * step
    x = torch.einsum("ai,ncrabd,dj->ncribj", cosines, x, cosines)
    images = images.clone()
    images[..., : rows * BLOCK, : columns * BLOCK] = x.reshape(body.shape)
    return images


@lru_cache(1)
def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 numbers: (8, 8)."""
    k, i = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)
    table = (math.pi * (2 * i + 1) * k / (2 * BLOCK)).cos() * math.sqrt(2 / BLOCK)
    return table * torch.where(k == 0, math.sqrt(0.5), 1.0)


def bend(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every place moved a little, by a smooth field: up to about 1 pixel of 64."""
    n, _, height, width = images.shape
    options = {"generator": generator, "device": images.device}
    field = torch.randn(n, 2, 5, 5, **options) * uniform(
        images, generator, 0.004, 0.02, 1, 1, 1
    )
    field = F.interpolate(
        field, (height, width), mode="bicubic", align_corners=True
    ).permute(0, 2, 3, 1)
    return F.grid_sample(
        images,
        identity(images) + field,
        padding_mode="border",
        align_corners=False,
    )


def identity(images: Tensor) -> Tensor:
    """The grid (1, h, w, 2) that samples each pixel from its own place."""
    height, width = images.shape[-2:]
    y = (torch.arange(height, device=images.device) + 0.5) / height * 2 - 1
    x = (torch.arange(width, device=images.device) + 0.5) / width * 2 - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


CHANGES = (
    (bend, 0.15),
    (blur, 0.25),
    (resample, 0.2),
    (tinge, 0.3),
    (pale, 0.2),
    (noise, 0.25),
    (blocks, 0.15),
)
