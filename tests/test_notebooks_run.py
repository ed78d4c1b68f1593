"""Every chapter and solution runs from top to bottom at smoke size, offline."""

from pathlib import Path

import pytest

from mmlearn.notebooks.command import title
from mmlearn.notebooks.execute import NotebookFailed, execute

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
BUDGET = 40  # seconds on two CPU cores; the limit leaves room for a busy machine
LIMIT = 4 * BUDGET


@pytest.mark.notebook
@pytest.mark.parametrize("path", [*CHAPTERS, *SOLUTIONS], ids=title)
def test_the_notebook_runs_at_smoke_size(path):
    done = execute(path, "smoke", limit=LIMIT, progress=False)
    assert done.seconds < LIMIT, f"{done.seconds:.0f} s; the budget is {BUDGET} s"


@pytest.mark.notebook
def test_the_network_is_blocked_inside_a_notebook(tmp_path):
    import nbformat
    import sample_notebook as sample

    notebook = sample.chapter()
    get = "import urllib.request\nurllib.request.urlopen('http://192.0.2.1', timeout=5)"
    notebook.cells = [*notebook.cells[2:4], sample.code(get)]
    nbformat.write(notebook, tmp_path / "09_sample.ipynb")
    with pytest.raises(NotebookFailed, match="NetworkBlocked"):
        execute(tmp_path / "09_sample.ipynb", "smoke", progress=False)
