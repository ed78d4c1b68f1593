"""The picture of a set that another is most like, and how far away it is.

A model may draw well because it learned its training scenes by heart. Its pictures are
then nearer to those than new real scenes are.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Features = Callable[[Tensor], Tensor]  # (n, 3, h, w) -> (n, d)


@torch.no_grad()
def nearest(
    images: Tensor, training: Tensor, features: Features, at_once: int = 256
) -> tuple[Tensor, Tensor]:
    """For each picture, the index of the nearest training picture and how far it is.

    The distance is 1 minus the cosine of ``features``, (n, 3, h, w) -> (n, d). Show it
    beside that of new real scenes: near means copied only if those are further away.
    Raises ValueError for no pictures.
    """
    if not len(images) or not len(training):
        raise ValueError("the nearest of no pictures: give at least one of both")

    def unit(pictures: Tensor) -> Tensor:
        parts = [features(part) for part in pictures.split(at_once)]
        return F.normalize(torch.cat(parts).flatten(1).float(), dim=1)

    best, which = (unit(images) @ unit(training).T).max(dim=1)
    return which, 1 - best
