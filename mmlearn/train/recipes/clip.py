"""CLIP's recipe: what the training artists drew, alone and in scenes.

    python -m mmlearn train clip --size laptop

Two kinds of batches take turns. *Drawings*, one thing each: two thirds are everyday
things, the rest of the other things that the artists drew, and all are changed
strongly, since only a name is to be told. *Scenes*, whose captions name colours,
places, counts and relations, so that nothing may be mirrored or recoloured. Within a
batch no caption stands twice.

Never shown: Twemoji's and OpenMoji's drawings, the combinations held out by
`mmlearn.world.splits`, and the names in `unread`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.clip import CLIP, clamp_logit_scale, local_clip_loss
from mmlearn.evaluate.clip import scores
from mmlearn.train import all_gather_with_grad, distributed, fit
from mmlearn.train.augment import crop, recolour, relight, turn
from mmlearn.train.card import card_of, recipe_of

# White half the time: a thing is learned faster where nothing surrounds it.
BACKGROUNDS = ("white",) * len(world.BACKGROUNDS) + tuple(world.BACKGROUNDS)


@dataclass(frozen=True)
class Recipe:
    """How many pairs a step, and how many steps. Half of the steps see scenes."""

    steps: int
    batch: int
    lr: float


RECIPES = {
    "smoke": Recipe(steps=60, batch=16, lr=1e-3),
    "laptop": Recipe(steps=13_000, batch=96, lr=8e-4),
    "gpu": Recipe(steps=20_000, batch=512, lr=5e-4),
}


@lru_cache(1)
def unread() -> tuple[str, ...]:
    """Names that no caption of the training says: one in seven of those below."""

    def share(name: str) -> float:
        return hashlib.sha256(f"unread/{name}".encode()).digest()[0] / 256

    return tuple(name for name in _others() if share(name) < 1 / 7)


def further_names() -> tuple[str, ...]:
    """What is drawn beside everyday things: all but faces, hands and `unread`."""
    return tuple(name for name in _others() if name not in unread())


def _others() -> list[str]:
    concepts = world.concepts().values()
    return [c.name for c in concepts if not c.everyday and c.group not in FACES]


FACES = ("smileys-emotion", "people-body")  # a hundred of them, alike but for a brow


def augment(images: Tensor, alone: bool, generator: torch.Generator) -> Tensor:
    """Another view of single drawings, or of scenes: (n, 3, h, w) to the same."""
    if alone:
        images = crop(turn(images, generator), generator, 0.8, 1.15)
        return recolour(images, generator)
    images = crop(images, generator, 0.94, 1.06)
    return relight(images, generator, contrast=0.15, brightness=0.08)


def loss(model: CLIP, batch: tuple[Tensor, Tensor, bool], generator) -> Tensor:
    """`contrast` of augmented images."""
    images, tokens, alone = batch
    return contrast(model, augment(images, alone, generator), tokens)


def contrast(model: CLIP, images: Tensor, tokens: Tensor, **more) -> Tensor:
    """`clip_loss` of a batch; where processes share it, of what all of them hold.

    more: what else the model is to be told.
    """
    features = model(images, tokens=tokens, **more)
    # Logits reach 100, where half precision knows no fractions.
    with torch.autocast(images.device.type, enabled=False):
        features = [x.float() for x in features]
        gather, rank = all_gather_with_grad, distributed.rank()
        return local_clip_loss(*features, model.logit_scale, gather, rank)


def drawings(n: int, seed: int, index: int) -> world.Batch:
    """``n`` single drawings of different things, two thirds of them everyday things.

    Captions name the thing and sometimes the style. They leave out the background:
    where they do not, backgrounds are learned first, being easier.
    """
    lot = Random((seed << 66) + index)
    everyday = lot.sample(world.everyday(), 2 * n // 3)
    names = everyday + lot.sample(further_names(), n - len(everyday))
    options = {"split": "train", "may_say": ("style",), "backgrounds": BACKGROUNDS}
    return world.drawings(n, seed, index=index, concepts=names, **options)


def scenes(n: int, seed: int, index: int) -> world.Batch:
    """``n`` scenes of the training split with ``n`` different captions."""
    return world.different_scenes(n, seed, index=index)


def batches(model: CLIP, recipe: Recipe, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: images, their captions' tokens, and whether
    they are single drawings.

    Processes share a batch, rather than each having its own: two batches would hold
    the same captions twice.
    """

    def batch(index: int) -> tuple[Tensor, Tensor, bool]:
        step, rank = divmod(index, distributed.world())
        alone = step % 2 == 0
        whole = (drawings if alone else scenes)(recipe.batch, seed, step // 2)
        own = slice(rank, None, shared(recipe.batch))
        tokens = model.tokenizer(whole.captions[own])
        return whole.images[own], without_padding(tokens), alone

    return batch


def shared(batch: int) -> int:
    """The number of processes; ValueError where a batch cannot be shared by them."""
    if batch % distributed.world():
        raise ValueError(
            f"a batch of {batch} cannot be shared by {distributed.world()} processes"
        )
    return distributed.world()


def without_padding(tokens: Tensor) -> Tensor:
    """Token ids (n, t), as far as the longest caption goes."""
    return tokens[:, : int(tokens.argmax(dim=1).max()) + 1]


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train CLIP at a size, into ``out``; the finished model is ``out/model``.

    options: steps, device and resume, as for `mmlearn train`. In bf16 also on a CPU,
    where it was measured to be 1.6 times as fast.
    """
    recipe = recipe_of("CLIP", size, RECIPES)
    model = CLIP.from_size(size, seed=seed)
    made = batches(model, recipe, seed)
    options |= {"precision": "bf16", "seed": seed, "out": out}
    history = run(model, loss, made, recipe, **options)
    if distributed.is_main():
        card = {"scores": scores(model, unread())}
        save(model, out, card_of("clip", seed, size, history) | card)


def run(model: CLIP, loss, batches, recipe, *, steps: int | None = None, **options):
    """`fit` with what is CLIP's own: two published values, and the clamped scale."""
    options |= {"lr": recipe.lr, "weight_decay": 0.2, "betas": (0.9, 0.98)}
    options |= {"ema": None, "after_step": clamp_logit_scale}
    options.setdefault("settings", {"batch": recipe.batch})
    return fit(model, loss, batches, steps=steps or recipe.steps, **options)


def save(model: CLIP, out: Path, card: dict) -> None:
    """Write the finished model, in half precision, with its card."""
    saved = model.save_pretrained(out / "model", card, half=True, overwrite=True)
    print(f"{saved}: {card['scores']}")
