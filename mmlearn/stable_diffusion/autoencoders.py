"""An autoencoder on the disk, before there is a Stable Diffusion around it.

    save_autoencoder("runs/mine/model", vae, scale=0.6, image_size=64)
    vae, numbers = load_autoencoder("runs/mine/model")

With its weights goes the one number that latents of this autoencoder, and of no other,
are to be multiplied by: see `mmlearn.stable_diffusion.latents`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from mmlearn import weights
from mmlearn.nn.autoencoder import Autoencoder, AutoencoderConfig
from mmlearn.stable_diffusion.checks import check_scale


@dataclass(frozen=True)
class Trained:
    """What an autoencoder was trained on, and what came of it.

    image_size: the side of the pictures, in pixels. scale: 1 over the standard
    deviation of its latents.
    """

    vae: AutoencoderConfig
    image_size: int
    scale: float

    def __post_init__(self):
        if isinstance(self.vae, dict):  # read from JSON
            object.__setattr__(self, "vae", AutoencoderConfig(**self.vae))
        check_scale(self.scale)


def save_autoencoder(
    directory: str | Path,
    vae: Autoencoder,
    *,
    scale: float,
    image_size: int,
    card: dict | None = None,
    half: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write an autoencoder, in half precision unless told otherwise, and its numbers.

    Raises WeightsError where `mmlearn.weights.save` does.
    """
    config = asdict(Trained(vae.config, image_size, scale))
    options = {"half": half, "overwrite": overwrite}
    return weights.save(directory, vae.state_dict(), config, card, **options)


def load_autoencoder(directory: str | Path) -> tuple[Autoencoder, Trained]:
    """An autoencoder that `save_autoencoder` wrote, in eval mode, and its numbers.

    Raises WeightsError for anything missing, damaged, or of another model.
    """
    trained = weights.config_of(Trained, directory, "autoencoder")
    state = weights.load_state(directory)
    return weights.filled(lambda: Autoencoder(trained.vae), state, directory), trained
