"""CLIP's recipe: drawings by two artists and their captions; then a third's drawings.

    python -m mmlearn train clip --size laptop

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
from mmlearn.clip import (
    CLIP,
    clamp_logit_scale,
    local_clip_loss,
    zero_shot_classifier,
)
from mmlearn.machine import commit, describe
from mmlearn.train import all_gather_with_grad, distributed, fit

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
# White half the time: a thing is learned faster where nothing surrounds it.
BACKGROUNDS = ("white",) * len(world.BACKGROUNDS) + tuple(world.BACKGROUNDS)
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
    """A random square crop, as in the paper, and other colours: (n, 3, h, w), same.

    No two artists choose the same colours, so colour must not be what tells a fox.
    Channels are mixed (greys stay grey), saturation, contrast and brightness change,
    and one picture in five loses its colour. Values stay in [-1, 1].
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        shape, device = (len(images), *shape), images.device
        return low + (high - low) * torch.rand(
            shape, generator=generator, device=device
        )

    side = uniform(0.85, 1, 1)
    centre = (1 - side) * uniform(-1, 1, 2)
    window = torch.cat([torch.diag_embed(side.expand(-1, 2)), centre[:, :, None]], 2)
    grid = F.affine_grid(window, images.shape, align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False, padding_mode="border")

    mix = torch.eye(3, device=images.device) + uniform(-0.25, 0.25, 3, 3)
    images = torch.einsum("nij,njhw->nihw", mix / mix.sum(dim=2, keepdim=True), images)
    grey = images.mean(dim=1, keepdim=True)
    keeps_colour = uniform(0, 1, 1, 1, 1) > 0.2
    images = grey + keeps_colour * uniform(0.2, 1.4, 1, 1, 1) * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + uniform(0.6, 1.4, 1, 1, 1) * (images - mean)
    return (images + uniform(-0.2, 0.2, 1, 1, 1)).clamp(-1, 1)


def loss(model: CLIP, batch: tuple[Tensor, Tensor], generator) -> Tensor:
    """`clip_loss` of augmented images; over all processes, if there are several."""
    images, tokens = batch
    features = model(augment(images, generator), tokens)
    # Logits reach 100, where half precision knows no fractions.
    with torch.autocast(images.device.type, enabled=False):
        features = [x.float() for x in features]
        gather, rank = all_gather_with_grad, distributed.rank()
        return local_clip_loss(*features, model.logit_scale, gather, rank)


def drawings(model: CLIP, recipe: Recipe, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: images, and the tokens of their captions.

    Captions name the thing and neither its background nor its style: where they do,
    those are learned first, being easier. Processes share a batch, rather than each
    having its own: two batches would show the same nouns twice.
    """

    def batch(index: int) -> tuple[Tensor, Tensor]:
        processes = distributed.world()
        if recipe.batch % processes:
            raise ValueError(
                f"a batch of {recipe.batch} cannot be shared by {processes} processes"
            )
        step, rank = divmod(index, processes)
        own = slice(rank, None, processes)
        whole = world.drawings(
            recipe.batch,
            seed,
            index=step,
            concepts=recipe.nouns,
            backgrounds=BACKGROUNDS,
        )
        captions = [world.caption(r.replace(says=())) for r in whole.records[own]]
        tokens = model.tokenizer(captions)
        longest = int(tokens.argmax(dim=1).max()) + 1  # the rest is padding
        return whole.images[own], tokens[:, :longest]

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


def train(
    size: str,
    *,
    seed: int = 0,
    steps: int | None = None,
    out: Path,
    device: str | None = None,
    resume: bool = True,
) -> None:
    """Train CLIP at a size, into ``out``; the finished model is ``out/model``."""
    if size not in RECIPES:
        known = ", ".join(RECIPES)
        raise ValueError(f"CLIP is trained at one of the sizes {known}, not {size!r}")
    recipe = RECIPES[size]
    model = CLIP.from_size(size, seed=seed)
    history = fit(
        model,
        loss,
        drawings(model, recipe, seed),
        steps=steps or recipe.steps,
        lr=recipe.lr,
        weight_decay=0.2,  # the published values, these two
        betas=(0.9, 0.98),
        ema=None,
        seed=seed,
        out=out,
        resume=resume,
        settings={"batch": recipe.batch, "nouns": list(recipe.nouns)},
        after_step=clamp_logit_scale,
        device=device,
    )
    if distributed.is_main():
        card = {
            "recipe": f"python -m mmlearn train clip --size {size} --seed {seed}",
            "commit": commit(),
            "seed": seed,
            "steps": history.steps,
            "seconds": round(history.seconds),
            "hardware": describe(size),
            "torch": torch.__version__,
            "nouns": list(recipe.nouns),
            "scores": scores(model, recipe.nouns),
            "curve": [[r["step"], round(r["loss"], 4)] for r in history.rows[::8]],
        }
        saved = model.save_pretrained(out / "model", card, half=True, overwrite=True)
        print(f"{saved}: named right, by artist: {card['scores']}")
