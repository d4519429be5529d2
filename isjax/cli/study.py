"""The commands on studies: ``isjax sweep`` runs one, ``plot`` and ``show`` read its file.

They import ``isjax.study`` when they are called, so that other commands, and help, need not load xarray and matplotlib.
"""

import contextlib
import dataclasses
import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import jax
import tyro
from rich.console import Console

from isjax import _checks
from isjax.cli.common import CommandFailed, CommandLineError, check_file_name, check_writable, devices, keep_programs
from isjax.cli.sources import File, Sources, Sparse
from isjax.cross_validation import Sample
from isjax.sources import Problem
from isjax.sweeps import SweepSpec

if TYPE_CHECKING:
    import xarray as xr

    from isjax.study.runner import Executor

__all__ = ["DEFAULT_SPEC", "Plot", "Show", "Study", "Sweep"]

_logger = logging.getLogger(__name__)

DEFAULT_SPEC = SweepSpec(num_steps=2000, rules=("log", "zero_one"))
"""The grid of the default study."""

_ENCODERS = ("identity", "sufficient", "biased")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What the commands share that train networks, block by block, and write a study."""

    seed: int = 0
    """Seed of all that is random."""
    output: Path = Path()
    """Folder for the files; created if it does not exist."""
    name: str | None = None
    """Name of the files."""
    resume: bool = False
    """Continue an interrupted run: train only the blocks that are missing."""
    overwrite: bool = False
    """Replace a study of the same name."""
    cluster: str | None = None
    """Address of a Dask scheduler whose workers train the blocks, such as tcp://host:8786."""
    quiet: bool = False
    """Print only warnings and errors."""
    keep_programs: bool = True
    """Keep compiled programs, so that the same shapes are compiled once; isjax doctor prints in which folder."""

    @property
    def file_name(self) -> str:
        """Name of the files, without an ending."""
        return self.name or "study"

    def warn(self, text: str) -> None:
        """A line on standard error."""
        console = Console(stderr=True, emoji=False)
        console.print(f"isjax: {text}", highlight=False, markup=False, soft_wrap=True)

    def run(
        self,
        console: Console,
        problems: Mapping[tuple[str, str], Any],
        spec: SweepSpec,
        *,
        num_folds: int = 5,
    ) -> None:
        """Runs a study, prints its tables and writes its file and figures."""
        import isjax.study
        from isjax._shell import style
        from isjax.study import report
        from isjax.study.blocks import RunError

        check_file_name(self.file_name)
        check_writable(self.output)
        data = self.output / f"{self.file_name}.nc"
        if data.exists() and not (self.overwrite or self.resume):
            raise CommandLineError(
                f"{data} exists: give --overwrite to replace it, --resume to continue it, or --name for another name"
            )
        console.quiet = self.quiet
        are_samples = isinstance(next(iter(problems.values())), Sample)
        what, folds = ("encoders", num_folds) if are_samples else ("problems", 1)
        parts = f"{len(problems)} {what} × {spec.num_members}" + (f" × {folds} folds" if are_samples else "")
        num_networks = len(problems) * spec.num_members * folds
        console.print(f"{num_networks} networks ({parts}) on {devices()}", highlight=False)
        with _log_to_standard_error(self.quiet), _workers(self.cluster) as executor:
            try:
                study = isjax.study.run(
                    jax.random.key(self.seed),
                    problems,
                    spec,
                    num_folds=num_folds,
                    output=data,
                    executor=executor,
                    resume=self.resume,
                    overwrite=self.overwrite,
                    progress=not self.quiet,
                )
            except FileExistsError as error:
                raise CommandLineError(str(error).replace("overwrite=True", "--overwrite")) from error
            except RunError as error:
                raise CommandFailed(str(error)) from error
        drawn = style.save(isjax.study.figure(study), self.output / f"{self.file_name}.png")
        written = [data, drawn]
        if "least_code_loss" in study:
            parts = style.save(isjax.study.parts_figure(study), self.output / f"{self.file_name}-parts.png")
            written.append(parts)
        report.print_study(study, console)
        console.print(f"wrote {' and '.join(map(str, written))}", highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep(Study):
    """Train networks through encoders of controlled sources, and split their risk.

    Writes NAME.nc (all results, with named axes) and NAME.png (the figure).

    Networks with codes of their own get a second figure, NAME-parts.png.

    An interrupted run leaves NAME.blocks; the same command with --resume continues.
    """

    spec: Annotated[SweepSpec, tyro.conf.arg(name="")] = DEFAULT_SPEC
    """The grid."""
    name: str | None = "study"
    """Name of the files."""
    source: Annotated[Sources, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Sparse)
    """The kind of source; options of the sweep may stand before it or after it."""
    num_classes: int = 4
    """Number of classes of the target."""
    discriminations: tuple[float, ...] = (0.5, 0.8)
    """How well the sufficient code determines the class, from 0 (not at all) to 1; one source for each."""
    encoders: tuple[str, ...] = _ENCODERS
    """The encoders of X that the networks learn from; columns or codes of a file."""

    def problems(self) -> dict[tuple[str, str], Problem]:
        """The problems of the study, by source and encoder."""
        check_file_name(self.file_name)
        if isinstance(self.source, File):
            return self.source.problems(() if self.encoders == _ENCODERS else self.encoders)
        for encoder in self.encoders:
            _checks.check_one_of(encoder, "encoders", _ENCODERS)
        encoders: list[Any] = list(self.encoders)
        options = {"discriminations": self.discriminations, "encoders": self.encoders, **vars(self.source)}
        for name, values in options.items():
            if values == ():
                raise CommandLineError(f"{name} must name at least one value, got none")
        drawn = self.source.sources(
            jax.random.key(self.seed), num_classes=self.num_classes, discriminations=self.discriminations
        )
        return {(name, encoder): source.problem(encoder) for name, source in drawn for encoder in encoders}

    def __call__(self, console: Console) -> None:
        """Runs the study."""
        if self.keep_programs:
            keep_programs()
        try:
            problems = self.problems()
        except (OSError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        self.run(console, problems, self.spec)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the figure of a study again."""

    file: tyro.conf.Positional[Path]
    """A file that isjax sweep wrote, NAME.nc."""
    output: Path | None = None
    """The figure, in the format of its ending; NAME.png in the folder of the file if not given."""

    def __call__(self, console: Console) -> None:
        """Draws it."""
        import isjax.study
        from isjax._shell import style

        study = _load(self.file)
        path = self.output or self.file.with_suffix(".png")
        check_writable(path.parent)
        try:
            style.save(isjax.study.figure(study), path)
        except ValueError as error:
            raise CommandLineError(str(error)) from error
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Show:
    """Print the table of a study."""

    file: tyro.conf.Positional[Path]
    """A file that isjax sweep wrote, NAME.nc."""

    def __call__(self, console: Console) -> None:
        """Prints it."""
        from isjax.study import report

        report.print_study(_load(self.file), console)


def _load(path: Path) -> "xr.Dataset":
    import isjax.study

    try:
        return isjax.study.load(path)
    except (OSError, ValueError) as error:
        raise CommandLineError(str(error)) from error


class _Lines(logging.Handler):
    """A line on standard error for each record, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints it."""
        Console(stderr=True).print(f"isjax: {record.getMessage()}", highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _log_to_standard_error(quiet: bool) -> Iterator[None]:
    """Shows what the package logs while a study runs."""
    logger, lines = logging.getLogger("isjax"), _Lines(logging.WARNING if quiet else logging.INFO)
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(lines)


@contextlib.contextmanager
def _workers(address: str | None) -> "Iterator[Executor | None]":
    """An executor that runs on the workers of a Dask cluster; None if there is no address."""
    if address is None:
        yield None
        return
    try:
        import distributed
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise CommandLineError("--cluster needs Dask: pip install 'isjax[cluster]'") from error
    for name in ("distributed", "distributed.client"):  # a failure is reported in one line, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        socket.create_connection(get_address_host_port(address), timeout=_CONNECT_SECONDS).close()
        client = distributed.Client(address, timeout=_CONNECT_SECONDS)
    except ValueError as error:
        raise CommandLineError(f"cluster must be an address such as tcp://host:8786: {error}") from error
    except OSError as error:
        raise CommandFailed(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            _logger.warning("the scheduler at %s has no workers yet: waiting for them", address)
        yield client.get_executor()


_CONNECT_SECONDS = 10
