"""What `mmlearn evaluate judge` measures: how often the judge itself errs, by claim.

Every claim takes ``ask``, which says what two readers say of pictures (see
`judge_trials.asking`), and a `Plan`; it returns the rows of a table. The clauses of one
record are judged as they are in any table, where the two readers are joined by
`judge.agreed`.
"""

from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from mmlearn import weights, world
from mmlearn.evaluate import judge_eyes
from mmlearn.evaluate.attack_bench import attacks
from mmlearn.evaluate.clauses import NOTHING_ELSE
from mmlearn.evaluate.detector import Detector
from mmlearn.evaluate.judge import Judge, agreed, load_judge
from mmlearn.evaluate.judge_agreement import compared
from mmlearn.evaluate.judge_damage import (
    DAMAGES,
    MALFORMED,
    can_be_malformed,
    damaged,
)
from mmlearn.evaluate.judge_seen import load_eyes
from mmlearn.evaluate.judge_trials import (
    OTHER,
    OWN,
    SEED,
    SPLITS,
    TWIN,
    Answer,
    Ask,
    Trial,
    answers,
    asking,
    scenes,
    scored,
    share_of,
    trials,
    twins,
)
from mmlearn.evaluate.judged import WHOLE, Verdict

DAMAGE_SEED = SEED + 500_000  # scenes to be spoilt are others than those of the card
BOTH = "both"


class Plan(NamedTuple):
    """How much is measured: scenes at each of the sizes ``px``; pairs at some of them;
    of each kind of damage so many pictures of 64 px; pictures shown to eyes."""

    scenes: int
    px: tuple[int, ...]
    pairs: tuple[int, ...]
    spoilt: int
    eyes: int | None  # None: those that eyes have answered for


LAPTOP = Plan(924, (32, 64, 128), (32, 64), 165, None)
PLANS = {
    "smoke": Plan(6, (64,), (64,), 2, 6),
    "laptop": LAPTOP,
    "gpu": LAPTOP,
}


class Asked(NamedTuple):
    """Trials, and what the first reader, the second, and both joined said."""

    trials: list[Trial]
    first: list[Verdict]
    second: list[Verdict]
    joined: list[Verdict]


@lru_cache(3)
def asked_of_scenes(ask: Ask, n: int, px: int) -> Asked:
    """All trials of ``n`` scenes drawn at ``px`` pixels. Three claims share them."""
    drawn = scenes(n)
    images = world.draw([scene for _, scene in drawn], px)
    return _asked(ask, images, trials(drawn))


def _asked(ask: Ask, images, asked: list[Trial]) -> Asked:
    which = [trial.picture for trial in asked]
    first, second = ask(images, which, [trial.record for trial in asked])
    joined = [agreed(*pair) for pair in zip(first, second, strict=True)]
    return Asked(asked, first, second, joined)


def card(ask: Ask, plan: Plan) -> list[dict]:
    """How often the judge is right of real scenes: its sensitivity and specificity.

    Rows as of `scored`, for each size, for both splits and each alone, and for two
    sorts of wrong records: minimal pairs ("twin"), which are nearly right, and another
    scene's ("other"), which is mostly wrong. What is true is the same in both.
    """
    rows = []
    for px in plan.px:
        looked = asked_of_scenes(ask, plan.scenes, px)
        found = answers(looked.trials, looked.joined)
        for split in (BOTH, *SPLITS):
            for wrong in (TWIN, OTHER):
                words = {"px": px, "scenes": split, "wrong": wrong}
                rows += scored(
                    (
                        a
                        for a in found
                        if split in (BOTH, a.trial.split)
                        and (a.true or a.trial.asked == wrong)
                    ),
                    **words,
                )
    return rows


def pairs(ask: Ask, plan: Plan) -> list[dict]:
    """Minimal pairs: does the judge prefer a picture's own record to its twin's?

    A record's score is the mean over its clauses: 1 where one is said to be true, 0
    where it is denied, a half where it is left open. told apart: how often the own
    record scores strictly more. yes and no: its whole prompt is said to be right, and
    the twin's is not. yes to both: the judge was fooled. own open, twin open: whole
    prompts that were left open.
    """
    rows = []
    for px in plan.pairs:
        looked = asked_of_scenes(ask, plan.scenes, px)
        own = {
            trial.picture: verdict
            for trial, verdict in zip(looked.trials, looked.joined, strict=True)
            if trial.asked == OWN
        }
        found = defaultdict(list)
        for trial, verdict in zip(looked.trials, looked.joined, strict=True):
            if trial.asked == TWIN:
                found[trial.fact].append((own[trial.picture], verdict))
        rows += [
            {"px": px, "fact": fact} | _pair_row(found[fact])
            for fact in world.FACTS
            if fact in found
        ]
    return rows


def _pair_row(found: list[tuple[Verdict, Verdict]]) -> dict:
    apart = [_mean(own) > _mean(twin) for own, twin in found]
    wholes = [(own.whole, twin.whole) for own, twin in found]
    return (
        {"pairs": len(found)}
        | share_of(list(enumerate(apart)), "told apart")
        | {
            "yes and no": sum(a is True and b is not True for a, b in wholes),
            "yes to both": sum(a is True and b is True for a, b in wholes),
            "own open": sum(a is None for a, _ in wholes),
            "twin open": sum(b is None for _, b in wholes),
        }
    )


def _mean(verdict: Verdict) -> float:
    said = [0.5 if answer is None else float(answer) for answer in verdict.answers]
    return sum(said) / len(said)


def spoilt(ask: Ask, plan: Plan) -> list[dict]:
    """Pictures spoilt in one way each: what is true of them, and is it still seen?

    Rows as of `scored`, for each damage and category, at 64 px. Degraded pictures are
    judged by their own record and by one twin's. Where a thing was malformed, only
    clauses that name it are counted: what it is no longer is false, and "said true"
    where it was left nearly whole. "none" is the control.
    """
    drawn, rows = [scene for _, scene in scenes(plan.spoilt, DAMAGE_SEED)], []
    for damage in DAMAGES:
        broken = damage in MALFORMED
        chosen = [s for s in drawn if can_be_malformed(s) or not broken]
        images, asked = [], []
        for i, scene in enumerate(chosen):
            image, truth = damaged(scene, damage, DAMAGE_SEED + i)
            images.append(image)
            if truth is None:
                continue
            asked.append(Trial(i, scene, truth))
            options = [] if broken else twins(scene, i)
            for fact, record in options[i % max(1, len(options)) :][:1]:
                asked.append(Trial(i, record, truth, TWIN, fact))
        if not asked:
            continue
        looked = _asked(ask, torch.stack(images), asked)
        found = answers(asked, looked.joined)
        if broken:
            found = [a for a in found if _names_the_last(a)]
        kind = "malformed" if broken else "degraded"
        rows += scored(found, damage=damage, kind=kind)
    return rows


def _names_the_last(answer: Answer) -> bool:
    """Whether an answer is about the last thing of its record, or about everything."""
    last = answer.trial.record.items[-1].noun
    return answer.clause is None or last in answer.clause.nouns


def witnesses(ask: Ask, plan: Plan) -> list[dict]:
    """The judge's two readers: how often they contradict each other, and what each
    would say alone.

    Rows as of `scored` for the detector, for the matcher, and for both together, on all
    records but another scene's. contradicted: clauses of which one said yes and the
    other no; they are left open. The matcher has no say in what else is there.
    """
    rows = []
    for px in plan.px:
        looked = asked_of_scenes(ask, plan.scenes, px)
        near = [i for i, trial in enumerate(looked.trials) if trial.asked != OTHER]
        asked = [looked.trials[i] for i in near]
        readers = {
            "detector": looked.first,
            "matcher": looked.second,
            "together": looked.joined,
        }
        found = {
            name: answers(asked, [verdicts[i] for i in near])
            for name, verdicts in readers.items()
        }
        found["matcher"] = [a for a in found["matcher"] if a.category != NOTHING_ELSE]
        for name, said in found.items():
            rows += scored(said, px=px, witness=name)
        rows += _contradictions(px, found["detector"], found["matcher"])
    return rows


def _contradictions(px: int, first: list[Answer], second: list[Answer]) -> list[dict]:
    first = [a for a in first if a.category not in (NOTHING_ELSE, WHOLE)]
    second = [a for a in second if a.category != WHOLE]
    # Counted like anything else: "said true" is then "they contradict each other".
    apart = [
        a._replace(true=True, said=None not in (a.said, b.said) and a.said != b.said)
        for a, b in zip(first, second, strict=True)
    ]
    return [
        {"px": px, "witness": "contradicted", "category": row["category"]}
        | {"clauses": row["true"], "contradicted": row["said true"]}
        | {"share": row["sensitivity"]}
        | {"low": row["sensitivity low"], "high": row["sensitivity high"]}
        for row in scored(apart)
    ]


def eyes(ask: Ask, plan: Plan) -> list[dict]:
    """Spoilt and generated pictures: does the judge say what a person said of them?"""
    if plan.eyes is not None:  # no person was asked: the records' truth stands in
        return compared(judge_eyes.stand_ins(plan.eyes), ask)
    return compared(load_eyes(), ask)


FUNCTIONS = {
    "card": card,
    "pairs": pairs,
    "spoilt": spoilt,
    "witnesses": witnesses,
    "eyes": eyes,
}
CLAIMS = (*FUNCTIONS, "attacks")
SEEDS_OF = {"spoilt": DAMAGE_SEED, "eyes": judge_eyes.SEED}


def measure(name: str, size: str, source: str | None, seeds: list[int]) -> dict:
    """One claim's rows and what belongs beside them, for `save_result`.

    At smoke size, without a source, the judge is an untrained one. Raises ValueError
    for another size.
    """
    if size not in PLANS:
        raise ValueError(
            f"the judge is measured at one of the sizes {', '.join(PLANS)}, "
            f"not {size!r}"
        )
    about = FUNCTIONS.get(name, attacks).__doc__.strip().split("\n\n")[0]
    found = {"about": " ".join(about.split()), "seeds": [SEEDS_OF.get(name, SEED)]}
    directory = None
    if size != "smoke" or source is not None:
        directory = weights.find(source or size, "judge")
        found["checkpoints"] = {directory.name: directory}
    if name == "attacks":  # they have seeds of their own, and need the detector
        judge = load_judge(directory) if directory else _smoke()
        return found | {"rows": attacks(judge, size, seeds), "seeds": seeds}
    ask = _shipped(directory) if directory else _untrained()
    return found | {"rows": FUNCTIONS[name](ask, PLANS[size])}


@lru_cache(1)
def _shipped(directory: Path) -> Ask:
    """One function for one judge, so that claims share what it was asked."""
    return asking(load_judge(directory).read)


@lru_cache(1)
def _untrained() -> Ask:
    return asking(_smoke().read)


def _smoke() -> Judge:
    return Judge(Detector.from_size("smoke"))
