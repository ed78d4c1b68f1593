"""How many bits the forward pass computes in; weights and optimizer keep 32."""

import contextlib

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_precision(precision: str, device: torch.device) -> str:
    """ "auto" by device: bf16 on CUDA since Ampere, fp16 on older CUDA, else fp32."""
    if precision == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if precision not in ("fp32", "bf16", "fp16"):
        raise ValueError(f"precision is auto, fp32, bf16 or fp16, not {precision!r}")
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(f"fp16 needs CUDA: on {device.type} use bf16 or fp32")
    return precision


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context of the forward pass."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, _DTYPES[precision])


def grad_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """fp16 gradients below 6e-8 vanish, so the loss is scaled up before they are made.

    The scaler skips a step whose gradients overflow and halves its scale. In other
    precisions it does nothing.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
