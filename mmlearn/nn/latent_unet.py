"""Stable Diffusion's U-Net: noisy latents, a time and words in, a guess out.

The plan is `unet`'s, down, middle and up with results handed across, and what is
different is what the blocks are: a residual block that is told the time by addition,
then a spatial transformer that reads the words (Rombach et al. 2022, arXiv 2112.10752,
figure 3). Transformers stand at three levels of four, where the grid is 1, 2 and 4
times as coarse, and in the middle, on the coarsest.

There is no vector of the sentence: all that is known of the text are its words. As in
the released code, a level's grid is halved and doubled by convolutions of their own.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.nn import latent_unet_checks as check
from mmlearn.nn.latent_blocks import DoublingConv, HalvingConv, PlainResBlock
from mmlearn.nn.pixel_attention import KeysValues
from mmlearn.nn.resblock import GroupNorm, zero
from mmlearn.nn.spatial_transformer import SpatialTransformer
from mmlearn.nn.time_embedding import TimeEmbedding
from mmlearn.nn.unet import Stage


@dataclass(frozen=True)
class LatentUNetConfig:
    """A U-Net in numbers; the defaults are Stable Diffusion 1's.

    width: channels of the first level; level i has width * multiples[i], on a grid 2^i
    times as coarse. blocks: residual blocks of a level on the way down; there is one
    more on the way up. attention_at: how much coarser the grids with transformers are.
    text_width: of the words' vectors.
    heads: how many every attention has, however wide (Stable Diffusion 1); or
    head_width: how wide every head is, however many (2). One of them is None.
    """

    width: int = 320
    multiples: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attention_at: tuple[int, ...] = (1, 2, 4)
    text_width: int = 768
    heads: int | None = 8
    head_width: int | None = None
    channels_in: int = 4
    channels_out: int = 4
    groups: int = 32

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

    def heads_of(self, width: int) -> int:
        """How many heads an attention over so many channels has."""
        return self.heads or width // self.head_width


class LatentUNet(nn.Module):
    """x_t (n, channels_in, h, w), t (n,), text to (n, channels_out, h, w).

    `down` holds a stage for each result handed across (but the first convolution's),
    `up` one for each that is taken, in the reverse order. It starts with zeros.
    """

    def __init__(self, config: LatentUNetConfig):
        super().__init__()
        self.config = c = config
        emb = 4 * c.width

        def residual(inputs: int, outputs: int) -> PlainResBlock:
            block = PlainResBlock(inputs, outputs, emb, c.groups)
            zero(block.conv2)  # at first, each is its shortcut
            return block

        def transformer(width: int, at: bool = True) -> list[SpatialTransformer]:
            heads = c.heads_of(width) if at else 0
            sizes = (width, heads, c.text_width, c.groups)
            return [SpatialTransformer(*sizes)] if at else []

        self.time = TimeEmbedding(c.width, emb)
        self.first = nn.Conv2d(c.channels_in, c.widths[0], 3, padding=1)
        levels = [(2**level, width) for level, width in enumerate(c.widths)]

        self.down = nn.ModuleList()
        skips = [c.widths[0]]  # the channels of each result handed across
        for coarse, width in levels:
            for _ in range(c.blocks):
                attend = transformer(width, at=coarse in c.attention_at)
                self.down.append(Stage(residual(skips[-1], width), *attend))
                skips.append(width)
            if coarse < c.unit:
                self.down.append(Stage(HalvingConv(width)))
                skips.append(width)

        x = c.widths[-1]  # the channels of what goes up
        self.middle = Stage(residual(x, x), *transformer(x), residual(x, x))

        self.up = nn.ModuleList()
        for coarse, width in reversed(levels):
            for _ in range(c.blocks + 1):
                attend = transformer(width, at=coarse in c.attention_at)
                self.up.append(Stage(residual(x + skips.pop(), width), *attend))
                x = width
            if coarse > 1:
                self.up[-1].append(DoublingConv(width))

        self.norm = GroupNorm(c.groups, x)
        self.last = zero(nn.Conv2d(x, c.channels_out, 3, padding=1))
        for number, layer in enumerate(self.transformers):
            layer.number = number

    @property
    def transformers(self) -> list[SpatialTransformer]:
        """In the order of `text_kv`: down, middle, up."""
        stages = (*self.down, self.middle, *self.up)
        layers = (layer for stage in stages for layer in stage)
        return [layer for layer in layers if isinstance(layer, SpatialTransformer)]

    def read(self, text: Tensor) -> list[KeysValues]:
        """Each transformer's keys and values of words (n, words, text_width).

        What does not change during sampling is computed once: give the result to
        every step as `text_kv`.
        """
        check.check_text(self.config.text_width, text)
        return [transformer.read(text) for transformer in self.transformers]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor | None = None,
        *,
        text_kv: list[KeysValues] | None = None,
    ) -> Tensor:
        """The guess, in the dtype of x: also under autocast, sampling keeps its bits.

        t: (n,), whole steps or not. text (n, words, text_width), or text_kv from
        `read(text)`. Raises ValueError for anything missing or of another shape.
        """
        c, dtype = self.config, x.dtype
        check.check_latents(c, x)
        check.check_times(t, len(x))
        check.check_one_text(c.text_width, text, text_kv)
        text_kv = text_kv if text is None else self.read(text)
        check.check_read(c.text_width, text_kv, len(x), len(self.transformers))
        emb = F.silu(self.time(t))  # here, and not again in each block
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
