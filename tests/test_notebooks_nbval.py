"""The committed outputs are true: nbval runs the committed notebooks and compares.

Only cells tagged ``nbval-check-output`` are compared: those whose output does not
depend on the size. Comparing a fresh run with itself would prove nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import sample_notebook as sample

from mmlearn.notebooks.command import title
from mmlearn.notebooks.execute import environment, execute
from mmlearn.notebooks.refresh import save, with_outputs

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIMIT = 160


def nbval(path: Path) -> subprocess.CompletedProcess:
    """Run nbval over one notebook at smoke size; other plugins stay out of it."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", str(path), "-q"]
    command += [
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(path.parent),
    ]
    command += ["--nbval-cell-timeout", str(LIMIT)]
    command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg")]
    with environment("smoke"):
        return subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT + 60, check=False
        )


@pytest.mark.notebook
@pytest.mark.parametrize("path", CHAPTERS, ids=title)
def test_a_fresh_run_gives_the_committed_outputs(path):
    tags = [t for c in nbformat.read(path, 4).cells for t in c.metadata.get("tags", [])]
    assert tags.count("nbval-check-output") >= 5, "tag shapes, counts and proofs"
    done = nbval(path)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """The sample as committed, after a run."""
    path = tmp_path_factory.mktemp("nbval") / "09_sample.ipynb"
    nbformat.write(sample.chapter(), path)
    ran = execute(path, "smoke", progress=False).notebook
    save(path, with_outputs(nbformat.read(path, as_version=4), ran))
    return path


@pytest.mark.notebook
def test_true_outputs_pass(committed):
    done = nbval(committed)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.notebook
def test_a_false_output_is_caught(committed, tmp_path):
    """One number changed in a stored shape: nbval must fail, and on that cell."""
    text = committed.read_text(encoding="utf-8")
    true, false = '"(2, 3, 64, 64)', '"(2, 3, 64, 65)'
    assert text.count(true) == 1
    path = tmp_path / "09_sample.ipynb"
    path.write_text(text.replace(true, false), encoding="utf-8")
    done = nbval(path)
    assert done.returncode == 1
    assert false[1:] in done.stdout and "1 failed" in done.stdout
