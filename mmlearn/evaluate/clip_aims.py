"""What was hoped of the shipped CLIP before it was trained, and what came of it."""

import json

from mmlearn import weights, world
from mmlearn.clip import CLIP
from mmlearn.evaluate.clip import naming, retrieval
from mmlearn.weights.atomic import atomic_file

NAMED = f"named, of {len(world.everyday())} names"


def aims(model: CLIP) -> list[dict]:
    """Aims against measurements: one row each, with its 95 % interval."""
    named, found = naming(model), retrieval(model)

    def at_once(way: str, split: str) -> dict:
        wanted = {"way": way, "split": split, "recall at": 1}
        return next(row for row in found if wanted.items() <= row.items())

    def of(asked: str, artist: str) -> dict:
        wanted = {"asked": asked, "artist": artist}
        return next(row for row in named if wanted.items() <= row.items())

    scenes = at_once("caption from picture", "test")
    new = at_once("caption from picture", "held_out")
    rows = [
        _row("new scenes: own caption among 100", 0.85, scenes),
        _row("scenes of held-out combinations: the same", None, new),
    ]
    for artist in world.TRAIN_ARTISTS:
        rows.append(_row(f"{artist}, seen pairs: {NAMED}", 0.95, of("seen", artist)))
    for artist, aim in (("twemoji", 0.65), ("openmoji", 0.25), ("openmoji_line", None)):
        title = f"{artist}, never seen: {NAMED}"
        rows.append(_row(title, aim, of("new artist", artist)))
    for artist in world.TRAIN_ARTISTS:
        title = f"{artist}, held-out pairs: {NAMED}"
        rows.append(_row(title, 0.60, of("held-out pair", artist)))
    return rows


def _row(title: str, aim: float | None, measured: dict) -> dict:
    share = measured["share"]
    row = {"question": title, "aim": aim, "measured": share}
    row |= {"low": measured["low"], "high": measured["high"]}
    return row | {"met": None if aim is None else bool(share >= aim)}


def write_into_card(directory, rows: list[dict]) -> None:
    """Add the table to a checkpoint's card; the weights are left as they are."""
    card = weights.load_card(directory) | {"aims": rows}
    with atomic_file(directory / "card.json") as file:
        file.write((json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
