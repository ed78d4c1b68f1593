"""Small autoencoders, trained anew and alike but for one thing, and looked at closely.

    vae = trained(of(config, size, seed), loss, steps, …)
    looked_at(vae, images)        # latents, reconstructions, and what lies between

Trained on the scenes of the recipe `autoencoder`, for fewer steps, with its loss or a
part of it. For `stable_diffusion_trained_autoencoder_breaks` and `…_compression`.
"""

import math
from functools import partial

import torch
from torch import Tensor

from mmlearn.evaluate.stable_diffusion_trained_tools import psnr
from mmlearn.nn.autoencoder import Autoencoder, AutoencoderConfig
from mmlearn.stable_diffusion import config_of
from mmlearn.train.autoencoder_loss import (
    AutoencoderLoss,
    PatchCritic,
    WithCritic,
    perceptual_distance,
)
from mmlearn.train.history import History
from mmlearn.train.recipes.autoencoder import (
    ADAM,
    CRITIC_FROM,
    CRITICS,
    RECIPES,
    Looks,
    batches,
    trained_clip,
)
from mmlearn.train.recipes.glide import Part, run

FAR = 4  # standard deviations: of normal latents 0.006 % lie further out
AT_ONCE = 32  # pictures


def of(config: AutoencoderConfig, size: str, seed: int) -> WithCritic:
    """An untrained autoencoder of these numbers, with a size's critic."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        both = WithCritic(Autoencoder(config), PatchCritic(**CRITICS[size]))
    return both.to(memory_format=torch.channels_last)


def plan(size: str, steps: int) -> Part:
    """The recipe's, for so many steps; the average is shorter, as the run is."""
    recipe = RECIPES[size]
    return Part(
        steps=steps, batch=recipe.batch, lr=recipe.lr, ema=min(recipe.ema, 0.99)
    )


def trained(both: WithCritic, part: Part, size: str, seed: int, **without) -> History:
    """The training: ``history.ema.vae`` is what came of it.

    without: of `AutoencoderLoss`, such as kl_weight=0; perceptual=None leaves the
    perceptual distance out, critic=False the critic.
    """
    options = {"critic_from": math.ceil(CRITIC_FROM * part.steps)} | without
    if not options.pop("critic", True):
        options["critic_from"] = part.steps  # a step that never comes
    if "perceptual" not in options:
        looks = partial(perceptual_distance, Looks(trained_clip()))
        options["perceptual"] = looks
    loss = AutoencoderLoss(**options)
    made = batches(config_of(size), part, seed)
    # The loss is a sum, as large as pictures; Adam does not mind.
    return run(both, loss, made, part, clip=None, seed=seed, **ADAM)


@torch.no_grad()
def latents_of(vae: Autoencoder, images: Tensor) -> Tensor:
    """The most likely latents (n, c, h, w) of images (n, 3, s, s)."""
    return torch.cat([vae.encode(some).mode for some in images.split(AT_ONCE)])


@torch.no_grad()
def decoded(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Pictures (n, 3, s, s) in [-1, 1] of latents."""
    parts = [vae.decode(some) for some in latents.split(AT_ONCE)]
    return torch.cat(parts).clamp(-1, 1)


@torch.no_grad()
def spread(vae: Autoencoder, images: Tensor) -> dict[str, float]:
    """How the latents of images lie: their standard deviation, that of the channel that
    varies most and least, how far the furthest lies out and what share lies beyond
    `FAR`, in standard deviations of its own channel; and how unsure the encoder is.
    """
    z = latents_of(vae, images)
    means, stds = z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3)).clamp(min=1e-12)
    far = (z - means[:, None, None]).abs() / stds[:, None, None]
    unsure = torch.cat([vae.encode(x).std for x in images.split(AT_ONCE)])
    return {
        "std of latents": z.std().item(),
        "std, least channel": stds.min().item(),
        "std, most channel": stds.max().item(),
        "furthest in std": far.max().item(),
        f"beyond {FAR} std": (far > FAR).float().mean().item(),
        "encoder's own std": unsure.mean().item(),
    }


def gradient_energy(images: Tensor) -> Tensor:
    """How much neighbouring pixels of each picture (n, 3, h, w) differ, squared: (n,).

    Blurring takes it away, first of all where there are outlines.
    """
    down, right = images.diff(dim=2), images.diff(dim=3)
    return down.square().mean(dim=(1, 2, 3)) + right.square().mean(dim=(1, 2, 3))


@torch.no_grad()
def kept(images: Tensor, painted: Tensor) -> dict[str, float]:
    """How well pictures come back: the mean PSNR, and their gradients' energy as a part
    of the originals' (below 1: blurred; above: something was added)."""
    sharp = gradient_energy(painted) / gradient_energy(images).clamp(min=1e-8)
    return {
        "PSNR in dB": psnr(painted, images).mean().item(),
        "sharpness": sharp.median().item(),
    }


@torch.no_grad()
def between(vae: Autoencoder, images: Tensor) -> tuple[dict[str, float], Tensor]:
    """What lies halfway between the latents of two pictures: numbers, and the pictures
    (n / 2, 3, 3, s, s): one end, what was decoded halfway, the other end.

    "as a crossfade": the PSNR of what was decoded against the mean of both ends, which
    is high if walking in latents does nothing but fade. "between, returned" and "ends,
    returned": latents are decoded and encoded again, and come back wrong by so much, in
    standard deviations of latents. Where the decoder was never taught what halfway
    means, the first is the larger.
    """
    z = latents_of(vae, images)
    a, b = z[0::2], z[1::2]
    middle = (a + b) / 2
    ends, drawn = decoded(vae, z), decoded(vae, middle)
    first, second = ends[0::2], ends[1::2]
    std = z.std().clamp(min=1e-12)

    def wrong(latents: Tensor, pictures: Tensor) -> float:
        back = latents_of(vae, pictures)
        return ((back - latents).square().mean().sqrt() / std).item()

    energy = (gradient_energy(first) + gradient_energy(second)) / 2
    found = {
        "as a crossfade": psnr(drawn, (first + second) / 2).mean().item(),
        "between, sharpness": (gradient_energy(drawn) / energy.clamp(min=1e-8))
        .median()
        .item(),
        "between, returned": wrong(middle, drawn),
        "ends, returned": wrong(z, ends),
    }
    return found, torch.stack([first, drawn, second], dim=1)
