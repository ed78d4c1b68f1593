"""Stable Diffusion: pictures from words, in latents (Rombach et al. 2022, 2112.10752).

    model = mm.StableDiffusion.from_pretrained("laptop")
    images = model.generate(["a red star at night"], seed=0)          # (1, 3, 64, 64)
    images = model.edit(images, ["a blue star at night"], strength=0.6)
    images = model.inpaint(images, mask, ["a heart"], seed=0)         # within the mask
    frames = model.interpolate("a red star", "a blue heart", 8)

Three networks: `vae` makes pictures small and large again, `text_encoder`, CLIP's text
tower, reads the words, and `unet` takes the noise out of latents. They are trained one
after the other: the tower was with CLIP, then the autoencoder on pictures alone, then
the U-Net on latents and words. Read the files in this order: `mmlearn.nn.autoencoder`,
`spatial_transformer`, `latent_unet`; then here latents, autoencoders, text, config,
sizes, sampling, painting, model; then walk, keys, diffusers_layout, published.
"""

from mmlearn.stable_diffusion.autoencoders import load_autoencoder, save_autoencoder
from mmlearn.stable_diffusion.config import StableDiffusionConfig
from mmlearn.stable_diffusion.latents import (
    composed,
    latent_mask,
    measure_scale,
    without_hole,
)
from mmlearn.stable_diffusion.model import StableDiffusion
from mmlearn.stable_diffusion.painting import first_noise
from mmlearn.stable_diffusion.sampling import Known, Sampling, Words, draw
from mmlearn.stable_diffusion.sizes import SIZES, config_of
from mmlearn.stable_diffusion.text import EMPTY, TextConfig, drop_captions, states
from mmlearn.stable_diffusion.walk import circle, grid, lerp, slerp

__all__ = [
    "EMPTY",
    "SIZES",
    "Known",
    "Sampling",
    "StableDiffusion",
    "StableDiffusionConfig",
    "TextConfig",
    "Words",
    "circle",
    "composed",
    "config_of",
    "draw",
    "drop_captions",
    "first_noise",
    "grid",
    "latent_mask",
    "lerp",
    "load_autoencoder",
    "measure_scale",
    "save_autoencoder",
    "slerp",
    "states",
    "without_hole",
]
