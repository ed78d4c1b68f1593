"""What the reader sees while something takes long: one line, and the time left.

In a terminal the line is redrawn in place. In a notebook it is one output that is
replaced, so that an executed notebook keeps one last line, not thousands and no
widget. In a file (a redirected log) there are about ten lines.
"""

import io
import sys

from tqdm import tqdm


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
        """Put a bundle in the place of the last one."""
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


def bar(total: int, unit: str, done: int = 0, **options) -> tqdm:
    """A line for ``total`` units of work, of which some are done; `tqdm`'s methods.

    options: `tqdm`'s own, such as ``disable`` and ``delay`` (seconds of silence).
    """
    options.setdefault("mininterval", 0.5)
    if in_notebook():
        options |= {"file": _NotebookStream(), "ncols": 88}
    elif not sys.stderr.isatty():
        # maxinterval: tqdm's monitor would otherwise print every ten seconds.
        options |= {"file": _LineStream(), "ncols": 88, "mininterval": 10}
        options |= {"miniters": max(1, total // 10), "maxinterval": float("inf")}
    else:
        options |= {"dynamic_ncols": True}
    return tqdm(total=total, initial=done, unit=unit, **options)


def sampling(steps: int, show: bool = True) -> tqdm:
    """The line of a sampler's steps, `update` once a step; silent for two seconds."""
    return bar(steps, "step", disable=not show, delay=2, leave=False)
