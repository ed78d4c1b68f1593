"""Fresh outputs into committed notebooks, and nothing else with them."""

import base64
import copy
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

from mmlearn.weights.atomic import atomic_file

WIDGET = "application/vnd.jupyter.widget-view+json"
KERNEL = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
LARGE = 40_000  # bytes; a larger picture is kept in a palette
# A progress bar of tqdm: it says nothing once it is full, and its times differ.
PROGRESS = re.compile(r"\d+%\|.*?\||\d+(it|batch|step)s? \[\d+:\d+")


def with_outputs(committed: dict, executed: dict) -> dict:
    """A copy of the committed notebook with the executed one's outputs, cleaned.

    Sources, cell ids and tags stay; papermill's metadata, widget state, progress bars
    and the executing machine's language version do not come along.
    """
    new = copy.deepcopy(committed)
    fresh = [c for c in executed["cells"] if "injected-parameters" not in tags(c)]
    if len(fresh) != len(new["cells"]):
        raise ValueError("the executed notebook has other cells than the committed one")
    count = 0
    for cell, ran in zip(new["cells"], fresh, strict=True):
        if cell["cell_type"] != "code":
            continue
        cell["outputs"] = clean_outputs(ran.get("outputs", []))
        count += 1
        cell["execution_count"] = count if cell["source"].strip() else None
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = count
        for name in ("papermill", "execution", "collapsed", "scrolled"):
            cell["metadata"].pop(name, None)
    new["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    new["nbformat"], new["nbformat_minor"] = 4, 5
    return new


def tags(cell: dict) -> list[str]:
    """The tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def clean_outputs(outputs: list[dict]) -> list[dict]:
    """Outputs as they are committed."""
    kept = []
    for output in map(copy.deepcopy, outputs):
        if output["output_type"] == "stream":
            output["text"] = clean_text("".join(output["text"]))
            last = kept[-1] if kept else {}
            if last.get("name") == output["name"]:
                last["text"] += output["text"]
            elif output["text"]:
                kept.append(output)
        elif "data" in output and WIDGET in output["data"]:
            del output["data"][WIDGET]
            # A progress widget leaves only its text; a picture stays a picture.
            if set(output["data"]) - {"text/plain"}:
                kept.append(output)
        elif "data" not in output or not only_progress(output["data"]):
            kept.append(output)
    for output in kept:
        if "image/png" in output.get("data", {}):
            output["data"]["image/png"] = light(output["data"]["image/png"])
    return kept


def only_progress(data: dict) -> bool:
    """Whether an output is a progress bar as text, and nothing else."""
    return set(data) == {"text/plain"} and not clean_text("".join(data["text/plain"]))


def light(png: str) -> str:
    """A large picture, in base64, in 256 colours of its own; a third of the bytes.

    Small ones stay as they are, and so do moving ones, and any that would not shrink.
    """
    data = base64.b64decode(png)
    if len(data) < LARGE:
        return png
    with Image.open(io.BytesIO(data)) as picture:
        if picture.mode == "P" or getattr(picture, "n_frames", 1) > 1:
            return png
        file = io.BytesIO()
        picture.convert("RGB").quantize(256).save(file, "PNG", optimize=True)
    lighter = base64.b64encode(file.getvalue()).decode("ascii")
    return lighter if len(lighter) < len(png) else png


def clean_text(text: str) -> str:
    """What a terminal would show at the end, without progress bars."""
    lines = []
    for line in text.split("\n"):
        line = line.rstrip("\r").rpartition("\r")[2]
        if not PROGRESS.search(line):
            lines.append(line)
    return "\n".join(lines) if "".join(lines).strip() else ""


def save(path: Path, notebook: dict) -> None:
    """Write a notebook, whole or not at all, in nbformat's own layout."""
    node = nbformat.from_dict(notebook)
    nbformat.validate(node)
    with atomic_file(path) as file:
        file.write(nbformat.writes(node).encode("utf-8") + b"\n")
