"""How often the judge says what a person's eyes said of the same pictures.

compared(load_eyes(), asking(judge.read))     # rows of agreement, then what differs
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from mmlearn.evaluate.clauses import CATEGORIES, NOTHING_ELSE
from mmlearn.evaluate.judge import agreed
from mmlearn.evaluate.judge_seen import Generate, pictures
from mmlearn.evaluate.judge_trials import ROWS, Ask, share_of
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE
from mmlearn.world.scene import Scene


def compared(
    entries: Sequence[dict],
    ask: Ask,
    generate: Callable[[str], Generate] | None = None,
) -> list[dict]:
    """The judge's answers beside those of eyes: rows of agreement, then what differs.

    A row for each sort of pictures ("spoilt", a model's name, "all") and category.
    said: clauses that eyes could answer; agreed, disagreed, open: what the judge said
    of these. share: agreed of those that it answered, with its interval over pictures
    drawn again; of all: agreed of all said. not said: eyes could not tell. A row with
    an "id" is a disagreement: the clause, and what either says. Raises ValueError as
    `pictures`, and where an entry's clauses are not its record's.
    """
    groups: dict[str, list[dict]] = {}
    for entry in entries:
        groups.setdefault(entry["how"].get("model", "spoilt"), []).append(entry)
    answers = [
        answer
        for sort, group in groups.items()
        for answer in _answers(sort, group, ask, pictures(group, generate))
    ]
    rows = []
    for sort in (*groups, "all"):
        chosen = [a for a in answers if sort in (a["pictures"], "all")]
        for category in ROWS:
            both = [a for a in chosen if _counts(a, category)]
            if both:
                words = {"pictures": sort, "category": category}
                rows.append(words | _agreement(both))
    return rows + [a for a in answers if a["category"] != WHOLE and _differ(a)]


def _answers(sort: str, group: list[dict], ask: Ask, images: Tensor) -> list[dict]:
    records = [Scene.from_dict(entry["record"]) for entry in group]
    both = ask(images, range(len(group)), records)
    found = []
    for entry, *verdicts in zip(group, *both, strict=True):
        verdict = agreed(*verdicts)
        asked = {clause.text: clause.category for clause in verdict.clauses}
        if set(asked) != set(entry["eyes"]):
            raise ValueError(
                f"{entry['id']!r} answers other clauses than its record has: "
                f"they are {'; '.join(asked)}"
            )
        said = dict(zip(asked, verdict.answers, strict=True))
        listed = [(asked[t], t, entry["eyes"][t], said[t]) for t in asked]
        rest = entry["nothing_else"], verdict.nothing_else
        listed.append((NOTHING_ELSE, NOTHING_ELSE, *rest))
        eyes = entry["eyes"].values()
        whole = False if False in eyes else None if None in eyes else True
        listed.append((WHOLE, WHOLE, whole, verdict.whole))
        names = ("category", "clause", "eyes", "judge")
        found += [
            {"id": entry["id"], "pictures": sort} | dict(zip(names, one, strict=True))
            for one in listed
        ]
    return found


def _counts(answer: dict, category: str) -> bool:
    if category == ALL_CLAUSES:
        return answer["category"] in CATEGORIES
    return answer["category"] == category


def _differ(answer: dict) -> bool:
    both = answer["eyes"], answer["judge"]
    return None not in both and both[0] != both[1]


def _agreement(answers: list[dict]) -> dict:
    said = [a for a in answers if a["eyes"] is not None]
    decided = [(a["id"], not _differ(a)) for a in said if a["judge"] is not None]
    agree = sum(same for _, same in decided)
    row = {"said": len(said), "agreed": agree, "disagreed": len(decided) - agree}
    row |= {"open": len(said) - len(decided)} | share_of(decided)
    row["of all"] = round(agree / len(said), 4) if said else None
    return row | {"not said": len(answers) - len(said)}
