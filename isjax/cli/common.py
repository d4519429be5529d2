"""What the commands share: their errors, and the checks that they make before they start."""

import hashlib
import logging
import platform
import tempfile
from pathlib import Path

import jax
import platformdirs
from rich.console import Console
from rich.markup import escape
from rich.status import Status

__all__ = [
    "CommandFailed",
    "CommandLineError",
    "check_file_name",
    "check_writable",
    "devices",
    "keep_programs",
    "programs_folder",
    "working",
]


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


def keep_programs() -> None:
    """Makes JAX keep compiled programs, and use those that earlier runs kept."""
    jax.config.update("jax_compilation_cache_dir", str(programs_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # XLA warns, for each program that it loads, that the machine lacks "prefer-no-gather" and the like, which are hints
    # for tuning and not features (jax-ml/jax#38445). JAX's own warnings are still shown.
    level = logging.getLogger("jax").level
    jax.config.update("jax_logging_level", "CRITICAL")
    logging.getLogger("jax").setLevel(level)


def programs_folder() -> Path:
    """Where compiled programs are kept: one folder for each type of processor, since they hold its instructions."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    kind = hashlib.sha256(f"{platform.platform()} {flags}".encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("isjax") / f"programs-{platform.machine()}-{kind}"


def working(text: str) -> Status:
    """What is being done and a moving sign, on standard error, while a block of ``with`` runs; only on a terminal."""
    console = Console(stderr=True, emoji=False)
    return Status(f"isjax: {escape(text)}", console=console if console.is_terminal else Console(quiet=True))
