"""Filling a hole by words: is what was asked for there, and is the rest untouched?

A scene of two things is drawn with the first alone; where the second would stand there
is a hole, and the prompt is the caption of both. So nothing of the second is to be seen
before, and a program knows where and what should be seen after.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.generator_bench import Card, Judges, Settings, judged
from mmlearn.evaluate.generator_claims import Claim, first_sentence, row_of, ways
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.judged import WHOLE, Verdict
from mmlearn.evaluate.prompts import Prompt
from mmlearn.world.grammar import Grammar, compose
from mmlearn.world.render import draw

SEED = 43_200_000  # of scenes that no training uses
MARGIN = 1 / 64  # of the picture: the hole is so much wider than the thing


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only inpainting``.

    Of Stable Diffusion, which is taught the same world, it is the same.
    """
    from mmlearn.glide.grammar import GRAMMAR

    prompts = hole_prompts(GRAMMAR, request.plan.own)
    how = replace(request.how, samples=1)
    return inpainting(tools.model, prompts, tools.judge, how, tools.card)


def hole_prompts(grammar: Grammar, n: int, seed: int = SEED) -> list[Prompt]:
    """``n`` prompts that name two things of different nouns, and where they stand.

    The second one is what a hole is to be filled with.
    """
    narrowed = replace(grammar, kinds=("relation",), split="test")
    prompts: list[Prompt] = []
    index = 0
    while len(prompts) < n:
        record, index = compose(narrowed, seed, index), index + 1
        first, second = record.items
        if first.noun != second.noun:
            name = f"hole-{len(prompts)}"
            text = world.caption(record)
            prompts.append(Prompt(name, "positional", text, "seen", record))
    return prompts


def holes(prompts: Sequence[Prompt], size: int) -> tuple[Tensor, Tensor]:
    """What is given: pictures (n, 3, size, size) of the first things alone, and masks
    (n, 1, size, size), 1 where the second ones would stand."""
    alone = [_first_alone(p.record) for p in prompts]
    masks = torch.zeros(len(prompts), 1, size, size)
    for mask, prompt in zip(masks, prompts, strict=True):
        left, top, right, bottom = prompt.record.items[1].box
        ends = (top - MARGIN, bottom + MARGIN), (left - MARGIN, right + MARGIN)
        rows, columns = (
            slice(max(0, round(low * size)), round(high * size)) for low, high in ends
        )
        mask[:, rows, columns] = 1
    return draw(alone, size), masks


def _first_alone(record: world.Scene) -> world.Scene:
    return record.replace(items=record.items[:1], kind="single", relation=None)


def inpainting(
    model,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """How often a hole is filled with the thing that the prompt asks for there, and how
    far the pixels around it moved.

    Each way of filling has three rows: "existence" and "colour" of the thing asked for,
    and the whole prompt, which names its place and the given thing as well. Above the
    model's stand the scene as it should be, the grey hole, and the hole that the model
    filled without words. "changed outside": the largest difference from what was
    given, of pixels in [-1, 1], outside of any hole. Raises ValueError for a model
    that was not made for inpainting.
    """
    given, masks = holes(prompts, model.image_size)
    ready = given * (1 - masks)  # nothing lies in the holes, lest it be looked at

    def filled(texts: list[str]) -> Tensor:
        return model.inpaint(
            ready,
            masks,
            texts,
            steps=how.steps,
            guidance=how.guidance,
            sampler=how.sampler,
            seed=how.seed,
            progress=False,
        ).cpu()

    pictures = {
        "real scenes": draw([p.record for p in prompts], model.image_size),
        "the hole left grey": ready,
        "filled without words": filled([""] * len(prompts)),
        "filled by the prompt": filled([p.text for p in prompts]),
    }
    rows, verdicts = [], []
    for name, images in pictures.items():
        found = judged(judge, images, prompts)
        moved = ((images - given) * (1 - masks)).abs().max().item()
        rows += _rows(name, found, prompts, card, {"changed outside": round(moved, 6)})
        verdicts.append(found)
    return Claim(
        about=first_sentence(inpainting),
        names=("pictures", "category"),
        more=("changed outside",),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(pictures.values()), dim=1),
        verdicts=ways(verdicts),
        texts=[p.text for p in prompts],
        heads=["real", "given", "no words", "the prompt"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler}",
        settings=asdict(how),
        size=model.image_size,
    )


def _rows(
    name: str,
    verdicts: Sequence[Verdict],
    prompts: Sequence[Prompt],
    card: Card | None,
    more: dict,
) -> list[dict]:
    """Existence and colour of the second things alone, and the whole prompts."""
    second = [
        _about(verdict, prompt.record.items[1].noun)
        for verdict, prompt in zip(verdicts, prompts, strict=True)
    ]
    rows = [row_of({"pictures": name}, second, "existence", card)]
    if any(clause.category == "colour" for v in second for clause in v.clauses):
        rows.append(row_of({"pictures": name}, second, "colour", card))
    rows.append(row_of({"pictures": name}, verdicts, WHOLE, card))
    return [row | more for row in rows]


def _about(verdict: Verdict, noun: str) -> Verdict:
    """The verdict on the clauses that speak of one noun and of no other."""
    pairs = zip(verdict.clauses, verdict.answers, strict=True)
    kept = [(clause, said) for clause, said in pairs if clause.nouns == (noun,)]
    clauses, answers = zip(*kept, strict=True)
    return replace(verdict, clauses=clauses, answers=answers)
