"""Models on the disk: saved whole or not at all, loaded safely or not at all.

    weights.save("runs/mine", model.state_dict(), config, card, half=True)
    directory = weights.find("laptop", "judge")         # a shipped size, or a directory
    config = weights.config_of(DetectorConfig, directory, "detector")
    state = weights.load_state(directory)
    model = weights.filled(lambda: Detector(config), state, directory)

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
from mmlearn.weights.files import load_plain_torch, load_safetensors, sha256, sha256_of
from mmlearn.weights.network import config_of, filled

__all__ = [
    "WeightsError",
    "check_fit",
    "config_of",
    "filled",
    "find",
    "load_card",
    "load_config",
    "load_plain_torch",
    "load_safetensors",
    "load_state",
    "save",
    "sha256",
    "sha256_of",
]
