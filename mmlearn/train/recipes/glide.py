"""GLIDE's recipe: a base, an upsampler, and both again for filling holes (4.1-4.3).

    python -m mmlearn train glide --size laptop

The three parts run one after the other, into ``out/base``, ``out/upsampler`` and
``out/inpainting``; each goes on where it was stopped. A part alone is `glide-base` or
`glide-upsampler`; on two cores these two may run side by side, and `glide` then finds
them finished. One caption in five is left out throughout. What is saved in
``out/model`` is one GLIDE that draws and fills holes.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmlearn import world
from mmlearn.glide import GLIDE, TextUNet, as_8_bit, drop_captions, known_part, tokenize
from mmlearn.glide.grammar import GRAMMAR, vocabulary
from mmlearn.glide.inpainting import shrunk
from mmlearn.glide.masks import random_masks
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
        "base": Part(steps=18_000, batch=64, lr=1.5e-3),
        "upsampler": Part(steps=6_000, batch=16, lr=1.5e-3),
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
# The first twentieth of the base's steps shows one thing on white. Backgrounds are much
# of a picture, and are learned first: where they are there from the start, the
# transformer soon tells beaches from meadows, calls all nouns the same and stays at it.
FIRST, FIRST_WORDS = 0.05, {"kinds": ("single",), "backgrounds": ("white",)}
# Over its last half, when things can be told apart, more scenes show two of them: whose
# colour is whose, and who stands where, is learned last.
LAST = 0.5
LAST_KINDS = ("single",) * 2 + ("pair",) * 2 + ("relation",) * 3 + ("count",)
# It also learns at a tenth of the pace, so that the U-Net can get used to what it says;
# but over the last third at the same: for whose colour is whose, it has to say more.
SLOWER, SLOWER_UNTIL = 0.1, 2 / 3


@dataclass(frozen=True)
class Scenes:
    """Batches of scenes as a stage is taught them; they are functions of a number.

    start: the first scene. split: of `TAUGHT`. easy: how many batches come first that
    show one thing on white. last: the first batch of `LAST_KINDS`, None for none.
    """

    model: GLIDE
    seed: int
    start: int = 0
    split: str = "train"
    easy: int = 0
    last: int | None = None

    def __call__(self, name: str, n: int, index: int) -> tuple[Tensor, ...]:
        """Pictures and tokens, for a base; for an upsampler small pictures also."""
        sizes = [self.model.base.config.image_size]
        if name == "upsampler":
            sizes = [self.model.upsampler.config.image_size, *sizes]
        words = {"split": self.split} | (FIRST_WORDS if index < self.easy else {})
        if self.last is not None and index >= self.last:
            words["kinds"] = LAST_KINDS
        grammar = replace(TAUGHT, **words)
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


def train_stage(name: str, size: str, *, seed: int = 0, out: Path, **options):
    """Train the base or the upsampler, into ``out``; returns its history."""
    model, part = untrained(size, seed), recipe_of("GLIDE", size, RECIPES)[name]
    steps = options.get("steps") or part.steps
    order = {"easy": int(FIRST * steps), "last": int(LAST * steps)}
    scenes = Scenes(model, seed, **(order if name == "base" else {}))
    return run(
        getattr(model, name),
        stage_loss,
        lambda index: scenes(name, part.batch, index),
        part,
        slower={"text": SLOWER},
        slower_until=SLOWER_UNTIL if name == "base" else 1.0,
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
        lambda index: scenes("upsampler", part.batch, index),
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
