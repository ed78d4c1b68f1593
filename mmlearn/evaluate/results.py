"""What was measured, on the disk: ``data/results/NAME.json``.

A result carries the command that made it, its commit, date, machine and seeds, and the
SHA-256 of every checkpoint it speaks of. When a checkpoint changes, the result no
longer speaks of it: `stale` says so, and CI asks.
"""

import json
from datetime import date
from pathlib import Path

import torch

from mmlearn import weights
from mmlearn.machine import commit, describe
from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_file


def result_names() -> list[str]:
    """The names of all results that come with the book."""
    return sorted(p.stem for p in data_path("results").glob("*.json"))


def save_result(
    name: str,
    rows: list[dict],
    *,
    about: str,
    command: str,
    seconds: float,
    seeds: list[int],
    checkpoints: dict[str, Path] | None = None,
    as_of: str | None = None,
    folder: Path | None = None,
    facts: dict | None = None,
) -> Path:
    """Write one result; the file appears whole or not at all. Returns its path.

    rows: one dict of numbers and words for each line of the table. about: what was
    measured, in a sentence. checkpoints: name to directory, of the weights measured; a
    name "x (unet, vae)" speaks of these parts alone.
    as_of: the commit it was measured at; the present one if None. facts: what else
    stands in the head, such as how a model was asked.
    """
    found = {
        "about": about,
        "command": command,
        "commit": as_of or commit(),
        "date": date.today().isoformat(),
        "machine": describe(),
        "torch": torch.__version__,
        "seconds": round(seconds),
        "seeds": seeds,
        "checkpoints": {
            known: hash_of(known, Path(directory))
            for known, directory in (checkpoints or {}).items()
        },
        **(facts or {}),
    }
    head = json.dumps(found, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    path = (folder or data_path("results")) / f"{name}.json"
    with atomic_file(path) as file:
        file.write(f'{head},\n "rows": [\n{lines}\n ]\n}}\n'.encode())
    return path


def hash_of(known: str, directory: Path) -> str:
    """The SHA-256 of a checkpoint, or of those parts that its name goes on to list."""
    path = directory / "model.safetensors"
    _, _, parts = known.rstrip(")").partition(" (")
    return weights.sha256_of(path, parts.split(", ")) if parts else weights.sha256(path)


def load_result(name: str) -> dict:
    """A result as `save_result` wrote it. Raises ValueError, naming those there are."""
    path = data_path("results", f"{name}.json")
    if name not in result_names():
        raise ValueError(
            f"there is no result {name!r}; there are: {', '.join(result_names())}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def stale(name: str) -> list[str]:
    """The checkpoints a result speaks of that are no longer those shipped."""
    measured = load_result(name).get("checkpoints", {})
    shipped = data_path("checkpoints")
    return [
        known
        for known, hash_then in measured.items()
        if not (shipped / known.split(" (")[0]).is_dir()
        or hash_of(known, shipped / known.split(" (")[0]) != hash_then
    ]
