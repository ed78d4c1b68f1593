"""A wheel built from the repository holds the data and works away from it."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What each declared dependency lets us import; Jupyter's own packages come with it.
DECLARED = {"torch", "numpy", "PIL", "einops", "safetensors", "matplotlib", "tqdm"}
DECLARED |= {"ipywidgets", "IPython"}
FOR_NOTEBOOKS = {"papermill", "nbformat", "nbconvert"}
OPTIONAL = {"psutil"}  # asked for behind a try, or where a kernel brings it
MAKERS = {
    "make_artwork.py": {"resvg_py"},  # it drew the artwork, once
    "stable_diffusion_peer.py": {"diffusers"},  # timed beside it, where there is one
}

SCRIPT = """
import sys, mmlearn as mm
from mmlearn.paths import PACKAGE, data_path
assert str(PACKAGE).startswith(sys.argv[1]), PACKAGE
assert data_path("artwork").is_dir() and "_data" in str(data_path("artwork"))
batch = mm.world.scenes(2, seed=0, size=64)
assert tuple(batch.images.shape) == (2, 3, 64, 64), batch.images.shape
assert len(batch.captions) == 2 and all(batch.captions)
print(*[line for line in mm.doctor() if "artwork" in str(line)])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as it is for release, from a clean copy of the working tree."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("mmlearn", "data"):
        ignore = shutil.ignore_patterns("__pycache__", "_data")
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (path,) = (copy / "dist").glob("mmlearn-*-py3-none-any.whl")
    return path


def test_the_wheel_holds_the_data_and_every_licence_and_no_walls(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {n.removeprefix("mmlearn/_data/") for n in names if "/_data/" in n}
    data = {
        path.relative_to(ROOT / "data").as_posix()
        for path in (ROOT / "data").rglob("*")
        if path.is_file() and path.name != ".gitkeep"
    }
    walls = {name for name in data if name.startswith("results/") and "png" in name}
    assert "results/glide-wall.png" in walls and not walls & inside
    data -= walls
    assert "artwork/SHA256SUMS" in data and data <= inside
    assert any("LICENSE" in n for n in inside)
    assert wheel.stat().st_size < 60e6


def test_the_installed_wheel_draws_a_scene(wheel, tmp_path):
    target, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(target)],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "✓ artwork" in done.stdout


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_the_package_imports_only_what_it_declares():
    """No torchvision, transformers, diffusers: not even where nobody looks."""
    known = DECLARED | OPTIONAL | {"mmlearn"} | set(sys.stdlib_module_names)
    for path in (ROOT / "mmlearn").rglob("*.py"):
        extra = MAKERS.get(path.name, set())
        extra = extra | (FOR_NOTEBOOKS if path.parent.name == "notebooks" else set())
        strangers = imported(path) - known - extra
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"
