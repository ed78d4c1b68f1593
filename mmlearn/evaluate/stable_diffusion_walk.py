"""Halfway between two noises: along the line, or along the arc?

Noise in many dimensions is about as long as the root of their number. Halfway along the
line between two of them it is shorter by a factor of √2, and no noise that the U-Net
has learned to begin with. Is it the length that matters? The same midpoints, made as
long as the arc's, say so.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    few,
    judged,
)
from mmlearn.evaluate.generator_claims import (
    Claim,
    first_sentence,
    mean_of,
    ways,
    whole_and,
)
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.prompts import Prompt
from mmlearn.stable_diffusion import first_noise, lerp, slerp
from mmlearn.world.render import draw

LENGTH, SPREAD, EXISTS = "length of noise", "pixel std", "existence"


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``... evaluate stable-diffusion --only walk``."""
    seen = [p for p in request.prompts if p.split == "seen"]
    prompts = by_lot(few(seen, request.plan.own))
    how = replace(request.how, samples=1)
    return walk(tools.model, prompts, tools.judge, how, tools.card)


def halfway(way: Callable, a: Tensor, b: Tensor) -> Tensor:
    """The midpoints (n, c, h, w) of n pairs of noises, by `lerp` or `slerp`."""
    return torch.stack([way(*pair, 0.5) for pair in zip(a, b, strict=True)])


def starts(model, n: int, seed: int) -> dict[str, Tensor]:
    """Noises (n, c, h, w): both ends of n pairs, and what lies halfway."""
    a, b = (first_noise(model, s, range(n)) for s in (seed, seed + 1))
    line, arc = halfway(lerp, a, b), halfway(slerp, a, b)
    return {
        "one end": a,
        "the other end": b,
        "halfway along the arc": arc,
        "halfway along the line": line,
        "the line's, made as long": line * (lengths(arc) / lengths(line)),
    }


def lengths(noise: Tensor) -> Tensor:
    """The length of each noise (n, c, h, w) as one vector, over the root of how many
    numbers it has: (n, 1, 1, 1), about 1 for N(0, 1)."""
    return noise.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def spread(images: Tensor) -> list[float]:
    """How much the values of each picture (n, 3, h, w) differ: less, where it is bland.

    The standard deviation over places, on average over red, green and blue.
    """
    return images.flatten(2).std(dim=2).mean(dim=1).tolist()


def walk(
    model,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """Right pictures from both ends of a walk between two noises, and from halfway
    along the line and along the arc, with the same prompt.

    Whole prompts, and beside them the share of "existence", how long the noise is
    (`lengths`) and how much the pixels differ (`spread`), each the mean over pictures
    with its interval. Above them real scenes.
    """
    texts = [p.text for p in prompts]
    real = draw([p.record for p in prompts], model.image_size)
    noises = starts(model, len(prompts), how.seed)
    rows, pictures, verdicts = [], [], []
    for name, noise in {"real scenes": None, **noises}.items():
        images = real if noise is None else _drawn(model, texts, noise, how)
        pictures.append(images)
        verdicts.append(judged(judge, images, prompts))
        row = whole_and({"start": name}, verdicts[-1], card, EXISTS)
        if noise is not None:
            row |= mean_of(LENGTH, lengths(noise).flatten().tolist())
        rows.append(row | mean_of(SPREAD, spread(images)))
    return Claim(
        about=first_sentence(walk),
        names=("start",),
        more=(EXISTS, LENGTH, SPREAD),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(pictures, dim=1),
        verdicts=ways(verdicts),
        texts=texts,
        heads=["real", "one end", "other end", "arc", "line", "line, long"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler}",
        settings=asdict(how) | {"seeds": [how.seed, how.seed + 1]},
        size=model.image_size,
    )


def _drawn(model, texts: Sequence[str], noise: Tensor, how: Settings) -> Tensor:
    return model.generate(
        list(texts),
        noise=noise,
        steps=how.steps,
        guidance=how.guidance,
        sampler=how.sampler,
        seed=how.seed,
        progress=False,
    ).cpu()
