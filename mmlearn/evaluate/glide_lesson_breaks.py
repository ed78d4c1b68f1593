"""What breaks GLIDE in training: the chapter's lesson, with one thing done wrong.

    python -m mmlearn.evaluate.glide_lesson_breaks

Each way trains the lesson's model anew (`mmlearn.train.recipes.glide_lesson`), from the
same seed on the same scenes, and is then asked for new ones, with guidance and without.
Writes data/results/glide-lesson-breaks.json. Several minutes a way.
"""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmlearn.evaluate.generator_claims import first_sentence, row_of
from mmlearn.evaluate.judge import load_judge
from mmlearn.evaluate.judge_card import card
from mmlearn.evaluate.results import save_result
from mmlearn.glide import GLIDE, TextUNet, drop_captions
from mmlearn.show.tables import table
from mmlearn.train.recipes import glide_lesson as lesson
from mmlearn.train.recipes.glide import SLOWER, run, stage_loss
from mmlearn.weights import find

Loss = Callable[[TextUNet, tuple, torch.Generator], tuple]
SCALES = (1.0, 3.0)
EARLY = 100  # steps, after which the loss is looked at for the first time


def none_left_out(stage: TextUNet, batch: tuple, generator: torch.Generator):
    """The stage's objective, where every picture has its caption."""
    return stage.objective(stage, batch, generator)


def captions_swapped(stage: TextUNet, batch: tuple, generator: torch.Generator):
    """The stage's objective, where each picture has its neighbour's caption."""
    images, tokens = batch
    tokens = drop_captions(tokens.roll(1, 0), generator)
    return stage.objective(stage, (images, tokens), generator)


@torch.no_grad()
def without_zeros(stage: TextUNet, seed: int = 0) -> TextUNet:
    """The stage, its zero-initialised layers started at random like all others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in stage.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.any():
                layer.reset_parameters()
    return stage


WAYS: dict[str, tuple[Loss, Callable[[TextUNet], TextUNet]]] = {
    "as it should be": (stage_loss, lambda stage: stage),
    "no caption left out": (none_left_out, lambda stage: stage),
    "nothing starts at zero": (stage_loss, without_zeros),
    "neighbours' captions": (captions_swapped, lambda stage: stage),
}


def trained(way: str, size: str, seed: int) -> tuple[GLIDE, float]:
    """The lesson's model, trained in one of `WAYS`; and its loss at the beginning."""
    loss, prepare = WAYS[way]
    model, plan = lesson.untrained(size, seed), lesson.RECIPES[size]
    model.base = prepare(model.base)
    made = lesson.batches(model, plan, seed)
    history = run(
        model.base, loss, made, plan, seed=seed, slower={"text": SLOWER}, log_every=1
    )
    early = [row["mse"] for row in history.rows if row["step"] <= EARLY]
    model.base = copy.deepcopy(history.ema)
    return model, sum(early) / len(early)


def judged_rows(way: str, model: GLIDE, scenes, judge, counts) -> list[dict]:
    """Whole prompts right at each of `SCALES`: a row each, as `judged.table`'s."""
    rows = []
    for scale in SCALES:
        images: Tensor = model.generate(
            scenes.captions, steps=20, guidance=scale, sampler="ddim", progress=False
        )
        verdicts = judge(images, scenes.records)
        words = {"way": way, "guidance": scale}
        rows.append(row_of(words, verdicts, "whole prompt", counts))
    return rows


def measure(size: str = "laptop", seed: int = 0, n: int = 64) -> list[dict]:
    """What each mistake in training costs the lesson's model, judged."""
    judge, counts = load_judge(find("laptop", "judge")), card(32)
    scenes, rows = lesson.scenes(n, 44_000_000, split="test"), []
    for way in WAYS:
        model, early = trained(way, size, seed)
        for row in judged_rows(way, model, scenes, judge, counts):
            rows.append(row | {"first steps' error": round(early, 4)})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", default="laptop")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    rows = measure(args.size, args.seed)
    table(rows, ["way", "guidance", "right", "n", "share", "low", "high"])
    options = f" --size {args.size}" if args.size != "laptop" else ""
    options += f" --seed {args.seed}" if args.seed else ""
    path = save_result(
        "glide-lesson-breaks",
        rows,
        about=first_sentence(measure),
        command=f"python -m mmlearn.evaluate.glide_lesson_breaks{options}",
        seconds=time.perf_counter() - began,
        seeds=[args.seed],
        checkpoints={"judge-laptop": find("laptop", "judge")},
        facts={"steps": lesson.RECIPES[args.size].steps},
    )
    print(path)


if __name__ == "__main__":
    main()
