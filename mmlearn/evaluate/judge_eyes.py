"""Sheets of pictures that a person answers for, before the judge does.

    python -m mmlearn.evaluate.judge_eyes FOLDER           # 100 spoilt scenes
    python -m mmlearn.evaluate.judge_eyes FOLDER --model text-to-image
    python -m mmlearn.evaluate.judge_eyes FOLDER --merge   # once they are answered

The first two write sheets of twelve numbered pictures, ``questions.json`` with the
clauses to be answered for each, and ``pictures.json``, which says how each was made and
which a person who answers should not open. Neither holds what the judge says. An answer
is true, false, or null where it cannot be said. The third adds the answers to
``data/prompts/judge_eyes.json`` (`judge_seen`).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmlearn.evaluate.clauses import check, clauses, nothing_else
from mmlearn.evaluate.judge_damage import (
    DAMAGES,
    MALFORMED,
    NONE,
    can_be_malformed,
    damaged,
)
from mmlearn.evaluate.judge_seen import (
    SETTINGS,
    Generate,
    generator_of,
    pictures,
    save_eyes,
    thumbnail,
)
from mmlearn.evaluate.judge_trials import SPLITS, TURNS, scene_of, twins
from mmlearn.show.pictures import grid
from mmlearn.world.phrases import caption, name_of
from mmlearn.world.scene import Scene

SEED = 42_000_000
UNANSWERED = "?"
A_SHEET, COLUMNS, LARGE = 12, 4, 224  # pictures, and pixels of an enlarged one


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
    model: str, records: Sequence[Scene], seed: int = SEED, **settings
) -> list[dict]:
    """One picture by a model for each record's caption, not yet looked at.

    settings: the `SETTINGS` that the model is asked with; its own defaults if none.
    Records are asked as in `spoilt_entries`; the other scene is the next one's.
    """
    found = []
    for i, record in enumerate(records):
        how = {"make": "generated", "model": model, "seed": seed + i, **settings}
        how["prompt"] = caption(record)
        asked = _record(i, record, records[(i + 1) % len(records)])
        found.append(_entry(f"{model}-{seed + i}", how, asked))
    return found


def of_a_generator(model: str, n: int, seed: int = SEED) -> list[dict]:
    """``n`` pictures of the prompts that a shipped generator is measured with.

    Prompts stand again, with other seeds, where there are fewer. Raises ValueError for
    an unknown model.
    """
    generator = generator_of(model)
    records = [prompt.record for prompt in generator.prompts() if prompt.record]
    chosen = [records[i % len(records)] for i in range(n)]
    settings = {name: getattr(generator, name) for name in SETTINGS}
    return generated_entries(model, chosen, seed, **settings)


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


def write_sheets(
    entries: Sequence[dict],
    folder: Path,
    generate: Callable[[str], Generate] | None = None,
) -> None:
    """Sheets, ``questions.json`` and ``pictures.json`` in a new folder.

    Raises ValueError where the folder has questions already: they may be answered.
    """
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
            of_a_generator(args.model, args.n, args.seed)
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
