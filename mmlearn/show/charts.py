"""The charts every chapter needs: curves, bars and heat maps.

Each draws its own figure and shows it, or draws on the axes it is given (``ax=``) and
shows nothing. Alt text is made from the numbers unless the caller knows better.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from mmlearn.show.figures import COLOURS, INK, PAPER, axes, figure

HEAT = LinearSegmentedColormap.from_list("mmlearn", [PAPER, "#7FB2D6", "#0B3C5D"])
DASHES = ["-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1))]  # told apart without colour


def lines(
    curves,
    x=None,
    *,
    reference: Mapping[str, float] | None = None,
    xlabel: str = "step",
    ylabel: str = "loss",
    title: str = "",
    log: bool = False,
    alt: str | None = None,
    ax=None,
) -> None:
    """Curves against x, with labelled horizontal reference lines.

    curves: ``{label: values}`` or one sequence of values. x: shared positions, or
    ``{label: positions}`` (default 0, 1, 2, …). reference: ``{"ln 64": 4.16}``.
    """
    curves = dict(curves) if isinstance(curves, Mapping) else {ylabel: curves}
    if not curves:
        raise ValueError("lines needs at least one curve, and got none")
    data = {}
    for label, values in curves.items():
        y = numbers(values, f"the curve {label!r}")
        at = x[label] if isinstance(x, Mapping) else x
        at = np.arange(len(y)) if at is None else numbers(at, f"x of {label!r}")
        if len(at) != len(y):
            raise ValueError(f"{label!r} has {len(y)} values at {len(at)} positions")
        data[label] = (at, y)
    fig, axis = (None, ax) if ax is not None else axes(size=(6, 3.4))
    for i, (label, (at, y)) in enumerate(data.items()):
        axis.plot(at, y, label=label, linestyle=DASHES[i % len(DASHES)])
    for label, value in (reference or {}).items():
        axis.axhline(value, color=COLOURS["grey"], linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(
            label, (1, value), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=INK, fontsize=9,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1, "alpha": 0.8},
        )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if log:
        axis.set_yscale("log")
    if len(data) > 1:
        axis.legend()
    if fig is not None:
        figure(fig, alt=alt or describe_lines(data, reference, xlabel, ylabel, title))


def describe_lines(data, reference, xlabel, ylabel, title) -> str:
    """Alt text of a line chart: where each curve starts and ends."""
    parts = []
    for label, (_, y) in data.items():
        name = "it" if len(data) == 1 else label
        verb = "falls" if y[-1] < y[0] else "rises" if y[-1] > y[0] else "stays"
        parts.append(f"{name} {verb} from {y[0]:.3g} to {y[-1]:.3g}")
    for label, value in (reference or {}).items():
        parts.append(f"a dashed line marks {label} ({value:.3g})")
    head = f"{title}: " if title else ""
    return f"Line chart, {head}{ylabel} against {xlabel}; " + "; ".join(parts) + "."


def bars(
    labels: Sequence[str],
    values,
    *,
    truth: str | int | None = None,
    errors=None,
    reference: Mapping[str, float] | None = None,
    xlabel: str = "",
    title: str = "",
    digits: int = 2,
    alt: str | None = None,
    ax=None,
) -> None:
    """Horizontal bars, the first on top, each with its number.

    truth: the label (or index) of the right answer, marked with ✓ and its own colour.
    errors: half-widths of intervals, ``(n,)`` or ``(2, n)``. reference: labelled
    vertical lines, such as ``{"chance": 0.1}``.
    """
    labels = [str(label) for label in labels]
    y = numbers(values, "values")
    if len(labels) != len(y):
        raise ValueError(f"bars got {len(labels)} labels for {len(y)} values")
    right = labels.index(truth) if truth in labels else truth
    if truth is not None and not isinstance(right, int | np.integer):
        raise ValueError(f"truth must be one of the labels or an index, not {truth!r}")
    size = (6, 0.7 + 0.34 * len(labels) + (0.3 if xlabel else 0))
    fig, axis = (None, ax) if ax is not None else axes(size=size)
    colours = [COLOURS["green" if i == right else "blue"] for i in range(len(y))]
    names = [f"✓ {name}" if i == right else name for i, name in enumerate(labels)]
    where = np.arange(len(y))
    axis.barh(where, y, color=colours, height=0.7, xerr=errors, ecolor=INK, capsize=3)
    axis.set_yticks(where, names)
    axis.invert_yaxis()
    pad = np.zeros(len(y)) if errors is None else np.atleast_2d(errors)[-1]
    for i, value in enumerate(y):
        at = (max(value, 0) + pad[i], i)
        axis.annotate(f"{value:.{digits}f}", at, (4, 0), va="center",
                      textcoords="offset points", fontsize=9)  # fmt: skip
    for label, value in (reference or {}).items():
        axis.axvline(value, color=COLOURS["grey"], linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(label, (value, 1), (3, -1), xycoords=("data", "axes fraction"),
                      textcoords="offset points", va="bottom", fontsize=9)  # fmt: skip
    axis.margins(x=0.12)
    axis.locator_params(axis="x", nbins=6)  # long numbers would run into each other
    axis.set_xlabel(xlabel)
    axis.set_title(title, pad=18 if reference else 6)
    if fig is not None:
        figure(fig, alt=alt or describe_bars(labels, y, right, title or xlabel, digits))


def describe_bars(labels, values, right, title, digits) -> str:
    """Alt text of a bar chart: the labels with their values."""
    pairs = zip(labels, values, strict=True)
    parts = [f"{label} {value:.{digits}f}" for label, value in list(pairs)[:12]]
    text = f"Bar chart{', ' + title if title else ''}: " + ", ".join(parts)
    if len(labels) > 12:
        text += f", and {len(labels) - 12} more"
    return text + (
        f"; the right answer is {labels[right]}." if right is not None else "."
    )


def matrix(
    values,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    digits: int | None = None,
    limits: tuple[float, float] | None = None,
    alt: str | None = None,
    ax=None,
) -> None:
    """A heat map ``(rows, columns)`` with its numbers written in.

    For attention weights and similarity matrices. rows, columns: labels of the two
    axes. digits: decimals written (default 2; none above 12 columns). limits: the
    values that are palest and darkest (default: the smallest and the largest).
    """
    array = to_array(values)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"matrix needs the shape (rows, columns), not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("matrix got values that are not numbers (NaN or ∞)")
    height, width = array.shape
    for name, labels, number in (("rows", rows, height), ("columns", columns, width)):
        if labels is not None and len(labels) != number:
            raise ValueError(f"matrix has {number} {name}, but {len(labels)} labels")
    written = width <= 12 if digits is None else True
    cell = 0.55 if written else max(0.12, min(0.4, 5 / width))
    size = (max(2.6, 1.6 + cell * width), max(2.0, 1.0 + cell * height))
    fig, axis = (None, ax) if ax is not None else axes(size=size)
    low, high = limits or (float(array.min()), float(array.max()))
    high = high if high > low else low + 1e-9
    axis.imshow(array, cmap=HEAT, vmin=low, vmax=high, aspect="equal")
    if written:
        write_numbers(
            axis, array, low + 0.62 * (high - low), 2 if digits is None else digits
        )
    label_ticks(axis, rows, columns)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    if fig is not None:
        names = (rows, columns, xlabel, ylabel, title)
        figure(fig, alt=alt or describe_matrix(array, *names))


def write_numbers(axis, array, dark: float, digits: int) -> None:
    """Each cell's number, white on the dark cells."""
    for (i, j), value in np.ndenumerate(array):
        colour = "white" if value > dark else INK
        axis.text(j, i, f"{value:.{digits}f}", ha="center", va="center",
                  color=colour, fontsize=8.5)  # fmt: skip


def label_ticks(axis, rows, columns) -> None:
    """Put the labels on both axes, slanted where they are long."""
    if rows is None:
        axis.yaxis.get_major_locator().set_params(integer=True)
    else:
        axis.set_yticks(range(len(rows)), [str(r) for r in rows])
    if columns is None:
        axis.xaxis.get_major_locator().set_params(integer=True)
        return
    names = [str(c) for c in columns]
    slant = max(map(len, names)) > 5
    axis.set_xticks(range(len(names)), names, rotation=40 if slant else 0,
                    ha="right" if slant else "center",
                    rotation_mode="anchor")  # fmt: skip


def describe_matrix(array, rows, columns, xlabel, ylabel, title) -> str:
    """The size, the labels' meaning and, row by row, where the largest value stands."""
    height, width = array.shape
    head = f"Heat map{', ' + title if title else ''}, {height} by {width}"
    if xlabel or ylabel:
        head += f" ({ylabel or 'rows'} down, {xlabel or 'columns'} across)"
    best = []
    for i in range(min(height, 8)):
        j = int(array[i].argmax())
        row = rows[i] if rows is not None else f"row {i}"
        column = columns[j] if columns is not None else f"column {j}"
        best.append(f"{row} → {column} {array[i, j]:.2f}")
    more = "; and so on" if height > 8 else ""
    return f"{head}; largest in each row: " + "; ".join(best) + more + "."


def to_array(values) -> np.ndarray:
    """A tensor, list or array as a float array."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=float)


def numbers(values, what: str) -> np.ndarray:
    """A non-empty list of numbers, or one sentence saying what it is instead."""
    array = to_array(values)
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"{what} must be a non-empty list of numbers, not of shape {array.shape}"
        )
    return array
