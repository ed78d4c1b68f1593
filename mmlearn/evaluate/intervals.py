"""How far a measured share may lie from the true one: 95 % intervals."""

import math
from collections.abc import Sequence

import numpy as np


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share of independent yes-or-no answers (Wilson 1927).

    Unlike the usual ± it stays within [0, 1], also where all answers are the same.
    Raises ValueError unless 0 ≤ right ≤ asked and asked ≥ 1.
    """
    if not (asked >= 1 and 0 <= right <= asked):
        raise ValueError(f"{right} right of {asked} asked is no share")
    share = right / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    spread = math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    half = z * spread / (1 + z * z / asked)
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(
    values: Sequence[float],
    draws: int = 2000,
    seed: int = 0,
    *,
    of: Sequence[float] | None = None,
) -> tuple[float, float]:
    """The interval of the mean of ``values``, one for each thing that was asked about.

    Where a noun is shown five times, the five answers are no five witnesses: give the
    nouns' means. Drawn again with replacement; the 2.5 and 97.5 % points of the means.
    With ``of``, each value is a sum over that many answers (right of a prompt's 12
    clauses, say), and a mean is the sum of the drawn values over that of their ``of``.
    Raises ValueError for no values, and for an ``of`` that does not fit them.
    """
    low, high = np.percentile(resampled(values, draws, seed, of=of), [2.5, 97.5])
    return float(low), float(high)


def resampled(
    values: Sequence[float],
    draws: int,
    seed: int,
    *,
    of: Sequence[float] | None = None,
) -> np.ndarray:
    """The means (draws,) whose spread `bootstrap` measures."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError("bootstrap needs a list of at least one number")
    weights = np.ones(len(values)) if of is None else np.asarray(of, dtype=float)
    if weights.shape != values.shape or not (weights > 0).all():
        raise ValueError(
            "bootstrap needs one number above 0 in `of` for each of its "
            f"{len(values)} values"
        )
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(values), (draws, len(values)))
    return values[chosen].sum(axis=1) / weights[chosen].sum(axis=1)
