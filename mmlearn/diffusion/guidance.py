"""Classifier-free guidance: more of what the text adds.

A network trained with its caption dropped now and then can be asked twice, with the
caption (ε_c) and without (ε_u), and one goes further in the direction from the second
to the first:

    ε = ε_u + s (ε_c − ε_u)

This book, GLIDE, Imagen, Stable Diffusion and diffusers all mean this s by "guidance":
1 is off, 0 ignores the text, above 1 exaggerates it. Ho & Salimans (arXiv 2207.12598,
eq. 6) write (1 + w) ε_c − w ε_u, which is the same with w = s − 1: their 0 is our 1.

Whether ε, x0 or v is guided makes no difference, for each is an affine function of the
others and the weights s and 1 − s sum to 1. What is *not* guided is a learned variance:
exaggerating it has no meaning, so its channels are those of the captioned half.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_guidance


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """ε_u + s (ε_c − ε_u)."""
    return unconditional + scale * (conditional - unconditional)


def halves(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """The rows of text (or of anything) that a network guided by `scale` will read.

    Both halves, (n, …) with the text and (n, …) without, go through the network as one
    batch of 2n, in this order; where the scale leaves one of them out, so does this.
    Made once per prompt, like all that can be computed from them. The unconditional
    half may be a negative prompt.
    """
    check_guidance(scale)
    if conditional.shape != unconditional.shape:
        raise ValueError(
            f"both halves must have one shape, not {list(conditional.shape)} and "
            f"{list(unconditional.shape)}."
        )
    if scale in (0, 1):
        return conditional if scale == 1 else unconditional
    return torch.cat([conditional, unconditional])


def guided(
    network: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, t: Tensor, scale: float
) -> Tensor:
    """network(x_t, t), guided: x_t (n, c, …), t (n,) to (n, c, …), or 2c channels.

    The network is called once: with 2n rows, of which the first n are to be read with
    the text, or with n where the scale is 0 or 1 (see `halves`).
    """
    if scale in (0, 1):
        return network(x_t, t)
    both = network(torch.cat([x_t, x_t]), torch.cat([t, t]))
    if len(both) != 2 * len(x_t):
        raise ValueError(
            f"the network gave {len(both)} rows for two halves of {len(x_t)}."
        )
    (mean_c, variance), (mean_u, _) = (
        half.split([x_t.shape[1], half.shape[1] - x_t.shape[1]], dim=1)
        for half in both.chunk(2)
    )
    return torch.cat([guide(mean_c, mean_u, scale), variance], dim=1)
