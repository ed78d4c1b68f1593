"""What the checks of a chapter share: random inputs, shapes, and the right hint."""

from collections.abc import Callable

import torch
from torch import Tensor

from mmlearn.check.exercises import NotYet


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers of a shape, the same for every learner."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fitting(answer: Callable, *given, hints: dict[str, str]):
    """What the answer gives for what it is given.

    hints: {part of torch's complaint, in small letters: hint}; {error} in a hint stands
    for the complaint. Raises AssertionError with the first hint whose part is in a
    RuntimeError's text; the error itself if there is none.
    """
    try:
        return answer(*given)
    except RuntimeError as error:
        for part, hint in hints.items():
            if part in str(error).lower():
                raise AssertionError(hint.format(error=error)) from None
        raise


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
