"""Learned variance: how sure the network is of the step it takes.

A step back from x_t to x_{t−1} has a mean, which comes from the predicted x0, and a
variance. DDPM fixes the latter; anything between β̃ (right if the data were one point)
and β (right if they were white noise) can be defended, and with many steps it hardly
matters. With few steps it does. So Nichol & Dhariwal (2021, arXiv 2102.09672, 3.1) let
the network choose, for each pixel, with as many channels again ("6 channels"):

    Σ = exp(f ln β + (1 − f) ln β̃)        (eq. 15, f = (channel + 1) / 2)

The mean squared error does not see Σ; the variational bound does, L_vlb below. GLIDE
and DALL·E 2's decoder do this.
"""

import math

import torch
from torch import Tensor

from mmlearn.diffusion.schedule import Schedule


def split(
    output: Tensor, channels: int, learned_variance: bool
) -> tuple[Tensor, Tensor | None]:
    """A network's output as the prediction, and the variance's channels (or None)."""
    expected = 2 * channels if learned_variance else channels
    if output.ndim < 2 or output.shape[1] != expected:
        given = output.shape[1] if output.ndim > 1 else "no"
        raise ValueError(
            f"the network gave {given} channels for pictures of {channels}; with "
            f"learned_variance={learned_variance} it should give {expected}."
        )
    if not learned_variance:
        return output, None
    return output[:, :channels], output[:, channels:]


def log_variance(schedule: Schedule, between: Tensor, t: int | Tensor) -> Tensor:
    """ln Σ (eq. 15): `between` = 1 gives ln β, −1 gives ln β̃.

    β̃ is 0 at t = 0, where its logarithm is that of t = 1, as in the released code.
    t counts the schedule's own steps; when it is respaced, β and β̃ are the new ones.
    """
    smallest = schedule.posterior_variance.clone()
    smallest[0] = smallest[1] if schedule.T > 1 else schedule.betas[0]
    low = schedule.at(smallest.log(), t, between)
    high = schedule.at(schedule.betas.log(), t, between)
    share = (between + 1) / 2
    return share * high + (1 - share) * low


def vlb(
    schedule: Schedule,
    x0: Tensor,
    x_t: Tensor,
    predicted_x0: Tensor,
    between: Tensor,
    t: Tensor,
) -> Tensor:
    """L_t of the variational bound (DDPM, eq. 5), in bits per dimension: (n,).

    For t > 0, how far the network's step is from the true one, q(x_{t−1} | x_t, x0);
    at t = 0, how many bits an 8-bit picture in [−1, 1] still costs.
    """
    mean = schedule.posterior_mean(predicted_x0, x_t, t)
    log_var = log_variance(schedule, between, t)
    true_mean = schedule.posterior_mean(x0, x_t, t)
    true_log_var = log_variance(schedule, torch.full_like(between, -1), t)

    step = kl(true_mean, true_log_var, mean, log_var).flatten(1).mean(dim=1)
    end = -log_likelihood(x0, mean, log_var).flatten(1).mean(dim=1)
    return torch.where(t == 0, end, step) / math.log(2)


def kl(mean1: Tensor, log_var1: Tensor, mean2: Tensor, log_var2: Tensor) -> Tensor:
    """KL(N₁ ‖ N₂) of two normal distributions, for each element, in nats."""
    ratio = (log_var1 - log_var2).exp()
    distance = (mean1 - mean2).square() * (-log_var2).exp()
    return (ratio + distance - 1 + log_var2 - log_var1) / 2


def log_likelihood(x0: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """ln of the share of N(mean, e^log_var) that rounds to x0 (DDPM, eq. 13), in nats.

    x0 is one of 256 grey values in [−1, 1], 2/255 apart; the outermost two take all
    that lies beyond them.
    """
    scale, half = (-log_var / 2).exp(), 1 / 255
    upper = torch.special.ndtr((x0 + half - mean) * scale)
    lower = torch.special.ndtr((x0 - half - mean) * scale)
    upper = torch.where(x0 > 0.999, torch.ones_like(upper), upper)
    lower = torch.where(x0 < -0.999, torch.zeros_like(lower), lower)
    return (upper - lower).clamp(min=1e-12).log()
