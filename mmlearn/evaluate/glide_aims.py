"""What was hoped of the shipped GLIDE before it was trained, and what came of it."""

from collections.abc import Sequence

from mmlearn.evaluate.generator_bench import Card
from mmlearn.evaluate.generator_claims import row_of
from mmlearn.evaluate.generator_kinds import of
from mmlearn.evaluate.judged import WHOLE, Verdict
from mmlearn.evaluate.prompts import Prompt

TWO = ("pair", "relation")
AIMS = (  # question, aim, category, kinds of scene, split of the prompts
    ("one thing: whole prompt", 0.95, WHOLE, ("single",), "seen"),
    ("one thing: it is there", 0.95, "existence", ("single",), "seen"),
    ("two things: colours bound", 0.80, "binding", TWO, "seen"),
    ("two things: their relation", 0.80, "relation", ("relation",), "seen"),
    ("one to four: so many", 0.65, "count", ("count",), "seen"),
    ("one to four: whole prompt", None, WHOLE, ("count",), "seen"),
    ("one thing, held-out pair: whole prompt", 0.80, WHOLE, ("single",), "held_out"),
    ("anything held out: whole prompt", None, WHOLE, (*TWO, "count"), "held_out"),
)


def aims(
    prompts: Sequence[Prompt],
    verdicts: Sequence[Verdict],
    card: Card | None = None,
    hoped: Sequence[tuple] = AIMS,
) -> list[dict]:
    """What was hoped of GLIDE before it was trained, and what came of it.

    hoped: rows as in `AIMS`, which another model may have of its own.
    A row an aim, as `table` makes them: share, and corrected by the judge's card. met:
    whether the corrected share, or the plain one where there is no card, reaches the
    aim; None where there was none. Aims that no prompt asks about are left out.
    """
    rows = []
    for question, aim, category, kinds, split in hoped:
        own = of(prompts, verdicts, lambda p, k=kinds: p.record.kind in k, split=split)
        if not any(category in _categories(v) for v in own):
            continue
        row = row_of(
            {"question": question, "aim": aim, "met": None}, own, category, card
        )
        rows.append(row | {"met": None if aim is None else score(row) >= aim})
    return rows


def score(row: dict) -> float:
    """The share of a row, corrected by the judge's card where it can be."""
    corrected = row.get("corrected")
    return row["share"] if corrected is None else corrected


def _categories(verdict: Verdict) -> set[str]:
    return {WHOLE, *(clause.category for clause in verdict.clauses)}
