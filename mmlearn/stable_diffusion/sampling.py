"""How latents are sampled: noise and words in, latents out.

The sampler never sees a pixel. Words are read once, their keys and values kept for all
steps; the half with the prompt and the half without go through the U-Net as one batch.
Latents have no range, so nothing is thresholded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mmlearn import diffusion
from mmlearn.diffusion import Denoiser, Schedule, evenly_spaced, halves
from mmlearn.diffusion.checks import check_choice, check_count, check_guidance
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.stable_diffusion.checks import check_strength


@dataclass(frozen=True)
class Sampling:
    """How latents are sampled.

    steps: how many, evenly spaced over the schedule. guidance: s in ε_u + s (ε_c − ε_u)
    (1 is off). sampler: "ddpm", "ddim" or "dpmpp_2m".
    strength: which share of the steps is taken, the last of them: 1, all of them, from
    noise; less, from a picture to which as much noise was added as the first step taken
    expects (SDEdit, Meng et al. 2021, arXiv 2108.01073).
    callback(step, t, x_t, x0): sees each step of each batch, in latents.
    """

    steps: int = 20
    guidance: float = 3.0
    sampler: str = "dpmpp_2m"
    strength: float = 1.0
    callback: Callable | None = None

    def __post_init__(self):
        check_choice("the sampler", self.sampler, diffusion.SAMPLERS)
        check_guidance(self.guidance)
        check_count("steps", self.steps, 1000)
        check_strength(self.strength)

    @property
    def count(self) -> int:
        """How many steps are taken."""
        return round(self.strength * self.steps)

    def short(self, schedule: Schedule) -> Schedule:
        """Those of a schedule's steps that are taken; there must be one."""
        return schedule.respaced(evenly_spaced(schedule.T, self.steps)[: self.count])


class Words(NamedTuple):
    """What a batch is told: distinct texts, and which of them each row reads.

    states: (m, t, width). places: (n,), or (2n,) when guided, the prompts' half first.
    """

    states: Tensor
    places: Tensor


class Known(NamedTuple):
    """What is known of latents (n, c, h, w), and where to paint (n, 1, h, w), of 1."""

    latents: Tensor
    mask: Tensor

    def put_back(self, z: Tensor) -> Tensor:
        """z with what is known in its place."""
        return torch.where(self.mask > 0, z, self.latents)


def distinct(
    tokens: Tensor, without: Tensor, guidance: float, read: Callable[[Tensor], Tensor]
) -> Words:
    """What captions (n, t) say, and what is said without them (n, t): each text once.

    read(tokens): their states.
    """
    rows, places = halves(tokens, without, guidance).unique(dim=0, return_inverse=True)
    return Words(read(rows), places)


def alone(told: Tensor, untold: Tensor, guidance: float) -> Words:
    """States (n, t, width) of texts and of what is said without them, each row's own.

    For states that no text has, such as those between two.
    """
    rows = halves(told, untold, guidance)
    return Words(rows, torch.arange(len(rows), device=rows.device))


@torch.no_grad()
def draw(
    unet: LatentUNet,
    schedule: Schedule,
    predicts: str,
    words: Words,
    how: Sampling,
    noise: Tensor,
    generators: Sequence[torch.Generator],
    *,
    start: Tensor | None = None,
    known: Known | None = None,
    see: Callable = lambda *step: None,
) -> Tensor:
    """Latents (n, c, h, w), scaled, as the U-Net was trained on them.

    schedule: the U-Net's own. noise: (n, c, h, w), to start from; more, if the sampler
    wants any, comes from the n generators. start: the latents of pictures, to which the
    noise is added. known: latents that are put back at every step. see(step, t, x_t,
    x0): sees each step.
    """
    if how.count == 0:  # of strength 0: nothing is changed
        return start
    text_kv = [(k[words.places], v[words.places]) for k, v in unet.read(words.states)]
    denoise = Denoiser(
        lambda x, t: unet(x, t, text_kv=text_kv),
        schedule,
        predicts,
        guidance=how.guidance,
        threshold=known and known.put_back,
    )
    short, x = how.short(schedule), noise
    t = int(short.timesteps[-1])
    if start is not None:
        x = schedule.add_noise(start, noise, t)
    if known is not None:  # of which the noisiest step shows a little
        noised = schedule.add_noise(known.latents, noise, t)
        x = known._replace(latents=noised).put_back(x)
    walk = diffusion.sampler(how.sampler)
    return walk(denoise, x, short, short.T, generator=generators, callback=see)
