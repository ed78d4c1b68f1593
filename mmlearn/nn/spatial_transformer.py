"""Where words meet the picture in Stable Diffusion: a transformer over a U-Net's grid.

Every place of the grid is a token. Three sublayers, each on a residual path behind a
layer norm (Rombach et al. 2022, arXiv 2112.10752, section 3.3 and table 15):

    self-attention     places ask places
    cross-attention    places ask words:  softmax(Q Kᵀ / √d) V,  Q of the picture,
                       K and V of the text
    feed-forward       four times as wide, gated (GEGLU, Shazeer 2020)

In GLIDE words and pixels share one softmax (`pixel_attention`). Here the words have a
softmax to themselves, so that the attention which every place pays to every word can be
read off, and changed, without touching the rest.

Queries, keys and values have no bias; GELU is the exact one; the group norm before all
of it has an ε of 1e-6, where the residual blocks' have 1e-5. Stable Diffusion 1 stores
the linear maps before and after as convolutions of one place and 2 as what they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn.pixel_attention import KeysValues
from mmlearn.nn.resblock import GroupNorm, zero

WIDER = 4  # the feed-forward, than the rest


class CrossAttention(nn.Module):
    """Queries from x (n, t, width); keys and values from a source, given or x itself.

    source_width: of the source's vectors; None for x as its own source.
    """

    def __init__(self, width: int, heads: int, source_width: int | None = None):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(source_width or width, width, bias=False)
        self.v = nn.Linear(source_width or width, width, bias=False)
        self.out = nn.Linear(width, width)

    def read(self, source: Tensor) -> KeysValues:
        """The keys and values of a source (n, words, source_width)."""
        k, v = self.k(source), self.v(source)
        return k.unflatten(2, (self.heads, -1)), v.unflatten(2, (self.heads, -1))

    def weights(self, x: Tensor, kv: KeysValues | None = None) -> Tensor:
        """How much each of x's places looks at each key: (n, heads, t, keys), sum 1.

        Only to be looked at: `forward` never stores this matrix.
        """
        k, _ = self.read(x) if kv is None else kv
        q = self.q(x).unflatten(2, (self.heads, -1))
        scores = torch.einsum("nthd,nshd->nhts", q, k) * k.shape[3] ** -0.5
        return scores.softmax(dim=3)

    def forward(self, x: Tensor, kv: KeysValues | None = None) -> Tensor:
        """x (n, t, width) to the same; kv: of `read`, where it does not read x."""
        k, v = self.read(x) if kv is None else kv
        q = self.q(x).unflatten(2, (self.heads, -1))  # (n, t, heads, head_width)
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """x (n, t, width) to the same: half of what is computed gates the other half."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * WIDER * width)
        self.fc2 = nn.Linear(WIDER * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h, gate = self.fc1(x).chunk(2, dim=2)
        return self.fc2(h * F.gelu(gate))


class SpatialTransformer(nn.Module):
    """x (n, width, h, w) to the same, told what the words say; starts as the identity.

    number: which of its net's transformers this is, so that it finds its own keys and
    values at text_kv[number]; the net counts them. emb, when it is, is for the blocks.
    """

    def __init__(self, width: int, heads: int, text_width: int, groups: int = 32):
        super().__init__()
        self.number = 0
        self.norm = GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        self.ln_1 = nn.LayerNorm(width)
        self.self_attention = CrossAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.cross_attention = CrossAttention(width, heads, text_width)
        self.ln_3 = nn.LayerNorm(width)
        self.feed_forward = GEGLU(width)
        self.proj_out = zero(nn.Linear(width, width))

    def read(self, text: Tensor) -> KeysValues:
        """The keys and values of words (n, words, text_width).

        They do not depend on the picture: a sampler makes them once for all its steps.
        """
        return self.cross_attention.read(text)

    def forward(self, x: Tensor, emb: object, text_kv: list[KeysValues]) -> Tensor:
        n, width, h, w = x.shape
        y = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))  # (n, h w, width)
        y = y + self.self_attention(self.ln_1(y))
        y = y + self.cross_attention(self.ln_2(y), text_kv[self.number])
        y = y + self.feed_forward(self.ln_3(y))
        return x + self.proj_out(y).transpose(1, 2).reshape(n, width, h, w)
