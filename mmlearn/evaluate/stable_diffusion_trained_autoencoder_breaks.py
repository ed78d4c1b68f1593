"""What breaks an autoencoder: without its critic, its perceptual distance, its KL.

    python -m mmlearn.evaluate.stable_diffusion_trained_autoencoder_breaks

Each is trained from one seed on the same scenes for the same steps, far fewer than the
shipped one's, with one term of its loss left out; and with a KL that counts as much as
in the first variational autoencoders, a million times as much as here. Then its latents
are measured, what it paints is judged, and what lies between two is decoded.
Writes data/results/stable-diffusion-autoencoder-breaks.json. Some 14 minutes of a core.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mmlearn import weights
from mmlearn.evaluate import stable_diffusion_trained_autoencoders as small
from mmlearn.evaluate.generator_bench import by_lot, judged
from mmlearn.evaluate.generator_claims import first_sentence, row_of
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE
from mmlearn.evaluate.scene_prompts import scene_prompts
from mmlearn.evaluate.stable_diffusion_trained_tools import (
    Asked,
    Found,
    as_bytes,
    as_floats,
    main,
)
from mmlearn.glide.grammar import GRAMMAR
from mmlearn.stable_diffusion import config_of
from mmlearn.world.render import draw

NAME = "autoencoder-breaks"
WAYS = {
    "as it should be": {},
    "without KL": {"kl_weight": 0.0},
    "KL at weight 1": {"kl_weight": 1.0},  # as a variational autoencoder has it
    "without critic": {"critic": False},
    "without perceptual": {"perceptual": None},
}


@dataclass(frozen=True)
class Budget:
    """steps: of each training. each: how many new scenes of each kind are asked."""

    steps: int
    each: int


# A step of 8 was measured to take 0.3 s of one core with the critic, 0.25 s without.
BUDGETS = {"smoke": Budget(2, 1), "laptop": Budget(550, 24)}


def scenes(each: int) -> list:
    """New scenes of the world that the autoencoders are trained on, by lot."""
    return by_lot(scene_prompts(GRAMMAR, seen=each, held=0))


def looked_at(vae, images: Tensor) -> tuple[dict, dict[str, Tensor]]:
    """All that is measured of an autoencoder without a judge, and its pictures."""
    painted = small.decoded(vae, small.latents_of(vae, images))
    halfway, walks = small.between(vae, images)
    numbers = small.spread(vae, images) | small.kept(images, painted) | halfway
    numbers = {name: round(x, 5) for name, x in numbers.items()}
    return numbers, {"painted": as_bytes(painted), "walks": as_bytes(walks)}


def measure(asked: Asked) -> Found:
    """What leaving out one term of an autoencoder's loss, or a far heavier KL, does to
    its latents, to what it paints and to what lies between, after a short training (one
    seed: preliminary).

    Whole scenes judged right as `table` has them, and "all clauses"; the numbers are
    those of `stable_diffusion_trained_autoencoders`. The first row are the real scenes.
    """
    budget, size = BUDGETS[asked.size], asked.size
    config = config_of(size)
    prompts = scenes(budget.each)
    prompts = prompts[: len(prompts) // 2 * 2]  # two by two, for what lies between
    images = draw([prompt.record for prompt in prompts], config.image_size)
    part = small.plan(size, budget.steps)
    clip = weights.find("laptop", "clip")
    settings = asdict(part) | {"each": budget.each}
    settings |= {"clip": weights.sha256(clip / "model.safetensors")}

    def judgement(name: str, pictures: Tensor) -> tuple[dict, list]:
        verdicts = judged(asked.judge, pictures, prompts)
        row = row_of({"way": name}, verdicts, WHOLE, asked.card)
        clauses = row_of({}, verdicts, ALL_CLAUSES, None)
        return row | {ALL_CLAUSES: clauses["share"]}, verdicts

    first, verdicts = judgement("real scenes", images)
    rows, every, walks = [first], [(images, verdicts)], []
    for name, without in WAYS.items():

        def make(without=without):
            both = small.of(config.vae, size, asked.seed)
            history = small.trained(both, part, size, asked.seed, **without)
            numbers, pictures = looked_at(history.ema.vae.eval(), images)
            spent = {"training seconds": round(history.seconds, 1)}
            return numbers | spent, pictures

        numbers, pictures = asked.kept.once(name.replace(" ", "-"), settings, make)
        painted = as_floats(pictures["painted"])
        row, verdicts = judgement(name, painted)
        rows.append(row | numbers)
        every.append((painted, verdicts))
        walks.append(as_floats(pictures["walks"]))
        print(rows[-1], flush=True)

    return Found(
        about=first_sentence(measure),
        rows=rows,
        columns=("way", "share", "low", "high")
        + (ALL_CLAUSES, *(key for key in numbers if key != "training seconds")),
        facts={"settings": asdict(part) | {"scenes": len(prompts)}},
        used={"clip": clip},
        seeds=[asked.seed],
        walls={
            "": wall_of(prompts, every, budget),
            "-between": between_wall(prompts, walks, budget),
        },
    )


def wall_of(prompts, every: list, budget: Budget) -> tuple:
    """The first scenes, and how each autoencoder paints them."""
    few = prompts[:10]
    images = torch.stack([pictures[:10] for pictures, _ in every], dim=1)
    verdicts = [found[i] for i in range(len(few)) for _, found in every]
    how = f"after {budget.steps:,} steps each · the first scenes by lot"
    return few, ["real", *WAYS], images, verdicts, how


def between_wall(prompts, walks: list[Tensor], budget: Budget) -> tuple:
    """What each autoencoder decodes halfway between two scenes, between its ends."""
    ends = walks[0][:10]  # as the first autoencoder paints them
    halfway = [way[:10, 1] for way in walks]
    images = torch.stack([ends[:, 0], *halfway, ends[:, 2]], dim=1)
    heads = ["one end", *WAYS, "other end"]
    how = f"after {budget.steps:,} steps each · halfway between two scenes' latents"
    return prompts[0:20:2][: len(images)], heads, images, None, how


if __name__ == "__main__":
    main(NAME, "mmlearn.evaluate.stable_diffusion_trained_autoencoder_breaks", measure)
