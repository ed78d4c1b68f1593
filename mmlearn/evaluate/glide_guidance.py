"""Led by itself or led by CLIP: what the judge says, and what CLIP says (2.3, 2.4).

CLIP guidance climbs the gradient of a CLIP's score, so of course its pictures score
high with that CLIP. Whether they are right is another question, and so is what a CLIP
thinks of them that took no part. The base alone is led, so its pictures are judged.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import weights
from mmlearn.clip import CLIP
from mmlearn.evaluate.generator_bench import Card, Judges, Settings, by_lot, few, judged
from mmlearn.evaluate.generator_claims import (
    Claim,
    first_sentence,
    mean_of,
    ways,
    whole_and,
)
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools, as_seen, named
from mmlearn.evaluate.prompts import Prompt
from mmlearn.glide import GLIDE, NoisedCLIP
from mmlearn.world.render import draw

FREE, BY_CLIP = (1.5, 3.0, 5.0), (1.0, 3.0, 10.0)  # scales of either guidance
LEADER, OTHER = "the leading CLIP", "another CLIP"


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``python -m mmlearn evaluate glide --only clip-guidance``."""
    leader = weights.find("laptop", "noised-clip")
    noised = NoisedCLIP.from_pretrained(leader)
    other = CLIP.from_pretrained("laptop")
    seen = [p for p in request.prompts if p.split == "seen"]
    prompts = by_lot(few(seen, request.plan.own))
    how = replace(request.how, samples=1, steps=request.plan.led, sampler="ddpm")
    size = tools.model.base.config.image_size
    found = by_leader(
        tools.model,
        noised,
        other,
        prompts,
        tools.judge,
        how,
        card=tools.card_at(size)[0],
    )
    return replace(found, checkpoints=dict([named("noised-clip", leader)]))


def by_leader(
    model: GLIDE,
    noised: NoisedCLIP,
    other: CLIP,
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    free: Sequence[float] = FREE,
    by_clip: Sequence[float] = BY_CLIP,
    card: Card | None = None,
) -> Claim:
    """What leads the base, against what the judge says of its pictures, and against
    what the leading CLIP and another one say.

    A row for nothing, for each scale of classifier-free guidance, and of CLIP guidance
    (at guidance 1); above them real scenes. Whole prompts as `table` has them, the
    share of "existence", and the mean cosine of picture and prompt, with its interval
    over prompts, in the eyes of the noised CLIP, told that there is no noise, and of
    ``other``.
    """
    asked = {("real scenes", None): None, ("nothing", 1.0): {"guidance": 1.0}}
    asked |= {("itself", s): {"guidance": s} for s in free}
    leads = {"guidance": 1.0, "clip": noised}
    asked |= {("CLIP", s): {**leads, "clip_guidance": s} for s in by_clip}
    texts = [p.text for p in prompts]
    size = model.base.config.image_size
    options = {"steps": how.steps, "sampler": "ddpm", "seed": how.seed}
    rows, pictures, verdicts = [], [], []
    for (leader, scale), words in asked.items():
        if words is None:
            images = draw([p.record for p in prompts], size)
        else:
            words = options | words | {"progress": False, "upsample": False}
            images = model.generate(texts, **words).cpu()
        pictures.append(images)
        verdicts.append(judged(judge, images, prompts))
        words = {"led by": leader, "scale": scale}
        row = whole_and(words, verdicts[-1], card, "existence")
        row |= mean_of(LEADER, leading(noised, images, texts))
        rows.append(row | mean_of(OTHER, cosines(other, images, texts)))
    return Claim(
        about=first_sentence(by_leader),
        names=("led by", "scale"),
        more=("existence", LEADER, OTHER),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(pictures, dim=1),
        verdicts=ways(verdicts),
        texts=texts,
        heads=[f"{leader} {scale:g}" if scale else leader for leader, scale in asked],
        how=f"{how.steps} steps of ddpm, the base alone · all pictures of a prompt "
        "start from the same noise",
        settings=asdict(how) | {"guidance": list(free), "clip guidance": list(by_clip)},
        size=size,
    )


@torch.no_grad()
def leading(noised: NoisedCLIP, images: Tensor, texts: Sequence[str]) -> list[float]:
    """The cosine of each picture (n, 3, h, w) and its text, to a noised CLIP at t = 0.

    What its guidance climbs is this, times exp(logit scale).
    """
    zero = torch.zeros(len(images), dtype=torch.long)
    found = noised.similarity(list(texts))(images, zero)
    return (found / noised.logit_scale.exp()).tolist()


@torch.no_grad()
def cosines(clip: CLIP, images: Tensor, texts: Sequence[str]) -> list[float]:
    """The cosine of each picture (n, 3, h, w) and its text, to a CLIP."""
    seen = clip.encode_image(as_seen(images, clip.config.image_size))
    said = clip.encode_text(clip.tokenize(list(texts)))
    return F.cosine_similarity(seen, said).tolist()
