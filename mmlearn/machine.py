"""What this machine is, in general words: cores, accelerator, memory."""

import os
import platform
import subprocess
import sys

from mmlearn.paths import PACKAGE


def cores() -> int:
    """CPU cores this process may use, which can be fewer than the machine has."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def accelerator() -> tuple[str, int] | None:
    """(name, bytes of memory) of the GPU that torch would use, or None."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return properties.name, properties.total_memory
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)", torch.mps.recommended_max_memory()
    return None


def describe(size: str = "") -> str:
    """``2 CPU cores``, or the GPU's name for a size that ran on it."""
    gpu = accelerator() if size == "gpu" else None
    number = cores()
    return gpu[0] if gpu else f"{number} CPU core{'s' * (number > 1)}"


def memory() -> tuple[int, int] | None:
    """(free, total) bytes of memory, or None where the system does not say."""
    try:
        import psutil  # comes with Jupyter; not needed without it
    except ModuleNotFoundError:
        psutil = None
    if psutil is not None:
        found = psutil.virtual_memory()
        return found.available, found.total
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        free, total = os.sysconf("SC_AVPHYS_PAGES"), os.sysconf("SC_PHYS_PAGES")
        return page * free, page * total
    except (AttributeError, ValueError, OSError):  # Windows, macOS
        return None


def peak_memory() -> int:
    """The most memory, in MB, this process has held so far (on a GPU: of the GPU)."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return round(torch.cuda.max_memory_reserved() / 1e6)
    if platform.system() == "Windows":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return round(peak * unit / 1e6)


def commit() -> str | None:
    """The commit of the checkout this runs from, "…+" where files were changed."""
    git = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty=+"]
    try:
        found = subprocess.run(git, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    own_checkout = (PACKAGE.parent / ".git").exists()
    return found.stdout.strip() or None if own_checkout else None
