"""Attention among pixels, which can read a sentence at the same time.

Each pixel asks all pixels, and all words: keys and values made of the text are put
beside those made of the picture, under *one* softmax, so that a pixel's attention goes
to words at the expense of pixels ("GLIDE", Nichol et al. 2021, section 4.1: each
attention layer projects the text's sequence to its own width and concatenates it "to
the attention context"). There is no second, cross-attention layer as Stable Diffusion
has. Heads are 64 wide (Dhariwal & Nichol 2021, section 3 and table 2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn.resblock import GroupNorm, zero

KeysValues = tuple[Tensor, Tensor]  # each (n, words, heads, head_width)


class PixelAttention(nn.Module):
    """x: (n, width, h, w) to the same; starts as the identity.

    text_width: of the words' vectors; None, and it reads no text.
    number: which of its net's attentions this is, so that it finds its own keys and
    values at text_kv[number]; the net counts them.
    """

    def __init__(
        self,
        width: int,
        head_width: int = 64,
        groups: int = 32,
        text_width: int | None = None,
    ):
        super().__init__()
        self.heads, self.number = width // head_width, 0
        self.norm = GroupNorm(groups, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.text_kv = nn.Linear(text_width, 2 * width) if text_width else None
        self.out = zero(nn.Linear(width, width))

    def read(self, text: Tensor) -> KeysValues:
        """The keys and values of words (n, words, text_width).

        They do not depend on the picture: a sampler makes them once for all its steps.
        """
        k, v = self.text_kv(text).unflatten(2, (2, self.heads, -1)).unbind(2)
        return k, v

    def forward(
        self, x: Tensor, emb: Tensor, text_kv: list[KeysValues] | None = None
    ) -> Tensor:
        n, width, h, w = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (n, h w, width)
        qkv = self.qkv(pixels).view(n, h * w, 3, self.heads, -1)
        q, k, v = qkv.unbind(2)  # each (n, h w, heads, head_width)
        if text_kv is not None:
            text_k, text_v = text_kv[self.number]
            k, v = torch.cat([text_k, k], dim=1), torch.cat([text_v, v], dim=1)
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))  # (n, heads, t, head_width)
        y = F.scaled_dot_product_attention(q, k, v)
        y = self.out(y.transpose(1, 2).reshape(n, h * w, width))
        return x + y.transpose(1, 2).view(n, width, h, w)
