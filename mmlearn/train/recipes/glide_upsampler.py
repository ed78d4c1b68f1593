"""One part of GLIDE's recipe alone, into the folder where `glide` looks for it.

python -m mmlearn train glide-upsampler --size laptop --out runs/glide-laptop/upsampler
"""

from pathlib import Path

from mmlearn.train.recipes.glide import train_stage


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train the upsampler at a size, into ``out``."""
    train_stage("upsampler", size, seed=seed, out=out, **options)
