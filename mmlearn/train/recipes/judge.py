"""The judge's recipe: a detector that has seen good scenes, worse ones and broken ones.

    python -m mmlearn train judge --size laptop

The judge must not be blind to what generators are tested on, so it sees every
combination, held out or not, and minimal pairs, which differ in one fact. The scenes
come from seeds of their own (`SEEDS`), which neither the generators' training nor any
evaluation draws from. They are drawn at five sizes and brought to 64 px; then, on the
training device, some things are malformed (`mmlearn.train.malform`) and most pictures
degraded (`mmlearn.train.degrade`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import world
from mmlearn.evaluate.clauses import check, clauses
from mmlearn.evaluate.detector import Detector, to_sight
from mmlearn.evaluate.detector_decode import PLACES, Targets, encode
from mmlearn.train import distributed, fit
from mmlearn.train.calibrate import calibrate
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.degrade import degrade
from mmlearn.train.detector_loss import detector_loss
from mmlearn.train.malform import malform, retarget
from mmlearn.world.scene import SIGN, Item, Scene

SEEDS = 40_000_000  # the first of the judge's own seeds; training takes one
# Half of every batch is drawn at 64 px, the other half at one of these in turn.
SIZES = (32, 128, 48, 32, 128, 96)
TURN = 25  # batches; the world keeps its backgrounds for two sizes at a time
MALFORMED = 3  # every third picture has a thing malformed
STRANGE = 16  # one picture in sixteen has a background that the world does not have


@dataclass(frozen=True)
class Recipe:
    """How many pictures a step, how many steps; ``pool``: of how many batches made.

    A pool is gone through again and again, degraded differently each time: on a GPU
    that learns faster than one process can make scenes.
    """

    steps: int
    batch: int
    lr: float
    pool: int | None = None


RECIPES = {
    "smoke": Recipe(steps=30, batch=24, lr=2e-3, pool=4),
    "laptop": Recipe(steps=7_500, batch=96, lr=2e-3),
    "gpu": Recipe(steps=9_000, batch=512, lr=2e-3, pool=300),
}


class Lesson(NamedTuple):
    """A batch before anything is spoilt; pictures are bytes, (n, 3, 64, 64).

    Of the pictures ``rows``, thing number ``which`` may be malformed: ``without`` and
    ``other`` show them without it, and with another in its place. Of the pictures
    ``strange``, ``empty`` shows the background alone.
    """

    images: Tensor
    targets: Targets
    rows: Tensor
    which: Tensor
    without: Tensor
    other: Tensor
    strange: Tensor
    empty: Tensor


def records(n: int, seed: int, index: int) -> list[Scene]:
    """``n`` scenes: of eight, five of the training split, one held out, a twin of it,
    and a single drawing of any size."""
    alone = iter(world.drawings(-(-n // 8), seed, index=index).records)
    known, unknown = grammar("train"), grammar("held_out")
    found: list[Scene] = []
    for i in range(n):
        number, turn = index * n + i, i % 8
        if turn == 7:
            found.append(next(alone))
        elif turn == 6:
            found.append(twin(found[-1], number))
        else:
            split = unknown if turn == 5 else known
            found.append(world.compose(split, seed, number))
    return found


@lru_cache(2)
def grammar(split: str) -> world.Grammar:
    """All everyday things, also those that not every artist drew clearly."""
    return world.Grammar(things=world.everyday(), split=split)


def twin(scene: Scene, number: int) -> Scene:
    """The scene with one fact changed; the scene itself where none can be."""
    try:
        return world.twin(scene, seed=number)
    except world.WorldError:
        return scene


def lesson(n: int, seed: int, index: int) -> Lesson:
    """Batch number ``index`` of a seed: a pure function of the three."""
    scenes, lot = records(n, seed, index), Random((seed << 66) + index)
    rows = list(range(index % MALFORMED, n, MALFORMED))
    strange = list(range(index % STRANGE, n, STRANGE))
    which = {i: lot.randrange(len(scenes[i].items)) for i in rows}
    alone = {i: scenes[i].replace(items=()) for i in strange}
    without = {i: _replaced(scenes[i], which[i], ()) for i in rows}
    other = {
        i: _replaced(scenes[i], which[i], (_another(scenes[i], which[i], lot),))
        for i in rows
    }
    # Each picture is drawn at one size, and so is what is made of it.
    sizes = dict(enumerate(lot.choices((64, SIZES[index // TURN % len(SIZES)]), k=n)))
    drawn = [
        _drawn(part, sizes) for part in (dict(enumerate(scenes)), without, other, alone)
    ]
    numbers = (torch.tensor(list(x), dtype=torch.long) for x in (rows, which.values()))
    return Lesson(
        drawn[0],
        encode(scenes),
        *numbers,
        drawn[1],
        drawn[2],
        torch.tensor(strange, dtype=torch.long),
        drawn[3],
    )


def _replaced(scene: Scene, which: int, by: tuple[Item, ...]) -> Scene:
    items = scene.items
    return scene.replace(items=(*items[:which], *by, *items[which + 1 :]))


def _another(scene: Scene, which: int, lot: Random) -> Item:
    """Another thing by the same artist, or shape, for the same box."""
    item = scene.items[which]
    if item.noun == SIGN:
        return Item("cube", item.box, lot.choice(list(world.COLOURS)))
    if item.artist:
        noun = lot.choice([n for n in world.everyday() if n != item.noun])
        return Item(noun, item.box, None, item.artist)
    shape = lot.choice([n for n in world.SHAPES if n != item.noun])
    return Item(shape, item.box, lot.choice(list(world.COLOURS)))


def _drawn(scenes: dict[int, Scene], sizes: dict[int, int]) -> Tensor:
    """Scenes drawn at their sizes and brought to 64 px, as bytes."""
    images = torch.empty(len(scenes), 3, 64, 64, dtype=torch.uint8)
    for size in sorted(set(sizes.values())):
        places = [k for k, i in enumerate(scenes) if sizes[i] == size]
        if places:
            chosen = [scene for i, scene in scenes.items() if sizes[i] == size]
            seen = to_sight(world.draw(chosen, size))
            images[places] = seen.add(1).mul(127.5).round().to(torch.uint8)
    return images


def batches(recipe: Recipe, seed: int) -> Callable[[int], Lesson]:
    """Batch number ``index`` of the run; where there is a pool, one of the pool."""

    def batch(index: int) -> Lesson:
        return lesson(recipe.batch, SEEDS + seed, index)

    if recipe.pool is None:
        return batch
    kept = lru_cache(recipe.pool)(batch)
    return lambda index: kept(index % recipe.pool)


@torch.no_grad()
def spoil(lesson: Lesson, generator: torch.Generator) -> tuple[Tensor, Targets]:
    """What is learned from: pictures (n, 3, 64, 64) in [-1, 1], some of them broken,
    most of them worse than drawn, and what should be said of them."""
    images, without, other, empty = (
        part.float() / 127.5 - 1
        for part in (lesson.images, lesson.without, lesson.other, lesson.empty)
    )
    targets, rows, which = lesson.targets, lesson.rows, lesson.which
    clouds, bare = _clouds(empty, generator), lesson.strange
    there = (images[bare] - empty).abs().amax(dim=1, keepdim=True) > 0.04
    boxes = targets.boxes[rows, which]
    images[rows], left = malform(images[rows], without, other, boxes, generator)
    targets = retarget(targets, rows, which, left)
    # A thing that was malformed in a strange place keeps its own background.
    own = ~torch.isin(bare, rows)
    bare, there, clouds = bare[own], there[own], clouds[own]
    images[bare] = torch.where(there, images[bare], clouds)
    targets.background[bare] = PLACES.index(None)
    return degrade(images, generator), targets


def _clouds(images: Tensor, generator: torch.Generator) -> Tensor:
    """Colours that flow into each other: a background of no name."""
    knots = int(torch.randint(2, 9, (), generator=generator, device=images.device))
    options = {"generator": generator, "device": images.device}
    field = torch.randn(len(images), 3, knots, knots, **options)
    field = F.interpolate(field, images.shape[-2:], mode="bicubic", align_corners=True)
    return (0.3 + 0.5 * field).clamp(-1, 1)


def loss(model: Detector, lesson: Lesson, generator: torch.Generator):
    """`detector_loss` of a spoilt batch, and its parts to log."""
    # Autocast would spoil in half precision.
    with torch.autocast(lesson.images.device.type, enabled=False):
        images, targets = spoil(lesson, generator)
    return detector_loss(model(images), targets)


def train(size: str, *, seed: int = 0, out: Path, steps=None, **options) -> None:
    """Train the judge's detector at a size, into ``out``; it is ``out/model`` then."""
    recipe = recipe_of("the judge", size, RECIPES)
    model = Detector.from_size(size, seed=seed)
    history = fit(
        model,
        loss,
        batches(recipe, seed),
        steps=steps or recipe.steps,
        lr=recipe.lr,
        weight_decay=0.02,
        precision="bf16",
        seed=seed,
        out=out,
        settings={"batch": recipe.batch},
        **options,
    )
    if not distributed.is_main():
        return
    model = history.ema
    held_out = replace(recipe, pool=None)
    calibrate(
        model, batches(held_out, seed + 1), spoil, number=4 if size == "smoke" else 20
    )
    card = card_of("judge", seed, size, history)
    card["scores"] = scores(model, 24 if size == "smoke" else 400, seed)
    saved = model.save_pretrained(out / "model", card, half=True, overwrite=True)
    print(f"{saved}: {card['scores']}")


def scores(model: Detector, n: int, seed: int) -> dict:
    """What the card says: of ``n`` new scenes at three sizes, held-out ones among
    them, how often a clause (words aside) holds, fails, or is left open."""
    scenes, found = records(n, SEEDS + seed + 2, 0), {}
    for size in (32, 64, 128):
        readings = model.read(world.draw(scenes, size))
        said = [
            check(clause, reading)
            for scene, reading in zip(scenes, readings, strict=True)
            for clause in clauses(scene)
            if clause.category != "words"
        ]
        shares = {"true": True, "false": False, "unsure": None}
        found[f"{size} px"] = {
            name: round(said.count(value) / len(said), 4)
            for name, value in shares.items()
        }
    return found
