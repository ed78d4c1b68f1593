"""Stable Diffusion's recipe: diffusion of latents, told by a frozen CLIP.

    python -m mmlearn train stable-diffusion --size laptop

The autoencoder comes first, by the recipe `autoencoder` into ``out/autoencoder``; a run
that is there goes on, and a finished one is taken as it is. The text tower is that of
the shipped CLIP. Both are frozen, and so pictures and captions are encoded before the
U-Net sees them, some thousands at a time: see `Encoded`. The scenes are GLIDE's, and
as there four things in two relations come first, then more. Then comes a revision, into
``out/revision``: see `REVISION`. One caption in ten is left out. What is saved in
``out/model`` is the whole model, in ``out/unet/model`` that before the revision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import weights, world
from mmlearn.glide.grammar import GRAMMAR, PLACES, vocabulary
from mmlearn.stable_diffusion import StableDiffusion, config_of, drop_captions
from mmlearn.stable_diffusion.autoencoders import load_autoencoder
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.history import History
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
NOISE, ORDER, AGAIN = 2, 3, 4


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
REVISIONS = {
    "smoke": Plan(steps=4, batch=8, lr=1e-3, ema=0.9, rows=4, epochs=1),
    "laptop": Plan(steps=13_000, batch=32, lr=5e-4),
    "gpu": Plan(steps=15_000, batch=256, lr=2e-4, ema=0.9995, rows=32),
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


@dataclass(frozen=True)
class Mixed(Lesson):
    """A lesson of several worlds at once: shows are as many as there are worlds, and
    rows of scenes take turns in them, so that every batch holds all."""

    shows: tuple[dict, ...]


# After the course (`mmlearn.train.heard --phrases`) it was heard who stands where in
# "a cat on the left and a dog on the right", which says a place beside each name, and
# in "a cat to the left of a dog"; not in "to the right of", "above", "over", "below"
# and "under". There the first name comes before the word that places it, and since the
# text tower only looks back, the name's state says nothing of it. So this is revised
# among few shapes, beside all the rest.
BETWEEN = {"kinds": ("pair",) + ("relation",) * 5, "relations": GRAMMAR.relations}
MANY = {
    "kinds": ("single",) * 3 + ("pair",) * 2 + ("relation",) * 3 + ("count",),
    "name_style": 0.5,
}
REVISION = (
    Mixed(0.30, (FOUR | BETWEEN,) * 2 + (MORE | BETWEEN, MANY), hushed=0.0, noisy=1.0),
    Mixed(0.35, (MORE | BETWEEN, MANY, MANY, MANY), hushed=0.0, noisy=0.5),
    Mixed(0.75, (MORE | BETWEEN, BETWEEN, BETWEEN, MANY), hushed=0.0, noisy=0.5),
    Mixed(1.0, (MANY,), hushed=0.0, noisy=0.0),
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

    steps: of the whole run, for its lessons. seed: of the scenes. course: the lessons.
    """

    model: StableDiffusion
    plan: Plan
    steps: int
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    course: Sequence[Lesson] = COURSE

    def __post_init__(self):
        self._held, self._chunk = None, ()

    @property
    def length(self) -> int:
        """How many steps a chunk lasts."""
        return self.plan.rows * self.plan.epochs

    def lesson(self, chunk: int) -> Lesson:
        """The lesson at the beginning of a chunk."""
        return lesson_at(chunk * self.length / self.steps, self.course)

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
        shows = self.lesson(chunk).shows
        if isinstance(shows, tuple):
            shows = shows[row % len(shows)]
        grammar = replace(TAUGHT, split="train", **shows)
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
    """Train the autoencoder and the U-Net by its course, unless they are there, and
    the U-Net by its revision, into ``out``.

    steps, where given, are of each of the three. skip: see `untrained`.
    """
    plan = recipe_of("Stable Diffusion", size, RECIPES)
    parts = {name: out / name / "model" for name in ("autoencoder", "unet")}
    if not parts["autoencoder"].exists():
        autoencoder.train(size, seed=seed, out=out / "autoencoder", **options)
        distributed.barrier()  # the others wait for what the main one saves
    if not parts["unet"].exists():
        model = untrained(size, seed, parts["autoencoder"], skip)
        history = taught(model, plan, COURSE, seed, out / "unet", **options)
        save(history, size, seed, parts["unet"], parts["autoencoder"])
        distributed.barrier()
    model = StableDiffusion.from_pretrained(parts["unet"])
    for frozen in (model.vae, model.text_encoder):
        frozen.requires_grad_(False)
    plan, again = revised(size, seed)
    history = taught(model, plan, REVISION, again, out / "revision", **options)
    save(history, size, seed, out / "model", *parts.values())


def revised(size: str, seed: int) -> tuple[Plan, int]:
    """The plan of a size's revision, and the seed of its scenes, which are others."""
    return REVISIONS[size], mix(seed, AGAIN)


def taught(
    model: StableDiffusion,
    plan: Plan,
    course: Sequence[Lesson],
    seed: int,
    out: Path,
    **options,
) -> History:
    """Teach a model's U-Net a course of lessons, by a plan; scenes are the seed's."""
    device = distributed.pick_device(options.get("device"))
    model, steps = model.to(device), options.pop("steps", None) or plan.steps
    batches = Encoded(model, plan, steps, seed, device, course)
    return run(
        model, loss_of(model), batches, plan, steps=steps, seed=seed, out=out, **options
    )


def save(history: History, size: str, seed: int, out: Path, *before: Path) -> None:
    """Write a run's average and its card; before: where what it is made of lies."""
    if distributed.is_main():
        card = joint_card(size, seed, history, *map(weights.load_card, before))
        card["scores"] = scores(history.ema)
        saved = history.ema.save_pretrained(out, card, half=True, overwrite=True)
        print(f"{saved}: {card['scores']}")


def joint_card(size: str, seed: int, history, vae: dict, course=None) -> dict:
    """The card of the whole, its curve the last part's.

    vae: the autoencoder's card. course: that of the U-Net before its revision, if it
    has been revised.
    """
    card = card_of("stable-diffusion", seed, size, history)
    kept = ("steps", "seconds", "curve")
    own = {key: card[key] for key in kept}
    parts = {"autoencoder": {key: vae[key] for key in (*kept, "scores")}}
    parts |= {"unet": own}
    if course:
        parts |= {"unet": course["parts"]["unet"], "revision": own}
    card["parts"] = parts
    for key in ("steps", "seconds"):
        card[key] = sum(part[key] for part in parts.values())
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
