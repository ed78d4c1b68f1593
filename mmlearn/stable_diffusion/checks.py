"""What Stable Diffusion refuses, in one sentence each: numbers, pictures, masks."""

import math

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_choice
from mmlearn.diffusion.predictions import PREDICTIONS
from mmlearn.diffusion.schedule import SCHEDULES
from mmlearn.nn.unet_checks import sizes_that_do


def check_config(c) -> None:
    """ValueError unless a `StableDiffusionConfig`'s three networks fit each other."""
    check_choice("predicts", c.predicts, PREDICTIONS)
    check_choice("the schedule", c.schedule, SCHEDULES)
    check_scale(c.scale)
    for name in ("channels_in", "channels_out"):
        if getattr(c.unet, name) != c.vae.latent:
            raise ValueError(
                f"the autoencoder's latents have {c.vae.latent} channels and the "
                f"U-Net's {name} is {getattr(c.unet, name)}: they should be equal."
            )
    if c.unet.text_width != c.text.width:
        raise ValueError(
            f"the text tower's states are {c.text.width} wide and the U-Net reads "
            f"{c.unet.text_width}: they should be equal."
        )
    check_side(c, c.image_size)


def check_scale(scale: float) -> None:
    """ValueError unless a scale of latents is a finite number above 0."""
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not number or not math.isfinite(scale) or scale <= 0:
        raise ValueError(
            "the scale of latents is 1 over their standard deviation, a finite number "
            f"above 0, not {scale!r}."
        )


def check_side(c, side: int) -> None:
    """ValueError unless pictures can have a side of so many pixels."""
    if side < 1 or side % c.unit:
        raise ValueError(
            f"the autoencoder halves pictures down to 1/{c.vae.factor} and the U-Net "
            f"those to 1/{c.unet.unit}: a side of {side} px should be a multiple of "
            f"{c.unit}, such as {sizes_that_do(side, c.unit)}."
        )


def check_tokenizer(tokenizer, c) -> None:
    """ValueError unless there is no tokenizer, or one that fits the text tower."""
    if tokenizer is None:
        return
    if len(tokenizer) != c.vocab:
        raise ValueError(
            f"the vocabulary has {len(tokenizer)} tokens and this text tower was made "
            f"for {c.vocab}."
        )
    if tokenizer.context != c.context:
        raise ValueError(
            f"the tokenizer makes {tokenizer.context} tokens of a text and this text "
            f"tower reads {c.context}: their context should be equal."
        )


def check_images(c, images: Tensor, n: int | None, verb: str) -> None:
    """ValueError unless images are n floats (n, 3, h, w) in [-1, 1] that fit."""
    many = "n" if n is None else n
    expected = f"{verb} expects pictures ({many}, 3, height, width)"
    right = isinstance(images, Tensor) and images.ndim == 4 and images.shape[1] == 3
    if not right or not len(images) or (n is not None and len(images) != n):
        found = tuple(images.shape) if isinstance(images, Tensor) else repr(images)
        each = "" if n is None else ", one for each prompt"
        raise ValueError(f"{expected}{each}, not {found}.")
    for side in images.shape[2:]:
        check_side(c, side)
    if not images.is_floating_point() or not images.abs().max() <= 1.01:
        low, high = images.min().item(), images.max().item()
        raise ValueError(
            f"{expected}, of floats in [-1, 1]; these are {images.dtype} in "
            f"[{low:.3g}, {high:.3g}]."
        )


def check_mask(mask: Tensor, images: Tensor) -> Tensor:
    """The mask as floats (n, 1, h, w); ValueError unless it is of 0 and 1."""
    n, _, *sides = images.shape
    expected = f"a mask should be {tuple(sides)} for all, or {(n, 1, *sides)}"
    fits = (torch.Size(sides), torch.Size((n, 1, *sides)))
    if not isinstance(mask, Tensor) or mask.shape not in fits:
        found = tuple(mask.shape) if isinstance(mask, Tensor) else repr(mask)
        raise ValueError(f"{expected}, not {found}.")
    mask = mask.to(torch.float32)
    if not ((mask == 0) | (mask == 1)).all():
        low, high = mask.min().item(), mask.max().item()
        raise ValueError(
            f"{expected}, of 1 where to paint and 0 where the picture stays; this one "
            f"has other values, in [{low:.3g}, {high:.3g}]."
        )
    return mask.expand(n, 1, *sides)


def check_strength(strength: float) -> None:
    """ValueError unless strength is a number from 0 to 1."""
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not 0 <= strength <= 1:
        raise ValueError(
            "strength should lie between 0 (the picture stays) and 1 (hardly anything "
            f"of it is left), not {strength!r}."
        )


def check_noise(c, noise: Tensor, n: int) -> None:
    """ValueError unless noise is (n, latent, h, w) for pictures of the model's size."""
    shape = (n, c.vae.latent, c.latent_size, c.latent_size)
    if not isinstance(noise, Tensor) or noise.shape != shape:
        found = tuple(noise.shape) if isinstance(noise, Tensor) else repr(noise)
        raise ValueError(
            f"noise should be {shape}, from N(0, 1), one for each prompt; not {found}."
        )
    if not noise.is_floating_point() or not noise.isfinite().all():
        raise ValueError("noise should be finite floats.")


def check_still(sampler: str) -> None:
    """ValueError for a sampler that adds noise, between whose pictures nothing lies."""
    if sampler == "ddpm":
        raise ValueError(
            'interpolate goes from one start to another, and "ddpm" adds other noise '
            'at every step: sampler should be "ddim" or "dpmpp_2m".'
        )
