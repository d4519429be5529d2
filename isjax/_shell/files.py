"""Files that are complete or absent."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object], *, flush: bool = True) -> Path:
    """Writes a file to a temporary name in the same folder, flushes it to the disk, then renames it.

    ``write`` is given the temporary path. If it raises, neither the file nor the temporary one is left behind. Without
    ``flush`` the system writes it to the disk when it chooses to: a crash of the machine may leave a part of it.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(temporary))
        os.chmod(temporary, 0o666 & ~_umask())
        if flush:
            _flush(temporary, os.O_RDWR)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if flush:
        with contextlib.suppress(OSError):  # not every system can
            _flush(path.parent, os.O_RDONLY)  # the name, too
    return path


def _flush(path: str | os.PathLike[str], mode: int) -> None:
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
