"""Latents: how large they should be, and which of them are known.

Diffusion mixes what it is given with noise of variance 1, and its schedule says how
much of each. An autoencoder's latents have whatever spread they like (Stable
Diffusion's a standard deviation of 5.49), and without a correction they would drown
the noise nearly to the end. So latents are multiplied by

    scale = 1 / std(latents)

measured once, on the first batch of training: Stable Diffusion's famous 0.18215
(Rombach et al. 2022, appendix G). It belongs to one autoencoder. Another one, even of
the same shape, has another.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def measure_scale(latents: Tensor) -> float:
    """1 over the standard deviation of latents (n, c, h, w), over all their numbers.

    latents: as the autoencoder gives them, `vae.encode(images).sample(generator)`, of
    as many pictures as there is room for. ValueError if they are all the same.
    """
    if not isinstance(latents, Tensor) or latents.ndim != 4 or latents.numel() < 2:
        found = tuple(latents.shape) if isinstance(latents, Tensor) else repr(latents)
        raise ValueError(
            f"a scale is measured on latents (n, c, h, w), of two numbers at least; "
            f"not {found}."
        )
    std = latents.detach().double().std().item()
    if not 0 < std < float("inf"):
        raise ValueError(
            f"these latents' standard deviation is {std}: of such there is no scale."
        )
    return 1 / std


def latent_mask(mask: Tensor, factor: int) -> Tensor:
    """A mask (n, 1, h, w) of pixels as one of latents (n, 1, h/factor, w/factor).

    1 where to paint. A latent is known only if all the pixels it stands for are.
    """
    return F.max_pool2d(mask, factor)


def without_hole(images: Tensor, mask: Tensor) -> Tensor:
    """Images (n, 3, h, w), grey where the mask (n, 1, h, w) says to paint.

    The encoder looks far around each latent, and its attention everywhere: what is
    under a hole would leak into what is known.
    """
    return images * (1 - mask)


def composed(painted: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """What was painted (n, 3, h, w) within the mask, and the images elsewhere.

    A decoder does not give back known pixels as they were: a picture is put together
    after it.
    """
    return torch.where(mask > 0, painted, images)
