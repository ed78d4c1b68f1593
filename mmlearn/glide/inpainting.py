"""Filling a hole in a picture, by words (4.3).

A trained network is *fine-tuned* for it: regions of training pictures are erased, and
what is left goes in beside x_t, as four more channels: red, green, blue, and which
pixels are known. Their weights start at zero, so that the widened network is at first
the one it was made from. The upsampler sees the small picture whole.

And, as in the released code, each time the network says what the picture is, the known
pixels are put back into it: they come out as they went in.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.glide.stage import KNOWN, PICTURE, TextUNet


def known_part(images: Tensor, mask: Tensor) -> Tensor:
    """What is known of images (n, 3, h, w): (n, 4, h, w), of which the last says where.

    mask (n, 1, h, w) is 1 where there is a hole to be painted, and 0 elsewhere. (The
    released code's mask says what is known, as the fourth channel does here.)
    """
    keep = 1 - mask.to(images.dtype)
    return torch.cat([images * keep, keep], dim=1)


def put_back(x0: Tensor, known: Tensor) -> Tensor:
    """x0 (n, 3, h, w) with the known pixels (n, 4, h, w) in their places."""
    picture, keep = known.split([PICTURE, 1], dim=1)
    return picture + (1 - keep) * x0


def shrunk(images: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Images and mask for a smaller stage: (n, 3, size, size) and (n, 1, size, size).

    A small pixel is known only if all that it covers is: nothing of a hole leaks out.
    """
    small = F.adaptive_avg_pool2d(images, size)
    return small, F.adaptive_max_pool2d(mask, size)


@torch.no_grad()
def widened(stage: TextUNet) -> TextUNet:
    """A copy of a stage that can also be told what is known; nothing else is new.

    The four channels come after x_t, before an upsampler's small picture.
    """
    if stage.config.inpaints:
        raise ValueError("this stage is made for inpainting already.")
    config = replace(stage.config, inpaints=True)
    weight = stage.unet.first.weight  # (width, channels, 3, 3)
    pixels = config.patch**2  # of which each channel of a picture is a channel here
    before, after = weight.tensor_split([PICTURE * pixels], dim=1)
    new = weight.new_zeros(len(weight), KNOWN * pixels, *weight.shape[2:])
    state = stage.state_dict()
    state["unet.first.weight"] = torch.cat([before, new, after], dim=1)
    with torch.device("meta"):
        wide = TextUNet(config)
    state = {name: tensor.clone() for name, tensor in state.items()}
    wide.load_state_dict(state, assign=True)
    return wide.train(stage.training)
