"""What pyproject.toml says: the public address, the version, the requirements."""

import re
from importlib import metadata
from pathlib import Path

from mmlearn import __version__
from mmlearn.paths import PACKAGE

ROOT = PACKAGE.parent


def pyproject() -> str:
    """The text of pyproject.toml in a checkout; empty in an installed package."""
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text if 'name = "mmlearn"' in text else ""


def repository() -> str | None:
    """The public address, the one line in pyproject's URLs, or None while unset."""
    text = pyproject()
    if text:
        found = re.search(r'(?m)^Repository\s*=\s*"([^"]+)"', text)
        return found.group(1).rstrip("/") if found else None
    for line in metadata.metadata("mmlearn").get_all("Project-URL") or []:
        name, _, address = line.partition(", ")
        if name == "Repository":
            return address.rstrip("/")
    return None


def dependencies() -> list[str]:
    """Every quoted requirement of pyproject.toml, such as ``torch>=2.6``."""
    return re.findall(r'(?m)^ {4}"([\w-]+>=[\w.]+)"', pyproject())


def wheel_name() -> str:
    """The file name of the wheel of this version."""
    return f"mmlearn-{__version__}-py3-none-any.whl"


def notebooks_folder() -> Path:
    """The folder of the notebooks; one sentence if this is no checkout."""
    folder = ROOT / "notebooks"
    if not pyproject() or not folder.is_dir():
        raise ValueError(
            "the notebooks are not part of the installed package: run this in a "
            "checkout of the repository, installed with `pip install -e .`"
        )
    return folder


def find_notebooks(names: list[str], exercises: bool = False) -> list[Path]:
    """The notebooks called so; all chapters and solutions if none is named.

    exercises: then those too (they are not run: they wait for the reader). A name is
    "01_clip", its beginning "01", "solutions/01_clip", or a path.
    """
    folder = notebooks_folder()
    known = [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("*/*.ipynb"))]
    known = [path for path in known if not path.parent.name.startswith(".")]
    if not names:
        return [p for p in known if exercises or p.parent.name != "exercises"]
    found = []
    for name in names:
        wanted = name.replace("\\", "/").removesuffix(".ipynb")
        if Path(name).suffix == ".ipynb" and Path(name).exists():
            found.append(Path(name).resolve())
            continue
        wanted = wanted.removeprefix("notebooks/")
        titles = {
            path.relative_to(folder).with_suffix("").as_posix(): path for path in known
        }
        match = [
            p for t, p in titles.items() if t == wanted or t.startswith(wanted + "_")
        ]
        if len(match) != 1:
            text = ", ".join(titles) or "none"
            raise ValueError(f"there is no notebook {name!r}; there are: {text}")
        found += match
    return found
