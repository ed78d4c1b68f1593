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
    values: Sequence[float], draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The interval of the mean of ``values``, one for each thing that was asked about.

    Where a noun is shown five times, the five answers are no five witnesses: give the
    nouns' means. Drawn again with replacement; the 2.5 and 97.5 % points of the means.
    Raises ValueError for no values.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError("bootstrap needs a list of at least one number")
    generator = np.random.default_rng(seed)
    chosen = generator.integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
