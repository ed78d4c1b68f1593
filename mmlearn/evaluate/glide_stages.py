"""Two stages or one: what an upsampler saves, at the same parameters and compute (4.1).

    python -m mmlearn train glide-one-stage --size laptop
    python -m mmlearn evaluate glide --only stages

The control is one network that draws the final size at once; it is trained for this,
and not shipped. A third row enlarges the base's pictures without any network: that is
what the upsampler itself adds.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmlearn import weights
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
from mmlearn.glide import GLIDE, TextUNet
from mmlearn.world.render import draw

CONTROL = Path("runs/glide-one-stage/model")
COLOUR = "mean-colour error"
SPENT = {  # the parts that a picture passes through, for each way
    "two stages": ("base", "upsampler"),
    "one stage": ("base",),
    "base, enlarged": ("base",),
}


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only stages``.

    Raises ValueError where the control was not trained.
    """
    from mmlearn.train.recipes import glide, glide_one_stage

    if not CONTROL.is_dir():
        raise ValueError(
            f"there is no control to compare with in {CONTROL}: train it first, with "
            "python -m mmlearn train glide-one-stage --size laptop"
        )
    control = GLIDE.from_pretrained(CONTROL)
    own, other = glide.RECIPES["laptop"], glide_one_stage.RECIPES["laptop"]
    pictures = {name: own[name].steps * own[name].batch for name in own}
    steps = weights.load_card(CONTROL)["steps"]
    trained = {
        "two stages": spent(tools.model, pictures),
        "one stage": spent(control, {"base": steps * other.batch}),
        "base, enlarged": spent(tools.model, {"base": pictures["base"]}),
    }
    prompts = by_lot(few(request.prompts, request.plan.own))
    how = replace(request.how, samples=1)
    found = stages(
        tools.model, control, prompts, tools.judge, how, tools.card, trained=trained
    )
    return replace(found, checkpoints={"own one stage": CONTROL})


def multiplications(stage: TextUNet) -> float:
    """How many multiplications one picture takes, once through a stage."""
    c = stage.config
    x, t = torch.zeros(1, 3, c.image_size, c.image_size), torch.zeros(1).long()
    tokens = torch.full((1, c.context), -1)
    low_res = [x] if c.upsamples else []
    with FlopCounterMode(display=False) as count, sdpa_kernel(SDPBackend.MATH):
        stage(x, t, tokens, *low_res)
    return count.get_total_flops() / 2


def spent(model: GLIDE, pictures: dict[str, int]) -> float:
    """Multiplications of a training, forwards: of so many pictures, by stage."""
    return sum(
        multiplications(getattr(model, name)) * n
        for name, n in pictures.items()
        if getattr(model, name, None) is not None
    )


def mean_colour(images: Tensor, real: Tensor) -> list[float]:
    """How far each picture's mean colour is from the real scene's, on average over red,
    green and blue, of colours in [0, 1]. Images (n, 3, h, w) in [-1, 1]."""
    apart = images.mean(dim=(2, 3)) - real.mean(dim=(2, 3))
    return (apart.abs().mean(dim=1) / 2).tolist()


def stages(
    model: GLIDE,
    control: GLIDE,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
    *,
    trained: dict[str, float] | None = None,
) -> Claim:
    """Right pictures and right colours by two stages, by one of the same cost, and by
    the base's pictures enlarged without a network.

    "million parameters" and "multiplications" (in 10¹², of training, forwards) are what
    each way costs. "mean-colour error": between a picture's mean colour and that of the
    real scene of its record, of colours in [0, 1].
    """
    size, texts = model.image_size, [p.text for p in prompts]
    small = GLIDE(model.base, None, model.tokenizer, model.words)
    base = drawn(small, texts, how)
    real = draw([p.record for p in prompts], size)
    pictures = {
        "real scenes": real,
        "two stages": drawn(model, texts, how),
        "one stage": drawn(control, texts, how),
        "base, enlarged": F.interpolate(base, (size, size), mode="bilinear"),
    }
    models = {"two stages": model, "one stage": control, "base, enlarged": model}
    rows, verdicts = [], []
    for way, images in pictures.items():
        found = judged(judge, images, prompts)
        more = mean_of(COLOUR, mean_colour(images, real))
        if way in models:
            parts = [getattr(models[way], name) for name in SPENT[way]]
            number = sum(p.numel() for part in parts for p in part.parameters())
            more["million parameters"] = round(number / 1e6, 2)
        if trained and way in trained:
            more["multiplications"] = round(trained[way] / 1e12, 1)
        rows.append(whole_and({"pictures": way}, found, card, "existence") | more)
        verdicts.append(found)
    return Claim(
        about=first_sentence(stages),
        names=("pictures",),
        more=("existence", COLOUR, "million parameters", "multiplications"),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(pictures.values()), dim=1),
        verdicts=ways(verdicts),
        texts=texts,
        heads=["real", "two stages", "one stage", "enlarged"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler}",
        settings=asdict(how),
        size=size,
    )
