"""What the claims that train Stable Diffusion anew have in common.

    python -m mmlearn.evaluate.stable_diffusion_trained_latent_pixel --size smoke

Each of these modules trains several small models, judges them and writes one result. A
training that is done is kept on the disk (`Kept`), so that a command which was stopped
goes on with the next one. Those that are to be compared at equal time are given as many
steps as a step of each was measured to leave room for (`affordable`), in seconds of one
core: so it does not matter what else the machine does, nor how many of these run side
by side.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.evaluate.generator_bench import Card, Judges
from mmlearn.evaluate.generator_table import card_of
from mmlearn.evaluate.generator_tools import named
from mmlearn.evaluate.judge import load_judge
from mmlearn.evaluate.judged import Verdict
from mmlearn.evaluate.prompts import Prompt
from mmlearn.evaluate.results import save_result
from mmlearn.evaluate.wall import wall
from mmlearn.show.tables import table
from mmlearn.train.ema import EMA
from mmlearn.train.errors import TrainingStopped
from mmlearn.weights.atomic import atomic_file

JUDGED_AT = 64  # pixels: the side of all these models' pictures
RUNS = Path("runs", "stable-diffusion-trained")
FROZEN = ("vae", "text_encoder")  # what these claims take from the shipped model


@dataclass
class Kept:
    """What was done before: a file for each training, read instead of training again.

    fresh: whether to do everything again. settings: what must be the same for a file
    to be read; beside them stand those of the training itself.
    """

    folder: Path
    settings: dict = field(default_factory=dict)
    fresh: bool = False

    def once(
        self,
        name: str,
        settings: Mapping,
        make: Callable[[], tuple[dict, dict[str, Tensor]]],
    ) -> tuple[dict, dict[str, Tensor]]:
        """What ``make`` gives, numbers and tensors, from the disk if they are there."""
        path = self.folder / f"{name}.safetensors"
        wanted = json.dumps({**self.settings, **settings}, sort_keys=True)
        if path.is_file() and not self.fresh:
            with safetensors.safe_open(path, "pt") as file:
                said = file.metadata() or {}
                if said.get("settings") == wanted:
                    print(f"{name}: kept in {path}", flush=True)
                    tensors = {key: file.get_tensor(key) for key in file.keys()}
                    return json.loads(said["found"]), tensors
        print(f"{name}: training", flush=True)
        found, tensors = make()
        said = {"settings": wanted, "found": json.dumps(found)}
        content = safetensors.torch.save(
            {key: x.detach().cpu().contiguous() for key, x in tensors.items()}, said
        )
        with atomic_file(path) as file:
            file.write(content)
        return found, tensors


@dataclass(frozen=True)
class Asked:
    """How a claim is measured; it is what every ``measure`` is given.

    source: whose autoencoder and text tower, as `StableDiffusion.from_pretrained` takes
    it. card: of the judge at `JUDGED_AT` pixels.
    """

    size: str
    seed: int
    source: str
    kept: Kept
    judge: Judges
    card: Card | None = None


@dataclass(frozen=True)
class Found:
    """What a claim found. rows, columns: the table, and what is printed of it.

    facts: what else stands in the result's head. used: kind of checkpoint to its
    directory; of Stable Diffusion only what is `FROZEN` is used. walls: for each, by
    what is added to its name, (prompts, heads, images (n, k, 3, h, w), verdicts or
    None, how).
    """

    about: str
    rows: list[dict]
    columns: tuple[str, ...]
    facts: dict
    used: dict[str, Path]
    seeds: list[int]
    walls: dict[str, tuple] = field(default_factory=dict)


class Marks:
    """Copies of what is being trained, its running average, after some of the steps.

    Give it to `fit` as ``after_step``, with no average of its own. Then ``copies`` is
    {step: model}, and ``clock`` says for each step how many seconds of a core had gone
    into the training when it was over. Copies share what is frozen.
    """

    def __init__(self, model: nn.Module, decay: float, at: Sequence[int]):
        self.average, self.at = EMA(model, decay), set(at)
        self.copies: dict[int, nn.Module] = {}
        self.clock: list[float] = []
        self._idle, self._began = 0.0, time.process_time()

    def __call__(self, model: nn.Module) -> None:
        step = len(self.clock) + 1
        self.average.update(step - 1)
        now = time.process_time()
        self.clock.append(now - self._began - self._idle)
        if step in self.at:
            self.copies[step] = self._copy()
            self._idle += time.process_time() - now

    def _copy(self) -> nn.Module:
        theirs = self.average.source.parameters()
        frozen = {id(p): p for p in theirs if not p.requires_grad}
        return copy.deepcopy(self.average.model, frozen)


def marks(steps: int, parts: Sequence[float]) -> list[int]:
    """The steps at which these parts of a training are over, in order, each once."""
    return sorted({max(1, round(steps * part)) for part in parts})


def affordable(step: Callable[[], object], seconds: float, tries: int = 5) -> tuple:
    """(how many steps so many seconds of a core have room for, seconds of one): by the
    median of some tries, after two that warm up."""
    took = []
    for _ in range(2 + tries):
        began = time.process_time()  # whatever else this machine does meanwhile
        step()
        took.append(time.process_time() - began)
    each = statistics.median(took[2:])
    return max(1, round(seconds / each)), each


def psnr(images: Tensor, real: Tensor) -> Tensor:
    """Of each picture (n, 3, h, w) in [-1, 1] against the real one, in dB: (n,)."""
    wrong = (images.clamp(-1, 1) - real).flatten(1) / 2
    return -10 * wrong.square().mean(dim=1).clamp(min=1e-10).log10()


def as_bytes(images: Tensor) -> Tensor:
    """Pictures in [-1, 1] as they are kept, in whole numbers of 0 … 255."""
    return (images.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8)


def as_floats(images: Tensor) -> Tensor:
    """And back again, in [-1, 1]."""
    return images.float() / 127.5 - 1


def hash_of(asked: Asked) -> str | None:
    """The SHA-256 of what a claim takes from a model; None where none is trained."""
    if asked.size == "smoke":
        return None
    directory = weights.find(asked.source, "stable-diffusion")
    return weights.sha256_of(directory / "model.safetensors", FROZEN)


def main(name: str, module: str, measure: Callable[[Asked], Found]) -> None:
    """Measure, print and save ``stable-diffusion-NAME``; stop with one sentence."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--size", default="laptop", choices=("smoke", "laptop"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="laptop", help="a model, or its directory")
    parser.add_argument("--out", type=Path, help="where to write; data/results")
    parser.add_argument("--keep", type=Path, default=RUNS, help="done trainings")
    parser.add_argument("--restart", action="store_true", help="train all again")
    args = parser.parse_args()
    words = "".join(
        f" --{option} {value}"
        for option, value, usual in (
            ("size", args.size, "laptop"),
            ("seed", args.seed, 0),
            ("source", args.source, "laptop"),
        )
        if value != usual
    )
    torch.set_num_threads(1)  # several would wait for each other, and wait in seconds
    began = time.perf_counter()
    try:
        judge = weights.find("laptop", "judge")
        kept = Kept(
            args.keep / name,
            {"size": args.size, "seed": args.seed, "source": args.source},
            args.restart,
        )
        asked = Asked(
            args.size,
            args.seed,
            args.source,
            kept,
            load_judge(judge),
            card_of(JUDGED_AT)[0],
        )
        found = measure(asked)
    except (weights.WeightsError, TrainingStopped, ValueError) as error:
        parser.error(str(error))
    used = {"judge": judge, **found.used}
    table(found.rows, found.columns)
    path = save_result(
        f"stable-diffusion-{name}",
        found.rows,
        about=found.about,
        command=f"python -m {module}{words}",
        seconds=time.perf_counter() - began,
        seeds=found.seeds,
        checkpoints=dict(_named(kind, at) for kind, at in used.items()),
        folder=args.out,
        facts=found.facts,
    )
    print(path)
    for more, drawn in found.walls.items():
        print(_wall(path.with_name(f"{path.stem}{more}-wall.png"), name, *drawn))


def _named(kind: str, directory: Path) -> tuple[str, Path]:
    """What a result calls a checkpoint, and which parts of it were used."""
    name, at = named(kind, directory)
    parts = f" ({', '.join(FROZEN)})" if kind == "stable-diffusion" else ""
    return name + parts, at


def _wall(
    path: Path,
    name: str,
    prompts: Sequence[Prompt],
    heads: Sequence[str],
    images: Tensor,
    verdicts: Sequence[Verdict] | None,
    how: str,
) -> Path:
    return wall(
        path,
        images,
        [prompt.text for prompt in prompts],
        verdicts,
        title=f"stable-diffusion: {name}",
        note=how,
        heads=heads,
    )
