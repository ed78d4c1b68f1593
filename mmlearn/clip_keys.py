"""Published CLIP weights under our names: OpenAI's layout, and Hugging Face's.

A table of substitutions a layout, and one more for OpenAI's ResNets, for which Hugging
Face has none; a name that no line knows keeps its name, and is then refused by the
network as one it has not. Three tensors differ in more than name: OpenAI stacks a
transformer's queries, keys and values; Hugging Face stores the two projections turned
over (`nn.Linear` keeps output × input); both store the logit scale without dimension.
"""

import json
import math
import re
from pathlib import Path

from torch import Tensor

from mmlearn import weights
from mmlearn.nn.resnet import STRIDE
from mmlearn.text.bpe import read_merges
from mmlearn.weights import WeightsError

OPENAI = {
    r"^visual\.class_embedding$": "vision.class_token",
    r"^visual\.conv1\.": "vision.patches.",
    r"^visual\.positional_embedding$": "vision.positions",
    r"^visual\.proj$": "image_projection",
    r"^visual\.": "vision.",
    r"^(token_embedding)\.": "text.embedding.",
    r"^positional_embedding$": "text.positions",
    r"^(ln_final|transformer)\.": r"text.\1.",
    r"\.resblocks\.": ".blocks.",
    r"\.attn\.in_proj_": ".attention.qkv.",
    r"\.attn\.out_proj\.": ".attention.out.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}
# OpenAI's ResNets: these come before the lines above, whose conv1 cuts patches.
OPENAI_RESNET = {
    r"^visual\.(conv|bn)(\d)\.": r"vision.stem.\1\2.",
    **{rf"^visual\.layer{n + 1}\.": f"vision.stages.{n}." for n in range(4)},
    r"\.downsample\.0\.": ".shortcut.1.",  # theirs is number -1: the average pool
    r"\.downsample\.1\.": ".shortcut.2.",
    r"^visual\.attnpool\.positional_embedding$": "vision.pool.positions",
    r"^visual\.attnpool\.([qkv])_proj\.": r"vision.pool.attention.\1.",
    r"^visual\.attnpool\.c_proj\.": "vision.pool.attention.out.",
}
HUGGING_FACE = {
    r"^(embeddings|encoder|final_layer_norm)\.": r"text_model.\1.",  # the tower alone
    r"^text_model\.embeddings\.token_embedding\.": "text.embedding.",
    r"^text_model\.embeddings\.position_embedding\.weight$": "text.positions",
    r"^text_model\.final_layer_norm\.": "text.ln_final.",
    r"^text_projection\.weight$": "text_projection",
    r"^vision_model\.embeddings\.class_embedding$": "vision.class_token",
    r"^vision_model\.embeddings\.patch_embedding\.": "vision.patches.",
    r"^vision_model\.embeddings\.position_embedding\.weight$": "vision.positions",
    r"^vision_model\.pre_layrnorm\.": "vision.ln_pre.",  # spelled so
    r"^vision_model\.post_layernorm\.": "vision.ln_post.",
    r"^visual_projection\.weight$": "image_projection",
    r"^(text|vision)_model\.encoder\.layers\.": r"\1.transformer.blocks.",
    r"\.self_attn\.([qkv])_proj\.": r".attention.\1.",
    r"\.self_attn\.out_proj\.": ".attention.out.",
    r"\.layer_norm([12])\.": r".ln_\1.",
}
# Counters and settings that some files keep among the weights.
NOT_WEIGHTS = r"(^|\.)(position_ids|input_resolution|context_length|vocab_size)$"

VOCABULARY_FILES = (
    "merges.txt",
    "bpe_simple_vocab_16e6.txt",
    "bpe_simple_vocab_16e6.txt.gz",
)
PUBLISHED_MEAN = (0.48145466, 0.4578275, 0.40821073)
PUBLISHED_STD = (0.26862954, 0.26130258, 0.27577711)


def to_ours(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict, or one tower's part of it, under our names."""
    openai = any(re.search(r"^visual\.|\.resblocks\.", name) for name in state)
    rules = OPENAI if openai else HUGGING_FACE
    if any(name.startswith("visual.attnpool.") for name in state):
        rules = OPENAI_RESNET | OPENAI
    ours = {}
    for published, tensor in state.items():
        name = published
        if re.search(NOT_WEIGHTS, name):
            continue
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        if ".attention.qkv." in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                ours[name.replace(".qkv.", f".{letter}.")] = part
        elif name.endswith("_projection") and not openai:
            ours[name] = tensor.T
        elif name == "logit_scale":
            ours[name] = tensor.reshape(1)
        else:
            ours[name] = tensor
    return ours


def sizes_of(state: dict[str, Tensor]) -> dict[str, int | tuple[int, ...] | None]:
    """The architecture that weights under our names were made for, from their shapes.

    The number of heads leaves no trace in the shapes: it is not told here.
    """
    try:
        vocab, text_width = state["text.embedding.weight"].shape
        context, embed = len(state["text.positions"]), len(state["text_projection"].T)
        resnet = "vision.pool.positions" in state
        vision = (resnet_sizes if resnet else transformer_sizes)(state)
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"these weights are no CLIP with a vision transformer or a ResNet ({error})"
            ": a state dict in OpenAI's or Hugging Face's layout would be right"
        ) from None
    return vision | {
        "text_layers": count(state, r"text\.transformer\.blocks\.\d+\.ln_1\.weight"),
        "embed": embed,
        "vocab": vocab,
        "context": context,
        "text_width": text_width,
    }


def transformer_sizes(state: dict[str, Tensor]) -> dict[str, int]:
    """The vision transformer's part of `sizes_of`."""
    width, _, patch_size, _ = state["vision.patches.weight"].shape
    patches = len(state["vision.positions"]) - 1
    return {
        "image_size": patch_size * math.isqrt(patches),
        "patch_size": patch_size,
        "vision_width": width,
        "vision_layers": count(
            state, r"vision\.transformer\.blocks\.\d+\.ln_1\.weight"
        ),
    }


def resnet_sizes(state: dict[str, Tensor]) -> dict[str, int | tuple[int, ...] | None]:
    """The ResNet's part of `sizes_of`."""
    places = len(state["vision.pool.positions"]) - 1
    blocks = (rf"vision\.stages\.{n}\.\d+\.conv1\.weight" for n in range(4))
    return {
        "image_size": STRIDE * math.isqrt(places),
        "patch_size": None,
        "vision_width": len(state["vision.stem.conv3.weight"]),
        "vision_layers": tuple(count(state, pattern) for pattern in blocks),
    }


def count(state: dict[str, Tensor], pattern: str) -> int:
    """How many names match."""
    return sum(bool(re.match(pattern, name)) for name in state)


Merges = list[tuple[str, str]]


def read_clip(source: str | Path) -> tuple[dict, dict[str, Tensor], Merges | None]:
    """Fields of a config, weights under our names, and the vocabulary's merges.

    source: a shipped size or a saved directory; or published weights, that is a file
    in OpenAI's layout or a directory with Hugging Face's config.json.
    """
    path = Path(source)
    if path.is_file():
        return read_published(path, path.parent)
    if (path / "config.json").is_file() and not (path / "card.json").is_file():
        fields, state, merges = read_published(path / "model.safetensors", path)
        return fields | settings_of(path), state, merges
    directory = weights.find(source, "clip")
    fields = weights.load_config(directory)
    merges = [tuple(pair.split(" ")) for pair in fields.pop("merges", [])]
    return fields, weights.load_state(directory), merges or None


def read_published(
    file: Path, directory: Path
) -> tuple[dict, dict[str, Tensor], Merges | None]:
    """As `read_clip`; the vocabulary file, if there is one, lies in the directory."""
    safe = file.suffix == ".safetensors"
    load = weights.load_safetensors if safe else weights.load_plain_torch
    state = to_ours(load(file))
    fields = {"mean": PUBLISHED_MEAN, "std": PUBLISHED_STD} | sizes_of(state)
    for name in VOCABULARY_FILES:
        if (directory / name).is_file():
            return fields, state, read_merges(directory / name, fields["vocab"])
    return fields, state, None


def settings_of(directory: Path) -> dict:
    """What the shapes do not tell, from Hugging Face's config.json beside the weights.

    That file leaves out what equals a default; the defaults here are theirs.
    """
    fields = {}
    config = read_json(directory / "config.json")
    towers = [config.get(f"{name}_config") or {} for name in ("text", "vision")]
    activations = {tower.get("hidden_act", "quick_gelu") for tower in towers}
    if len(activations) > 1:
        raise WeightsError(
            f"{directory / 'config.json'} gives the towers different activations "
            f"({', '.join(sorted(activations))}): this CLIP has one for both"
        )
    heads = {
        tower["hidden_size"] // tower["num_attention_heads"]
        for tower in towers
        if {"hidden_size", "num_attention_heads"} <= tower.keys()
    }
    if len(heads) > 1:
        raise WeightsError(
            f"{directory / 'config.json'} gives the towers heads of different widths "
            f"({', '.join(map(str, sorted(heads)))}): this CLIP has one for both"
        )
    fields["activation"] = activations.pop()
    if heads:
        fields["head_width"] = heads.pop()
    preprocessing = read_json(directory / "preprocessor_config.json")
    for field, name in (("mean", "image_mean"), ("std", "image_std")):
        if name in preprocessing:
            fields[field] = tuple(preprocessing[name])
    return fields


def read_json(path: Path) -> dict:
    """The object in a JSON file; empty if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise WeightsError(f"{path} is not JSON: copy it again") from None
