"""A tiny Stable Diffusion, in which nothing is zero, for the tests of it.

Also the same networks in diffusers and transformers, by their own names.
"""

import torch

from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.paths import data_path
from mmlearn.stable_diffusion import (
    StableDiffusion,
    StableDiffusionConfig,
    TextConfig,
)
from mmlearn.text.bpe import Tokenizer

GROUPS, TEXT, CONTEXT = 8, 32, 12
# Two channels a group at least: of one, a norm leaves nothing but its sign.
VAE = AutoencoderConfig(width=8, multiples=(1, 2, 3), blocks=2, groups=4)
FIRST = LatentUNetConfig(  # heads as in Stable Diffusion 1
    width=16,
    multiples=(1, 2, 3),
    blocks=2,
    attention_at=(1, 2),
    text_width=TEXT,
    heads=4,
    groups=GROUPS,
)
SECOND = LatentUNetConfig(**vars(FIRST) | {"heads": None, "head_width": 8})
WORDS = TextConfig(vocab=2048, context=CONTEXT, width=TEXT, layers=3, head_width=8)
CONFIG = StableDiffusionConfig(
    image_size=32, vae=VAE, unet=FIRST, text=WORDS, scale=0.3
)
SECOND_CONFIG = StableDiffusionConfig(
    image_size=32,
    vae=VAE,
    unet=SECOND,
    text=TextConfig(
        **vars(WORDS) | {"activation": "gelu", "skip": 1, "padding": "zero"}
    ),
    scale=0.3,
    predicts="v",
)
FAST = {"steps": 3, "progress": False}
PROMPTS = ["a red star", "two blue cubes", ""]


def randomised(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every weight at a realistic scale, norms near 1; nothing left at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator).to(p)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                norm = "norm" in name or "ln_" in name
                p.copy_(0.2 * noise + (norm and name.endswith("weight")))
    return model


def world_words(context: int = CONTEXT) -> Tokenizer:
    """The vocabulary of the world's captions."""
    return Tokenizer.load(data_path("text", "world_bpe.txt"), context=context)


def tiny(config: StableDiffusionConfig = CONFIG, seed: int = 0) -> StableDiffusion:
    """A model whose weights, all of them random, depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return randomised(StableDiffusion(config, world_words()), seed).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers of a shape, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(n: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    """Smooth pictures (n, 3, side, side) in [-1, 1]."""
    coarse = torch.tanh(noise(n, 3, 4, 4, seed=seed))
    return torch.nn.functional.interpolate(coarse, side, mode="bilinear").clamp(-1, 1)


def hole(side: int = 32) -> torch.Tensor:
    """A mask (side, side) of 1 in a square that no latent covers exactly."""
    mask = torch.zeros(side, side)
    mask[7:20, 9:22] = 1
    return mask


# --- the same in diffusers and transformers


def their_vae():
    import diffusers

    return diffusers.AutoencoderKL(
        block_out_channels=[VAE.width * m for m in VAE.multiples],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=VAE.blocks,
        latent_channels=VAE.latent,
        norm_num_groups=VAE.groups,
        sample_size=32,
    )


def their_unet(second: bool = False):
    import diffusers

    widths = [FIRST.width * m for m in FIRST.multiples]
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=widths,
        down_block_types=["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2,
        layers_per_block=FIRST.blocks,
        cross_attention_dim=TEXT,
        attention_head_dim=[width // 8 for width in widths] if second else 4,
        use_linear_projection=second,
        norm_num_groups=GROUPS,
    )


def their_tower(activation: str = "quick_gelu"):
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=WORDS.vocab,
        max_position_embeddings=CONTEXT,
        hidden_size=TEXT,
        intermediate_size=4 * TEXT,
        num_hidden_layers=WORDS.layers,
        num_attention_heads=TEXT // WORDS.head_width,
        hidden_act=activation,
        eos_token_id=WORDS.vocab - 1,
    )
    return transformers.CLIPTextModel(config)
