"""mmlearn: six multimodal models, each built step by step in a notebook.

    import mmlearn as mm

    batch = mm.world.scenes(64, seed=0, size=64)   # images, captions, records
    clip = mm.CLIP.from_size("laptop")

Nothing is imported before it is used, and nothing here touches the network.
"""

import importlib
import os

__version__ = "0.1.0"

_PARTS = (
    "world",
    "show",
    "check",
    "train",
    "evaluate",
    "weights",
    "nn",
    "text",
    "diffusion",
    "clip",
    "glide",
    "stable_diffusion",
    "text_to_image",
)
_MODELS = {
    "CLIP": "clip",
    "GLIDE": "glide",
    "NoisedCLIP": "glide",
    "StableDiffusion": "stable_diffusion",
    "TextToImage": "text_to_image",
}
_FUNCTIONS = {"doctor": "diagnosis"}

__all__ = [*_PARTS, *_MODELS, *_FUNCTIONS]

if os.environ.get("MMLEARN_OFFLINE") == "1":
    from mmlearn.check.offline import block_network

    block_network()


def __getattr__(name: str):
    home = _MODELS.get(name) or _FUNCTIONS.get(name)
    if home:
        return getattr(importlib.import_module(f"mmlearn.{home}"), name)
    if name in _PARTS:
        return importlib.import_module(f"mmlearn.{name}")
    raise AttributeError(f"module 'mmlearn' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
