"""GLIDE: pictures from words (Nichol et al. 2021, arXiv 2112.10741).

    glide = mm.GLIDE.from_pretrained("laptop")
    images = glide.generate(["a red star at night"], seed=0)         # (1, 3, 64, 64)
    images = glide.inpaint(images, mask, ["a blue heart"], seed=0)   # within the mask

Two stages, each a U-Net with a text transformer of its own, trained together from
scratch (4.1): `base` draws a small picture, `upsampler` enlarges it. Read the files in
this order: text, stage, sizes, sampling, model; then inpainting, clip_guidance, keys.

As in the released code, where the paper is silent: a caption is padded with learned
vectors and nothing is masked; its keys and values stand before the picture's; the
upsampler's schedule is linear, and the small picture that it enlarges is rounded to 256
grey values, as in a file. DALL·E 2 also blurs that picture in training; GLIDE does not.
"""

from mmlearn.glide.attention_maps import text_shares
from mmlearn.glide.clip_guidance import ClipGuided, NoisedCLIP
from mmlearn.glide.inpainting import known_part, put_back, widened
from mmlearn.glide.model import GLIDE
from mmlearn.glide.sampling import Sampling, draw, generator_of
from mmlearn.glide.sizes import PAPER_3_5B, SIZES
from mmlearn.glide.stage import Reading, StageConfig, TextUNet, as_8_bit
from mmlearn.glide.text import (
    EMPTY,
    PADDING,
    TextTransformer,
    drop_captions,
    tokenize,
    unknown_words,
)

__all__ = [
    "EMPTY",
    "GLIDE",
    "PADDING",
    "PAPER_3_5B",
    "SIZES",
    "ClipGuided",
    "NoisedCLIP",
    "Reading",
    "Sampling",
    "StageConfig",
    "TextTransformer",
    "TextUNet",
    "as_8_bit",
    "draw",
    "drop_captions",
    "generator_of",
    "known_part",
    "put_back",
    "text_shares",
    "tokenize",
    "unknown_words",
    "widened",
]
