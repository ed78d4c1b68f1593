"""Latents or pixels: what diffusion costs in either, and when it draws equally well.

    python -m mmlearn.evaluate.stable_diffusion_trained_latent_pixel

The chapter's lesson (`mmlearn.train.recipes.stable_diffusion_lesson`), in three ways of
about as many trained parameters, for the same time, from one seed:

    latents         the lesson's U-Net; what is encoded was encoded before
    pixels          GLIDE's U-Net as in its paper, ε of every pixel
    patches         as our GLIDE: the picture itself, in patches of 4 × 4 pixels, which
                    is a compression too, though nobody learned it

The pixels' ways have GLIDE's own text transformer and learn it; the latents' reads the
frozen CLIP tower. Both rest on work that is not counted here: the latents' way on the
trainings of the autoencoder and of CLIP, while pixels' pictures are drawn beforehand.
Writes data/results/stable-diffusion-latent-pixel.json. Some 17 minutes of a core.
"""

import time
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from mmlearn import weights
from mmlearn.evaluate.generator_bench import Settings, drawn, judged
from mmlearn.evaluate.generator_claims import first_sentence, row_of
from mmlearn.evaluate.glide_stages import asked as new_scenes
from mmlearn.evaluate.judged import WHOLE, Verdict
from mmlearn.evaluate.stable_diffusion_trained_tools import (
    Asked,
    Found,
    Marks,
    as_bytes,
    as_floats,
    hash_of,
    main,
    marks,
)
from mmlearn.evaluate.stable_diffusion_trained_ways import (
    Way,
    costs,
    of_latents,
    of_pixels,
)
from mmlearn.glide.sizes import PATCHES, ROOM, WORLD
from mmlearn.train.recipes import stable_diffusion_lesson as lesson
from mmlearn.train.recipes.glide import run

NAME = "latent-pixel"
COMMON = WORLD | ROOM | {"image_size": 64, "blocks": 1, "groups": 8}
STAGES = {  # the ways of pixels; about as many parameters as the latents' U-Net has
    "smoke": {
        "pixels": COMMON
        | {"width": 8, "multiples": (1, 2), "attention_at": (), "head_width": 8}
        | {"text_width": 32, "text_layers": 1, "text_heads": 1},
        "patches": COMMON
        | {"width": 16, "multiples": (1, 2), "attention_at": (8,), "head_width": 16}
        | {"text_width": 32, "text_layers": 1, "text_heads": 1}
        | PATCHES,
    },
    "laptop": {
        "pixels": COMMON
        | {"width": 32, "multiples": (1, 2, 3, 3), "attention_at": (8,)}
        | {"head_width": 32, "text_width": 128, "text_layers": 2, "text_heads": 2},
        "patches": COMMON
        | {"width": 64, "multiples": (1, 2), "attention_at": (16, 8)}
        | {"head_width": 64, "text_width": 128, "text_layers": 2, "text_heads": 2}
        | PATCHES,
    },
}
# Rates as in both chapters' lessons. They stay as they are to the end, so that what was
# learned until any moment is what a shorter training would have.
RATES = {"latents": 1e-3, "pixels": 1e-3, "patches": 1.5e-3}


@dataclass(frozen=True)
class Budget:
    """seconds: of training, each way. parts: of it, after which pictures are drawn.
    prompts: asked at each. how: they are asked. tries: by how many steps a step's time
    is taken."""

    seconds: float
    parts: tuple[float, ...]
    prompts: int
    how: Settings
    tries: int = 5


HOW = Settings(samples=1, steps=20, guidance=3.0, sampler="ddim")
BUDGETS = {
    "smoke": Budget(0.2, (0.5, 1.0), 4, replace(HOW, steps=1), tries=1),
    "laptop": Budget(240, (1 / 8, 1 / 4, 1 / 2, 1.0), 48, HOW),
}


def trained(way: Way, cost: dict, budget: Budget, texts, seed: int):
    """Train a way for its steps, draw after each of the budget's parts.

    Returns numbers, the curve among them, and the pictures (marks, n, 3, s, s).
    """
    at = marks(cost["steps"], budget.parts)
    seen = Marks(way.model, way.plan.ema, at)
    plan = replace(way.plan, ema=None)  # averaged by the marks already
    options = {"steps": cost["steps"], "floor": 1.0, "after_step": seen, "seed": seed}
    history = run(way.model, way.loss, way.batches, plan, **options)
    curve = [[seen.clock[r["step"] - 1], r["loss"]] for r in history.rows]
    pictures, points = [], []
    for step, model in seen.copies.items():
        began = time.process_time()
        images = drawn(way.draws(model), texts, budget.how)
        took = (time.process_time() - began) / len(texts)
        pictures.append(as_bytes(images))
        points.append([step, round(seen.clock[step - 1], 2), round(took, 4)])
    curve = [[round(seconds, 2), round(loss, 5)] for seconds, loss in curve]
    return {"curve": curve, "points": points}, {"images": torch.stack(pictures)}


def rows_of(
    name: str, found: dict, images: Tensor, prompts, asked: Asked, batch: int
) -> tuple[list[dict], list[Verdict]]:
    """A row for each moment at which a way drew; and the last one's verdicts."""
    rows, verdicts, cost = [], [], found["cost"]
    each = cost["million multiplications"] * batch / 1e6
    for (step, seconds, drawing), part in zip(found["points"], images, strict=True):
        verdicts = judged(asked.judge, as_floats(part), prompts)
        spent = {"after steps": step, "training seconds": seconds}
        spent |= {"training multiplications": round(step * each, 4)}
        more = {"seconds a picture": drawing} | cost
        judgement = row_of({"way": name} | spent, verdicts, WHOLE, asked.card)
        rows.append(judgement | more)
    return rows, verdicts


def equal_score(rows: list[dict]) -> dict:
    """For each way, when it first scored as much as the worst way did at its best.

    {"share": of whole prompts; way: {"training seconds", "training multiplications"}}
    """
    best: dict[str, float] = {}
    for row in rows:
        best[row["way"]] = max(best.get(row["way"], 0.0), row["share"])
    share, found = min(best.values()), {}
    for row in rows:
        if row["share"] >= share and row["way"] not in found:
            names = ("training seconds", "training multiplications")
            found[row["way"]] = {key: row[key] for key in names}
    return {"share": share} | found


def measure(asked: Asked) -> Found:
    """Latents against pixels on the chapter's lesson, at the same seconds of training:
    cost of a step, memory, curves, and whole prompts right at several moments (one
    seed: preliminary).

    "million multiplications" are of one picture, once through the network; "training
    multiplications", in 10¹², of the forwards of a whole training alone (backwards
    takes about twice as many); "once a picture" is the decoder's. "seconds before" go
    into encoding, or drawing, the scenes. Losses are of different things, and only
    their shapes can be compared. All seconds are of one core.
    """
    budget, size, seed = BUDGETS[asked.size], asked.size, asked.seed
    plan = lesson.RECIPES[size]
    prompts = new_scenes(budget.prompts)
    texts = [prompt.text for prompt in prompts]
    settings = asdict(budget) | {"plan": asdict(plan), "rates": RATES}
    settings |= {"source": hash_of(asked)}
    rows, last, curves, before = [], [], {}, {}

    def latents() -> Way:
        model = lesson.untrained(size, seed, asked.source)
        encoded = lesson.encode(model, plan.scenes, seed)
        return of_latents(model, encoded, plan, seed)

    def pixels(name: str) -> Way:
        config = STAGES[size][name]
        found = lesson.scenes(plan.scenes, seed, config["image_size"])
        own = replace(plan, lr=RATES[name])
        return of_pixels(config, as_bytes(found.images), found.captions, own, seed)

    for name in RATES:

        def make(name=name):
            began = time.process_time()
            way = latents() if name == "latents" else pixels(name)
            cost = {"seconds before": round(time.process_time() - began, 1)}
            cost |= costs(way, budget.seconds, budget.tries)
            found, images = trained(way, cost, budget, texts, seed)
            return found | {"cost": cost}, images

        found, kept = asked.kept.once(name, settings, make)
        curves[name] = found["curve"]
        own, verdicts = rows_of(name, found, kept["images"], prompts, asked, plan.batch)
        rows += own
        last.append((as_floats(kept["images"][-1]), verdicts))
        print(*own, sep="\n", flush=True)

    used = {"clip": weights.find("laptop", "clip")}
    if size != "smoke":
        used = {"stable-diffusion": weights.find(asked.source, "stable-diffusion")}
        before = weights.load_card(used["stable-diffusion"]).get("parts", {})
    return Found(
        about=first_sentence(measure),
        rows=rows,
        columns=("way", "training seconds", "training multiplications")
        + ("share", "low", "high", "seconds a step", "MB of activations"),
        facts={
            "settings": {"budget": asdict(budget), "batch": plan.batch},
            "equal score": equal_score(rows),
            "the autoencoder's training": before.get("autoencoder", {}).get("seconds"),
            "curves": curves,
        },
        used=used,
        seeds=[seed],
        walls={"": wall_of(prompts, last, budget)},
    )


def wall_of(prompts, last: list, budget: Budget) -> tuple:
    """What `Found` calls a wall: each way's last pictures of the first prompts."""
    few = prompts[:10]
    images = torch.stack([images[:10] for images, _ in last], dim=1)
    verdicts = [verdicts[i] for i in range(len(few)) for _, verdicts in last]
    how = f"after {budget.seconds:g} s of training each · the first that were asked"
    return few, list(RATES), images, verdicts, how


if __name__ == "__main__":
    main(NAME, "mmlearn.evaluate.stable_diffusion_trained_latent_pixel", measure)
