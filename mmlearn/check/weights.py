"""Moving weights from one module to another of the same shape."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def randomise_constants(module: nn.Module, generator: torch.Generator) -> None:
    """Add noise to every parameter whose numbers are all equal.

    Zero-initialised layers and gates, ones of a LayerNorm, zero biases: with them, a
    module that forgets the layer would give the same output.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() and bool((parameter == parameter.flatten()[0]).all()):
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.3 * noise.to(parameter))


def copy_weights(mine: nn.Module, theirs: nn.Module, rename=None):
    """Copy the weights of ``theirs`` into ``mine``.

    Returns how ("names", "rename" or "order") and the function that maps a dict of
    their tensors (weights, or gradients) to mine. Raises AssertionError with the first
    weight that has no partner.
    """
    source, target = theirs.state_dict(), mine.state_dict()
    if rename is not None:
        how = "rename"
        relabel = rename if callable(rename) else renamer(rename, source)
    elif source.keys() == target.keys():
        how, relabel = "names", dict
    else:
        how, relabel = "order", match_order(source, target)
    moved = relabel(source)
    check_fit(moved, target, how)
    mine.load_state_dict(moved)
    return how, relabel


def renamer(rename: Mapping[str, str], source: Mapping[str, Tensor]) -> Callable:
    """A function that renames keys; each name may be a whole key or a dotted prefix."""
    for old in rename:
        if not any(key == old or key.startswith(old + ".") for key in source):
            raise AssertionError(
                f"rename names {old!r}, which the package's module lacks; it has "
                + ", ".join(sorted(source))
            )

    def new_name(key: str) -> str:
        for old in sorted(rename, key=len, reverse=True):
            if key == old or key.startswith(old + "."):
                return rename[old] + key[len(old) :]
        return key

    return lambda tensors: {new_name(key): value for key, value in tensors.items()}


def match_order(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Callable:
    """Pair the n-th weight with the n-th, where all shapes agree."""
    pairs = list(zip(source.items(), target.items(), strict=False))
    for (their_name, their), (my_name, my) in pairs:
        if their.shape != my.shape:
            raise AssertionError(
                f"the weights cannot be copied: yours has {my_name} {tuple(my.shape)} "
                f"where the package's has {their_name} {tuple(their.shape)}; "
                "make the shapes equal, or pass rename={their name: my name}"
            )
    if len(source) != len(target):
        longer, whose = (source, "the package's") if len(source) > len(target) else (
            target, "yours")  # fmt: skip
        name = list(longer)[len(pairs)]
        raise AssertionError(
            f"the weights cannot be copied: only {whose} has {name} "
            f"{tuple(longer[name].shape)}"
        )
    names = {their: my for (their, _), (my, _) in pairs}
    return lambda tensors: {names[key]: value for key, value in tensors.items()}


def check_fit(moved: Mapping[str, Tensor], target: Mapping[str, Tensor], how: str):
    """Every weight of mine is there once, with its shape."""
    for name, tensor in target.items():
        if name not in moved:
            raise AssertionError(
                f"no weight was copied to your {name} {tuple(tensor.shape)}; there is "
                + ", ".join(sorted(moved))
            )
        if moved[name].shape != tensor.shape:
            raise AssertionError(
                f"your {name} has the shape {tuple(tensor.shape)}, "
                f"but the package's has {tuple(moved[name].shape)}"
            )
    if extra := sorted(set(moved) - set(target)):
        raise AssertionError(f"your module has no weight for {', '.join(extra)}")
