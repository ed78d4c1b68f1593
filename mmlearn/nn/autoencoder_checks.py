"""What an autoencoder refuses, in one sentence each: sizes, pictures, latents."""

from torch import Tensor

from mmlearn.nn.unet_checks import sizes_that_do


def check_config(c) -> None:
    """ValueError unless an `AutoencoderConfig`'s numbers fit each other."""
    for name in ("width", "blocks", "channels", "latent", "groups"):
        if getattr(c, name) < 1:
            raise ValueError(f"{name} should be at least 1, not {getattr(c, name)}.")
    if not c.multiples or min(c.multiples) < 1:
        raise ValueError(
            f"multiples are one whole number for each level, not {c.multiples}."
        )
    for width in c.widths:
        if width % c.groups:
            raise ValueError(
                f"a level of {width} channels cannot be normalised in {c.groups} "
                "groups of the same size: change width, multiples or groups."
            )


def check_pictures(c, images: Tensor, in_range: bool) -> None:
    """ValueError unless images are floats (n, channels, h, w) that can be halved.

    in_range: they should also lie in [-1, 1], which makes a GPU wait to be asked.
    """
    expected = f"this autoencoder expects floats (n, {c.channels}, height, width)"
    if images.ndim != 4 or images.shape[1] != c.channels or not len(images):
        raise ValueError(f"{expected}; these images are {tuple(images.shape)}.")
    if not images.is_floating_point():
        raise ValueError(f"{expected} in [-1, 1]; these images are {images.dtype}.")
    for side in images.shape[2:]:
        if side < 1 or side % c.factor:
            raise ValueError(
                f"one latent stands for {c.factor} × {c.factor} pixels: a side of "
                f"{side} px should be a multiple of {c.factor}, such as "
                f"{sizes_that_do(side, c.factor)}."
            )
    if in_range and not images.is_meta and not images.abs().max() <= 1.01:
        low, high = images.min().item(), images.max().item()
        raise ValueError(
            f"{expected} in [-1, 1]; these lie in [{low:.3g}, {high:.3g}]."
        )


def check_latents(c, z: Tensor) -> None:
    """ValueError unless z are floats (n, latent, h, w)."""
    expected = f"this autoencoder decodes floats (n, {c.latent}, height, width)"
    if z.ndim != 4 or z.shape[1] != c.latent or not z.numel():
        raise ValueError(f"{expected}; these latents are {tuple(z.shape)}.")
    if not z.is_floating_point():
        raise ValueError(f"{expected}; these latents are {z.dtype}.")
