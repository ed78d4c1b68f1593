"""``python -m mmlearn notebooks``: run, measure and refresh the notebooks."""

import argparse
import copy
from pathlib import Path

import nbformat

from mmlearn.notebooks import header, project
from mmlearn.notebooks.execute import NotebookFailed, Run, execute
from mmlearn.notebooks.refresh import save, with_outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmlearn notebooks``."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="such as 01_clip (default: all)"
    )
    parser.add_argument("--size", choices=header.SIZES, default="laptop")
    parser.add_argument("--out", type=Path, default=Path("executed"), metavar="FOLDER")
    parser.add_argument(
        "--html", action="store_true", help="also write each as a page (HTML)"
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="write outputs and measurements into the committed notebooks instead",
    )
    parser.add_argument(
        "--headers",
        action="store_true",
        help="run nothing: only write badges, install lines and cards anew",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep this machine's measurements in data/results and in the cards",
    )


def run(args: argparse.Namespace) -> int:
    """Run the notebooks one by one; 1 if any of them failed."""
    if args.headers:
        return write_headers(args.names)
    if args.refresh and args.size != "laptop":
        raise ValueError(
            "notebooks are committed as run at laptop size: use --refresh with it, and "
            f"--record to measure {args.size}"
        )
    failed = []
    for path in project.find_notebooks(args.names):
        name = title(path)
        print(f"{name} at {args.size} size", flush=True)
        try:
            done = execute(path, args.size)
        except NotebookFailed as error:
            print(f"✗ {error}", flush=True)
            failed.append(name)
            continue
        peak = done.facts.get("peak_mb", 0)
        print(f"✓ {name}: {done.seconds:.0f} s, {peak} MB", flush=True)
        if args.refresh or args.record:
            write_back(path, name, args.size, done, args.refresh)
        if not args.refresh or args.html:
            write_out(args.out, name, done, args.html)
    if failed:
        print(
            f"{len(failed)} failed: {', '.join(failed)}; nothing of theirs was written"
        )
    return 1 if failed else 0


def write_headers(names: list[str]) -> int:
    """What the script owns, into every committed notebook, exercises too."""
    for path in project.find_notebooks(names, exercises=True):
        before = nbformat.read(path, as_version=4)
        after = header.write_header(copy.deepcopy(before), title(path))
        if after != before:
            save(path, after)
            print(f"✓ {title(path)}")
    return 0


def title(path: Path) -> str:
    """``01_clip`` or ``solutions/01_clip``."""
    folder = path.parent.name
    return (
        path.stem
        if folder not in ("exercises", "solutions")
        else f"{folder}/{path.stem}"
    )


def write_back(path: Path, name: str, size: str, done: Run, outputs: bool) -> None:
    """The header, and with ``outputs`` the outputs, into the committed notebook."""
    results = header.record(name, size, done.facts)
    committed = nbformat.read(path, as_version=4)
    if outputs:
        committed = with_outputs(committed, done.notebook)
    save(path, header.write_header(committed, name, results))


def write_out(folder: Path, name: str, done: Run, html: bool) -> None:
    """The executed notebook, and its page, into the output folder."""
    path = folder / f"{name}.ipynb"
    notebook = header.write_header(with_outputs(done.notebook, done.notebook), name)
    save(path, notebook)
    if html:
        from mmlearn.notebooks.page import write_html

        write_html(notebook, path.with_suffix(".html"))
    print(f"  {path}" + (f" and {path.with_suffix('.html').name}" if html else ""))
