"""Like for like: our pictures and those of a diffusers pipeline, timed in turns.

Both have the same weights, words, noise, precision and sampler, and draw the same
pictures, which the table proves before it compares seconds. Each is timed in turns with
the others, so that whatever else a machine does at that moment slows down all of them.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    few,
    judged,
)
from mmlearn.evaluate.generator_claims import Claim, first_sentence, ways, whole_and
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.prompts import Prompt
from mmlearn.evaluate.stable_diffusion_peer import pipeline, theirs
from mmlearn.stable_diffusion import first_noise

OURS, THEIRS = "mmlearn", "diffusers"
PICTURES = 8  # one by one, and then all at once
TIMES = {"one": 2, "all": 6}  # rounds of each
SECONDS, SLOWER, APART = "seconds a picture", "times ours", "largest difference"
Draw = Callable[[list[str], Tensor], Tensor]  # texts and noise -> pictures


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``... evaluate stable-diffusion --only speed``."""
    seen = [p for p in request.prompts if p.split == "seen"]
    prompts = by_lot(few(seen, min(request.plan.own, PICTURES)))
    how = replace(request.how, samples=1, sampler="dpmpp_2m")
    rivals = rivals_of(tools.model, how)
    return speed(tools.model, rivals, prompts, tools.judge, how, tools.card)


def rivals_of(model, how: Settings) -> dict[str, Draw]:
    """Ours, and theirs as it comes and with its pixels laid out as ours are."""
    pipes = {
        THEIRS: pipeline(model),
        f"{THEIRS}, channels last": pipeline(model, channels_last=True),
    }

    def ours(texts: list[str], noise: Tensor) -> Tensor:
        return model.generate(
            texts,
            noise=noise,
            steps=how.steps,
            guidance=how.guidance,
            sampler=how.sampler,
            progress=False,
        )

    def with_pipe(pipe) -> Draw:
        return lambda texts, noise: theirs(model, pipe, texts, noise, how)

    return {OURS: ours} | {name: with_pipe(pipe) for name, pipe in pipes.items()}


@dataclass
class Timed:
    """images: name to (n, 3, h, w), of the first round; seconds: name to one number for
    each call, a picture's, in the same order for all."""

    images: dict[str, Tensor]
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def in_turns(
    rivals: dict[str, Draw],
    texts: Sequence[str],
    noise: Tensor,
    at_once: int,
    times: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Timed:
    """Let rivals draw the same pictures, ``at_once`` of them at a time, ``times`` over.

    Each begins a round as often as the others.
    """
    names, parts = list(rivals), defaultdict(list)
    timed = Timed({})
    turn = 0
    for number in range(times):
        for first in range(0, len(texts), at_once):
            part = slice(first, first + at_once)
            told, x = list(texts[part]), noise[part]
            k, turn = turn % len(names), turn + 1
            for name in names[k:] + names[:k]:
                began = clock()
                images = rivals[name](told, x)
                timed.seconds[name].append((clock() - began) / len(told))
                if number == 0:
                    parts[name].append(images.cpu())
    timed.images = {name: torch.cat(parts[name]) for name in names}
    return timed


def median_of(name: str, values: Sequence[float]) -> dict:
    """The median of some numbers, with its 95 % interval: they are drawn again."""
    values = np.asarray(values)
    chosen = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.median(values[chosen], axis=1), [2.5, 97.5])
    found = {name: np.median(values), f"{name} low": low, f"{name} high": high}
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def speed(
    model,
    rivals: dict[str, Draw],
    prompts: Sequence[Prompt],
    judge: Judges,
    how: Settings,
    card: Card | None = None,
) -> Claim:
    """Seconds a picture, by our model and by a diffusers pipeline with its weights, in
    the same precision, with the same sampler, in turns.

    Medians of calls that draw one picture or all at once, with their intervals. "times
    ours": the median of what each call took over what ours took in the same turn.
    "largest difference": from our pictures, of pixels in [-1, 1]. Whole prompts as
    `table` has them.
    """
    texts = [p.text for p in prompts]
    noise = first_noise(model, how.seed, range(len(texts)))
    for draw in rivals.values():
        draw(texts[:1], noise[:1])  # the first picture of all costs more
    rows, shown = [], None
    for at_once, times in ((1, TIMES["one"]), (len(texts), TIMES["all"])):
        timed = in_turns(rivals, texts, noise, at_once, times)
        found = {name: judged(judge, x, prompts) for name, x in timed.images.items()}
        shown = shown or (timed.images, found)
        ours = np.asarray(timed.seconds[OURS])
        for name, seconds in timed.seconds.items():
            row = whole_and({"drawn by": name, "at once": at_once}, found[name], card)
            apart = (timed.images[name] - timed.images[OURS]).abs().max().item()
            row |= median_of(SECONDS, seconds)
            row |= median_of(SLOWER, np.asarray(seconds) / ours)
            rows.append(row | {APART: float(f"{apart:.3g}"), "calls": len(seconds)})
    images, verdicts = shown
    return Claim(
        about=first_sentence(speed),
        names=("at once", "drawn by"),
        more=(SECONDS, SLOWER, APART),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(images.values()), dim=1),
        verdicts=ways(list(verdicts.values())),
        texts=texts,
        heads=list(rivals),
        how=f"guidance {how.guidance:g} · {how.steps} steps of {how.sampler} · float32 "
        "· all pictures of a prompt start from the same noise",
        settings=asdict(how) | {"threads": torch.get_num_threads()},
        size=model.image_size,
    )
