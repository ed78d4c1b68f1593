"""The judge beside a person's eyes, on pictures whose truth no record knows.

    python -m mmlearn.evaluate.judge_eyes FOLDER           # 100 spoilt scenes
    python -m mmlearn.evaluate.judge_eyes FOLDER --model text-to-image
    python -m mmlearn.evaluate.judge_eyes FOLDER --merge   # once they are answered

The first two write sheets of twelve numbered pictures, ``questions.json`` with the
clauses to be answered for each, and ``pictures.json``, which says how each was made and
which a person who answers should not open. Neither holds what the judge says. The third
adds the answers to ``data/prompts/judge_eyes.json``, a list of entries:

    {"id": "spoilt-7", "how": {...}, "seen": "8f…", "record": {...},
     "eyes": {clause: true, false, or null for "cannot be said"}, "nothing_else": true}

A picture is not kept, but made again as ``how`` says: {"make": "spoilt", "scene",
"damage", "seed", "px"} or {"make": "generated", "model", "prompt", "seed"}. ``seen``
is its thumbnail of 4 x 4 pixels: where it no longer fits (a model was trained anew),
the answers are about another picture, and are refused.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import text_to_image, world
from mmlearn.evaluate.clauses import check, clauses, nothing_else
from mmlearn.evaluate.judge_damage import (
    DAMAGES,
    MALFORMED,
    NONE,
    can_be_malformed,
    damaged,
)
from mmlearn.evaluate.judge_trials import SPLITS, TURNS, scene_of, twins
from mmlearn.evaluate.prompts import load_prompts
from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_file
from mmlearn.world.phrases import caption, name_of
from mmlearn.world.scene import Scene

SEED = 42_000_000
FIELDS = ("id", "how", "seen", "record", "eyes", "nothing_else")
UNANSWERED = "?"
ALIKE = 6  # levels of 256 by which a thumbnail may differ, in the mean
A_SHEET, COLUMNS, LARGE = 12, 4, 224  # pictures, and pixels of an enlarged one
Generate = Callable[..., Tensor]  # (prompts, seed=…) -> (n, 3, h, w)


def pictures(
    entries: Sequence[dict], generate: Callable[[str], Generate] | None = None
) -> Tensor:
    """The pictures that entries speak of, made again: (n, 3, h, w) in [-1, 1].

    generate: from a model's name to its ``generate(prompts, seed=…)``; by default the
    shipped generators'. Raises ValueError where a picture is not the one that was
    looked at, and for pictures of several sizes.
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
        image = generate(how["model"])([how["prompt"]], seed=how["seed"])
        return image[0].detach().cpu().float().clamp(-1, 1)
    raise ValueError(
        f"a picture is made 'spoilt' or 'generated', not {how.get('make')!r}"
    )


def _shipped(model: str) -> Generate:
    from mmlearn.evaluate.generators import GENERATORS

    if model not in GENERATORS:
        raise ValueError(
            f"there is no generator {model!r}; there are: {', '.join(GENERATORS)}"
        )
    return GENERATORS[model].load(None).generate


def thumbnail(image: Tensor) -> str:
    """A picture (3, h, w) as 4 x 4 pixels, in hexadecimal."""
    small = F.adaptive_avg_pool2d(image.float(), 4)
    return bytes(small.add(1).mul(127.5).round().byte().flatten().tolist()).hex()


def same_picture(seen: str, image: Tensor) -> bool:
    """Whether a thumbnail is a picture's, up to what machines may differ by."""
    before, now = (list(bytes.fromhex(text)) for text in (seen, thumbnail(image)))
    apart = [abs(a - b) for a, b in zip(before, now, strict=True)]
    return sum(apart) / len(apart) <= ALIKE


def spoilt_entries(n: int, seed: int = SEED) -> list[dict]:
    """``n`` spoilt scenes of 64 px, of all damages and kinds, not yet looked at.

    Of half of them their own record is asked, of a quarter a twin's, and of a quarter
    another scene's of the same kind.
    """
    damages, found = [name for name in DAMAGES if name != NONE], []
    for i in range(n):
        round_, number = divmod(i, len(damages))
        damage, turn, split = damages[number], i, SPLITS[i % len(SPLITS)]
        scene = scene_of(i, turn % len(TURNS), split, seed)
        while damage in MALFORMED and not can_be_malformed(scene):
            turn += 1
            scene = scene_of(i, turn % len(TURNS), split, seed)
        other = scene_of(n + i, turn % len(TURNS), split, seed)
        how = {"make": "spoilt", "damage": damage, "seed": seed + i, "px": 64}
        how["scene"] = scene.to_dict()
        # By rounds of all damages, so that each is asked all three.
        record = _record(round_ + number, scene, other)
        found.append(_entry(f"spoilt-{seed + i}", how, record))
    return found


def generated_entries(
    model: str, records: Sequence[Scene], seed: int = SEED
) -> list[dict]:
    """One picture by a model for each record's caption, not yet looked at.

    Records are asked as in `spoilt_entries`; the other scene is the next one's.
    """
    found = []
    for i, record in enumerate(records):
        how = {"make": "generated", "model": model, "seed": seed + i}
        how["prompt"] = caption(record)
        asked = _record(i, record, records[(i + 1) % len(records)])
        found.append(_entry(f"{model}-{seed + i}", how, asked))
    return found


def _record(number: int, own: Scene, other: Scene) -> Scene:
    if number % 4 == 3:
        return other
    options = twins(own, number) if number % 4 == 1 else []
    return options[number // 4 % len(options)][1] if options else own


def _entry(name: str, how: dict, record: Scene) -> dict:
    asked = {clause.text: UNANSWERED for clause in clauses(record)}
    return {
        "id": name,
        "how": how,
        "record": record.to_dict(),
        "eyes": asked,
        "nothing_else": UNANSWERED,
    }


def stand_ins(n: int) -> list[dict]:
    """Spoilt scenes answered by what is true of them, for trying things out."""
    answered = []
    for entry in spoilt_entries(n):
        how, record = entry["how"], Scene.from_dict(entry["record"])
        scene = Scene.from_dict(how["scene"])
        _, truth = damaged(scene, how["damage"], how["seed"], how["px"])
        said = {c.text: truth and check(c, truth) for c in clauses(record)}
        rest = truth and check(nothing_else(record), truth)
        answered.append(entry | {"eyes": said, "nothing_else": rest})
    return answered


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


def write_sheets(
    entries: Sequence[dict],
    folder: Path,
    generate: Callable[[str], Generate] | None = None,
) -> None:
    """Sheets, ``questions.json`` and ``pictures.json`` in a new folder.

    Raises ValueError where the folder has questions already: they may be answered.
    """
    from mmlearn.show.pictures import grid

    folder = Path(folder)
    if (folder / "questions.json").exists():
        raise ValueError(
            f"{folder} has questions already: merge their answers, or choose another "
            "folder"
        )
    images = pictures(entries, generate)
    entries = [e | {"seen": thumbnail(i)} for e, i in zip(entries, images, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    questions = []
    for start in range(0, len(entries), A_SHEET):
        shown = images[start : start + A_SHEET]
        sheet = f"sheet_{start // A_SHEET + 1:02d}.png"
        numbers = [str(start + k + 1) for k in range(len(shown))]
        scale = max(1, round(LARGE / images.shape[-1]))
        grid(shown, numbers, columns=COLUMNS, scale=scale).save(folder / sheet)
        for number, entry in zip(numbers, entries[start:], strict=False):
            questions.append({"number": int(number), "sheet": sheet} | _asked(entry))
    for name, content in (("questions", questions), ("pictures", entries)):
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _asked(entry: dict) -> dict:
    """What a person is asked: an entry without how its picture was made."""
    items = Scene.from_dict(entry["record"]).items
    named = ", ".join(dict.fromkeys(name_of(item) for item in items))
    return {
        "clauses": entry["eyes"],
        "nothing but": named,
        "nothing_else": entry["nothing_else"],
    }


def merge(folder: Path, path: Path | None = None) -> Path:
    """Add the answers in a folder's ``questions.json`` to those of eyes.

    An answer is true, false, or null where it cannot be said. Raises ValueError where
    one is missing or is something else, naming its number.
    """
    found = []
    read = (
        json.loads((Path(folder) / name).read_text(encoding="utf-8"))
        for name in ("questions.json", "pictures.json")
    )
    for question, entry in zip(*read, strict=True):
        said = [*question["clauses"].values(), question["nothing_else"]]
        if wrong := [a for a in said if a is not None and not isinstance(a, bool)]:
            raise ValueError(
                f"picture {question['number']} has the answer {wrong[0]!r}: each is "
                "true, false, or null where it cannot be said"
            )
        if list(question["clauses"]) != list(entry["eyes"]):
            raise ValueError(
                f"picture {question['number']} answers other clauses than were asked"
            )
        answers = {"eyes": question["clauses"]}
        found.append(entry | answers | {"nothing_else": question["nothing_else"]})
    return save_eyes(found, path)


def records_for(model: str, n: int, seed: int = SEED) -> list[Scene]:
    """What to ask a model for: what it was made to draw, or else our own prompts.

    Raises ValueError where there are fewer than ``n``.
    """
    if model == "text-to-image":
        grammar = text_to_image.GRAMMAR
        return [world.compose(grammar, seed, i) for i in range(n)]
    records = [prompt.record for prompt in load_prompts() if prompt.record]
    if not 1 <= n <= len(records):
        raise ValueError(
            f"there are {len(records)} prompts with a record: ask for 1 to "
            f"{len(records)} pictures, not {n}"
        )
    return [records[i * len(records) // n] for i in range(n)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status (2: the request was wrong)."""
    parser = argparse.ArgumentParser(
        "python -m mmlearn.evaluate.judge_eyes",
        description="Pictures to be looked at, and the answers merged.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=100, help="pictures; default: 100")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--model", help="pictures by this generator; default: spoilt")
    parser.add_argument(
        "--merge", action="store_true", help="answers are in: keep them"
    )
    args = parser.parse_args(arguments)
    try:
        if args.merge:
            print(merge(args.folder))
            return 0
        entries = (
            generated_entries(
                args.model, records_for(args.model, args.n, args.seed), args.seed
            )
            if args.model
            else spoilt_entries(args.n, args.seed)
        )
        write_sheets(entries, args.folder)
    except ValueError as error:
        print(f"judge_eyes: {error}", file=sys.stderr)
        return 2
    print(f"{len(entries)} pictures in {args.folder}: answer its questions.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
