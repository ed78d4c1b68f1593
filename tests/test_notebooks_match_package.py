"""What the notebooks define under a `same:` tag is what the package defines."""

from pathlib import Path

import pytest

from mmlearn.check import code

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
TRUE = """
def tags(cell):  # comments and docstrings are free
    return cell.get(
        "metadata", {}
    ).get("tags", [])
""".replace("def tags(cell):", "def tags(cell: dict) -> list[str]:")
NAME = "mmlearn.check.cells.tags"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_defines_what_the_package_defines(path):
    assert not code.check_notebook(path)


def test_formatting_is_free():
    assert code.check_cell(TRUE, [NAME]) == []


@pytest.mark.parametrize(
    "source, name, words",
    [
        (TRUE.replace("[])", "())"), NAME, "the notebook has `return cell.get"),
        (TRUE.replace(": dict", ""), NAME, "has `def tags(cell) -> list[str]:` where"),
        (TRUE.replace("def tags", "def other"), NAME, "does not define tags"),
        (TRUE + "\ndef more(): pass", NAME, "also defines more"),
        (TRUE, "mmlearn.check.cells.labels", "names nothing: no labels there"),
        (TRUE, "mmlearn.nothing.tags", "names nothing: no nothing there"),
        ("def tags(", NAME, "is not Python"),
    ],
)
def test_each_difference_is_told(source, name, words):
    (problem, *_) = code.check_cell(source, [name])
    assert words in problem


def test_methods_constants_and_re_exports_are_found():
    assert code.find("mmlearn.check.verdict.Verdict.show").name == "show"
    assert code.find("mmlearn.show.figures.COLOURS")
    assert code.find("mmlearn.show.axes").name == "axes"
