"""The optimizer of every recipe: AdamW, and how its learning rate moves."""

import math
from collections.abc import Mapping

import torch
from torch import nn


def adamw(
    model: nn.Module,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.99),
    slower: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019) over what is trainable in ``model``.

    Only matrices and convolution kernels decay. Gains, biases and scalars (fewer
    than two dimensions) do not: pulling a gain to zero switches its layer off.
    Fused: all tensors are updated by one kernel instead of several each.

    slower: {"text": 0.1}, say: what ``factor`` on the learning rate the loop gives to
    the part of that name, and to what is in it. ValueError for a part there is not.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("nothing in this model is trainable: unfreeze a part of it")
    rows = {1.0: [], **{factor: [] for factor in (slower or {}).values()}}
    for part in slower or {}:
        if not any(name.startswith(f"{part}.") for name, _ in named):
            raise ValueError(f"slower names {part!r}, and this model has no such part")
    for name, p in named:
        found = [f for part, f in (slower or {}).items() if name.startswith(f"{part}.")]
        rows[found[0] if found else 1.0].append(p)
    groups = [
        {"params": kept, "weight_decay": decay, "factor": factor}
        for factor, all_of_them in rows.items()
        for kept, decay in (
            ([p for p in all_of_them if p.ndim >= 2], weight_decay),
            ([p for p in all_of_them if p.ndim < 2], 0.0),
        )
        if kept
    ]
    fused = named[0][1].device.type in ("cpu", "cuda", "mps")
    return torch.optim.AdamW(groups, lr, betas, fused=fused)


def schedule(step: int, steps: int, warmup: int, floor: float = 0.0) -> float:
    """The factor on the learning rate at ``step`` = 0 … ``steps`` - 1.

    A line up to 1 over the first ``warmup`` steps, while Adam's averages fill; then
    half a cosine down to ``floor`` (a part of 1), reached as the run ends.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
