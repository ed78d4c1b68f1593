"""When: the timestep t as a vector that every block of a U-Net reads.

The transformer's sinusoids (Vaswani et al. 2017, section 3.5), of t in place of a
position (Ho et al. 2020, appendix B), then a small network. As in the code of ADM
(Dhariwal & Nichol 2021) and GLIDE, the cosines come first, and the frequencies go from
1 down to *almost* 1/10000; other libraries' defaults differ in both, and weights
trained with one order and run with the other give noise without an error.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoids(t: Tensor, width: int) -> Tensor:
    """cos(ωᵢt), then sin(ωᵢt), with ωᵢ = 10000^(-2i/width). t: (n,) to (n, width).

    Always computed in float32: in half precision t = 999 would be t = 1000.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(10_000) * steps / half)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Timesteps (n,), whole or not, to (n, outputs); `width` is of the sinusoids."""

    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.width = width
        self.fc1 = nn.Linear(width, outputs)
        self.fc2 = nn.Linear(outputs, outputs)

    def forward(self, t: Tensor) -> Tensor:
        waves = sinusoids(t, self.width).to(self.fc1.weight.dtype)
        return self.fc2(F.silu(self.fc1(waves)))
