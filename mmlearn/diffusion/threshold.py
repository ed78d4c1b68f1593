"""Thresholding: the predicted picture brought back to where pictures can be.

Pictures lie in [−1, 1], and their prediction should. Under strong guidance it does not,
and the network's next input is one it has never seen (Imagen, arXiv 2205.11487, 2.3).
Both functions take and return x0 (n, …). Latents know no bounds: use neither.
"""

from torch import Tensor


def static_threshold(x0: Tensor) -> Tensor:
    """Clipped to [−1, 1]. Under strong guidance large parts become plain white."""
    return x0.clamp(-1, 1)


def dynamic_threshold(x0: Tensor, percentile: float = 99.5) -> Tensor:
    """Imagen's (2.3, figure A.10): clip each picture to [−s, s] and divide by s.

    s is the given percentile of the picture's |x0|, over all pixels and channels, and
    at least 1. So few pixels saturate; the others are pulled inwards, and a picture
    that lies within [−1, 1] is left alone.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0, up to 100, not {percentile!r}.")
    s = x0.abs().flatten(1).quantile(percentile / 100, dim=1).clamp(min=1)
    s = s.view(-1, *[1] * (x0.ndim - 1))
    return x0.clamp(-s, s) / s
