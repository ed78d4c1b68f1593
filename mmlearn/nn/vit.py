"""The vision transformer, as CLIP uses it.

An image is cut into square patches; each becomes one token by a linear map; a
transformer reads them as it would read words ("An image is worth 16x16 words",
Dosovitskiy et al. 2020, section 3.1). CLIP changes one thing: a layer norm *before*
the first block ("Learning transferable visual models", Radford et al. 2021, 2.4).
"""

from collections.abc import Callable

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from mmlearn.nn.transformer import Transformer


class VisionTransformer(nn.Module):
    """Images (n, 3, size, size) to features (n, width), read off the class token."""

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        width: int,
        layers: int,
        heads: int,
        activation: Callable[[Tensor], Tensor],
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"images of {image_size} px cannot be cut into {patch_size} px patches."
            )
        # A linear map of each patch is a convolution that never overlaps itself.
        self.patches = nn.Conv2d(3, width, patch_size, stride=patch_size, bias=False)
        tokens = (image_size // patch_size) ** 2 + 1
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn(tokens, width) * width**-0.5)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, heads, activation)
        self.ln_post = nn.LayerNorm(width)

    def tokens(self, images: Tensor) -> Tensor:
        """Every token after the last block: (n, 1 + patches, width), class first."""
        x = rearrange(self.patches(images), "n w y x -> n (y x) w")
        class_token = repeat(self.class_token, "w -> n 1 w", n=len(x))
        x = torch.cat([class_token, x], dim=1) + self.positions
        return self.transformer(self.ln_pre(x))

    def forward(self, images: Tensor) -> Tensor:
        return self.ln_post(self.tokens(images)[:, 0])
