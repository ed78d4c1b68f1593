"""What every recipe says of itself: which sizes it has, and how a model was made."""

from collections.abc import Mapping
from typing import TypeVar

import torch

from mmlearn.machine import commit, describe
from mmlearn.train.history import History

Recipe = TypeVar("Recipe")


def recipe_of(model: str, size: str, recipes: Mapping[str, Recipe]) -> Recipe:
    """The recipe of a size; ValueError, naming the sizes, if there is none."""
    if size not in recipes:
        known = ", ".join(recipes)
        raise ValueError(
            f"{model} is trained at one of the sizes {known}, not {size!r}"
        )
    return recipes[size]


def card_of(words: str, seed: int, size: str, history: History) -> dict:
    """A card without its scores: command, commit, seed, steps, time, machine, curve.

    words: what follows ``mmlearn train``, without the size and the seed.
    """
    return {
        "recipe": f"python -m mmlearn train {words} --size {size} --seed {seed}",
        "commit": commit(),
        "seed": seed,
        "steps": history.steps,
        "seconds": round(history.seconds),
        "hardware": describe(size),
        "torch": torch.__version__,
        "curve": [[r["step"], round(r["loss"], 4)] for r in history.rows[::4]],
    }
