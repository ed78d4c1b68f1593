"""Other views of a picture, of which the caption is still true.

Published CLIP needs no more than a random crop: it has 400 million pictures. Where
there are three drawings of a fox, place, colour and line would tell them from those
of a bus, and the next artist's fox would not be known.

Images (n, 3, h, w) in [-1, 1] to the same; every picture is changed differently.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop(
    images: Tensor, generator: torch.Generator, least: float = 0.85, most: float = 1.0
) -> Tensor:
    """A square window of side ``least`` to ``most``, inside the picture if below 1.

    A window larger than the picture repeats its border.
    """
    side = uniform(images, generator, least, most, 1)
    centre = (1 - side) * uniform(images, generator, -1, 1, 2)
    return look_through(images, torch.diag_embed(side.expand(-1, 2)), centre)


def turn(images: Tensor, generator: torch.Generator, angle: float = 0.15) -> Tensor:
    """Mirrored half the time, turned by up to ``angle`` radians, sheared by up to 0.1.

    For captions without left and right.
    """
    a = uniform(images, generator, -angle, angle)
    shear = uniform(images, generator, -0.1, 0.1)
    mirror = 1 - 2 * (uniform(images, generator, 0, 1) < 0.5).to(images.dtype)
    rows = [mirror * a.cos(), shear - a.sin()], [mirror * a.sin(), a.cos()]
    matrix = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    return look_through(images, matrix, torch.zeros_like(matrix[:, 0]))


def recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Other colours: no two artists choose the same, so colour must not tell a fox.

    Channels are mixed (greys stay grey), saturation, contrast and brightness change,
    and one picture in five loses its colour.
    """

    def number(low: float, high: float, *shape: int) -> Tensor:
        return uniform(images, generator, low, high, *shape)

    mix = torch.eye(3, device=images.device) + number(-0.25, 0.25, 3, 3)
    images = torch.einsum("nij,njhw->nihw", mix / mix.sum(dim=2, keepdim=True), images)
    grey = images.mean(dim=1, keepdim=True)
    keeps_colour = number(0, 1, 1, 1, 1) > 0.2
    images = grey + keeps_colour * number(0.2, 1.4, 1, 1, 1) * (images - grey)
    return relight(images, generator, contrast=0.4, brightness=0.2)


def relight(
    images: Tensor, generator: torch.Generator, contrast: float, brightness: float
) -> Tensor:
    """More or less contrast (± a share) and light; colours keep their names."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    factor = uniform(images, generator, 1 - contrast, 1 + contrast, 1, 1, 1)
    light = uniform(images, generator, -brightness, brightness, 1, 1, 1)
    return (mean + factor * (images - mean) + light).clamp(-1, 1)


def look_through(images: Tensor, matrix: Tensor, centre: Tensor) -> Tensor:
    """Sample images at ``matrix`` (n, 2, 2) times each position, plus ``centre``."""
    window = torch.cat([matrix, centre[:, :, None]], dim=2)
    grid = F.affine_grid(window, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="border")


def uniform(
    images: Tensor, generator: torch.Generator, low: float, high: float, *shape: int
) -> Tensor:
    """Numbers in [low, high), (n, *shape), where the images are."""
    shape = (len(images), *shape)
    return low + (high - low) * torch.rand(
        shape, generator=generator, device=images.device
    )
