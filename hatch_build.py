"""What of `data/` goes into the wheel: all but the walls of pictures.

Walls are for who reads the repository; no code opens them, and they are a fifth of it.
"""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Data(BuildHookInterface):
    """Adds each file of `data/` as `mmlearn/_data/`; an editable install needs none."""

    def initialize(self, version: str, build_data: dict) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        for path in sorted((root / "data").rglob("*")):
            if path.is_file() and not is_wall(path):
                inside = Path("mmlearn/_data") / path.relative_to(root / "data")
                build_data["force_include"][str(path)] = inside.as_posix()


def is_wall(path: Path) -> bool:
    """Whether a file is a picture among the results."""
    return path.parent.name == "results" and path.suffix == ".png"
