"""Where the pixels look: how much of their attention goes to each word (4.1).

    shares = text_shares(glide.base, x_t, t, tokens)   # (n, context, 8, 8)

One softmax runs over words and pixels, so a pixel's shares of all words add up to
something between 0 and 1: what is left, it spends on other pixels.
"""

import torch
from torch import Tensor

from mmlearn.glide.stage import TextUNet


@torch.no_grad()
def text_shares(
    stage: TextUNet, x_t: Tensor, t: int, tokens: Tensor, layer: int = -1
) -> Tensor:
    """Each token's share of each place's attention: (n, context, rows, columns).

    x_t (n, 3, h, w), tokens (n, context), padding included. layer: which of the U-Net's
    attentions, in the order down, middle, up; the mean over its heads. Raises
    ValueError for a stage without attention, or for an upsampler, and IndexError for a
    layer it has not.
    """
    attentions = stage.unet.attentions
    if not attentions or stage.config.upsamples:
        raise ValueError("attention maps are of a base that has attention.")
    attention, said, seen = attentions[layer], stage.read(tokens), []
    # The layer's input is known only inside the U-Net: watch it pass.
    hook = attention.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        stage.guess(x_t, torch.full([len(x_t)], t, device=x_t.device), said)
    finally:
        hook.remove()
    pixels = attention.norm(seen[0]).flatten(2).transpose(1, 2)  # (n, places, width)
    qkv = attention.qkv(pixels).unflatten(2, (3, attention.heads, -1))
    q, k, _ = qkv.unbind(2)  # each (n, places, heads, d)
    words = said.text_kv[attention.number][0]
    fit = torch.einsum("nqhd,nkhd->nhqk", q, torch.cat([words, k], dim=1))
    shares = (fit / q.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)
    of_words = shares[:, :, : words.shape[1]].transpose(1, 2)
    return of_words.unflatten(2, seen[0].shape[2:])
