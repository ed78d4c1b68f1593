"""What the judge is asked where the truth is known, and how its answers are counted.

    asked = trials(scenes(924))                  # pictures, records, and the truth
    first, second = asking(judge.read)(draw(...), ...)
    scored(answers(asked, first), px=64)         # rows: sensitivity, specificity, …

The picture of a scene is judged by its own record, by its minimal pairs' (one for each
fact that can be changed: nearly everything true, one thing wrong), and by another
scene's of the same kind. Whether a clause is true of a picture is known exactly: it is
what the perfect reading of the picture says.

The scenes come from a seed that no training and no other evaluation draws from, half of
them from the test split and half of held-out combinations, which a judge does see in
its own training; they are by all three training artists. Every kind of scene comes
equally often, and some oftener, so that no category of clauses has too few.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.clauses import (
    CATEGORIES,
    NOTHING_ELSE,
    Clause,
    check,
    clauses,
    nothing_else,
)
from mmlearn.evaluate.intervals import bootstrap, wilson
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE, Verdict, judge_readings
from mmlearn.evaluate.matcher import match
from mmlearn.evaluate.reading import Read, Reading, read_all
from mmlearn.world.scene import Scene

SEED = 41_000_000
SPLITS = ("test", "held_out")
OWN, TWIN, OTHER = "own", "twin", "other"
ROWS = (*CATEGORIES, NOTHING_ELSE, ALL_CLAUSES, WHOLE)
_TWO = {"kinds": ("pair", "relation", "sizes")}
TURNS = (
    *({"kinds": (kind,)} for kind in world.KINDS),
    # Few scenes have a number, words, or two colours to bind: these come again.
    {"kinds": ("count",)},
    {"kinds": ("sign",)},
    _TWO | {"tinted": 1.0},
    _TWO | {"things": ()},
)


@dataclass(frozen=True)
class Trial:
    """One record, asked of one picture.

    picture: its place among the pictures. truth: the perfect reading of it. asked:
    whether the record is the picture's own, a twin's or another scene's; fact: what
    the twin differs in. split: where the picture's scene comes from.
    """

    picture: int
    record: Scene
    truth: Reading
    asked: str = OWN
    fact: str | None = None
    split: str | None = None


class Answer(NamedTuple):
    """What was said of one clause of a trial; no clause: of the whole prompt."""

    trial: Trial
    category: str
    clause: Clause | None
    true: bool
    said: bool | None


Both = tuple[list[Verdict], list[Verdict]]
# (pictures, which of them each record is asked of, records) -> two readers' verdicts
Ask = Callable[[Tensor, Sequence[int], Sequence[Scene]], Both]


def asking(read: Read, second: Callable = match, at_once: int = 64) -> Ask:
    """What a judge's two readers say, as `Judge.witnesses`, but with less work.

    read: the first reader, shown all pictures at once, each only once. second: as
    `match`, asked once for each picture and list of nouns, which is all it is told by a
    record; at most ``at_once`` pictures together, to save memory.
    """

    def ask(images: Tensor, which: Sequence[int], records: Sequence[Scene]) -> Both:
        readings = read_all(read, images)
        first = [readings[i] for i in which]
        told: dict[tuple, Scene] = {}
        keys = []
        for picture, record in zip(which, records, strict=True):
            nouns = tuple(dict.fromkeys(item.noun for item in record.items))
            keys.append((picture, nouns))
            told.setdefault(keys[-1], record)
        order, seen = list(told), {}
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            shown = images[[picture for picture, _ in part]]
            found = second(shown, [told[key] for key in part])
            seen |= zip(part, found, strict=True)
        return (
            judge_readings(records, first, which),
            judge_readings(records, [seen[key] for key in keys], which),
        )

    return ask


def scenes(n: int, seed: int = SEED) -> list[tuple[str, Scene]]:
    """``n`` scenes, each with its split, in the order that `TURNS` gives."""
    found = []
    for i in range(n):
        split = SPLITS[i // len(TURNS) % len(SPLITS)]
        found.append((split, scene_of(i, i % len(TURNS), split, seed)))
    return found


def scene_of(index: int, turn: int, split: str, seed: int = SEED) -> Scene:
    """Scene number ``index`` of a seed, of the words that a turn allows."""
    return world.compose(_grammar(turn, split), seed, index)


@lru_cache(None)
def _grammar(turn: int, split: str) -> world.Grammar:
    words = {"things": world.everyday()} | TURNS[turn]
    return world.Grammar(split=split, **words)


def trials(drawn: Sequence[tuple[str, Scene]]) -> list[Trial]:
    """Every record that is asked of the pictures of these scenes.

    Raises ValueError for fewer than two scenes: there is no other one then.
    """
    if len(drawn) < 2:
        raise ValueError(
            "a picture is also judged by another scene's record: give two scenes or "
            f"more, not {len(drawn)}"
        )
    found = []
    for i, (split, own) in enumerate(drawn):
        records = [(own, OWN, None)]
        records += [(record, TWIN, fact) for fact, record in twins(own, i)]
        records.append((_another(drawn, i), OTHER, None))
        truth = Reading.of(own)
        found += [Trial(i, record, truth, *why, split) for record, *why in records]
    return found


def twins(scene: Scene, seed: int) -> list[tuple[str, Scene]]:
    """A minimal pair for every fact of a scene that can be changed, with the fact."""
    found = []
    for fact in world.facts(scene):
        try:
            found.append((fact, world.twin(scene, fact, seed)))
        except world.WorldError:  # no other style, say, stands out from the background
            continue
    return found


def _another(drawn: Sequence[tuple[str, Scene]], i: int) -> Scene:
    """The next scene of the same kind; the next one, where there is no such."""
    others = [other for _, other in (*drawn[i + 1 :], *drawn[:i])]
    kind = drawn[i][1].kind
    return next((other for other in others if other.kind == kind), others[0])


def answers(asked: Sequence[Trial], verdicts: Sequence[Verdict]) -> list[Answer]:
    """Each clause with its truth and what was said of it, one of each in a picture.

    A twin's record repeats most of a picture's own clauses: they are asked once, so
    that counts are of different clauses. After those of a record comes its whole
    prompt, true if all its clauses are.
    """
    seen, found = set(), []
    for trial, verdict in zip(asked, verdicts, strict=True):
        claims = clauses(trial.record)
        true = [check(clause, trial.truth) for clause in claims]
        more = nothing_else(trial.record)
        listed = list(zip(claims, true, verdict.answers, strict=True))
        listed.append((more, check(more, trial.truth), verdict.nothing_else))
        for clause, holds, said in listed:
            key = (trial.picture, _meaning(clause))
            if key not in seen:
                seen.add(key)
                found.append(Answer(trial, clause.category, clause, holds, said))
        found.append(Answer(trial, WHOLE, None, all(true), verdict.whole))
    return found


def _meaning(clause: Clause) -> tuple:
    """What a clause says; of "nothing else", in whatever order things are listed."""
    if clause.category == NOTHING_ELSE:
        return (NOTHING_ELSE, clause.value, tuple(sorted(clause.nouns)))
    return (clause.category, clause.text)


def scored(found: Iterable[Answer], **words) -> list[dict]:
    """A row for each category that was asked about; ``words`` stand in front.

    true, said true, sensitivity: clauses that are true of their picture, those of them
    that were said to be, and the share. false, not said true, specificity: clauses
    that are not, and those not said to be, be it denied or left open. open of true,
    open of false: how many were left open. accuracy: said to be what they are, of all,
    so that to leave open is not to be right; of answered: of those not left open. low
    and high: 95 % intervals from drawing pictures again, as the clauses of one picture
    are no independent witnesses; where all pictures scored alike, Wilson's. What was
    not asked is None.
    """
    groups = defaultdict(list)
    for answer in found:
        groups[answer.category].append(answer)
        if answer.category in CATEGORIES:
            groups[ALL_CLAUSES].append(answer)
    return [words | _score(name, groups[name]) for name in ROWS if name in groups]


def _score(category: str, found: list[Answer]) -> dict:
    true = [(a.trial.picture, a.said is True) for a in found if a.true]
    false = [(a.trial.picture, a.said is not True) for a in found if not a.true]
    right = [(a.trial.picture, a.said is a.true) for a in found]
    answered = [a.said is a.true for a in found if a.said is not None]
    row = {"category": category}
    row |= {"true": len(true), "said true": sum(yes for _, yes in true)}
    row |= share_of(true, "sensitivity")
    row |= {"false": len(false), "not said true": sum(no for _, no in false)}
    row |= share_of(false, "specificity")
    row["open of true"] = sum(a.said is None for a in found if a.true)
    row["open of false"] = sum(a.said is None for a in found if not a.true)
    row |= share_of(right, "accuracy")
    most = round(sum(answered) / len(answered), 4) if answered else None
    return row | {"of answered": most, "pictures": len({i for i, _ in right})}


def share_of(right: Sequence[tuple[int, bool]], name: str = "share") -> dict:
    """The share of what is right, each with its picture, as ``name``; low and high.

    The two ends of its interval go by "NAME low" and "NAME high"; all three are None
    where nothing was asked.
    """
    names = (name, f"{name} low", f"{name} high")
    if not right:
        return dict.fromkeys(names)
    tallies = defaultdict(lambda: [0, 0])
    for picture, yes in right:
        tallies[picture][0] += yes
        tallies[picture][1] += 1
    hits, of = zip(*tallies.values(), strict=True)
    share = sum(hits) / sum(of)
    if share in (0, 1):  # all alike: drawing them again would claim certainty
        low, high = wilson(round(share * len(of)), len(of))
    else:
        low, high = bootstrap(hits, of=of)
    return {n: round(v, 4) for n, v in zip(names, (share, low, high), strict=True)}
