"""One stage: a U-Net and a text transformer, trained together (4.1).

Text reaches the U-Net in two ways, and neither is a cross-attention layer:

* the transformer's *last* state, mapped linearly, is added to the time's embedding, so
  that every residual block is told of it;
* *all* its states, mapped linearly for each attention, stand among that attention's
  keys and values, before the pixels': one softmax over words and pixels.

An upsampler is the same network, whose first convolution also sees the small picture,
enlarged; a network that was fine-tuned to fill holes also sees what is known (4.3).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.diffusion import Objective, Schedule
from mmlearn.glide import checks as check
from mmlearn.glide.text import TextTransformer
from mmlearn.nn.pixel_attention import KeysValues
from mmlearn.nn.unet import UNet, UNetConfig

PICTURE, KNOWN = 3, 4  # channels: red, green, blue; the same and which pixels are known


@dataclass(frozen=True)
class StageConfig:
    """A stage in numbers, as the paper gives them (4.1); most are of `UNetConfig`.

    vocab, context: token ids there are, and how many a caption has room for.
    text_width, text_layers, text_heads: the transformer's.
    schedule: of the noise, see `mmlearn.diffusion.Schedule`.
    patch, predicts: 1 and "eps" in the paper. With little to spend on training, patches
    of 4 × 4 pixels, which become 48 channels of one place, and "x0", the picture
    itself, draw better sooner (Li & He 2025, arXiv 2511.13720); the resolutions are
    then those of the coarser grid.
    upsamples: it is given a small picture. on_top: its x0 is that picture, enlarged,
    plus what the network says, so that it need not learn to copy; not the paper's.
    inpaints: it is given what is known.
    attention_at may be empty, and then only the last state reaches the U-Net.
    """

    image_size: int
    width: int
    multiples: tuple[int, ...]
    blocks: int
    attention_at: tuple[int, ...]
    vocab: int
    context: int
    text_width: int
    text_layers: int
    text_heads: int
    head_width: int = 64
    groups: int = 32
    dropout: float = 0.0
    schedule: str = "cosine"
    patch: int = 1
    predicts: str = "eps"
    upsamples: bool = False
    on_top: bool = False
    inpaints: bool = False

    def __post_init__(self):
        for name in ("multiples", "attention_at"):  # lists, when read from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check.check_stage(self)
        _ = self.unet  # refuses numbers that do not fit each other

    @property
    def unet(self) -> UNetConfig:
        """The U-Net's part. Half of its channels out say how sure it is of the rest."""
        seen = PICTURE + KNOWN * self.inpaints + PICTURE * self.upsamples
        return UNetConfig(
            image_size=self.image_size // self.patch,
            width=self.width,
            multiples=self.multiples,
            blocks=self.blocks,
            attention_at=self.attention_at,
            head_width=self.head_width,
            channels_in=seen * self.patch**2,
            channels_out=2 * PICTURE * self.patch**2,
            text_width=self.text_width if self.attention_at else None,
            vector_width=self.text_width,
            groups=self.groups,
            dropout=self.dropout,
        )


class Reading(NamedTuple):
    """What the U-Net needs of n captions; it does not change while a picture is made.

    vector: the last states (n, text_width). text_kv: all states as the keys and values
    of each attention; None for a U-Net without attention.
    """

    vector: Tensor
    text_kv: list[KeysValues] | None

    def rows(self, places: Tensor) -> "Reading":
        """The captions at `places` (m,), in that order; one may come several times."""
        kv = self.text_kv
        return Reading(
            self.vector[places], kv and [(k[places], v[places]) for k, v in kv]
        )


class TextUNet(nn.Module):
    """x_t (n, 3, h, w), t (n,), tokens (n, context) to ε and its variance (n, 6, h, w).

    Or to x0 and its variance, as the config has it.

    The order of arguments is `Objective`'s: a batch to train a base is (pictures,
    tokens), to train an upsampler (pictures, tokens, small pictures).
    """

    def __init__(self, config: StageConfig):
        super().__init__()
        self.config = c = config
        self.schedule = Schedule.named(c.schedule)
        self.text = TextTransformer(
            c.vocab, c.context, c.text_width, c.text_layers, c.text_heads
        )
        self.unet = UNet(c.unet)

    @property
    def objective(self) -> Objective:
        """What it is trained for: ε or x0, and a learned variance (2.1)."""
        predicts = self.config.predicts
        options = {"as_v": True, "vlb_weight": 1e-5} if predicts == "x0" else {}
        return Objective(self.schedule, predicts, learned_variance=True, **options)

    def read(self, tokens: Tensor) -> Reading:
        """Captions (n, context) as the U-Net needs them: once for all steps."""
        states = self.text(tokens)  # (n, context, text_width)
        text_kv = self.unet.read(states) if self.config.attention_at else None
        return Reading(states[:, -1], text_kv)

    def see(self, x: Tensor, low_res: Tensor | None, known: Tensor | None) -> Tensor:
        """What the first convolution is given: x_t and the pictures beside it.

        Nothing known is known_part of nothing: four channels of zeros.
        """
        check.check_pictures(self.config, x, low_res, known)
        pictures = [x]
        if self.config.inpaints:
            nothing = x.new_zeros(len(x), KNOWN, *x.shape[2:])
            pictures.append(nothing if known is None else known)
        if self.config.upsamples:
            pictures.append(enlarged(low_res, x))
        return F.pixel_unshuffle(torch.cat(pictures, dim=1), self.config.patch)

    def guess(
        self,
        x: Tensor,
        t: Tensor,
        said: Reading,
        low_res: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """As `forward`, of captions that were read before."""
        seen = self.see(x, low_res, known)
        told = self.unet(seen, t, vector=said.vector, text_kv=said.text_kv)
        told = F.pixel_shuffle(told, self.config.patch)
        if not self.config.on_top:
            return told
        more, variance = told.split(PICTURE, dim=1)
        return torch.cat([enlarged(low_res, x) + more, variance], dim=1)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        tokens: Tensor,
        low_res: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """ε, or x0, in three channels; in the others, where Σ lies between β̃ and β.

        low_res (n, 3, any, any) in [-1, 1], for an upsampler. known (n, 4, h, w), of
        `known_part`, for one that inpaints; None where nothing is known.
        """
        return self.guess(x, t, self.read(tokens), low_res, known)


def enlarged(low_res: Tensor, x: Tensor) -> Tensor:
    """Small pictures (n, 3, any, any) at the size of x (n, 3, h, w), bilinearly."""
    return F.interpolate(low_res, x.shape[2:], mode="bilinear")


def as_8_bit(images: Tensor) -> Tensor:
    """Images in [-1, 1], rounded to 256 grey values: what an upsampler is given.

    The small pictures it was trained on came from files, which hold no others.
    """
    return (images.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1
