"""The autoencoder's recipe: pictures to latents and back, for Stable Diffusion.

    python -m mmlearn train autoencoder --size laptop

It sees pictures alone, scenes of GLIDE's world, and learns what
`mmlearn.train.autoencoder_loss` says. The perceptual distance is measured by our CLIP's
image tower, in place of a VGG that somebody else trained on photographs. Last of all,
on latents of the finished autoencoder, the scale is measured. What is saved in
``out/model`` is read by `load_autoencoder`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import weights, world
from mmlearn.clip import CLIP
from mmlearn.nn.autoencoder import Autoencoder
from mmlearn.nn.resnet import ResNet
from mmlearn.stable_diffusion import StableDiffusionConfig, config_of, measure_scale
from mmlearn.stable_diffusion.autoencoders import save_autoencoder
from mmlearn.train import distributed
from mmlearn.train.autoencoder_loss import (
    AutoencoderLoss,
    PatchCritic,
    WithCritic,
    perceptual_distance,
)
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.recipes.glide import TAUGHT, Part, run

RECIPES = {
    "smoke": Part(steps=9, batch=4, lr=1e-3, ema=0.9),
    "laptop": Part(steps=7_000, batch=8, lr=1e-3),
    "gpu": Part(steps=20_000, batch=16, lr=4e-4),
}
# A logit of the critic should see a part of a picture, not all of it.
CRITICS = {
    "smoke": {"width": 8, "layers": 1},
    "laptop": {"width": 32, "layers": 2},  # 34 × 34 of 64 × 64 pixels
    "gpu": {"width": 64, "layers": 3},
}
CRITIC_FROM = 2 / 3  # of the steps: before, there is nothing to criticise but blur
# Adam's, as in the released code; its weights do not decay.
ADAM = {"betas": (0.5, 0.9), "weight_decay": 0.0}


def trained_clip() -> CLIP:
    """The shipped CLIP, which is never trained further."""
    try:
        return CLIP.from_pretrained("laptop").requires_grad_(False)
    except weights.WeightsError as error:
        raise weights.WeightsError(
            "Stable Diffusion is trained with the eyes and words of the shipped CLIP, "
            f"and it cannot be read: {error}"
        ) from None


class Looks:
    """How pictures look to a CLIP: the states of its patches after every block.

    looks(images): images (n, 3, h, w) about in [-1, 1] to one (n, patches, width) for
    each block; pictures of another size than the CLIP's are brought to it. The class
    token is left out: it says what is there, and not where.
    """

    def __init__(self, clip: CLIP):
        if isinstance(clip.vision, ResNet):
            raise weights.WeightsError(
                "a perceptual distance is measured by a CLIP that sees patches, and "
                "the image tower of this one is a ResNet"
            )
        self.clip, self.seen = clip, []
        for block in clip.vision.transformer.blocks:
            block.register_forward_hook(lambda *call: self.seen.append(call[-1]))

    def __call__(self, images: Tensor) -> list[Tensor]:
        c = self.clip.config
        if images.shape[-1] != c.image_size:
            images = F.interpolate(
                images, c.image_size, mode="bilinear", antialias=True
            )
        mean = images.new_tensor(c.mean)[:, None, None]
        std = images.new_tensor(c.std)[:, None, None]
        self.seen.clear()
        # Not by `encode_image`, which refuses pictures beyond [-1, 1].
        self.clip.vision(((images + 1) / 2 - mean) / std)
        states, self.seen = self.seen, []
        return [x[:, 1:] for x in states]


def pictures(config: StableDiffusionConfig, n: int, seed: int, index: int, split: str):
    """``n`` scenes (n, 3, s, s) in [-1, 1] of a split: batch number ``index``."""
    grammar = replace(TAUGHT, split=split)
    options = {"start": index * n, "grammar": grammar}
    return world.scenes(n, seed, config.image_size, **options).images


def batches(config: StableDiffusionConfig, part: Part, seed: int) -> Callable:
    """Batch number ``index`` of the run: (pictures, the step). Processes share it."""

    def batch(index: int) -> tuple[Tensor, int]:
        processes = distributed.world()
        n = part.batch // processes
        return pictures(config, n, seed, index, "train"), index // processes

    return batch


def untrained(size: str, seed: int) -> WithCritic:
    """The autoencoder of a size, and its critic."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        both = WithCritic(
            Autoencoder(config_of(size).vae), PatchCritic(**CRITICS[size])
        )
    return both.to(memory_format=torch.channels_last)


def loss_of(clip: CLIP, steps: int) -> Callable:
    """The loss of a run of so many steps.

    At laptop size a step was measured to take 0.25 s of one core; the CLIP, which looks
    at all of the batch's pictures, adds 5 %, and the critic another 20 %.
    """
    looks = partial(perceptual_distance, Looks(clip))
    objective = AutoencoderLoss(looks, critic_from=math.ceil(CRITIC_FROM * steps))

    def loss(model: WithCritic, batch: tuple, generator: torch.Generator):
        total, terms = objective(model, batch, generator)
        if distributed.world() > 1:  # they wait for a gradient of every weight
            total = total + 0 * sum(p.sum() for p in model.critic.parameters())
        return total, terms

    return loss


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train the autoencoder at a size, into ``out``; it is ``out/model`` then.

    Never compiled: that was measured to gain nothing, and the critic's weight asks for
    gradients at one layer, which a compiled network has to go all the way back for.
    """
    options.pop("compile", None)
    part = recipe_of("the autoencoder", size, RECIPES)
    config, steps = config_of(size), options.pop("steps", None) or part.steps
    device = distributed.pick_device(options.get("device"))
    clip = trained_clip().to(device)
    history = run(
        untrained(size, seed),
        loss_of(clip, steps),
        batches(config, part, seed),
        part,
        steps=steps,
        clip=None,  # the loss is a sum, as large as pictures; Adam does not mind
        seed=seed,
        out=out,
        **ADAM,
        **options,
    )
    if distributed.is_main():
        vae = history.ema.vae
        card = card_of("autoencoder", seed, size, history)
        card["scores"] = scores(vae, config)
        saved = save_autoencoder(
            out / "model",
            vae,
            scale=scale_of(vae, config, seed),
            image_size=config.image_size,
            card=card,
            overwrite=True,
        )
        print(f"{saved}: {card['scores']}")


@torch.no_grad()
def scale_of(
    vae: Autoencoder, config: StableDiffusionConfig, seed: int, n: int = 256
) -> float:
    """1 over the standard deviation of the latents of ``n`` scenes of training."""
    lot = torch.Generator().manual_seed(seed)
    images = pictures(config, n, seed, 0, "train")
    drawn = [posterior.sample(lot) for _, posterior in reconstructed(vae, images)]
    return measure_scale(torch.cat(drawn))


@torch.no_grad()
def scores(vae: Autoencoder, config: StableDiffusionConfig, n: int = 256) -> dict:
    """What the card says of reconstructions of ``n`` new scenes, from the most likely
    latents, of values in [0, 1]: the mean of their PSNR, and the mean error.

    Beside them, what one would score that paints every scene in its mean colour.
    Whether things are still themselves is for the judge to say.
    """
    images = pictures(config, n, 5, 0, "test")
    painted = [x.clamp(-1, 1).cpu() for x, _ in reconstructed(vae, images)]
    plain = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    found = {}
    for name, x in (("", torch.cat(painted)), (", of the mean colour", plain)):
        wrong = (x - images).flatten(1) / 2
        psnr = -10 * wrong.square().mean(dim=1).clamp(min=1e-10).log10()
        found[f"PSNR in dB{name}"] = round(psnr.mean().item(), 2)
        found[f"L1{name}"] = round(wrong.abs().mean().item(), 5)
    return found


def reconstructed(vae: Autoencoder, images: Tensor, at_once: int = 32):
    """(pictures, posterior) of images (n, 3, h, w), some at once."""
    weight = vae.latents.weight
    for some in images.split(at_once):
        yield vae(some.to(weight.device))
