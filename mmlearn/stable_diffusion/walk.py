"""Ways through the space that noise lives in, and through that of words.

Almost all of N(0, 1) in many dimensions lies close to a sphere whose radius is the root
of their number. Halfway along a straight line between two noises is far *inside* it,
where there is too little noise, and a diffusion model that starts there draws something
bland. `slerp` goes along the sphere (Shoemake 1985; for diffusion, Song et al. 2020,
DDIM, 4.3 and D.5). Prompts' states lie on no such sphere: `lerp` does for them.

    frames = circle(a, b, 24)                     # a closed walk, (24, 4, h, w)
    model.generate([prompt] * 24, noise=frames)

All functions work on tensors of any one shape, and return frames along a new first
dimension; shares run from 0, the first, to 1, the second.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmlearn.diffusion.checks import check_count

ALMOST = 1e-4  # radians: nearer to each other, a line and an arc are the same


def lerp(a: Tensor, b: Tensor, shares: float | Sequence[float] | Tensor) -> Tensor:
    """(1 − s) a + s b for each share s: (n, *shape); for one number, (*shape)."""
    check_alike(a, b)
    s = shares_of(shares, a)
    return (1 - s) * a + s * b


def slerp(a: Tensor, b: Tensor, shares: float | Sequence[float] | Tensor) -> Tensor:
    """Along the arc from a to b: (n, *shape); for one number, (*shape).

    [sin((1 − s) Ω) a + sin(s Ω) b] / sin Ω, with Ω the angle between a and b, each as
    one vector. Its length goes from a's to b's. Opposite vectors have no one arc:
    ValueError, as for zeros.
    """
    check_alike(a, b)
    angle = angle_between(a, b)
    if angle < ALMOST:
        return lerp(a, b, shares)
    if angle > math.pi - ALMOST:
        raise ValueError("between opposite vectors there is no one arc: move one.")
    s = shares_of(shares, a)
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / math.sin(angle)


def circle(a: Tensor, b: Tensor, n: int) -> Tensor:
    """n frames of a closed walk that starts at a and passes through b: (n, *shape).

    cos θ a + sin θ b at n equal steps of a full turn; the frame after the last would be
    the first again. Of two noises from N(0, 1), every frame is from N(0, 1) too.
    """
    check_alike(a, b)
    check_count("n", n)
    turn = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    cos, sin = (spread(x, a) for x in (turn.cos(), turn.sin()))
    return cos * a + sin * b


def grid(corners: Tensor, rows: int, columns: int) -> Tensor:
    """All between four corners: (rows, columns, *shape), the corners at the corners.

    corners (4, *shape): left above, right above, left below, right below. Down both
    sides by `slerp`, and then across.
    """
    check_count("rows", rows)
    check_count("columns", columns)
    if not isinstance(corners, Tensor) or corners.ndim < 2 or len(corners) != 4:
        found = tuple(corners.shape) if isinstance(corners, Tensor) else repr(corners)
        raise ValueError(f"a grid has four corners (4, …), not {found}.")
    down, across = even(rows), even(columns)
    left, right = slerp(*corners[[0, 2]], down), slerp(*corners[[1, 3]], down)
    return torch.stack([slerp(a, b, across) for a, b in zip(left, right, strict=True)])


def even(n: int) -> Tensor:
    """n shares from 0 to 1, both included; one alone is 0."""
    check_count("n", n)
    return torch.linspace(0, 1, n, dtype=torch.float64)


def angle_between(a: Tensor, b: Tensor) -> float:
    """The angle between a and b, each as one vector, in radians from 0 to π."""
    a, b = (x.detach().double().flatten() for x in (a, b))
    lengths = a.norm().item(), b.norm().item()
    if min(lengths) == 0 or not math.isfinite(sum(lengths)):
        raise ValueError("there is no angle to a vector of length 0, nan or infinity.")
    # By both legs: the cosine alone is blind to small angles.
    a, b = a / lengths[0], b / lengths[1]
    return 2 * math.atan2((a - b).norm().item(), (a + b).norm().item())


def check_alike(a: Tensor, b: Tensor) -> None:
    """ValueError unless a and b are floats of one shape."""
    for x in (a, b):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else repr(x)
            raise ValueError(f"both ends of a walk are tensors of floats, not {kind}.")
    if a.shape != b.shape:
        raise ValueError(
            f"both ends of a walk must have one shape, not {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )


def shares_of(shares: float | Sequence[float] | Tensor, like: Tensor) -> Tensor:
    """Shares (n,), or one alone, shaped to multiply tensors like this."""
    s = torch.as_tensor(shares, dtype=torch.float64)
    if s.ndim > 1 or not s.numel() or not s.isfinite().all():
        raise ValueError(
            "shares are one finite number, 0 for the first and 1 for the second, or a "
            f"list of them, not {shares!r}."
        )
    return spread(s, like)


def spread(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers () or (n,) as () or (n, 1, …), in the dtype and place of `like`."""
    ones = [1] * like.ndim if numbers.ndim else []
    return numbers.to(like.device, like.dtype).view([*numbers.shape, *ones])
