"""Ways to diffuse, in latents or in pixels, and what a step of each costs.

    way = of_latents(model, encoded, plan, seed)
    costs(way, seconds=240)       # parameters, multiplications, memory, steps

For `mmlearn.evaluate.stable_diffusion_trained_latent_pixel` and its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.stable_diffusion_trained_tools import affordable, as_floats
from mmlearn.glide import GLIDE, StageConfig, TextUNet, tokenize
from mmlearn.stable_diffusion import StableDiffusion
from mmlearn.train.precision import autocast
from mmlearn.train.randomness import mix
from mmlearn.train.recipes import stable_diffusion_lesson as lesson
from mmlearn.train.recipes.glide import Part, stage_loss


@dataclass(frozen=True)
class Way:
    """A model and how it is taught. trained: the part that learns. network(): one
    picture once through what every step of a sampler calls; once(): what is besides
    needed for each picture. draws: the model that draws, of a trained copy."""

    model: nn.Module
    loss: Callable
    batches: Callable[[int], tuple]
    plan: Part
    network: Callable[[], object]
    once: Callable[[], object]
    draws: Callable[[nn.Module], Draws]

    @property
    def parameters(self) -> dict[str, float]:
        """Millions of them: those that learn, and those that do not."""
        found = {"trained": 0, "frozen": 0}
        for p in self.model.parameters():
            found["trained" if p.requires_grad else "frozen"] += p.numel()
        return {f"million {whose}": round(n / 1e6, 2) for whose, n in found.items()}


def of_latents(model: StableDiffusion, encoded, plan: Part, seed: int) -> Way:
    """The lesson's way."""
    c = model.config
    x = torch.zeros(1, c.vae.latent, c.latent_size, c.latent_size)
    said = torch.zeros(1, c.text.context, c.text.width)
    return Way(
        model,
        lesson.loss_of(model),
        lesson.batches(encoded, plan, seed),
        plan,
        lambda: model.unet(x, torch.zeros(1).long(), said),
        lambda: model.decode(x),
        lambda trained: trained,
    )


def of_pixels(config: dict, pictures: Tensor, captions, plan: Part, seed: int) -> Way:
    """GLIDE's U-Net and text transformer of these numbers, on pictures (n, 3, s, s) in
    whole numbers of 0 … 255, and their captions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stage = TextUNet(StageConfig(**config))
    stage = stage.to(memory_format=torch.channels_last)
    tokenizer = GLIDE.from_size("smoke", upsampler=False).tokenizer
    tokens = tokenize(captions, tokenizer, stage.config.context)
    per_epoch = len(pictures) // plan.batch

    def batch(index: int) -> tuple[Tensor, Tensor]:
        epoch, row = divmod(index, per_epoch)
        lot = torch.Generator().manual_seed(mix(seed, epoch, lesson.ORDER))
        order = torch.randperm(len(pictures), generator=lot)
        chosen = order[row * plan.batch :][: plan.batch]  # as in the latents' way
        return as_floats(pictures[chosen]), tokens[chosen]

    x = torch.zeros(1, 3, stage.config.image_size, stage.config.image_size)
    nothing = torch.full((1, stage.config.context), -1)
    return Way(
        stage,
        stage_loss,
        batch,
        plan,
        lambda: stage(x, torch.zeros(1).long(), nothing),
        lambda: None,
        lambda trained: GLIDE(trained, None, tokenizer),
    )


def multiplications(call: Callable[[], object]) -> float:
    """How many of them a call takes, in millions."""
    # Written as matrices, attention is counted like all else.
    with (
        torch.no_grad(),
        FlopCounterMode(display=False) as count,
        sdpa_kernel(SDPBackend.MATH),
    ):
        call()
    return count.get_total_flops() / 2 / 1e6  # a flop counter's two: multiply and add


def a_step(way: Way) -> Tensor:
    """The loss of the first batch, as it is computed in training."""
    with autocast("bf16", torch.device("cpu")), sdpa_kernel(SDPBackend.MATH):
        found = way.loss(way.model, way.batches(0), torch.Generator().manual_seed(0))
    return found[0] if isinstance(found, tuple) else found


def activations(way: Way) -> int:
    """Bytes that a step of training keeps for its backward pass, each memory once.

    Weights are not counted: they are there anyway.
    """
    held: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in way.model.parameters()}

    def keep(x: Tensor) -> Tensor:
        memory = x.untyped_storage()
        if memory.data_ptr() not in own:
            held[memory.data_ptr()] = memory.nbytes()
        return x

    # Until the loss is let go of, no memory is used twice.
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = a_step(way)
    del loss
    return sum(held.values())


def costs(way: Way, seconds: float, tries: int = 5) -> dict:
    """What a way costs, and how many steps it can afford in so many seconds; tries: by
    how many steps that is measured."""
    steps, each = affordable(lambda: a_step(way).backward(), seconds, tries)
    way.model.zero_grad()
    return way.parameters | {
        "million multiplications": round(multiplications(way.network), 1),
        "once a picture": round(multiplications(way.once), 1),
        "MB of activations": round(activations(way) / 1e6, 1),
        "seconds a step": round(each, 4),
        "steps": steps,
    }
