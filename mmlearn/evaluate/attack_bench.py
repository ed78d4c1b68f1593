"""How easily the judge is fooled: every attack measured, the easiest first.

    rows = attacks(load_judge("laptop"), "laptop", [0, 1, 2])

An attack fools the judge where it answers the asked clause, and not as a person would:
True where a person says no, False where a person says yes. To abstain is not to be
fooled. The detector and the matcher are counted alone as well, so that one sees what
their being two is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlearn.evaluate.attacks import ATTACKS, Attack
from mmlearn.evaluate.clauses import NOTHING_ELSE
from mmlearn.evaluate.intervals import wilson
from mmlearn.evaluate.judge import Judge, agreed
from mmlearn.evaluate.judged import Verdict
from mmlearn.world.scene import Scene
from mmlearn.world.words import article


@dataclass(frozen=True)
class Effort:
    """Pictures of an attack, of one by gradient, and the gradient's steps."""

    pictures: int
    by_gradient: int
    steps: int


LAPTOP = Effort(42, 24, 24)
SIZES = {"smoke": Effort(2, 2, 2), "laptop": LAPTOP, "gpu": LAPTOP}


@dataclass(frozen=True)
class Outcome:
    """What was said of an attack's pictures: one answer each, of each reader."""

    images: Tensor
    records: list[Scene]
    asked: list[str]
    judge: list[bool | None]
    detector: list[bool | None]
    matcher: list[bool | None]


def effort(size: str) -> Effort:
    """How much is tried at a size. Raises ValueError for one that is none."""
    if size not in SIZES:
        raise ValueError(
            f"attacks have one of the sizes {', '.join(SIZES)}, not {size!r}"
        )
    return SIZES[size]


def attacks(
    judge: Judge,
    size: str,
    seeds: Sequence[int],
    chosen: Sequence[Attack] = ATTACKS,
) -> list[dict]:
    """Ways to fool the judge, easiest first: wrong yeses above wrong noes.

    Each row: attack, kind ("wrong yes": the judge says yes where a person says no; or
    "wrong no"), sees (the picture, as a person sees it), category (of the clause
    asked), n, fooled, share with its 95 % interval low to high (Wilson's), abstained,
    and how many of the n fool the detector and the matcher alone; None for a matcher
    that is not asked. Raises ValueError for an unknown size and for no seeds.
    """
    effort(size)
    rows = [_row(attack, attempt(judge, attack, size, seeds)) for attack in chosen]
    return sorted(rows, key=lambda row: (row["kind"] != "wrong yes", -row["share"]))


def attempt(judge: Judge, attack: Attack, size: str, seeds: Sequence[int]) -> Outcome:
    """One attack's pictures, shared among the seeds, and all answers to them."""
    if not seeds:
        raise ValueError("attacks are drawn from seeds: give at least one")
    tried = effort(size)
    number = tried.by_gradient if attack.by_gradient else tried.pictures
    number = max(1, number // len(seeds))
    images, records = [], []
    for seed in seeds:
        drawn = attack.pictures(number, seed, judge.detector, tried.steps)
        images.append(drawn[0])
        records += drawn[1]
    images = torch.cat(images)
    first, second = judge.witnesses(images, records)
    both = [agreed(*pair) for pair in zip(first, second, strict=True)]
    answers = [
        [answer(attack.category, verdict) for verdict in verdicts]
        for verdicts in (both, first, second)
    ]
    asked = [clause_of(attack.category, verdict) for verdict in first]
    return Outcome(images, records, asked, *answers)


def answer(category: str, verdict: Verdict) -> bool | None:
    """The answer to the first clause of a category."""
    if category == NOTHING_ELSE:
        return verdict.nothing_else
    return verdict.answers[_place(category, verdict)]


def clause_of(category: str, verdict: Verdict) -> str:
    """The first clause of a category, in words."""
    if category == NOTHING_ELSE:
        nouns = dict.fromkeys(n for clause in verdict.clauses for n in clause.nouns)
        return f"nothing but {' and '.join(map(article, nouns))}"
    return verdict.clauses[_place(category, verdict)].text


def _place(category: str, verdict: Verdict) -> int:
    return [clause.category for clause in verdict.clauses].index(category)


def _row(attack: Attack, outcome: Outcome) -> dict:
    wrong = not attack.person
    n, fooled = len(outcome.judge), outcome.judge.count(wrong)
    low, high = wilson(fooled, n)
    # Of what else is there the matcher knows nothing.
    matcher = outcome.matcher.count(wrong) if attack.category != NOTHING_ELSE else None
    return {
        "attack": attack.name,
        "kind": "wrong no" if attack.person else "wrong yes",
        "sees": attack.sees,
        "category": attack.category,
        "n": n,
        "fooled": fooled,
        "share": round(fooled / n, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "abstained": outcome.judge.count(None),
        "detector": outcome.detector.count(wrong),
        "matcher": matcher,
    }
