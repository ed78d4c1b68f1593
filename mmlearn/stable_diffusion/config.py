"""Stable Diffusion in numbers: three networks that have to fit each other."""

from dataclasses import asdict, dataclass

from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.stable_diffusion import checks as check
from mmlearn.stable_diffusion.text import TextConfig

PARTS = {"vae": AutoencoderConfig, "unet": LatentUNetConfig, "text": TextConfig}


@dataclass(frozen=True)
class StableDiffusionConfig:
    """The three networks' numbers, and what lies between them.

    image_size: the side of the pictures that it was trained on, in pixels.
    scale: what latents are multiplied by before they are diffused, 1 over their
        standard deviation; of an autoencoder that was trained, `measure_scale` says it.
    predicts: what the U-Net says, "eps" (Stable Diffusion 1, and 2 at 512 px) or "v"
        (2 at 768 px), of the latents. schedule: of the noise, of 1,000 steps.
    """

    image_size: int
    vae: AutoencoderConfig
    unet: LatentUNetConfig
    text: TextConfig
    scale: float = 1.0
    predicts: str = "eps"
    schedule: str = "scaled_linear"

    def __post_init__(self):
        for name, kind in PARTS.items():
            if isinstance(part := getattr(self, name), dict):  # read from JSON
                object.__setattr__(self, name, kind(**part))
        check.check_config(self)

    @property
    def latent_size(self) -> int:
        """The side of the grid of latents."""
        return self.image_size // self.vae.factor

    @property
    def unit(self) -> int:
        """Every side's divisor, in pixels."""
        return self.vae.factor * self.unet.unit

    def as_dict(self) -> dict:
        """Numbers, texts, lists and dictionaries, from which it can be made again."""
        return asdict(self)
