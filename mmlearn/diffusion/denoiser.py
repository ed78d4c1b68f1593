"""denoise(x_t, t) → x0: all that a sampler needs to know about a network.

    text = halves(encode(prompts), encode([""] * n), guidance)     # once per prompt
    denoise = Denoiser(lambda x, t: unet(x, t, text), schedule, "v", guidance=guidance)

What the network predicts, how it is guided, and whether its picture is thresholded are
hidden here. Any function of (x_t, t) that gives x0 serves the samplers as well, and
a `Denoiser` can be wrapped by one: to keep what is known of a picture, say.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmlearn.diffusion.checks import (
    check_choice,
    check_guidance,
    check_images,
    check_t,
)
from mmlearn.diffusion.guidance import guided
from mmlearn.diffusion.predictions import PREDICTIONS, convert, eps_from_x0
from mmlearn.diffusion.schedule import Schedule
from mmlearn.diffusion.variance import split


class Prediction(NamedTuple):
    """What a network has to say about x_t; each (n, c, …).

    x0: the picture. eps: the noise that goes with it, after any thresholding, so that
    x_t = α x0 + σ eps holds. between: where the learned variance lies from β̃ (−1) to
    β (1), for `log_variance`; None where it is not learned.
    """

    x0: Tensor
    eps: Tensor
    between: Tensor | None


class Denoiser:
    """A network as a function from (x_t, t) to x0.

    network(x_t, t): with x_t (n, c, …) and t (n,), gives (n, c, …), or 2c channels with
        learned_variance. Guided (neither 0 nor 1), it is called with 2n rows: see
        `guidance`. Text and other conditions are its own affair.
    schedule: the one that the network was trained with; only samplers take fewer steps.
    predicts: "eps", "x0" or "v".
    threshold: a function of x0, `static_threshold` or `dynamic_threshold`; None for
        latents.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[Tensor, Tensor], Tensor],
        schedule: Schedule,
        predicts: str = "eps",
        *,
        guidance: float = 1.0,
        threshold: Callable[[Tensor], Tensor] | None = None,
        learned_variance: bool = False,
    ):
        check_choice("the prediction", predicts, PREDICTIONS)
        check_guidance(guidance)
        if not torch.equal(schedule.timesteps, torch.arange(schedule.T)):
            raise ValueError(
                "a denoiser needs the schedule that the network was trained with, not "
                "a respaced one; give that to the sampler."
            )
        if threshold is not None and not callable(threshold):
            raise ValueError(
                "threshold must be a function of x0, such as dynamic_threshold, or "
                f"None, not {threshold!r}."
            )
        self.network, self.schedule, self.predicts = network, schedule, predicts
        self.guidance, self.threshold = guidance, threshold
        self.learned_variance = learned_variance

    def __call__(self, x_t: Tensor, t: int | Tensor) -> Tensor:
        """x0 (n, c, …) from x_t (n, c, …) at t, a number or one for each picture."""
        return self.predict(x_t, t).x0

    def predict(self, x_t: Tensor, t: int | Tensor) -> Prediction:
        """x0, and what else the network says."""
        check_images(x_t)
        check_t(t, self.schedule.T, len(x_t))
        level = self.schedule.level(t, x_t)
        if isinstance(t, int):
            t = torch.full([len(x_t)], t, device=x_t.device)
        output = guided(self.network, x_t, t, self.guidance).to(x_t.dtype)
        output, between = split(output, x_t.shape[1], self.learned_variance)
        x0 = convert(output, self.predicts, "x0", x_t, *level)
        if self.threshold is not None:
            x0 = self.threshold(x0)
        return Prediction(x0, eps_from_x0(x_t, x0, *level), between)
