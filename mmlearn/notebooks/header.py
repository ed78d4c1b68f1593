"""What a script writes into a notebook: the Colab badge, its install line, the card."""

import json
import re
from pathlib import Path

from mmlearn import __version__
from mmlearn.check.cells import tags
from mmlearn.notebooks.project import repository, wheel_name
from mmlearn.paths import data_path
from mmlearn.weights.atomic import atomic_file

SIZES = ("smoke", "laptop", "gpu")
UPLOAD = "https://colab.research.google.com/#upload=true"
COLAB = "https://colab.research.google.com"
PIP = re.compile(r"(?m)^(\s+)%pip install .*$")


def badge(name: str, address: str | None) -> str:
    """The badge of the notebook ``name`` ("01_clip"), pinned to this version's tag.

    While the repository has no public address, the notebook has to be uploaded.
    """
    path = f"notebooks/{name}.ipynb"
    if address is None:
        return (
            f"[Open in Colab]({UPLOAD}): upload this notebook there, and among its "
            f"files `{wheel_name()}`, which `python -m hatchling build -t wheel` makes."
        )
    where = re.sub(r"^https?://(www\.)?github\.com/", "", address)
    return (
        f"[![Open this notebook in Google Colab]({COLAB}/assets/colab-badge.svg)]"
        f"({COLAB}/github/{where}/blob/v{__version__}/{path})"
    )


def install_line(address: str | None) -> str:
    """What the setup cell runs on Colab: the tagged version, or the uploaded wheel."""
    if address is None:
        return f"%pip install -q ./{wheel_name()}"
    return f"%pip install -q git+{address}@v{__version__}"


def measured(name: str, results: dict) -> str:
    """The card's table of measured minutes and memory, one row a size."""
    rows = results.get(name, {})
    if not rows:
        return "*Not measured yet.*"
    lines = ["| size | minutes | memory | measured on |", "|---|---|---|---|"]
    for size in SIZES:
        if size in rows:
            row = rows[size]
            minutes = row["seconds"] / 60
            text = (
                f"{minutes:.1f}"
                if minutes >= 1
                else f"under 1 ({row['seconds']:.0f} s)"
            )
            memory = f"{row['peak_mb'] / 1000:.1f} GB"
            lines.append(f"| `{size}` | {text} | {memory} | {row['hardware']} |")
    return "\n".join(lines)


def between(text: str, marker: str, new: str) -> str:
    """The text with what stands between two markers replaced."""
    pattern = rf"(<!-- {marker} -->).*?(<!-- /{marker} -->)"
    return re.sub(pattern, lambda m: f"{m[1]}\n{new}\n{m[2]}", text, flags=re.S)


def write_header(notebook: dict, name: str, results: dict | None = None) -> dict:
    """Rewrite, in place, what the script owns in one notebook; returns the notebook."""
    results = read_results() if results is None else results
    address = repository()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = between(cell["source"], "badge", badge(name, address))
            cell["source"] = between(text, "measured", measured(name, results))
        elif "setup" in tags(cell):
            line = install_line(address)
            cell["source"] = PIP.sub(lambda m: m[1] + line, cell["source"])  # noqa: B023
    return notebook


def results_path() -> Path:
    """Where the measurements of all notebooks are kept."""
    return data_path("results", "notebooks.json")


def read_results() -> dict:
    """``{notebook: {size: {seconds, peak_mb, hardware, …}}}``, from the last runs."""
    path = results_path()
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def record(name: str, size: str, facts: dict) -> dict:
    """Add the measurements of one full run to the results; returns all of them."""
    results = read_results()
    results.setdefault(name, {})[size] = facts
    text = json.dumps(results, indent=1, sort_keys=True) + "\n"
    with atomic_file(results_path()) as file:
        file.write(text.encode("utf-8"))
    return results
