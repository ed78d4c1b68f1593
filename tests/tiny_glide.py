"""A GLIDE of a few thousand weights, in which nothing is zero, for the tests of it."""

import dataclasses

import torch

from mmlearn.glide import GLIDE, StageConfig, TextUNet
from mmlearn.paths import data_path
from mmlearn.text.bpe import Tokenizer

BASE = StageConfig(
    image_size=16,
    width=16,
    multiples=(1, 2),
    blocks=1,
    attention_at=(8,),
    vocab=2048,
    context=8,
    text_width=32,
    text_layers=1,
    text_heads=2,
    head_width=16,
    groups=8,
)
UPSAMPLER = dataclasses.replace(
    BASE,
    image_size=32,
    width=8,
    multiples=(1, 2, 2),
    upsamples=True,
    schedule="linear",
)
FAST = {"steps": 2, "progress": False, "stages": {"upsampler": {"steps": 2}}}
PROMPTS = ["a red star", "two blue cubes", ""]


def randomised(stage: TextUNet, seed: int) -> TextUNet:
    """What starts at zero takes part: at the start every guess would be zero."""
    generator = torch.Generator().manual_seed(seed)
    for p in stage.parameters():
        if not p.any():
            scale = p[0].numel() ** -0.5 if p.ndim > 1 else 0.1
            p.data = scale * torch.randn(p.shape, generator=generator)
    return stage


def made(config: StageConfig, seed: int = 0) -> TextUNet:
    """A stage whose weights, all of them random, depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return randomised(TextUNet(config), seed)


def world_words() -> Tokenizer:
    """The vocabulary of the world's captions."""
    return Tokenizer.load(data_path("text", "world_bpe.txt"))


def tiny(**changes) -> GLIDE:
    """Both stages, 16 then 32 px; changes: of both configs."""
    configs = [dataclasses.replace(config, **changes) for config in (BASE, UPSAMPLER)]
    stages = [made(config, seed) for seed, config in enumerate(configs)]
    return GLIDE(*stages, world_words()).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers of a shape, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hole() -> torch.Tensor:
    """A mask (32, 32) of 1 in a square that no pixel of 16 px covers exactly."""
    mask = torch.zeros(32, 32)
    mask[7:20, 9:22] = 1
    return mask
