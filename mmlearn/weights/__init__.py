"""Models on the disk: saved whole or not at all, loaded safely or not at all.

    weights.save("runs/mine", model.state_dict(), config, card, half=True)
    directory = weights.find("laptop", "clip")          # a shipped size, or a directory
    config = weights.load_config(directory)
    state = weights.load_state(directory, expect=model.state_dict())

Bad input raises WeightsError with one sentence: what is wrong, and what would be right.
"""

from mmlearn.weights.directory import (
    check_fit,
    find,
    load_card,
    load_config,
    load_state,
    save,
)
from mmlearn.weights.errors import WeightsError
from mmlearn.weights.files import load_plain_torch, load_safetensors, sha256

__all__ = [
    "WeightsError",
    "check_fit",
    "find",
    "load_card",
    "load_config",
    "load_plain_torch",
    "load_safetensors",
    "load_state",
    "save",
    "sha256",
]
