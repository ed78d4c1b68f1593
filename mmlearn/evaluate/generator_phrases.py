"""In which words is it understood who stands where?

"A cat on the left and a dog on the right" says a place beside each name. "A cat above a
dog" names the cat first and places it afterwards: a text tower that only looks back,
as CLIP's does, cannot yet say so in the state of "cat". So each phrase is asked for by
itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch

from mmlearn.evaluate.generator_bench import Card, Judges, Settings, asked, judged
from mmlearn.evaluate.generator_claims import Claim, first_sentence, row_of, ways
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.glide_relations import RELATION
from mmlearn.evaluate.prompts import Prompt
from mmlearn.world.grammar import Grammar, compose
from mmlearn.world.phrases import PLACING, saying

SEED = 43_400_000  # of scenes that no training uses
EXISTS = "existence"


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate stable-diffusion --only phrases``, and
    of ``glide``, which is taught the same world with a text tower of its own."""
    from mmlearn.glide.grammar import GRAMMAR

    asked_for = {name: phrased(GRAMMAR, name, request.plan.own) for name in PLACING}
    how = replace(request.how, samples=1)
    return phrases(tools.model, asked_for, tools.judge, how, tools.card)


def phrased(grammar: Grammar, phrase: str, n: int, seed: int = SEED) -> list[Prompt]:
    """``n`` prompts that say in this phrase who stands where, of new scenes.

    None is of a combination that training never showed.
    """
    words = {"kinds": (RELATION,), "split": "test"}
    asking, found, index = replace(grammar, **words), [], 0
    while len(found) < n:
        record, index = compose(asking, seed, index), index + 1
        if said := saying(record, phrase):
            name = f"{phrase.replace(' ', '-')}-{len(found)}"
            found.append(Prompt(name, "positional", said[0], "seen", record))
    return found


def phrases(
    model: Draws,
    asked_for: Mapping[str, Sequence[Prompt]],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """How often a picture bears out who stands where, by the phrase that said it.

    "said": whether the words that place stand beside each name or between both.
    "existence": the share of named things that are there at all.
    """
    rows, pictures, verdicts = [], [], []
    for phrase, prompts in asked_for.items():
        pictures.append(asked(model, prompts, how)[:, 0])
        verdicts.append(judged(judge, pictures[-1], prompts))
        words = {"phrase": phrase, "said": PLACING[phrase]}
        there = row_of({}, verdicts[-1], EXISTS, card)["share"]
        rows.append(row_of(words, verdicts[-1], RELATION, card) | {EXISTS: there})
    in_turn = [p for some in zip(*asked_for.values(), strict=True) for p in some]
    return Claim(
        about=first_sentence(phrases),
        names=("phrase", "said"),
        more=(EXISTS,),
        rows=rows,
        prompts=in_turn,
        images=torch.stack(pictures, dim=1).flatten(0, 1)[:, None],
        verdicts=ways(verdicts),
        texts=[p.text for p in in_turn],
        heads=["drawn"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler}",
        settings=asdict(how),
        size=model.image_size,
    )
