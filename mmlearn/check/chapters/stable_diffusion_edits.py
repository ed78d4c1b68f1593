"""What goes wrong when a picture is edited, in the exercises of 05_stable_diffusion.

Each function returns None or a hint, for one part of an answer.
"""

import math

from torch import Tensor

from mmlearn.check.exercises import NotYet
from mmlearn.check.hints import hint_for, near


def wrong_times(mine, steps: list[int], strength: float) -> str | None:
    """mine: which of the steps are taken, in the order in which they are."""
    if mine is None or mine is ...:
        raise NotYet(f"the list of times is still {mine!r}")
    if not isinstance(mine, list):
        kind = type(mine).__name__
        return f"the times should be a list of whole numbers, not a {kind}"
    if not all(isinstance(t, int) for t in mine):
        kind = next(type(t).__name__ for t in mine if not isinstance(t, int))
        return f"the list of times should hold whole numbers, int, not a {kind}"
    count, share = round(strength * len(steps)), strength * len(steps)
    left = len(steps) - count
    if mine == steps[:count][::-1]:
        return None
    if not count and len(mine) == len(steps):
        return (
            "at strength 0 these are all steps: [-0:] is the whole list, as [0:] is; "
            "count from the front"
        )
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
        f"{strength:g} · {len(steps)} is {share:.17g}, and this takes the next whole "
        "number *above*: take the nearest, round()": (steps[: math.ceil(share)][::-1]),
        "strength is a share of the *steps*, not of the time: count them, however they "
        "are spaced": [t for t in steps if t <= 1000 * strength][::-1],
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


def wrong_start(
    mine, z, noise, scale: float, bar: Tensor, taken: list[int], strength: float
) -> str | None:
    """mine should be z · scale, noised as at the first time of those taken.

    z: latents as encoded.
    """
    t = taken[0]
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
        "noise of √((1 − ᾱ) / ᾱ) belongs to a picture that is not made smaller; here "
        "the latents are multiplied by √ᾱ, and noise by √(1 − ᾱ)": (
            own + (1 / bar[t] - 1).sqrt().item() * noise
        ),
        "picture and noise are mixed by √strength; take ᾱ of the first step taken": (
            (1 - strength) ** 0.5 * own + strength**0.5 * noise
        ),
        "picture and noise are mixed by the strength; take √ᾱ and √(1 − ᾱ) of the "
        "first step taken": (1 - strength) * own + strength * noise,
        "this is noise alone: nothing of the picture is left": noise,
    }
    if near(mine, right):
        return None
    for order in (taken, taken[::-1]):
        many = own
        for time in order:
            many = alpha[time] * many + sigma[time] * noise
        if len(taken) > 1 and near(mine, many):
            return (
                "it is noised step after step; ᾱ is of the whole way from the picture, "
                "so noise once, with that of the first step taken"
            )
    for other in range(len(bar)):
        if near(mine, alpha[other] * own + sigma[other] * noise):
            hint = (
                f"this is noised as at t = {other}, but the first step that is taken "
                f"is t = {t}: the network is told {t}, and should find as much noise"
            )
            if other in (int(999 * strength), int(1000 * strength)):
                hint += "; strength is a share of the steps, not of the time"
            return hint
    otherwise = f"it should be √ᾱ z + √(1 − ᾱ) noise at t = {t}, the first step taken"
    return hint_for(mine, right, wrong, otherwise)
