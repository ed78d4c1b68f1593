"""Tables of results: HTML on a page, aligned text everywhere else.

The HTML names no colour and no background, so it reads on light and on dark pages.
"""

import html
import math
import numbers
import re
import unicodedata
from collections.abc import Mapping, Sequence

MISSING = "–"
THIN = "\u202f"  # a thin space that does not break, as in 93 %
LEFT, RIGHT = "left", "right"


def table(
    rows: Sequence[Mapping] | Sequence[Sequence],
    columns: Sequence[str] | None = None,
    *,
    title: str = "",
    digits: int | Mapping[str, int] | None = None,
    percent: Sequence[str] = (),
) -> None:
    """Show a table, numbers to the right and words to the left.

    rows: dicts, such as the rows of a result, or lists with as many cells as there
    are columns. columns: which to show, in order (default: every key of the dicts);
    lists need it. percent: the columns of shares in [-1, 1], shown as 93 %. digits:
    decimals of the floats outside those columns, or ``{column: decimals}`` for any
    column; by default three digits of a column's largest float and at least two of
    its smallest, and whole percents. Whole numbers get thousands separators; None and
    a missing key become –. A column that holds words as well stands to the left.

    A notebook shows HTML, with the text as fallback; elsewhere the text is printed.
    Raises ValueError for no rows, rows of another kind or length, a column that is not
    there, and percents that are no shares.
    """
    percent = [percent] if isinstance(percent, str) else list(percent)
    own_digits = isinstance(digits, Mapping)
    for number in digits.values() if own_digits else [digits or 0]:
        if not isinstance(number, numbers.Integral) or number < 0:
            raise ValueError(f"digits must be a whole number from 0 up, not {number!r}")
    columns, cells = to_cells(rows, columns)
    for name in [*percent, *(digits if own_digits else ())]:
        if name not in columns:
            raise ValueError(
                f"table has no column {name!r}; it has: {', '.join(columns)}"
            )
    written, sides = [], []
    for name, values in zip(columns, zip(*cells, strict=True), strict=True):
        own = digits.get(name) if own_digits else digits
        if name in percent:
            own = own if own_digits else 0
            written.append([one_cell(v, own or 0, share_of=name) for v in values])
        else:
            own = decimals(values) if own is None else own
            written.append([one_cell(v, own) for v in values])
        sides.append(RIGHT if all(map(is_number, flat(values))) else LEFT)
    lines = [list(line) for line in zip(*written, strict=True)]
    both = (form(columns, lines, sides, str(title)) for form in (as_text, as_html))
    show_table(*both)


def show_table(text: str, page: str) -> None:
    """Send both forms to the page; outside a notebook, print the text."""
    from IPython import get_ipython

    if get_ipython() is None:
        print(text)
        return
    from IPython.display import display

    display({"text/html": page, "text/plain": text}, raw=True)


def to_cells(rows, columns) -> tuple[list[str], list[list]]:
    """The columns' names and the rows' cells, or one sentence saying what is amiss."""
    rows = plain(rows)
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise ValueError(
            f"rows must be a list of dicts or of lists, not {type(rows).__name__}"
        )
    if not rows:
        raise ValueError("table needs at least one row, and got none")
    if isinstance(columns, str):
        raise ValueError(f"columns must be a list of names, not the text {columns!r}")
    if all(isinstance(row, Mapping) for row in rows):
        known = list(dict.fromkeys(key for row in rows for key in row))
        columns = known if columns is None else list(columns)
        for name in columns:
            if name not in known:
                raise ValueError(
                    f"no row has the column {name!r}; they have: "
                    f"{', '.join(map(str, known))}"
                )
        cells = [[row.get(name) for name in columns] for row in rows]
    elif all(map(is_list, rows)):
        if columns is None:
            raise ValueError("rows that are lists need columns=, the columns' names")
        columns, cells = list(columns), [list(row) for row in rows]
        for i, row in enumerate(cells):
            if len(row) != len(columns):
                raise ValueError(
                    f"row {i} has {len(row)} cells for {len(columns)} columns"
                )
    else:
        raise ValueError(
            "rows must be all dicts or all lists, not something else or both"
        )
    if not columns:
        raise ValueError("table needs at least one column, and got none")
    cells = [[plain(value) for value in row] for row in cells]
    return [str(name) for name in columns], cells


def plain(value):
    """A tensor's or array's numbers as Python's own."""
    return value.tolist() if hasattr(value, "tolist") else value


def is_number(value) -> bool:
    """Whether it is written as a number: True and False are words."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def decimals(values: Sequence) -> int | None:
    """How many decimals a column's floats need; None if only powers of ten will do."""
    floats = [
        v for v in flat(values) if isinstance(v, float) and math.isfinite(v) and v
    ]
    if not floats:
        return 1
    sizes = [math.floor(math.log10(abs(v))) for v in floats]
    wanted = max(2 - max(sizes), 1 - min(sizes), 0)
    if wanted > 6:
        return None
    while wanted > 1 and all(round(v, wanted - 1) == v for v in floats):
        wanted -= 1
    return wanted


def is_list(value) -> bool:
    """Whether a cell or row holds several values."""
    return isinstance(value, list | tuple)


def flat(values: Sequence) -> list:
    """The values that are there, those within lists too."""
    found = [v for value in values for v in (value if is_list(value) else [value])]
    return [v for v in found if v is not None]


def one_cell(value, digits: int | None, share_of: str | None = None) -> str:
    """One cell as text. share_of: the name of its column, if that holds shares."""
    if value is None:
        return MISSING
    if is_list(value):
        return ", ".join(one_cell(v, digits, share_of) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not is_number(value):
        return re.sub(r"[ \t\r\n]+", " ", str(value)).strip(" ")
    if share_of is not None:
        if not abs(value) <= 1:
            raise ValueError(
                f"the column {share_of!r} is shown as percent and must hold shares "
                f"from -1 to 1, not {value}"
            )
        return as_percent(value, digits or 0)
    if isinstance(value, numbers.Integral):
        return f"{value:,}"
    if digits is None:
        return f"{value:.3g}"
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no minus before zero


def as_percent(share: float, digits: int = 0) -> str:
    """A share as text: 0.93 is 93 %, with a thin space that does not break."""
    return f"{round(100 * share, digits) + 0.0:.{digits}f}{THIN}%"


def as_text(columns, lines, sides, title: str) -> str:
    """The table in letters of equal width: title, names, a rule and the rows."""
    widths = [
        max(map(text_width, column)) for column in zip(columns, *lines, strict=True)
    ]

    def line(cells):
        parts = []
        for cell, width, side in zip(cells, widths, sides, strict=True):
            space = " " * (width - text_width(cell))
            parts.append(space + cell if side == RIGHT else cell + space)
        return "  ".join(parts).rstrip(" ")

    rule = "  ".join("─" * width for width in widths)
    head = [title] if title else []
    return "\n".join([*head, line(columns), rule, *map(line, lines)])


def text_width(text: str) -> int:
    """How many letters wide it is printed: 中 takes two places, an accent none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def as_html(columns, lines, sides, title: str) -> str:
    """The same as HTML; words in the first column name their rows."""
    head = "".join(
        html_cell(name, side, "col") for name, side in zip(columns, sides, strict=True)
    )
    body = []
    for line in lines:
        scopes = ["row" if sides[0] == LEFT else None] + [None] * (len(line) - 1)
        found = map(html_cell, line, sides, scopes)
        body.append(f"<tr>{''.join(found)}</tr>\n")
    caption = (
        '<caption style="caption-side:top;text-align:left;padding:0.3em 0.5em">'
        f"{html.escape(title)}</caption>\n"
    )
    return (
        f'<table class="mmlearn">\n{caption if title else ""}'
        f"<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{''.join(body)}</tbody>\n</table>"
    )


def html_cell(text: str, side: str, scope: str | None) -> str:
    """One cell. ``align`` says it once more for pages that drop styles."""
    tag = "td" if scope is None else "th"
    scope = "" if scope is None else f' scope="{scope}"'
    weight = ";font-weight:normal" if "row" in scope else ""
    return (
        f'<{tag}{scope} align="{side}" style="text-align:{side}{weight}">'
        f"{html.escape(text)}</{tag}>"
    )
