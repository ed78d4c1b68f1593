"""Which of CLIP's states to read: the last ones, as in version 1, or those before.

    python -m mmlearn.evaluate.stable_diffusion_trained_text

The shipped model's U-Net, made anew, learns a world of two shapes in two colours, one
or two at a time, from three sorts of words: the states after the last block of the
frozen text tower (version 1), those before it (version 2), and those before the last
block of a CLIP that was trained separately, if one is shipped: GLIDE's noised CLIP,
whose text tower never was the other's. All else is alike, and each is trained from
several seeds. Since a difference between seeds can be larger than one between towers,
every row is of one seed.
Writes data/results/stable-diffusion-text.json. Some 17 minutes of a core.
"""

import re
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import torch

from mmlearn import weights, world
from mmlearn.clip import CLIP
from mmlearn.evaluate.generator_bench import Settings, by_lot, drawn, judged
from mmlearn.evaluate.generator_claims import first_sentence, whole_and
from mmlearn.evaluate.prompts import Prompt
from mmlearn.evaluate.stable_diffusion_trained_tools import (
    Asked,
    Found,
    as_bytes,
    as_floats,
    hash_of,
    main,
)
from mmlearn.glide import NoisedCLIP
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.stable_diffusion import StableDiffusion, TextConfig
from mmlearn.train.recipes import stable_diffusion_lesson as lesson
from mmlearn.world.render import draw

NAME = "text"
FIRST, SECOND, OTHER = "last states", "states before", "states before, noised CLIP"
GRAMMAR = replace(lesson.GRAMMAR, things=(), kinds=("single", "pair", "pair"))
CATEGORIES = ("existence", "colour", "binding")  # whichever the judge has clauses of
FACTS = {  # what is exchanged in captions of which kind of scene
    "noun": ("single", ("star", "heart")),
    "colour": ("single", ("red", "blue")),
    "binding": ("pair", ("red", "blue")),
}
NOISY = (700, 900)  # the times at which is asked what is heard: there captions decide
SEED = 43_200_000  # of no training
MOST = 200  # scenes that may be tried for each prompt


@dataclass(frozen=True)
class Budget:
    """steps: of each training. seeds: how many. prompts: of each kind of scene. heard:
    how many scenes of each kind say what is heard; more different captions than 24
    there hardly are."""

    steps: int
    seeds: int
    prompts: int
    heard: int
    how: Settings


HOW = Settings(samples=1, steps=20, guidance=3.0, sampler="ddim")
BUDGETS = {
    "smoke": Budget(1, 1, 2, 2, replace(HOW, steps=1)),
    "laptop": Budget(400, 3, 24, 24, HOW),
}


def told_apart(kind: str, n: int, seed: int = SEED) -> list[Prompt]:
    """``n`` new scenes of a kind with different captions; of pairs, those of two shapes
    in two colours. Raises ValueError where there are not so many."""
    grammar = replace(GRAMMAR, kinds=(kind,), split="test")
    found: dict[str, Prompt] = {}
    for index in range(MOST * n):
        record = world.compose(grammar, seed, index)
        facts = [
            {getattr(x, name) for x in record.items} for name in ("noun", "colour")
        ]
        if all(len(different) == len(record.items) for different in facts):
            said, name = world.caption(record), f"{kind}-{len(found)}"
            found.setdefault(said, Prompt(name, "colors", said, "seen", record))
        if len(found) == n:
            return list(found.values())
    raise ValueError(f"there are not {n} different captions of the kind {kind!r}")


def scenes(n: int) -> list[Prompt]:
    """New scenes, ``n`` of one shape and ``n`` of two, by lot."""
    return by_lot([*told_apart("single", n), *told_apart("pair", n)])


def with_words(model: StableDiffusion, clip: CLIP | None, skip: int, seed: int):
    """The model, told by a CLIP's text tower (None: its own) but for its last ``skip``
    blocks, with a U-Net made anew."""
    own = model.config.text
    text = TextConfig.of(clip, skip=skip) if clip else replace(own, skip=skip)
    unet = replace(model.config.unet, text_width=text.width)
    config = replace(model.config, text=text, unet=unet)
    tokenizer = model.tokenizer if clip is None else clip.tokenizer
    tower = model.text_encoder if clip is None else clip.text
    told = StableDiffusion(config, tokenizer, lesson.words(GRAMMAR))
    told.vae.load_state_dict(model.vae.state_dict())
    told.vae.requires_grad_(False)
    told.text_encoder.load_state_dict(tower.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        told.unet = LatentUNet(unet)
    return told.to(memory_format=torch.channels_last)


def another_clip() -> CLIP | None:
    """A CLIP that was trained separately, if there is one in data/checkpoints."""
    try:
        return NoisedCLIP.from_pretrained("laptop").clip
    except weights.WeightsError:
        return None


def ways(asked: Asked, seed: int, other: CLIP | None) -> Iterator[tuple]:
    """(name, model before its training) of each sort of words."""
    for name, clip, skip in (
        (FIRST, None, 0),
        (SECOND, None, 1),
        (OTHER, other, 1),
    ):
        if name != OTHER or clip is not None:
            model = lesson.untrained(asked.size, seed, asked.source)
            layers = clip.config.text_layers if clip else model.config.text.layers
            most = layers - 1  # one block at least is left
            yield name, with_words(model, clip, min(skip, most), seed)


def exchanged(text: str, one: str, other: str) -> str:
    """The text with two words in each other's place."""
    swap = {one: other, other: one}
    return re.sub(rf"\b({one}|{other})\b", lambda word: swap[word[0]], text)


@torch.no_grad()
def heard(model: StableDiffusion, n: int) -> dict[str, float]:
    """By how many per cent the error of ``n`` noisy scenes grows where their captions
    have two words exchanged, for each of `FACTS`; 0 for one who does not hear them."""
    found = {}
    for fact, (kind, words) in FACTS.items():
        prompts = told_apart(kind, n, SEED + 1)
        records, own = zip(*((p.record, p.text) for p in prompts), strict=True)
        latents = model.encode(draw(records, model.image_size))
        errors = []
        for texts in (own, [exchanged(text, *words) for text in own]):
            said, wrong = model.encode_text(texts), 0.0
            for t in NOISY:
                lot = torch.Generator().manual_seed(t)  # the same noise for both
                asked = (model.unet, (latents, said), torch.full([n], t), lot)
                wrong += model.objective.terms(*asked)["mse"].mean().item()
            errors.append(wrong)
        found[f"{fact} heard, %"] = round(100 * (errors[1] / errors[0] - 1), 3)
    return found


def taught(model: StableDiffusion, texts, asked: Asked, seed: int):
    """One training: what is heard, how it went, and pictures of texts."""
    budget, plan = BUDGETS[asked.size], lesson.RECIPES[asked.size]
    encoded = lesson.encode(model, plan.scenes, seed, GRAMMAR)
    history = lesson.taught(model, encoded, plan, seed, steps=budget.steps)
    rows = history.rows[-max(1, len(history.rows) // 10) :]
    loss = statistics.fmean(row["loss"] for row in rows)
    found = heard(history.ema, budget.heard) | {"last tenth's loss": round(loss, 5)}
    return found, {"images": as_bytes(drawn(history.ema, texts, budget.how))}


def measure(asked: Asked) -> Found:
    """What a U-Net learns in equal steps from the last states of CLIP's text tower,
    from those before, and from those of a CLIP that was trained separately.

    A row for each sort of words and seed: whole prompts right, the shares of some
    categories, and what is heard (`heard`): the noun, the colour, and whose colour it
    is. The last rows are means over seeds, with the least and the most.
    """
    budget, size = BUDGETS[asked.size], asked.size
    prompts = scenes(budget.prompts)
    texts = [prompt.text for prompt in prompts]
    settings = asdict(budget) | {"plan": asdict(lesson.RECIPES[size])}
    settings |= {"source": hash_of(asked)}
    other, seeds = another_clip(), range(asked.seed, asked.seed + budget.seeds)
    rows, first = [], []
    for seed in seeds:
        for name, model in ways(asked, seed, other):

            def make(model=model, seed=seed):
                return taught(model, texts, asked, seed)

            file = f"{name.replace(' ', '-').replace(',', '')}-{seed}"
            found, kept = asked.kept.once(file, settings, make)
            images = as_floats(kept["images"])
            verdicts = judged(asked.judge, images, prompts)
            words = {"words": name, "seed": seed}
            row = whole_and(words, verdicts, asked.card, *CATEGORIES)
            rows.append(row | found)
            print(rows[-1], flush=True)
            if seed == asked.seed:
                first.append((images, verdicts))

    numbers = [key for key in rows[0] if key.endswith("heard, %")]
    numbers = ["share", *(c for c in CATEGORIES if c in rows[0]), *numbers]
    means = list(over_seeds(rows, [*numbers, "last tenth's loss"]))
    used = {"clip": weights.find("laptop", "clip")}
    if size != "smoke":
        used = {"stable-diffusion": weights.find(asked.source, "stable-diffusion")}
    if other is not None:
        used["noised-clip"] = weights.find("laptop", "noised-clip")
    missing = "none in data/checkpoints"
    return Found(
        about=first_sentence(measure),
        rows=rows + means,
        columns=("words", "seed", *numbers, "last tenth's loss"),
        facts={
            "settings": asdict(budget) | {"batch": lesson.RECIPES[size].batch},
            "another CLIP": missing if other is None else "noised-clip-laptop",
        },
        used=used,
        seeds=list(seeds),
        walls={"": wall_of(prompts, first, budget, [m["words"] for m in means])},
    )


def over_seeds(rows: list[dict], numbers: list[str]) -> Iterator[dict]:
    """For each sort of words, the mean of each number over seeds, least and most."""
    for name in dict.fromkeys(row["words"] for row in rows):
        found = {"words": name, "seed": "mean"}
        for key in numbers:
            values = [row[key] for row in rows if row["words"] == name]
            found[key] = round(statistics.fmean(values), 5)
            found[f"{key}: least"], found[f"{key}: most"] = min(values), max(values)
        yield found


def wall_of(prompts, first: list, budget: Budget, heads: list[str]) -> tuple:
    """The first prompts, as each sort of words has them drawn, of the first seed."""
    few = prompts[:10]
    images = torch.stack([pictures[:10] for pictures, _ in first], dim=1)
    verdicts = [found[i] for i in range(len(few)) for _, found in first]
    how = f"after {budget.steps:,} steps each · the first that were asked"
    return few, heads, images, verdicts, how


if __name__ == "__main__":
    main(NAME, "mmlearn.evaluate.stable_diffusion_trained_text", measure)
