"""Diffusion: noise, the network that undoes it, and the ways from noise to picture.

    schedule = Schedule.cosine()                     # T = 1,000 steps of noise

    loss = Objective(schedule, "eps")                # calls unet(x_t, t, text)
    mm.train.fit(unet, loss, batches, steps=1000)    # a batch is (images, text)

    text = halves(captioned, empty, 4.0)             # once per prompt
    denoise = Denoiser(                              # (x_t, t) → x0
        lambda x, t: unet(x, t, text),
        schedule, "eps", guidance=4.0, threshold=dynamic_threshold,
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 32, 32, generator=generator)
    images = dpmpp_2m(denoise, x, schedule, 20, generator=generator)

GLIDE, DALL·E 2, Imagen and Stable Diffusion all stand on these files. Read them in this
order: schedule, predictions, objective, guidance, threshold, denoiser, samplers; then
variance. x may be pictures, latents or vectors: (n, channels, …).
"""

from mmlearn.diffusion.denoiser import Denoiser, Prediction
from mmlearn.diffusion.guidance import guide, guided, halves
from mmlearn.diffusion.objective import Objective, loss_by_bin
from mmlearn.diffusion.predictions import (
    PREDICTIONS,
    convert,
    eps_from_v,
    eps_from_x0,
    target,
    v_from_eps,
    v_from_x0,
    x0_from_eps,
    x0_from_v,
)
from mmlearn.diffusion.samplers import (
    SAMPLERS,
    ddim,
    ddim_invert,
    ddpm,
    dpmpp_2m,
    sampler,
)
from mmlearn.diffusion.schedule import (
    SCHEDULES,
    Schedule,
    evenly_spaced,
    fast27,
    in_sections,
)
from mmlearn.diffusion.threshold import dynamic_threshold, static_threshold
from mmlearn.diffusion.variance import log_variance, vlb

__all__ = [
    "PREDICTIONS",
    "SAMPLERS",
    "SCHEDULES",
    "Denoiser",
    "Objective",
    "Prediction",
    "Schedule",
    "convert",
    "ddim",
    "ddim_invert",
    "ddpm",
    "dpmpp_2m",
    "dynamic_threshold",
    "eps_from_v",
    "eps_from_x0",
    "evenly_spaced",
    "fast27",
    "guide",
    "guided",
    "halves",
    "in_sections",
    "log_variance",
    "loss_by_bin",
    "sampler",
    "static_threshold",
    "target",
    "v_from_eps",
    "v_from_x0",
    "vlb",
    "x0_from_eps",
    "x0_from_v",
]
