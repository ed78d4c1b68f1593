"""Reading notebooks as what they are: JSON files of cells with tags."""

import ast
import json
import re
from pathlib import Path


def read(path: str | Path) -> dict:
    """The notebook as a dict, every cell's source as one string."""
    path = Path(path)
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells = notebook["cells"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a notebook: {error}") from None
    for cell in cells:
        if isinstance(cell.get("source"), list):
            cell["source"] = "".join(cell["source"])
    return notebook


def tags(cell: dict) -> list[str]:
    """The tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def named(notebook: dict, prefix: str) -> dict[str, str]:
    """``{"attention": source}`` for the code cells tagged ``exercise:attention``."""
    found = {}
    for cell in notebook["cells"]:
        for tag in tags(cell):
            if tag.startswith(prefix + ":") and cell["cell_type"] == "code":
                name = tag.split(":", 1)[1]
                if name in found:
                    raise ValueError(f"two cells are tagged {tag!r}; one is allowed")
                found[name] = cell["source"]
    return found


def code_tagged(notebook: dict, tag: str) -> list[str]:
    """The sources of all code cells with exactly this tag, in order."""
    return [
        cell["source"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and tag in tags(cell)
    ]


def plain_python(source: str) -> str:
    """The cell without its magics: lines that begin with % or ! become ``pass``."""
    if source.startswith("%%"):
        return "pass"
    return re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", source)


def run(source: str, names: dict, where: str = "<cell>"):
    """Run a cell in these names; the value of its last expression, or None."""
    tree = ast.parse(plain_python(source), where)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, where, "exec"), names)
    return None if last is None else eval(compile(last, where, "eval"), names)
