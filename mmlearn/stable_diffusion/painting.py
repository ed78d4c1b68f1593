"""Pictures, batch after batch: words are read, latents found, and then decoded.

What `generate`, `edit`, `inpaint` and `interpolate` have in common. They differ in what
the walk starts from, and in what is kept on the way:

    generate, interpolate   noise
    edit, vary              an image's latents, to which noise was added
    inpaint                 noise; the latents around the hole are put back at each step
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_count
from mmlearn.diffusion.schedule import noise_like
from mmlearn.glide.model import at_rest, room_for, seen
from mmlearn.glide.sampling import noise_of
from mmlearn.glide.text import unknown_words
from mmlearn.progress import sampling
from mmlearn.stable_diffusion.latents import composed, latent_mask, without_hole
from mmlearn.stable_diffusion.sampling import Known, Sampling, Words, distinct, draw
from mmlearn.text.prompts import check_prompts

PLACE = "latents"  # beside the seed and the place, what a picture's noise is made from


def told(
    model,
    prompts: Sequence[str],
    negative: str | Sequence[str] | None,
    guidance: float,
) -> Callable[[slice], Words]:
    """What rows of prompts say, and what is said without them: `paint`'s `said`."""
    prompts, negative = check_prompts(prompts, negative)
    warn_of_unknown(model, [*prompts, *negative])
    tokens, without = model.tokenize(prompts), model.tokenize(negative)
    return lambda rows: distinct(tokens[rows], without[rows], guidance, model.read)


def warn_of_unknown(model, texts: Sequence[str]) -> None:
    """Warn of words that the model does not know, if it has a list of those it does."""
    if model.words is None:
        return
    if unknown := unknown_words(texts, model.tokenizer, model.words):
        names = ", ".join(map(repr, unknown))
        warnings.warn(
            f"unknown to this model, which can only spell them: {names}", stacklevel=4
        )


@torch.no_grad()
def paint(
    model,
    said: Callable[[slice], Words],
    n: int,
    how: Sampling,
    seed: int,
    batch: int,
    progress: bool,
    *,
    noise: Tensor | None = None,
    images: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Pictures (n, 3, h, w) in [-1, 1] by a `StableDiffusion`.

    said(rows): what these rows are told. noise (n, c, h, w): to start from, in place of
    the seed's. images (n, 3, h, w): to start from; or, with a mask (n, 1, h, w) of 1
    where to paint, to be kept elsewhere.
    """
    check_count("seed", seed, least=0)
    check_count("batch", batch)
    starts, done = range(0, n, batch), []
    total, like = how.count * len(starts), model.unet.first.weight
    with at_rest(model), sampling(total, progress) as line, room_for(batch):
        for first in starts:
            rows = slice(first, first + batch)
            own, hole, x = (
                y if y is None else y[rows].to(like) for y in (images, mask, noise)
            )
            start, known = given(model, own, hole)
            generators = noise_of(seed, range(n)[rows], PLACE)
            if x is None:
                sides = None if own is None else own.shape[2:]
                x = noise_from(generators, model, sides)
            z = draw(
                model.unet,
                model.schedule,
                model.predicts,
                said(rows),
                how,
                x,
                generators,
                start=start,
                known=known,
                see=seen(line, how.callback),
            )
            painted = model.decode(z).clamp(-1, 1)
            done.append(painted if hole is None else composed(painted, own, hole))
    return torch.cat(done)


def given(
    model, images: Tensor | None, mask: Tensor | None
) -> tuple[Tensor | None, Known | None]:
    """The latents of images to start from; or, with a mask, those that are kept."""
    if images is None:
        return None, None
    if mask is None:
        return model.encode(images), None
    latents = model.encode(without_hole(images, mask))
    return None, Known(latents, latent_mask(mask, model.config.vae.factor))


def first_noise(model, seed: int, places: Sequence[int]) -> Tensor:
    """The noise (n, c, h, w) that the pictures at these places start from."""
    check_count("seed", seed, least=0)
    return noise_from(noise_of(seed, places, PLACE), model)


def noise_from(
    generators: Sequence[torch.Generator], model, sides: Sequence[int] | None = None
) -> Tensor:
    """Noise for as many pictures of these sides in pixels, or of the model's own.

    Drawn in float32 whatever the model's precision: the seed decides, not the machine.
    """
    c, like = model.config, model.unet.first.weight
    sides = (c.image_size, c.image_size) if sides is None else sides
    shape = (c.vae.latent, *(side // c.vae.factor for side in sides))
    x = torch.empty(len(generators), *shape)
    return noise_like(x, generators).to(like)
