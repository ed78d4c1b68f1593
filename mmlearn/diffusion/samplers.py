"""From noise to picture: three ways, one signature.

    picture = sampler(denoise, x, schedule, steps, generator=generator)

denoise(x_t, t) → x0    a `Denoiser`, or any such function.
x                       where to start: noise (n, c, …), drawn by whoever calls.
schedule                the network's own, or one of its steps (`Schedule.respaced`).
steps                   how many of the schedule's steps to take, evenly spaced.
generator               where noise comes from, or a list, one for each picture; may be
                        None where none is added.
callback(step, t, x_t, x0)   sees each step, 0 … steps − 1, before it is taken.

All end at t = −1, the picture itself, and their last step returns the last x0.

    ddpm        adds noise           undoes the forward process, step by step
    ddim        adds less, or none   same network, longer steps; without noise, an ODE
    dpmpp_2m    adds none            the same ODE to second order: the fewest steps
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_choice, check_count, check_eta, check_images
from mmlearn.diffusion.predictions import eps_from_x0
from mmlearn.diffusion.schedule import (
    Generators,
    Schedule,
    evenly_spaced,
    noise_like,
)
from mmlearn.diffusion.variance import log_variance

Denoise = Callable[[Tensor, int], Tensor]
Callback = Callable[[int, int, Tensor, Tensor], object]


@torch.no_grad()
def ddpm(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    generator: Generators | None = None,
    callback: Callback | None = None,
    variance: str | None = None,
) -> Tensor:
    """Ancestral sampling: DDPM (Ho et al. 2020, arXiv 2006.11239), algorithm 2.

    variance: of each step, "small" (β̃), "large" (β), or "learned", which needs a
        denoiser with learned_variance, and is then what None means; else it is "small".
    """
    knows = getattr(denoise, "learned_variance", False)
    variance = variance or ("learned" if knows else "small")
    check_choice("variance", variance, ("small", "large", "learned"))
    if variance == "learned" and not knows:
        raise ValueError('variance "learned" needs a denoiser with learned_variance.')
    short = shortened(denoise, x, schedule, steps)
    for step, i, t in countdown(short):
        if variance == "learned":
            x0, _, between = denoise.predict(x, t)
            deviation = (log_variance(short, between, i) / 2).exp()
        else:
            x0 = denoise(x, t)
            table = short.posterior_variance if variance == "small" else short.betas
            deviation = table[i].item() ** 0.5
        if callback is not None:
            callback(step, t, x, x0)
        x = short.posterior_mean(x0, x, i)
        if i > 0:
            x = x + deviation * noise_like(x, generator)
    return x


@torch.no_grad()
def ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    generator: Generators | None = None,
    callback: Callback | None = None,
    eta: float = 0.0,
) -> Tensor:
    """DDIM (Song et al. 2020, arXiv 2010.02502), eq. 12, with σ of eq. 16.

    eta: how much noise each step adds, from 0, none, so that one x gives one picture,
        to 1, as much as DDPM.
    """
    check_eta(eta)
    short = shortened(denoise, x, schedule, steps)
    for step, i, t in countdown(short):
        bar, before = levels(short, i)
        x0 = denoise(x, t)
        if callback is not None:
            callback(step, t, x, x0)
        eps = eps_from_x0(x, x0, math.sqrt(bar), math.sqrt(1 - bar))
        sigma = eta * math.sqrt((1 - before) / (1 - bar) * (1 - bar / before))
        x = math.sqrt(before) * x0 + math.sqrt(1 - before - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * noise_like(x, generator)
    return x


@torch.no_grad()
def ddim_invert(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    generator: Generators | None = None,
    callback: Callback | None = None,
    refine: int = 0,
) -> Tensor:
    """From picture to noise: the x from which `ddim` would make this picture.

    DDIM's steps, walked upwards (Song et al. 2020, 4.3; Dhariwal & Nichol 2021,
    arXiv 2105.05233, appendix F). A step down from x_t uses the noise seen in x_t;
    going up, x_t is what we are looking for, so it is seen in x_{t−1} instead, which
    is right for small steps.
    refine: how often to look again, in the x_t just found; each time costs as much as
        the first, and the way back comes closer.
    callback: sees the steps upwards, with the x and t that the denoiser is asked about.
    """
    check_count("refine", refine, least=0)
    short = shortened(denoise, x, schedule, steps)
    for i, t in enumerate(short.timesteps.tolist()):
        bar, before = levels(short, i)
        found = x
        for _ in range(refine + 1):
            seen, x0 = found, denoise(found, t)
            eps = eps_from_x0(seen, x0, math.sqrt(bar), math.sqrt(1 - bar))
            clean = (x - math.sqrt(1 - before) * eps) / math.sqrt(before)
            found = math.sqrt(bar) * clean + math.sqrt(1 - bar) * eps
        if callback is not None:
            callback(i, t, seen, x0)
        x = found
    return x


@torch.no_grad()
def dpmpp_2m(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    steps: int,
    *,
    generator: Generators | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095), algorithm 2.

    A step solves the linear part of DDIM's equation exactly, and guesses how x0 will
    move on from how it has moved since the step before. The first step has none before
    it, and the last, to a picture without noise, is infinitely long in λ = ln(α/σ):
    both are of first order, which is DDIM. (With Stable Diffusion's schedule, in which
    small t hold much noise, most of the error is made by that last step.)
    """
    short = shortened(denoise, x, schedule, steps)
    x0_before = h_before = None
    for step, i, t in countdown(short):
        bar, before = levels(short, i)
        h = half_log_snr(before) - half_log_snr(bar)
        x0 = denoise(x, t)
        if callback is not None:
            callback(step, t, x, x0)
        ahead = x0
        if x0_before is not None and i > 0:
            r = h_before / h
            ahead = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * x0_before
        shrink = math.sqrt((1 - before) / (1 - bar))
        x = shrink * x - math.sqrt(before) * math.expm1(-h) * ahead
        x0_before, h_before = x0, h
    return x


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpmpp_2m": dpmpp_2m}


def sampler(name: str) -> Callable[..., Tensor]:
    """The sampler of this name: `ddpm`, `ddim` or `dpmpp_2m`."""
    check_choice("the sampler", name, SAMPLERS)
    return SAMPLERS[name]


def shortened(denoise: Denoise, x: Tensor, schedule: Schedule, steps: int) -> Schedule:
    """The schedule's `steps` steps, after a look at everything a sampler is given."""
    check_count("steps", steps, schedule.T)
    check_images(x, finite=True)
    trained = getattr(denoise, "schedule", None)
    if trained is not None and not is_part(schedule, trained):
        raise ValueError(
            f"this denoiser was made for {trained}, and the sampler was given "
            f"{schedule}, which is no part of it."
        )
    return schedule.respaced(evenly_spaced(schedule.T, steps))


def is_part(schedule: Schedule, whole: Schedule) -> bool:
    """Whether the one has the other's noise at the timesteps it kept.

    atol: a long step's β rounds to almost 1, and 1 − β keeps few digits.
    """
    kept = schedule.timesteps
    return kept[-1] < whole.T and torch.allclose(
        schedule.alphas_bar, whole.alphas_bar[kept], rtol=1e-9, atol=1e-15
    )


def countdown(schedule: Schedule) -> Iterator[tuple[int, int, int]]:
    """(step, i, t): which step it is, its place in the schedule, the network's t."""
    for step, i in enumerate(reversed(range(schedule.T))):
        yield step, i, int(schedule.timesteps[i])


def levels(schedule: Schedule, i: int) -> tuple[float, float]:
    """(ᾱ_i, ᾱ_{i−1}): where a step begins, and where it ends; at the last, in 1."""
    return schedule.alphas_bar[i].item(), schedule.alphas_bar_before[i].item()


def half_log_snr(bar: float) -> float:
    """λ = ln(α/σ), which rises as noise falls; infinite where there is none."""
    return math.inf if bar == 1 else (math.log(bar) - math.log1p(-bar)) / 2
