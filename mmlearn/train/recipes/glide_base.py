"""One part of GLIDE's recipe alone, into the folder where `glide` looks for it.

python -m mmlearn train glide-base --size laptop --out runs/glide-laptop/base
"""

from pathlib import Path

from mmlearn.train.recipes.glide import train_stage


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train the base at a size, into ``out``."""
    train_stage("base", size, seed=seed, out=out, **options)
