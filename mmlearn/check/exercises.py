"""`check.exercise`: is the answer right, and if not, what is wrong with it?

    check.exercise("00_start_here", "attention", attention)

A chapter's checks are the plain functions of one module: the check above is
``attention(answer)`` in ``mmlearn/check/chapters/start_here.py``. A check returns None
when the answer is right and otherwise a hint: a sentence saying what is wrong. It may
also raise AssertionError with the hint, or NotYet when there is nothing to judge.
"""

import dis
import functools
import importlib
import inspect
import traceback
from pathlib import Path
from types import ModuleType

from mmlearn.check import cells
from mmlearn.check.verdict import Verdict


class NotYet(Exception):
    """Raised by a stub, or by a check that finds nothing to judge."""


def exercise(chapter: str, name: str, answer) -> Verdict:
    """Check a learner's answer and show one line; a wrong answer raises nothing.

    chapter: the notebook's name, "00_start_here" or "exercises/00_start_here".
    name: which exercise. answer: the function, class, tensor or number asked for.
    Returns the verdict; ValueError if there is no such chapter or exercise.
    """
    check = find_check(chapter, name)
    title = name.replace("_", " ")
    try:
        if is_stub(answer):
            raise NotYet("replace the ... with your answer, then run this cell again")
        hint = check(watch(answer))
    except NotYet as missing:
        return Verdict(False, f"Not yet: {title}: {missing}", "not yet").show()
    except AssertionError as wrong:
        hint = str(wrong) or "an assertion failed"
    except Exception as error:  # the learner's own, told as a hint
        if still_a_stub(answer, error):
            text = "a ... is still there, or a result is still None"
            return Verdict(False, f"Not yet: {title}: {text}", "not yet").show()
        hint = f"your code stopped with {type(error).__name__}: {error}{place(error)}"
    if hint is not None:
        return Verdict(False, f"{title}: {hint}", "wrong").show()
    return Verdict(True, f"{title}: right", "passed").show()


def find_check(chapter: str, name: str):
    """The function that checks one exercise."""
    module = chapter_module(chapter)
    known = exercise_names(module)
    if name not in known:
        raise ValueError(
            f"{chapter} has no exercise {name!r}; it has {', '.join(known) or 'none'}"
        )
    return getattr(module, name)


def chapter_module(chapter: str) -> ModuleType:
    """The module of a chapter's checks: "00_start_here" → ``start_here``."""
    short = chapter.replace("\\", "/").rpartition("/")[2].removesuffix(".ipynb")
    short = short.lstrip("0123456789").lstrip("_")
    full = f"mmlearn.check.chapters.{short}"
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        raise ValueError(f"there are no exercise checks for {chapter!r}") from None


def exercise_names(module: ModuleType) -> list[str]:
    """The public functions that the module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def watch(answer):
    """A plain function that says NotYet when it returns None or ``...``."""
    if not inspect.isfunction(answer):
        return answer

    @functools.wraps(answer)
    def watched(*args, **kwargs):
        result = answer(*args, **kwargs)
        if result is None or result is ...:
            raise NotYet(f"{answer.__name__} still returns {result!r}")
        return result

    return watched


def is_stub(answer) -> bool:
    """Whether nothing was filled in: None, ``...``, an empty function or method."""
    if answer is None or answer is ...:
        return True
    if inspect.isfunction(answer):
        return is_empty(answer)
    cls = answer if inspect.isclass(answer) else type(answer)
    # A learner's class is defined in the notebook, never in a library.
    if cls.__module__.split(".")[0] in ("builtins", "torch", "numpy", "mmlearn"):
        return False
    return any(is_empty(f) for f in vars(cls).values() if inspect.isfunction(f))


def is_empty(function) -> bool:
    """Whether a body is only ``...``, ``pass`` or a docstring: it just returns None."""
    steps = [
        (step.opname, step.argval)
        for step in dis.get_instructions(function)
        if step.opname.startswith(("LOAD", "STORE", "CALL", "RETURN", "RAISE", "POP"))
    ]
    returns = ([("LOAD_CONST", None), ("RETURN_VALUE", None)], [("RETURN_CONST", None)])
    return steps in returns


def still_a_stub(answer, error: Exception) -> bool:
    """Whether an error comes from a ``...`` or None that was left in the answer."""
    text = str(error)
    if "ellipsis" in text.lower():
        return True
    return inspect.isclass(answer) and "NoneType" in text


def place(error: Exception) -> str:
    """`` (in line 3 of attention: `scores = q @ k`)``: the learner's innermost line."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (
            "/" not in frame.filename.replace("\\", "/")
            or "ipykernel" in frame.filename
        ):
            line = f": `{frame.line}`" if frame.line else ""
            return f" (in {frame.name}, line {frame.lineno}{line})"
    return ""


def verdict_in(notebook: str | Path, name: str, code: str | None = None) -> Verdict:
    """Run one exercise of a notebook in this process, and return its verdict.

    The cells tagged ``setup`` run first, then the cell tagged ``exercise:name`` (or
    ``code`` in its place), then the one tagged ``check:name``, which ends in a call
    of `exercise`. The test of the exercises is made of this.
    """
    content, where = cells.read(notebook), Path(notebook).name
    answers, checks = cells.named(content, "exercise"), cells.named(content, "check")
    for kind, found in (("exercise", answers), ("check", checks)):
        if name not in found:
            raise ValueError(f"{where} has no code cell tagged {kind}:{name}")
    names = {"__name__": "__main__"}
    for source in cells.code_tagged(content, "setup"):
        cells.run(source, names, f"<setup of {where}>")
    answer = answers[name] if code is None else code
    cells.run(answer, names, f"<{name} of {where}>")
    verdict = cells.run(checks[name], names, f"<check of {name}>")
    if not isinstance(verdict, Verdict):
        raise ValueError(f"the cell check:{name} of {where} must end in check.exercise")
    return verdict
