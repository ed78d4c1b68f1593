"""The committed notebooks keep the rules of a chapter, and breaking one is noticed."""

import copy
import json
from pathlib import Path

import pytest
import sample_notebook as sample

from mmlearn.check import cells
from mmlearn.check.lint import lint
from mmlearn.notebooks import header
from mmlearn.notebooks.command import title

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=title)


@each
def test_the_notebook_keeps_the_rules(path):
    assert lint(path) == []


@each
def test_badge_install_line_and_card_are_what_the_script_writes(path):
    notebook = cells.read(path)
    written = header.write_header(copy.deepcopy(notebook), title(path))
    assert written == notebook, "run `python -m mmlearn notebooks` with --refresh"


@pytest.fixture
def good():
    """The sample as if it had been run."""
    notebook = json.loads(json.dumps(sample.chapter()))
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = []
    notebook["cells"][5]["outputs"] = [picture("two grey slopes, dark at the left")]
    return notebook


def picture(alt):
    meta = {"image/png": {"alt": alt}} if alt else {}
    data = {"image/png": "", "text/plain": "[picture]"}
    return {"output_type": "display_data", "data": data, "metadata": meta}


def problems(notebook, folder, kind="chapter"):
    path = folder / "09_sample.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return lint(path, kind)


def test_a_good_notebook_passes(good, tmp_path):
    assert problems(good, tmp_path) == []


def long_line(nb):
    nb["cells"][5]["source"] += "\nx = " + "1" * 88


def long_cells(nb):
    for cell in nb["cells"][5:]:
        cell["source"] = "x = 1\n" * 30


def widget_state(nb):
    nb["metadata"]["widgets"] = {}


def widget_view(nb):
    mime = "application/vnd.jupyter.widget-view+json"
    nb["cells"][5]["outputs"][0]["data"][mime] = {}


def no_alt(nb):
    nb["cells"][5]["outputs"] = [picture("")]


def short_alt(nb):
    nb["cells"][5]["outputs"] = [picture("a slope")]


def same_alt_twice(nb):
    nb["cells"][7]["outputs"] = nb["cells"][5]["outputs"]


def markdown_alt(nb):
    nb["cells"][4]["source"] += "\n![](09_sample.ipynb)"


def dead_link(nb):
    nb["cells"][4]["source"] += "\n[there](../nowhere.md)"


def dead_anchor(nb):
    nb["cells"][4]["source"] += "\n[there](09_sample.ipynb#Nothing)"


def two_parameters(nb):
    nb["cells"][5]["metadata"]["tags"] = ["parameters"]


def deaf_parameters(nb):
    nb["cells"][3]["source"] = 'SIZE = "laptop"\nSEED = 0\nTRAIN = False'


def no_title(nb):
    nb["cells"][0]["source"] = "A sample"


def no_card(nb):
    nb["cells"][1]["metadata"]["tags"] = []


def stored_error(nb):
    error = {"output_type": "error", "ename": "KeyError", "evalue": "", "traceback": []}
    nb["cells"][5]["outputs"] = [error]


def out_of_order(nb):
    nb["cells"][5]["execution_count"] = 7


def not_executed(nb):
    nb["cells"][5]["execution_count"] = None


def few_words(nb):
    nb["cells"][4]["source"] = "A slope."


def machine_path(nb):
    text = "saved to /home/somebody/file"
    stream = {"output_type": "stream", "name": "stdout", "text": text}
    nb["cells"][5]["outputs"].append(stream)


def other_kernel(nb):
    nb["metadata"]["kernelspec"]["name"] = "venv"


def no_ids(nb):
    del nb["cells"][5]["id"]


def installs_everywhere(nb):
    nb["cells"][2]["source"] = "%pip install -q mmlearn"


def shell(nb):
    nb["cells"][5]["source"] += "\n!ls"


def injected(nb):
    nb["cells"][5]["metadata"]["tags"] = ["injected-parameters"]


BREACHES = {
    long_line: "cell 6: line 3 has 92 characters; 88 are allowed",
    long_cells: "median is 30 lines; make it 6",
    widget_state: "its metadata hold widgets",
    widget_view: "cell 6: holds a widget",
    no_alt: "cell 6: its picture needs alt text",
    short_alt: "not 'a slope'",
    same_alt_twice: "cell 8: its picture has the alt text of cell 6",
    markdown_alt: "cell 5: the image 09_sample.ipynb needs alt text",
    dead_link: "cell 5: the link ../nowhere.md leads nowhere",
    dead_anchor: "09_sample.ipynb has no heading #Nothing",
    two_parameters: "2 cells are tagged parameters",
    deaf_parameters: "SIZE must be read from the environment: MMLEARN_SIZE",
    no_title: "must begin with the title",
    no_card: "must be tagged card",
    stored_error: "cell 6: stores an error, KeyError",
    out_of_order: "cell 6: its execution count is 7, not 3",
    not_executed: "cell 6: its execution count is None, not 3",
    few_words: "words of prose; 2000 to 4000 is right",
    machine_path: "names a machine's path, /home/somebody",
    other_kernel: "its kernelspec must be python3",
    no_ids: "every cell needs an id",
    installs_everywhere: "must install on Colab and nowhere else",
    shell: "only the setup cell may run shell commands",
    injected: "was injected by papermill",
}


@pytest.mark.parametrize("breach", BREACHES, ids=lambda f: f.__name__)
def test_each_breach_is_named(breach, good, tmp_path):
    breach(good)
    found = problems(good, tmp_path)
    assert any(BREACHES[breach] in text for text in found), found


def test_exercises_have_their_own_rules(good, tmp_path):
    found = problems(good, tmp_path, "exercises")
    assert any("committed without outputs" in text for text in found)
    assert any("no cell tagged exercise:NAME" in text for text in found)
    good["cells"][5]["metadata"]["tags"] = ["exercise:slope"]
    found = problems(good, tmp_path, "exercises")
    assert any("one later cell must be check:slope" in text for text in found)
    assert any("0 name their difficulty" in text for text in found)


def test_what_is_no_notebook_is_refused(tmp_path):
    path = tmp_path / "broken.ipynb"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.ipynb is not a notebook"):
        lint(path)
