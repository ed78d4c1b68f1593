"""The noised CLIP's recipe: a CLIP that reads pictures full of noise (4.4).

    python -m mmlearn train noised-clip --size laptop

It sees scenes of GLIDE's grammar at the base's size, with the base's noise at a step
by lot, and is told the step; the rest is CLIP's. It is small: it need not name things
it has never seen, only pull a half-made picture towards a caption.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.diffusion import Schedule
from mmlearn.diffusion.schedule import noise_like
from mmlearn.glide import NoisedCLIP
from mmlearn.glide.grammar import GRAMMAR
from mmlearn.glide.sizes import SIZES
from mmlearn.paths import data_path
from mmlearn.text.bpe import Tokenizer
from mmlearn.train import distributed
from mmlearn.train.card import card_of, recipe_of
from mmlearn.train.recipes.clip import Recipe, contrast, run, save, shared

RECIPES = {
    "smoke": Recipe(steps=10, batch=16, lr=1e-3),
    "laptop": Recipe(steps=1_500, batch=64, lr=1e-3),
    "gpu": Recipe(steps=20_000, batch=512, lr=5e-4),
}
TOWERS = {
    "smoke": {"embed": 32, "vision_width": 64, "vision_layers": 1, "text_width": 64}
    | {"text_layers": 1},
    "laptop": {"embed": 128, "vision_width": 128, "vision_layers": 3}
    | {"text_width": 128, "text_layers": 2},
    "gpu": {"embed": 256, "vision_width": 384, "vision_layers": 6, "text_width": 256}
    | {"text_layers": 4},
}
PATCH = {"smoke": 8, "laptop": 4, "gpu": 8}


def untrained(size: str, seed: int) -> NoisedCLIP:
    """The noised CLIP of a size, for the base of that size."""
    base = SIZES[size]["base"]
    vocabulary = data_path("text", "world_bpe.txt")
    tokenizer = Tokenizer.load(vocabulary, context=base["context"])
    config = CLIPConfig(
        image_size=base["image_size"],
        patch_size=PATCH[size],
        vocab=base["vocab"],
        context=base["context"],
        **TOWERS[size],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NoisedCLIP(CLIP(config, tokenizer))


def batches(model: NoisedCLIP, recipe: Recipe, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of the run: scenes, all captions different, and tokens.

    Processes share a batch, as CLIP's do.
    """
    grammar = replace(GRAMMAR, split="train")
    size = model.clip.config.image_size

    def batch(index: int) -> tuple[Tensor, Tensor]:
        step, rank = divmod(index, distributed.world())
        options = {"index": step, "grammar": grammar}
        whole = world.different_scenes(recipe.batch, seed, size, **options)
        own = slice(rank, None, shared(recipe.batch))
        return whole.images[own], model.clip.tokenizer(whole.captions[own])

    return batch


def noised_loss(model: NoisedCLIP, batch: tuple, generator: torch.Generator) -> Tensor:
    """CLIP's loss of pictures that were noised as the base's are, each at its own t."""
    images, tokens = batch
    schedule = Schedule.cosine()
    t = torch.randint(
        schedule.T, (len(images),), generator=generator, device=generator.device
    ).to(images.device)
    x_t = schedule.add_noise(images, noise_like(images, generator), t)
    return contrast(model, x_t, tokens, t=t)


def train(size: str, *, seed: int = 0, out: Path, **options) -> None:
    """Train the noised CLIP at a size, into ``out``; the model is ``out/model``."""
    recipe = recipe_of("the noised CLIP", size, RECIPES)
    model = untrained(size, seed)
    made = batches(model, recipe, seed)
    options |= {"precision": "bf16", "seed": seed, "out": out}
    history = run(model, noised_loss, made, recipe, **options)
    if distributed.is_main():
        card = card_of("noised-clip", seed, size, history)
        save(model, out, card | {"scores": scores(model)})


@torch.no_grad()
def scores(model: NoisedCLIP, n: int = 128) -> dict:
    """How often, of ``n`` new scenes and captions, the picture finds its own caption.

    Without noise, and at a quarter, a half and three quarters of the way to pure noise.
    """
    options = {"grammar": replace(GRAMMAR, split="test")}
    scenes = world.different_scenes(n, 5, model.clip.config.image_size, **options)
    tokens = model.clip.tokenizer(scenes.captions).to(model.times.device)
    texts = model.clip.encode_text(tokens)
    generator, schedule = torch.Generator().manual_seed(0), Schedule.cosine()
    found = {}
    for t in (0, 250, 500, 750):
        times = torch.full([n], t)
        noise = noise_like(scenes.images, generator)
        x_t = schedule.add_noise(scenes.images, noise, times)
        x_t, times = x_t.to(texts.device), times.to(texts.device)
        logits = model.encode_image(x_t, times) @ texts.T
        logits = logits / texts.norm(dim=-1)
        right = logits.argmax(dim=1) == torch.arange(n, device=logits.device)
        found[f"own caption of {n}, t = {t}"] = round(right.float().mean().item(), 3)
    return found
