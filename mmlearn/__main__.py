"""The command line: ``python -m mmlearn train|evaluate|notebooks|doctor``."""

import argparse
import importlib
import os
import sys

COMMANDS = {
    "train": ("mmlearn.train.command", "train a model by its recipe"),
    "evaluate": ("mmlearn.evaluate.command", "measure a model's claims"),
    "notebooks": ("mmlearn.notebooks.command", "run the notebooks from top to bottom"),
    "doctor": ("mmlearn.diagnosis", "say what is installed, and what is missing"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status (2: the request was wrong)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser("python -m mmlearn", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = None
    for name, (module, text) in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text)
        if name in arguments[:1]:  # only the chosen command is imported
            chosen = importlib.import_module(module)
            chosen.add_arguments(one)
    args = parser.parse_args(arguments)
    try:
        return chosen.run(args) or 0
    except ValueError as error:  # meant for the reader: one sentence, no traceback
        if os.environ.get("MMLEARN_TRACEBACK") == "1":
            raise
        print(f"mmlearn {args.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
