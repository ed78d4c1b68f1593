"""The drawings: what was drawn, by whom, and the pixels.

Six sets by four artists. Noto and Fluent (flat and 3D, one artist) are for training,
Twemoji is the near test and OpenMoji (colour and line) the far one: no model of this
book is trained on the last two. Each set's licence and credit lie beside it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from mmlearn.paths import data_path
from mmlearn.world.words import WorldError, known

TRAIN_ARTISTS = ("noto", "fluent_flat", "fluent_3d")
NEAR_ARTIST = "twemoji"
FAR_ARTISTS = ("openmoji", "openmoji_line")
ARTISTS = (*TRAIN_ARTISTS, NEAR_ARTIST, *FAR_ARTISTS)

# The words a caption has for a style. Twemoji's is never named in training, and
# what a caption may say is only what training could have taught.
STYLES = {
    "noto": "cartoon",
    "fluent_flat": "flat drawing",
    "fluent_3d": "3D render",
    "openmoji": "outlined drawing",
    "openmoji_line": "line drawing",
}
SHEET_COLUMNS = 16


@dataclass(frozen=True)
class Concept:
    """One thing that every artist drew."""

    name: str
    code: str  # Unicode code points, in hexadecimal
    plural: str | None  # only everyday nouns have one
    group: str
    subgroup: str
    keywords: tuple[str, ...]
    everyday: bool  # one of the nouns that scenes are made of
    tintable: bool  # light and plain enough to be painted another colour
    plain: bool  # plain enough to be told when it is drawn small
    clear: bool  # told by every artist's drawing, without its name
    split: str  # "train" or "held_out"
    row: int  # its place in the sheets


@lru_cache(1)
def concepts() -> dict[str, Concept]:
    """All concepts by name, everyday nouns first."""
    path = data_path("artwork", "concepts.json")
    table = json.loads(_read(path).decode())
    found, rows = {}, {True: 0, False: 0}
    for name, fields in table.items():
        fields["keywords"] = tuple(fields["keywords"])
        row = rows[fields["everyday"]]
        found[name] = Concept(name=name, row=row, **fields)
        rows[fields["everyday"]] += 1
    return found


@lru_cache(1)
def everyday() -> tuple[str, ...]:
    """The names of the everyday nouns."""
    return tuple(name for name, concept in concepts().items() if concept.everyday)


def find(word: str) -> list[str]:
    """Names of the concepts whose name, group or keywords hold ``word``."""
    word = word.lower()
    return [
        name
        for name, concept in concepts().items()
        if word in name.lower()
        or word in concept.keywords
        or word in (concept.group, concept.subgroup)
    ]


def sprite(name: str, artist: str, size: int = 64) -> np.ndarray:
    """One drawing as ``(size, size, 4)`` uint8 RGBA, not premultiplied.

    ``size`` is 64, or 128 or 256 for everyday nouns (OpenMoji's line set: 64 only).
    Raises :class:`WorldError` for a name, artist or size that does not exist, and
    for a sheet that is missing or does not have the checksum it was shipped with.
    """
    concept = concepts()[known("concept", name, concepts())]
    part = "everyday" if concept.everyday else "more"
    sizes = sizes_of(artist, part)
    if size not in sizes:
        text = " or ".join(map(str, sizes))
        raise WorldError(f"{artist} has {name!r} at {text} pixels, not {size}")
    y, x = divmod(concept.row, SHEET_COLUMNS)
    sheet = _sheet(artist, f"{part}_{size}.webp")
    return sheet[y * size : (y + 1) * size, x * size : (x + 1) * size]


def sizes_of(artist: str, part: str = "everyday") -> tuple[int, ...]:
    """The sizes in which a set was shipped."""
    known("artist", artist, ARTISTS)
    return (64, 128, 256) if part == "everyday" and artist != "openmoji_line" else (64,)


def sprites(names, artist: str, size: int = 64) -> torch.Tensor:
    """Drawings on white: names -> ``(n, 3, size, size)`` float32 in [-1, 1]."""
    if not names:
        raise WorldError("no concepts were asked for: give at least one name")
    rgba = np.stack([sprite(name, artist, size) for name in names]).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    pixels = torch.from_numpy(rgba[..., :3] * alpha + 255 * (1 - alpha))
    return (pixels / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def credit(*artists: str) -> str:
    """The credit line that goes below a picture of these artists' work."""
    lines = []
    for artist in artists or ARTISTS:
        path = data_path("artwork", known("artist", artist, ARTISTS), "credit.json")
        about = json.loads(path.read_text())
        line = f"{about['credit']} ({about['licence']}, {about['link']})"
        lines.append(line)
    return "; ".join(dict.fromkeys(lines)) + "; " + about["changes"] + "."


@lru_cache(32)
def _sheet(artist: str, name: str) -> np.ndarray:
    path = data_path("artwork", artist, name)
    _read(path)
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGBA"))
    except UnidentifiedImageError:
        raise WorldError(
            f"this Pillow cannot read WebP, which {path.name} is: "
            "install Pillow's own wheel (pip install --force-reinstall pillow)"
        ) from None


@lru_cache(1)
def _sums() -> dict[str, str]:
    path = data_path("artwork", "SHA256SUMS")
    if not path.is_file():
        raise WorldError(
            f"the artwork is missing: there is no {path}; install mmlearn again, "
            "or restore the folder with git checkout -- data/artwork"
        )
    rows = (line.split("  ", 1) for line in path.read_text().splitlines())
    return {name: digest for digest, name in rows}


def _read(path) -> bytes:
    """The bytes of a file of the pack, after checking them against its checksum."""
    name = path.relative_to(data_path("artwork")).as_posix()
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != _sums().get(name):
        raise WorldError(
            f"the artwork file {name} is {'damaged' if data else 'missing'} (its "
            "SHA-256 is not the one it was shipped with): restore it with "
            "git checkout -- data/artwork, or install mmlearn again"
        )
    return data
