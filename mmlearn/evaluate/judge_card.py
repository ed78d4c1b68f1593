"""The judge's card: how often it errs, to be printed above every table that it fills.

    print(card_lines(64))                   # the errors, in words
    table(verdicts, card(64))               # a table without them

The card is the result ``judge-card``, measured on real scenes the judge never saw.
Sensitivity: of what is true, the share said to be. Specificity: of what is not, the
share not said to be. What is not true comes from minimal pairs alone (`WRONG`): these
are the hardest of wrong records. A generator's failures are of all sorts, and most are
easier, so the judge's true specificity is rather higher than its card says; and since a
lower one lowers the corrected score, a model is not flattered by this choice.

The counts take each clause for a witness of its own, and `scored`'s intervals do not;
nor does any card know pictures unlike these: that is what eyes are asked for
(`judge_eyes`).
"""

from mmlearn.evaluate.judge_trials import TWIN
from mmlearn.evaluate.judged import Counts
from mmlearn.evaluate.results import load_result, result_names, stale

NAME = "judge-card"
WRONG = TWIN
HEAD = ("category", "of true", "sensitivity", "of false", "specificity")


def card(size: int) -> dict[str, dict[str, Counts]]:
    """The card for pictures of ``size`` px, as `judged.table` takes it.

    ``{category: {"sensitivity": (k, n), "specificity": (k, n)}}``, of the largest
    measured size that is no larger: more pixels do not make reading harder. Raises
    ValueError where the result is missing or speaks of another judge than the shipped
    one, and for pictures smaller than any that were measured.
    """
    found = {}
    for row in _rows(size)[1]:
        if row["true"] and row["false"]:  # one alone cannot correct anything
            found[row["category"]] = {
                "sensitivity": (row["said true"], row["true"]),
                "specificity": (row["not said true"], row["false"]),
            }
    return found


def card_rows(size: int) -> list[dict]:
    """The same for `show.table`: a row a category, shares with their intervals.

    Show the columns `SHARES` as percents. Raises ValueError as `card` does.
    """
    return [
        {
            "category": row["category"],
            "true": row["true"],
            **{k: row[k] for k in SHARES[:3]},
            "false": row["false"],
            **{k: row[k] for k in SHARES[3:]},
        }
        for row in _rows(size)[1]
    ]


SHARES = tuple(
    f"{name}{end}"
    for name in ("sensitivity", "specificity")
    for end in ("", " low", " high")
)


def card_lines(size: int) -> str:
    """The same in words: a line a category, and which judge it is.

    Raises ValueError as `card` does.
    """
    result, rows = _rows(size)
    name, sha = next(iter(result["checkpoints"].items()))
    px, scenes = rows[0]["px"], max(row["pictures"] for row in rows)
    lines = [
        f"How often the judge errs, on {scenes:,} real scenes at {px} px (95 % "
        "interval):",
        f"{'':<14}{'says yes to what is true':<40}no yes to what is not",
    ]
    for row in rows:
        parts = [
            _percent(row, "sensitivity", row["true"]),
            _percent(row, "specificity", row["false"]),
        ]
        lines.append(f"{row['category']:<14}{parts[0]:<40}{parts[1]}".rstrip())
    lines.append(
        "What is not true: minimal pairs, one fact changed. No yes: denied or left "
        "open."
    )
    lines.append(f"{name} {sha[:8]}, measured at commit {result['commit']}")
    return "\n".join(lines)


def _percent(row: dict, name: str, n: int) -> str:
    if not n:
        return "not asked"
    share, low, high = (100 * row[f"{name}{end}"] for end in ("", " low", " high"))
    return f"{share:.1f} % ({low:.1f} to {high:.1f}) of {n:,}"


def _rows(size: int) -> tuple[dict, list[dict]]:
    """The result, and its rows for pictures of a size."""
    if NAME not in result_names():
        raise ValueError(
            "the judge has no card yet: python -m mmlearn evaluate judge --only card"
        )
    result = load_result(NAME)
    if stale(NAME) or not result["checkpoints"]:
        raise ValueError(
            "the judge's card speaks of another judge than the one shipped: measure it "
            "again with python -m mmlearn evaluate judge --only card"
        )
    measured = sorted({row["px"] for row in result["rows"]})
    known = [px for px in measured if px <= size]
    if not known:
        raise ValueError(
            f"the judge's errors were measured on pictures of {measured[0]} px and "
            f"more, not of {size}"
        )
    wanted = {"px": known[-1], "scenes": "both", "wrong": WRONG}
    return result, [row for row in result["rows"] if wanted.items() <= row.items()]
