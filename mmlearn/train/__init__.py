"""Training: one loop for every model, on one device or many.

    history = mm.train.fit(model, loss_fn, batches, steps=1000, out="runs/mine")

Read loop.py first; each other file holds one thing that it uses.
"""

from mmlearn.train.distributed import all_gather_with_grad, is_main, pick_device
from mmlearn.train.ema import ema_decay
from mmlearn.train.errors import ResumeError, TrainingStopped
from mmlearn.train.history import History
from mmlearn.train.loop import fit
from mmlearn.train.optim import adamw, schedule
from mmlearn.train.randomness import mix, randomness

__all__ = [
    "History",
    "ResumeError",
    "TrainingStopped",
    "adamw",
    "all_gather_with_grad",
    "ema_decay",
    "fit",
    "is_main",
    "mix",
    "pick_device",
    "randomness",
    "schedule",
]
