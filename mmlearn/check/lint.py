"""The rules of a notebook, each a small function that says what would be right.

`lint(path)` applies the rules of the notebook's kind (chapter, exercises, solutions)
and returns one sentence for every breach, naming notebook and cell.
"""

import re
from pathlib import Path

from mmlearn.check import prose
from mmlearn.check.cells import read, tags

LINE, MEDIAN, MOST, SHARE = 88, 6, 20, 0.9
SETUP_LINES = 8
BYTES = 2_000_000
WIDGET = "application/vnd.jupyter.widget-view+json"
SIZES = ("SIZE", "SEED", "TRAIN")
# A path of somebody's machine, in an output or in a cell.
MACHINE = re.compile(
    r"(?<![\w./])/(?:home|root|Users|tmp|work|mnt|opt|usr|var|content)/[\w.]+|\b[A-Z]:\\\\?\w+"
)


def lint(path: str | Path, kind: str | None = None) -> list[str]:
    """Every breach of the rules in one notebook; none if it keeps them all.

    kind: "chapter", "exercises" or "solutions"; by default what its folder says.
    """
    path = Path(path)
    kind = kind or {"exercises": "exercises", "solutions": "solutions"}.get(
        path.parent.name, "chapter"
    )
    notebook = read(path)
    rules = [*EVERY, *{"chapter": CHAPTER, "exercises": BARE, "solutions": RUN}[kind]]
    problems = [text for rule in rules for text in rule(notebook)]
    problems += prose.check_links(notebook, path)
    if path.stat().st_size >= BYTES:
        size = path.stat().st_size / 1e6
        problems.append(f"the file has {size:.1f} MB; it must stay under 2 MB")
    return [f"{path.name}, {text}" for text in problems]


def code_cells(notebook: dict):
    """(number from 1, cell) for every code cell that holds something."""
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code" and cell["source"].strip():
            yield number, cell


def outputs(notebook: dict):
    """(cell number, output) for every stored output."""
    for number, cell in code_cells(notebook):
        for output in cell.get("outputs", []):
            yield number, output


def text_of(value) -> str:
    """One text, where Jupyter keeps a list of lines."""
    return "".join(value) if isinstance(value, list) else str(value)


def lengths(notebook: dict) -> list[str]:
    """Cells are short: median 6 lines, nine tenths within 20."""
    sizes = {n: len(c["source"].strip().splitlines()) for n, c in code_cells(notebook)}
    if not sizes:
        return ["it has no code"]
    problems = []
    middle = sorted(sizes.values())[len(sizes) // 2]
    if middle > MEDIAN:
        problems.append(f"its code cells' median is {middle} lines; make it {MEDIAN}")
    long = [n for n, size in sizes.items() if size > MOST]
    if len(long) > (1 - SHARE) * len(sizes):
        where = ", ".join(f"cell {n} ({sizes[n]})" for n in long)
        problems.append(f"more than a tenth of the code cells exceed 20 lines: {where}")
    return problems


def widths(notebook: dict) -> list[str]:
    """No line of code is longer than 88 characters."""
    return [
        f"cell {number}: line {i} has {len(line)} characters; {LINE} are allowed"
        for number, cell in code_cells(notebook)
        for i, line in enumerate(cell["source"].splitlines(), 1)
        if len(line) > LINE
    ]


def no_widgets(notebook: dict) -> list[str]:
    """No widget state and no widget views, which GitHub fails to render."""
    problems = []
    if "widgets" in notebook.get("metadata", {}):
        problems.append("its metadata hold widgets; run it by `mmlearn notebooks`")
    for number, output in outputs(notebook):
        if WIDGET in output.get("data", {}):
            problems.append(f"cell {number}: holds a widget; run with MMLEARN_STATIC=1")
    return problems


def metadata(notebook: dict) -> list[str]:
    """The kernel is python3 and nothing else is stored; every cell has its id."""
    problems, found = [], notebook.get("metadata", {})
    if found.get("kernelspec", {}).get("name") != "python3":
        problems.append("its kernelspec must be python3")
    if extra := set(found) - {"kernelspec", "language_info"}:
        problems.append(f"its metadata hold {', '.join(sorted(extra))}; remove them")
    ids = [cell.get("id") for cell in notebook["cells"]]
    if None in ids or len(set(ids)) != len(ids):
        problems.append("every cell needs an id of its own (nbformat 4.5)")
    for number, cell in enumerate(notebook["cells"], 1):
        if extra := set(cell.get("metadata", {})) - {"tags", "jupyter", "slideshow"}:
            text = ", ".join(sorted(extra))
            problems.append(f"cell {number}: its metadata hold {text}; remove them")
        if "injected-parameters" in tags(cell):
            problems.append(f"cell {number}: was injected by papermill; remove it")
    return problems


def parameters(notebook: dict) -> list[str]:
    """Exactly one parameters cell, whose values may come from the environment."""
    found = [(n, c) for n, c in code_cells(notebook) if "parameters" in tags(c)]
    if len(found) != 1:
        return [f"{len(found)} cells are tagged parameters; exactly one must be"]
    number, cell = found[0]
    return [
        f"cell {number}: {name} must be read from the environment: MMLEARN_{name}"
        for name in SIZES
        if not re.search(rf"(?m)^{name}\b.*MMLEARN_{name}\b", cell["source"])
    ]


def setup(notebook: dict) -> list[str]:
    """One setup cell of at most 8 lines, which installs on Colab and nowhere else."""
    found = [(n, c) for n, c in code_cells(notebook) if "setup" in tags(c)]
    if len(found) != 1:
        return [f"{len(found)} cells are tagged setup; exactly one must be"]
    number, source = found[0][0], found[0][1]["source"]
    problems = []
    if len(source.splitlines()) > SETUP_LINES:
        problems.append(f"cell {number}: setup must not exceed {SETUP_LINES} lines")
    if not re.search(r'if "google\.colab" in sys\.modules:.*\n +%pip install', source):
        problems.append(
            f"cell {number}: setup must install on Colab and nowhere else: "
            '`if "google.colab" in sys.modules:` and then `%pip install …`'
        )
    return problems


def no_installs(notebook: dict) -> list[str]:
    """No shell commands or installs outside the setup cell."""
    return [
        f"cell {number}: only the setup cell may run shell commands"
        for number, cell in code_cells(notebook)
        if "setup" not in tags(cell)
        and re.search(r"(?m)^\s*(!|%pip|%conda|%%bash|%%sh)", cell["source"])
    ]


def header(notebook: dict) -> list[str]:
    """Title and badge first, then the card; both as the script writes them."""
    cells = notebook["cells"]
    first = cells[0] if cells else {"cell_type": "", "source": ""}
    problems = []
    if first["cell_type"] != "markdown" or not first["source"].startswith("# "):
        problems.append("cell 1: must begin with the title, `# …`")
    if "<!-- badge -->" not in first["source"]:
        problems.append("cell 1: needs <!-- badge --> and <!-- /badge -->")
    cards = [c for c in cells if c["cell_type"] == "markdown" and "card" in tags(c)]
    if len(cards) != 1 or "<!-- measured -->" not in cards[0]["source"]:
        problems.append(
            "one markdown cell must be tagged card and hold <!-- measured --> and "
            "<!-- /measured -->"
        )
    return problems


def ran_in_order(notebook: dict) -> list[str]:
    """Committed as run: execution counts 1, 2, 3, … and no error."""
    problems = []
    for count, (number, cell) in enumerate(code_cells(notebook), 1):
        if cell.get("execution_count") != count:
            problems.append(
                f"cell {number}: its execution count is {cell.get('execution_count')}, "
                f"not {count}; commit it as run from top to bottom"
            )
            break
    for number, output in outputs(notebook):
        if output["output_type"] == "error":
            problems.append(f"cell {number}: stores an error, {output.get('ename')}")
    return problems


def not_run(notebook: dict) -> list[str]:
    """Exercises are committed without outputs."""
    return [
        f"cell {number}: exercises are committed without outputs; clear them"
        for number, cell in code_cells(notebook)
        if cell.get("outputs") or cell.get("execution_count") is not None
    ]


def no_machine_paths(notebook: dict) -> list[str]:
    """No path of the machine that ran it, in code or outputs."""
    problems = []
    for number, cell in code_cells(notebook):
        texts = [cell["source"]]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [text_of(output.get("text", "")), *output.get("traceback", [])]
            texts += [text_of(v) for k, v in data.items() if k.startswith("text/")]
        for text in texts:
            plain = re.sub(r"data:image/\S+|https?://\S+", "", text)
            if found := MACHINE.search(plain):
                problems.append(f"cell {number}: names a machine's path, {found[0]}")
                break
    return problems


def exercise_tags(notebook: dict) -> list[str]:
    """Every exercise:NAME has its check:NAME after it, and there is a setup cell."""
    order = [(n, tag) for n, cell in code_cells(notebook) for tag in tags(cell)]
    problems = []
    for number, tag in order:
        kind, _, name = tag.partition(":")
        if kind == "exercise":
            later = [n for n, other in order if other == f"check:{name}" and n > number]
            if len(later) != 1:
                problems.append(f"cell {number}: one later cell must be check:{name}")
    if not any(tag.startswith("exercise:") for _, tag in order):
        problems.append("it has no cell tagged exercise:NAME")
    return problems


EVERY = [widths, no_widgets, metadata, setup, no_installs, no_machine_paths, prose.alts]
RUN = [ran_in_order, prose.output_alts, exercise_tags]
BARE = [not_run, exercise_tags, prose.labels]
CHAPTER = [
    header, parameters, lengths, ran_in_order, prose.output_alts, prose.words
]  # fmt: skip
