"""What a reader asks of the bench, read and found to make sense before anything loads.

request = read(args)      # of `python -m mmlearn evaluate text-to-image …`
"""

import argparse
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from mmlearn import weights
from mmlearn.evaluate import generator_sweeps as sweeps
from mmlearn.evaluate.generator_bench import Settings, few
from mmlearn.evaluate.generators import GENERATORS, Generator, with_split
from mmlearn.evaluate.prompts import Prompt, load_prompts
from mmlearn.machine import commit
from mmlearn.paths import data_path

CLAIMS = ("bench", "guidance", "steps")
OPTIONS = ("prompts", "samples", "guidance", "steps", "sampler", "seed", "judge")
SET = {  # what a claim sets itself
    "guidance": ("guidance",),
    "steps": ("steps", "sampler"),
    "clip-guidance": ("guidance", "steps", "sampler"),
    "speed": ("sampler",),
}


@dataclass(frozen=True)
class Plan:
    """How much is measured. prompts: None for all; training: scenes to be near to;
    swept: prompts of which guidance, and then samplers and steps, are varied; each: how
    many pictures of each with these samplers and steps, ``samples`` if None.
    own: prompts, pairs or holes of each claim that a model has alone; led: steps of
    those that are led by CLIP."""

    prompts: int | None = None
    samples: int = 4
    training: int = 4_000
    swept: int = 24
    each: int | None = None
    own: int = 48
    led: int = 50
    scales: tuple[float, ...] = sweeps.SCALES
    samplers: tuple[str, ...] = sweeps.SAMPLERS
    steps: tuple[int, ...] = sweeps.STEPS


PLANS = {
    "smoke": Plan(6, 1, 60, 3, 1, 3, 2, (1, 4), ("ddim", "dpmpp_2m"), (2, 4)),
    "laptop": Plan(),
    "gpu": Plan(),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that only text-to-image models have."""
    group = parser.add_argument_group("of text-to-image models")
    text = "a reader's own, with DrawBench's or PartiPrompts' columns, or as ours"
    group.add_argument("--prompts", type=Path, metavar="FILE", help=text)
    group.add_argument("--samples", type=int, help="pictures a prompt; default: 4")
    group.add_argument("--guidance", type=float, help="default: the model's own")
    group.add_argument("--steps", type=int, help="default: the model's own")
    group.add_argument("--sampler", help="default: the model's own")
    group.add_argument("--seed", type=int, help="of the first pictures; default: 0")
    group.add_argument(
        "--judge", help="a saved judge; default: the one that is shipped"
    )


@dataclass(frozen=True)
class Request:
    """What was asked for. size: one of `PLANS`. own: the name of a reader's file of
    prompts, without its ending; None for ours. source: the model's directory. judge:
    its size or directory. words: the command line's options. as_of: the commit before
    anything is written."""

    generator: Generator
    claims: list[str]
    size: str
    plan: Plan
    how: Settings
    prompts: list[Prompt]
    own: str | None
    out: Path
    source: Path
    judge: str
    words: str
    as_of: str | None


def read(args: argparse.Namespace) -> Request:
    """The request of a command line; ValueError, one sentence, for a bad one."""
    generator = GENERATORS[args.model]
    if args.size not in PLANS:
        raise ValueError(
            f"a model is measured at one of the sizes {', '.join(PLANS)}, "
            f"not {args.size!r}"
        )
    plan, claims = PLANS[args.size], _claims(args, generator)
    if args.size != "smoke":
        plan = replace(plan, **generator.plan)
    how = _settings(args, generator, plan)
    prompts = load_prompts(args.prompts) if args.prompts else generator.prompts()
    prompts = [with_split(prompt) for prompt in prompts]
    if plan.prompts and not args.prompts:
        prompts = few(prompts, plan.prompts)
    # A smoke test of the bench asks few prompts, of a model trained in earnest.
    shipped = "laptop" if args.size == "smoke" else args.size
    return Request(
        generator=generator,
        claims=claims,
        size=args.size,
        plan=plan,
        how=how,
        prompts=prompts,
        own=re.sub(r"[^\w.-]+", "_", args.prompts.stem) if args.prompts else None,
        out=args.out or (Path() if args.prompts else data_path("results")),
        source=weights.find(args.weights or shipped, generator.name),
        judge=args.judge or "laptop",
        words=_words(args),
        as_of=commit(),
    )


def _claims(args: argparse.Namespace, generator: Generator) -> list[str]:
    known = (*CLAIMS, *generator.claims)
    claims = list(args.only or (["bench"] if args.prompts else known))
    if unknown := [name for name in claims if name not in known]:
        raise ValueError(
            f"{args.model} has no claim {unknown[0]!r}; it has {', '.join(known)}"
        )
    if args.prompts and claims != ["bench"]:
        raise ValueError(
            "--prompts go with the bench: all else is measured on our own, so leave "
            "--prompts out, or ask for --only bench"
        )
    if args.seeds is not None:
        raise ValueError("--seeds is for what is trained anew; a model draws by --seed")
    for claim, names in SET.items():
        given = [name for name in names if getattr(args, name) is not None]
        if claims == [claim] and given:
            raise ValueError(
                f"the claim {claim!r} sets the {given[0]} itself: "
                f"leave --{given[0]} out"
            )
    return claims


def _settings(args: argparse.Namespace, generator: Generator, plan: Plan) -> Settings:
    default = {"samples": plan.samples, "steps": generator.steps}
    default |= {"guidance": generator.guidance, "sampler": generator.sampler}
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    return Settings(**default | {k: v for k, v in given.items() if v is not None})


def _words(args: argparse.Namespace) -> str:
    """The options of the command line that are not as by default."""
    words = f" --size {args.size}" if args.size != "laptop" else ""
    given = {name: getattr(args, name) for name in ("weights", *OPTIONS)}
    return words + "".join(f" --{k} {v}" for k, v in given.items() if v is not None)
