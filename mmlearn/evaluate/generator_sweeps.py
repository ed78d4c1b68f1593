"""What guidance, sampler and steps do to a text-to-image model's pictures.

Guidance trades difference for obedience, steps trade time for quality: each sweep
changes one of them, asks the same prompts from the same seeds, and has every picture
judged.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.generator_bench import Card, Judges, Settings, asked, each, judged
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.intervals import bootstrap
from mmlearn.evaluate.judged import WHOLE, Verdict, table
from mmlearn.evaluate.nearest import Features
from mmlearn.evaluate.prompts import Prompt

SCALES = (0, 1, 2, 4, 8)
SAMPLERS, STEPS = ("ddim", "dpmpp_2m", "ddpm"), (5, 10, 20, 50)


@dataclass(frozen=True)
class Sweep:
    """rows: one for each way of asking, which its first columns, ``names``, say.
    images (n, ways, 3, h, w): the first picture of each prompt in every way; verdicts:
    of those, in this order. heads: the ways in words."""

    names: tuple[str, ...]
    rows: list[dict]
    images: Tensor
    verdicts: list[Verdict]
    heads: list[str]


def by_guidance(
    model: Draws,
    prompts: Sequence[Prompt],
    judge: Judges,
    features: Features,
    how: Settings,
    scales: Sequence[float] = SCALES,
    card: Card | None = None,
) -> Sweep:
    """Guidance, against right pictures and against how much they differ.

    A row for each scale: whole prompts as in `table`, seconds a picture, and diversity:
    the mean distance (1 − cosine of the features) between two pictures of one prompt,
    with its interval over prompts; None where there is but one picture of each.
    """
    ways = [({"guidance": s}, replace(how, guidance=s)) for s in scales]
    heads = [f"guidance {s}" for s in scales]
    return _sweep(model, prompts, judge, ways, heads, card, features)


def by_steps(
    model: Draws,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    samplers: Sequence[str] = SAMPLERS,
    steps: Sequence[int] = STEPS,
    card: Card | None = None,
) -> Sweep:
    """Samplers and their steps, against right pictures and against time.

    A row for each: whole prompts as in `table`, and seconds a picture.
    """
    ways = [
        ({"sampler": s, "steps": n}, replace(how, sampler=s, steps=n))
        for s in samplers
        for n in steps
    ]
    heads = [f"{s} {n}" for s in samplers for n in steps]
    return _sweep(model, prompts, judge, ways, heads, card)


def _sweep(model, prompts, judge, ways, heads, card, features=None) -> Sweep:
    rows, first, said, k = [], [], [], ways[0][1].samples
    asked(model, prompts[:1], ways[0][1])  # the first pictures of all cost more
    for words, how in ways:
        began = time.perf_counter()
        images = asked(model, prompts, how)
        seconds = (time.perf_counter() - began) / (len(prompts) * k)
        verdicts = judged(judge, images.flatten(0, 1), each(prompts, k))
        row = next(r for r in table(verdicts, card) if r["category"] == WHOLE)
        row = words | row | {"seconds a picture": float(f"{seconds:.3g}")}
        rows.append(row | (_diversity(images, features) if features else {}))
        first.append(images[:, 0])
        said.append(verdicts[::k])
    verdicts = [verdict for one in zip(*said, strict=True) for verdict in one]
    return Sweep(tuple(ways[0][0]), rows, torch.stack(first, dim=1), verdicts, heads)


def _diversity(images: Tensor, features: Features) -> dict:
    names = ("diversity", "diversity low", "diversity high")
    if images.shape[1] < 2:
        return dict.fromkeys(names)
    apart = diversity(images, features)
    found = (sum(apart) / len(apart), *bootstrap(apart))
    return {name: round(x, 4) for name, x in zip(names, found, strict=True)}


@torch.no_grad()
def diversity(images: Tensor, features: Features) -> list[float]:
    """For each prompt the mean distance between two of its pictures (n, k, 3, h, w).

    Raises ValueError for k = 1.
    """
    n, k = images.shape[:2]
    if k < 2:
        raise ValueError("one picture of a prompt does not differ: give at least two")
    found = features(images.flatten(0, 1)).flatten(1).float()
    unit = F.normalize(found, dim=1).unflatten(0, (n, k))
    cosines = unit @ unit.mT  # (n, k, k), the diagonal 1
    return ((k * k - cosines.sum(dim=(1, 2))) / (k * (k - 1))).tolist()
