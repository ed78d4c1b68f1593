"""What the reader sees while a model trains: a line with its loss, and a live plot."""

import base64
import io
import time

from mmlearn.progress import Display, bar, in_notebook
from mmlearn.train.log import Log


class Progress:
    """The line, and on request the plot, of a run of which ``done`` steps are done."""

    def __init__(self, log: Log, done: int, line: bool, plot: bool):
        self._log, self._plot = log, LivePlot(plot)
        self._bar = bar(log.last, "step", done, disable=not line)
        self._loss: float | None = None

    def update(self, loss: float) -> None:
        """One more step is done; the loss shown is smoothed over about ten."""
        self._loss = loss if self._loss is None else 0.9 * self._loss + 0.1 * loss
        self._bar.set_postfix_str(f"loss {self._loss:.4g}", refresh=False)
        self._bar.update()
        self._plot.update(self._log.rows)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self._plot.update(self._log.rows, last=True)
        self._bar.close()


class LivePlot:
    """The loss so far, drawn at most every two seconds, and once more at the end."""

    def __init__(self, show: bool):
        self._display = Display() if show and in_notebook() else None
        self._drawn = 0.0

    def update(self, rows: list[dict], last: bool = False) -> None:
        """Draw the log's ``rows``, unless it was done just now."""
        too_soon = time.monotonic() - self._drawn < 2 and not last
        if self._display is None or not rows or too_soon:
            return
        picture = base64.b64encode(loss_picture(rows)).decode()
        alt = loss_in_words(rows)
        self._display.show(
            {"image/png": picture, "text/plain": alt}, {"image/png": {"alt": alt}}
        )
        self._drawn = time.monotonic()


def loss_in_words(rows: list[dict]) -> str:
    """What the plot shows, for who does not see it."""
    first, last = rows[0], rows[-1]
    lowest = min(row["loss"] for row in rows)
    return (
        f"A line plot of the training loss by step: {first['loss']:.3g} at step "
        f"{first['step']:,}, {last['loss']:.3g} at step {last['step']:,}, "
        f"lowest {lowest:.3g}."
    )


def loss_picture(rows: list[dict]) -> bytes:
    """The loss by step, as a PNG with a clear background and mid-grey lines.

    Grey of middle lightness is read on a light page and on a dark one.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no backend

    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([r["step"] for r in rows], [r["loss"] for r in rows], color="#2f81d6")
    axes.set_xlabel("step", color="#7d7d7d")
    axes.set_ylabel("loss", color="#7d7d7d")
    axes.tick_params(colors="#7d7d7d")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("#7d7d7d")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=96, transparent=True)
    return file.getvalue()
