"""From a saved model's directory to a network: its config, and the tensors in it."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmlearn.weights.directory import check_fit, load_config
from mmlearn.weights.errors import WeightsError

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


def config_of(cls: type[Config], directory: str | Path, what: str) -> Config:
    """A saved model's config, as the dataclass ``cls``; what: "detector", say.

    Raises WeightsError unless config.json has exactly the fields of ``cls``, which
    another model's has not.
    """
    found, known = load_config(directory), [field.name for field in fields(cls)]
    if set(found) != set(known):
        raise WeightsError(
            f"{directory} is a saved model, but no {what}: its config.json should have "
            f"the fields {', '.join(known)}"
        )
    return cls(**found)


def filled(
    build: Callable[[], Network], state: Mapping[str, Tensor], source: str | Path
) -> Network:
    """The network that ``build()`` returns, with a state dict's tensors; in eval mode.

    It is built on the meta device, so that no weights are made only to be replaced.
    The tensors come in its precision, and are not copied where that is their own.
    Raises WeightsError, naming the source, unless names and shapes are the network's.
    """
    with torch.device("meta"):
        network = build()
    expect = network.state_dict()
    check_fit(state, expect, str(source))
    state = {name: tensor.to(expect[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(state, assign=True)
    return network.eval()
