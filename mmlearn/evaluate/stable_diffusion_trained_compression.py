"""How small to make pictures before they are diffused: f1, f2, f4, f8.

    python -m mmlearn.evaluate.stable_diffusion_trained_compression

Three autoencoders that halve pictures once, twice and three times are trained for the
same steps on the same scenes, and with them f1, which leaves pictures as they are. Then
the same U-Net learns the chapter's lesson on the latents of each, for the same time
(Rombach et al. 2022, section 4.1, in small). What comes back is judged, and what is
drawn. The text tower is the shipped CLIP's.
Writes data/results/stable-diffusion-compression.json. Some 25 minutes of a core.
"""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.evaluate import stable_diffusion_trained_autoencoders as small
from mmlearn.evaluate.generator_bench import Settings, drawn, judged
from mmlearn.evaluate.generator_claims import first_sentence, row_of
from mmlearn.evaluate.glide_stages import asked as new_scenes
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE
from mmlearn.evaluate.stable_diffusion_trained_autoencoder_breaks import scenes
from mmlearn.evaluate.stable_diffusion_trained_tools import (
    Asked,
    Found,
    as_bytes,
    as_floats,
    main,
)
from mmlearn.evaluate.stable_diffusion_trained_ways import costs, of_latents
from mmlearn.nn.autoencoder import Autoencoder, AutoencoderConfig
from mmlearn.stable_diffusion import (
    StableDiffusion,
    StableDiffusionConfig,
    TextConfig,
    config_of,
    measure_scale,
)
from mmlearn.train.recipes import stable_diffusion_lesson as lesson
from mmlearn.train.recipes.autoencoder import trained_clip
from mmlearn.world.render import draw

NAME = "compression"
LEVELS = {  # the channels of an autoencoder's levels, in widths of the first
    "smoke": {"f1": (1,), "f4": (1, 2, 2)},
    "laptop": {"f1": (1,), "f2": (1, 2), "f4": (1, 2, 3), "f8": (1, 2, 3, 3)},
}
FINEST = 16  # the side of the finest grid on which words are read


@dataclass(frozen=True)
class Budget:
    """steps: of each autoencoder. seconds: of each U-Net, on one core. each: how many
    new scenes of each kind come back. prompts: how many of the lesson are drawn.
    tries: by how many steps time is taken."""

    steps: int
    seconds: float
    each: int
    prompts: int
    how: Settings
    tries: int = 5


HOW = Settings(samples=1, steps=20, guidance=3.0, sampler="ddim")
BUDGETS = {
    "smoke": Budget(2, 0.1, 1, 4, replace(HOW, steps=1), tries=1),
    "laptop": Budget(600, 150, 12, 48, HOW),
}


class Nothing:
    """What `Untouched` says of pictures: that they are what they are."""

    def __init__(self, images: Tensor):
        self.mode = images

    def sample(self, generator) -> Tensor:
        return self.mode


class Untouched(nn.Module):
    """f1: an autoencoder that leaves pictures (n, 3, h, w) as they are."""

    def encode(self, images: Tensor) -> Nothing:
        return Nothing(images)

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def autoencoder_config(factor: str, size: str) -> AutoencoderConfig:
    """A size's autoencoder, with as many levels as this factor takes."""
    config = replace(config_of(size).vae, multiples=LEVELS[size][factor])
    return replace(config, latent=3) if config.factor == 1 else config


def model_of(factor: str, vae: nn.Module, size: str, seed: int) -> StableDiffusion:
    """An untrained U-Net of a size, on the latents of an autoencoder; the scale is 1.

    What grids have no transformers depends on the factor: where there are four times as
    many places, attention among them costs sixteen times as much.
    """
    base, clip = config_of(size), trained_clip()
    config, text = autoencoder_config(factor, size), TextConfig.of(clip)
    side = base.image_size // config.factor
    fit = tuple(k for k in base.unet.attention_at if side // k <= FINEST)
    channels = {"channels_in": config.latent, "channels_out": config.latent}
    unet = replace(base.unet, **channels, attention_at=fit, text_width=text.width)
    whole = StableDiffusionConfig(
        base.image_size, config, unet, text, predicts=base.predicts
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = StableDiffusion(whole, clip.tokenizer, lesson.words())
    model.text_encoder.load_state_dict(clip.text.state_dict())
    model.vae = vae.requires_grad_(False).eval()
    return model.to(memory_format=torch.channels_last)


def autoencoder(factor: str, asked: Asked, settings: dict) -> tuple[nn.Module, float]:
    """The trained autoencoder of a factor, and the seconds that took."""
    if factor == "f1":
        return Untouched(), 0.0
    config, size = autoencoder_config(factor, asked.size), asked.size
    part = small.plan(size, BUDGETS[size].steps)

    def make():
        both = small.of(config, size, asked.seed)
        history = small.trained(both, part, size, asked.seed)
        found = {"seconds": round(history.seconds, 1)}
        return found, history.ema.vae.state_dict()

    found, state = asked.kept.once(f"{factor}-autoencoder", settings, make)
    vae = Autoencoder(config)
    vae.load_state_dict(state)
    return vae.eval(), found["seconds"]


def taught(
    factor: str, vae: nn.Module, texts, asked: Asked, settings: dict
) -> tuple[dict, Tensor]:
    """The lesson on a factor's latents: what it cost, and pictures of texts."""
    budget, size, seed = BUDGETS[asked.size], asked.size, asked.seed
    plan = lesson.RECIPES[size]

    def make():
        model = model_of(factor, vae, size, seed)
        encoded = lesson.encode(model, plan.scenes, seed)
        model.scale = measure_scale(encoded.latents)
        encoded = replace(encoded, latents=encoded.latents * model.scale)
        cost = costs(
            of_latents(model, encoded, plan, seed), budget.seconds, budget.tries
        )
        history = lesson.taught(model, encoded, plan, seed, steps=cost["steps"])
        images = drawn(history.ema, texts, budget.how)
        found = {"scale": round(model.scale, 4)} | cost
        return found, {"images": as_bytes(images)}

    found, kept = asked.kept.once(factor, settings, make)
    return found, as_floats(kept["images"])


def measure(asked: Asked) -> Found:
    """What an autoencoder's factor costs in pictures that come back and gains in those
    that are drawn, after equal steps of autoencoders and equal time of U-Nets (one
    seed: preliminary).

    Whole prompts right, and "all clauses". "world": new scenes of all that GLIDE is
    taught, encoded and decoded. "lesson": new scenes of the lesson, encoded and
    decoded, and drawn from their captions. f1 changes nothing, so that "returned" are
    there the real scenes. Seconds are of one core but for the autoencoder's, which are
    those that went by.
    """
    budget, size = BUDGETS[asked.size], asked.size
    clip = weights.find("laptop", "clip")
    settings = asdict(budget) | {"plan": asdict(lesson.RECIPES[size])}
    settings |= {"clip": weights.sha256(clip / "model.safetensors")}
    prompts = {"world": scenes(budget.each), "lesson": new_scenes(budget.prompts)}
    side = config_of(size).image_size
    real = {k: draw([p.record for p in own], side) for k, own in prompts.items()}
    texts, rows, every = [p.text for p in prompts["lesson"]], [], []

    def judgement(factor: str, which: str, done: str, images: Tensor, **more):
        verdicts = judged(asked.judge, images, prompts[which])
        words = {"f": factor, "scenes": which, "pictures": done}
        row = row_of(words, verdicts, WHOLE, asked.card)
        clauses = row_of({}, verdicts, ALL_CLAUSES, None)["share"]
        rows.append(row | {ALL_CLAUSES: clauses} | more)
        print(rows[-1], flush=True)
        return images, verdicts

    for factor in LEVELS[size]:
        vae, seconds = autoencoder(factor, asked, settings)
        for which, images in real.items():
            painted = small.decoded(vae, small.latents_of(vae, images))
            exact = factor == "f1"
            near = {} if exact else rounded(small.kept(images, painted))
            near["training seconds"] = seconds
            back = judgement(factor, which, "returned", painted, **near)
        cost, images = taught(factor, vae, texts, asked, settings)
        every += [back, judgement(factor, "lesson", "drawn", images, **cost)]

    return Found(
        about=first_sentence(measure),
        rows=rows,
        columns=("f", "scenes", "pictures", "share", "low", "high", ALL_CLAUSES)
        + ("PSNR in dB", "sharpness", "steps", "seconds a step")
        + ("million multiplications", "million trained"),
        facts={"settings": asdict(budget) | {"batch": lesson.RECIPES[size].batch}},
        used={"clip": clip},
        seeds=[asked.seed],
        walls={"": wall_of(prompts["lesson"], every, budget, list(LEVELS[size]))},
    )


def rounded(numbers: dict[str, float]) -> dict[str, float]:
    """To four places."""
    return {name: round(x, 4) for name, x in numbers.items()}


def wall_of(prompts, every: list, budget: Budget, factors: list[str]) -> tuple:
    """The lesson's first scenes: for each factor what came back, and what was drawn."""
    few = prompts[:10]
    images = torch.stack([pictures[:10] for pictures, _ in every], dim=1)
    verdicts = [found[i] for i in range(len(few)) for _, found in every]
    heads = [f"{f} {done}" for f in factors for done in ("returned", "drawn")]
    how = f"autoencoders: {budget.steps:,} steps · U-Nets: {budget.seconds:g} s each"
    return few, heads, images, verdicts, how


if __name__ == "__main__":
    main(NAME, "mmlearn.evaluate.stable_diffusion_trained_compression", measure)
