"""Stable Diffusion's sizes.

`paper` is Stable Diffusion 1, 859,520,964 parameters in the U-Net and 83,653,863 in the
autoencoder, beside the 123,060,480 of CLIP's text tower. `paper-v2` is 2 at 768 px:

                     1                       2
    text             CLIP ViT-L/14, 768      OpenCLIP ViT-H/14, 1,024
      its states     after the last block    before it
    U-Net's heads    8, whatever their width as many as are 64 wide
    it predicts      ε                       v
    pictures         512 px                  768 px
    trained for      237 K steps of 256 px, then 194 K and more of 512 px,
                     of 2,048 pictures each  (the model card of 1)

The text towers of the other sizes are those of our CLIP at the same size.
"""

from mmlearn.clip import SIZES as CLIP_SIZES
from mmlearn.stable_diffusion.config import StableDiffusionConfig


def text_of(size: str) -> dict:
    """Our CLIP's text tower of this size."""
    clip = CLIP_SIZES[size]
    numbers = {"width": clip["text_width"], "layers": clip["text_layers"]}
    return numbers | {name: clip[name] for name in ("vocab", "context")}


SCALE = 0.18215  # of the published autoencoder's latents
SIZES = {
    "smoke": {
        "image_size": 64,
        "vae": {"width": 8, "multiples": (1, 2, 2), "blocks": 1, "groups": 4},
        "unet": {"width": 16, "multiples": (1, 2), "blocks": 1, "groups": 8}
        | {"attention_at": (1, 2), "heads": None, "head_width": 16}
        | {"text_width": 64},
        "text": text_of("smoke"),
    },
    "laptop": {
        "image_size": 64,
        "vae": {"width": 32, "multiples": (1, 2, 3), "blocks": 1, "groups": 8},
        # Words are read on the grids of 8 × 8 and 4 × 4 alone: that was measured to be
        # twice as fast as on those of 16 × 16 and 8 × 8, with more parameters.
        "unet": {"width": 48, "multiples": (1, 2, 2), "blocks": 1, "groups": 8}
        | {"attention_at": (2, 4), "text_width": 128},
        "text": text_of("laptop"),
        # As 2 does: where there is nearly nothing but noise, an error of ε's is one of
        # the picture 14 times as large (σ/α at t = 999), and a short training errs.
        "predicts": "v",
    },
    "gpu": {
        "image_size": 256,
        "vae": {"width": 64, "multiples": (1, 2, 4, 4), "blocks": 1},
        "unet": {"width": 128, "multiples": (1, 2, 3), "blocks": 2}
        | {"attention_at": (1, 2, 4), "heads": None, "head_width": 64}
        | {"text_width": 256},
        "text": text_of("gpu"),
    },
    "paper": {
        "image_size": 512,
        "vae": {},  # the networks' defaults are Stable Diffusion 1's
        "unet": {},
        "text": {},
        "scale": SCALE,
    },
    "paper-v2": {
        "image_size": 768,
        "vae": {},
        "unet": {"text_width": 1024, "heads": None, "head_width": 64},
        "text": {"width": 1024, "layers": 24, "activation": "gelu"}
        | {"skip": 1, "padding": "zero"},
        "scale": SCALE,
        "predicts": "v",
    },
}


def config_of(size: str) -> StableDiffusionConfig:
    """The config of a size's name."""
    return StableDiffusionConfig(**SIZES[size])
