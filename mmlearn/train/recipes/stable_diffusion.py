"""Stable Diffusion's recipe: diffusion of latents, told by a frozen CLIP.

    python -m mmlearn train stable-diffusion --size laptop

The autoencoder comes first, by the recipe `autoencoder` into ``out/autoencoder``; a run
that is there goes on, and a finished one is taken as it is. The text tower is that of
the shipped CLIP. Both are frozen, and so pictures and captions are encoded before the
U-Net sees them, some thousands at a time: see `Encoded`. The scenes are GLIDE's, and
as there four things in two relations come first, then more. One caption in ten is
left out. What is saved in ``out/model`` is the whole model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import weights, world
from mmlearn.glide.grammar import PLACES, vocabulary
from mmlearn.stable_diffusion import StableDiffusion, config_of, drop_captions
from mmlearn.stable_diffusion.autoencoders import load_autoencoder
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.precision import autocast
from mmlearn.train.randomness import mix
from mmlearn.train.recipes import autoencoder
from mmlearn.train.recipes.autoencoder import trained_clip
from mmlearn.train.recipes.glide import (
    FEW,
    FOUR,
    MORE,
    TAUGHT,
    Lesson,
    Part,
    lesson_at,
    run,
    times,
)

# Numbers that `fit` does not use tell apart what is drawn from one seed.
NOISE, ORDER = 2, 3


@dataclass(frozen=True)
class Plan(Part):
    """A `Part`, and how its scenes are encoded: the scenes of `rows` batches at once,
    each of which is seen `epochs` times before the next are encoded."""

    rows: int = 64
    epochs: int = 6


RECIPES = {
    "smoke": Plan(steps=10, batch=8, lr=2e-3, ema=0.9, rows=2, epochs=2),
    "laptop": Plan(steps=13_000, batch=64, lr=8e-4),
    "gpu": Plan(steps=40_000, batch=256, lr=3e-4, ema=0.9995, rows=32),
}

# GLIDE's course, in less time: words that come from a CLIP are heard where they belong
# within a thousand steps of four things, and nothing need be withheld for it. (Trials
# of 1,200 steps of 32, of one seed, not in the repository: the twin's caption does 16 %
# worse in order and 15 in binding; with the states after a caption's end withheld 26
# and 7, and whole captions then say nothing.) Numbers and styles, GLIDE's weakest, are
# asked for more often than there.
PLAIN = {
    "backgrounds": PLACES[:4],
    "kinds": ("single", "single", "pair", "relation", "count"),
    "name_style": 0.5,
}
ALL = {
    "kinds": ("single",) * 3 + ("pair",) * 2 + ("relation",) * 2 + ("count",) * 2,
    "name_style": 0.5,
}
COURSE = (
    Lesson(until=0.06, shows=FOUR, hushed=0.0, noisy=0.5),
    Lesson(until=0.12, shows=MORE, hushed=0.0, noisy=0.5),
    Lesson(until=0.21, shows=FEW, hushed=0.0, noisy=0.5),
    Lesson(until=0.36, shows=PLAIN, hushed=0.0, noisy=0.5),
    Lesson(until=0.80, shows=ALL, hushed=0.0, noisy=0.5),
    Lesson(until=1.0, shows=ALL, hushed=0.0, noisy=0.0),
)


@dataclass
class Encoded:
    """Batches of latents and words' states, from scenes that are encoded once.

    At laptop size to draw and encode a batch was measured to take 0.38 s of one core,
    and a step 0.51 s. So the scenes of `rows` batches are encoded together, kept in
    half precision, and each is seen `epochs` times: encoding then costs an eighth of a
    step.

    A batch is a function of its number: of the chunk it is in, which is encoded when
    first asked for, and of how that chunk is shuffled for this epoch. The scene in
    column j of a batch is one of the chunk's column j, so that of several processes
    each need encode its own columns only, and together they see what one would.

    steps: of the whole run, for its lessons. seed: of the scenes.
    """

    model: StableDiffusion
    plan: Plan
    steps: int
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self):
        self._held, self._chunk = None, ()

    @property
    def length(self) -> int:
        """How many steps a chunk lasts."""
        return self.plan.rows * self.plan.epochs

    def lesson(self, chunk: int) -> Lesson:
        """The lesson at the beginning of a chunk."""
        return lesson_at(chunk * self.length / self.steps, COURSE)

    def __call__(self, index: int) -> tuple[Tensor, Tensor, float]:
        """Batch number ``index``: latents (n, c, h, w), states (n, t, width), and how
        the lesson draws the times."""
        step, rank = divmod(index, distributed.world())
        chunk, step = divmod(step, self.length)
        epoch, row = divmod(step, self.plan.rows)
        lot = torch.Generator().manual_seed(mix(self.seed, chunk, epoch, ORDER))
        lots = torch.rand(self.plan.rows, self.plan.batch, generator=lot)
        columns = self.columns(rank)
        rows = lots.argsort(dim=0)[row][columns]
        if self._held != (chunk, rank):
            self._chunk = ()  # there need not be room for two
            self._held, self._chunk = (chunk, rank), self.encode(chunk, rank)
        latents, text = (x[rows, torch.arange(len(rows))] for x in self._chunk)
        return latents.float(), text.float(), self.lesson(chunk).noisy

    def columns(self, rank: int) -> slice:
        """Which scenes of each row are a process's own."""
        own = self.plan.batch // distributed.world()
        return slice(rank * own, (rank + 1) * own)

    def encode(self, chunk: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """A chunk's latents (rows, n, c, h, w) and states (rows, n, t, width)."""
        rows = [self.encode_row(chunk, row, rank) for row in range(self.plan.rows)]
        latents, text = zip(*rows, strict=True)
        return torch.stack(latents), torch.stack(text)

    @torch.no_grad()
    def encode_row(self, chunk: int, row: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """One row of a chunk, in half precision."""
        columns = self.columns(rank)
        start = (chunk * self.plan.rows + row) * self.plan.batch + columns.start
        n = columns.stop - columns.start
        grammar = replace(TAUGHT, split="train", **self.lesson(chunk).shows)
        size = self.model.image_size
        scenes = world.scenes(n, self.seed, size, start=start, grammar=grammar)
        lots = [
            torch.Generator().manual_seed(mix(self.seed, start + column, NOISE))
            for column in range(n)
        ]
        # In bf16 the encoder takes less than half as long.
        with autocast("bf16", self.device):
            latents = self.model.encode(scenes.images, lots)
            text = self.model.encode_text(scenes.captions)
        return latents.half().cpu(), text.half().cpu()


def loss_of(model: StableDiffusion) -> Callable:
    """The U-Net's loss: the error of what it predicts, of noisy latents.

    In GLIDE's lessons times are drawn with a density that rises as t to some power:
    what a caption asks for is decided where there is much noise.
    """
    with torch.no_grad():
        empty = model.encode_text([""])

    def loss(model: StableDiffusion, batch: tuple, generator: torch.Generator):
        latents, text, noisy = batch
        text = drop_captions(text, empty, generator)
        t = times(model.schedule.T, len(latents), noisy, generator)
        terms = model.objective.terms(model.unet, (latents, text), t, generator)
        return terms["mse"].mean()

    return loss


def untrained(size: str, seed: int, vae_of: Path, skip: int = 0) -> StableDiffusion:
    """The model of a size, with a trained autoencoder and the shipped CLIP's words.

    vae_of: where the autoencoder was saved. skip: how many of the text tower's last
    blocks are left out, 0 as in Stable Diffusion 1 or 1 as in 2.
    Raises WeightsError for an autoencoder of another size.
    """
    vae, trained = load_autoencoder(vae_of)
    config = config_of(size)
    if (trained.vae, trained.image_size) != (config.vae, config.image_size):
        raise weights.WeightsError(
            f"{vae_of} is an autoencoder for pictures of {trained.image_size} px, and "
            f"not the one of size {size!r}: choose another folder, or the size that it "
            "was trained at"
        )
    model = StableDiffusion.from_size(size, clip=trained_clip(), seed=seed)
    text = replace(model.config.text, skip=skip)
    model.config = replace(model.config, text=text, scale=trained.scale)
    model.vae.load_state_dict(vae.state_dict())
    model.vae.requires_grad_(False)
    model.words = frozenset(vocabulary())
    return model


def train(size: str, *, seed: int = 0, out: Path, skip: int = 0, **options) -> None:
    """Train the autoencoder, unless it is there, and the U-Net, into ``out``.

    steps, where given, are of each of them. skip: see `untrained`.
    """
    plan = recipe_of("Stable Diffusion", size, RECIPES)
    first = out / "autoencoder"
    if not (first / "model").exists():
        autoencoder.train(size, seed=seed, out=first, **options)
        distributed.barrier()  # the others wait for what the main one saves
    device = distributed.pick_device(options.get("device"))
    model = untrained(size, seed, first / "model", skip).to(device)
    steps = options.pop("steps", None) or plan.steps
    history = run(
        model,
        loss_of(model),
        Encoded(model, plan, steps, seed, device),
        plan,
        steps=steps,
        seed=seed,
        out=out / "unet",
        **options,
    )
    if distributed.is_main():
        card = joint_card(size, seed, history, weights.load_card(first / "model"))
        card["scores"] = scores(history.ema)
        saved = history.ema.save_pretrained(
            out / "model", card, half=True, overwrite=True
        )
        print(f"{saved}: {card['scores']}")


def joint_card(size: str, seed: int, history, first: dict) -> dict:
    """The card of the whole, its curve the U-Net's; first: the autoencoder's card."""
    card = card_of("stable-diffusion", seed, size, history)
    kept = ("steps", "seconds", "curve")
    card["parts"] = {
        "autoencoder": {key: first[key] for key in (*kept, "scores")},
        "unet": {key: card[key] for key in kept},
    }
    for key in ("steps", "seconds"):
        card[key] += first[key]
    return card


@torch.no_grad()
def scores(model: StableDiffusion, n: int = 128) -> dict:
    """What the card says: the U-Net's error at t = 600 of latents of ``n`` new scenes,
    told their own captions, other scenes' and none.

    Whether the pictures are right is for the judge to say.
    """
    options = {"grammar": replace(TAUGHT, split="test")}
    scenes = world.scenes(n, 5, model.image_size, **options)
    latents = torch.cat([model.encode(some) for some in scenes.images.split(32)])
    text = model.encode_text(scenes.captions)
    told = {"own": text, "others'": text.roll(1, 0)}
    told["empty"] = model.encode_text([""]).expand_as(text)
    found = {}
    for whose, said in told.items():
        generator = torch.Generator().manual_seed(0)
        t = torch.full([n], 600)
        terms = model.objective.terms(model.unet, (latents, said), t, generator)
        found[f"{whose} captions"] = round(terms["mse"].mean().item(), 5)
    return found
