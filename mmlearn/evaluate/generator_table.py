"""The bench's tables, as they are printed: aligned, under the card of their judge."""

from collections.abc import Sequence

from mmlearn.evaluate.judged import Counts
from mmlearn.show.tables import LEFT, MISSING, RIGHT, as_percent, as_text

Card = dict[str, dict[str, Counts]]


def card_of(size: int) -> tuple[Card | None, str]:
    """The shipped judge's errors at a size in pixels, and the lines that say them.

    Where they are not known: None, and a line that says so.
    """
    from mmlearn.evaluate.judge_card import card, card_lines

    try:
        return card(size), card_lines(size)
    except ValueError as problem:
        return None, no_card(size, str(problem))


def no_card(size: int, reason: str) -> str:
    """The line that stands where a card should."""
    return f"No score is corrected at {size} px: {reason}"


def as_lines(
    rows: Sequence[dict],
    names: Sequence[str],
    more: Sequence[str] = (),
    title: str = "",
) -> str:
    """Rows as `judged.table` makes them, in letters of equal width.

    names: the columns that say what was judged; of equal rows the first is said once,
    with an empty line before the next. more: columns of numbers at the end. Corrected
    shares are shown if any row has one.
    """
    corrected = any(row.get("corrected") is not None for row in rows)
    columns = [*names, "right", "share", "95 %"]
    columns += ["corrected", "95 %"] if corrected else []
    columns += ["abstained", *more]
    lines, last = [], None
    for row in rows:
        own = [MISSING if row[name] is None else str(row[name]) for name in names]
        if len(names) > 1 and own[0] == last:
            own[0] = ""
        elif len(names) > 1:
            lines += [[""] * len(columns)] if last is not None else []
            last = own[0]
        line = [*own, f"{row['right']:,}/{row['n']:,}", as_percent(row["share"])]
        line.append(_span(row["low"], row["high"]))
        if corrected:
            share = row.get("corrected")
            line.append(MISSING if share is None else as_percent(share))
            line.append(_span(row.get("corrected_low"), row.get("corrected_high")))
        line.append(f"{row['abstained']:,}")
        lines.append(line + [_number(row.get(name)) for name in more])
    sides = [LEFT] * len(names) + [RIGHT] * (len(columns) - len(names))
    return as_text(columns, lines, sides, title)


def hardest(rows: Sequence[dict], most: int = 8) -> list[str]:
    """Lines on the prompts that fail most, of `by_prompt`'s rows; none if none does."""
    failing = sorted(
        (row for row in rows if row["right"] < row["pictures"]),
        key=lambda row: row["right"] / row["pictures"],
    )
    lines = ["The prompts that fail most:"] if failing else []
    for row in failing[:most]:
        parts = [f"{k} wrong in {name}" for name, k in row["wrong in"].items()]
        parts += [f"{k} open in {name}" for name, k in row["open in"].items()]
        split = " (held out)" if row["split"] == "held_out" else ""
        right = f"{row['right']} of {row['pictures']} right"
        lines.append(f"  {row['prompt']}{split}: {right}; {', '.join(parts)}")
    if len(failing) > most:
        lines.append(f"  and {len(failing) - most} more with a picture not right")
    return lines


def _span(low: float | None, high: float | None) -> str:
    return MISSING if low is None else f"{100 * low:.0f}–{100 * high:.0f}"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3g}"
