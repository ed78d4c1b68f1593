"""The first text-to-image model's recipe: coloured shapes, in four minutes.

    python -m mmlearn train text-to-image --size laptop

A step sees new scenes (`mmlearn.text_to_image.GRAMMAR`, training split). One caption
in seven is replaced by an empty one, so that the model can be guided.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mmlearn import world
from mmlearn.diffusion import Objective
from mmlearn.text_to_image import GRAMMAR, TextToImage
from mmlearn.train import distributed, fit
from mmlearn.train.card import card_of, recipe_of

EMPTY = 1 / 7  # of the captions; Ho & Salimans found 0.1 and 0.2 alike
EMA = 0.995  # of a run this short: an average of the last few hundred steps


@dataclass(frozen=True)
class Recipe:
    """How many pictures a step, and how many steps."""

    steps: int
    batch: int
    lr: float


RECIPES = {
    "smoke": Recipe(steps=20, batch=8, lr=2e-3),
    "laptop": Recipe(steps=3_900, batch=24, lr=2e-3),
    "gpu": Recipe(steps=6_000, batch=128, lr=1e-3),
}


def batches(model: TextToImage, recipe: Recipe, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: pictures in [-1, 1], and bags of words."""
    grammar = replace(GRAMMAR, split="train")

    def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
        options = {"start": index * recipe.batch, "grammar": grammar}
        scenes = world.scenes(recipe.batch, seed, model.image_size, **options)
        return scenes.images, model.bag(scenes.captions).cpu()

    return batch


def loss(model: TextToImage, batch: tuple, generator: torch.Generator):
    """The error of the predicted x0, where captions are now and then empty."""
    images, bag = batch
    lot = torch.rand(len(bag), 1, generator=generator, device=generator.device)
    bag = torch.where(lot.to(bag.device) < EMPTY, 0, bag)
    return Objective(model.schedule, "x0")(model, (images, bag), generator)


def train(size: str, *, seed: int = 0, out: Path, steps=None, **options) -> None:
    """Train the model at a size, into ``out``; it is ``out/model`` then.

    In bf16 also on a CPU, where it was measured to be faster.
    """
    recipe = recipe_of("the text-to-image model", size, RECIPES)
    model = TextToImage.from_size(size, seed=seed)
    history = fit(
        model,
        loss,
        batches(model, recipe, seed),
        steps=steps or recipe.steps,
        lr=recipe.lr,
        ema=EMA,
        precision="bf16",
        seed=seed,
        out=out,
        settings={"batch": recipe.batch},
        **options,
    )
    if distributed.is_main():
        card = card_of("text-to-image", seed, size, history)
        card["scores"] = scores(history.ema)
        saved = history.ema.save_pretrained(
            out / "model", card, half=True, overwrite=True
        )
        print(f"{saved}: {card['scores']}")


@torch.no_grad()
def scores(model: TextToImage, n: int = 256) -> dict:
    """What the card says: the error of x0 at t = 600 of ``n`` new scenes, told their
    own captions, other scenes' and none.

    A model that does not read scores the same three times. Whether its pictures are
    right is for the judge to say: ``python -m mmlearn evaluate text-to-image``.
    """
    options = {"grammar": GRAMMAR, "split": "test"}
    scenes = world.scenes(n, 5, model.image_size, **options)
    device = model.unet.first.weight.device
    images, bag = scenes.images.to(device), model.bag(scenes.captions)
    t, objective = torch.full([n], 600), Objective(model.schedule, "x0")
    found = {}
    told = {"own": bag, "others'": bag.roll(1, 0), "empty": torch.zeros_like(bag)}
    for name, said in told.items():
        generator = torch.Generator().manual_seed(0)
        terms = objective.terms(model, (images, said), t, generator)
        found[f"error, {name} captions"] = round(terms["mse"].mean().item(), 5)
    return found
