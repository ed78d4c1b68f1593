"""What a person's eyes saw and said, kept so that it can be looked up again.

``data/prompts/judge_eyes.json`` is a list of entries, one a picture:

    {"id": "spoilt-42000006", "how": {...}, "seen": "8f…", "record": {...},
     "eyes": {clause: true, false, or null for "cannot be said"}, "nothing_else": true}

The record is what was asked of the picture. The picture is not kept, but made again as
``how`` says: {"make": "spoilt", "scene", "damage", "seed", "px"} or {"make":
"generated", "model", "prompt", "seed", and its `SETTINGS`}. ``seen`` is its thumbnail
of 4 x 4 pixels: where it no longer fits, since a model was trained anew, say, the
answers are about another picture, and are refused.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import weights
from mmlearn.evaluate.generators import GENERATORS, Generator
from mmlearn.evaluate.judge_damage import damaged
from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_file
from mmlearn.world.scene import Scene

FIELDS = ("id", "how", "seen", "record", "eyes", "nothing_else")
SETTINGS = ("steps", "guidance", "sampler")
ALIKE = 6  # levels of 256 by which a thumbnail may differ, in the mean
Generate = Callable[..., Tensor]  # as `Draws.generate`: (n, 3, h, w) of n prompts


def pictures(
    entries: Sequence[dict], generate: Callable[[str], Generate] | None = None
) -> Tensor:
    """The pictures that entries speak of, made again: (n, 3, h, w) in [-1, 1].

    generate: from a model's name to its ``generate``; by default the shipped ones'.
    Raises ValueError where a picture is not the one that was looked at, for pictures of
    several sizes, and for a ``how`` that says nothing known.
    """
    made = [_make(entry["how"], generate or _shipped) for entry in entries]
    if len({image.shape for image in made}) > 1:
        raise ValueError(
            "these pictures differ in size: make those of one size at once"
        )
    for entry, image in zip(entries, made, strict=True):
        if "seen" in entry and not same_picture(entry["seen"], image):
            raise ValueError(
                f"the picture {entry['id']!r} is no longer the one that was looked at: "
                "what eyes said of it does not count; draw it and look again"
            )
    return torch.stack(made)


def _make(how: dict, generate: Callable[[str], Generate]) -> Tensor:
    if how.get("make") == "spoilt":
        scene = Scene.from_dict(how["scene"])
        return damaged(scene, how["damage"], how["seed"], how["px"])[0]
    if how.get("make") == "generated":
        options = {name: how[name] for name in ("seed", *SETTINGS) if name in how}
        # Alone, so that it depends on no other picture's prompt.
        image = generate(how["model"])([how["prompt"]], progress=False, **options)
        return image[0].detach().cpu().float().clamp(-1, 1)
    raise ValueError(
        f"a picture is made 'spoilt' or 'generated', not {how.get('make')!r}"
    )


@lru_cache(1)
def _shipped(model: str) -> Generate:
    return generator_of(model).load(weights.find("laptop", model)).generate


def generator_of(model: str) -> Generator:
    """What can be asked of a shipped model; ValueError, naming them, if unknown."""
    if model not in GENERATORS:
        raise ValueError(
            f"there is no generator {model!r}; there are: {', '.join(GENERATORS)}"
        )
    return GENERATORS[model]


def thumbnail(image: Tensor) -> str:
    """A picture (3, h, w) as 4 x 4 pixels, in hexadecimal."""
    small = F.adaptive_avg_pool2d(image.float(), 4)
    return bytes(small.add(1).mul(127.5).round().byte().flatten().tolist()).hex()


def same_picture(seen: str, image: Tensor) -> bool:
    """Whether a thumbnail is a picture's, up to what machines may differ by."""
    before, now = (list(bytes.fromhex(text)) for text in (seen, thumbnail(image)))
    apart = [abs(a - b) for a, b in zip(before, now, strict=True)]
    return sum(apart) / len(apart) <= ALIKE


def eyes_path() -> Path:
    """Where the answers of eyes lie."""
    return data_path("prompts", "judge_eyes.json")


def load_eyes(path: Path | None = None) -> list[dict]:
    """The entries that eyes have answered for.

    Raises ValueError, in one sentence, where there are none, and for a bad entry.
    """
    path = Path(path or eyes_path())
    if not path.is_file():
        raise ValueError(
            f"there are no answers of eyes yet, {path}: look at the sheets that "
            "python -m mmlearn.evaluate.judge_eyes FOLDER draws, and merge the answers"
        )
    entries = json.loads(path.read_text(encoding="utf-8"))
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) != set(FIELDS):
            raise ValueError(
                f"entry {number} of {path} must have {', '.join(FIELDS)}, no more and "
                "no less"
            )
        for said in (*entry["eyes"].values(), entry["nothing_else"]):
            if said is not None and not isinstance(said, bool):
                raise ValueError(
                    f"eyes say true, false or null, but entry {entry['id']!r} of "
                    f"{path} holds {said!r}"
                )
    return entries


def save_eyes(entries: Sequence[dict], path: Path | None = None) -> Path:
    """Write entries, one a line; where an id stood there already, it is replaced."""
    path = Path(path or eyes_path())
    kept = {entry["id"]: entry for entry in (load_eyes(path) if path.is_file() else ())}
    kept |= {entry["id"]: {name: entry[name] for name in FIELDS} for entry in entries}
    lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in kept.values())
    with atomic_file(path) as file:
        file.write(f"[\n{lines}\n]\n".encode())
    return path
