"""From a path to a config and weights under our names: saved, or published.

An original file, such as `v1-5-pruned.safetensors`, holds all three networks under
three prefixes, and perhaps what training left behind: running averages of the U-Net's
weights, which are then those that are taken, tables of the schedule, which are compared
with ours, and optimisers' and losses' tensors, which are not looked at. How many heads
there are leaves no trace in such a file: 8 in Stable Diffusion 1, 64 wide ones in 2,
told apart by how the transformers' linear maps are stored.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import weights
from mmlearn.clip_keys import VOCABULARY_FILES
from mmlearn.diffusion import Schedule
from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.stable_diffusion.config import PARTS, StableDiffusionConfig
from mmlearn.stable_diffusion.diffusers_layout import read_directory
from mmlearn.stable_diffusion.keys import (
    ORIGINAL,
    TEXT_1,
    TEXT_2,
    text_to_ours,
    to_ours,
)
from mmlearn.stable_diffusion.sizes import SCALE
from mmlearn.stable_diffusion.text import TextConfig
from mmlearn.text.bpe import read_merges
from mmlearn.weights import WeightsError

Merges = Sequence[tuple[str, str]]
Read = tuple[StableDiffusionConfig, dict[str, Tensor], Merges | None, list | None]
AVERAGE = "model_ema."


def read_stable_diffusion(source: str | Path, predicts: str | None = None) -> Read:
    """The config, the weights, the vocabulary's merges, and the words it knows.

    source: a shipped size or a saved directory; a directory in diffusers' layout; or a
    file in the original one. predicts: only for a file, see `read_file`.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.is_file():
        return read_file(path, predicts)
    if predicts is not None:
        raise WeightsError(
            "predicts is only for a file of Stable Diffusion 2, which does not say; "
            f"{source} is no file"
        )
    if path is not None and (path / "model_index.json").is_file():
        return *read_directory(path), None
    return read_saved(source)


def read_saved(source: str | Path) -> Read:
    """As `read_stable_diffusion`, of what `save_pretrained` wrote."""
    directory = weights.find(source, "stable-diffusion")
    fields = weights.load_config(directory)
    try:
        merges = [tuple(pair.split(" ")) for pair in fields.pop("merges")]
        words = fields.pop("words")
        if missing := [part for part in PARTS if part not in fields]:
            raise KeyError(missing[0])
        config = StableDiffusionConfig(**fields)
    except (KeyError, TypeError, AttributeError):
        names = ", ".join(StableDiffusionConfig.__dataclass_fields__)
        raise WeightsError(
            f"{directory} is a saved model, but no Stable Diffusion: its config.json "
            f"should have {names}, merges and words"
        ) from None
    return config, weights.load_state(directory), merges or None, words


def read_file(file: Path, predicts: str | None = None) -> Read:
    """As `read_stable_diffusion`, of one file in the original layout.

    predicts: "eps" or "v", for Stable Diffusion 2, whose files are alike in both; 1
    predicts ε.
    """
    safe = file.suffix == ".safetensors"
    load = weights.load_safetensors if safe else weights.load_plain_torch
    state = averaged(load(file))
    check_tables(state, file)
    prefixes = ORIGINAL | {"text": TEXT_2 if part_of(state, TEXT_2) else TEXT_1}
    parts = {name: part_of(state, prefix) for name, prefix in prefixes.items()}
    for name, prefix in prefixes.items():
        if not parts[name]:
            raise WeightsError(
                f"{file} has no tensor that begins with {prefix!r}: an original file "
                "of Stable Diffusion holds the U-Net, the autoencoder and the text "
                "tower"
            )
    text = text_to_ours(parts["text"])
    second = prefixes["text"] == TEXT_2
    if second and predicts is None:
        raise WeightsError(
            f"{file} is Stable Diffusion 2, and does not say what its U-Net predicts: "
            'give predicts="v" for the one of 768 px, predicts="eps" for the base of '
            "512 px"
        )
    try:
        config = StableDiffusionConfig(
            image_size=768 if predicts == "v" else 512,
            vae=AutoencoderConfig(**vae_sizes(parts["vae"])),
            unet=LatentUNetConfig(**unet_sizes(parts["unet"])),
            text=TextConfig(**text_sizes(text, second)),
            scale=SCALE,
            predicts=predicts or "eps",
        )
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{file} is no Stable Diffusion 1 or 2 ({str(error).rstrip('.')}): the "
            "state dict of a file like v1-5-pruned would be right"
        ) from None
    ours = text
    for name in ORIGINAL:
        ours |= to_ours(parts[name], name, "original", config)
    for name in VOCABULARY_FILES:
        if (file.parent / name).is_file():
            merges = read_merges(file.parent / name, config.text.vocab)
            return config, ours, merges, None
    return config, ours, None, None


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it; but no loss's."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix) and not name.startswith(f"{prefix}loss.")
    }


def averaged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state, with the averages of the U-Net's weights in their places, if any.

    Training keeps them without the dots in their names. They are what pictures should
    be drawn with.
    """
    return {
        name: state.get(AVERAGE + name.removeprefix("model.").replace(".", ""), tensor)
        for name, tensor in state.items()
    }


def check_tables(state: Mapping[str, Tensor], file: Path) -> None:
    """WeightsError for another schedule or latent scale than the published one."""
    table, ours = state.get("alphas_cumprod"), Schedule.scaled_linear().alphas_bar
    if table is not None and (
        table.shape != ours.shape or not torch.allclose(table.double(), ours, rtol=1e-3)
    ):
        raise WeightsError(
            f"{file} was trained with another schedule of noise than Stable Diffusion's"
        )
    scale = state.get("scale_factor")
    if scale is not None and abs(scale.item() - SCALE) > 1e-3 * SCALE:
        raise WeightsError(
            f"{file} multiplies latents by {scale.item():.5g}, and Stable Diffusion 1 "
            f"and 2 by {SCALE}: this is another model"
        )


def unet_sizes(state: Mapping[str, Tensor]) -> dict:
    """The U-Net's numbers, from names and shapes; KeyError or … if it is none."""
    width, channels = state["input_blocks.0.0.weight"].shape[:2]
    halving = r"input_blocks\.(\d+)\.0\.op\.weight"
    ends = sorted(int(m[1]) for name in state if (m := re.fullmatch(halving, name)))
    blocks, levels = ends[0] - 1, len(ends) + 1
    starts = [1 + level * (blocks + 1) for level in range(levels)]
    linear = state["middle_block.1.proj_in.weight"].ndim == 2
    return {
        "width": width,
        "multiples": tuple(
            len(state[f"input_blocks.{n}.0.out_layers.3.weight"]) // width
            for n in starts
        ),
        "blocks": blocks,
        "attention_at": tuple(
            2**level
            for level, n in enumerate(starts)
            if f"input_blocks.{n}.1.norm.weight" in state
        ),
        "text_width": state[
            "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
        ].shape[1],
        "heads": None if linear else 8,
        "head_width": 64 if linear else None,
        "channels_in": channels,
        "channels_out": len(state["out.2.weight"]),
    }


def vae_sizes(state: Mapping[str, Tensor]) -> dict:
    """The autoencoder's numbers, from names and shapes."""
    width, channels = state["encoder.conv_in.weight"].shape[:2]
    levels = counted(state, r"encoder\.down\.\d+\.block\.0\.conv1\.weight")
    return {
        "width": width,
        "multiples": tuple(
            len(state[f"encoder.down.{level}.block.0.conv2.weight"]) // width
            for level in range(levels)
        ),
        "blocks": counted(state, r"encoder\.down\.0\.block\.\d+\.conv1\.weight"),
        "latent": len(state["post_quant_conv.weight"]),
        "channels": channels,
    }


def text_sizes(state: Mapping[str, Tensor], second: bool) -> dict:
    """The text tower's numbers; of Stable Diffusion 2, if it is the second."""
    vocab, width = state["text_encoder.embedding.weight"].shape
    blocks = r"text_encoder\.transformer\.blocks\.\d+\.ln_1\.weight"
    numbers = {"vocab": vocab, "context": len(state["text_encoder.positions"])}
    numbers |= {"width": width, "layers": counted(state, blocks)}
    if second:
        numbers |= {"activation": "gelu", "skip": 1, "padding": "zero"}
    return numbers


def counted(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many names match."""
    return sum(re.fullmatch(pattern, name) is not None for name in state)
