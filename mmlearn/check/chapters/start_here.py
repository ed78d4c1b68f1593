"""The checks of exercises/00_start_here.ipynb; each returns None or a hint."""

import torch
import torch.nn.functional as F

import mmlearn as mm


def _random(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def masked_attention(answer) -> str | None:
    """softmax(QKᵀ/√d) V where mask (t, s) is True, for tensors (n, t, d)."""
    q, k, v = _random(2, 3, 16), _random(2, 5, 16, seed=1), _random(2, 5, 4, seed=2)
    mask = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 0, 0, 0, 0]]).bool()
    mine = answer(q, k, v, mask)
    if not isinstance(mine, torch.Tensor):
        return f"the answer should be a tensor, not a {type(mine).__name__}"
    right = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if mine.shape != right.shape:
        return f"the result has shape {tuple(mine.shape)}, not that of the queries' v"
    if torch.allclose(mine, right, atol=1e-5):
        return None
    fit = q @ k.transpose(1, 2)
    wrong = {
        "the mask is not used: every query still sees every key": fit / 4,
        "True means 'may look'; you hid exactly what should be seen": (
            (fit / 4).masked_fill(mask, -torch.inf)
        ),
        "a fit of 0 is not 'never': e⁰ is 1, so hidden keys still get a share": (
            (fit / 4).masked_fill(~mask, 0)
        ),
        "the fits are not divided by √d, so the softmax is too sure of itself": (
            fit.masked_fill(~mask, -torch.inf)
        ),
        "the fits are divided by d; divide by its square root": (
            (fit / 16).masked_fill(~mask, -torch.inf)
        ),
    }
    for hint, scores in wrong.items():
        if torch.allclose(mine, scores.softmax(-1) @ v, atol=1e-5):
            return hint
    if torch.allclose(mine, ((fit / 4).softmax(-1) * mask) @ v, atol=1e-5):
        return "hidden keys are gone, but the shares left no longer add up to one"
    if mine.isnan().any():
        return (
            "there are nans: a row of nothing but -inf has no softmax; check the axis"
        )
    return "the shape is right, the numbers are not: hide fits, then softmax, then V"


def causal_mask(answer) -> str | None:
    """Booleans (t, t), True where row i may look at column j."""
    for t in (4, 7):
        mask, right = answer(t), torch.ones(t, t, dtype=torch.bool).tril()
        if not isinstance(mask, torch.Tensor):
            return f"the mask should be a tensor, not a {type(mask).__name__}"
        if mask.dtype != torch.bool:
            return f"the mask holds {mask.dtype}; make it True and False"
        if mask.shape != right.shape:
            return f"the mask for {t} positions has shape {tuple(mask.shape)}"
        if torch.equal(mask, right):
            continue
        if torch.equal(mask, right.T):
            return "row i sees itself and what comes after: the future, not the past"
        if torch.equal(mask, ~right):
            return "True must mean 'may look'; here it means 'may not'"
        if torch.equal(mask, right.tril(-1)):
            return (
                "nobody sees itself, and row 0 sees nothing at all: keep the diagonal"
            )
        if torch.equal(mask, torch.ones_like(right).tril(1)):
            return "row i sees one position ahead: a leak of exactly one word"
        return "row i should be True in columns 0 to i, and False after"
    return None


def split_heads(answer) -> str | None:
    """(n, t, heads · d) -> (n, heads, t, d)."""
    x = torch.arange(2.0 * 3 * 8).view(2, 3, 8)
    mine, right = answer(x, 4), x.view(2, 3, 4, 2).transpose(1, 2)
    if mine.shape == (2, 3, 4, 2):
        return "heads stand after the positions; attention wants (n, heads, t, d)"
    if mine.shape != right.shape:
        return f"4 heads of (2, 3, 8) should be (2, 4, 3, 2), not {tuple(mine.shape)}"
    if torch.equal(mine, right):
        return None
    if torch.equal(mine, x.view(2, 3, 2, 4).permute(0, 3, 1, 2)):
        return "each head takes every fourth number; it should take neighbours: (h d)"
    if torch.equal(mine, x.view(2, 4, 3, 2)):
        return "the shape was changed without moving the axes: positions got mixed up"
    return "head h of position t holds numbers h·d to (h+1)·d of that position"


def single_steps(answer) -> str | None:
    """β from ᾱ, the way back of the running product."""
    beta = torch.linspace(1e-3, 0.2, 10)
    bar = torch.cumprod(1 - beta, dim=0)
    mine = answer(bar)
    if not isinstance(mine, torch.Tensor) or mine.shape != beta.shape:
        shape = tuple(getattr(mine, "shape", ()))
        return f"there is one β for each ᾱ: a tensor of shape (10,), not {shape}"
    if torch.allclose(mine, beta, atol=1e-6):
        return None
    before = torch.cat([torch.ones(1), bar[:-1]])
    if torch.allclose(mine, bar / before, atol=1e-6):
        return "this is the share each step *keeps*, 1 - β; β is what it replaces"
    if torch.allclose(mine, 1 - bar, atol=1e-6):
        return "this is the noise of all steps so far together, not that of each step"
    if torch.allclose(mine, before - bar, atol=1e-6):
        return "differences will not do: each step takes its share of what was *left*"
    if torch.allclose(mine[1:], beta[1:], atol=1e-6):
        return "all right but the first: before step one, nothing was lost, so ᾱ was 1"
    return "one step takes ᾱ from its last value to this one: which factor does that?"


def jump_between(answer) -> str | None:
    """x_t from x_s, both noisy, for s < t, given ᾱ_s and ᾱ_t."""
    x, noise = _random(5, 2), _random(5, 2, seed=1)
    early, late = torch.tensor(0.8), torch.tensor(0.3)
    keep = late / early
    mine, right = (
        answer(x, early, late, noise),
        keep.sqrt() * x + (1 - keep).sqrt() * noise,
    )
    if not isinstance(mine, torch.Tensor) or mine.shape != right.shape:
        return f"x_t has the shape of x_s, {tuple(x.shape)}"
    if torch.allclose(mine, right, atol=1e-6):
        return None
    if torch.allclose(mine, late.sqrt() * x + (1 - late).sqrt() * noise, atol=1e-6):
        return "that is the jump from x₀; x_s has lost a part already: from ᾱ_s to ᾱ_t"
    if torch.allclose(mine, keep * x + (1 - keep) * noise, atol=1e-6):
        return "the roots are missing: it is the *variances* that add up to one"
    if torch.allclose(mine, (1 - keep).sqrt() * x + keep.sqrt() * noise, atol=1e-6):
        return "data and noise have changed places"
    if torch.allclose(mine, keep.sqrt() * x + (1 - late).sqrt() * noise, atol=1e-6):
        return "x_s holds noise already: add only what is missing, not all of 1 - ᾱ_t"
    return "which share of x_s's variance is kept, and what must the noise fill up?"


def read_relation(answer) -> str | None:
    """How the first box stands to the second, by their centres."""
    for relation in ("left of", "right of", "above", "below"):
        words = {"kinds": ["relation"], "relations": [relation]}
        for scene in mm.world.scenes(20, seed=5, size=16, **words).records:
            boxes = [item.box for item in scene.items]
            mine = answer(*boxes)
            if mine != relation:
                return _wrong_relation(mine, relation, boxes)
    # A wide box and a small one: their corners say something else than their centres.
    hard = {
        "below": ((0.05, 0.30, 0.55, 0.80), (0.60, 0.10, 0.70, 0.20)),
        "above": ((0.10, 0.05, 0.90, 0.45), (0.20, 0.60, 0.30, 0.70)),
        "left of": ((0.05, 0.10, 0.25, 0.90), (0.60, 0.15, 0.90, 0.45)),
        "right of": ((0.40, 0.20, 1.00, 0.80), (0.35, 0.40, 0.45, 0.50)),
    }
    for relation, boxes in hard.items():
        if (mine := answer(*boxes)) != relation:
            return _wrong_relation(mine, relation, boxes)
    return None


def _wrong_relation(mine, right: str, boxes) -> str:
    if mine not in ("left of", "right of", "above", "below"):
        return f"for boxes {boxes[0]} and {boxes[1]} you answered {mine!r}"
    if {mine, right} == {"above", "below"}:
        return f"you read {mine!r}, it is {right!r}: y grows downwards, 0 is the top"
    if {mine, right} == {"left of", "right of"}:
        return (
            f"you read {mine!r}, it is {right!r}: which of the two has the smaller x?"
        )
    return (
        f"boxes {boxes[0]} and {boxes[1]} are {right!r}, you read {mine!r}: along "
        "which axis are their *centres* (not their corners) further apart?"
    )
