"""What goes wrong in the exercises of 05_stable_diffusion, and what it leads to.

Each function returns None or a hint, for one part of an answer.
"""

import math

import torch
from torch import Tensor

from mmlearn.check.chapters import stable_diffusion_stand_ins as stand_ins
from mmlearn.check.exercises import NotYet
from mmlearn.check.hints import hint_for, near


def wrong_draw(z: Tensor, mean: Tensor, logvar: Tensor) -> str | None:
    """z should be mean + std ε; logvar is one number in channels 0, 1, another else."""
    if abs((z - mean).mean()) > 0.5:
        return "what was drawn lies around another mean: μ + σ ε"
    noise, low, high = z - mean, logvar[0, 0, 0, 0].item(), logvar[0, 3, 0, 0].item()
    if not noise.any():
        return "nothing was drawn: this is the mean, the most likely latent"
    shared = {
        "all pictures share one noise; each draws its own": (noise[0], noise[1]),
        "all channels share one noise; each number draws its own": (
            (noise[:, 0], noise[:, 1])
        ),
        "all places share one noise; each number draws its own": (
            (noise[..., 0], noise[..., 1])
        ),
    }
    for hint, (one, other) in shared.items():
        if near(one, other):
            return hint
    spread = [noise[:, half].std().item() for half in (slice(2), slice(2, 4))]
    right = math.exp(low / 2), math.exp(high / 2)
    wrong = {
        "the spread is σ², the variance, e^logvar; its root is σ, e^(logvar / 2)": (
            (math.exp(low), math.exp(high))
        ),
        "the noise is not multiplied by σ": (1.0, 1.0),
        "logvar is a logarithm: e^(logvar / 2) is the deviation": (abs(low), abs(high)),
        "that is half of logvar; e to the power of it is σ": (-low / 2, high / 2),
    }
    # So many numbers have their spread to one in a hundred.
    for found, hint in [
        (right, None),
        *((found, hint) for hint, found in wrong.items()),
    ]:
        pairs = zip(spread, found, strict=True)
        if all(abs(a - b) < 0.03 * b for a, b in pairs):
            return hint
    return (
        f"σ is {right[0]:.2f} in one half of the channels and {right[1]:.2f} in the "
        f"other; the noise in yours has {spread[0]:.2f} and {spread[1]:.2f}"
    )


def wrong_scale(mine, latents: Tensor, images: Tensor) -> str | None:
    """mine should be 1 over the standard deviation of all of the latents' numbers."""
    if mine is None or mine is ...:
        raise NotYet(f"scale is still {mine!r}")
    if isinstance(mine, Tensor) and mine.numel() > 1:
        return (
            f"the scale should be *one* number, and yours is {tuple(mine.shape)}: take "
            "the standard deviation of all the batch's numbers together, .std()"
        )
    wrong = {
        "that is the standard deviation; the scale is 1 over it": latents.std(),
        "that is 1 over the *variance*; the deviation is its root": 1 / latents.var(),
        "that is 1 over the root of the mean square: what is the latents' mean?": (
            1 / latents.square().mean().sqrt()
        ),
        "that is measured on pixels: encode the pictures first": 1 / images.std(),
        "an average of several deviations: channels differ in their means too, so take "
        "that of all numbers together": 1 / latents.std(dim=(0, 2, 3)).mean(),
        "the deviation over the *batch* alone, averaged: places and channels differ "
        "too, so take that of all numbers together": 1 / latents.std(dim=0).mean(),
        "the largest number becomes 1; make the standard deviation 1": (
            1 / latents.abs().max()
        ),
    }
    for hint, value in {None: 1 / latents.std(), **wrong}.items():
        if abs(float(mine) / value.item() - 1) < 1e-3:
            return hint
    return "with the right scale, the latents' standard deviation is 1"


def wrong_attention(mine: Tensor, x, words, w_q, w_k, w_v) -> str | None:
    """mine: the result (n, places, width) of two heads, each 4 wide."""
    attend, parted = stand_ins.attend, stand_ins.parted
    q, k, v = x @ w_q.T, words @ w_k.T, words @ w_v.T
    (n, places, width), two = x.shape, [parted(y, 2) for y in (q, k, v)]
    right, _ = attend(*two, 1 / 2)
    one = [parted(y, 1) for y in (q, k, v)]
    cut = [y.reshape(n, 2, -1, width // 2) for y in (q, k, v)]
    loose = (two[0] @ two[1].transpose(2, 3) / 2).softmax(3) @ two[2]
    wrong = {
        "the softmax ran over the *places*; each place shares itself out among the "
        "words, the last axis": attend(*two, 1 / 2, dim=2)[0],
        "the softmax ran over the heads": attend(*two, 1 / 2, dim=1)[0],
        "the fits are not divided by √d: the softmax is too sure": attend(*two, 1)[0],
        "√d is the root of *one* head's width, here √4, not √8": (
            attend(*two, 8**-0.5)[0]
        ),
        "the fits are divided by d; it should be √d": attend(*two, 1 / 4)[0],
        "one head is all you have: each of the two compares its own 4 numbers": (
            attend(*one, 8**-0.5)[0]
        ),
        "one head is all you have; and √d is that of one of two": attend(*one, 1 / 2)[
            0
        ],
        "reshape cut across tokens: first (n, t, heads, d), then transpose(1, 2)": (
            attend(*cut, 1 / 2)[0]
        ),
        "the heads are put together in the wrong order: transpose(1, 2) back, then "
        "flatten(2)": loose.reshape(n, places, width),
    }
    if words.shape == x.shape:
        own_k, own_v = (parted(x @ w.T, 2) for w in (w_k, w_v))
        asks, (q, k, v) = parted(words @ w_q.T, 2), two
        wrong |= {
            "the words are not heard: keys and values are the picture's, as in "
            "self-attention": attend(q, own_k, own_v, 1 / 2)[0],
            "the keys are the picture's: places should be compared with *words*": (
                attend(q, own_k, v, 1 / 2)[0]
            ),
            "the values are the picture's: nothing that words say arrives": (
                attend(q, k, own_v, 1 / 2)[0]
            ),
            "here the words ask and the picture answers: queries are the picture's": (
                attend(asks, own_k, own_v, 1 / 2)[0]
            ),
            "the queries are the words': every place should ask for itself": (
                attend(asks, k, v, 1 / 2)[0]
            ),
        }
    otherwise = "queries of x; keys and values of words; heads; softmax(q kᵀ / √d) v"
    return hint_for(mine, right, wrong, otherwise)


def wrong_arc(mine: Tensor, a: Tensor, b: Tensor, s: float) -> str | None:
    """mine should lie on the arc from a to b, both (c, h, w), at the share s."""
    if not mine.isfinite().all():
        return (
            "acos of a number beyond ±1 is nan: the angle's cosine is a · b divided by "
            "*both* lengths"
        )
    lengths, line = (a.norm(), b.norm()), (1 - s) * a + s * b
    cosine = (a * b).sum() / (lengths[0] * lengths[1])
    right, along = arc(a, b, s, cosine), (1 - s) * lengths[0] + s * lengths[1]
    unit = arc(a / lengths[0], b / lengths[1], s, cosine)
    rows = [torch.nn.functional.cosine_similarity(a, b, dim=d) for d in (-1, 0)]
    angle = cosine.acos()
    wrong = {
        "this is the straight line; where is it, inside the sphere or on it?": line,
        "the angle's cosine is a · b divided by *both* lengths; yours is not": (
            arc(a, b, s, (a * b).sum().clamp(-1, 1))
        ),
        "s runs the other way: s = 0 is a, and s = 1 is b": arc(a, b, 1 - s, cosine),
        "the length is lost: normalise for the angle alone, and blend a and b": unit,
        "the length is lost: the straight line, pushed out to length 1": (
            line / line.norm()
        ),
        "that is the straight line, pushed out to the sphere: it is fast in the middle "
        "and slow at its ends; weigh with sin((1 − s) Ω) and sin(s Ω)": (
            line / line.norm() * along
        ),
        "divide by sin Ω, or the ends are not a and b": right * angle.sin(),
        "weights by cosine; they are sines": (
            (((1 - s) * angle).cos() * a + (s * angle).cos() * b) / angle.sin()
        ),
        "an angle for each row of places: a noise is *one* vector, flatten it": (
            arc(a, b, s, rows[0][..., None])
        ),
        "an angle for each place: a noise is *one* vector, flatten it": (
            arc(a, b, s, rows[1])
        ),
    }
    otherwise = f"at s = {s:g} it should be [sin((1 − s) Ω) a + sin(s Ω) b] / sin Ω"
    return hint_for(mine, right, wrong, otherwise)


def arc(a: Tensor, b: Tensor, s: float, cosine: Tensor) -> Tensor:
    """Between a and b, with weights by the angle of this cosine."""
    angle = cosine.acos()
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()


def wrong_times(mine, steps: list[int], strength: float) -> str | None:
    """mine: which of the steps are taken, in the order in which they are."""
    if mine is None or mine is ...:
        raise NotYet(f"the list of times is still {mine!r}")
    if isinstance(mine, Tensor):
        mine = mine.tolist()
    if not isinstance(mine, list | tuple | range):
        return f"the times should be a list of whole numbers, not {mine!r}"
    count, mine = round(strength * len(steps)), [*mine]
    left = len(steps) - count
    if mine == steps[:count][::-1]:
        return None
    wrong = {
        "times fall: from the noisiest that is taken down to the last": steps[:count],
        f"{strength:g} · {len(steps)} is {strength * len(steps)} for a computer, and "
        "int() cuts it off: take the nearest, round()": (
            steps[: int(strength * len(steps))][::-1]
        ),
        "these are the *first* steps of a walk, in pure noise; the picture is to be "
        "kept, so take the last, which have the least noise": steps[left:][::-1],
        f"strength is turned round: at {strength:g}, a share of {strength:g} of the "
        "steps should be taken": steps[:left][::-1],
        "the strength is not heard: these are all steps": steps[::-1],
    }
    # A mistake that takes nothing, or everything, may be no mistake elsewhere.
    for hint, times in wrong.items():
        if mine == times and (times or count):
            return hint
    if not set(mine) <= set(steps):
        strange = next(t for t in mine if t not in steps)
        return f"t = {strange} is none of the sampler's steps: choose among `timesteps`"
    return (
        f"with {len(steps)} steps and strength {strength:g}, {count} are taken, those "
        f"with the least noise; yours are {len(mine)}"
    )


def wrong_start(mine, z, noise, scale: float, bar: Tensor, t: int) -> str | None:
    """mine should be z · scale, noised as at t; z: latents as encoded."""
    alpha, sigma = (x.float() for x in (bar.sqrt(), (1 - bar).sqrt()))
    a, s, own = alpha[t], sigma[t], scale * z
    right = a * own + s * noise
    wrong = {
        "the latents are of the autoencoder's own size, too large for this noise: "
        "multiply by `scale` first": a * z + s * noise,
        "the latents are divided by the scale; multiply": a * z / scale + s * noise,
        "the noise is multiplied by the scale too; it has the variance 1 already": (
            scale * (a * z + s * noise)
        ),
        "the noise is not multiplied by √(1 − ᾱ): there is too much of it": (
            a * own + noise
        ),
        "the latents are not multiplied by √ᾱ: picture *and* noise is too much": (
            own + s * noise
        ),
        "those are ᾱ and 1 − ᾱ; take their roots": a**2 * own + s**2 * noise,
        "√ᾱ and √(1 − ᾱ) have changed places": s * own + a * noise,
        "√ᾱ is right, and for the noise it is √(1 − ᾱ), not 1 − √ᾱ": (
            a * own + (1 - a) * noise
        ),
        "no noise was added": own,
        "this is noise alone: nothing of the picture is left": noise,
    }
    if near(mine, right):
        return None
    for other in range(len(bar)):
        if near(mine, alpha[other] * own + sigma[other] * noise):
            return (
                f"this is noised as at t = {other}, but the first step that is taken "
                f"is t = {t}: the network is told {t}, and should find as much noise"
            )
    otherwise = f"it should be √ᾱ z + √(1 − ᾱ) noise at t = {t}, the first step taken"
    return hint_for(mine, right, wrong, otherwise)
