"""What a latent U-Net refuses, in one sentence each; the rest is `unet_checks`'."""

from torch import Tensor

from mmlearn.nn.unet_checks import (
    check_one_text,
    check_read,
    check_text,
    check_times,
    sizes_that_do,
)

__all__ = [
    "check_config",
    "check_latents",
    "check_one_text",
    "check_read",
    "check_text",
    "check_times",
]
NUMBERS = ("width", "blocks", "text_width", "channels_in", "channels_out", "groups")


def check_config(c) -> None:
    """ValueError unless a `LatentUNetConfig`'s numbers fit each other."""
    for name in NUMBERS:
        if getattr(c, name) < 1:
            raise ValueError(f"{name} should be at least 1, not {getattr(c, name)}.")
    if not c.multiples or min(c.multiples) < 1:
        raise ValueError(
            f"multiples are one whole number for each level, not {c.multiples}."
        )
    if c.width % 2:
        raise ValueError(
            f"half the sinusoids are cosines: width {c.width} should be even."
        )
    if (c.heads is None) == (c.head_width is None):
        raise ValueError(
            "give heads, how many every attention has, or head_width, how wide every "
            f"head is, and None for the other; not {c.heads} and {c.head_width}."
        )
    if (c.heads or c.head_width) < 1:
        raise ValueError(
            f"heads and head_width are whole numbers from 1, not {c.heads} and "
            f"{c.head_width}."
        )
    grids = [2**level for level in range(len(c.multiples))]
    for coarse in c.attention_at:
        if coarse not in grids:
            raise ValueError(
                f"attention_at {coarse} is none of this U-Net's grids, which are "
                f"{', '.join(map(str, grids))} times as coarse as the first."
            )
    for width in c.widths:
        if width % c.groups:
            raise ValueError(
                f"a level of {width} channels cannot be normalised in {c.groups} "
                "groups of the same size: change width, multiples or groups."
            )
    attend = [c.widths[grids.index(coarse)] for coarse in c.attention_at]
    for width in [*attend, c.widths[-1]]:  # and the middle
        if width % (c.heads or c.head_width):
            heads = f"{c.heads} heads" if c.heads else f"heads {c.head_width} wide"
            raise ValueError(
                f"attention over {width} channels cannot be cut into {heads}."
            )


def check_latents(c, x: Tensor) -> None:
    """ValueError unless x is (n, channels_in, h, w) of sides that can be halved."""
    if x.ndim != 4 or x.shape[1] != c.channels_in or not len(x):
        raise ValueError(
            f"this U-Net expects latents (n, {c.channels_in}, height, width); these "
            f"are {tuple(x.shape)}."
        )
    for side in x.shape[2:]:
        if side < 1 or side % c.unit:
            raise ValueError(
                f"this U-Net halves its grid down to 1/{c.unit}: a side of {side} "
                f"latents should be a multiple of {c.unit}, such as "
                f"{sizes_that_do(side, c.unit)}."
            )
