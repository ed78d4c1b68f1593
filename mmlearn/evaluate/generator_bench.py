"""What is measured of a text-to-image model: does a picture show what was asked?

    found = bench(model, prompts, judge, training, features, Settings(), card)
    found.rows        # controls first, then the model: as `judged.table` makes them

Every picture, of the model and of the controls, goes before the same judge and is held
against the record of its prompt. Real scenes show the most that can be scored, another
caption's scenes and pictures drawn without a prompt what can be had by guessing, the
nearest training scenes what can be had by heart.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmlearn.diffusion import sampler
from mmlearn.diffusion.checks import check_count, check_guidance
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.judged import Counts, Verdict, table
from mmlearn.evaluate.nearest import Features, nearest
from mmlearn.evaluate.prompts import Prompt
from mmlearn.progress import bar
from mmlearn.world.render import draw

AT_ONCE = 64  # pictures; each further lot of them is drawn from the next seed
SPLITS = {"seen": "seen", "held_out": "held out"}
Judges = Callable[..., list[Verdict]]  # (images, records, prompts) -> verdicts
Card = Mapping[str, Mapping[str, Counts]]


@dataclass(frozen=True)
class Settings:
    """How a model is asked: ``samples`` pictures a prompt, and `Draws.generate`'s own.

    Raises ValueError for what is out of range.
    """

    samples: int = 4
    steps: int = 20
    guidance: float = 2.0
    sampler: str = "dpmpp_2m"
    seed: int = 0

    def __post_init__(self):
        check_count("samples", self.samples)
        check_count("steps", self.steps)
        check_guidance(self.guidance)
        sampler(self.sampler)
        check_count("seed", self.seed, least=0)

    def seeds(self, pictures: int) -> list[int]:
        """The seeds that so many pictures are drawn from."""
        return [self.seed + i for i in range(-(-pictures // AT_ONCE))]


@dataclass(frozen=True)
class Bench:
    """images (n, k, 3, h, w): k for each of n prompts; verdicts: n · k, in this order.

    rows: controls and model, by category. prompts: a row each. distances: of the
    model's pictures, and of new real scenes, to the nearest training scene.
    """

    images: Tensor
    verdicts: list[Verdict]
    rows: list[dict]
    prompts: list[dict]
    distances: list[dict]


def by_lot(prompts: Sequence[Prompt], n: int | None = None) -> list[Prompt]:
    """``n`` prompts (or all), the same whenever these are asked: ordered by a hash."""

    def key(prompt: Prompt) -> str:
        return hashlib.sha256(f"{prompt.id}/{prompt.text}".encode()).hexdigest()

    return sorted(prompts, key=key)[:n]


def few(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """``n`` of them by lot, held-out ones up to a half; in the order of the list."""
    held = by_lot([p for p in prompts if p.split == "held_out"], n // 2)
    others = by_lot([p for p in prompts if p.split != "held_out"], n - len(held))
    kept = {p.id for p in held + others}
    return [p for p in prompts if p.id in kept]


def drawn(model: Draws, texts: Sequence[str], how: Settings) -> Tensor:
    """The model's pictures of ``texts``: (n, 3, h, w) in [-1, 1].

    `AT_ONCE` at a time, from one seed after the other. Raises ValueError if what comes
    back is not that.
    """
    parts = []
    with bar(len(texts), "picture", desc="drawing", delay=2, leave=False) as line:
        for i, seed in enumerate(how.seeds(len(texts))):
            part = list(texts[i * AT_ONCE : (i + 1) * AT_ONCE])
            images = model.generate(
                part,
                steps=how.steps,
                guidance=how.guidance,
                sampler=how.sampler,
                seed=seed,
                progress=False,
            )
            wanted = (len(part), 3, model.image_size, model.image_size)
            if tuple(images.shape) != wanted:
                raise ValueError(
                    f"{len(part)} prompts should give pictures of the shape {wanted}, "
                    f"not {tuple(images.shape)}"
                )
            parts.append(images.detach().cpu())
            line.update(len(part))
    return torch.cat(parts)


def asked(model: Draws, prompts: Sequence[Prompt], how: Settings) -> Tensor:
    """The pictures (n, k, 3, h, w): ``how.samples`` of each of n prompts."""
    texts = [p.text for p in prompts for _ in range(how.samples)]
    return drawn(model, texts, how).unflatten(0, (len(prompts), how.samples))


def judged(judge: Judges, images: Tensor, prompts: Sequence[Prompt]) -> list[Verdict]:
    """A verdict for each picture (m, 3, h, w), by its prompt's record: one a picture.

    Raises ValueError for a prompt without a record, and as the judge does.
    """
    for prompt in prompts:
        if prompt.record is None:
            raise ValueError(
                f"{prompt.text!r} has no record: no program can judge pictures of it"
            )
    verdicts: list[Verdict] = []
    with bar(len(prompts), "picture", desc="judging", delay=2, leave=False) as line:
        for i in range(0, len(prompts), AT_ONCE):
            part = prompts[i : i + AT_ONCE]
            records, names = [p.record for p in part], [p.id for p in part]
            verdicts += judge(images[i : i + AT_ONCE], records, names)
            line.update(len(part))
    return verdicts


def each(prompts: Sequence[Prompt], k: int) -> list[Prompt]:
    """Every prompt ``k`` times, as its pictures stand."""
    return [p for p in prompts for _ in range(k)]


def bench(
    model: Draws,
    prompts: Sequence[Prompt],
    judge: Judges,
    training: Tensor,
    features: Features,
    how: Settings,
    card: Card | None = None,
) -> Bench:
    """Do pictures show what was asked for? Controls first, then the model.

    prompts: all with a record. training: scenes that it was trained on, (m, 3, h, w).
    features: (n, 3, h, w) -> (n, d), for the nearest of them. card: as in `table`.
    """
    images = asked(model, prompts, how)
    verdicts = judged(judge, images.flatten(0, 1), each(prompts, how.samples))
    real = draw([p.record for p in prompts], model.image_size)
    rows = []
    for name, pictures, whose in controls(
        model, prompts, images, real, training, features, how
    ):
        rows += rows_of(name, judged(judge, pictures, whose), card)
    rows += rows_of("the model's: all", verdicts, card)
    for split, name in SPLITS.items():
        chosen = {p.id for p in prompts if p.split == split}
        own = [v for v in verdicts if v.prompt in chosen]
        rows += rows_of(f"the model's: {name}", own, card) if own else []
    return Bench(
        images,
        verdicts,
        rows,
        by_prompt(prompts, verdicts),
        distances(prompts, images, real, training, features),
    )


def controls(model, prompts, images, real, training, features, how):
    """(name, pictures, the prompts that they are held against) of each control."""
    prompts = list(prompts)
    yield "real scenes", real, prompts
    if len(prompts) > 1:
        place = {p.id: i for i, p in enumerate(prompts)}
        order = by_lot(prompts)
        others = [place[p.id] for p in order[1:] + order[:1]]
        yield "another caption's scenes", real[others], order
    free = replace(how, guidance=1.0)  # nothing is asked for: nothing to exaggerate
    yield "unconditional samples", drawn(model, [""] * len(prompts), free), prompts
    which, _ = nearest(images[:, 0], training, features)
    yield "nearest training scenes", training[which], prompts


def rows_of(name: str, verdicts: Sequence[Verdict], card: Card | None) -> list[dict]:
    """`table`'s rows with the name of what was judged in front."""
    return [{"pictures": name} | row for row in table(verdicts, card)]


def by_prompt(prompts: Sequence[Prompt], verdicts: Sequence[Verdict]) -> list[dict]:
    """A row a prompt: pictures right, wrong and left open, and in which categories.

    wrong in, open in: how many of the pictures, by category.
    """
    found = defaultdict(list)
    for verdict in verdicts:
        found[verdict.prompt].append(verdict)
    rows = []
    for prompt in prompts:
        own = found[prompt.id]
        wholes = Counter(v.whole for v in own)
        row = {"id": prompt.id, "split": prompt.split, "prompt": prompt.text}
        row |= {"pictures": len(own), "right": wholes[True], "wrong": wholes[False]}
        row |= {"abstained": wholes[None]}
        for name, answer in (("wrong in", False), ("open in", None)):
            row[name] = dict(Counter(c for v in own for c in categories(v, answer)))
        rows.append(row)
    return rows


def categories(verdict: Verdict, answer: bool | None) -> list[str]:
    """The categories of the clauses that were answered so, each once."""
    pairs = zip(verdict.clauses, verdict.answers, strict=True)
    return list(dict.fromkeys(c.category for c, given in pairs if given is answer))


def distances(
    prompts: Sequence[Prompt],
    images: Tensor,
    real: Tensor,
    training: Tensor,
    features: Features,
) -> list[dict]:
    """How far the nearest training scene is: from the model's pictures, from real ones.

    ``real`` are new scenes of the same prompts, one each. Distances are 1 − cosine of
    the features. "nearer": the share of the model's pictures that are nearer than all
    but one in twenty of the real ones: about one in twenty where it draws as the world
    does, far more where it copies. None where there are fewer than twenty.
    """
    rows, k = [], images.shape[1]
    _, far = nearest(images.flatten(0, 1), training, features)
    _, new = nearest(real, training, features)
    for split, name in {None: "all", **SPLITS}.items():
        chosen = torch.tensor([split in (None, p.split) for p in prompts])
        if not chosen.any():
            continue
        both = {"new real scenes": new[chosen]}
        both["the model's"] = far[chosen.repeat_interleave(k)]
        near = both["new real scenes"].quantile(0.05)
        for whose, found in both.items():
            points = found.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
            row = {"pictures": whose, "prompts": name, "n": len(found)}
            row |= dict(zip(("5 %", "median", "95 %"), _round(points), strict=True))
            rows.append(row | {"of": len(training)})
        closer = (both["the model's"] < near).float().mean().item()
        rows[-1]["nearer"] = round(closer, 4) if chosen.sum() >= 20 else None
    return rows


def _round(numbers: Sequence[float]) -> list[float]:
    return [round(number, 4) for number in numbers]
