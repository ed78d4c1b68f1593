"""The numbers of a run: rows in memory, the same rows in a CSV file."""

import csv
import io
import time
from pathlib import Path

from mmlearn.weights.atomic import atomic_file, remove_leftovers


class Log:
    """One row every ``every`` steps (None: about 200 in all), and one at step ``last``.

    A row holds the step, means over the steps since the row before (loss, grad_norm
    and whatever else the loss function gives), the learning rate of that step, and
    the seconds trained so far. The rows are part of the saved state, and on resume
    the file is written anew from them: no row is ever lost, doubled or torn.
    """

    def __init__(self, path: Path | None, every: int | None, last: int):
        self.path, self.last = path, last
        self.every = every or max(1, last // 200)
        self.rows: list[dict] = []
        self._window: dict[str, list] = {}  # name: [sum, number] since the last row
        self._fields: list[str] = []
        self._seconds, self._began = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds trained so far, those before a resume included."""
        return self._seconds + time.perf_counter() - self._began

    def add(self, step: int, means: dict, lr: float) -> bool:
        """Take in the numbers of ``step`` = 1, 2, …; say whether that made a row."""
        for name, value in means.items():
            total = self._window.setdefault(name, [0.0, 0])
            total[0] += value
            total[1] += 1
        if step % self.every and step != self.last:
            return False
        row = {name: total / n for name, (total, n) in self._window.items()}
        loss, norm = row.pop("loss"), row.pop("grad_norm")
        first = {"step": step, "loss": loss, "lr": lr, "grad_norm": norm}
        self.rows.append({**first, "seconds": self.seconds, **row})
        self._window = {}
        self._append(self.rows[-1])
        return True

    def begin(self) -> None:
        """Write the file: its rows so far, which at the start are none."""
        if self.path is None:
            return
        self._fields = list(dict.fromkeys(name for row in self.rows for name in row))
        remove_leftovers(self.path)
        with atomic_file(self.path) as file:
            file.write(self._text(self.rows, header=True).encode())

    def _append(self, row: dict) -> None:
        if self.path is None:
            return
        if any(name not in self._fields for name in row):
            self.begin()  # a new column: the header changes
            return
        with open(self.path, "ab") as file:
            file.write(self._text([row], header=False).encode())

    def _text(self, rows: list[dict], header: bool) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._fields, lineterminator="\n")
        if header and self._fields:
            writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: f"{v:.8g}" if isinstance(v, float) else v for k, v in row.items()}
            )
        return text.getvalue()

    def state_dict(self) -> dict:
        return {"rows": self.rows, "window": self._window, "seconds": self.seconds}

    def load_state_dict(self, state: dict) -> None:
        self.rows, self._window = state["rows"], state["window"]
        self._seconds, self._began = state["seconds"], time.perf_counter()
