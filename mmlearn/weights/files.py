"""Reading tensors from one file, safely: safetensors, or plain tensors of torch.save.

A pickle can run any program while it is being read, so pickles of unknown origin are
refused, whatever their name says. The original files of published models are often
pickles of nothing but tensors: those go through ``torch.load(weights_only=True)``,
which builds tensors and calls nothing else.
"""

import hashlib
import json
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mmlearn.weights.errors import WeightsError

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_HOW_TO_CONVERT = (
    "if you trust where it comes from, convert it once with "
    "safetensors.torch.save_file(torch.load(path, weights_only=False)['state_dict'], "
    "'model.safetensors') and load that"
)


def load_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name, on the CPU.

    Raises WeightsError if the file is missing, a pickle, truncated or malformed.
    """
    path = Path(path)
    check_safetensors(path)
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path} is not a valid safetensors file ({error}): copy it again"
        ) from None


def check_safetensors(path: Path) -> None:
    """Refuse what is not a whole safetensors file, saying what it is instead.

    The format: 8 bytes with the length of a JSON header, the header (which says
    where each tensor's bytes lie), the bytes.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        if start.startswith(_PICKLE_STARTS):
            raise WeightsError(
                f"{path} is a pickle made by torch.save, whatever its name says, and "
                "reading a pickle can run any program in it: load safetensors; or, "
                f"{_HOW_TO_CONVERT}"
            )
        length = int.from_bytes(start, "little")
        if len(start) < 8:
            raise WeightsError(_truncated(path, size, "at least 8"))
        # No real header is near 100 MB: such a length is another kind of file.
        if length > 100_000_000:
            raise WeightsError(f"{path} is not a safetensors file: copy it again")
        if 8 + length > size:
            raise WeightsError(_truncated(path, size, f"more than {8 + length:,}"))
        header = file.read(length)
    try:
        fields = json.loads(header)
        fields.pop("__metadata__", None)
        end = max((int(f["data_offsets"][1]) for f in fields.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise WeightsError(
            f"{path} is not a safetensors file, its header cannot be read: copy it "
            "again"
        ) from None
    if size < 8 + length + end:
        raise WeightsError(_truncated(path, size, f"{8 + length + end:,}"))


def _truncated(path: Path, size: int, whole: str) -> str:
    return f"{path} is truncated, {size:,} bytes instead of {whole}: copy it again"


def load_plain_torch(path: str | Path) -> dict[str, Tensor]:
    """The tensors of an original ``.pt`` or ``.ckpt`` file that holds nothing else.

    A training checkpoint's ``state_dict`` (or ``model``) entry is looked into.
    Raises WeightsError for anything that would have to run code to be read.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    with open(path, "rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        raise WeightsError(f"{path} is a safetensors file: use load_safetensors")
    if not start.startswith(_PICKLE_STARTS):
        raise WeightsError(f"{path} is not a file made by torch.save, or a damaged one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever it warns of, we refuse below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} is a pickle that holds more than plain tensors, and reading it "
            f"could run any program: it is refused; {_HOW_TO_CONVERT}"
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        if "TorchScript" in str(error):
            raise WeightsError(
                f"{path} is a TorchScript program, not plain tensors: if you trust "
                "where it comes from, convert it once with safetensors.torch.save_file("
                "torch.jit.load(path).state_dict(), 'model.safetensors') and load that"
            ) from None
        raise WeightsError(f"{path} is truncated or damaged: copy it again") from None
    return _only_tensors(content, path)


def _only_tensors(content: object, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if isinstance(content, Mapping):
        tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors and len(tensors) == len(content):
            return tensors
    raise WeightsError(
        f"{path} holds no dictionary of tensors (nor one under 'state_dict' or "
        "'model'): it is not a model's weights"
    )


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of(path: str | Path, parts: Sequence[str]) -> str:
    """The SHA-256 of some parts of a model, by the first word of their tensors' names.

    It stays what it is when another part is trained again.
    """
    digest = hashlib.sha256()
    with safetensors.safe_open(path, "pt") as file:
        for name in sorted(file.keys()):
            if name.split(".")[0] in parts:
                tensor = file.get_tensor(name).contiguous()
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
