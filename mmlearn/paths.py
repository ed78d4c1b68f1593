"""Where the data lives: beside a checkout's package, or inside an installed one."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def data_path(*parts: str) -> Path:
    """The path of ``data/<parts>``, in a checkout or in an installed wheel.

    A checkout keeps ``data/`` beside the package; a wheel carries the same folder
    as ``mmlearn/_data``. The path is returned whether or not it exists: what is
    missing, and what to do about it, is for the caller to say.
    """
    installed = PACKAGE / "_data"
    root = installed if installed.is_dir() else PACKAGE.parent / "data"
    return root.joinpath(*parts)
