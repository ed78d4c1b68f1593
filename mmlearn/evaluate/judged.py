"""From clauses to a table: shares with their intervals, and without the judge's errors.

    verdicts = judge_readings(records, read_all(read, images), prompts)
    table(verdicts, card)      # a row a category, then all clauses, then whole prompts

Pictures of one prompt are no independent witnesses, nor are the clauses of one
picture: intervals come from drawing prompts again, each with all that belongs to it.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmlearn.evaluate.clauses import (
    CATEGORIES,
    NOTHING_ELSE,
    Clause,
    check,
    clauses,
    nothing_else,
)
from mmlearn.evaluate.intervals import bootstrap, resampled, wilson
from mmlearn.evaluate.reading import Reading
from mmlearn.world.scene import Scene

ALL_CLAUSES, WHOLE = "all clauses", "whole prompt"
Counts = tuple[int, int]  # how many, of how many


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of one picture: each clause of its prompt, and the rest."""

    prompt: Hashable  # pictures of one prompt share it
    clauses: tuple[Clause, ...]
    answers: tuple[bool | None, ...]
    nothing_else: bool | None

    @property
    def whole(self) -> bool | None:
        """Right if all clauses are; wrong if one is wrong; else the judge abstains."""
        return _all(self.answers)


def judge_readings(
    records: Sequence[Scene],
    readings: Sequence[Reading],
    prompts: Sequence[Hashable] | None = None,
    certain: float = 0.5,
) -> list[Verdict]:
    """Each record's clauses, checked against the reading of its picture.

    prompts: which prompt each picture was made for; by default each is its own.
    certain: see `check`. Raises ValueError for lists that do not fit together.
    """
    prompts = range(len(records)) if prompts is None else prompts
    if not len(records) == len(readings) == len(prompts) or not len(records):
        raise ValueError(
            "there must be one record and one prompt for each picture read, not "
            f"{len(records)} records and {len(prompts)} prompts for {len(readings)}"
        )
    verdicts = []
    for record, reading, prompt in zip(records, readings, prompts, strict=True):
        claims = tuple(clauses(record))
        answers = tuple(check(clause, reading, certain) for clause in claims)
        more = check(nothing_else(record), reading, certain)
        verdicts.append(Verdict(prompt, claims, answers, more))
    return verdicts


def table(
    verdicts: Sequence[Verdict],
    card: Mapping[str, Mapping[str, Counts]] | None = None,
    *,
    strict: bool = False,
) -> list[dict]:
    """One row for each category that occurs, and then the rows over all of them.

    right, wrong, abstained, n: clauses (of "whole prompt": pictures whose clauses all
    are right, or not). share: right / n, so that to abstain is not to be right; low,
    high: its 95 % interval over ``prompts`` prompts drawn again; where all prompts
    scored alike, Wilson's. "all clauses" is the mean over clauses. "nothing else"
    counts into those two only if ``strict``.

    card: the judge's own errors, ``{category: {"sensitivity": (k, n), "specificity":
    (k, n)}}``: said to be right k times of n where it was; not said to be right k times
    of n where it was not. It adds corrected, corrected_low and corrected_high (see
    `corrected`), None where the card has no such category or a judge no better than
    guessing. Raises ValueError for no verdicts.
    """
    if not verdicts:
        raise ValueError("a table needs at least one verdict")
    answers = defaultdict(lambda: defaultdict(list))  # category -> prompt -> answers
    for verdict in verdicts:
        names = (clause.category for clause in verdict.clauses)
        asked = list(zip(names, verdict.answers, strict=True))
        counted = verdict.answers + ((verdict.nothing_else,) if strict else ())
        asked += [(ALL_CLAUSES, answer) for answer in counted]
        asked += [(WHOLE, _all(counted)), (NOTHING_ELSE, verdict.nothing_else)]
        for category, answer in asked:
            answers[category][verdict.prompt].append(answer)
    order = (*CATEGORIES, ALL_CLAUSES, WHOLE, NOTHING_ELSE)
    rows = [_row(name, answers[name].values()) for name in order if name in answers]
    if card is not None:
        for row in rows:
            row |= _without_errors(answers[row["category"]].values(), row, card)
    return rows


def _all(answers: Sequence[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _tallies(prompts) -> list[Counts]:
    return [(sum(a is True for a in one), len(one)) for one in prompts]


def _row(category: str, prompts) -> dict:
    every = [answer for one in prompts for answer in one]
    right, of = zip(*_tallies(prompts), strict=True)
    share = sum(right) / sum(of)
    if share in (0, 1):  # all alike: drawing them again would claim certainty
        low, high = wilson(round(share * len(of)), len(of))
    else:
        low, high = bootstrap(right, of=of)
    return {
        "category": category,
        "right": sum(right),
        "wrong": sum(answer is False for answer in every),
        "abstained": sum(answer is None for answer in every),
        "n": len(every),
        "prompts": len(of),
        "share": round(share, 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def _without_errors(prompts, row: dict, card) -> dict:
    names = ("corrected", "corrected_low", "corrected_high")
    own = card.get(row["category"])
    if own is None:
        return dict.fromkeys(names)
    counts = own["sensitivity"], own["specificity"]
    rates = [_rate(*count) for count in counts]
    if sum(rates) <= 1:
        return dict.fromkeys(names)
    low, high = corrected_interval(_tallies(prompts), *counts)
    found = (corrected(row["right"] / row["n"], *rates), low, high)
    return {name: round(value, 4) for name, value in zip(names, found, strict=True)}


def corrected(share: float, sensitivity: float, specificity: float) -> float:
    """The true share behind a measured one, given how often the judge errs.

    A judge that calls right what is right with probability Se (sensitivity), and
    does not with probability Sp (specificity) where it is wrong, is expected to call
    right the share  s = p Se + (1 − p)(1 − Sp).  Solved for the true share p:

        p = (s + Sp − 1) / (Se + Sp − 1)

    clamped to [0, 1], since chance can carry it out. Rogan & Gladen, "Estimating
    prevalence from the results of a screening test", Am. J. Epidemiology 107 (1978).
    It holds as far as the judge errs on these pictures as on those of its card.
    Raises ValueError for what is no share, and for Se + Sp ≤ 1.
    """
    for name, value in (
        ("the share", share),
        ("sensitivity", sensitivity),
        ("specificity", specificity),
    ):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie from 0 to 1, not {value!r}")
    if sensitivity + specificity <= 1:
        raise ValueError(
            f"sensitivity {sensitivity:.3g} and specificity {specificity:.3g} sum to 1 "
            "or less: such a judge does no better than guessing, and no score can be "
            "corrected for it"
        )
    true = (share + specificity - 1) / (sensitivity + specificity - 1)
    return min(1.0, max(0.0, float(true)))


def corrected_interval(
    tallies: Sequence[Counts],
    sensitivity: Counts,
    specificity: Counts,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % interval of `corrected`: of prompts, sensitivity and specificity.

    tallies: for each prompt (right, asked); sensitivity and specificity: (k, n) of the
    judge's card. Prompts are drawn again with replacement. The two rates are drawn
    from Beta(k + ½, n − k + ½), which for 0 < k < n spreads as drawing the card's n
    answers again would, and for k = n does not take the judge for infallible; so is
    the share where all prompts scored alike. A draw in which the judge only guesses
    (Se + Sp ≤ 1) says nothing of the true share, and stretches both ends.
    Raises ValueError as `corrected` does, and for counts that are none.
    """
    corrected(0.5, _rate(*sensitivity), _rate(*specificity))
    right, of = zip(*tallies, strict=True)
    share = sum(right) / sum(of)
    generator = np.random.default_rng(seed + 1)
    if share in (0, 1):
        shares = _jeffreys(generator, (round(share * len(of)), len(of)), draws)
    else:
        shares = resampled(right, draws, seed, of=of)
    se, sp = (
        _jeffreys(generator, count, draws) for count in (sensitivity, specificity)
    )
    gain = se + sp - 1
    true = np.clip((shares + sp - 1) / np.where(gain > 0, gain, 1), 0, 1)
    low = np.percentile(np.where(gain > 0, true, 0), 2.5)
    high = np.percentile(np.where(gain > 0, true, 1), 97.5)
    return float(low), float(high)


def _rate(k: int, n: int) -> float:
    if not (n >= 1 and 0 <= k <= n):
        raise ValueError(f"{k} of {n} is no rate: counts are (k, n) with 0 <= k <= n")
    return k / n


def _jeffreys(generator: np.random.Generator, count: Counts, draws: int) -> np.ndarray:
    k, n = count
    return generator.beta(k + 0.5, n - k + 0.5, draws)
