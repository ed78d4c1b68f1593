"""The released GLIDE's tensors under our names, and back.

A released file (`base.pt`, `upsample.pt`, `base_inpaint.pt`, `upsample_inpaint.pt`) is
a plain state dict of one stage. Beside names, two things differ:

* queries, keys and values are stored *head by head* (head 1's q, k, v, head 2's, …);
  ours are three whole parts. Read in the wrong order, nothing fails: noise comes out.
* the U-Net's attention has convolutions of one place for linear maps: shape (…, …, 1).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import weights
from mmlearn.glide.stage import KNOWN, PICTURE, StageConfig, TextUNet
from mmlearn.weights import WeightsError

# Ours to released, one after the other; the text's first, which also has an `out`.
RULES = {
    r"^text\.transformer\.blocks\.": "transformer.resblocks.",
    r"^text\.ln_final\.": "final_ln.",
    r"^text\.embedding\.": "token_embedding.",
    r"^text\.positions$": "positional_embedding",
    r"^text\.padding$": "padding_embedding",
    r"\.attention\.[qkv]\.": ".attn.c_qkv.",
    r"\.attention\.out\.": ".attn.c_proj.",
    r"\.mlp\.fc1\.": ".mlp.c_fc.",
    r"\.mlp\.fc2\.": ".mlp.c_proj.",
    r"^unet\.time\.fc1\.": "time_embed.0.",
    r"^unet\.time\.fc2\.": "time_embed.2.",
    r"^unet\.vector\.": "transformer_proj.",
    r"^unet\.norm\.": "out.0.",
    r"^unet\.last\.": "out.2.",
    r"^unet\.first\.": "input_blocks.0.0.",
    r"^unet\.middle\.": "middle_block.",
    r"^unet\.up\.": "output_blocks.",
    r"\.norm1\.": ".in_layers.0.",
    r"\.conv1\.": ".in_layers.2.",
    r"\.film\.": ".emb_layers.1.",
    r"\.norm2\.": ".out_layers.0.",
    r"\.conv2\.": ".out_layers.3.",
    r"\.shortcut\.": ".skip_connection.",
    r"\.text_kv\.": ".encoder_kv.",
    r"\.out\.(weight|bias)$": r".proj_out.\1",
}
PARTS = {"c_qkv": 3, "qkv": 3, "encoder_kv": 2}  # that are stored head by head


def released_name(ours: str) -> str:
    """The released name of a `TextUNet`'s tensor; q, k and v of the text are one."""
    name = re.sub(
        r"^unet\.down\.(\d+)\.",
        lambda found: f"input_blocks.{int(found[1]) + 1}.",  # 0 is the first layer
        ours,
    )
    for pattern, replacement in RULES.items():
        name = re.sub(pattern, replacement, name)
    return name


def whole_parts(tensor: Tensor, parts: int, head_width: int) -> Tensor:
    """(heads · parts · head_width, …) as (parts · heads · head_width, …)."""
    x = tensor.unflatten(0, (-1, parts, head_width))
    return x.transpose(0, 1).flatten(0, 2)


def head_by_head(tensor: Tensor, parts: int, head_width: int) -> Tensor:
    """Undoes `whole_parts`."""
    x = tensor.unflatten(0, (parts, -1, head_width))
    return x.transpose(0, 1).flatten(0, 2)


def stored_as(name: str, config: StageConfig) -> tuple[int, int]:
    """In how many parts a released tensor is stored, and how wide its heads are."""
    parts = PARTS.get(name.split(".")[-2] if "." in name else name, 1)
    text = config.text_width // config.text_heads
    return parts, text if ".c_qkv." in name else config.head_width


def to_ours(state: Mapping[str, Tensor], config: StageConfig) -> dict[str, Tensor]:
    """A released stage's state dict under the names of a `TextUNet` of this config.

    What the network has no place for keeps its name, and is then refused by it.
    """
    with torch.device("meta"):
        names = list(TextUNet(config).state_dict())
    ours, left = {}, dict(state)
    for name in names:
        released = released_name(name)
        if released not in state:
            continue
        tensor = left.pop(released, state[released])
        parts, head_width = stored_as(released, config)
        if parts > 1:
            tensor = whole_parts(tensor, parts, head_width)
        if found := re.search(r"\.attention\.([qkv])\.", name):
            tensor = tensor.chunk(3)["qkv".index(found[1])]
        if name.startswith("unet.") and tensor.ndim == 3:
            tensor = tensor.squeeze(2)
        ours[name] = tensor
    return ours | left


def to_released(state: Mapping[str, Tensor], config: StageConfig) -> dict[str, Tensor]:
    """A `TextUNet`'s state dict as the released code has it; undoes `to_ours`."""
    together: dict[str, list[Tensor]] = {}  # q, k and v of the text, in this order
    for name, tensor in state.items():
        together.setdefault(released_name(name), []).append(tensor)
    released = {}
    for name, tensors in together.items():
        tensor = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        parts, head_width = stored_as(name, config)
        if parts > 1:
            tensor = head_by_head(tensor, parts, head_width)
        if re.search(r"\.(qkv|encoder_kv|proj_out)\.weight$", name):
            tensor = tensor.unsqueeze(2)
        released[name] = tensor
    return released


def config_of(state: Mapping[str, Tensor]) -> StageConfig:
    """What a released stage was made for, from its tensors' names and shapes.

    Neither tells a head's width, 64 in all that were released, nor the pictures' size:
    a base is taken to draw 64 px and an upsampler 256.
    """
    try:
        numbers = sizes_of(state)
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(
            f"these weights are no GLIDE ({error}): the state dict of one stage, in "
            "the layout of the released base.pt or upsample.pt, would be right"
        ) from None
    return StageConfig(**numbers)


def sizes_of(state: Mapping[str, Tensor]) -> dict:
    """The fields of `config_of`; KeyError, ValueError or IndexError if it is none."""
    width = state["time_embed.0.weight"].shape[1]
    vocab, text_width = state["token_embedding.weight"].shape
    channels = state["input_blocks.0.0.weight"].shape[1]
    upsamples = channels in (2 * PICTURE, 2 * PICTURE + KNOWN)
    # On the way up, the last stage of a level but the finest ends in a second block.
    doubling = r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight"
    ends = sorted(int(m[1]) for name in state if (m := re.fullmatch(doubling, name)))
    blocks, levels = ends[0], len(ends) + 1
    starts = [1 + level * (blocks + 1) for level in range(levels)]
    image_size = 256 if upsamples else 64
    return {
        "image_size": image_size,
        "width": width,
        "multiples": tuple(
            len(state[f"input_blocks.{n}.0.out_layers.3.weight"]) // width
            for n in starts
        ),
        "blocks": blocks,
        "attention_at": tuple(
            image_size // 2**level
            for level, n in enumerate(starts)
            if f"input_blocks.{n}.1.qkv.weight" in state
        ),
        "vocab": vocab,
        "context": len(state["positional_embedding"]),
        "text_width": text_width,
        "text_layers": sum(
            re.fullmatch(r"transformer\.resblocks\.\d+\.ln_1\.weight", name) is not None
            for name in state
        ),
        "text_heads": max(1, text_width // 64),
        "schedule": "linear" if upsamples else "cosine",
        "upsamples": upsamples,
        "inpaints": channels in (PICTURE + KNOWN, 2 * PICTURE + KNOWN),
    }


Read = tuple[list[StageConfig], dict[str, Tensor], list[tuple], Sequence[str]]


def read_glide(source: str | Path, upsampler: str | Path | None = None) -> Read:
    """Configs of the stages, a GLIDE's state dict, its vocabulary's merges, its words.

    source: a shipped size or a saved directory; or a published stage's file, and then
    upsampler may be the other's.
    """
    files = [Path(file) for file in (source, upsampler) if file is not None]
    if upsampler is None and not files[0].is_file():
        return read_saved(source)
    configs, state = [], {}
    for stage, file in zip(("base", "upsampler"), files, strict=False):
        safe = file.suffix == ".safetensors"
        load = weights.load_safetensors if safe else weights.load_plain_torch
        released = load(file)
        configs.append(config_of(released))
        for name, tensor in to_ours(released, configs[-1]).items():
            state[f"{stage}.{name}"] = tensor
    return configs, state, [], ()


def read_saved(source: str | Path) -> Read:
    """As `read_glide`, of what `save_pretrained` wrote."""
    directory = weights.find(source, "glide")
    fields = weights.load_config(directory)
    try:
        stages = [fields["base"], fields["upsampler"]]
        configs = [StageConfig(**stage) for stage in stages if stage is not None]
        merges = [tuple(pair.split(" ")) for pair in fields["merges"]]
        words = fields["words"]
    except (KeyError, TypeError, AttributeError):
        raise WeightsError(
            f"{directory} is a saved model, but no GLIDE: its config.json should have "
            "base, upsampler, merges and words"
        ) from None
    return configs, weights.load_state(directory), merges, words
