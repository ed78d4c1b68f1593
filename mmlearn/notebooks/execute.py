"""Running one notebook from top to bottom with papermill."""

import contextlib
import datetime
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import papermill
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from mmlearn.paths import PACKAGE


class NotebookFailed(ValueError):
    """A cell raised an error: names the notebook, the cell and the error."""


@dataclass
class Run:
    """notebook: with fresh outputs. facts: what was measured, as the card wants it."""

    notebook: NotebookNode
    seconds: float
    facts: dict = field(default_factory=dict)


class _Client(PapermillNotebookClient):
    """Asks the kernel, after the last cell, what it is and how much memory it took."""

    QUESTION = "__import__('mmlearn.notebooks.execute').notebooks.execute.facts({!r})"

    def papermill_execute_cells(self):
        super().papermill_execute_cells()
        size = os.environ.get("MMLEARN_SIZE", "")
        question = {"facts": self.QUESTION.format(size)}
        request = self.kc.execute("", silent=True, user_expressions=question)
        answer = self.wait_for_reply(request)["content"].get("user_expressions", {})
        text = answer.get("facts", {}).get("data", {}).get("text/plain")
        self.nb.metadata["mmlearn_facts"] = text


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, **kwargs):
        limit = kwargs.get("execution_timeout")
        _Client(
            nb_man,
            kernel_name=kernel_name,
            timeout=limit,
            shutdown_kernel="immediate",  # it holds nothing that has to be saved
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        ).execute()


papermill_engines.register("mmlearn", _Engine)


def facts(size: str) -> dict:
    """What this process has used and runs on (asked inside the kernel)."""
    import torch

    from mmlearn import machine

    return {
        "peak_mb": machine.peak_memory(),
        "hardware": machine.describe(size),
        "cpu_cores": machine.cores(),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }


@contextlib.contextmanager
def environment(size: str, seed: int = 0):
    """What a notebook run by us sees; what was set before comes back afterwards.

    A checkout that is not installed is importable too.
    """
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.getenv("PYTHONPATH")]))
    new = {
        "MMLEARN_SIZE": size,
        "MMLEARN_SEED": str(seed),
        "MMLEARN_OFFLINE": "1",
        "MMLEARN_STATIC": "1",
        "PYTHONPATH": path,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the kernel starts with a warning
    }
    before = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def execute(
    path: Path, size: str, *, limit: float | None = None, progress: bool = True
) -> Run:
    """Run a notebook at a size; nothing is written.

    limit: seconds that any one cell may take. Raises NotebookFailed with one sentence
    if a cell raises, or takes too long.
    """
    began = time.perf_counter()
    try:
        with environment(size):
            notebook = papermill.execute_notebook(
                path,
                None,
                engine_name="mmlearn",
                kernel_name="python3",
                progress_bar=progress,
                cwd=path.parent,
                execution_timeout=limit,
            )
    except PapermillExecutionError as error:
        raise NotebookFailed(
            f"{path.name}, cell {error.cell_index + 1}, raised {error.ename}: "
            f"{error.evalue}{failing_line(error.traceback)}"
        ) from None
    except (TimeoutError, RuntimeError) as error:
        raise NotebookFailed(
            f"{path.name}: {str(error).strip() or type(error)}"
        ) from None
    seconds = time.perf_counter() - began
    known = notebook.metadata.pop("mmlearn_facts", None)
    measured = {"seconds": round(seconds, 1)}
    if known:
        import ast

        measured |= ast.literal_eval(known)
    return Run(notebook, seconds, measured)


def failing_line(traceback: list[str]) -> str:
    """`` (in `x = 1 / 0`)``: the line of the cell at which it stopped."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback or []))
    found = re.search(r"(?m)^-+> *\d+ (.+)$", plain)
    return f" (in `{found[1].strip()}`)" if found else ""
