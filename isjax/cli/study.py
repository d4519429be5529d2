"""The commands on studies: ``isjax sweep`` runs one, ``plot`` and ``show`` take up what it left.

They import xarray and matplotlib when they are called, so that other commands, and help, need not wait for these.
"""

import contextlib
import dataclasses
import hashlib
import logging
import platform
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import jax
import platformdirs
import tyro
from rich.console import Console

from isjax.cli.common import CommandLineError, check_file_name, check_writable, devices
from isjax.sources import Problem, Source, digital_source, invariant_source, robust_source, sparse_source
from isjax.study.blocks import RunError
from isjax.sweeps import SweepSpec

if TYPE_CHECKING:
    import xarray as xr

    from isjax.study.runner import Executor

__all__ = ["DEFAULT_SPEC", "Plot", "Show", "Sweep", "programs_folder"]

_logger = logging.getLogger(__name__)

DEFAULT_SPEC = SweepSpec(num_steps=2000, schedule="linear")
"""The grid of the default study; its learning rate falls to zero, so that one rate serves every width."""

Encoder = Literal["identity", "sufficient", "biased"]
SourceName = Literal["sparse", "invariant", "robust", "digital"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "sparse": {"num_inputs": 10, "num_relevant": (3, 4)},
    "invariant": {"string_length": (8,), "group": "cyclic"},
    "robust": {},
    "digital": {"grid": 16, "num_cells": (16,)},
}
"""The options that only one kind of source has, with what they are where they are not given."""


class _Kind(NamedTuple):
    """A source, but for its discrimination and its number of classes."""

    name: str
    salt: int
    build: Callable[..., Source]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Train networks on controlled sources through several encoders, and split their risk exactly.

    Leaves NAME.nc (every number, with named axes) and NAME.png (excess risk against data length) in the output folder.
    A run that was cut off leaves what it finished in NAME.blocks; the same command with --resume goes on from there.
    """

    spec: Annotated[SweepSpec, tyro.conf.arg(name="")] = DEFAULT_SPEC
    """The grid."""
    source: SourceName = "sparse"
    """The kind of source."""
    num_inputs: int | None = None
    """Inputs of a sparse source; 10 if not given."""
    num_relevant: tuple[int, ...] | None = None
    """How many of a sparse source's inputs matter, one source for each; 3 and 4 if not given."""
    string_length: tuple[int, ...] | None = None
    """Bits of an invariant source's string, one source for each; 8 if not given."""
    group: Literal["cyclic", "symmetric"] | None = None
    """The group that an invariant source does not see; cyclic if not given."""
    grid: int | None = None
    """Points on each axis of a digital source's plane; 16 if not given."""
    num_cells: tuple[int, ...] | None = None
    """Cells of a digital source, one source for each; 16 if not given."""
    num_classes: int = 4
    """Classes of the target."""
    discriminations: tuple[float, ...] = (0.5, 0.8)
    """How well the sufficient code tells the class, from 0 (nothing to learn) to 1; one source for each."""
    encoders: tuple[Encoder, ...] = ("identity", "sufficient", "biased")
    """What the learners see of X."""
    seed: int = 0
    """Seed of the sources and of the training."""
    output: Path = Path()
    """Folder for the files; made if it is not there."""
    name: str = "study"
    """Name of the files."""
    resume: bool = False
    """Go on with a run that was cut off: train only what it did not finish."""
    cluster: str | None = None
    """Address of a Dask scheduler, as in tcp://host:8786, whose workers do the training."""
    quiet: bool = False
    """Print nothing but warnings and errors."""
    keep_programs: bool = True
    """Keep compiled programs in the user's cache folder, so that a study of the same shapes need not compile again.
    ``isjax doctor`` tells where; the folder may be deleted at any time."""

    def problems(self) -> dict[str, Problem]:
        """The problems of the study, by name."""
        check_file_name(self.name)
        for name in ("num_relevant", "string_length", "num_cells", "discriminations", "encoders"):
            if getattr(self, name) == ():
                raise CommandLineError(f"{name} must name at least one value, got none")
        problems = {}
        for kind in self._kinds():
            key = jax.random.fold_in(jax.random.key(self.seed), kind.salt)  # codes and labels at every discrimination
            for discrimination in self.discriminations:
                source = kind.build(key, num_classes=self.num_classes, discrimination=discrimination)
                name = f"{kind.name} δ={discrimination:g}"
                problems |= {f"{name} / {encoder}": source.problem(encoder) for encoder in self.encoders}
        return problems

    def _kinds(self) -> list[_Kind]:
        """The sources of the study, but for their discrimination; an option of another kind of source is refused."""
        for kind, options in _OPTIONS.items():
            given = [name for name in options if getattr(self, name) is not None]
            if kind != self.source and given:
                option = given[0].replace("_", "-")
                raise CommandLineError(f"--{option} is an option of {kind} sources, not of {self.source} ones")
        of_kind = {name: getattr(self, name) for name in _OPTIONS[self.source]}
        options = {name: _OPTIONS[self.source][name] if value is None else value for name, value in of_kind.items()}
        if self.source == "sparse":
            d = options["num_inputs"]
            return [
                _Kind(f"sparse d={d} k={k}", k, partial(sparse_source, num_inputs=d, num_relevant=k))
                for k in options["num_relevant"]
            ]
        if self.source == "invariant":
            group = options["group"]
            return [
                _Kind(f"invariant L={n} {group}", n, partial(invariant_source, length=n, group=group))
                for n in options["string_length"]
            ]
        if self.source == "digital":
            grid = options["grid"]
            return [
                _Kind(f"digital {grid}×{grid} K={k}", k, partial(digital_source, grid=grid, num_cells=k))
                for k in options["num_cells"]
            ]
        return [_Kind("robust", 0, robust_source)]

    def __call__(self, console: Console) -> None:
        """Runs the study."""
        from isjax._shell import style
        from isjax.study import figure, report, runner

        if self.keep_programs:
            _keep_programs()
        try:
            problems = self.problems()
        except (TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        check_writable(self.output)
        console.quiet = self.quiet
        num_networks = len(problems) * self.spec.num_members
        console.print(
            f"{num_networks} networks ({len(problems)} problems × {self.spec.num_members}) on {devices()}",
            highlight=False,
        )
        data = self.output / f"{self.name}.nc"
        with _log_to_standard_error(self.quiet), _workers(self.cluster) as executor:
            study = runner.run(
                jax.random.key(self.seed),
                problems,
                self.spec,
                output=data,
                executor=executor,
                resume=self.resume,
                progress=not self.quiet,
            )
        drawn = style.save(figure.study_figure(study), self.output / f"{self.name}.png")
        report.print_study(study, console)
        console.print(f"wrote {data} and {drawn}", highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the figure of a study again."""

    file: tyro.conf.Positional[Path]
    """A file that isjax sweep wrote, NAME.nc."""
    output: Path | None = None
    """The figure; its ending tells the format. NAME.png beside the file if not given."""

    def __call__(self, console: Console) -> None:
        """Draws it."""
        from isjax._shell import style
        from isjax.study import figure

        study = _load(self.file)
        path = self.output or self.file.with_suffix(".png")
        check_writable(path.parent)
        try:
            style.save(figure.study_figure(study), path)
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
    from isjax.study import results

    try:
        return results.load(path)
    except (OSError, ValueError) as error:
        raise CommandLineError(str(error)) from error


def _keep_programs() -> None:
    """Has JAX look for compiled programs where earlier runs kept theirs."""
    jax.config.update("jax_compilation_cache_dir", str(programs_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # Of each program that it finds, XLA says that the machine lacks "prefer-no-gather" and the like, which are hints
    # and no features (jax-ml/jax#38445). JAX's own warnings go on.
    level = logging.getLogger("jax").level
    jax.config.update("jax_logging_level", "CRITICAL")
    logging.getLogger("jax").setLevel(level)


def programs_folder() -> Path:
    """Where compiled programs are kept: a folder for each type of machine, whose instructions they are."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    kind = hashlib.sha256(f"{platform.platform()} {flags}".encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("isjax") / f"programs-{platform.machine()}-{kind}"


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
    """The workers of a Dask cluster; this process alone if there is no address."""
    if address is None:
        yield None
        return
    try:
        import distributed
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise CommandLineError("--cluster needs Dask: pip install 'isjax[cluster]'") from error
    for name in ("distributed", "distributed.client"):  # what goes wrong is told in a line of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        socket.create_connection(get_address_host_port(address), timeout=_CONNECT_SECONDS).close()
        client = distributed.Client(address, timeout=_CONNECT_SECONDS)
    except ValueError as error:
        raise CommandLineError(f"cluster must be an address as in tcp://host:8786: {error}") from error
    except OSError as error:
        raise RunError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            _logger.warning("the scheduler at %s has no workers yet, and the study waits for them", address)
        yield client.get_executor()


_CONNECT_SECONDS = 10
