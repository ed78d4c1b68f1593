"""The syntax-tree tie: what a notebook defines is what the package defines.

A code cell tagged ``same:mmlearn.clip.clip_loss`` must define ``clip_loss`` exactly as
the package does. Formatting, comments and docstrings are free; everything else counts.
A cell may carry several such tags, and defines nothing that is not tagged.
"""

import ast
import difflib
import importlib
import sys
from pathlib import Path

from mmlearn.check.cells import plain_python, read, tags

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def check_notebook(path: str | Path) -> list[str]:
    """One sentence for every tie that is broken; none if all hold."""
    path = Path(path)
    problems = []
    for number, cell in enumerate(read(path)["cells"], 1):
        names = [t.removeprefix("same:") for t in tags(cell) if t.startswith("same:")]
        if names:
            where = f"{path.name}, cell {number}"
            problems += [f"{where}: {p}" for p in check_cell(cell["source"], names)]
    return problems


def check_cell(source: str, names: list[str]) -> list[str]:
    """What differs between a cell's definitions and those of the tagged names."""
    try:
        tree = ast.parse(plain_python(source))
    except SyntaxError as error:
        return [f"it is not Python: {error}"]
    mine = definitions(tree)
    problems = []
    for name in names:
        short = name.rpartition(".")[2]
        try:
            theirs = find(name)
        except LookupError as error:
            problems.append(str(error))
            continue
        if short not in mine:
            problems.append(f"it is tagged same:{name}, but does not define {short}")
        elif text := difference(mine[short], theirs):
            problems.append(f"{short} differs from {name}: {text}")
    tagged = {name.rpartition(".")[2] for name in names}
    for node in tree.body:
        if isinstance(node, DEFINITIONS) and node.name not in tagged:
            problems.append(f"it also defines {node.name}, which no same: tag names")
    return problems


def definitions(tree: ast.Module) -> dict[str, ast.AST]:
    """Functions, classes and assigned names at a module's top, by name."""
    found = {}
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id] = node
    return found


def find(name: str) -> ast.AST:
    """The definition of a dotted name in the package's source.

    Follows re-exports (``mmlearn.nn.Attention`` stands in ``mmlearn/nn/attention.py``)
    and methods. Raises LookupError with one sentence if there is none.
    """
    parts = name.split(".")
    if parts[0] != "mmlearn" or len(parts) < 2:
        raise LookupError(f"the tag same:{name} must name something in mmlearn")
    module, rest = import_longest(parts)
    value = module
    for part in rest:
        if not hasattr(value, part):
            raise LookupError(f"the tag same:{name} names nothing: no {part} there")
        value = getattr(value, part)
    home = getattr(value, "__module__", None)
    if home and home.startswith("mmlearn") and hasattr(value, "__qualname__"):
        module, rest = sys.modules[home], value.__qualname__.split(".")
    node = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for part in rest:
        inside = definitions(node)
        if part not in inside:
            raise LookupError(f"{module.__name__} does not define {part} at its top")
        node = inside[part]
    if isinstance(node, ast.Module):
        raise LookupError(f"the tag same:{name} names a module, not a definition")
    return node


def import_longest(parts: list[str]):
    """The module at the longest prefix that is one, and the parts that are left."""
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        try:
            return importlib.import_module(name), parts[end:]
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
    raise LookupError(f"there is no module {parts[0]}")


def difference(mine: ast.AST, theirs: ast.AST) -> str | None:
    """The first line that differs, or None."""
    mine, theirs = strip(mine), strip(theirs)
    if ast.dump(mine) == ast.dump(theirs):
        return None
    left = ast.unparse(mine).splitlines()
    right = ast.unparse(theirs).splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, _, j, _ in matcher.get_opcodes():
        if kind != "equal":
            here = left[i].strip() if i < len(left) else "(nothing more)"
            there = right[j].strip() if j < len(right) else "(nothing more)"
            return f"the notebook has `{here}` where the package has `{there}`"
    return "the two read alike but parse differently"


def strip(node: ast.AST) -> ast.AST:
    """A copy without docstrings."""
    node = ast.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(node):
        if isinstance(inner, DEFINITIONS) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return node
