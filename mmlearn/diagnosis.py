"""``python -m mmlearn doctor`` or ``mm.doctor()``: what is here, and what to do.

Works on the barest environment: whatever is missing is a line of the report, and torch
is only imported if it is there.
"""

import argparse
import hashlib
import json
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mmlearn import __version__, machine
from mmlearn.paths import PACKAGE, data_path

# (package, needed: everywhere; for the notebooks; for the tests)
PACKAGES = {
    "needed": (
        "torch", "numpy", "pillow", "einops", "safetensors", "matplotlib",
        "ipywidgets", "tqdm",
    ),
    "for the notebooks": ("jupyterlab", "papermill"),
    "for the tests": ("pytest", "nbval", "ruff", "selenium", "transformers"),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """ok: True ✓, False ✗, None for what is only told. advice: what to do about it."""

    ok: bool | None
    text: str
    advice: str = ""
    needed: bool = True

    def __str__(self) -> str:
        sign = {True: "✓", False: "✗" if self.needed else "–", None: " "}[self.ok]
        return f"{sign} {self.text}" + (f" → {self.advice}" if self.advice else "")


class Report(list):
    """The lines of the report; in a notebook it shows itself."""

    @property
    def healthy(self) -> bool:
        return not any(line.ok is False and line.needed for line in self)

    def __str__(self) -> str:
        end = "All that is needed is here." if self.healthy else (
            "Something that is needed is missing: see the lines with ✗.")  # fmt: skip
        return "\n".join([*map(str, self), end])

    __repr__ = __str__


def doctor() -> Report:
    """Look at everything: software, machine, and the hash of every data file."""
    report = Report()
    report += software()
    report += hardware()
    report += artwork()
    report += checkpoints()
    return report


def requirements() -> dict[str, str]:
    """The lower bounds, ``{"torch": "2.6"}``, of the installed package or checkout."""
    try:
        found = metadata.requires("mmlearn") or []
    except metadata.PackageNotFoundError:
        from mmlearn.notebooks.project import dependencies

        found = dependencies()
    bounds = {}
    for line in found:
        text = line.split(";")[0].strip()
        name = text.split(">=")[0].split("[")[0].strip()
        if ">=" in text:
            bounds[name.lower()] = text.split(">=")[1].split(",")[0].strip()
    return bounds


def software() -> list[Line]:
    """Lines about Python and the packages."""
    python = platform.python_version()
    good = (3, 10) <= sys.version_info[:2] < (3, 14)
    advice = "" if good else "install Python 3.10, 3.11, 3.12 or 3.13"
    lines = [
        Line(
            None, f"mmlearn {__version__} on {platform.system()} {platform.machine()}"
        ),
        Line(good, f"Python {python}", advice),
    ]
    bounds = requirements()
    for purpose, names in PACKAGES.items():
        lines += [package(name, bounds.get(name), purpose) for name in names]
    return lines


def package(name: str, least: str | None, purpose: str) -> Line:
    """One package: there and new enough, too old, or missing."""
    needed = purpose == "needed"
    remark = "" if needed else f" ({purpose})"
    wanted = f'"{name}>={least}"' if least else name
    advice = f"python -m pip install {wanted}"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Line(False, f"{name} is not installed{remark}", advice, needed)
    if least and numbers(version) < numbers(least):
        text = f"{name} {version} is older than {least}{remark}"
        return Line(False, text, f"{advice} --upgrade", needed)
    return Line(True, f"{name} {version}")


def numbers(version: str) -> tuple[int, ...]:
    """``"2.13.0+cpu"`` → (2, 13, 0), for comparing."""
    parts = []
    for part in version.split("+")[0].split("."):
        digits = "".join(c for c in part if c.isdigit())
        parts.append(int(digits or 0))
    return tuple(parts)


def hardware() -> list[Line]:
    """Lines about cores, accelerator, memory and disk."""
    lines = [Line(None, f"{machine.cores()} CPU cores available to Python")]
    try:
        gpu = machine.accelerator()
        text = f"GPU: {gpu[0]}, {gpu[1] / 1e9:.0f} GB" if gpu else "no GPU: the default"
        lines.append(Line(None, text + ("" if gpu else " size, laptop, needs none")))
    except ModuleNotFoundError:
        pass  # torch is missing, which stands above
    found = machine.memory()
    if found is not None:
        free, total = (value / 1e9 for value in found)
        advice = "" if free >= 2 else "close something: a notebook needs about 2 GB"
        lines.append(
            Line(free >= 2, f"{free:.1f} of {total:.1f} GB memory free", advice)
        )
    disk = shutil.disk_usage(PACKAGE).free / 1e9
    advice = "" if disk >= 1 else "make room: training writes checkpoints"
    lines.append(Line(disk >= 1, f"{disk:.0f} GB disk free", advice))
    return lines


def artwork() -> list[Line]:
    """The drawings, against the list of their hashes."""
    folder = data_path("artwork")
    sums = folder / "SHA256SUMS"
    again = "git checkout data/artwork, or install mmlearn again"
    if not sums.exists():
        return [Line(False, "artwork: its list SHA256SUMS is missing", again)]
    listed = dict(reversed(line.split(maxsplit=1)) for line in read_lines(sums))
    listed = {name.lstrip("*"): digest for name, digest in listed.items()}
    missing = [name for name in listed if not (folder / name).exists()]
    if missing:
        text = f"artwork: {len(missing)} of {len(listed)} files missing ({missing[0]})"
        return [Line(False, text, again)]
    wrong = [n for n, digest in listed.items() if sha256(folder / n) != digest]
    if wrong:
        return [
            Line(False, f"artwork: {wrong[0]} is damaged (its hash differs)", again)
        ]
    size = sum((folder / name).stat().st_size for name in listed) / 1e6
    return [Line(True, f"artwork: {len(listed)} files, {size:.1f} MB, hashes right")]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without empty ones."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip()]


def checkpoints() -> list[Line]:
    """The trained copies that come with the book, each with its card."""
    again = "git checkout data/checkpoints, or install mmlearn again"
    lines = []
    for card in sorted(data_path("checkpoints").glob("*/card.json")):
        name = card.parent.name
        weights = card.parent / "model.safetensors"
        try:
            digest = json.loads(card.read_text(encoding="utf-8")).get("sha256")
        except (json.JSONDecodeError, AttributeError):
            lines.append(Line(False, f"checkpoint {name}: its card is damaged", again))
            continue
        if not weights.exists():
            line = Line(False, f"checkpoint {name}: its weights are missing", again)
        elif digest and sha256(weights) != digest:
            line = Line(
                False, f"checkpoint {name} is damaged (its hash differs)", again
            )
        else:
            size = weights.stat().st_size / 1e6
            line = Line(True, f"checkpoint {name}, {size:.1f} MB")
        lines.append(line)
    return lines or [
        Line(None, "no trained checkpoints yet: notebooks train their own")
    ]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The doctor asks nothing."""


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if something needed is missing."""
    report = doctor()
    print(report)
    return 0 if report.healthy else 1
