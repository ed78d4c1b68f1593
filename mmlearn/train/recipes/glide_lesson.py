"""The GLIDE chapter's own training: one thing at a time, in four minutes.

    python -m mmlearn train glide-lesson --size laptop

The base alone, as large as the one that is shipped, on a small part of the world: four
nouns by one artist and two shapes in two colours, each alone on white.
"""

from collections.abc import Callable
from pathlib import Path

from mmlearn import world
from mmlearn.glide import GLIDE, tokenize
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.recipes.glide import SLOWER, Part, run, stage_loss

RECIPES = {
    "smoke": Part(steps=10, batch=8, lr=1e-3, ema=0.9),
    "laptop": Part(steps=1_400, batch=32, lr=1.5e-3, ema=0.995),
    "gpu": Part(steps=6_000, batch=128, lr=5e-4, ema=0.999),
}
GRAMMAR = world.Grammar(
    things=("cat", "penguin", "tree", "apple"),
    shapes=("star", "heart"),
    colours=("red", "blue"),
    backgrounds=("white",),
    artists=("noto",),
    kinds=("single",),
    tinted=0.0,
    name_style=0.0,
)
PROMPTS = (
    *("a cat", "a penguin", "a tree", "an apple"),
    *("a red star", "a blue star", "a red heart", "a blue heart"),
)


def scenes(n: int, seed: int, start: int = 0, split: str = "train") -> world.Batch:
    """``n`` of the lesson's scenes at the base's size, 32 px at every scale but gpu."""
    options = {"start": start, "grammar": GRAMMAR, "split": split}
    return world.scenes(n, seed, 32, **options)


def untrained(size: str, seed: int) -> GLIDE:
    """A base alone."""
    recipe_of("the GLIDE chapter", size, RECIPES)
    return GLIDE.from_size(
        "smoke" if size == "smoke" else "lesson", upsampler=False, seed=seed
    )


def batches(model: GLIDE, plan: Part, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: pictures in [-1, 1], and tokens."""
    context = model.base.config.context

    def batch(index: int) -> tuple:
        found = scenes(plan.batch, seed, index * plan.batch)
        return found.images, tokenize(found.captions, model.tokenizer, context)

    return batch


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train the lesson's model at a size, into ``out``; it is ``out/model`` then."""
    model, plan = untrained(size, seed), RECIPES[size]
    history = run(
        model.base,
        stage_loss,
        batches(model, plan, seed),
        plan,
        slower={"text": SLOWER},
        seed=seed,
        out=out,
        **options,
    )
    if distributed.is_main():
        model.base = history.ema
        card = card_of("glide-lesson", seed, size, history)
        print(model.save_pretrained(out / "model", card, half=True, overwrite=True))
