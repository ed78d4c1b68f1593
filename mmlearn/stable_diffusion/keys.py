"""Published tensors under our names: the original layout (CompVis), and diffusers'.

A table of substitutions for each network and layout, *from* our names, so that one look
at a table tells where a tensor is kept. Beside names, three things differ:

* the original counts the U-Net's stages from the first convolution on; diffusers counts
  levels, and within them blocks, transformers, and what resizes;
* the original counts the decoder's levels backwards, from the finest;
* linear maps over a grid are stored as convolutions of one place, (…, …, 1, 1): in both
  for Stable Diffusion 1, and for the autoencoder in the original.

The text tower's names are CLIP's (`mmlearn.clip_keys`).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmlearn import clip_keys
from mmlearn.nn.autoencoder import Autoencoder
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.stable_diffusion.config import StableDiffusionConfig

# Where each network's tensors are kept in an original file; the text tower of 1 or 2.
ORIGINAL = {"vae": "first_stage_model.", "unet": "model.diffusion_model."}
TEXT_1, TEXT_2 = "cond_stage_model.transformer.", "cond_stage_model.model."

# The same in both layouts. It comes last: its norms have the names of blocks'.
TRANSFORMER = {
    r"\.ln_([123])\.": r".transformer_blocks.0.norm\1.",
    r"\.self_attention\.": ".transformer_blocks.0.attn1.",
    r"\.cross_attention\.": ".transformer_blocks.0.attn2.",
    r"\.feed_forward\.fc1\.": ".transformer_blocks.0.ff.net.0.proj.",
    r"\.feed_forward\.fc2\.": ".transformer_blocks.0.ff.net.2.",
    r"(attn[12])\.([qkv])\.": r"\1.to_\2.",
    r"(attn[12])\.out\.": r"\1.to_out.0.",
}
RULES = {
    ("unet", "original"): {
        r"^time\.fc1\.": "time_embed.0.",
        r"^time\.fc2\.": "time_embed.2.",
        r"^first\.": "input_blocks.0.0.",
        r"^norm\.": "out.0.",
        r"^last\.": "out.2.",
        r"^middle\.": "middle_block.",
        r"^up\.": "output_blocks.",
        r"\.norm1\.": ".in_layers.0.",
        r"\.conv1\.": ".in_layers.2.",
        r"\.emb\.": ".emb_layers.1.",
        r"\.norm2\.": ".out_layers.0.",
        r"\.conv2\.": ".out_layers.3.",
        r"\.shortcut\.": ".skip_connection.",
    }
    | TRANSFORMER,
    ("unet", "diffusers"): {
        r"^time\.fc([12])\.": r"time_embedding.linear_\1.",
        r"^first\.": "conv_in.",
        r"^norm\.": "conv_norm_out.",
        r"^last\.": "conv_out.",
        r"^middle\.0\.": "mid_block.resnets.0.",
        r"^middle\.1\.": "mid_block.attentions.0.",
        r"^middle\.2\.": "mid_block.resnets.1.",
        r"\.emb\.": ".time_emb_proj.",
        r"\.shortcut\.": ".conv_shortcut.",
    }
    | TRANSFORMER,
    ("vae", "original"): {
        r"^(encoder|decoder)\.first\.": r"\1.conv_in.",
        r"^(encoder|decoder)\.norm\.": r"\1.norm_out.",
        r"^(encoder|decoder)\.last\.": r"\1.conv_out.",
        r"\.middle\.0\.": ".mid.block_1.",
        r"\.middle\.1\.out\.": ".mid.attn_1.proj_out.",
        r"\.middle\.1\.": ".mid.attn_1.",
        r"\.middle\.2\.": ".mid.block_2.",
        r"\.blocks\.": ".block.",
        r"^encoder(.*)\.resize\.": r"encoder\1.downsample.",
        r"^decoder(.*)\.resize\.": r"decoder\1.upsample.",
        r"\.shortcut\.": ".nin_shortcut.",
        r"^moments\.": "quant_conv.",
        r"^latents\.": "post_quant_conv.",
    },
    ("vae", "diffusers"): {
        r"^(encoder|decoder)\.first\.": r"\1.conv_in.",
        r"^(encoder|decoder)\.norm\.": r"\1.conv_norm_out.",
        r"^(encoder|decoder)\.last\.": r"\1.conv_out.",
        r"\.middle\.0\.": ".mid_block.resnets.0.",
        r"\.middle\.1\.norm\.": ".mid_block.attentions.0.group_norm.",
        r"\.middle\.1\.([qkv])\.": r".mid_block.attentions.0.to_\1.",
        r"\.middle\.1\.out\.": ".mid_block.attentions.0.to_out.0.",
        r"\.middle\.2\.": ".mid_block.resnets.1.",
        r"\.(down|up)\.(\d+)\.": r".\1_blocks.\2.",
        r"\.blocks\.": ".resnets.",
        r"^encoder(.*)\.resize\.": r"encoder\1.downsamplers.0.",
        r"^decoder(.*)\.resize\.": r"decoder\1.upsamplers.0.",
        r"\.shortcut\.": ".conv_shortcut.",
        r"^moments\.": "quant_conv.",
        r"^latents\.": "post_quant_conv.",
    },
}
# diffusers' own earlier names, which the files of Stable Diffusion 1 still have.
OLDER = {
    r"\.(query|key|value)\.": lambda found: f".to_{found[1][0]}.",
    r"\.proj_attn\.": ".to_out.0.",
}


def published_name(name: str, part: str, layout: str, c: StableDiffusionConfig) -> str:
    """Where a tensor of our "unet" or "vae" is kept, without the network's prefix."""
    name = renumbered(name, part, layout, c)
    for pattern, replacement in RULES[part, layout].items():
        name = re.sub(pattern, replacement, name)
    return name


def renumbered(name: str, part: str, layout: str, c: StableDiffusionConfig) -> str:
    """A name in which levels and stages are counted as the layout counts them."""
    stages = c.unet.blocks + 1  # of a level, what resizes on the way down included

    def backwards(found: re.Match) -> str:
        return f"decoder.up.{len(c.vae.multiples) - 1 - int(found[1])}."

    def from_the_first(found: re.Match) -> str:
        return f"input_blocks.{int(found[1]) + 1}.{found[2]}"

    def by_level(found: re.Match) -> str:
        way, number, layer, rest = found.groups()
        level, place = divmod(int(number), stages)
        if rest.startswith("conv."):
            return f"{way}_blocks.{level}.{way}samplers.0.{rest}"
        kind = ("resnets", "attentions")[int(layer)]
        return f"{way}_blocks.{level}.{kind}.{place}.{rest}"

    if part == "unet" and layout == "diffusers":
        return re.sub(r"^(down|up)\.(\d+)\.(\d)\.(.*)", by_level, name)
    if part == "unet":
        name = re.sub(r"^down\.(\d+)\.0\.conv\.", r"down.\1.0.op.", name)
        return re.sub(r"^down\.(\d+)\.(.*)", from_the_first, name)
    if layout == "original":
        return re.sub(r"^decoder\.up\.(\d+)\.", backwards, name)
    return name


def to_ours(
    state: Mapping[str, Tensor], part: str, layout: str, c: StableDiffusionConfig
) -> dict[str, Tensor]:
    """A published "unet" or "vae" under our names, which begin with the part's.

    layout: "original" or "diffusers".
    What the network has no place for keeps its name, and is then refused by it.
    """
    with torch.device("meta"):
        network = LatentUNet(c.unet) if part == "unet" else Autoencoder(c.vae)
    places = network.state_dict()
    left = {}
    for name, tensor in state.items():
        if part == "vae" and layout == "diffusers":
            for pattern, replacement in OLDER.items():
                name = re.sub(pattern, replacement, name)
        left[name] = tensor
    ours = {}
    for name, place in places.items():
        tensor = left.pop(published_name(name, part, layout, c), None)
        if tensor is None:
            continue
        if place.ndim == 2 and tensor.shape[2:] == (1, 1):
            tensor = tensor.flatten(1)
        ours[name] = tensor
    return {f"{part}.{name}": tensor for name, tensor in (ours | left).items()}


def text_to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published text tower under our names, without what compares it to pictures."""
    ours = clip_keys.to_ours(dict(state))
    beside = ("text_projection", "logit_scale", "attn_mask")
    return {
        re.sub(r"^text\.", "text_encoder.", name): tensor
        for name, tensor in ours.items()
        if name not in beside
    }
