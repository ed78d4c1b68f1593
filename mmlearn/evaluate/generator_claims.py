"""What one model alone is measured for: a table, and a wall of what it speaks of.

Beside what every text-to-image model is asked (bench, guidance, steps), a model has
claims of its own: a module each, with one function ``measure(request, tools) -> Claim``
whose names `Generator.claims` lists. This is what they share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from mmlearn.evaluate.generator_bench import Card
from mmlearn.evaluate.intervals import bootstrap
from mmlearn.evaluate.judged import WHOLE, Verdict, table
from mmlearn.evaluate.prompts import Prompt


@dataclass(frozen=True)
class Claim:
    """rows: as `judged.table` makes them; ``names``: their first columns, which say
    what was judged; ``more``: columns of numbers at their end. about: a sentence.

    prompts: all that was asked, by lot, so that the first of them are a fair sample.
    images (n, ways, 3, h, w) and verdicts, n · ways: for the wall; texts: what stands
    below each block; heads: above each picture. how: settings in words.
    settings: the same as numbers. size: at which pictures were judged, in pixels.
    checkpoints: those used beside the model, the judge and CLIP. asks_model: whether
    the model was asked at all; a claim may train what it compares.
    """

    about: str
    names: tuple[str, ...]
    rows: list[dict]
    prompts: list[Prompt]
    images: Tensor
    verdicts: list[Verdict]
    texts: list[str]
    heads: list[str]
    how: str
    settings: dict
    size: int
    more: tuple[str, ...] = ()
    checkpoints: dict[str, Path] = field(default_factory=dict)
    asks_model: bool = True


def first_sentence(function: Callable) -> str:
    """What a function's docstring says it measures."""
    return " ".join(function.__doc__.split("\n\n")[0].split())


def row_of(
    words: dict, verdicts: Sequence[Verdict], category: str, card: Card | None
) -> dict:
    """One row of `table`, that of a category, behind the words that say whose it is.

    Raises ValueError where no verdict has a clause of this category.
    """
    for row in table(verdicts, card):
        if row["category"] == category:
            return words | row
    raise ValueError(f"none of these prompts claims anything of the kind {category!r}")


def whole_and(
    words: dict, verdicts: Sequence[Verdict], card: Card | None, *more: str
) -> dict:
    """The row of whole prompts, with the shares of other categories at its end."""
    found = {row["category"]: row for row in table(verdicts, card)}
    shares = {name: found[name]["share"] for name in more if name in found}
    return words | found[WHOLE] | shares


def mean_of(name: str, values: Sequence[float]) -> dict:
    """The mean of some numbers, one a prompt, with its 95 % interval, by name."""
    low, high = bootstrap(values)
    found = {name: sum(values) / len(values), f"{name} low": low, f"{name} high": high}
    return {key: round(value, 4) for key, value in found.items()}


def ways(verdicts: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    """Lists of verdicts, one a way of asking, as a wall has them: prompt by prompt."""
    return [verdict for one in zip(*verdicts, strict=True) for verdict in one]
