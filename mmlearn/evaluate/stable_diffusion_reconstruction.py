"""What the autoencoder keeps: real scenes to latents and back, before the same judge.

A picture that Stable Diffusion draws can be no better than what its decoder paints, so
this is the most that can be hoped of it. Controls: another scene's reconstruction, the
latents divided by a wrong scale, noise as large as latents, and the scene made as small
as the grid of latents and enlarged again, which an autoencoder should beat.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.evaluate.generator_bench import (
    Card,
    Judges,
    Settings,
    by_lot,
    few,
    judged,
    rows_of,
)
from mmlearn.evaluate.generator_claims import Claim, first_sentence, mean_of, ways
from mmlearn.evaluate.generator_request import Request
from mmlearn.evaluate.generator_tools import Tools
from mmlearn.evaluate.intervals import resampled, wilson
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE, Verdict
from mmlearn.evaluate.prompts import Prompt
from mmlearn.stable_diffusion.sizes import SCALE
from mmlearn.world.render import draw

REAL, PAINTED = "real scenes", "reconstructed"
PSNR, OF_REAL = "PSNR in dB", "of the real"
AT_ONCE = 32  # pictures


def measure(request: Request, tools: Tools) -> Claim:
    """The claim of ``... evaluate stable-diffusion --only reconstruction``."""
    prompts = by_lot(few(request.prompts, request.plan.own))
    how = replace(request.how, samples=1)
    return reconstruction(tools.model, prompts, tools.judge, how, tools.card)


@torch.no_grad()
def painted(model, images: Tensor, scale: float | None = None) -> Tensor:
    """Pictures (n, 3, h, w) in [-1, 1], encoded as the most likely latents and decoded.

    scale: what the latents are divided by in place of the model's own.
    """
    done = []
    for some in images.split(AT_ONCE):
        latents = model.encode(some.to(model.device))
        if scale is not None:
            latents = latents * (model.scale / scale)  # `decode` divides by its own
        done.append(model.decode(latents).clamp(-1, 1).cpu())
    return torch.cat(done)


@torch.no_grad()
def pictures(model, images: Tensor, seed: int) -> dict[str, Tensor]:
    """Images (n, 3, h, w) in [-1, 1] after each way through the autoencoder."""
    lot = torch.Generator().manual_seed(seed)
    own = painted(model, images)
    grid = model.encode(images[:1].to(model.device)).shape[1:]
    noise = torch.randn(len(images), *grid, generator=lot).to(model.device)
    small = F.interpolate(images, grid[1:], mode="area")
    sides = images.shape[2:]
    return {
        REAL: images,
        PAINTED: own,
        "another scene's, reconstructed": own.roll(1, dims=0),
        f"latents divided by {SCALE}": painted(model, images, SCALE),
        "noise for latents": torch.cat(
            [model.decode(z).clamp(-1, 1).cpu() for z in noise.split(AT_ONCE)]
        ),
        "shrunk to the latents' grid": F.interpolate(small, sides, mode="bilinear"),
    }


def psnr(images: Tensor, real: Tensor) -> list[float]:
    """Of each picture against the real one, in dB, of values in [0, 1]: images and real
    (n, 3, h, w) in [-1, 1]. At most 100."""
    wrong = ((images - real) / 2).square().flatten(1).mean(dim=1)
    return (-10 * wrong.clamp(min=1e-10).log10()).tolist()


def right(verdict: Verdict, category: str) -> int:
    """How many clauses of a category a verdict says hold; of whole prompts, 1 or 0."""
    if category == WHOLE:
        return int(verdict.whole is True)
    pairs = zip(verdict.clauses, verdict.answers, strict=True)
    return sum(
        said is True and category in (clause.category, ALL_CLAUSES)
        for clause, said in pairs
    )


def of_real(
    own: Sequence[Verdict], real: Sequence[Verdict], category: str = WHOLE
) -> tuple[float, float, float] | None:
    """What is judged right over what is of the real scenes, and its 95 % interval.

    own, real: one verdict each of the same prompts, in the same order: prompts are
    drawn again with both of their pictures. Where each prompt's pictures fared alike,
    the interval is Wilson's. None where no real scene is judged right.
    """
    both = [[right(v, category) for v in side] for side in (own, real)]
    total = sum(both[1])
    if not total:
        return None
    share = sum(both[0]) / total
    if both[0] == both[1]:
        return share, wilson(total, total)[0], 1.0
    above, below = (resampled(counts, 2000, 0) for counts in both)  # the same lots
    fit = below > 0
    low, high = np.percentile(above[fit] / below[fit], [2.5, 97.5])
    return share, float(low), float(high)


def reconstruction(
    model, prompts: Sequence[Prompt], judge: Judges, how: Settings, card: Card | None
) -> Claim:
    """What is left of real scenes after the autoencoder, by the judge and by PSNR.

    Rows by category as `table` has them. "of the real": the right ones over those of
    the real scenes, with its interval. PSNR: the mean over pictures, with its interval.
    """
    real = draw([p.record for p in prompts], model.image_size)
    made = pictures(model, real, how.seed)
    rows, verdicts = [], []
    for name, images in made.items():
        verdicts.append(judged(judge, images, prompts))
        near = {} if name == REAL else mean_of(PSNR, psnr(images, real))
        for row in rows_of(name, verdicts[-1], card):
            rows.append(row | near | _of_real(verdicts[-1], verdicts[0], row))
    return Claim(
        about=first_sentence(reconstruction),
        names=("pictures", "category"),
        more=(OF_REAL, PSNR),
        rows=rows,
        prompts=list(prompts),
        images=torch.stack(list(made.values()), dim=1),
        verdicts=ways(verdicts),
        texts=[p.text for p in prompts],
        heads=["real", PAINTED, "another's", f"/ {SCALE}", "noise", "shrunk"],
        how="the most likely latents of real scenes, decoded",
        settings={"seed": how.seed, "scale": model.scale},
        size=model.image_size,
    )


def _of_real(own: Sequence[Verdict], real: Sequence[Verdict], row: dict) -> dict:
    found = of_real(own, real, row["category"])
    if found is None:
        return {}
    names = (OF_REAL, f"{OF_REAL} low", f"{OF_REAL} high")
    return {name: round(x, 4) for name, x in zip(names, found, strict=True)}
