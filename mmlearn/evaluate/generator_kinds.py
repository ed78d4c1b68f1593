"""Right pictures by kind of scene: one thing, two, so many, in words known together.

A table by category mixes what is easy with what is hard: "existence" is asked of one
thing and of four alike. Here each row is of one kind of scene.
"""

from collections.abc import Callable, Sequence
from itertools import product

from mmlearn.evaluate.generator_bench import SPLITS, Card
from mmlearn.evaluate.generator_claims import row_of
from mmlearn.evaluate.judged import WHOLE, Verdict
from mmlearn.evaluate.prompts import Prompt, held_out_rules
from mmlearn.world.phrases import NUMBERS

# What each kind of scene is a test of, beside the whole prompt.
OWN = {
    "single": "existence",
    "pair": "binding",
    "relation": "relation",
    "count": "count",
}


def by_kind(
    prompts: Sequence[Prompt], verdicts: Sequence[Verdict], card: Card | None = None
) -> list[dict]:
    """Right pictures by kind of scene, by number, and by what was held out.

    Rows as `table` makes them: of each kind the whole prompt and what it is a test of;
    of a number of things and of a held-out rule, the whole prompt. An empty list where
    the prompts are all of one kind.
    """
    kinds = dict.fromkeys(p.record.kind for p in prompts)
    if len(kinds) < 2:
        return []
    rows = []
    for kind, (split, said) in product(kinds, {None: "all", **SPLITS}.items()):
        own = of(prompts, verdicts, kind=kind, split=split)
        for category in (WHOLE, OWN.get(kind)) if own else ():
            words = {"scenes": kind, "split": said}
            if category == WHOLE or _asked(own, category):
                rows.append(row_of(words, own, category, card))
    for number in (1, 2, 3, 4, 5):
        if own := of(prompts, verdicts, lambda p, n=number: _counts(p, n)):
            words = {"scenes": f"count: {NUMBERS[number]}", "split": "all"}
            rows.append(row_of(words, own, WHOLE, card))
    told = {p.id: held_out_rules(p.record) for p in prompts}
    for rule in dict.fromkeys(rule for rules in told.values() for rule in rules):
        own = of(prompts, verdicts, lambda p, r=rule: r in told[p.id])
        words = {"scenes": f"held out: {rule}", "split": "held out"}
        rows.append(row_of(words, own, WHOLE, card))
    return rows


def of(
    prompts: Sequence[Prompt],
    verdicts: Sequence[Verdict],
    wanted: Callable[[Prompt], bool] = lambda prompt: True,
    *,
    kind: str | None = None,
    split: str | None = None,
) -> list[Verdict]:
    """The verdicts on pictures of some prompts: those wanted, of a kind, of a split."""
    chosen = {
        p.id
        for p in prompts
        if wanted(p) and kind in (None, p.record.kind) and split in (None, p.split)
    }
    return [verdict for verdict in verdicts if verdict.prompt in chosen]


def _counts(prompt: Prompt, number: int) -> bool:
    return prompt.record.kind == "count" and prompt.record.count == number


def _asked(verdicts: Sequence[Verdict], category: str | None) -> bool:
    return any(c.category == category for v in verdicts for c in v.clauses)
