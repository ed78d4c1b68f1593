"""Bringing a batch, however it is packed, to where the model is."""

import dataclasses
from typing import Any

import torch
from torch import Tensor


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors in a tensor, tuple, list, dictionary or dataclass.

    What is none of these (captions, records) stays as it is.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a named tuple
        return type(batch)(*(to_device(part, device) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(part, device) for part in batch)
    if isinstance(batch, dict):
        return {name: to_device(part, device) for name, part in batch.items()}
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        fields = [f.name for f in dataclasses.fields(batch) if f.init]
        tensors = {n: v for n in fields if isinstance(v := getattr(batch, n), Tensor)}
        moved = {name: to_device(tensor, device) for name, tensor in tensors.items()}
        return dataclasses.replace(batch, **moved)
    return batch
