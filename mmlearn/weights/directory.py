"""A model on the disk: one directory of three files.

model.safetensors   the tensors
config.json         what builds the network that they fit
card.json           where they come from, and the SHA-256 of model.safetensors
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_directory
from mmlearn.weights.errors import WeightsError
from mmlearn.weights.files import check_safetensors, load_safetensors, sha256

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"


def find(name_or_dir: str | Path, model_name: str) -> Path:
    """The directory of a shipped checkpoint ("laptop"), or the directory given.

    Raises WeightsError, listing what is shipped, if there is no such thing.
    """
    shipped = sorted(p.name for p in data_path("checkpoints").glob(f"{model_name}-*"))
    sizes = [name.removeprefix(f"{model_name}-") for name in shipped]
    have = f"shipped: {', '.join(map(repr, sizes))}" if sizes else "none is shipped"
    if not isinstance(name_or_dir, str | os.PathLike):
        raise WeightsError(
            f"a checkpoint is named by a size or a directory, not by {name_or_dir!r} "
            f"({have})"
        )
    if name_or_dir in sizes:
        return data_path("checkpoints", f"{model_name}-{name_or_dir}")
    directory = Path(name_or_dir)
    if directory.is_dir():
        return directory
    one = "one of those sizes, or " if sizes else ""
    raise WeightsError(
        f"there is no {model_name} checkpoint {str(name_or_dir)!r} ({have}): give {one}"
        "a directory written by save_pretrained"
    )


def save(
    directory: str | Path,
    model_state: Mapping[str, Tensor],
    config: dict,
    card: dict | None = None,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a model's three files; the whole directory appears, or nothing changes.

    ``half`` stores floating-point tensors in 16 bits, half the bytes. The card
    gains the weights' SHA-256, size in bytes and number of parameters.
    Raises WeightsError if the directory exists (unless ``overwrite``), if a value
    is nan or too large for half precision, or if the disk refuses.
    """
    directory = Path(directory)
    tensors = {name: _stored(name, t, half) for name, t in model_state.items()}
    if directory.exists() and not overwrite:
        raise WeightsError(
            f"{directory} exists and is left as it is: choose another name, or pass "
            "overwrite=True to replace it"
        )
    if directory.exists() and not _is_ours(directory):
        raise WeightsError(
            f"{directory} holds other things than a saved model and is left as it is: "
            "choose another name"
        )
    config_text = _json(config, CONFIG)
    try:
        with atomic_directory(directory, overwrite) as new:
            safetensors.torch.save_file(tensors, new / WEIGHTS)
            facts = {
                "sha256": sha256(new / WEIGHTS),
                "bytes": (new / WEIGHTS).stat().st_size,
                "parameters": sum(t.numel() for t in tensors.values()),
            }
            (new / CONFIG).write_text(config_text, encoding="utf-8")
            (new / CARD).write_text(_json({**(card or {}), **facts}, CARD), "utf-8")
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"the model could not be saved in {directory} ({error}), and nothing was "
            "changed there: free some space or choose another place"
        ) from error
    return directory


def load_config(directory: str | Path) -> dict:
    """The settings that build the network of a saved model."""
    return _read_json(Path(directory), CONFIG)


def load_card(directory: str | Path) -> dict:
    """Where a saved model comes from: recipe, seed, steps, scores, SHA-256."""
    return _read_json(Path(directory), CARD)


def load_state(directory: str | Path) -> dict[str, Tensor]:
    """A saved model's tensors by name, on the CPU, proven to be those of its card.

    They come as they were stored; `filled` puts them into a network.
    Raises WeightsError for anything missing, damaged or exchanged.
    """
    directory = Path(directory)
    card, path = load_card(directory), directory / WEIGHTS
    check_safetensors(path)
    if (found := sha256(path)) != card.get("sha256"):
        raise WeightsError(
            f"{path} is not the file its card describes (SHA-256 {found[:12]}… instead "
            f"of {str(card.get('sha256'))[:12]}…): copy the whole directory again"
        )
    return load_safetensors(path)


def check_fit(
    state: Mapping[str, Tensor], expect: Mapping[str, Tensor], source: str
) -> None:
    """Raise WeightsError unless both have the same names and shapes.

    The sentence names the first tensor that differs and counts the others.
    """
    missing = [name for name in expect if name not in state]
    extra = [name for name in state if name not in expect]
    wrong = [n for n in expect if n in state and state[n].shape != expect[n].shape]
    if missing:
        fault = f"has no tensor {missing[0]!r}{_others(missing)} that the network needs"
    elif extra:
        fault = f"has a tensor {extra[0]!r}{_others(extra)} that the network has not"
    elif wrong:
        there, here = (list(s[wrong[0]].shape) for s in (state, expect))
        fault = (
            f"holds {wrong[0]!r} of shape {there} where the network has "
            f"{here}{_others(wrong)}"
        )
    else:
        return
    raise WeightsError(f"{source} {fault}: build the network from the config beside it")


def _others(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} others)" if len(names) > 1 else ""


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    # A copy of its own: tied tensors share memory, which safetensors refuses.
    stored = tensor.detach().to("cpu", copy=True).contiguous()
    if not stored.is_floating_point():
        return stored
    if stored.isnan().any():
        raise WeightsError(f"{name!r} holds nan: these weights are broken, not saved")
    if half:
        whole, stored = stored, stored.to(torch.float16)
        if (stored.isinf() & whole.isfinite()).any():
            raise WeightsError(
                f"{name!r} holds values beyond 65,504, the largest of half precision: "
                "save with half=False"
            )
    return stored


def _is_ours(directory: Path) -> bool:
    return {p.name for p in directory.iterdir()} <= {WEIGHTS, CONFIG, CARD}


def _json(content: dict, name: str) -> str:
    try:
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"{name} can hold numbers, texts, lists and dictionaries only ({error})"
        ) from None


def _read_json(directory: Path, name: str) -> dict:
    path = directory / name
    if not directory.is_dir():
        raise WeightsError(f"there is no directory {directory}")
    if not path.is_file():
        raise WeightsError(
            f"{directory} has no {name}: a saved model is the three files {WEIGHTS}, "
            f"{CONFIG} and {CARD}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is not a JSON object: copy it again")
    return content
