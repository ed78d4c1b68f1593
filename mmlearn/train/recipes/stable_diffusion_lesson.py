"""The Stable Diffusion chapter's own training: one thing at a time, in four minutes.

    python -m mmlearn train stable-diffusion-lesson --size laptop

The autoencoder and the text tower are those of the shipped model and stay as they are;
the U-Net is as large as the shipped one and begins anew. It is shown the small world of
GLIDE's lesson (`mmlearn.train.recipes.glide_lesson`), at twice the side. Since what
makes latents and states is frozen, some thousand scenes are encoded once, before the
training, and the U-Net never waits for a picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import progress, world
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.stable_diffusion import StableDiffusion, drop_captions, measure_scale
from mmlearn.text.bpe import split_words
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.history import History
from mmlearn.train.precision import autocast
from mmlearn.train.randomness import mix
from mmlearn.train.recipes.glide import Part, run
from mmlearn.train.recipes.glide_lesson import GRAMMAR, PROMPTS

__all__ = ["GRAMMAR", "PROMPTS", "RECIPES", "Encoded", "Plan", "encode", "train"]

AT_ONCE = 64  # pictures that are encoded together
LATENTS, ORDER = 4, 5  # tell apart what is drawn from one seed; `fit` uses neither


@dataclass(frozen=True)
class Plan(Part):
    """A `Part`, and how many scenes are encoded for it."""

    scenes: int = 3_072


RECIPES = {
    "smoke": Plan(steps=10, batch=8, lr=2e-3, ema=0.9, scenes=32),
    "laptop": Plan(steps=1_000, batch=32, lr=1e-3, ema=0.995),
    "gpu": Plan(steps=6_000, batch=128, lr=5e-4, ema=0.999, scenes=16_384),
}


@dataclass(frozen=True)
class Encoded:
    """Scenes as a U-Net is shown them.

    latents (n, c, h, w), scaled. text (m, t, width): the states of the m different
    captions. said (n,): which of these is whose.
    """

    latents: Tensor
    text: Tensor
    said: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and states (k, t, width) of the scenes ``chosen`` (k,)."""
        return self.latents[chosen], self.text[self.said[chosen]]


def scenes(
    n: int,
    seed: int,
    size: int,
    start: int = 0,
    split: str = "train",
    grammar: world.Grammar = GRAMMAR,
) -> world.Batch:
    """``n`` of the lesson's scenes, or of another grammar's, with pictures of ``size``
    px."""
    options = {"start": start, "grammar": grammar, "split": split}
    return world.scenes(n, seed, size, **options)


def untrained(
    size: str, seed: int, source: str | Path = "laptop", device: str = "cpu"
) -> StableDiffusion:
    """A trained model whose U-Net is made anew, of the same numbers; at size smoke a
    tiny one of which nothing was trained.

    source: as for `StableDiffusion.from_pretrained`, which raises WeightsError.
    """
    recipe_of("the Stable Diffusion chapter", size, RECIPES)
    if size == "smoke":
        model = StableDiffusion.from_size("smoke", seed=seed)
    else:
        model = StableDiffusion.from_pretrained(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.unet = LatentUNet(model.config.unet)
    model.vae.requires_grad_(False)
    model.words = words()
    if size == "smoke":
        with torch.no_grad():
            few = scenes(AT_ONCE, seed, model.image_size).images
            model.scale = measure_scale(model.encode(few, lots(seed, range(AT_ONCE))))
    return model.to(device, memory_format=torch.channels_last)


def words(grammar: world.Grammar = GRAMMAR) -> frozenset[str]:
    """The words that the lesson's captions say, or another grammar's."""
    # Of some seventy different ones, each comes several times.
    said = (world.caption(world.compose(grammar, 0, i)) for i in range(500))
    return frozenset(word for caption in said for word in split_words(caption))


@torch.no_grad()
def encode(
    model: StableDiffusion, n: int, seed: int, grammar: world.Grammar = GRAMMAR
) -> Encoded:
    """The lesson's first ``n`` scenes, or a grammar's: each latent is drawn once."""
    captions, latents, size = [], [], model.image_size
    with progress.bar(n, "scene", desc="encoding", delay=2, leave=False) as line:
        for start in range(0, n, AT_ONCE):
            many = min(AT_ONCE, n - start)
            some = scenes(many, seed, size, start, grammar=grammar)
            numbers = range(start, start + many)
            # In bf16 the encoder takes less than half as long.
            with autocast("bf16", model.device):
                drawn = model.encode(some.images, lots(seed, numbers))
            latents.append(drawn.float().cpu())
            captions += some.captions
            line.update(many)
    different = sorted(set(captions))
    place = {caption: i for i, caption in enumerate(different)}
    text = model.encode_text(different).cpu()
    said = torch.tensor([place[caption] for caption in captions])
    return Encoded(torch.cat(latents), text, said)


def lots(seed: int, numbers: Sequence[int]) -> list[torch.Generator]:
    """What each scene's latent is drawn with, whatever stands beside it."""
    return [torch.Generator().manual_seed(mix(seed, i, LATENTS)) for i in numbers]


def batches(encoded: Encoded, plan: Part, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: latents (b, c, h, w), states (b, t, width).

    Every scene is seen once an epoch, in another order each time. What does not fill
    a batch waits for the next epoch.
    """
    per_epoch = len(encoded) // plan.batch
    if not per_epoch:
        raise ValueError(
            f"a batch of {plan.batch} needs as many scenes at least, not {len(encoded)}"
        )

    def batch(index: int) -> tuple[Tensor, Tensor]:
        epoch, row = divmod(index, per_epoch)
        lot = torch.Generator().manual_seed(mix(seed, epoch, ORDER))
        order = torch.randperm(len(encoded), generator=lot)
        return encoded.rows(order[row * plan.batch :][: plan.batch])

    return batch


def loss_of(model: StableDiffusion) -> Callable:
    """The U-Net's loss, where one caption in ten is left out: for `run`."""
    with torch.no_grad():
        empty = model.encode_text([""])

    def loss(model: StableDiffusion, batch: tuple, generator: torch.Generator):
        latents, text = batch
        text = drop_captions(text, empty, generator)
        return model.objective(model.unet, (latents, text), generator)

    return loss


def taught(
    model: StableDiffusion, encoded: Encoded, plan: Part, seed: int, **options
) -> History:
    """The training itself; the model of its history's ``ema`` is the one that draws."""
    made = batches(encoded, plan, seed)
    return run(model, loss_of(model), made, plan, seed=seed, **options)


def train(
    size: str,
    *,
    seed: int = 0,
    out: Path,
    source: str | Path = "laptop",
    **options,
) -> None:
    """Train the lesson's model at a size, into ``out``; it is ``out/model`` then.

    source: whose autoencoder and text tower, see `untrained`.
    """
    device = str(distributed.pick_device(options.get("device")))
    model, plan = untrained(size, seed, source, device), RECIPES[size]
    encoded = encode(model, plan.scenes, seed)
    history = taught(model, encoded, plan, seed, out=out, **options)
    if distributed.is_main():
        card = card_of("stable-diffusion-lesson", seed, size, history)
        saved = history.ema.save_pretrained(
            out / "model", card, half=True, overwrite=True
        )
        print(saved)
