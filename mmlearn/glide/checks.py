"""What GLIDE refuses, in one sentence each: numbers, pictures, masks."""

from collections.abc import Collection

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_choice
from mmlearn.diffusion.predictions import PREDICTIONS
from mmlearn.nn.unet_checks import check_halving


def check_stage(c) -> None:
    """ValueError unless a `StageConfig`'s numbers of the text fit each other."""
    for name in ("vocab", "context", "text_width", "text_layers", "text_heads"):
        if getattr(c, name) < 1:
            raise ValueError(f"{name} should be at least 1, not {getattr(c, name)}.")
    check_choice("predicts", c.predicts, PREDICTIONS)
    if c.patch < 1 or c.image_size % c.patch:
        raise ValueError(
            f"pictures of {c.image_size} px cannot be cut into patches of {c.patch}."
        )
    if c.on_top and (c.predicts != "x0" or not c.upsamples):
        raise ValueError(
            "on_top adds to the small picture, enlarged: it is for an upsampler that "
            "predicts x0."
        )
    if c.text_width % c.text_heads:
        raise ValueError(
            f"text_width {c.text_width} cannot be cut into {c.text_heads} heads of the "
            "same width."
        )


def check_two(base, upsampler) -> None:
    """ValueError unless the configs are of a base and of an upsampler that fits it."""
    if base.upsamples:
        raise ValueError(
            "this base is an upsampler: the first stage starts from words alone."
        )
    if upsampler is None:
        return
    if not upsampler.upsamples:
        raise ValueError(
            "this upsampler takes no small picture: its config should have "
            "upsamples=True."
        )
    if upsampler.image_size < base.image_size:
        raise ValueError(
            f"an upsampler to {upsampler.image_size} px cannot enlarge pictures of "
            f"{base.image_size} px."
        )
    for name in ("vocab", "context"):
        here, there = (getattr(c, name) for c in (base, upsampler))
        if here != there:
            raise ValueError(
                f"both stages read the same tokens: their {name} should be equal, not "
                f"{here} and {there}."
            )


def check_tokenizer(tokenizer, vocab: int) -> None:
    """ValueError unless there is no tokenizer, or one of `vocab` ids."""
    if tokenizer is not None and len(tokenizer) != vocab:
        raise ValueError(
            f"the vocabulary has {len(tokenizer)} tokens and this GLIDE was made for "
            f"{vocab}."
        )


def check_pictures(c, x: Tensor, low_res: Tensor | None, known: Tensor | None) -> None:
    """ValueError unless a stage is given the pictures that it looks at."""
    if x.ndim != 4 or x.shape[1] != 3 or not len(x):
        raise ValueError(
            f"GLIDE works on pictures (n, 3, height, width); these are "
            f"{tuple(x.shape)}."
        )
    for side in x.shape[2:]:
        check_halving(side, c.unet.unit * c.patch)
    if c.upsamples != (low_res is not None):
        wrong = "an upsampler needs" if c.upsamples else "only an upsampler takes"
        raise ValueError(f"{wrong} low_res, a small picture for each to be enlarged.")
    if low_res is not None and (low_res.ndim != 4 or low_res.shape[:2] != x.shape[:2]):
        raise ValueError(
            f"low_res should be small pictures ({len(x)}, 3, height, width), not "
            f"{tuple(low_res.shape)}."
        )
    if known is None:
        return
    if not c.inpaints:
        raise ValueError(
            "this stage was not made for inpainting, and takes no known pixels: "
            "for_inpainting() makes one that does."
        )
    if known.shape != (len(x), 4, *x.shape[2:]):
        raise ValueError(
            f"known should be what known_part(images, mask) returns, "
            f"{(len(x), 4, *x.shape[2:])}, not {tuple(known.shape)}."
        )


def check_stages(stages: dict | None, options: Collection[str]) -> dict:
    """What was asked of the upsampler; ValueError for unknown stages and options."""
    for name in stages or {}:
        if name != "upsampler":
            raise ValueError(
                f'stages may say how the "upsampler" is sampled, not {name!r}; the '
                "base has generate's own arguments."
            )
    asked = dict((stages or {}).get("upsampler") or {})
    for name in asked:
        check_choice("an option of the upsampler", name, options)
    return asked


def check_given(images: Tensor, n: int, size: int) -> None:
    """ValueError unless images are floats (n, 3, size, size) in [-1, 1]."""
    expected = f"inpaint expects a picture for each prompt, ({n}, 3, {size}, {size})"
    if not isinstance(images, Tensor) or images.shape != (n, 3, size, size):
        found = tuple(images.shape) if isinstance(images, Tensor) else repr(images)
        raise ValueError(f"{expected}, not {found}.")
    if not images.is_floating_point() or not images.abs().max() <= 1.01:
        low, high = images.min().item(), images.max().item()
        raise ValueError(
            f"{expected}, of floats in [-1, 1]; these are {images.dtype} in "
            f"[{low:.3g}, {high:.3g}]."
        )


def check_mask(mask: Tensor, n: int, size: int) -> Tensor:
    """The mask as (n, 1, size, size) floats; ValueError unless it is of 0 and 1."""
    expected = f"a mask should be ({size}, {size}) for all, or ({n}, 1, {size}, {size})"
    if not isinstance(mask, Tensor) or mask.shape not in (
        (size, size),
        (n, 1, size, size),
    ):
        found = tuple(mask.shape) if isinstance(mask, Tensor) else repr(mask)
        raise ValueError(f"{expected}, not {found}.")
    mask = mask.to(torch.float32)
    if not ((mask == 0) | (mask == 1)).all():
        low, high = mask.min().item(), mask.max().item()
        raise ValueError(
            f"{expected}, of 1 where to paint and 0 where the picture stays; this one "
            f"has other values, in [{low:.3g}, {high:.3g}]."
        )
    return mask.expand(n, 1, size, size)
