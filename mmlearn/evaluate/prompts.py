"""Prompts to ask a model for: our own in DrawBench's categories, or a reader's file.

    prompts = load_prompts()                      # data/prompts/world_bench.json
    [p for p in prompts if p.record and p.split == "held_out"]

DrawBench's eleven categories are from Saharia et al., arXiv 2205.11487, section 4.4 and
appendix C; none of its prompts is used. A prompt with a record can be judged by a
program; one without is for human raters only.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmlearn.paths import data_path
from mmlearn.world.scene import Scene
from mmlearn.world.splits import held_out

CATEGORIES = (
    *("colors", "conflicting", "counting", "dalle", "descriptions", "gary marcus"),
    *("misspellings", "positional", "rare words", "reddit", "text"),
)
HUMAN_ONLY = ("reddit",)  # no program can judge any of these
COLUMNS = {
    "DrawBench": ("Prompts", "Category"),
    "PartiPrompts": ("Prompt", "Category", "Challenge", "Note"),
}
_FIELDS = ("id", "category", "text", "split", "record")


@dataclass(frozen=True)
class Prompt:
    """One prompt, and what a picture of it must hold.

    split: "seen" where every combination that it names was trained on, "held_out"
    where one was not (`mmlearn.world.splits`), None where there is no record.
    challenge: PartiPrompts' second grouping, for a reader's file of those.
    """

    id: str
    category: str
    text: str
    split: str | None = None
    record: Scene | None = None
    challenge: str | None = None

    def to_dict(self) -> dict:
        """What stands in data/prompts: plain words, lists and numbers."""
        record = None if self.record is None else self.record.to_dict()
        return {name: getattr(self, name) for name in _FIELDS[:4]} | {"record": record}


def fingerprint(prompts: Sequence[Prompt]) -> str:
    """The SHA-256 of a list of prompts, by which results know that they asked alike."""
    listed = json.dumps([p.to_dict() for p in prompts], sort_keys=True)
    return hashlib.sha256(listed.encode()).hexdigest()


def held_out_rules(record: Scene) -> tuple[str, ...]:
    """The held-out rules that a record falls under *and its caption tells*.

    A fox in a style held out for foxes is no held-out prompt unless the style is said.
    """
    told = "style" in record.says
    return tuple(rule for rule in held_out(record) if told or rule != "thing-style")


def load_prompts(path: str | Path | None = None) -> list[Prompt]:
    """Our own prompts, or those of a reader's file.

    A ``.json`` file is a list like ours: id, category, text, split, record. Any other
    is a table, of commas or of tabs, with the columns of DrawBench's sheet (Prompts,
    Category) or of PartiPrompts (Prompt, Category, Challenge, Note): its prompts have
    no records, and ids by line. Raises ValueError, with one sentence, for a file that
    is missing, empty or not UTF-8, for other columns, for a line that lacks a cell,
    and for an id that stands twice.
    """
    path = Path(path or data_path("prompts", "world_bench.json"))
    if not path.is_file():
        raise ValueError(f"there is no file of prompts {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    if not text.strip():
        raise ValueError(f"{path} is empty: a file of prompts holds at least one")
    ours = path.suffix.lower() == ".json"
    prompts = (_of_json if ours else _of_table)(path, text)
    if not prompts:
        raise ValueError(f"{path} holds no prompt: it must have at least one")
    seen = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise ValueError(f"{path} has two prompts with the id {prompt.id!r}")
        seen.add(prompt.id)
    return prompts


def _of_json(path: Path, text: str) -> list[Prompt]:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as problem:
        raise ValueError(f"{path} is no JSON: {problem}") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path} must be a list of prompts, one object each")
    return [_prompt(path, number, entry) for number, entry in enumerate(entries, 1)]


def _prompt(path: Path, number: int, entry) -> Prompt:
    where = f"prompt {number} of {path}"
    if not isinstance(entry, dict) or set(entry) != set(_FIELDS):
        found = ", ".join(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{where} must have {', '.join(_FIELDS)}, not {found}")
    for name in _FIELDS[:3]:
        if not isinstance(entry[name], str) or not entry[name].strip():
            raise ValueError(f"{where} has no {name}: it must be words")
    if entry["split"] not in ("seen", "held_out", None):
        raise ValueError(
            f"the split of {where} must be seen, held_out or null, "
            f"not {entry['split']!r}"
        )
    try:
        record = entry["record"] and Scene.from_dict(entry["record"])
    except (ValueError, AttributeError) as problem:
        raise ValueError(f"{where} has a bad record: {problem}") from None
    return Prompt(**(entry | {"record": record}))


def _of_table(path: Path, text: str) -> list[Prompt]:
    text = text.lstrip("\r\n")
    head = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in head else ","
    # PartiPrompts' sheet is not quoted: a quotation mark there is only a mark.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    lines = io.StringIO(text, newline="")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, quoting=quoting))
    except csv.Error as problem:
        raise ValueError(f"{path} is no table of prompts: {problem}") from None
    columns = tuple(cell.strip() for cell in rows[0])
    kind = next((k for k, named in COLUMNS.items() if set(named) <= set(columns)), None)
    if kind is None:
        expected = " or ".join(f"{', '.join(c)} ({k})" for k, c in COLUMNS.items())
        raise ValueError(
            f"the columns of {path} are {', '.join(columns)}; expected are {expected}"
        )
    prompts = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        text, category = cells.get(COLUMNS[kind][0]), cells.get("Category")
        if not text or not category or len(row) > len(columns):
            raise ValueError(
                f"row {number} of {path} must have {len(columns)} cells, a prompt and "
                f"a category among them, not {row}"
            )
        name = f"{kind.lower()}-{number - 1:04}"
        challenge = cells.get("Challenge") or None
        prompts.append(Prompt(name, category, text, challenge=challenge))
    return prompts
