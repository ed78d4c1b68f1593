"""The pre-norm transformer: attention and an MLP, each on a residual path.

Layer norm stands *before* each sublayer (Xiong et al. 2020; GPT-2, ViT, CLIP), so
the residual path runs from the first layer to the last without anything in the way.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmlearn.nn.attention import Attention


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702x), the approximation of GELU that OpenAI's CLIP was trained with.

    It differs from the exact GELU by up to 0.02: weights trained with one and run
    with the other still work, a little worse, and nothing says so.
    """
    return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    """Two linear layers, four times as wide between them; each position alone."""

    def __init__(self, width: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class Block(nn.Module):
    """One transformer block. x: (n, t, width) to the same; the rest as `Attention`."""

    def __init__(self, width: int, heads: int, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width, activation)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        x = x + self.attention(self.ln_1(x), mask=mask, causal=causal)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Blocks, one after the other. x: (n, t, width) to the same."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        activation: Callable[[Tensor], Tensor],
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(width, heads, activation) for _ in range(layers)
        )

    def forward(
        self, x: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        for block in self.blocks:
            x = block(x, mask, causal)
        return x
