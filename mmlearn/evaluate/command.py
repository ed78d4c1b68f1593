"""``python -m mmlearn evaluate MODEL``: a model's claims, into data/results/."""

import argparse
import importlib
import time
from pathlib import Path

from mmlearn.evaluate.results import save_result
from mmlearn.machine import commit
from mmlearn.paths import data_path

MODELS = {"clip": "mmlearn.evaluate.clip_bench"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmlearn evaluate``."""
    parser.add_argument("model", metavar="MODEL", help=f"one of: {', '.join(MODELS)}")
    parser.add_argument("--only", nargs="+", metavar="CLAIM", help="default: all")
    parser.add_argument("--size", default="laptop", help="smoke, laptop (default), gpu")
    parser.add_argument("--weights", help="default: the shipped checkpoint of the size")
    parser.add_argument("--seeds", type=int, default=3, help="for what is trained anew")
    parser.add_argument("--out", type=Path, help="default: data/results")


def run(args: argparse.Namespace) -> int:
    """Measure and write; return the exit status. Raises ValueError for bad requests."""
    if args.model not in MODELS:
        raise ValueError(
            f"nothing is measured of {args.model!r} yet; there is: {', '.join(MODELS)}"
        )
    bench = importlib.import_module(MODELS[args.model])
    claims = args.only or list(bench.CLAIMS)
    if unknown := [name for name in claims if name not in bench.CLAIMS]:
        raise ValueError(
            f"{args.model} has no claim {unknown[0]!r}; "
            f"it has {', '.join(bench.CLAIMS)}"
        )
    if args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, not {args.seeds}")
    as_of = commit()  # before the first result changes the checkout
    for name in claims:
        began = time.perf_counter()
        found = bench.measure(name, args.size, args.weights, list(range(args.seeds)))
        words = f"python -m mmlearn evaluate {args.model} --only {name}"
        words += f" --size {args.size}" if args.size != "laptop" else ""
        path = save_result(
            f"{args.model}-{name}",
            command=words,
            seconds=time.perf_counter() - began,
            folder=args.out or data_path("results"),
            as_of=as_of,
            **found,
        )
        print(f"{path}: {len(found['rows'])} rows", flush=True)
    return 0
