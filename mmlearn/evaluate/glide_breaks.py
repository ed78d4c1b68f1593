"""What breaks GLIDE: one thing done wrong at a time, on the same prompts and noise.

These damages need no training: the model is the one that is shipped, misused. That
cosines stand where sines are expected, say, gives no error in any library, only noise.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace

import torch

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    drawn,
    few,
    judged,
)
from mmlearn.evaluate.generator_claims import Claim, first_sentence, ways, whole_and
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.prompts import Prompt
from mmlearn.glide import GLIDE
from mmlearn.nn.time_embedding import TimeEmbedding
from mmlearn.world.render import draw

SHARES = ("existence", "background")
ERROR = "base's error"
LEVELS = (100, 300, 500, 700, 900)  # timesteps at which the base's error is taken


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only break``."""
    seen = [p for p in request.prompts if p.split == "seen"]
    prompts = by_lot(few(seen, request.plan.own))
    how = replace(request.how, samples=1)
    return breaks(tools.model, prompts, tools.judge, how, tools.card)


@torch.no_grad()
def flipped(model: GLIDE) -> GLIDE:
    """A copy to which sines come where it learned cosines, and the other way about.

    The two halves of the weights that read them are exchanged, which is the same.
    """
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, TimeEmbedding):
            cosines, sines = module.fc1.weight.chunk(2, dim=1)
            module.fc1.weight.copy_(torch.cat([sines, cosines], dim=1))
    return model


@torch.no_grad()
def error(
    model: Draws, prompts: Sequence[Prompt], texts: Sequence[str]
) -> float | None:
    """The base's mean squared error of real scenes, told these texts, over `LEVELS`.

    It feels what too few pictures may not show. None for what is no GLIDE.
    """
    if not isinstance(model, GLIDE):
        return None
    base = model.base
    images = draw([p.record for p in prompts], base.config.image_size)
    batch = images.to(model.device), model.tokenize(list(texts))
    found = []
    for level in LEVELS:
        t = torch.full([len(images)], level, device=model.device)
        generator = torch.Generator().manual_seed(level)
        terms = base.objective.terms(base, batch, t, generator)
        found.append(terms["mse"].mean().item())
    return round(sum(found) / len(found), 5)


def breaks(
    model: Draws,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """What is left of right pictures when one thing is done wrong.

    Whole prompts, and beside them the shares of "existence" and "background" that hold,
    and the base's error (`error`; guidance has no part in that). Captions exchanged:
    each picture is drawn by the next prompt, and judged by its own.
    """
    texts = [p.text for p in prompts]
    damages = {
        "nothing": (model, texts, how),
        "no guidance": (model, texts, replace(how, guidance=1.0)),
        "captions exchanged": (model, texts[1:] + texts[:1], how),
        "sine for cosine": (flipped(model), texts, how),
    }
    rows, images, verdicts = [], [], []
    for name, asked in damages.items():
        images.append(drawn(*asked))
        verdicts.append(judged(judge, images[-1], prompts))
        row = whole_and({"damage": name}, verdicts[-1], card, *SHARES)
        rows.append(row | {ERROR: error(asked[0], prompts, asked[1])})
    return Claim(
        about=first_sentence(breaks),
        names=("damage",),
        more=(*SHARES, ERROR),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(images, dim=1),
        verdicts=ways(verdicts),
        texts=texts,
        heads=list(damages),
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · all "
        "pictures of a prompt start from the same noise",
        settings=asdict(how),
        size=model.image_size,
    )
