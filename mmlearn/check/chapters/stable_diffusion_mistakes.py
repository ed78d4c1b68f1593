"""What goes wrong in the exercises of 05_stable_diffusion, and what it leads to.

Each function returns None or a hint, for one part of an answer.
"""

import math
from itertools import combinations

from torch import Tensor

from mmlearn.check.chapters import stable_diffusion_stand_ins as stand_ins
from mmlearn.check.exercises import NotYet
from mmlearn.check.hints import hint_for, near


def wrong_draw(z: Tensor, mean: Tensor, logvar: Tensor) -> str | None:
    """z should be mean + std ε; logvar is one number in channels 0, 1, another else."""
    if not z.isfinite().all():
        return (
            "what was drawn has nan: logvar is a logarithm, which may be negative and "
            "then has no root (and no logarithm); σ is e^(logvar / 2)"
        )
    lots = (z - mean) / (logvar / 2).exp()
    if lots.std() > 0.1 and lots.min() > -1e-3 and lots.max() < 1.001:
        return "ε lies between 0 and 1, as rand draws; randn draws from N(0, 1)"
    if abs((z - mean).mean()) > 0.4:
        return (
            "what was drawn lies around another mean: μ + σ ε, with ε of randn, whose "
            "mean is 0"
        )
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
    each = latents.flatten(1).std(dim=1)
    together = "some pictures are dull and some are not, so take the deviation of all "
    together += "numbers together"
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
    wrong = {
        None: 1 / latents.std(),
        **wrong,
        f"the deviations of single pictures, averaged: {together}": 1 / each.mean(),
        f"an average of scales of single pictures: {together}": (1 / each).mean(),
    }
    for hint, value in wrong.items():
        if abs(float(mine) / value.item() - 1) < 1e-3:
            return hint
    return "with the right scale, the latents' standard deviation is 1"


def wrong_heads(mine, x, words, w_q, w_k, w_v) -> str | None:
    """mine: the result of two heads; whether it has kept the axes of the heads."""
    n, places, width = x.shape
    if not isinstance(mine, Tensor) or mine.shape != (n, 2, places * width // 2):
        return None
    q, k, v = (
        stand_ins.parted(y, 2) for y in (x @ w_q.T, words @ w_k.T, words @ w_v.T)
    )
    right = (q @ k.transpose(2, 3) / 2).softmax(3) @ v
    if near(mine, right.flatten(2)):
        return (
            "the heads still stand before the places, and flatten(2) put the places "
            "side by side: change these two axes back first"
        )
    return (
        "the heads stand after the tokens, (n, t, heads, d), so that each token's "
        "heads were compared with each other: make (n, heads, t, d) of it first"
    )


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
        "w_k and w_v have changed places": attend(two[0], two[2], two[1], 1 / 2)[0],
        "x is added; that is done outside": x + right,
    }
    four = [parted(y, 4) for y in (q, k, v)]
    sieve = [y.unflatten(2, (-1, 2)).permute(0, 3, 1, 2) for y in (q, k, v)]
    mixed = (sieve[0] @ sieve[1].transpose(2, 3) / 2).softmax(3) @ sieve[2]
    turned = "(-1, heads) cuts each token's 8 numbers into 4 times 2, and so into 4 "
    turned += "heads of 2: it is (heads, -1), with the heads first"
    for found in (
        *(attend(*four, scale)[0] for scale in (2**-0.5, 1 / 2, 8**-0.5)),
        mixed.transpose(1, 2).flatten(2),
        mixed.permute(0, 2, 3, 1).flatten(2),
    ):
        if near(mine, found):
            return turned
    if words.shape == x.shape:
        weights = {"w_q": w_q, "w_k": w_k, "w_v": w_v}
        for count in (1, 2, 3):
            for names in combinations(weights, count):
                used = [w.T if name in names else w for name, w in weights.items()]
                whole = zip((x, words, words), used, strict=True)
                found = attend(*(parted(y @ w.T, 2) for y, w in whole), 1 / 2)[0]
                text = "without .T; use F.linear(x, w), which is x @ w.T"
                wrong[f"{', '.join(names)} {text}"] = found
        within = [y.transpose(1, 2) for y in two]
        wrong[
            "the heads stand after the tokens, so that each token's heads were "
            "compared with each other: make (n, heads, t, d) of it first"
        ] = (
            (within[0] @ within[1].transpose(2, 3) / 2).softmax(3) @ within[2]
        ).flatten(2)
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
