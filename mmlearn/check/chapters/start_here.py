"""The checks of exercises/00_start_here.ipynb; each returns None or a hint."""

import torch
import torch.nn.functional as F

import mmlearn as mm


def _random(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def attention(answer) -> str | None:
    """softmax(QKᵀ/√d) V for tensors (n, t, d)."""
    q, k, v = _random(2, 3, 16), _random(2, 5, 16, seed=1), _random(2, 5, 4, seed=2)
    mine, right = answer(q, k, v), F.scaled_dot_product_attention(q, k, v)
    if mine.shape != right.shape:
        return f"the result has shape {tuple(mine.shape)}; it should have (n, t, d_v)"
    if torch.allclose(mine, right, atol=1e-5):
        return None
    fit = q @ k.transpose(1, 2)
    if torch.allclose(mine, fit.softmax(-1) @ v, atol=1e-5):
        return "the fits are not divided by √d, so the softmax is too sure of itself"
    if torch.allclose(mine, (fit / 16).softmax(-1) @ v, atol=1e-5):
        return "the fits are divided by d; divide by its square root"
    if torch.allclose(mine, (fit / 4).softmax(1) @ v, atol=1e-5):
        return "the softmax runs over the queries; each query shares 1 among the keys"
    return "the shape is right, the numbers are not: softmax(QKᵀ/√d) V, term by term"


def causal_mask(answer) -> str | None:
    """Booleans (t, t), True where row i may look at column j."""
    mask = answer(4)
    right = torch.ones(4, 4, dtype=torch.bool).tril()
    if mask.dtype != torch.bool:
        return f"the mask holds {mask.dtype}; make it True and False"
    if mask.shape != right.shape:
        return f"the mask for 4 positions has shape {tuple(mask.shape)}, not (4, 4)"
    if torch.equal(mask, right):
        return None
    if torch.equal(mask, right.T):
        return (
            "row i sees itself and what comes after: that is the future, not the past"
        )
    if torch.equal(mask, ~right):
        return "True must mean 'may look'; here it means 'may not'"
    if torch.equal(mask, right.tril(-1)):
        return "nobody sees itself, and row 0 sees nothing at all: keep the diagonal"
    return "row i should be True in columns 0 to i, and False after"


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


def noise_schedule(answer) -> str | None:
    """ᾱ from β."""
    beta = torch.linspace(1e-3, 0.2, 10)
    mine, right = answer(beta), torch.cumprod(1 - beta, dim=0)
    if mine.shape != right.shape:
        return f"ᾱ has one value for each β: shape (10,), not {tuple(mine.shape)}"
    if torch.allclose(mine, right):
        return None
    if torch.allclose(mine, torch.cumprod(beta, 0)):
        return "this is the product of the β; it should be that of what remains, 1 - β"
    if torch.allclose(mine, 1 - torch.cumsum(beta, 0), atol=1e-6):
        return "what is lost does not add up: what remains is multiplied, step by step"
    if torch.allclose(mine, torch.cumprod(1 - beta, 0).sqrt()):
        return "this is √ᾱ; the root is taken later, in add_noise"
    if not (mine[1:] <= mine[:-1]).all():
        return "ᾱ must fall: with every step less of the data is left"
    return "ᾱ_t is the product of (1 - β_s) over all s up to and including t"


def add_noise(answer) -> str | None:
    """x_t from x₀, ᾱ_t and the noise."""
    x0, noise, bar = _random(5, 2), _random(5, 2, seed=1), torch.tensor(0.3)
    mine, right = answer(x0, bar, noise), bar.sqrt() * x0 + (1 - bar).sqrt() * noise
    if mine.shape != right.shape:
        return f"x_t has the shape of x₀, {tuple(x0.shape)}, not {tuple(mine.shape)}"
    if torch.allclose(mine, right):
        return None
    if torch.allclose(mine, bar * x0 + (1 - bar) * noise):
        return "the roots are missing: it is the *variances* that add up to one"
    if torch.allclose(mine, (1 - bar).sqrt() * x0 + bar.sqrt() * noise):
        return "data and noise have changed places: ᾱ = 1 should leave the data alone"
    if torch.allclose(mine, bar.sqrt() * x0 + (1 - bar) * noise):
        return "the noise's factor has no root: its variance should be 1 - ᾱ"
    return "x_t = √ᾱ · x₀ + √(1 - ᾱ) · noise"


def read_relation(answer) -> str | None:
    """The relation of a record's two items, from their boxes alone."""
    for relation in ("left of", "right of", "above", "below"):
        batch = mm.world.scenes(
            20, seed=5, size=16, kinds=["relation"], relations=[relation]
        )
        for scene in batch.records:
            mine = answer(scene.items[0].box, scene.items[1].box)
            if mine == relation:
                continue
            if mine not in ("left of", "right of", "above", "below"):
                return f"{mine!r} is none of: left of, right of, above, below"
            return _wrong_relation(mine, relation, scene)
    return None


def _wrong_relation(mine: str, right: str, scene) -> str:
    if {mine, right} == {"above", "below"}:
        return f"you read {mine!r}, it is {right!r}: y grows downwards, 0 is the top"
    if {mine, right} == {"left of", "right of"}:
        return (
            f"you read {mine!r}, it is {right!r}: which of the two has the smaller x?"
        )
    a, b = (item.box for item in scene.items)
    return (
        f"boxes {a} and {b} are {right!r}, you read {mine!r}: first find out along "
        "which axis their centres are further apart"
    )
