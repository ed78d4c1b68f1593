"""The U-Net that pixel diffusion models share: noise and a time in, a guess out.

On the way down the picture's grid shrinks and its channels grow, which asks *what* is
there; on the way up it grows back, and every step hands its result across to the step
that mirrors it, which tells *where* ("U-Net", Ronneberger et al. 2015, figure 1). The
blocks are ADM's (Dhariwal & Nichol 2021, section 3); text comes in as in GLIDE (Nichol
et al. 2021, section 4.1): one vector of it is added to the time's, and its words stand
among the keys and values of every attention.

As in the released code of both: attention follows every block at the resolutions named,
and stands in the middle whatever they are; unless none is named, as in DALL·E 2's
upsamplers, which have no attention at all (Ramesh et al. 2022, section 2.2).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn import unet_checks as check
from mmlearn.nn.pixel_attention import KeysValues, PixelAttention
from mmlearn.nn.resblock import GroupNorm, ResBlock, double, halve, zero
from mmlearn.nn.time_embedding import TimeEmbedding


@dataclass(frozen=True)
class UNetConfig:
    """A U-Net in numbers, as the papers' tables give them.

    image_size: the side, in pixels, for which the resolutions are named; the net takes
    every size that can be halved often enough, with attention at the same levels.
    width: channels of the first level; level i has width * multiples[i], on a grid
    2^i times as coarse. blocks: residual blocks of a level on the way down; there is
    one more on the way up. attention_at: resolutions, e.g. (32, 16, 8).
    channels_out: twice the picture's where the variance is learned.
    text_width: of the words' vectors, None for no text. vector_width: of a vector added
    to the time's, such as a sentence's or a CLIP embedding; None for none.
    """

    image_size: int
    width: int
    multiples: tuple[int, ...]
    blocks: int
    attention_at: tuple[int, ...] = ()
    head_width: int = 64
    channels_in: int = 3
    channels_out: int = 3
    text_width: int | None = None
    vector_width: int | None = None
    groups: int = 32
    dropout: float = 0.0

    def __post_init__(self):
        for name in ("multiples", "attention_at"):  # lists, when read from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check.check_config(self)

    @property
    def unit(self) -> int:
        """How much finer the first grid is than the last; every side's divisor."""
        return 2 ** (len(self.multiples) - 1)

    @property
    def widths(self) -> list[int]:
        """The channels of each level, from the finest to the coarsest."""
        return [self.width * multiple for multiple in self.multiples]

    @property
    def resolutions(self) -> list[int]:
        """The side of each level's grid, from the finest to the coarsest."""
        return [self.image_size // 2**level for level in range(len(self.multiples))]


class Stage(nn.Sequential):
    """Layers, one after the other; each is told when it is and what the text says."""

    def forward(
        self, x: Tensor, emb: Tensor, text_kv: list[KeysValues] | None
    ) -> Tensor:
        for layer in self:
            x = layer(x, emb, text_kv)
        return x


class UNet(nn.Module):
    """x_t (n, channels_in, h, w), t (n,) to (n, channels_out, h, w), zeros at first.

    `down` holds a stage for each result handed across (but the first convolution's),
    `up` one for each that is taken, in the reverse order.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = c = config
        emb = 4 * c.width

        def residual(inputs: int, outputs: int, **resize) -> ResBlock:
            return ResBlock(inputs, outputs, emb, c.groups, c.dropout, **resize)

        def attention(width: int, at: bool) -> list[PixelAttention]:
            sizes = (width, c.head_width, c.groups, c.text_width)
            return [PixelAttention(*sizes)] if at else []

        self.time = TimeEmbedding(c.width, emb)
        self.vector = nn.Linear(c.vector_width, emb) if c.vector_width else None
        self.first = nn.Conv2d(c.channels_in, c.widths[0], 3, padding=1)
        levels = list(zip(c.widths, c.resolutions, strict=True))

        self.down = nn.ModuleList()
        skips = [c.widths[0]]  # the channels of each result handed across
        for width, resolution in levels:
            for _ in range(c.blocks):
                attend = attention(width, at=resolution in c.attention_at)
                self.down.append(Stage(residual(skips[-1], width), *attend))
                skips.append(width)
            if resolution > c.resolutions[-1]:
                self.down.append(Stage(residual(width, width, resize=halve)))
                skips.append(width)

        x = c.widths[-1]  # the channels of what goes up
        attend = attention(x, at=len(c.attention_at) > 0)
        self.middle = Stage(residual(x, x), *attend, residual(x, x))

        self.up = nn.ModuleList()
        for width, resolution in reversed(levels):
            for _ in range(c.blocks + 1):
                attend = attention(width, at=resolution in c.attention_at)
                self.up.append(Stage(residual(x + skips.pop(), width), *attend))
                x = width
            if resolution < c.resolutions[0]:
                self.up[-1].append(residual(width, width, resize=double))

        self.norm = GroupNorm(c.groups, x)
        self.last = zero(nn.Conv2d(x, c.channels_out, 3, padding=1))
        for number, layer in enumerate(self.attentions):
            layer.number = number

    @property
    def attentions(self) -> list[PixelAttention]:
        """In the order of `text_kv`: down, middle, up."""
        stages = (*self.down, self.middle, *self.up)
        layers = (layer for stage in stages for layer in stage)
        return [layer for layer in layers if isinstance(layer, PixelAttention)]

    def read(self, text: Tensor) -> list[KeysValues]:
        """Each attention's keys and values of words (n, words, text_width).

        What does not change during sampling is computed once: give the result to
        every step as `text_kv`.
        """
        check.check_text(self.config.text_width, text)
        return [attention.read(text) for attention in self.attentions]

    def embed(self, t: Tensor, vector: Tensor | None = None) -> Tensor:
        """What every block is told: t (n,) and vector (n, vector_width) as (n, emb)."""
        emb = self.time(t)
        if self.vector is not None:
            emb = emb + self.vector(vector)
        return F.silu(emb)  # here, and not again in each block

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        text_kv: list[KeysValues] | None = None,
    ) -> Tensor:
        """The guess, in the dtype of x: also under autocast, sampling keeps its bits.

        t: (n,), whole steps or not. text (n, words, text_width), or text_kv from
        `read(text)`; and vector (n, vector_width): what the config has a width for.
        Raises ValueError for anything missing, superfluous or of another shape.
        """
        c, dtype = self.config, x.dtype
        check.check_images(c, x)
        check.check_times(t, len(x))
        check.check_vector(c.vector_width, vector, len(x))
        check.check_one_text(c.text_width, text, text_kv)
        text_kv = text_kv if text is None else self.read(text)
        check.check_read(c.text_width, text_kv, len(x), len(self.attentions))
        emb = self.embed(t, vector)
        if x.device.type == "cpu":  # its convolutions are faster so
            x = x.contiguous(memory_format=torch.channels_last)

        x = self.first(x)
        skips = [x]
        for stage in self.down:
            x = stage(x, emb, text_kv)
            skips.append(x)
        x = self.middle(x, emb, text_kv)
        for stage in self.up:
            x = stage(torch.cat([x, skips.pop()], dim=1), emb, text_kv)
        return self.last(F.silu(self.norm(x))).to(dtype).contiguous()
