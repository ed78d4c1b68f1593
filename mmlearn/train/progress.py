"""What the reader sees while a model trains: one line with the loss and the time left.

In a terminal the line is redrawn in place. In a notebook it is one output that is
replaced, so that an executed notebook keeps one last line, not thousands and no
widget. In a file (a redirected log) there are about ten lines.
"""

import base64
import io
import sys
import time

from tqdm import tqdm

from mmlearn.train.log import Log


def in_notebook() -> bool:
    """Whether a Jupyter kernel shows our outputs."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class Display:
    """One notebook output, replaced in place. ``show`` takes a bundle of formats."""

    def __init__(self):
        self._handle = None

    def show(self, bundle: dict, metadata: dict | None = None) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            self._handle.update(bundle, raw=True, metadata=metadata)


class _NotebookStream(io.TextIOBase):
    """Where tqdm writes in a notebook: the newest line replaces the one before."""

    encoding = "utf-8"  # tqdm draws its bar in blocks, not in number signs

    def __init__(self):
        self._display = Display()

    def write(self, text: str) -> int:
        if text.strip():
            self._display.show({"text/plain": text.strip()})
        return len(text)


class _LineStream(io.TextIOBase):
    """Where tqdm writes in a file: each update is a line of its own."""

    def write(self, text: str) -> int:
        if text.strip():
            print(text.strip(), file=sys.stderr, flush=True)
        return len(text)


class Progress:
    """The line, and on request the plot, of a run of which ``done`` steps are done."""

    def __init__(self, log: Log, done: int, line: bool, plot: bool):
        self._log, self._plot = log, LivePlot(plot)
        options: dict = {"mininterval": 0.5}
        if in_notebook():
            options |= {"file": _NotebookStream(), "ncols": 88}
        elif not sys.stderr.isatty():
            # maxinterval: tqdm's monitor would otherwise print every ten seconds.
            options |= {"file": _LineStream(), "ncols": 88, "mininterval": 10}
            options |= {"miniters": max(1, log.last // 10), "maxinterval": float("inf")}
        else:
            options |= {"dynamic_ncols": True}
        self._bar = tqdm(
            total=log.last, initial=done, unit="step", disable=not line, **options
        )
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
