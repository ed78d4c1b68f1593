"""What goes wrong with v and on the arc, in the exercises of 05_stable_diffusion.

Each function returns None or a hint, for one part of an answer.
"""

import math
from collections.abc import Callable
from itertools import permutations, product

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn.check.hints import hint_for, near, random, shaped


def wrong_v(parts: list[Tensor], x0, noise, v, alpha, sigma) -> str | None:
    """parts: the target, and the x0 and the ε that v stands for, each (n, c, h, w)."""
    a, s = (y[:, None, None, None] for y in (alpha, sigma))
    x_t = a * x0 + s * noise
    rights = a * noise - s * x0, a * x_t - s * v, s * x_t + a * v
    if all(near(*pair) for pair in zip(parts, rights, strict=True)):
        return None
    names = "the target", "x0", "ε"
    for order in permutations(range(3)):
        if all(near(part, rights[i]) for part, i in zip(parts, order, strict=True)):
            yours = ", ".join(names[i] for i in order)
            return (
                "these are exchanged: it should be the target, x0, ε, in this order, "
                f"and yours are {yours}"
            )
    alone = [
        (p, q)
        for p, q in product((a, alpha[0], alpha.mean()), (s, sigma[0], sigma.mean()))
        if p is not a or q is not s
    ]
    if any(near(parts[0], p * noise - q * x0) for p, q in alone):
        return (
            "one α or σ for all; each latent has its own pair: alpha[0] belongs to "
            "x0[0] alone"
        )
    wrong = {
        "the target's sign: α ε − σ x0": s * x0 - a * noise,
        "α and σ have changed places in the target: α ε − σ x0": s * noise - a * x0,
        "that target is x_t; v stands at a right angle to it: α ε − σ x0": x_t,
        "the target is α ε − σ x0; you have a sum": a * noise + s * x0,
        "that is what the network said; the target is what it *should* say": v,
        "the target is ε: that is another network's task": noise,
    }
    if hint := hint_for(parts[0], rights[0], wrong, "it should be α ε − σ x0"):
        return f"the target: {hint}" if hint.startswith("it ") else hint
    used = {"x0": x0, "ε": noise, "x0 + σ ε": x0 + s * noise, "x0 + ε": x0 + noise}
    used["σ x0 + α ε"] = s * x0 + a * noise
    for name, x in used.items():
        if near(parts[1], a * x - s * v) or near(parts[2], s * x + a * v):
            return f"your x_t is not α x0 + σ ε, but {name}"
    # Turned back, the two right formulas give v and x_t again, whatever x_t was.
    back, start = a * parts[2] - s * parts[1], a * parts[1] + s * parts[2]
    if near(back, v) and not near(start, x_t):
        return "your x_t is not α x0 + σ ε; what you make of it and of v is right"
    wrong = {
        "that is the true x0; what does the network's v say of it?": x0,
        "x0: the sign before σ v": a * x_t + s * v,
        "x0: α and σ have changed places: α x_t − σ v": s * x_t - a * v,
        "x0 is made as from a network that says ε; v needs no division": (
            torch.where(a > 0, (x_t - s * v) / a.clamp(min=1e-9), parts[1])
        ),
    }
    if hint := hint_for(parts[1], rights[1], wrong, "x0 should be α x_t − σ v"):
        return hint
    wrong = {
        "that is the true ε; what does the network's v say of it?": noise,
        "ε: the sign: put in what x_t and v are made of, and x0 must drop out": (
            s * x_t - a * v
        ),
        "ε: α and σ have changed places: put in what x_t and v are made of, and x0 "
        "must drop out": a * x_t + s * v,
    }
    otherwise = "ε: some of x_t and some of v, so weighed that x0 drops out"
    return hint_for(parts[2], rights[2], wrong, otherwise)


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
    rows = [F.cosine_similarity(a, b, dim=d) for d in (-1, 0)]
    channels = F.cosine_similarity(a.flatten(1), b.flatten(1))[:, None, None]
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
        "an angle for each channel: a noise is *one* vector, all its numbers": (
            arc(a, b, s, channels)
        ),
        "both were made as long as a: take the angle of the unit vectors, and blend "
        "a and b themselves": unit * lengths[0],
        "the direction is right, and the length is blended by itself: blend a and b "
        "themselves": unit * along,
        "these weights are for a right angle; measure the one between a and b": (
            math.cos(s * math.pi / 2) * a + math.sin(s * math.pi / 2) * b
        ),
    }
    otherwise = f"at s = {s:g} it should be [sin((1 − s) Ω) a + sin(s Ω) b] / sin Ω"
    return hint_for(mine, right, wrong, otherwise)


def arc(a: Tensor, b: Tensor, s: float, cosine: Tensor) -> Tensor:
    """Between a and b, with weights by the angle of this cosine."""
    angle = cosine.acos()
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()


def wrong_when_parallel(answer: Callable) -> str | None:
    """Along which way an answer to slerp goes where two noises point the same way."""
    line = "go along the line there, (1 − s) a + s b"
    exact = torch.zeros(4, 6, 6)
    exact[1, 2, 3] = 1  # with itself, no way of rounding makes a cosine but 1
    noises = [exact, *(random(4, 6, 6, seed=seed) for seed in range(20))]
    for i, a in enumerate(noises):
        cases = {"b is a": a, "b = 2 a": 2 * a}
        if i:
            cases["b is nearly a"] = a + 1e-7 * random(4, 6, 6, seed=99)
        for case, b in cases.items():
            for s in (0.25, 0.5):
                lost = f"where {case}, the angle is 0, and so is sin Ω: {line}"
                try:
                    mine = shaped(answer(a.clone(), b.clone(), s), 4, 6, 6)
                except ZeroDivisionError:
                    return lost
                except ValueError:  # of math.acos
                    mine = torch.full_like(a, torch.nan)
                if mine.isnan().any() and i:
                    return (
                        f"where {case}, yours is nan: rounding makes the cosine "
                        "1.0000001; clamp it before acos"
                    )
                right = (1 - s) * a + s * b
                if torch.allclose(mine, right, atol=1e-2):
                    continue
                for hint, x in {
                    "you return a": a,
                    "you return b": b,
                    "s runs the other way": s * a + (1 - s) * b,
                }.items():
                    if torch.allclose(mine, x, atol=1e-2):
                        return f"where {case}, {hint}: {line}"
                return lost
    a, b = random(4, 6, 6), random(4, 6, 6, seed=1)
    a, b = a / a.norm(), b - (a * b).sum() / a.square().sum() * a
    b = math.cos(0.04) * a + math.sin(0.04) * b / b.norm()
    mine, right = shaped(answer(a, b, 0.5), 4, 6, 6), (a + b) / (a + b).norm()
    if (mine - right).norm() < 5e-5:
        return None
    return (
        "at an angle of 0.04 this is not on the arc: go along the line only where "
        "rounding loses the angle, below about 0.001"
    )
