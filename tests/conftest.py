"""Every test runs without the network, with static widgets, on one thread a process."""

import os
from pathlib import Path

import pytest

# Set before anything imports torch, and inherited by every process a test starts.
os.environ["MMLEARN_OFFLINE"] = "1"
os.environ["MMLEARN_STATIC"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
for name in ("MMLEARN_SIZE", "MMLEARN_SEED", "MMLEARN_TRAIN"):
    os.environ.pop(name, None)

import mmlearn  # noqa: E402, F401  blocks the network

ROOT = Path(__file__).parent.parent


@pytest.fixture
def pictures(monkeypatch):
    """What `show` puts on the page, as a list of (image, alt, extra)."""
    from mmlearn.show import charts, figures, mask_painter, pictures, widgets

    shown = []

    def record(image, alt, extra=None):
        shown.append((image, alt, extra))

    for module in (charts, figures, mask_painter, pictures, widgets):
        if hasattr(module, "display_png"):
            monkeypatch.setattr(module, "display_png", record)
    return shown
