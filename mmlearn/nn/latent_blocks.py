"""The blocks that Stable Diffusion's autoencoder and its U-Net share.

They are older and plainer than those of `resblock`: when it is comes in by *adding* a
vector to every pixel, not by scaling and shifting (DDPM, Ho et al. 2020, appendix B),
and the grid is halved and doubled between blocks, by convolutions of their own.

Two traps, each of which shows in no error message, only in the numbers:

* the group norms' ε is 1e-5 in the U-Net's residual blocks and 1e-6 wherever the
  autoencoder or a transformer normalises;
* a grid is halved by a convolution of 3 × 3 that takes every second place. The U-Net
  pads it with zeros all around. The autoencoder's encoder pads *right and below* only,
  as in the released code; padded all around, its latents move by half a pixel.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn.resblock import GroupNorm, double

AROUND, RIGHT_BELOW = (1, 1, 1, 1), (0, 1, 0, 1)  # left, right, above, below


class PlainResBlock(nn.Module):
    """x (n, inputs, h, w) to (n, outputs, h, w): norm, SiLU, convolution, twice.

    emb_width: of the vector that says when it is, after its SiLU; None for a block that
    is not told. text_kv is for the transformers, which are called in the same way.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        emb_width: int | None = None,
        groups: int = 32,
        eps: float = 1e-5,
    ):
        super().__init__()
        self.norm1 = GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.emb = nn.Linear(emb_width, outputs) if emb_width else None
        self.norm2 = GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, x: Tensor, emb: Tensor | None = None, text_kv: object = None
    ) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        if self.emb is not None:
            h = h + self.emb(emb)[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class HalvingConv(nn.Module):
    """(n, width, h, w) to (n, width, h/2, w/2); `padding` is AROUND or RIGHT_BELOW."""

    def __init__(self, width: int, padding: tuple[int, ...] = AROUND):
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor, emb: object = None, text_kv: object = None) -> Tensor:
        return self.conv(F.pad(x, self.padding))

    def extra_repr(self) -> str:
        return f"padding={self.padding}"


class DoublingConv(nn.Module):
    """(n, width, h, w) to (n, width, 2h, 2w): each pixel four times, then mixed."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, emb: object = None, text_kv: object = None) -> Tensor:
        return self.conv(double(x))
