"""What CLIP refuses, in one sentence each: wrong images, wrong tokens, wrong sizes."""

from collections.abc import Iterable

import torch
from torch import Tensor


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """ValueError unless value is one of the choices, which it names."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")


def check_images(images: Tensor, size: int, in_range: bool) -> None:
    """ValueError unless images are floats (n, 3, size, size), n > 0, in [-1, 1]."""
    expected = f"CLIP expects floats (n, 3, {size}, {size}) in [-1, 1]"
    if images.shape[1:] != (3, size, size) or not len(images):
        raise ValueError(f"{expected}; these images are {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise ValueError(f"{expected}; these images are {images.dtype}.")
    # Asking for the range makes a GPU wait, so training loops are trusted.
    if in_range and not images.is_meta and not images.abs().max() <= 1.01:
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"{expected}; these lie in [{low:.3g}, {high:.3g}].")


def check_tokens(tokens: Tensor, context: int, vocab: int, in_range: bool) -> None:
    """ValueError unless tokens are ids (n, t), n > 0, t ≤ context, below vocab."""
    expected = f"CLIP expects token ids (n, at most {context})"
    if tokens.ndim != 2 or not len(tokens) or not 0 < tokens.shape[1] <= context:
        raise ValueError(f"{expected}; these are {tuple(tokens.shape)}.")
    if tokens.dtype not in (torch.long, torch.int):
        raise ValueError(f"{expected}; these are {tokens.dtype}.")
    if in_range and not tokens.is_meta and not tokens.max() < vocab:
        raise ValueError(
            f"{expected} below {vocab}; one of these is {tokens.max().item()}, "
            "so they come from another vocabulary."
        )


def check_towers(layers: int | tuple[int, ...], patch_size: int | None) -> None:
    """ValueError unless a number of layers has a patch size, and a tuple has none."""
    if isinstance(layers, tuple) and patch_size is not None:
        raise ValueError(
            f"vision_layers {layers} is a ResNet, which has no patches: patch_size "
            f"should be None, not {patch_size}."
        )
    if not isinstance(layers, tuple) and not patch_size:
        raise ValueError(
            f"vision_layers {layers} is a vision transformer, which needs a "
            "patch_size; a ResNet has a tuple, the blocks of its four stages."
        )
