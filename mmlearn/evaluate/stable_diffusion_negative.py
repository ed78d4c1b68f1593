"""Does a negative prompt take away what it names? "a star", but not "a red star".

A shape is asked for without a colour, and the judge's detector says which colour it was
given. Then the same noise is drawn again with that colour in the negative prompt. Any
negative prompt changes a picture, so beside it stands one of another colour and one of
a thing that has nothing to do with it: only what these leave alone was taken away.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.generator_bench import Card, Settings, judged
from mmlearn.evaluate.generator_claims import Claim, first_sentence, row_of, ways
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.judge import Judge
from mmlearn.evaluate.prompts import Prompt
from mmlearn.evaluate.reading import Reading
from mmlearn.world.grammar import Grammar, Lot
from mmlearn.world.words import article

SEED = 43_300_000  # of lots, and of no scenes
EXISTS = "existence"


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``... evaluate stable-diffusion --only negative``."""
    from mmlearn.glide.grammar import GRAMMAR

    shapes = [GRAMMAR.shapes[i % len(GRAMMAR.shapes)] for i in range(request.plan.own)]
    how = replace(request.how, samples=1)
    return negative(tools.model, GRAMMAR, shapes, tools.judge, how, tools.card)


def painted(
    model, texts: Sequence[str], without: Sequence[str], how: Settings
) -> Tensor:
    """Pictures (n, 3, h, w) of texts, led away from others; the same noise each time.

    without: one negative prompt for each, "" for none.
    """
    return model.generate(
        list(texts),
        negative=list(without),
        steps=how.steps,
        guidance=how.guidance,
        sampler=how.sampler,
        seed=how.seed,
        progress=False,
    ).cpu()


def colours_of(
    readings: Sequence[Reading], shapes: Sequence[str], among: Sequence[str], lot: Lot
) -> list[str]:
    """The colour of the surest such shape in each picture; where none was read, one by
    lot, which the picture will hardly be said to show."""
    found = []
    for reading, shape in zip(readings, shapes, strict=True):
        things = [t for t in reading.found if t.noun == shape and t.colour in among]
        surest = max(things, key=lambda t: t.confidence, default=None)
        found.append(surest.colour if surest else lot.pick(among))
    return found


def negatives(
    grammar: Grammar, shapes: Sequence[str], colours: Sequence[str], lot: Lot
) -> dict[str, list[str]]:
    """What each way leads away from, a text for each picture."""
    others = [
        lot.pick([c for c in grammar.colours if c != colour]) for colour in colours
    ]
    return {
        "nothing": [""] * len(shapes),
        "a thing": [article(lot.pick(grammar.things)) for _ in shapes],
        "another colour": _named(others, shapes),
        "its colour": _named(colours, shapes),
        "its colour, the word": list(colours),
    }


def _named(colours: Sequence[str], shapes: Sequence[str]) -> list[str]:
    pairs = zip(colours, shapes, strict=True)
    return [article(f"{colour} {shape}") for colour, shape in pairs]


def negative(
    model,
    grammar: Grammar,
    shapes: Sequence[str],
    judge: Judge,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """How often a shape keeps the colour that it is drawn in without a negative prompt,
    when a negative prompt names that colour, another colour, or a thing.

    By "nothing" the colour was chosen, so nearly all keep it there. "existence": the
    share of pictures with the shape in them, whatever its colour.
    """
    lot, asked = Lot(SEED), [article(shape) for shape in shapes]
    first = painted(model, asked, [""] * len(asked), how)
    colours = colours_of(judge.read(first), shapes, grammar.colours, lot)
    prompts = [
        Prompt(f"negative-{i}", "colors", text, "seen", _record(colour, shape))
        for i, (text, colour, shape) in enumerate(
            zip(asked, colours, shapes, strict=True)
        )
    ]
    said = negatives(grammar, shapes, colours, lot)
    rows, pictures, verdicts = [], [], []
    for name, without in said.items():
        images = painted(model, asked, without, how) if any(without) else first
        pictures.append(images)
        verdicts.append(judged(judge, images, prompts))
        row = row_of({"led away from": name}, verdicts[-1], "colour", card)
        there = row_of({}, verdicts[-1], EXISTS, card)
        rows.append(row | {EXISTS: there["share"]})
    return Claim(
        about=first_sentence(negative),
        names=("led away from",),
        more=(EXISTS,),
        rows=rows,
        prompts=prompts,
        images=torch.stack(pictures, dim=1),
        verdicts=ways(verdicts),
        texts=[f"{p.text} ({c})" for p, c in zip(prompts, colours, strict=True)],
        heads=["no negative", "a thing", "another", "its colour", "the word"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · all "
        "pictures of a prompt start from the same noise",
        settings=asdict(how),
        size=model.image_size,
    )


def _record(colour: str, shape: str) -> world.Scene:
    """A scene of one shape, whose caption would say no more than its colour."""
    return world.arrange(f"{colour} {shape}", says=())
