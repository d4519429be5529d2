"""What the commands share: how they refuse, and what they check before they set to work."""

import tempfile
from pathlib import Path

import jax

__all__ = ["CommandLineError", "check_file_name", "check_writable", "devices"]


class CommandLineError(Exception):
    """What the user asked for cannot be asked for."""


def check_file_name(name: str) -> None:
    """Refuses a name for files that is none, or that has a folder in it."""
    if not name or Path(name).name != name:
        raise CommandLineError(f"name must be that of a file, without a folder, got {name!r}")


def check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be written, before hours are spent on what is to go there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandLineError(f"cannot write into the folder {folder}: {error.strerror}") from error


def devices() -> str:
    """How many devices JAX has, and of what kind."""
    found = jax.devices()
    return f"{len(found)} × {found[0].device_kind}"
