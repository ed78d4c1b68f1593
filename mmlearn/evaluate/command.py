"""``python -m mmlearn evaluate MODEL``: a model's claims, into data/results/."""

import argparse
import importlib
import time
from pathlib import Path

from mmlearn.evaluate import generator_request
from mmlearn.evaluate.generators import GENERATORS
from mmlearn.evaluate.results import save_result
from mmlearn.machine import commit
from mmlearn.paths import data_path

MODELS = {
    "clip": "mmlearn.evaluate.clip_bench",
    "judge": "mmlearn.evaluate.judge_bench",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmlearn evaluate``."""
    parser.add_argument("model", metavar="MODEL", help=f"one of: {known()}")
    parser.add_argument("--only", nargs="+", metavar="CLAIM", help="default: all")
    parser.add_argument("--size", default="laptop", help="smoke, laptop (default), gpu")
    parser.add_argument("--weights", help="default: the shipped checkpoint of the size")
    parser.add_argument(
        "--seeds", type=int, help="for what is trained anew; default: 3"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="default: data/results; of one's own prompts: where one is",
    )
    generator_request.add_arguments(parser)


def known() -> str:
    """The names of all that can be measured."""
    return ", ".join([*MODELS, *GENERATORS])


def run(args: argparse.Namespace) -> int:
    """Measure and write; return the exit status. Raises ValueError for bad requests."""
    if args.model in GENERATORS:
        generators = importlib.import_module("mmlearn.evaluate.generator_command")
        return generators.run(args)
    if args.model not in MODELS:
        raise ValueError(
            f"nothing is measured of {args.model!r} yet; there is: {known()}"
        )
    for name in generator_request.OPTIONS:
        if getattr(args, name) is not None:
            raise ValueError(
                f"--{name} is for models that draw ({', '.join(GENERATORS)}), "
                f"not for {args.model}"
            )
    bench = importlib.import_module(MODELS[args.model])
    claims = args.only or list(bench.CLAIMS)
    if unknown := [name for name in claims if name not in bench.CLAIMS]:
        raise ValueError(
            f"{args.model} has no claim {unknown[0]!r}; "
            f"it has {', '.join(bench.CLAIMS)}"
        )
    seeds = 3 if args.seeds is None else args.seeds
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, not {seeds}")
    as_of = commit()  # before the first result changes the checkout
    for name in claims:
        began = time.perf_counter()
        found = bench.measure(name, args.size, args.weights, list(range(seeds)))
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
