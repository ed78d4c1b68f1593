"""Does the order of words matter? "A left of B" against "B left of A".

A model that only counts words draws both sentences alike. So each pair of sentences
names the same two things in the same place, in both orders, and both pictures start
from the same noise; each picture is judged by its own sentence and by the other one.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.generator_bench import Card, Judges, Settings, asked, judged
from mmlearn.evaluate.generator_claims import Claim, first_sentence, row_of, ways
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.judged import WHOLE, Verdict
from mmlearn.evaluate.prompts import Prompt
from mmlearn.world.grammar import Grammar, compose
from mmlearn.world.render import draw
from mmlearn.world.splits import held_out

SEED = 43_100_000  # of scenes that no training uses
RELATION = "relation"
DIRECTIONS = {"across": ("left of", "right of"), "up": ("above", "below")}
Pair = tuple[Prompt, Prompt]


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only relations``.

    Of Stable Diffusion, which is taught the same world, it is the same.
    """
    from mmlearn.glide.grammar import GRAMMAR

    pairs = pairs_of(GRAMMAR, request.plan.own)
    how = replace(request.how, samples=1)
    return relations(tools.model, pairs, tools.judge, how, tools.card)


def pairs_of(grammar: Grammar, n: int, seed: int = SEED) -> list[Pair]:
    """``n`` pairs of prompts that say the same of two things, in either order.

    The grammar's relations take turns. Both orders are such as training showed. The two
    prompts of a pair have one id: they are no independent witnesses.
    """
    pairs: list[Pair] = []
    index = 0
    while len(pairs) < n:
        relation = grammar.relations[len(pairs) % len(grammar.relations)]
        words = {"kinds": (RELATION,), "relations": (relation,), "split": "test"}
        record = compose(replace(grammar, **words), seed, index)
        other, index = world.twin(record, "order"), index + 1
        if not held_out(other):
            name = f"order-{len(pairs)}"
            both = (
                Prompt(name, "positional", world.caption(r), "seen", r)
                for r in (record, other)
            )
            pairs.append(tuple(both))
    return pairs


def relations(
    model: Draws,
    pairs: Sequence[Pair],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """How often a picture bears out the relation that its sentence names, and how often
    the one that the same sentence names with both things exchanged.

    Of real scenes, of the model's pictures, and of these by direction. "both of a
    pair": pairs of whose pictures each bears out its own sentence; none, for a model
    that draws both alike.
    """
    sides = [list(side) for side in zip(*pairs, strict=True)]
    drawn = [asked(model, side, how)[:, 0] for side in sides]  # from the same noise
    real = [draw([p.record for p in side], model.image_size) for side in sides]
    rows, own = [], []
    for whose, pictures in (("real scenes", real), ("the model's", drawn)):
        own = _judged(judge, pictures, sides)
        rows += _rows(whose, own, _judged(judge, pictures, sides[::-1]), card)
    for direction, among in DIRECTIONS.items():
        words = {"pictures": f"the model's, {direction}", "judged by": "own sentence"}
        chosen = [v for v in own[0] + own[1] if _relation(v).clauses[0].value in among]
        rows += [row_of(words, chosen, RELATION, card)] if chosen else []
    return Claim(
        about=first_sentence(relations),
        names=("pictures", "judged by"),
        rows=rows,
        prompts=[p for pair in pairs for p in pair],
        images=torch.stack(drawn, dim=1),
        verdicts=ways(own),
        texts=[" / ".join(p.text for p in pair) for pair in pairs],
        heads=["the first", "the second"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · both "
        "pictures of a pair start from the same noise",
        settings=asdict(how),
        size=model.image_size,
    )


def _judged(
    judge: Judges, pictures: Sequence[Tensor], sides: Sequence[list[Prompt]]
) -> list[list[Verdict]]:
    """The verdicts on both sides' pictures, by these sides' sentences."""
    both = zip(pictures, sides, strict=True)
    return [judged(judge, images, prompts) for images, prompts in both]


def _rows(whose: str, own: list, other: list, card: Card | None) -> list[dict]:
    """Whether both are there, the relation, the exchanged one, and both of a pair."""
    rows = []
    for by, verdicts, category in (
        ("things named", own, "existence"),
        ("own sentence", own, RELATION),
        ("exchanged sentence", other, RELATION),
    ):
        words = {"pictures": whose, "judged by": by}
        rows.append(row_of(words, verdicts[0] + verdicts[1], category, card))
    both = [_joined(*pair) for pair in zip(*own, strict=True)]
    words = {"pictures": whose, "judged by": "both of a pair"}
    row = row_of(words, both, WHOLE, card and {})  # the card knows no pairs
    return [*rows, row | {"category": RELATION}]


def _relation(verdict: Verdict) -> Verdict:
    """The verdict on the relation alone."""
    pairs = zip(verdict.clauses, verdict.answers, strict=True)
    kept = [(clause, said) for clause, said in pairs if clause.category == RELATION]
    clauses, answers = zip(*kept, strict=True)
    return replace(verdict, clauses=clauses, answers=answers)


def _joined(first: Verdict, second: Verdict) -> Verdict:
    """One verdict on both pictures of a pair: their relations."""
    first, second = _relation(first), _relation(second)
    clauses, answers = (
        getattr(first, name) + getattr(second, name) for name in ("clauses", "answers")
    )
    return Verdict(first.prompt, clauses, answers, None)
