"""What a killed run needs to go on as if nothing had happened: one file, ``state.pt``.

It holds the weights, their average, the optimizer's averages, the log, the number of
steps done, and the settings of the run, because going on with other settings would
be neither the old run nor a new one. No generator's state: see ``randomness``.
"""

import pickle
import time
from pathlib import Path

import torch
from torch import nn

from mmlearn.train.errors import ResumeError, TrainingStopped
from mmlearn.weights.atomic import atomic_file, remove_leftovers


def shapes(model: nn.Module) -> dict[str, str]:
    """A model's tensors in words: ``{"weight": "float32 [4, 3]"}``."""
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    return {
        name: f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}"
        + ("" if name in trained else " not trained")
        for name, t in model.state_dict().items()
    }


class RunState:
    """The state of a run in ``folder/state.pt`` (or nowhere, if folder is None).

    ``parts`` are the things that change: each has state_dict and load_state_dict.
    ``settings`` are plain values that must be the same when the run goes on. Only the
    process that is ``main`` writes; all read, so they must see the same folder.
    """

    def __init__(self, folder: Path | None, settings: dict, main: bool, **parts):
        self.path = folder / "state.pt" if folder is not None else None
        self.settings, self.main, self.parts = settings, main, parts
        self.saved_step: int | None = None
        self._saved_at = time.monotonic()

    def due(self, step: int, every: int | None) -> bool:
        """Whether to save after ``step``: every so many steps, or once a minute."""
        if every is None:
            return time.monotonic() - self._saved_at > 60
        return step % every == 0

    def save(self, step: int) -> None:
        """Write the state after ``step`` steps. A crash leaves the old file whole.

        Raises TrainingStopped if the disk refuses.
        """
        if self.path is None or not self.main or step == self.saved_step:
            return
        content = {name: part.state_dict() for name, part in self.parts.items()}
        try:
            with atomic_file(self.path) as file:
                torch.save({"step": step, "settings": self.settings, **content}, file)
        except (OSError, RuntimeError) as error:
            kept = "nothing was saved before"
            if self.saved_step is not None:
                kept = f"the state after step {self.saved_step} is still there"
            raise TrainingStopped(
                f"the state after step {step} could not be written to {self.path} "
                f"({error}); {kept}: free some space and run the same call again"
            ) from error
        self.saved_step, self._saved_at = step, time.monotonic()

    def restore(self, resume: bool | str) -> int:
        """Bring every part to where the saved run stood; return its number of steps.

        Nothing saved, or ``resume`` false: 0, and nothing changes. Raises
        ResumeError if the file is damaged or belongs to a run with other settings
        (which ``resume="changed"`` allows, as long as the model is the same).
        """
        if self.path is None:
            return 0
        if self.main:
            remove_leftovers(self.path)
        if not resume or not self.path.exists():
            return 0
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            was = saved["settings"]
        except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError):
            raise ResumeError(
                f"{self.path} is damaged or not a training state: start again with "
                "resume=False, or in another folder"
            ) from None
        self._check(was, changed_is_fine=resume == "changed")
        for name, part in self.parts.items():
            if name == "optimizer":  # its averages; decay and betas are this call's
                saved[name]["param_groups"] = part.state_dict()["param_groups"]
            if name == "scaler" and not saved[name]:
                continue  # the saved run needed none
            part.load_state_dict(saved[name])
        self.saved_step = saved["step"]
        return saved["step"]

    def _check(self, was: dict, changed_is_fine: bool) -> None:
        tensors = _differences(was["model"], self.settings["model"])
        plain = [
            {k: v for k, v in s.items() if k != "model"} for s in (was, self.settings)
        ]
        others = [] if changed_is_fine else _differences(*plain)
        if not tensors and not others:
            return
        words = list(others)
        if tensors:
            more = f", and {len(tensors) - 1} more tensors" if len(tensors) > 1 else ""
            words.append(f"the model's {tensors[0]}{more}")
        changed = (
            "" if tensors else ", with resume='changed' to go on with the new ones"
        )
        raise ResumeError(
            f"{self.path} belongs to a run with other settings: {'; '.join(words)}; "
            "run with the saved ones to go on, with resume=False or in another folder "
            f"to start again{changed}"
        )


def _differences(was: dict, now: dict) -> list[str]:
    """In words, ``["lr (saved 0.001, now 0.0003)"]``, in the order of the new ones."""
    none = "without it"
    return [
        f"{name} (saved {was.get(name, none)}, now {now.get(name, none)})"
        for name in [*now, *(n for n in was if n not in now)]
        if was.get(name, none) != now.get(name, none)
    ]
