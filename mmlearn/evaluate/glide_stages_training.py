"""Two stages and one big one, trained side by side on the same scenes at the same cost.

    rivals = trained("laptop", seed=0)      # about ten minutes on two cores
    rivals.costs(("base", "upsampler"))     # parameters, multiplications, seconds

Both learn the GLIDE chapter's lesson. One side is the lesson's base and an upsampler of
the shipped shape; the other one network that draws the final size at once, with about
as many parameters as both have together. It takes as many steps as give its training
the same number of multiplications. One of its pictures costs more, so it sees fewer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmlearn import world
from mmlearn.glide import GLIDE, StageConfig, TextUNet, as_8_bit, tokenize
from mmlearn.glide.sizes import PATCHES, ROOM, WORLD
from mmlearn.train.card import recipe_of
from mmlearn.train.recipes import glide
from mmlearn.train.recipes import glide_lesson as lesson
from mmlearn.train.recipes.glide import SLOWER, Part, run, stage_loss
from mmlearn.world.render import draw

CONFIGS = {  # of the one big stage
    "smoke": WORLD
    | {"image_size": 64, "width": 16, "multiples": (1, 2), "blocks": 1}
    | {"attention_at": (8,), "head_width": 16, "groups": 8}
    | {"text_width": 32, "text_layers": 1, "text_heads": 1}
    | PATCHES,
    "laptop": WORLD
    | ROOM
    | {"image_size": 64, "width": 72, "multiples": (1, 2), "blocks": 1}
    | {"attention_at": (8,), "head_width": 72, "groups": 8}
    | {"text_width": 128, "text_layers": 2, "text_heads": 2}
    | PATCHES,
}
# The shipped upsampler's plan, shorter; its average is shorter too, as the lesson's is:
# one over the last 1,000 steps would hold the whole run.
UPSAMPLERS = {
    "smoke": replace(glide.RECIPES["smoke"]["upsampler"], steps=4),
    "laptop": replace(
        glide.RECIPES["laptop"]["upsampler"],
        steps=1_000,
        ema=lesson.RECIPES["laptop"].ema,
    ),
}


@dataclass
class Rivals:
    """``two``: a base and an upsampler; ``one``: a base of the upsampler's size.

    plans, and seconds of training: of the parts "base", "upsampler" and "one stage".
    """

    two: GLIDE
    one: GLIDE
    plans: dict[str, Part]
    seconds: dict[str, float] = field(default_factory=dict)

    def stage(self, part: str) -> TextUNet:
        """The network of a part."""
        whose, name = (self.one, "base") if part == "one stage" else (self.two, part)
        return getattr(whose, name)

    def costs(self, parts: Sequence[str]) -> dict[str, float]:
        """What these parts cost: million parameters, multiplications of training in
        10¹² (forwards alone; backwards takes about twice as many, for each part), and
        seconds of training."""
        stages = [self.stage(part) for part in parts]
        number = sum(p.numel() for stage in stages for p in stage.parameters())
        spent = sum(
            of_training(stage, self.plans[part])
            for stage, part in zip(stages, parts, strict=True)
        )
        return {
            "million parameters": round(number / 1e6, 2),
            "multiplications": round(spent / 1e12, 4),
            "training seconds": round(sum(self.seconds.get(p, 0) for p in parts), 1),
        }


def multiplications(stage: TextUNet) -> float:
    """How many multiplications one picture takes, once through a stage."""
    c = stage.config
    x, t = torch.zeros(1, 3, c.image_size, c.image_size), torch.zeros(1).long()
    tokens = torch.full((1, c.context), -1)
    low_res = [x] if c.upsamples else []
    # Written as matrices, attention is counted like all else.
    with FlopCounterMode(display=False) as count, sdpa_kernel(SDPBackend.MATH):
        stage(x, t, tokens, *low_res)
    return count.get_total_flops() / 2  # a flop counter's two: multiply and add


def of_training(stage: TextUNet, plan: Part) -> float:
    """Multiplications of a whole training, forwards alone."""
    return multiplications(stage) * plan.steps * plan.batch


def untrained(size: str, seed: int) -> Rivals:
    """Both sides before training, and the plans by which they cost the same.

    Raises ValueError for a size other than smoke and laptop.
    """
    recipe_of("the comparison of two stages with one", size, CONFIGS)
    own = "smoke" if size == "smoke" else "lesson"
    two = GLIDE.from_size(own, seed=seed)  # its base is the one that the lesson trains
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stage = TextUNet(StageConfig(**CONFIGS[size]))
    stage = stage.to(memory_format=torch.channels_last)
    one = GLIDE(stage, None, two.tokenizer, two.words)
    plans = {"base": lesson.RECIPES[size], "upsampler": UPSAMPLERS[size]}
    spent = sum(of_training(getattr(two, part), plan) for part, plan in plans.items())
    a_step = multiplications(one.base) * plans["base"].batch
    plans["one stage"] = replace(plans["base"], steps=max(1, round(spent / a_step)))
    return Rivals(two, one, plans)


def batches(rivals: Rivals, part: str, seed: int) -> Callable[[int], tuple]:
    """Batch number ``index`` of a part's run, from the lesson's scenes: pictures in
    [-1, 1] at its size, and tokens; for the upsampler also the base's small pictures.

    All parts go through the same scenes, the base through those of the lesson's recipe.
    """
    config, n = rivals.stage(part).config, rivals.plans[part].batch
    small = rivals.two.base.config.image_size

    def batch(index: int) -> tuple:
        options = {"start": index * n, "grammar": lesson.GRAMMAR}
        found = world.scenes(n, seed, config.image_size, **options)
        tokens = tokenize(found.captions, rivals.two.tokenizer, config.context)
        low_res = [as_8_bit(draw(found.records, small))] if config.upsamples else []
        return found.images, tokens, *low_res

    return batch


def trained(size: str, seed: int) -> Rivals:
    """Both sides after training: each part says what it does, and shows a line."""
    rivals = untrained(size, seed)
    for part, plan in rivals.plans.items():
        print(f"training the {part}: {plan.steps:,} steps of {plan.batch}", flush=True)
        history = run(
            rivals.stage(part),
            stage_loss,
            batches(rivals, part, seed),
            plan,
            slower={"text": SLOWER},
            seed=seed,
        )
        rivals.seconds[part] = history.seconds
        if part == "one stage":
            rivals.one.base = history.ema
        else:
            setattr(rivals.two, part, history.ema)
    return rivals
