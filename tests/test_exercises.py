"""Each exercise: the solution passes, the stub is polite, mistakes get their hints."""

import runpy
from pathlib import Path

import pytest
import torch

from mmlearn.check import cells, exercises

ROOT = Path(__file__).parent.parent
HERE = ROOT / "notebooks" / "exercises"
CASES = [
    pytest.param(path, name, id=f"{path.stem}-{name}")
    for path in sorted(HERE.glob("*.ipynb"))
    for name in cells.named(cells.read(path), "exercise")
]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def smoke(monkeypatch):
    monkeypatch.setenv("MMLEARN_SIZE", "smoke")


def solution_of(path: Path) -> Path:
    return path.parent.parent / "solutions" / path.name


def planted_for(path: Path, name: str) -> list:
    """The planted mistakes of one exercise: (code, phrase of the hint)."""
    file = ROOT / "tests" / "planted" / f"{path.stem}.py"
    assert file.exists(), f"plant two mistakes an exercise in tests/planted/{file.name}"
    planted = runpy.run_path(str(file))["PLANTED"]
    assert len(planted.get(name, [])) >= 2, f"{file.name} needs 2 mistakes for {name}"
    return planted[name]


@pytest.mark.parametrize("path, name", CASES)
def test_the_solution_passes(path, name):
    verdict = exercises.verdict_in(solution_of(path), name)
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("path, name", CASES)
def test_the_stub_fails_politely(path, name):
    verdict = exercises.verdict_in(path, name)
    assert verdict.kind == "not yet", verdict.message


@pytest.mark.parametrize("path, name", CASES)
def test_planted_mistakes_get_the_hint_meant_for_them(path, name):
    for code, phrase in planted_for(path, name):
        verdict = exercises.verdict_in(path, name, code)
        assert verdict.kind == "wrong", f"not caught: {code}\n{verdict.message}"
        assert phrase in verdict.message, f"{phrase!r} is not in: {verdict.message}"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.ipynb")), ids=lambda p: p.stem)
def test_each_notebook_has_its_solution_and_its_checks(path):
    names = list(cells.named(cells.read(path), "exercise"))
    assert len(names) >= 5
    assert names == list(cells.named(cells.read(solution_of(path)), "exercise"))
    assert set(names) == set(
        exercises.exercise_names(exercises.chapter_module(path.stem))
    )


# The machinery itself, on one small exercise: "the softmax of x over its last axis".


def check_softmax(answer):
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    mine = answer(x)
    if not torch.allclose(mine.sum(-1), torch.ones(2)):
        return "each row must add up to 1; over which axis do you divide?"
    return None if torch.allclose(mine, x.softmax(-1)) else "the rows differ"


@pytest.fixture
def checked(monkeypatch):
    monkeypatch.setattr(exercises, "find_check", lambda *_: check_softmax)
    return lambda answer: exercises.exercise("demo", "softmax", answer)


def stub(x): ...


def half_a_stub(x):
    """Two lines are missing."""
    top = ...
    return top / 2


def returns_nothing(x):
    x.exp()


def over_the_wrong_axis(x):
    return x.softmax(0)


def crashes(x):
    return x.soft_max(-1)


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        (lambda x: x.softmax(-1), "passed", "softmax: right"),
        (None, "not yet", "Not yet: softmax"),
        (..., "not yet", "Not yet: softmax"),
        (stub, "not yet", "replace the ..."),
        (half_a_stub, "not yet", "a ... is still there"),
        (returns_nothing, "not yet", "still returns None"),
        (over_the_wrong_axis, "wrong", "over which axis do you divide?"),
        (lambda x: x.exp(), "wrong", "must add up to 1"),
        (crashes, "wrong", "AttributeError: 'Tensor' object has no attribute"),
    ],
)
def test_each_kind_of_answer_gets_its_line(checked, answer, kind, words):
    verdict = checked(answer)
    assert verdict.kind == kind and words in verdict.message
    assert verdict.passed == (kind == "passed")


def test_a_function_that_returns_a_constant_is_no_stub():
    assert exercises.is_empty(stub) and exercises.is_empty(lambda: None)
    assert not exercises.is_empty(lambda: "text")
    assert not exercises.is_empty(returns_nothing)


def test_an_empty_method_is_a_stub():
    class Layer(torch.nn.Module):
        def forward(self, x): ...

    assert exercises.is_stub(Layer) and exercises.is_stub(Layer())
    assert not exercises.is_stub(torch.nn.Identity()) and not exercises.is_stub(3.0)


def test_unknown_chapters_and_exercises_are_refused():
    with pytest.raises(ValueError, match="no exercise checks for '99_nothing'"):
        exercises.exercise("99_nothing", "softmax", 1)
