"""GLIDE's recipe: a base, an upsampler, and both again for filling holes (4.1-4.3).

    python -m mmlearn train glide --size laptop

The three parts run one after the other, into ``out/base``, ``out/upsampler`` and
``out/inpainting``; each goes on where it was stopped. A part alone is `glide-base` or
`glide-upsampler`; `glide` then finds it finished. Two cores are used best by two
processes, and the base's long run gains by being compiled:

    OMP_NUM_THREADS=1 torchrun --nproc_per_node=2 -m mmlearn train glide-base --compile

One caption in five is left out throughout. What is saved in
``out/model`` is one GLIDE that draws and fills holes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmlearn import world
from mmlearn.glide import (
    GLIDE,
    PADDING,
    TextTransformer,
    TextUNet,
    as_8_bit,
    drop_captions,
    known_part,
    tokenize,
)
from mmlearn.glide.grammar import GRAMMAR, PLACES, vocabulary
from mmlearn.glide.inpainting import shrunk
from mmlearn.glide.masks import random_masks
from mmlearn.glide.stage import Reading
from mmlearn.train import distributed, fit
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.history import History
from mmlearn.world.render import draw


@dataclass(frozen=True)
class Part:
    """How many pictures a step, how many steps; ema: the decay of the average."""

    steps: int
    batch: int
    lr: float
    ema: float = 0.999


RECIPES = {
    "smoke": {
        "base": Part(steps=12, batch=8, lr=2e-3, ema=0.9),
        "upsampler": Part(steps=6, batch=4, lr=2e-3, ema=0.9),
        "inpainting": Part(steps=4, batch=4, lr=1e-3, ema=0.9),
    },
    "laptop": {
        "base": Part(steps=23_500, batch=64, lr=8e-4),
        "upsampler": Part(steps=4_000, batch=16, lr=1.5e-3),
        "inpainting": Part(steps=1_200, batch=16, lr=3e-4),
    },
    "gpu": {
        "base": Part(steps=40_000, batch=256, lr=3e-4, ema=0.9995),
        "upsampler": Part(steps=15_000, batch=64, lr=3e-4),
        "inpainting": Part(steps=4_000, batch=64, lr=1e-4),
    },
}
INPAINTING = 500_000_000  # the first scene that the last part sees: none seen before
# Half of the scenes show one thing: nouns are learned from large drawings.
TAUGHT = replace(GRAMMAR, kinds=("single",) * 3 + ("pair", "relation", "count"))
SLOWER = 0.1  # the upsampler's text, of the others' pace, so that it hears steady words


@dataclass(frozen=True)
class Lesson:
    """What a part of the base's course is like.

    until: where it ends, as a part of all steps. shows: what of `TAUGHT` is other.
    hushed: from how many captions the last state is withheld (see `hushed_reading`).
    noisy: times are drawn with a density that rises as t to this power, 0 for evenly.
    """

    until: float
    shows: dict
    hushed: float
    noisy: float


# Whose colour is whose, and who stands where, is learned late and all at once, by one
# who already knows the things. So the course begins with four things and two relations,
# where that takes some hundred steps, and then adds relations, things and backgrounds.
# (Trials, of one seed: begun with eighteen things in four relations, it had not come
# after 4,000 steps.) With painted backgrounds from the start, much of a picture, the
# transformer soon tells beaches from meadows, calls all nouns the same and stays at it.
#
# The last state tells all places the same, and training finds that easy way first: it
# then draws two half-breeds where two things are asked for. So it is withheld until
# words are heard where they belong. What a caption asks for is decided where there is
# much noise, so that is where training is, until there are outlines to learn.
FOUR = {
    "things": (),
    "shapes": ("star", "heart"),
    "colours": ("red", "blue"),
    "backgrounds": ("white",),
    "kinds": ("single", "pair", "relation", "relation"),
    "relations": ("left of", "right of"),
}
MORE = FOUR | {
    "shapes": ("star", "heart", "square", "triangle"),
    "colours": ("red", "blue", "green", "yellow"),
    "relations": GRAMMAR.relations,
}
FEW = MORE | {
    "things": ("cat", "penguin", "tree", "apple", "fish", "house"),
    "artists": ("noto",),
    "name_style": 0.0,
}
PLAIN = {
    "backgrounds": PLACES[:4],
    "kinds": ("single", "single", "pair", "relation"),
}
ALL = {"kinds": ("single",) * 3 + ("pair",) * 2 + ("relation",) * 2 + ("count",)}
COURSE = (
    Lesson(until=0.09, shows=FOUR, hushed=1.0, noisy=0.5),
    Lesson(until=0.16, shows=MORE, hushed=1.0, noisy=0.5),
    Lesson(until=0.29, shows=FEW, hushed=1.0, noisy=1.0),
    Lesson(until=0.52, shows=PLAIN, hushed=0.75, noisy=1.0),
    Lesson(until=0.86, shows=ALL, hushed=0.75, noisy=0.5),
    Lesson(until=1.0, shows=ALL, hushed=0.25, noisy=0.0),
)


def lesson_at(progress: float, course: Sequence[Lesson] = COURSE) -> Lesson:
    """The lesson after a part of the course, 0 … 1."""
    return next(lesson for lesson in course if progress < lesson.until)


@dataclass(frozen=True)
class Scenes:
    """Batches of scenes as a stage is taught them; they are functions of a number.

    start: the first scene. split: of `TAUGHT`.
    """

    model: GLIDE
    seed: int
    start: int = 0
    split: str = "train"

    def __call__(self, name: str, n: int, index: int, **shows) -> tuple[Tensor, ...]:
        """Pictures and tokens, for a base; for an upsampler small pictures also.

        shows: what of `TAUGHT` is other.
        """
        sizes = [self.model.base.config.image_size]
        if name == "upsampler":
            sizes = [self.model.upsampler.config.image_size, *sizes]
        grammar = replace(TAUGHT, split=self.split, **shows)
        options = {"start": self.start + index * n, "grammar": grammar}
        scenes = world.scenes(n, self.seed, sizes[0], **options)
        context = self.model.base.config.context
        tokens = tokenize(scenes.captions, self.model.tokenizer, context)
        small = [as_8_bit(draw(scenes.records, size)) for size in sizes[1:]]
        return scenes.images, tokens, *small


def stage_loss(stage: TextUNet, batch: tuple, generator: torch.Generator):
    """A stage's objective, where captions are now and then left out."""
    images, tokens, *beside = batch
    tokens = drop_captions(tokens, generator)
    return stage.objective(stage, (images, tokens, *beside), generator)


def times(T: int, n: int, noisy: float, generator: torch.Generator) -> Tensor:
    """``n`` of 0 … T - 1, with a density that rises as t to the power ``noisy``."""
    lot = torch.rand(n, generator=generator, device=generator.device)
    return (T * lot ** (1 / (1 + noisy))).long().clamp(max=T - 1)


def base_loss(stage: TextUNet, batch: tuple, generator: torch.Generator):
    """A base's objective, in one of its lessons: (pictures, tokens, hushed, noisy)."""
    images, tokens, hushed, noisy = batch
    tokens = drop_captions(tokens, generator)
    t = times(stage.schedule.T, len(tokens), noisy, generator)
    lot = torch.rand(len(tokens), 1, generator=generator, device=generator.device)
    withheld = (lot < hushed).to(tokens.device)

    def network(x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        return stage.guess(x_t, t, hushed_reading(stage, tokens, withheld))

    terms = stage.objective.terms(network, (images, tokens), t, generator)
    means = {name: term.mean() for name, term in terms.items()}
    return sum(means.values()), means


def hushed_reading(stage: TextUNet, tokens: Tensor, withheld: Tensor) -> Reading:
    """What the U-Net is told of captions, where some last states are withheld.

    withheld (n, 1): for which of them the last state is the empty caption's, so that
    only keys and values say what it asks for.
    """
    states = stage.text(F.pad(tokens, (0, 0, 0, 1), value=PADDING))  # and an empty one
    states, empty = states[:-1], states[-1:]
    vector = torch.where(withheld, empty[:, -1], states[:, -1])
    return Reading(vector, stage.unet.read(states))


def inpainting_loss(model: GLIDE, batch: tuple, generator: torch.Generator):
    """Both stages' objectives, told what is known outside of the same holes."""
    images, tokens, low_res = batch
    masks = random_masks(len(images), images.shape[-1], generator).to(images.device)
    tokens = drop_captions(tokens, generator)
    small = shrunk(images, masks, low_res.shape[-1])[1]
    base = (low_res, tokens, None, known_part(low_res, small))
    upsampler = (images, tokens, low_res, known_part(images, masks))
    losses = {
        name: stage.objective(stage, told, generator)[0]
        for name, stage, told in (
            ("base", model.base, base),
            ("upsampler", model.upsampler, upsampler),
        )
    }
    return sum(losses.values()), losses


def untrained(size: str, seed: int) -> GLIDE:
    """The model of a size; it knows the words of what it will be taught."""
    recipe_of("GLIDE", size, RECIPES)
    model = GLIDE.from_size(size, seed=seed)
    model.words = frozenset(vocabulary())
    return model


def run(model: nn.Module, loss, batches: Callable, part: Part, **options) -> History:
    """`fit` by a part's numbers; in bf16 also on a CPU, where it is faster.

    On a CPU attention is computed as written, in matrices: for a hundred places that
    was measured to train a tenth faster than the kernel for long sequences.
    """
    options["steps"] = options.pop("steps", None) or part.steps
    device = distributed.pick_device(options.get("device"))
    on_cpu = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with on_cpu:
        return fit(
            model,
            loss,
            batches,
            lr=part.lr,
            ema=part.ema,
            precision="bf16",
            settings={"batch": part.batch},
            **options,
        )


@torch.no_grad()
def tell_words_apart(text: TextTransformer) -> None:
    """Take back what `TextTransformer` starts with so that its last state hears much.

    It makes every state hear much, and the states of one caption are then nearly the
    same: no start for a U-Net that is to look from one word to the other.
    """
    for block in text.transformer.blocks:
        block.attention.out.weight.div_(len(text.positions) ** 0.5)


def train_stage(name: str, size: str, *, seed: int = 0, out: Path, **options):
    """Train the base or the upsampler, into ``out``; returns its history."""
    model, part = untrained(size, seed), recipe_of("GLIDE", size, RECIPES)[name]
    scenes, steps = Scenes(model, seed), options.get("steps") or part.steps

    # Several processes share a step's batch.
    def base(index: int) -> tuple:
        processes = distributed.world()
        lesson = lesson_at(index // processes / steps)
        shown = scenes(name, part.batch // processes, index, **lesson.shows)
        return *shown, lesson.hushed, lesson.noisy

    def upsampler(index: int) -> tuple:
        return scenes(name, part.batch // distributed.world(), index)

    stage, is_base = getattr(model, name), name == "base"
    if is_base:
        tell_words_apart(stage.text)
    else:
        options["slower"] = {"text": SLOWER}
    return run(
        stage,
        base_loss if is_base else stage_loss,
        base if is_base else upsampler,
        part,
        seed=seed,
        out=out,
        **options,
    )


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train all three parts at a size; steps, where given, are of each part."""
    model = untrained(size, seed)
    done = {}
    for name in ("base", "upsampler"):
        done[name] = train_stage(name, size, seed=seed, out=out / name, **options)
        setattr(model, name, done[name].ema)
    part = RECIPES[size]["inpainting"]
    model = model.for_inpainting()
    scenes = Scenes(model, seed, start=INPAINTING)
    done["inpainting"] = run(
        model,
        inpainting_loss,
        lambda index: scenes("upsampler", part.batch // distributed.world(), index),
        part,
        slower={"base.text": SLOWER, "upsampler.text": SLOWER},
        seed=seed,
        out=out / "inpainting",
        **options,
    )
    if distributed.is_main():
        card = joint_card(size, seed, done)
        model = done["inpainting"].ema
        card["scores"] = scores(model)
        saved = model.save_pretrained(out / "model", card, half=True, overwrite=True)
        print(f"{saved}: {card['scores']}")


def joint_card(size: str, seed: int, done: dict[str, History]) -> dict:
    """The card of the whole, its curve the base's, with what is each part's."""
    card = card_of("glide", seed, size, done["base"])
    each = {name: card_of("glide", seed, size, h) for name, h in done.items()}
    card["parts"] = {
        name: {key: c[key] for key in ("steps", "seconds", "curve")}
        for name, c in each.items()
    }
    for key in ("steps", "seconds"):
        card[key] = sum(c[key] for c in each.values())
    return card


@torch.no_grad()
def scores(model: GLIDE, n: int = 128) -> dict:
    """What the card says: each stage's error at t = 600 of ``n`` new scenes, told
    their own captions, other scenes' and none.

    Whether the pictures are right is for the judge to say: `mmlearn evaluate glide`.
    """
    scenes = Scenes(model, 5, split="test")
    found = {}
    for name in ("base", "upsampler"):
        stage = getattr(model, name)
        images, tokens, *small = scenes(name, n, 0)
        t = torch.full([n], 600)
        told = {"own": tokens, "others'": tokens.roll(1, 0)}
        told["empty"] = torch.full_like(tokens, -1)
        for whose, said in told.items():
            generator = torch.Generator().manual_seed(0)
            batch = (images, said, *small)
            batch = tuple(x.to(model.device) for x in batch)
            terms = stage.objective.terms(stage, batch, t, generator)
            error = terms["mse"].mean().item()
            found[f"{name}, {whose} captions"] = round(error, 5)
    return found
