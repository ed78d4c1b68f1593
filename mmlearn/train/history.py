"""What a run leaves in the reader's hands."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn


@dataclass(repr=False)
class History:
    """A finished run.

    ``rows`` are the log's rows: step, loss, lr, grad_norm, seconds, and what else the
    loss function gave. ``model`` is the trained model and ``ema`` its average, a
    plain module; both are in eval mode. ``out`` is the run's folder, or None.
    """

    model: nn.Module
    ema: nn.Module
    rows: list[dict]
    steps: int
    seconds: float
    out: Path | None = None

    def column(self, name: str) -> list[float]:
        """One column of the log, top to bottom: ``history.column("loss")``."""
        return [row[name] for row in self.rows if name in row]

    def __repr__(self) -> str:
        words = f"{self.steps:,} steps in {self.seconds:.0f} s"
        if self.rows:
            words += f": loss {self.rows[0]['loss']:.4g} → {self.rows[-1]['loss']:.4g}"
        return words
