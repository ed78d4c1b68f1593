"""What the diffusion core refuses, in one sentence each.

Values on a GPU are not asked for in training, since asking makes the GPU wait; a
sampler asks once, before its first step.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """ValueError unless value is one of the choices, which it names."""
    if value not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}, not {value!r}.")


def check_count(what: str, value: int, most: int | None = None, least: int = 1) -> None:
    """ValueError unless value is a whole number from `least` (to `most`, if given)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        span = f"from {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{what} must be a whole number {span}, not {value!r}.")


def check_betas(betas: Tensor, timesteps: Tensor) -> None:
    """ValueError unless betas are numbers between 0 and 1, each with its timestep."""
    if betas.ndim != 1 or not len(betas):
        raise ValueError(f"betas must be a list of numbers, not {list(betas.shape)}.")
    if not ((betas > 0) & (betas < 1)).all():
        low, high = betas.min().item(), betas.max().item()
        raise ValueError(
            "betas must lie above 0, or nothing happens, and below 1, or nothing of "
            f"the picture is left; these lie in [{low:.3g}, {high:.3g}]."
        )
    if timesteps.shape != betas.shape:
        raise ValueError(
            f"there must be a timestep for each of the {len(betas)} betas, not "
            f"{list(timesteps.shape)}."
        )


def check_timesteps(timesteps: Sequence[int], T: int) -> None:
    """ValueError unless timesteps rise strictly within 0 … T − 1."""
    steps = list(timesteps)
    rising = all(a < b for a, b in pairwise(steps))
    if not steps or not rising or steps[0] < 0 or steps[-1] >= T:
        raise ValueError(
            f"timesteps must rise, each once, within 0 … {T - 1}; these are "
            f"{steps if len(steps) < 8 else [*steps[:3], '…', *steps[-3:]]}."
        )


def check_t(t: int | Tensor, T: int, n: int) -> None:
    """ValueError unless t, a number or one for each of n pictures, is in 0 … T − 1."""
    if isinstance(t, Tensor):
        if t.shape != (n,) or t.dtype not in (torch.long, torch.int):
            raise ValueError(
                f"t must be a whole number, or one for each of {n} pictures, not "
                f"{t.dtype} of shape {list(t.shape)}."
            )
        if t.device.type != "cpu":
            return
        low, high = t.min().item(), t.max().item()
    elif isinstance(t, int):
        low = high = t
    else:
        raise ValueError(f"t must be a whole number or a tensor of them, not {t!r}.")
    if low < 0 or high >= T:
        wrong = low if low < 0 else high
        raise ValueError(f"t must lie within 0 … {T - 1}, and {wrong} does not.")


def check_images(x: Tensor, finite: bool = False) -> None:
    """ValueError unless x is floats (n, channels, …), all finite if asked."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"pictures must be a tensor of floats, not {kind}.")
    if x.ndim < 2 or not x.numel():
        raise ValueError(f"pictures must be (n, channels, …), not {list(x.shape)}.")
    if finite and not x.is_meta and not x.isfinite().all():
        bad = (~x.isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
        raise ValueError(f"pictures must be finite, and number {bad[0]} is not.")


def check_guidance(scale: float) -> None:
    """ValueError unless scale is a finite number from 0."""
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not math.isfinite(scale) or scale < 0:
        raise ValueError(
            f"guidance must be a finite number from 0 (1 is off), not {scale!r}."
        )


def check_eta(eta: float) -> None:
    """ValueError unless eta is in [0, 1]."""
    if not isinstance(eta, int | float) or not 0 <= eta <= 1:
        raise ValueError(
            "eta must lie between 0 (no noise is added) and 1 (as much as DDPM adds), "
            f"not {eta!r}."
        )
