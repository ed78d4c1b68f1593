"""A control for GLIDE's two stages: one network that draws 64 px at once.

    python -m mmlearn train glide-one-stage --size laptop

As many parameters as base and upsampler have together, and about as many
multiplications spent on training; the same scenes, the same captions left out. It is
what the upsampler must be better than, and is not shipped: `evaluate glide` reads it
from its run's folder.
"""

from pathlib import Path

import torch

from mmlearn.glide import GLIDE, StageConfig, TextUNet
from mmlearn.glide.sizes import PATCHES, WORLD
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.recipes.glide import SLOWER, Part, Scenes, run, stage_loss, untrained

RECIPES = {
    "smoke": Part(steps=6, batch=4, lr=1e-3, ema=0.9),
    "laptop": Part(steps=14_000, batch=16, lr=1e-3),
}
CONFIGS = {
    "smoke": WORLD
    | {"image_size": 64, "width": 16, "multiples": (1, 2), "blocks": 1}
    | {"attention_at": (8,), "head_width": 16, "groups": 8}
    | {"text_width": 32, "text_layers": 1, "text_heads": 1}
    | PATCHES,
    "laptop": WORLD
    | {"image_size": 64, "width": 72, "multiples": (1, 2), "blocks": 1}
    | {"attention_at": (8,), "head_width": 72, "groups": 8}
    | {"text_width": 128, "text_layers": 2, "text_heads": 2}
    | PATCHES,
}
EASY = 0.05  # as the base's: this share of the steps shows one thing on white


def one_stage(size: str, seed: int) -> GLIDE:
    """The untrained control of a size: a GLIDE whose base draws the final size."""
    recipe_of("GLIDE's control of one stage", size, RECIPES)
    two = untrained(size, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = TextUNet(StageConfig(**CONFIGS[size]))
    base = base.to(memory_format=torch.channels_last)
    return GLIDE(base, None, two.tokenizer, two.words)


def train(size: str, *, seed: int = 0, out: Path, steps=None, **options) -> None:
    """Train the control at a size, into ``out``; the model is ``out/model``."""
    model, part = one_stage(size, seed), RECIPES[size]
    scenes = Scenes(model, seed, easy=int(EASY * (steps or part.steps)))
    history = run(
        model.base,
        stage_loss,
        lambda index: scenes("base", part.batch, index),
        part,
        slower={"text": SLOWER},
        seed=seed,
        out=out,
        steps=steps,
        **options,
    )
    if distributed.is_main():
        model.base = history.ema
        card = card_of("glide-one-stage", seed, size, history)
        print(model.save_pretrained(out / "model", card, half=True, overwrite=True))
