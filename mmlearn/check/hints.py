"""What the checks of a chapter share: random inputs, shapes, and the right hint."""

import torch
from torch import Tensor

from mmlearn.check.exercises import NotYet


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers of a shape, the same for every learner."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shaped(mine, *shape: int, what: str = "the result") -> Tensor:
    """The answer, if it is a tensor of this shape.

    Raises AssertionError with a hint for anything else, NotYet where nothing is there.
    """
    if mine is None or mine is ...:
        raise NotYet(f"{what} is still {mine!r}")
    if not isinstance(mine, Tensor):
        raise AssertionError(f"{what} should be a tensor, not a {type(mine).__name__}")
    if mine.shape != shape:
        raise AssertionError(f"{what} should be {shape}, not {tuple(mine.shape)}")
    return mine


def near(mine: Tensor, value: Tensor) -> bool:
    """Whether two tensors of one shape hold the same numbers, up to rounding."""
    return torch.allclose(mine.detach().to(value.dtype), value, atol=1e-5)


def hint_for(mine: Tensor, right: Tensor, wrong: dict, otherwise: str) -> str | None:
    """None if the answer is right; else the first hint whose mistake gives the same.

    wrong: {hint: what that mistake leads to}. otherwise: the hint for all the rest.
    """
    if near(mine, right):
        return None
    return next((hint for hint, x in wrong.items() if near(mine, x)), otherwise)
