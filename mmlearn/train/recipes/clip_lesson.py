"""The lesson's recipe: forty things by two artists, learned in minutes, then a third's.

    python -m mmlearn train clip-lesson --size laptop

Every batch shows each noun at most once, so that no picture has two right captions.
Nobody tells the model that there are forty classes: it reads sentences, and what it
is asked afterwards ("a fox"? "a bus"?) it is asked in words. Noto's and Fluent's
drawings are for training; Twemoji's and OpenMoji's are never seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import world
from mmlearn.clip import CLIP, zero_shot_classifier
from mmlearn.train import distributed
from mmlearn.train.augment import crop, recolour
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.recipes import clip

# Everyday things that look like nothing else on the list.
NOUNS = (
    *("dog", "cat", "fox", "lion", "elephant", "giraffe", "rabbit", "panda"),
    *("penguin", "duck", "owl", "frog", "turtle", "whale", "fish", "crab"),
    *("snail", "butterfly", "bee", "tree", "cactus", "mushroom", "banana", "apple"),
    *("strawberry", "carrot", "sandwich", "hamburger", "cake", "house", "car", "bus"),
    *(
        "bicycle",
        "sailboat",
        "airplane",
        "rocket",
        "sun",
        "umbrella",
        "guitar",
        "crown",
    ),
)
SEED = 20_210_226  # of the drawings that are named in the end; the paper's day


@dataclass(frozen=True)
class Recipe:
    """What a size trains on, and for how long."""

    steps: int
    batch: int
    lr: float
    listed: tuple[str, ...] = NOUNS  # empty: every everyday noun

    @property
    def nouns(self) -> tuple[str, ...]:
        """What it learns to name."""
        return self.listed or world.everyday()


RECIPES = {
    "smoke": Recipe(steps=150, batch=16, lr=1e-3, listed=NOUNS[:16]),
    "laptop": Recipe(steps=1200, batch=40, lr=5e-4),
    "gpu": Recipe(steps=6000, batch=128, lr=5e-4, listed=()),
}


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """A random square crop, as in the paper, and other colours: (n, 3, h, w), same."""
    return recolour(crop(images, generator), generator)


def loss(model: CLIP, batch: tuple[Tensor, Tensor], generator) -> Tensor:
    """`contrast` of augmented images."""
    images, tokens = batch
    return clip.contrast(model, augment(images, generator), tokens)


def drawings(model: CLIP, recipe: Recipe, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: images, and the tokens of their captions.

    Captions name the thing and neither its background nor its style: where they do,
    those are learned first, being easier. Processes share a batch, as in `clip`.
    """
    options = {"concepts": recipe.nouns, "backgrounds": clip.BACKGROUNDS, "may_say": ()}

    def batch(index: int) -> tuple[Tensor, Tensor]:
        step, rank = divmod(index, distributed.world())
        whole = world.drawings(recipe.batch, seed, index=step, **options)
        own = slice(rank, None, clip.shared(recipe.batch))
        tokens = model.tokenizer(whole.captions[own])
        return whole.images[own], clip.without_padding(tokens)

    return batch


@torch.no_grad()
def accuracy(model: CLIP, artist: str, nouns: Sequence[str], batches: int = 5) -> float:
    """How often the model names a drawing by this artist, of ``batches`` each noun.

    Drawn on all kinds of backgrounds, at other places than in training.
    """
    model.eval()
    classifier = zero_shot_classifier(model, nouns)
    right = []
    for index in range(batches):
        shown = world.drawings(
            len(nouns), SEED, index=index, concepts=nouns, artists=(artist,)
        )
        features = model.encode_image(shown.images.to(classifier.device))
        best = (F.normalize(features, dim=-1) @ classifier.T).argmax(dim=1)
        right += [
            nouns[i] == record.items[0].noun
            for i, record in zip(best.tolist(), shown.records, strict=True)
        ]
    return sum(right) / len(right)


def scores(model: CLIP, nouns: Sequence[str]) -> dict[str, float]:
    """`accuracy` for every artist, trained on or not, and what guessing would reach."""
    found = {a: round(accuracy(model, a, nouns), 4) for a in world.ARTISTS}
    return found | {"chance": round(1 / len(nouns), 4)}


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train at a size, into ``out``; options: steps, device, resume."""
    recipe = recipe_of("CLIP", size, RECIPES)
    model = CLIP.from_size(size, seed=seed)
    made = drawings(model, recipe, seed)
    settings = {"batch": recipe.batch, "nouns": list(recipe.nouns)}
    options |= {"settings": settings, "seed": seed, "out": out}
    history = clip.run(model, loss, made, recipe, **options)
    if distributed.is_main():
        found = {"nouns": list(recipe.nouns), "scores": scores(model, recipe.nouns)}
        clip.save(model, out, card_of("clip-lesson", seed, size, history) | found)
