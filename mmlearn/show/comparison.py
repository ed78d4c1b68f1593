"""A dot plot (Cleveland 1984): what was measured for each label, by several series.

Positions on one scale are compared more surely than lengths or colours, and a dot can
carry its interval.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.transforms import ScaledTranslation

from mmlearn.show.figures import COLOURS, DPI, INK, PAPER, axes, figure
from mmlearn.show.pictures import text_width, wrap
from mmlearn.show.tables import THIN, as_percent

MARKS = [  # shape, filled, colour, size in points: told apart without colour
    ("o", True, "blue", 8.0),
    ("s", False, "vermilion", 5.6),
    ("^", True, "green", 9.0),
    ("D", False, "purple", 4.6),
    ("X", True, "orange", 8.0),
]
WIDTH = 640  # of the figure; these are pixels
PITCH, GAP, LEAST = 11, 16, 28  # between dots, between labels, of a label at least
LABEL, LINE = 200, 17  # a longer label is wrapped; a line of text
POINT = 72 / DPI  # points a pixel
EVERY, WITH_INTERVALS = 24, 12  # so many numbers at most are read out in the alt text


def dots(
    labels: Sequence[str],
    series: Mapping[str, Sequence],
    *,
    reference: Mapping[str, float] | None = None,
    xlabel: str = "",
    title: str = "",
    percent: bool = True,
    alt: str | None = None,
    ax=None,
) -> None:
    """One line a label, the first on top; on it one marker a series.

    series: ``{name: values}``, at most five, each with one value a label: a number, a
    triple ``(value, low, high)`` whose interval is drawn as a whisker, or None for no
    marker. reference: labelled vertical lines, such as ``{"chance": 0.025}``.
    percent: all numbers are shares in [0, 1], and the axis runs from 0 to 100 %;
    otherwise it fits the data. Raises ValueError for other counts, numbers that are
    none or no shares, and intervals without their value.
    """
    labels = [str(label) for label in labels]
    data = to_readings(labels, series, percent)
    marks = {name: to_number(value, f"the reference {name!r}", percent)
             for name, value in (reference or {}).items()}  # fmt: skip
    fig, axis = (None, ax) if ax is not None else axes(size=(WIDTH / DPI, 3))
    draw_frame(axis, labels, limits(data, marks, percent), percent)
    draw_series(axis, data)
    if fig is not None:
        fig.draw_without_rendering()  # now the labels have taken their place
    room = axis.get_window_extent().width * DPI / axis.figure.dpi
    flags = draw_reference(axis, marks, room)
    axis.set_xlabel(xlabel)
    axis.set_title(wrap(title, int(room * 0.76)), pad=(8 + flags * LINE) * POINT)
    if len(data) > 1:
        draw_legend(axis, list(data), room, 30 + 22 * bool(xlabel))
    if fig is not None:
        tall = max(line_height(label) for label in labels)
        fit_height(fig, axis, len(labels) * max(tall, GAP + PITCH * len(data)))
        head = ", ".join(text for text in (title, xlabel) if text)
        figure(fig, alt=alt or describe_dots(labels, data, marks, head, percent))


def to_readings(labels, series, percent: bool) -> dict[str, list]:
    """``{name: [(value, low, high) or None, …]}``, or one sentence on what is amiss."""
    if not labels:
        raise ValueError("dots needs at least one label, and got none")
    if not isinstance(series, Mapping) or not series:
        raise ValueError("series must be a dict {name: values} with at least one name")
    if len(series) > len(MARKS):
        raise ValueError(
            f"dots tells at most {len(MARKS)} series apart, and got {len(series)}"
        )
    data = {}
    for name, values in series.items():
        if len(values) != len(labels):
            raise ValueError(
                f"{name!r} has {len(values)} values for {len(labels)} labels"
            )
        data[str(name)] = [
            to_reading(value, f"{name!r} at {label!r}", percent)
            for label, value in zip(labels, values, strict=True)
        ]
    if not any(reading for readings in data.values() for reading in readings):
        raise ValueError("dots needs at least one value, and all of them are None")
    return data


def to_reading(value, what: str, percent: bool) -> tuple[float, float, float] | None:
    """A number or a triple as (value, low, high); a number is its own interval."""
    if value is None:
        return None
    if np.ndim(value) == 0:
        return (to_number(value, what, percent),) * 3
    if len(value) != 3:
        raise ValueError(
            f"{what} must be a number or (value, low, high), not {len(value)} numbers"
        )
    middle, low, high = (to_number(number, what, percent) for number in value)
    if not low <= middle <= high:
        raise ValueError(
            f"{what} is {middle:.4g}, outside its interval from {low:.4g} to {high:.4g}"
        )
    return middle, low, high


def to_number(value, what: str, percent: bool) -> float:
    """A finite number; with percent, a share."""
    number = math.nan
    if not isinstance(value, str | bytes | bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            pass
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a number, not {value!r}")
    if percent and not 0 <= number <= 1:
        raise ValueError(
            f"{what} must be a share in [0, 1], not {number:.4g}; percent=False shows "
            "other numbers"
        )
    return number


def limits(data, marks, percent: bool) -> tuple[float, float]:
    """Where the axis begins and ends."""
    if percent:
        return 0.0, 1.0
    found = [
        number for readings in data.values() for r in readings if r for number in r
    ]
    low, high = min([*found, *marks.values()]), max([*found, *marks.values()])
    spare = 0.06 * (high - low or abs(high) or 1)
    return low - spare, high + spare


def draw_frame(axis, labels, ends: tuple[float, float], percent: bool) -> None:
    """The labels, a thin line for each, and the scale."""
    where = np.arange(len(labels))
    axis.set(xlim=ends, ylim=(len(labels) - 0.5, -0.5))
    axis.set_yticks(where, [wrap(label, LABEL) for label in labels])
    axis.tick_params(axis="y", length=0, pad=9)
    axis.spines["left"].set_visible(False)
    axis.hlines(where, 0, 1, transform=axis.get_yaxis_transform(), linewidth=0.8,
                color=COLOURS["grey"], alpha=0.35, zorder=0)  # fmt: skip
    if percent:
        axis.set_xticks(np.linspace(0, 1, 6))
        axis.xaxis.set_major_formatter(lambda share, _: as_percent(share))
    elif max(map(abs, ends)) >= 1000:
        axis.xaxis.set_major_formatter("{x:,.0f}")


def draw_series(axis, data) -> None:
    """The markers and whiskers, each series a little lower than the one before."""
    step = PITCH / max(LEAST, GAP + PITCH * len(data))  # labels are 1 apart
    for i, (name, readings) in enumerate(data.items()):
        down = step * (i - (len(data) - 1) / 2)
        found = [(j + down, *r) for j, r in enumerate(readings) if r is not None]
        y, x, low, high = zip(*found, strict=True) if found else ((), (), (), ())
        shape, filled, colour, size = MARKS[i]
        colour = COLOURS[colour]
        axis.hlines(y, low, high, color=colour, linewidth=1.5, zorder=2)
        axis.plot(
            x, y, label=name, linestyle="none", marker=shape, markersize=size,
            markerfacecolor=colour if filled else PAPER,
            markeredgecolor=PAPER if filled else colour,
            markeredgewidth=0.7 if filled else 1.7, zorder=3, clip_on=False,
        )  # fmt: skip


def draw_reference(axis, marks: Mapping[str, float], room: float) -> int:
    """Dashed lines whose labels stand above the data like flags; returns the rows.

    From right to left, each flag takes the lowest row where it meets no other; so the
    poles of higher flags pass to the left of lower ones. room: the axis' width in
    pixels. A flag without room on its right stands to the left of its pole,
    on a plate of paper that hides the poles behind it.
    """
    left, right = axis.get_xlim()
    rows: list[float] = []  # where the leftmost flag of each row begins, in pixels
    for label, value in sorted(marks.items(), key=lambda mark: -mark[1]):
        x, wide = (value - left) / (right - left) * room, text_width(label) + 10
        begin = x if x + wide <= room else x - wide
        row = next((i for i, other in enumerate(rows) if begin + wide < other), None)
        if row is None:
            row = len(rows)
            rows.append(begin)
        rows[row] = begin
        at, up = ("data", "axes fraction"), row * LINE * POINT
        grey = {"color": COLOURS["grey"], "linewidth": 1, "linestyle": (0, (4, 3))}
        axis.axvline(value, zorder=1, clip_on=False, **grey)
        pole = grey | {"arrowstyle": "-", "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", (value, 1), (0, up + 12), xycoords=at, arrowprops=pole,
                      textcoords="offset points")  # fmt: skip
        axis.annotate(
            label, (value, 1), ((begin - x + 5) * POINT, up + 3), xycoords=at,
            textcoords="offset points", fontsize=9, color=INK, zorder=4,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    return len(rows)


def draw_legend(axis, names: Sequence[str], room: float, down: float) -> None:
    """The names below the axis, in as many columns as fit into ``room`` pixels."""
    widest = max(map(text_width, names)) * 1.07 + 45
    columns = max(1, min(len(names), int(room // widest)))
    below = ScaledTranslation(0, -down / DPI, axis.figure.dpi_scale_trans)
    axis.legend(
        loc="upper left", bbox_to_anchor=(0, 0), ncols=columns, frameon=False,
        bbox_transform=axis.transAxes + below, borderaxespad=0, borderpad=0,
        handletextpad=0.2, columnspacing=1.5, fontsize=10, labelcolor=INK,
    )  # fmt: skip


def line_height(label: str) -> int:
    """The pixels that a label needs, wrapped."""
    return max(LEAST, 10 + LINE * (1 + wrap(label, LABEL).count("\n")))


def fit_height(fig, axis, wanted: float) -> None:
    """Make the figure so high that its axis has the wanted pixels."""
    fig.draw_without_rendering()
    high = fig.get_figheight() + (wanted - axis.get_window_extent().height) / DPI
    fig.set_figheight(high)


def describe_dots(labels, data, marks, head: str, percent: bool) -> str:
    """Alt text of a dot plot: the numbers; of many, each series' ends."""
    number = sum(r is not None for readings in data.values() for r in readings)
    intervals = any(r[1] < r[2] for values in data.values() for r in values if r)
    write = as_percent if percent else as_number
    parts = []
    for name, readings in data.items():
        found = [(label, *r) for label, r in zip(labels, readings, strict=True) if r]
        if number > EVERY and found:
            low, high = min(found, key=lambda r: r[1]), max(found, key=lambda r: r[1])
            text = f"from {write(low[1])} ({low[0]}) to {write(high[1])} ({high[0]})"
        else:
            text = ", ".join(
                f"{label} {write(value)}"
                + (f" ({write(low)} to {write(high)})"
                   if low < high and number <= WITH_INTERVALS else "")
                for label, value, low, high in found
            )  # fmt: skip
        parts.append((f"{name}: " if len(data) > 1 else "") + (text or "no value"))
    if intervals and number > WITH_INTERVALS:
        parts.append("whiskers show intervals")
    for label, value in marks.items():
        exact = f"{100 * value:.3g}{THIN}%" if percent else write(value)
        parts.append(f"a dashed line marks {label} ({exact})")
    return f"Dot plot{', ' + head if head else ''}: " + "; ".join(parts) + "."


def as_number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
