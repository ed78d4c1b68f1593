"""`check.same`: two modules or functions give the same outputs and gradients.

    check.same(MyAttention(16, 4), mm.nn.Attention(16, 4), (2, 5, 16))

The comparison runs on copies in float64, so that what is left of the difference is a
mistake and not rounding: a wrong epsilon of 1e-6 is found.
"""

import copy
import sys
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmlearn.check.verdict import Verdict
from mmlearn.check.weights import copy_weights, randomise_constants

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


@dataclass
class Results:
    """Named outputs and named gradients of one run."""

    outputs: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)


def same(
    mine,
    theirs,
    *inputs,
    seed: int = 0,
    rename=None,
    tolerance: float | None = None,
    **settings,
) -> Verdict:
    """Show a green line, or raise AssertionError saying what differs where by how much.

    mine, theirs: modules or functions. The weights of ``theirs`` are copied into
    ``mine``: by equal names, else through ``rename`` ({their name: my name}, where a
    name may be a prefix such as "to_q"; or a function from their state dict to mine),
    else in order where the shapes agree. Weights that are all equal (zero-initialised
    layers, fresh gates) get random values first: zeros would hide mistakes.
    inputs: shapes as tuples, filled with random numbers; tensors; anything else is
    passed on as it is. settings: keyword arguments for both.
    tolerance: largest difference allowed, relative to the largest value where that
    exceeds 1 (default 1e-9 in float64). Compared are the outputs and the gradients of
    their randomly weighted sum with respect to inputs and weights. Modules are compared
    in evaluation mode; both calls see the same random state.
    """
    names = describe(mine, theirs)
    try:
        found = compare(mine, theirs, inputs, settings, seed, rename, torch.float64)
        dtype = torch.float64
    except RuntimeError as error:
        if not is_about_dtype(error):
            raise
        # A function that makes its own float32 tensors cannot run in float64.
        found = compare(mine, theirs, inputs, settings, seed, rename, torch.float32)
        dtype = torch.float32
    first, second, how, weighted = found
    limit = TOLERANCE[dtype] if tolerance is None else tolerance
    hint = (
        " The weights were copied in order; if the order differs, pass rename="
        "{their name: my name}."
        if how == "order"
        else ""
    )
    outputs, worst = differences(first.outputs, second.outputs, limit, "")
    if outputs:
        raise AssertionError(f"{names[0]} differs from {names[1]}: {outputs}.{hint}")
    gradients, worse = differences(
        first.gradients, second.gradients, limit, "gradient of "
    )
    if gradients:
        raise AssertionError(
            f"{names[0]} gives the same output as {names[1]}, but another gradient: "
            f"{gradients}.{hint}"
        )
    count = len(second.outputs) + len(second.gradients)
    what = "outputs and gradients" if second.gradients else "outputs"
    note = "" if weighted else ", weights not compared"
    largest = f"{max(worst, worse):.0e}" if worst or worse else "0"
    return Verdict(
        True,
        f"same: {what} of {names[0]} equal {names[1]} (largest difference "
        f"{largest} over {count} tensors{note})",
    ).show()


def compare(mine, theirs, inputs, settings, seed, rename, dtype):
    """Run both on the same inputs, weights and random state."""
    generator = torch.Generator().manual_seed(seed)
    mine, theirs = prepare(mine, dtype), prepare(theirs, dtype)
    how, relabel = None, None
    both = isinstance(mine, nn.Module) and isinstance(theirs, nn.Module)
    if isinstance(theirs, nn.Module):
        randomise_constants(theirs, generator)
    if both:
        how, relabel = copy_weights(mine, theirs, rename)
    arguments = [fill(x, generator, dtype) for x in inputs]
    settings = {k: fill(x, generator, dtype, False) for k, x in settings.items()}
    first = run(mine, arguments, settings, seed, both)
    second = run(theirs, arguments, settings, seed, both)
    if relabel is not None:
        weights = {
            k[7:]: g for k, g in second.gradients.items() if k.startswith("weight ")
        }
        others = {
            k: g for k, g in second.gradients.items() if not k.startswith("weight ")
        }
        # Renaming and slicing are linear: gradients move as the weights do.
        full = {k: torch.zeros_like(v) for k, v in theirs.state_dict().items()}
        full |= {k: g for k, g in weights.items() if g is not None}
        moved, kept = relabel(full), dict(mine.named_parameters())
        second.gradients = others | {f"weight {k}": moved[k] for k in kept}
    return first, second, how, both or not has_weights(mine, theirs)


def has_weights(*both) -> bool:
    """Whether any of these is a module with weights."""
    return any(
        isinstance(m, nn.Module) and any(True for _ in m.parameters()) for m in both
    )


def prepare(thing, dtype):
    """A copy of a module: evaluation mode, given precision, nothing frozen."""
    if isinstance(thing, nn.Module):
        return copy.deepcopy(thing).to(dtype).eval().requires_grad_(True)
    if isinstance(thing, type):
        raise TypeError(
            f"check.same compares {thing.__name__}(…), not the class itself"
        )
    if not callable(thing):
        raise TypeError(f"check.same compares modules or functions, not {type(thing)}")
    return thing


def fill(value, generator, dtype, shapes: bool = True):
    """A shape becomes a random tensor; a float tensor takes the precision."""
    if shapes and isinstance(value, tuple) and all(isinstance(n, int) for n in value):
        return torch.randn(value, generator=generator, dtype=dtype)
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().to(dtype)
    return value


def run(thing, arguments, settings, seed: int, weights: bool) -> Results:
    """Outputs, and gradients of their randomly weighted sum."""
    leaves, inputs = {}, []
    for i, value in enumerate(arguments):
        if isinstance(value, Tensor) and value.is_floating_point():
            value = value.clone().requires_grad_()
            leaves["input" if len(arguments) == 1 else f"input {i}"] = value
        inputs.append(value)
    if weights and isinstance(thing, nn.Module):
        leaves |= {f"weight {name}": p for name, p in thing.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        outputs = flatten(thing(*inputs, **settings))
    generator = torch.Generator().manual_seed(seed + 1)
    total = 0
    for value in outputs.values():
        if isinstance(value, Tensor) and value.is_floating_point():
            weight = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            if value.requires_grad:
                total = total + (value * weight.to(value)).sum()
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    if isinstance(total, Tensor) and wanted:
        found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
        gradients = dict(zip(wanted, found, strict=True))
    else:
        gradients = dict.fromkeys(wanted)
    outputs = {
        k: v.detach() if isinstance(v, Tensor) else v for k, v in outputs.items()
    }
    return Results(outputs, gradients)


def flatten(value, name: str = "output") -> dict:
    """Nested outputs as {name: tensor or value}."""
    if isinstance(value, dict):
        parts = [flatten(v, f"{name}[{k!r}]") for k, v in value.items()]
    elif isinstance(value, tuple | list):
        parts = [flatten(v, f"{name}[{i}]") for i, v in enumerate(value)]
    else:
        return {name: value}
    return {k: v for part in parts for k, v in part.items()}


def differences(mine: dict, theirs: dict, limit: float, prefix: str):
    """What differs first, as words (or None), and the largest difference."""
    if list(mine) != list(theirs) and set(mine) != set(theirs):
        lost, extra = sorted(set(theirs) - set(mine)), sorted(set(mine) - set(theirs))
        text = f"{prefix}{', '.join(lost)} is missing" if lost else ""
        text += " and " if lost and extra else ""
        return text + (f"{prefix}{', '.join(extra)} is not there" if extra else ""), 0.0
    worst = 0.0
    for name, right in theirs.items():
        text, difference = differ(mine[name], right, limit)
        worst = max(worst, difference)
        if text:
            return f"the {prefix}{name} {text}", worst
    return None, worst


def differ(mine, right, limit: float):
    """(how one value differs, or None; by how much)."""
    if isinstance(mine, Tensor) and right is None:
        right = torch.zeros_like(mine)
    if isinstance(right, Tensor) and mine is None:
        if right.abs().max() <= limit:
            return None, 0.0
        return "is missing (the computation is cut off from it, perhaps detached)", 0.0
    if not isinstance(mine, Tensor) or not isinstance(right, Tensor):
        equal = type(mine) is type(right) and mine == right
        return (None if equal else f"is {short(mine)}, not {short(right)}"), 0.0
    if mine.shape != right.shape:
        return f"has the shape {tuple(mine.shape)}, not {tuple(right.shape)}", 0.0
    if not mine.is_floating_point() or not right.is_floating_point():
        wrong = int((mine != right).sum())
        return (f"differs at {wrong} of {right.numel()} places" if wrong else None), 0.0
    if not right.numel():
        return None, 0.0
    if bool((mine.isnan() != right.isnan()).any()):
        return "is NaN at other places", float("inf")
    # Equal infinities (masked logits) subtract to NaN; they are no difference.
    gap = torch.where(mine == right, 0.0, (mine.double() - right.double()).abs())
    gap = gap.nan_to_num(nan=0.0)
    finite = right.abs()[right.isfinite()]
    scale = max(1.0, float(finite.max()) if len(finite) else 1.0)
    worst = float(gap.max()) / scale
    if worst <= limit:
        return None, worst
    at = torch.unravel_index(gap.argmax(), gap.shape)
    where = tuple(int(i) for i in at)
    text = f"of shape {tuple(right.shape)} differs by up to {float(gap.max()):.1e}"
    text += f" (at {list(where)}: {float(mine[at]):.6g}, not {float(right[at]):.6g}"
    return text + f"; allowed {limit * scale:.0e})", worst


def short(value) -> str:
    """What a value is, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return "nothing (None)" if value is None else repr(value)


def is_about_dtype(error: RuntimeError) -> bool:
    """Whether an error is about mixing float32 and float64."""
    text = str(error).lower()
    words = (
        "dtype",
        "same type",
        "float and double",
        "double and float",
        "scalar type",
    )
    return any(word in text for word in words)


def describe(mine, theirs) -> tuple[str, str]:
    """``MyAttention`` and ``mmlearn.nn.Attention``: names to tell the two apart."""
    first, second = public_name(mine), public_name(theirs)
    return (f"your {first}" if first == second else first), second


def public_name(thing) -> str:
    """The name by which a reader would import it, from the shortest module it is in."""
    what = type(thing) if isinstance(thing, nn.Module) else thing
    name = getattr(what, "__name__", type(thing).__name__)
    parts = (getattr(what, "__module__", None) or "").split(".")
    if parts[0] in ("mmlearn", "torch"):
        for end in range(1, len(parts) + 1):
            if parts[end - 1].startswith("_"):
                break
            module = sys.modules.get(".".join(parts[:end]))
            if getattr(module, name, None) is what:
                return ".".join([*parts[:end], name])
    return name
