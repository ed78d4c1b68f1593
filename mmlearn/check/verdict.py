"""What a check found, shown as one coloured line."""

import html
from dataclasses import dataclass

# The mark at the left carries the colour; the text keeps the page's own, so that the
# line reads on light and dark pages alike, and the sign tells it without colour.
_LOOK = {
    "passed": ("✓", "#009E73"),
    "not yet": ("…", "#E69F00"),
    "wrong": ("✗", "#D55E00"),
}


@dataclass(frozen=True)
class Verdict:
    """passed: whether the check is satisfied. message: what to tell the reader.

    kind: ``"passed"``, ``"not yet"`` (nothing to judge yet) or ``"wrong"``.
    """

    passed: bool
    message: str
    kind: str = ""

    def __post_init__(self):
        if not self.kind:
            object.__setattr__(self, "kind", "passed" if self.passed else "wrong")

    def __str__(self) -> str:
        return f"{_LOOK[self.kind][0]} {self.message}"

    def __bool__(self) -> bool:
        return self.passed

    def _ipython_display_(self) -> None:
        """Already shown by the check that made it: nothing more as a cell's value."""

    def show(self) -> "Verdict":
        """Show the line on the page, or print it where there is none."""
        from IPython import get_ipython

        if get_ipython() is None:
            print(self)
            return self
        from IPython.display import display

        sign, colour = _LOOK[self.kind]
        text = html.escape(self.message).replace("\n", "<br>")
        line = (
            f'<div style="border-left:5px solid {colour};padding:0.4em 0.8em;'
            f'margin:0.3em 0"><b style="color:{colour}">{sign}</b> {text}</div>'
        )
        display({"text/plain": str(self), "text/html": line}, raw=True)
        return self
