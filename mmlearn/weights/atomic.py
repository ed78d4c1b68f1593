"""Writing that either happens whole or not at all.

A file or a directory is first written under a temporary name in the same folder (so
that the last move stays within one disk), forced to the disk, and then moved to its
own name in one step. Whoever looks, at any moment, after any crash, sees the old
thing whole or the new thing whole.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open ``path`` for writing bytes; it changes only when the block ends well.

    Raises whatever the block or the disk raises (``OSError`` when it is full); then
    ``path`` is what it was before and the temporary file is gone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=".tmp", dir=path.parent
    )
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _usual_permissions(name, 0o666)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_directory(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes ``path`` only when the block ends well.

    Raises ``FileExistsError`` if ``path`` exists and ``overwrite`` is false, and
    whatever the block or the disk raises; then nothing has changed on the disk.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(
        tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    )
    old = new.with_suffix(".old")
    try:
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
                _usual_permissions(file, 0o666)
        _usual_permissions(new, 0o777)
        if path.exists():
            os.rename(path, old)
        os.rename(new, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.rename(old, path)
        shutil.rmtree(new, ignore_errors=True)
        raise
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(path: str | Path) -> None:
    """Delete temporary files that a killed process left beside ``path``."""
    path = Path(path)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _usual_permissions(path: str | Path, mode: int) -> None:
    # Temporary names are private to their maker; what is kept follows the umask.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, mode & ~mask)


def _sync_folder(folder: Path) -> None:
    # The new name itself must reach the disk. Windows cannot open folders.
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
