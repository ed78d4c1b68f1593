"""How one stage is sampled: noise and captions in, pictures out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlearn import diffusion
from mmlearn.diffusion import (
    Denoiser,
    Schedule,
    evenly_spaced,
    fast27,
    halves,
    static_threshold,
)
from mmlearn.diffusion.checks import check_choice, check_count, check_guidance
from mmlearn.diffusion.schedule import noise_like
from mmlearn.glide.inpainting import put_back
from mmlearn.glide.stage import PICTURE, TextUNet


@dataclass(frozen=True)
class Sampling:
    """How a stage is sampled; the upsampler's options, as `stages` may give them.

    steps: how many, evenly spaced; or "fast27", the released code's 27 for its
        upsampler, most of them where there is little noise.
    guidance: s in ε_u + s (ε_c − ε_u), 1 is off (2.3). sampler: "ddpm", "ddim" or
        "dpmpp_2m".
    temperature: the first noise is multiplied by it; a little less than 1 makes an
        upsampler's pictures less grainy.
    callback(step, t, x_t, x0): sees each step of each batch.
    """

    steps: int | str = 100
    guidance: float = 3.0
    sampler: str = "ddpm"
    temperature: float = 1.0
    callback: Callable | None = None

    def __post_init__(self):
        check_choice("the sampler", self.sampler, diffusion.SAMPLERS)
        check_guidance(self.guidance)
        if self.steps != "fast27":
            check_count("steps", self.steps, 1000)
        if not isinstance(self.temperature, int | float) or self.temperature <= 0:
            raise ValueError(
                f"temperature must be a number above 0, not {self.temperature!r}."
            )

    @property
    def count(self) -> int:
        """How many steps there are."""
        return 27 if self.steps == "fast27" else self.steps

    def short(self, schedule: Schedule) -> Schedule:
        """Those of a schedule's steps that are taken."""
        if self.steps == "fast27":
            return schedule.respaced(fast27(schedule.T))
        return schedule.respaced(evenly_spaced(schedule.T, self.steps))


# As the released code has them: the upsampler follows its small picture unguided.
UPSAMPLER = Sampling("fast27", 1.0, "ddim", 0.997)
# Where only what is missing from the enlarged picture is drawn, little is left to do,
# and more steps left grains: 8 were chosen by eye from 2, 4, 8 and fast27.
ON_TOP = Sampling(8, 1.0, "ddim", 0.997)


def generator_of(seed: int, place: int, stage: str) -> torch.Generator:
    """The noise of one picture: of the place-th prompt, whatever stands in the others.

    Hashed, because neighbouring seeds should have nothing in common, and PyTorch's
    generators use 32 bits of a seed.
    """
    digest = hashlib.sha256(f"{seed}/{place}/{stage}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def noise_of(seed: int, places: Sequence[int], stage: str) -> list[torch.Generator]:
    """`generator_of` each of these places."""
    return [generator_of(seed, place, stage) for place in places]


def bounded(told: Tensor) -> Tensor:
    """What a stage says (n, 6, h, w), its variance no larger than β, no smaller than β̃.

    Over the 1,000 steps of training both are nearly equal, and a little beyond them may
    be right. Over a few long steps they lie far apart, and what is beyond explodes.
    """
    x, between = told.split(PICTURE, dim=1)
    return torch.cat([x, between.clamp(-1, 1)], dim=1)


@torch.no_grad()
def draw(
    stage: TextUNet,
    tokens: Tensor,
    without: Tensor,
    how: Sampling,
    generators: Sequence[torch.Generator],
    *,
    low_res: Tensor | None = None,
    known: Tensor | None = None,
    wrap: Callable | None = None,
    see: Callable = lambda *step: None,
) -> Tensor:
    """Pictures (n, 3, s, s) in [-1, 1] of captions (n, context), one stage's work.

    without: captions (n, context) to be guided away from, mostly empty ones.
    generators: n, one for each picture. low_res: small pictures, for an upsampler.
    known (n, 4, s, s): pixels to be put back at every step; also shown to a network
    that was made for inpainting. wrap(denoise, schedule=those steps): a denoiser in its
    place, as `ClipGuided` is. see(step, t, x_t, x0): sees each step.
    """
    # Each caption is read once: the empty one is most rows' other half.
    rows, places = halves(tokens, without, how.guidance).unique(
        dim=0, return_inverse=True
    )
    said = stage.read(rows).rows(places)
    beside = [low_res, known if stage.config.inpaints else None]
    times = len(places) // len(tokens)  # 2 when guided, both halves in one batch
    beside = [y if y is None else y.repeat(times, 1, 1, 1) for y in beside]

    def threshold(x0: Tensor) -> Tensor:
        x0 = static_threshold(x0)
        return x0 if known is None else put_back(x0, known)

    schedule = how.short(stage.schedule)
    denoise = Denoiser(
        lambda x, t: bounded(stage.guess(x, t, said, *beside)),
        stage.schedule,
        stage.config.predicts,
        guidance=how.guidance,
        threshold=threshold,
        learned_variance=True,
    )
    if wrap is not None:
        denoise = wrap(denoise, schedule=schedule)
    side = stage.config.image_size
    x = torch.empty(len(tokens), 3, side, side, device=tokens.device)
    x = how.temperature * noise_like(x, generators)
    walk = diffusion.sampler(how.sampler)
    x = walk(denoise, x, schedule, schedule.T, generator=generators, callback=see)
    return x.clamp(-1, 1)
