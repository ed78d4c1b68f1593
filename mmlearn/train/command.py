"""``python -m mmlearn train MODEL``: the recipes by which checkpoints are made.

A recipe is a file ``mmlearn/train/recipes/<model>.py`` with one function,
``train(size, *, seed, steps, out, device, resume)``.
"""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

from mmlearn.train import distributed, recipes
from mmlearn.train.errors import ResumeError, TrainingStopped
from mmlearn.weights import WeightsError


def known_models() -> list[str]:
    """The models that have a recipe."""
    found = (module.name for module in pkgutil.iter_modules(recipes.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmlearn train``."""
    known = ", ".join(known_models())
    parser.add_argument("model", metavar="MODEL", help=f"one of: {known}")
    parser.add_argument("--size", default="laptop", help="smoke, laptop (default), gpu")
    parser.add_argument("--steps", type=_steps, help="default: the recipe's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: runs/MODEL-SIZE")
    parser.add_argument(
        "--device", help="cpu, cuda, …; default: the GPU if there is one"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile: pays in long runs only"
    )
    parser.add_argument(
        "--restart", action="store_true", help="do not go on with a run found in OUT"
    )


def run(args: argparse.Namespace) -> int:
    """Train by the recipe; return the process's exit status.

    Under torchrun every process comes here, and only the first one prints errors.
    """
    model = args.model.replace("-", "_")
    if model not in known_models():
        known = ", ".join(known_models()) or "none yet"
        return _fail(f"there is no recipe for {args.model!r}; there are: {known}", 2)
    out = args.out or Path("runs") / f"{model}-{args.size}"
    recipe = importlib.import_module(f"mmlearn.train.recipes.{model}")
    try:
        recipe.train(
            args.size,
            seed=args.seed,
            steps=args.steps,
            out=out,
            device=str(distributed.pick_device(args.device)),
            resume=not args.restart,
            **({"compile": True} if args.compile else {}),
        )
    except (ResumeError, TrainingStopped, WeightsError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "stopped", 130)
    finally:
        distributed.close()
    return 0


def _steps(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def _fail(sentence: str, status: int) -> int:
    if distributed.is_main():
        print(f"mmlearn train: {sentence}", file=sys.stderr)
    return status
