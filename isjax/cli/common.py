"""What the commands share: their errors, and the checks that they make before they start."""

import tempfile
from pathlib import Path

import jax

__all__ = ["CommandFailed", "CommandLineError", "check_file_name", "check_writable", "devices"]


class CommandLineError(Exception):
    """The command line is wrong: exit code 2."""


class CommandFailed(Exception):  # noqa: N818  (the command line is right, its work failed)
    """The work failed, for a reason that the message states completely: exit code 1."""


def check_file_name(name: str) -> None:
    """Refuses a name for files that is empty or contains a folder."""
    if not name or Path(name).name != name:
        raise CommandLineError(f"name must be that of a file, without a folder, got {name!r}")


def check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be written, before hours of work on its files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandLineError(f"cannot write into the folder {folder}: {error.strerror}") from error


def devices() -> str:
    """The number of JAX's devices, and their kind."""
    found = jax.devices()
    return f"{len(found)} × {found[0].device_kind}"
