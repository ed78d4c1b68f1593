"""Multi-head attention, the one operation all six models share.

Attention(Q, K, V) = softmax(QKᵀ/√d) V, in `heads` subspaces side by side
("Attention is all you need", Vaswani et al. 2017, section 3.2). The product goes
through PyTorch's `scaled_dot_product_attention`, which picks the fastest kernel of
the device and never stores the attention matrix.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention: queries from ``x``, keys and values from ``source``.

    x: (n, t, width); source: (n, s, source_width), ``x`` itself when not given
    (self-attention). mask: booleans that broadcast to (n, heads, t, s), True where a
    query may look; or numbers added to the scores. causal: position i sees 0..i.
    Give a mask or ask for causal, not both. Returns (n, t, width).
    """

    def __init__(self, width: int, heads: int, source_width: int | None = None):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads.")
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(source_width or width, width)
        self.v = nn.Linear(source_width or width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        source = x if source is None else source
        q, k, v = (
            rearrange(y, "n t (h d) -> n h t d", h=self.heads)
            for y in (self.q(x), self.k(source), self.v(source))
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.out(rearrange(y, "n h t d -> n t (h d)"))
