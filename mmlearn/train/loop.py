"""The training loop that every model of this book goes through.

    history = fit(model, loss_fn, batches, steps=1000, out="runs/mine")
    history.ema        # the averaged model, ready to use
    history.rows       # what the log holds

The caller brings three things: a model; ``loss_fn(model, batch, generator)``, which
says what is wrong with it; and ``batches(index)``, which makes batch number ``index``
of the whole run and always the same one. The rest is here, top to bottom.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmlearn.train import distributed
from mmlearn.train.batch import to_device
from mmlearn.train.ema import EMA
from mmlearn.train.errors import TrainingStopped
from mmlearn.train.history import History
from mmlearn.train.interrupt import polite_interrupt
from mmlearn.train.log import Log
from mmlearn.train.optim import adamw, schedule
from mmlearn.train.precision import autocast, grad_scaler, pick_precision
from mmlearn.train.progress import Progress
from mmlearn.train.randomness import randomness
from mmlearn.train.state import RunState, shapes


def fit(
    model: nn.Module,
    loss_fn: Callable[[nn.Module, Any, torch.Generator], Tensor | tuple[Tensor, dict]],
    batches: Callable[[int], Any],
    *,
    steps: int,
    lr: float = 1e-3,
    warmup: int | None = None,
    floor: float = 0.0,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.99),
    clip: float | None = 1.0,
    slower: dict[str, float] | None = None,
    ema: float | None = 0.999,
    accumulate: int = 1,
    precision: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    save_every: int | None = None,
    log_every: int | None = None,
    resume: bool | str = True,
    settings: dict | None = None,
    after_step: Callable[[nn.Module], None] | None = None,
    plot: bool = False,
    progress: bool = True,
    device: str | torch.device | None = None,
    compile: bool = False,
) -> History:
    """Train ``model`` in place for ``steps`` steps and return what happened.

    loss_fn(model, batch, generator) returns a mean loss, or (loss, {name: scalar to
        log}). It draws its random numbers from ``generator``, which lies on ``device``.
    batches(index) is a pure function of the batch's number in the run,
        index = (step · world + rank) · accumulate + k, for the k-th of ``accumulate``
        batches of process ``rank`` of ``world``. So two processes, or accumulate=2,
        see at each step what one process sees with batches twice as large.
    lr rises over ``warmup`` steps (5 % of all if None) and falls along a cosine to
        ``floor`` · lr. Matrices decay by ``weight_decay``; gradients are clipped to
        norm ``clip`` (None: never). ``slower``, {"text": 0.1} say, is the factor on lr
        of the part of that name. ``ema`` is the decay of the average
        (None: none).
    precision is "fp32", "bf16", "fp16" (CUDA only) or "auto": bf16 or fp16 on CUDA by
        its generation, fp32 elsewhere.
    out is the run's folder: ``log.csv`` with a row every ``log_every`` steps (about
        200 rows if None), and ``state.pt`` written every ``save_every`` steps (about
        once a minute if None). The same call with the same ``out`` goes on where a
        killed one was, bit for bit. resume=False starts again; resume="changed" goes
        on with other settings. ``settings`` are further values (batch size, data) to
        be held equal across a resume.
    after_step(model) runs after each update, without gradients (a clamp).
    device is where to train; None is where the model lies (under torchrun: this
        process's GPU if there is one). compile: each of its parts by torch.compile,
        which takes a minute or two and on a CPU needs a C++ compiler; for runs of an
        hour.

    Raises TrainingStopped when the loss or the gradient is not finite, ResumeError
    for a state of another run, and KeyboardInterrupt, after saving, when interrupted.
    The model comes back in eval mode.
    """
    device, rank, world = distributed.start(model, device)
    main, out = rank == 0, Path(out) if out is not None else None
    _check(steps, accumulate, lr, clip, ema, resume)
    warmup = steps // 20 if warmup is None else warmup
    precision = pick_precision(precision, device)
    run = {"steps": steps, "lr": lr, "warmup": warmup, "floor": floor}
    run |= {"weight_decay": weight_decay, "betas": list(betas), "clip": clip}
    run |= {"ema": ema, "accumulate": accumulate, "precision": precision}
    run |= {"seed": seed, "processes": world, **(settings or {})}
    run |= {"slower": slower} if slower else {}

    model.to(device).train()
    objective = distributed.wrap(_Objective(model, loss_fn))
    optimizer = adamw(model, lr, weight_decay, betas, slower)
    optimizer.zero_grad()  # a reader may have called backward before
    scaler = grad_scaler(precision, device)
    average = EMA(model, ema)
    log = Log(out / "log.csv" if out and main else None, log_every, steps)
    changing = {"model": model, "ema": average, "optimizer": optimizer}
    run["model"] = shapes(model)
    state = RunState(out, run, main, **changing, scaler=scaler, log=log)
    start = state.restore(resume)
    if start == 0:
        state.save(0)  # a folder that cannot be written is noticed now
    log.begin()
    parts = list(model.children()) if compile else []  # a loss may call them alone
    for part in parts:
        part.compile()  # in place: names, saved states and the average stay the same

    bar = Progress(log, start, progress and main, plot and main)
    with bar, polite_interrupt() as interrupt:
        for step in range(start, steps):
            for group in optimizer.param_groups:
                now = schedule(step, steps, warmup, floor)
                group["lr"] = lr * now * group["factor"]

            totals = {}
            for k in range(accumulate):
                index = (step * world + rank) * accumulate + k
                with (
                    randomness(seed, index, device) as generator,
                    distributed.synced(objective, last=k == accumulate - 1),
                ):
                    batch = to_device(batches(index), device)
                    with autocast(precision, device):
                        loss, numbers = objective(batch, generator)
                    scaler.scale(loss / accumulate).backward()
                for name, number in numbers.items():
                    totals[name] = totals.get(name, 0) + number / accumulate

            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
            totals |= {"grad_norm": norm, "interrupt": interrupt.asked}
            # The one moment in a step when the CPU waits for the GPU.
            means = distributed.mean_over_processes(totals, device)
            if not _healthy(means, scaler):
                raise TrainingStopped(_what_happened(means, step, lr, state, model))

            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if after_step is not None:
                with torch.no_grad():
                    after_step(model)
            average.update(step)

            asked_to_stop = means.pop("interrupt") > 0
            log.add(step + 1, means, optimizer.param_groups[0]["lr"])
            bar.update(means["loss"])
            if asked_to_stop or step + 1 == steps or state.due(step + 1, save_every):
                state.save(step + 1)
            if asked_to_stop:
                model.eval()
                raise KeyboardInterrupt(_how_to_go_on(step + 1, steps, state))

    model.eval()
    for part in parts:
        part._compiled_call_impl = None  # the trained model is a plain one again
    return History(model, average.model, log.rows, steps, log.seconds, out)


class _Objective(nn.Module):
    """Model and loss as one module, so that DDP follows whatever the loss calls.

    forward(batch, generator) returns the loss, shape [], and a dictionary of detached
    float32 scalars to log, the loss among them.
    """

    def __init__(self, model: nn.Module, loss_fn: Callable):
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch, generator: torch.Generator) -> tuple[Tensor, dict]:
        result = self.loss_fn(self.model, batch, generator)
        loss, extra = result if isinstance(result, tuple) else (result, {})
        if loss.numel() != 1:
            raise ValueError(
                f"the loss has shape {list(loss.shape)}: loss_fn must return its mean"
            )
        loss = loss.reshape(())
        numbers = {"loss": loss, **extra}
        return loss, {
            name: torch.as_tensor(x, device=loss.device).detach().float().reshape(())
            for name, x in numbers.items()
        }


def _check(steps, accumulate, lr, clip, ema, resume) -> None:
    for name, number in (("steps", steps), ("accumulate", accumulate)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be a whole number from 1, not {number!r}")
    for name, number in (("lr", lr), ("clip", clip)):
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be above 0, not {number!r}")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema is a decay from 0 to below 1, not {ema!r}")
    if resume not in (True, False, "changed"):
        raise ValueError(f"resume is True, False or 'changed', not {resume!r}")


def _healthy(means: dict, scaler: torch.amp.GradScaler) -> bool:
    """Whether this step may change the weights.

    With fp16 an overflowing gradient is usual, and the scaler skips the step; if it
    still overflows at a scale below 1, the gradient itself is broken.
    """
    skipped = scaler.is_enabled() and scaler.get_scale() >= 1
    return math.isfinite(means["loss"]) and (
        skipped or math.isfinite(means["grad_norm"])
    )


def _what_happened(means: dict, step: int, lr: float, state: RunState, model) -> str:
    """Save the state before the broken step, and say it all in one sentence."""
    loss, norm = means["loss"], means["grad_norm"]
    what = (
        f"the loss became {loss}" if not math.isfinite(loss) else "the loss is finite"
    )
    what += f" and the gradient's norm {norm}" if not math.isfinite(norm) else ""
    # The forward pass may have spoilt a running statistic; then the file keeps an
    # earlier state.
    if not any(b.isnan().any() for b in model.buffers() if b.is_floating_point()):
        state.save(step)
    where = "no state was saved, because out is None"
    if state.path is not None:
        where = f"the last good state, after step {state.saved_step}, is {state.path}"
    return (
        f"training stopped at step {step + 1}: {what}; {where}; lower lr (now {lr:g}) "
        "or clip and start again, or go on from that state with resume='changed'"
    )


def _how_to_go_on(step: int, steps: int, state: RunState) -> str:
    if state.path is None:
        return f"stopped after step {step} of {steps}; the model keeps what it learned"
    return (
        f"stopped after step {step} of {steps}, saved in {state.path}: the same call "
        "goes on from there"
    )
