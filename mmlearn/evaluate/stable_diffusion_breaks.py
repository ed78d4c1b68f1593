"""What breaks Stable Diffusion without any training: latents of another scale.

Where pictures are drawn from noise, the scale has one part: latents are divided by it
before they are decoded. Where a picture is changed (`edit`), they are multiplied by it
before, which the division undoes, and a wrong scale only shows as noise that is too
little or too much for them. No library says a word of it.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    drawn,
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
from mmlearn.evaluate.stable_diffusion_walk import SPREAD, spread
from mmlearn.stable_diffusion.sizes import SCALE
from mmlearn.world.render import draw

EXISTS, STRENGTH = "existence", 0.7


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``... evaluate stable-diffusion --only break``."""
    seen = [p for p in request.prompts if p.split == "seen"]
    prompts = by_lot(few(seen, request.plan.own))
    how = replace(request.how, samples=1)
    return breaks(tools.model, prompts, tools.judge, how, tools.card)


def scaled(model, scale: float):
    """The model with another scale of latents; it shares its weights with the first."""
    other = copy.copy(model)
    other.scale = scale
    return other


def edited(model, images: Tensor, texts: Sequence[str], how: Settings) -> Tensor:
    """Images (n, 3, h, w) in [-1, 1] changed towards texts: `STRENGTH` of the steps."""
    return model.edit(
        images,
        list(texts),
        strength=STRENGTH,
        steps=how.steps,
        guidance=how.guidance,
        sampler=how.sampler,
        seed=how.seed,
        progress=False,
    ).cpu()


def breaks(
    model,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """What is left of right pictures when latents are taken to have another scale: none
    at all (1), or that of the published Stable Diffusion.

    Pictures are drawn from noise, and real scenes of the same prompts are edited, which
    the right scale leaves right. Whole prompts, the share of "existence", and how much
    the pixels differ (`spread`), with its interval. Captions exchanged: each picture is
    drawn by the next prompt and judged by its own.
    """
    texts = [p.text for p in prompts]
    real = draw([p.record for p in prompts], model.image_size)
    scales = {"its own": model, "none (1)": scaled(model, 1.0)}
    scales[f"{SCALE}"] = scaled(model, SCALE)
    made = {("real scenes", None): real}
    made |= {("drawn", name): drawn(m, texts, how) for name, m in scales.items()}
    exchanged = drawn(model, texts[1:] + texts[:1], how)
    made["drawn, captions exchanged", "its own"] = exchanged
    made |= {
        ("edited", name): edited(m, real, texts, how) for name, m in scales.items()
    }
    rows, verdicts = [], []
    for (task, scale), images in made.items():
        verdicts.append(judged(judge, images, prompts))
        words = {"pictures": task, "scale": scale}
        row = whole_and(words, verdicts[-1], card, EXISTS)
        rows.append(row | mean_of(SPREAD, spread(images)))
    return Claim(
        about=first_sentence(breaks),
        names=("pictures", "scale"),
        more=(EXISTS, SPREAD),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(made.values()), dim=1),
        verdicts=ways(verdicts),
        texts=texts,
        heads=["real", *("drawn " + s for s in ("own", "1", f"{SCALE}")), "exchanged"]
        + ["edited " + s for s in ("own", "1", f"{SCALE}")],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · its own "
        f"scale is {model.scale:.4g} · edits by strength {STRENGTH:g}",
        settings=asdict(how) | {"scale": model.scale, "strength": STRENGTH},
        size=model.image_size,
    )
