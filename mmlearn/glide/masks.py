"""Holes by lot, to learn to fill: (n, 1, size, size) of 1 where to paint (4.3).

The paper says that random regions are erased. Here a third of the pictures lose a
rectangle, a third what a thick brush passes over, and a third everything: those learn
what the model could do before, to draw from words alone.
"""

import torch
from torch import Tensor


def random_masks(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Masks (n, 1, size, size), on the generator's device."""
    kind = torch.randint(3, (n, 1, 1), generator=generator, device=generator.device)
    everything = torch.ones(n, size, size, device=generator.device)
    masks = torch.where(kind == 0, rectangles(n, size, generator), everything)
    masks = torch.where(kind == 1, strokes(n, size, generator), masks)
    return masks[:, None]


def rectangles(n: int, size: int, generator: torch.Generator) -> Tensor:
    """A rectangle in each of n masks (n, size, size), sides 0.3 to 0.8 of the whole."""
    sides = 0.3 + 0.5 * uniform(n, 2, generator)
    start = (1 - sides) * uniform(n, 2, generator)
    x, y = grid(size, generator)
    left, top = start[:, :, None, None].unbind(1)
    wide, high = sides[:, :, None, None].unbind(1)
    inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
    return inside.float()


def strokes(n: int, size: int, generator: torch.Generator, bends: int = 4) -> Tensor:
    """What a brush covers on its way over a few points, in n masks (n, size, size)."""
    radius = 0.08 + 0.1 * uniform(n, 1, generator)[:, :, None]
    points = uniform(n, 2 * bends, generator).view(n, bends, 2)
    x, y = grid(size, generator)
    covered = torch.zeros(n, size, size, device=generator.device, dtype=torch.bool)
    for a, b in zip(points.unbind(1), points.roll(-1, 1).unbind(1)[:-1], strict=False):
        (ax, ay), (bx, by) = (p[:, :, None, None].unbind(1) for p in (a, b))
        along, length = (bx - ax, by - ay), (bx - ax) ** 2 + (by - ay) ** 2
        share = ((x - ax) * along[0] + (y - ay) * along[1]) / length.clamp(min=1e-6)
        share = share.clamp(0, 1)
        far = (x - ax - share * along[0]) ** 2 + (y - ay - share * along[1]) ** 2
        covered |= far < radius**2
    return covered.float()


def uniform(n: int, numbers: int, generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1), (n, numbers)."""
    return torch.rand(n, numbers, generator=generator, device=generator.device)


def grid(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (1, size) and y (size, 1) of the pixels' centres, from 0 to 1."""
    at = (torch.arange(size, device=generator.device) + 0.5) / size
    return at[None, :], at[:, None]
