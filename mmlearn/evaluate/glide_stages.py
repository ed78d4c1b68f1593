"""Two stages or one: what an upsampler saves, at the same parameters and compute (4.1).

    python -m mmlearn evaluate glide --only stages

Nothing that is shipped is compared. A base with an upsampler and one bigger network are
trained for this (`mmlearn.evaluate.glide_stages_training`), from one seed, on the
chapter's lesson, and asked for new scenes of it. A third row enlarges the base's
pictures without any network: what two stages have beyond it is the upsampler's.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    drawn,
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
from mmlearn.evaluate.glide_stages_training import Rivals, trained
from mmlearn.evaluate.prompts import Prompt
from mmlearn.evaluate.scene_prompts import scene_prompts
from mmlearn.glide import GLIDE
from mmlearn.train.recipes.glide_lesson import GRAMMAR
from mmlearn.world.render import draw

COLOUR = "mean-colour error"
MOST = 64  # about as many different captions do the lesson's few words make
PARTS = {  # that a picture passes through, for each way
    "two stages": ("base", "upsampler"),
    "one stage": ("one stage",),
    "base, enlarged": ("base",),
}


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only stages``.

    What is trained is the laptop's size at every size but smoke. ``--seed`` is of the
    training too. More prompts than for other claims, since ways may be close.
    """
    how = replace(request.how, samples=1)
    prompts = asked(min(2 * request.plan.own, MOST))
    rivals = trained("smoke" if request.size == "smoke" else "laptop", how.seed)
    card = tools.card_at(rivals.two.image_size)[0]
    return stages(rivals, prompts, tools.judge, how, card)


def asked(n: int) -> list[Prompt]:
    """``n`` new scenes of the lesson's grammar, all captions different, by lot."""
    return by_lot(scene_prompts(GRAMMAR, seen=n, held=0))


def mean_colour(images: Tensor, real: Tensor) -> list[float]:
    """How far each picture's mean colour is from the real scene's, on average over red,
    green and blue, of colours in [0, 1]. Images (n, 3, h, w) in [-1, 1]."""
    apart = images.mean(dim=(2, 3)) - real.mean(dim=(2, 3))
    return (apart.abs().mean(dim=1) / 2).tolist()


def pictures(
    rivals: Rivals, prompts: Sequence[Prompt], how: Settings
) -> dict[str, Tensor]:
    """The real scenes of prompts and each way's pictures: (n, 3, s, s) in [-1, 1].

    The pictures enlarged are those that the upsampler was given: the base's noise
    depends on the seed and the prompt's place alone.
    """
    two, texts = rivals.two, [p.text for p in prompts]
    size = two.image_size
    small = drawn(GLIDE(two.base, None, two.tokenizer, two.words), texts, how)
    return {
        "real scenes": draw([p.record for p in prompts], size),
        "two stages": drawn(two, texts, how),
        "one stage": drawn(rivals.one, texts, how),
        "base, enlarged": F.interpolate(small, (size, size), mode="bilinear"),
    }


def stages(
    rivals: Rivals,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """Right pictures and right colours by two stages, by one network of about as many
    parameters and as many multiplications in training, and by the base's pictures
    enlarged without a network, on the chapter's lesson (one seed: preliminary).

    Whole prompts as `table` has them, the share of "existence", and the "mean-colour
    error" (`mean_colour`) against the real scene of the record, with its interval over
    prompts. Beside them stands what each way costs (`Rivals.costs`).
    """
    made = pictures(rivals, prompts, how)
    rows, verdicts = [], []
    for way, images in made.items():
        found = judged(judge, images, prompts)
        row = whole_and({"pictures": way}, found, card, "existence")
        row |= mean_of(COLOUR, mean_colour(images, made["real scenes"]))
        rows.append(row | (rivals.costs(PARTS[way]) if way in PARTS else {}))
        verdicts.append(found)
    plans = {part: asdict(plan) for part, plan in rivals.plans.items()}
    return Claim(
        asks_model=False,
        about=first_sentence(stages),
        names=("pictures",),
        more=("existence", COLOUR, *rivals.costs(())),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(made.values()), dim=1),
        verdicts=ways(verdicts),
        texts=[p.text for p in prompts],
        heads=["real", "two stages", "one stage", "enlarged"],
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · trained "
        f"from seed {how.seed}",
        settings=asdict(how) | {"trained": plans},
        size=rivals.two.image_size,
    )
