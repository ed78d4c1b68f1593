"""What a network may predict: the noise ε, the picture x0, or v, a mixture of both.

With x_t = α x0 + σ ε and α² + σ² = 1, one of them and x_t give the other two. If x0
and ε are the axes of a plane, x_t and

    v = α ε − σ x0        (Salimans & Ho 2022, arXiv 2202.00512, appendix D)

are the same two axes, turned. Where there is only noise (α = 0), v is −x0, which can
still be learned, while ε is x_t itself, from which nothing can; where there is only
picture (σ = 0), v is ε, and x0 would be x_t itself. So v asks something at every t.

x0 from ε divides by α, so a small error in the noisiest ε is a large error in x0.
All functions take and give (n, c, …); alpha and sigma are as `Schedule.level` says.
"""

from torch import Tensor

from mmlearn.diffusion.checks import check_choice

PREDICTIONS = ("eps", "x0", "v")
Number = float | Tensor


def x0_from_eps(x_t: Tensor, eps: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """The picture, from the noise in it: (x_t − σ ε) / α."""
    return (x_t - sigma * eps) / alpha


def x0_from_v(x_t: Tensor, v: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """The picture, from v: α x_t − σ v."""
    return alpha * x_t - sigma * v


def eps_from_x0(x_t: Tensor, x0: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """The noise, from the picture under it: (x_t − α x0) / σ."""
    return (x_t - alpha * x0) / sigma


def eps_from_v(x_t: Tensor, v: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """The noise, from v: σ x_t + α v."""
    return sigma * x_t + alpha * v


def v_from_x0(x_t: Tensor, x0: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """v, from the picture: (α x_t − x0) / σ."""
    return (alpha * x_t - x0) / sigma


def v_from_eps(x_t: Tensor, eps: Tensor, alpha: Number, sigma: Number) -> Tensor:
    """v, from the noise: (ε − σ x_t) / α."""
    return (eps - sigma * x_t) / alpha


CONVERSIONS = {
    ("eps", "x0"): x0_from_eps,
    ("v", "x0"): x0_from_v,
    ("x0", "eps"): eps_from_x0,
    ("v", "eps"): eps_from_v,
    ("x0", "v"): v_from_x0,
    ("eps", "v"): v_from_eps,
}


def convert(
    value: Tensor, given: str, wanted: str, x_t: Tensor, alpha: Number, sigma: Number
) -> Tensor:
    """A prediction as another one: `convert(out, "v", "x0", x_t, alpha, sigma)`.

    alpha, sigma: `Schedule.level` at x_t's time.
    """
    check_choice("the prediction", given, PREDICTIONS)
    check_choice("the prediction", wanted, PREDICTIONS)
    if given == wanted:
        return value
    return CONVERSIONS[given, wanted](x_t, value, alpha, sigma)


def target(
    predicts: str, x0: Tensor, noise: Tensor, alpha: Number, sigma: Number
) -> Tensor:
    """What the network should have said; in training, x0 and the noise are known."""
    check_choice("the prediction", predicts, PREDICTIONS)
    if predicts == "v":
        return alpha * noise - sigma * x0
    return noise if predicts == "eps" else x0
