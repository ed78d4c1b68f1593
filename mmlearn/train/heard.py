"""Does it hear? The error of what a caption says, against what its twin would say.

    python -m mmlearn.train.heard stable-diffusion runs/stable-diffusion-laptop
    python -m mmlearn.train.heard glide runs/glide-laptop --phrases

A network that hears a word does worse where another stands in its place. So noisy
pictures of scenes are shown to it twice, with their own captions and with those of
their twins (`mmlearn.world.twin`), in which one fact is other: whose colour is whose,
who stands left, which thing it is. Much noise is added, where a caption decides. A gap
shows long before pictures are right, within minutes of a training; a fact with a gap
of nothing for thousands of steps will not come by itself, and the course of lessons in
`mmlearn.train.recipes.glide` was found so. A run is looked at while it goes on: it is
the running average that it last saved. With --phrases it is asked of who stands where,
for each way in which captions say it.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mmlearn import world
from mmlearn.diffusion import Objective
from mmlearn.stable_diffusion import StableDiffusion
from mmlearn.train.recipes import glide, stable_diffusion
from mmlearn.world.grammar import Grammar
from mmlearn.world.phrases import PLACING, saying
from mmlearn.world.render import draw

# The kind of scene, and the fact in which its twin is other.
FACTS = (
    ("single", "noun"),
    ("single", "colour"),
    ("pair", "binding"),
    ("relation", "order"),
    ("count", "count"),
    ("single", "style"),
)
NOISY = (700, 900)  # the times at which errors are measured
SEED = 43_100_000  # of no training
TRIES = 20  # how many scenes are looked through for each that has a twin


def pairs(grammar: Grammar, kind: str, fact: str, n: int) -> list[tuple]:
    """``n`` (scene, twin) of a kind, or fewer if its grammar has not so many."""
    grammar, found = replace(grammar, kinds=(kind,), split="test"), []
    for index in range(TRIES * n):
        scene = world.compose(grammar, SEED, index)
        try:
            found.append((scene, world.twin(scene, fact)))
        except ValueError:  # this scene has no such fact
            continue
        if len(found) == n:
            break
    return found


def phrased(grammar: Grammar, phrase: str, n: int) -> list[tuple]:
    """``n`` (scene, its caption, its twin's), which say who stands where in a phrase.

    The twin's two things have changed places.
    """
    found = []
    for scene, twin in pairs(grammar, "relation", "order", 6 * n):
        both = [saying(record, phrase) for record in (scene, twin)]
        if all(both):
            found.append((scene, both[0][0], both[1][0]))
    return found[:n]


@torch.no_grad()
def error(objective: Objective, network: Callable, x: Tensor, said: Tensor) -> float:
    """The mean squared error at the times `NOISY`, of the same noise for any words."""
    found = 0.0
    for t in NOISY:
        lot = torch.Generator().manual_seed(t)
        ts = torch.full([len(x)], t)
        found += objective.terms(network, (x, said), ts, lot)["mse"].mean().item()
    return found / len(NOISY)


def gaps(
    objective: Objective,
    network: Callable,
    tell: Callable[[list[str]], Tensor],
    show: Callable[[list], Tensor],
    grammar: Grammar,
    n: int = 96,
) -> dict[str, tuple[float, float]]:
    """What is heard: fact to (error of the own caption, error of the twin's).

    network(x, t, said): the prediction. tell: captions to `said`. show: scenes to x.
    """
    found = {}
    for kind, fact in FACTS:
        if kind not in grammar.kinds or not (both := pairs(grammar, kind, fact, n)):
            continue
        scenes, twins = zip(*both, strict=True)
        x = show(list(scenes))
        found[fact] = tuple(
            error(objective, network, x, tell([world.caption(r) for r in records]))
            for records in (scenes, twins)
        )
    return found


def gaps_by_phrase(
    objective: Objective,
    network: Callable,
    tell: Callable[[list[str]], Tensor],
    show: Callable[[list], Tensor],
    grammar: Grammar,
    n: int = 64,
) -> dict[str, tuple[float, float]]:
    """As `gaps`, of the order of two things alone: a phrase to both errors."""
    found = {}
    for phrase in PLACING:
        if not (asked := phrased(grammar, phrase, n)):
            continue
        scenes, own, twins = (list(some) for some in zip(*asked, strict=True))
        x = show(scenes)
        found[phrase] = tuple(
            error(objective, network, x, tell(said)) for said in (own, twins)
        )
    return found


def of_glide(run: Path) -> tuple:
    """(objective, network, tell, show) of the base that a run of GLIDE last saved."""
    model = glide.untrained("laptop", 0)
    base = model.base
    base.load_state_dict(saved(run / "base"))
    context, size = base.config.context, base.config.image_size

    def tell(captions: list[str]) -> Tensor:
        return glide.tokenize(captions, model.tokenizer, context)

    return base.eval().objective, base, tell, lambda scenes: draw(scenes, size)


def of_stable_diffusion(run: Path) -> tuple:
    """(objective, network, tell, show) of a run of Stable Diffusion: of its revision,
    where that has begun. A saved model will do as well."""
    if (run / "config.json").exists():
        model = StableDiffusion.from_pretrained(run)
    else:
        model = stable_diffusion.untrained("laptop", 0, run / "autoencoder" / "model")
        begun = (run / "revision" / "state.pt").exists()
        model.load_state_dict(saved(run / ("revision" if begun else "unet")))
    model.eval()

    def show(scenes: list) -> Tensor:
        return model.encode(draw(scenes, model.image_size))

    return model.objective, model.unet, model.encode_text, show


def saved(part: Path) -> dict[str, Tensor]:
    """The running average that a part of a run last saved."""
    return torch.load(part / "state.pt", map_location="cpu", weights_only=True)["ema"]


def grammars() -> dict[str, Grammar]:
    """The worlds of the course's lessons, least first."""
    named = {"four": glide.FOUR, "more": glide.MORE, "few": glide.FEW}
    named |= {"plain": glide.PLAIN, "all": glide.ALL}
    return {name: replace(glide.TAUGHT, **shows) for name, shows in named.items()}


def main() -> None:
    """Print a line for each lesson's world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=("glide", "stable-diffusion"))
    parser.add_argument("run", type=Path, help="its folder, as `train` made it")
    parser.add_argument("--lessons", nargs="+", choices=grammars(), default=grammars())
    parser.add_argument("--phrases", action="store_true", help="who stands where")
    args = parser.parse_args()
    of = of_glide if args.model == "glide" else of_stable_diffusion
    try:
        asked = of(args.run)
    except FileNotFoundError as missing:
        parser.error(f"{args.run} is no run of {args.model}: {missing.filename} lacks.")
    with torch.no_grad():
        for name in args.lessons:
            of_what = gaps_by_phrase if args.phrases else gaps
            found = of_what(*asked, grammars()[name])
            print(f"{name:6}", *(line(*each) for each in found.items()), sep="  ")


def line(fact: str, errors: tuple[float, float]) -> str:
    """One fact: its error, and how much worse the twin's caption does."""
    own, other = errors
    return f"{fact} {own:.3f} {100 * (other / own - 1):+.1f} %"


if __name__ == "__main__":
    main()
