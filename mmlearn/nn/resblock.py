"""The residual block of diffusion's U-Nets, as ADM has it.

Group norm, SiLU, convolution, twice, around a shortcut ("Identity mappings", He et al.
2016: the norm stands first). What ADM makes of it ("Diffusion models beat GANs",
Dhariwal & Nichol 2021, section 3 and 3.1):

* *when* comes in through the second norm, as a scale and a shift of every channel
  ("adaptive group normalization"; FiLM, Perez et al. 2017);
* the picture is halved or doubled *inside* a block, on both of its paths (BigGAN,
  Brock et al. 2018), so that the net has no other layers that change its size.

As in the released code, and not said in the paper: the scale is 1 + what the network
says, and the last convolution starts at zero, so that every block starts as its
shortcut.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def keep(x: Tensor) -> Tensor:
    """(n, c, h, w) as it is: a block that does not resize."""
    return x


def halve(x: Tensor) -> Tensor:
    """(n, c, h, w) to (n, c, h/2, w/2): the mean of each 2x2."""
    return F.avg_pool2d(x, 2)


def double(x: Tensor) -> Tensor:
    """(n, c, h, w) to (n, c, 2h, 2w): each pixel four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def zero(layer: nn.Module) -> nn.Module:
    """The layer, with weights and bias at zero: what it adds to, it leaves as it is."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class GroupNorm(nn.GroupNorm):
    """PyTorch's, computed in 32 bits at least, and returned in as many as x has.

    The released code does the same. It is also faster on a CPU, where PyTorch's own
    norm is slow in bf16 with channels last.
    """

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        y = F.group_norm(x.to(wide), self.num_groups, weight, bias, self.eps)
        return y.to(x.dtype)


class ResBlock(nn.Module):
    """x (n, inputs, h, w) to (n, outputs, h', w'), told by `emb` when it is.

    emb: (n, emb_width), after its SiLU. resize: `keep`, `halve` or `double`.
    text_kv is for the attention blocks, which are called in the same way.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        emb_width: int,
        groups: int = 32,
        dropout: float = 0.0,
        resize: Callable[[Tensor], Tensor] = keep,
    ):
        super().__init__()
        self.resize = resize
        self.norm1 = GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.film = nn.Linear(emb_width, 2 * outputs)
        self.norm2 = GroupNorm(groups, outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor, text_kv: object = None) -> Tensor:
        h = self.conv1(self.resize(F.silu(self.norm1(x))))
        scale, shift = self.film(emb)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return self.shortcut(self.resize(x)) + self.conv2(self.dropout(h))

    def extra_repr(self) -> str:
        return f"resize={self.resize.__name__}"
