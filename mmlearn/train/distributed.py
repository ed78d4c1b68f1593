"""One process or many: what training needs to know of torch.distributed.

    torchrun --nproc_per_node=2 -m mmlearn train clip

starts two processes, which find each other through environment variables. Each runs
the same program on its own batches; gradients are averaged (DDP: Li et al., 2020).
Started plainly, everything here is the identity: rank 0 of a world of 1.
"""

import atexit
import contextlib
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def launched() -> bool:
    """Whether this process was started by torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for; or this process's own GPU; or the CPU."""
    local = int(os.environ.get("LOCAL_RANK", 0)) if launched() else 0
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError("there is no CUDA device here: use --device cpu")
        if device.index is None:
            device = torch.device("cuda", local)
    return device


def start(
    model: nn.Module, device: str | torch.device | None = None
) -> tuple[torch.device, int, int]:
    """Join the other processes, if there are any: (device, rank, world size).

    No device given: where the model lies, or under torchrun as pick_device says.
    """
    if device is None and not launched():
        device = next((p.device for p in model.parameters()), None)
    device = pick_device(device)
    if launched() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(close)
    return device, rank(), world()


def close() -> None:
    """Leave the group; safe to call twice."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _on() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, 0 … world - 1."""
    return dist.get_rank() if _on() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _on() else 1


def is_main() -> bool:
    """Whether this process is the one that logs and saves."""
    return (rank() if _on() else int(os.environ.get("RANK", 0))) == 0


def barrier() -> None:
    """Wait until every process has come here."""
    if _on():
        dist.barrier()


def wrap(module: nn.Module) -> nn.Module:
    """Let all processes start from rank 0's weights and average their gradients."""
    return DistributedDataParallel(module) if world() > 1 else module


def synced(module: nn.Module, last: bool) -> contextlib.AbstractContextManager:
    """While gradients accumulate, only the ``last`` backward pass need be averaged."""
    if last or not isinstance(module, DistributedDataParallel):
        return contextlib.nullcontext()
    return module.no_sync()


@torch.no_grad()
def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes, any shape; no gradient flows through."""
    if world() == 1:
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / world()


def mean_over_processes(numbers: dict, device: torch.device) -> dict[str, float]:
    """Scalars by name, averaged over all processes, as Python numbers."""
    values = [
        torch.as_tensor(x, dtype=torch.float32, device=device) for x in numbers.values()
    ]
    means = all_reduce_mean(torch.stack(values)).tolist()
    return dict(zip(numbers, means, strict=True))


def all_gather_with_grad(x: Tensor) -> Tensor:
    """Stack the batches of all processes: (n, …) → (world · n, …), rank by rank.

    Gradients flow back to the process that each row came from. With a contrastive
    loss of a process's own rows against all columns, DDP's average of the gradients
    is then exactly the gradient of the loss over the whole batch. Every process
    must give the same shape.
    """
    return x if world() == 1 else _AllGather.apply(x)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        # Every process used our rows: what each of them asks of us is added up.
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad[rank() * ctx.rows : (rank() + 1) * ctx.rows]
