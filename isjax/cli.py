"""``isjax …``: the command line, built from the dataclasses.

Exit codes: 0 done; 1 the work failed, with one clear line; 2 the command line was wrong.
"""

import dataclasses
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import xarray as xr
from rich.console import Console
from rich.table import Table

import isjax
from isjax import _checks, plotting, results, runner, tables
from isjax.sources import Problem, sparse_source
from isjax.sweeps import SweepSpec, configure_cpu

DEFAULT_SPEC = SweepSpec(num_steps=2000, schedule="linear")
"""The grid of the default study; its learning rate falls to zero, so that one rate serves every width."""

Encoder = Literal["identity", "sufficient", "biased"]


class CommandLineError(Exception):
    """What the user asked for cannot be asked for."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Train networks on controlled sources through several encoders, and split their risk exactly.

    Leaves NAME.nc (every number, with named axes) and NAME.png (excess risk against data length) in the output folder.
    """

    spec: Annotated[SweepSpec, tyro.conf.arg(name="")] = DEFAULT_SPEC
    """The grid."""
    source: Literal["sparse"] = "sparse"
    """The kind of source."""
    num_inputs: int = 10
    """Inputs of the source."""
    num_relevant: tuple[int, ...] = (3, 4)
    """How many of the inputs matter; one source for each."""
    num_classes: int = 4
    """Classes of the target."""
    discriminations: tuple[float, ...] = (0.5, 0.8)
    """How well the relevant inputs tell the class, from 0 (nothing to learn) to 1; one source for each."""
    encoders: tuple[Encoder, ...] = ("identity", "sufficient", "biased")
    """What the learners see of X."""
    seed: int = 0
    """Seed of the sources and of the training."""
    output: Path = Path()
    """Folder for the files; made if it is not there."""
    name: str = "study"
    """Name of the files."""

    def problems(self) -> dict[str, Problem]:
        """The problems of the study, by name."""
        if not self.name or Path(self.name).name != self.name:
            raise CommandLineError(f"name must be that of a file, without a folder, got {self.name!r}")
        for name in ("num_relevant", "discriminations", "encoders"):
            if not getattr(self, name):
                raise CommandLineError(f"{name} must name at least one value, got none")
        problems = {}
        for k in self.num_relevant:
            key = jax.random.fold_in(jax.random.key(self.seed), k)  # the same code and labels at every discrimination
            for discrimination in self.discriminations:
                source = sparse_source(
                    key,
                    num_inputs=self.num_inputs,
                    num_relevant=k,
                    num_classes=self.num_classes,
                    discrimination=discrimination,
                )
                name = f"sparse d={self.num_inputs} k={k} δ={discrimination:g}"
                problems |= {f"{name} / {encoder}": source.problem(encoder) for encoder in self.encoders}
        return problems

    def __call__(self, console: Console) -> None:
        """Runs the study."""
        try:
            problems = self.problems()
        except (TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        _check_writable(self.output)
        num_networks = len(problems) * self.spec.num_members
        console.print(
            f"{num_networks} networks ({len(problems)} problems × {self.spec.num_members}) on {_devices()}",
            highlight=False,
        )
        study = runner.run(jax.random.key(self.seed), problems, self.spec, progress=True)
        data = results.save(study, self.output / f"{self.name}.nc")
        figure = plotting.save(plotting.study_figure(study), self.output / f"{self.name}.png")
        _show(study, console)
        console.print(f"wrote {data} and {figure}", highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the figure of a study again."""

    file: tyro.conf.Positional[Path]
    """A file that isjax sweep wrote, NAME.nc."""
    output: Path | None = None
    """The figure; its ending tells the format. NAME.png beside the file if not given."""

    def __call__(self, console: Console) -> None:
        """Draws it."""
        study = _load(self.file)
        path = self.output or self.file.with_suffix(".png")
        _check_writable(path.parent)
        try:
            plotting.save(plotting.study_figure(study), path)
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
        _show(_load(self.file), console)


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """Find the encoder of a categorical column that loses least about another, for each number of codes.

    Prints the loss I(X;Y|U) of the best encoder of 1, 2, … K codes; leaves NAME.csv (the code of each symbol) and
    NAME.png (those encoders below the curve of the information bottleneck) in the output folder.
    """

    file: tyro.conf.Positional[Path]
    """A CSV or Parquet file with categorical columns."""
    target: str
    """The column to be told, Y."""
    input: str
    """The column to be encoded, X."""
    num_codes: int
    """The largest number of codes, K; more than X has symbols is as many as it has."""
    missing: tables.Missing = "refuse"
    """What becomes of a missing value: refuse it, drop its row, or make it a symbol of its own."""
    num_betas: int = 48
    """Points of the curve."""
    seed: int = 0
    """Seed of the restarts."""
    output: Path = Path()
    """Folder for the files; made if it is not there."""
    name: str | None = None
    """Name of the files; FILE-bottleneck if not given."""

    def __call__(self, console: Console) -> None:
        """Reads, solves, prints and draws."""
        try:
            _checks.count(self.num_codes, "num_codes")
            _checks.count(self.num_betas, "num_betas", at_least=2)
            table = tables.read(self.file, (self.input, self.target), missing=self.missing)
            joint = tables.joint(table, self.input, self.target)
        except (OSError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        name = self.file.stem + "-bottleneck" if self.name is None else self.name
        if not name or Path(name).name != name:
            raise CommandLineError(f"name must be that of a file, without a folder, got {name!r}")
        _check_writable(self.output)
        x, y = table.columns[self.input], table.columns[self.target]
        information = float(isjax.mutual_information(joint))
        dropped = f" ({table.num_dropped} with a missing value left out)" if table.num_dropped else ""
        console.print(
            f"{table.num_rows} rows{dropped}, X = {self.input} ({x.num_symbols} symbols), Y = {self.target} "
            f"({y.num_symbols}); I(X;Y) = {information:.6f} nats of H(Y) = "
            f"{float(isjax.entropy(isjax.marginal_y(joint))):.6f}",
            highlight=False,
        )
        for column, its in ((self.input, x), (self.target, y)):
            if its.num_symbols == 1:
                console.print(f"{column} is constant: there is nothing to lose", highlight=False)
        key_quantizers, key_curve = jax.random.split(jax.random.key(self.seed))
        quantizers = tables.best_quantizers(key_quantizers, joint, self.num_codes)
        console.print(tables.quantizer_table(quantizers, information))
        betas = jnp.geomspace(1, 1000, self.num_betas, dtype=joint.dtype)
        trace = jax.jit(isjax.bottleneck_curve, static_argnames=("num_codes", "num_restarts"))
        curve = trace(key_curve, joint, betas, num_codes=len(quantizers), num_restarts=4)
        codes = tables.write_codes(x, joint, quantizers, self.output / f"{name}.csv")
        points = [tables.complexity_and_relevance(joint, each) for each in quantizers]
        title = f"X = {self.input}, Y = {self.target}"
        figure = plotting.bottleneck_figure(curve, points, information=information, title=title)
        drawn = plotting.save(figure, self.output / f"{name}.png")
        console.print(f"wrote {codes} and {drawn}", highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Print versions, devices, and anything known to be wrong with them."""

    def __call__(self, console: Console) -> None:
        """Examines the installation; fails if it computes wrongly."""
        packages = ("isjax", "jax", "jaxlib", "flax", "optax", "numpy", "jaxtyping", "xarray")
        for name in packages:
            console.print(f"{name:10} {version(name)}", highlight=False)
        console.print(f"{'python':10} {platform.python_version()} on {platform.platform()}", highlight=False)
        console.print(f"{'devices':10} {_devices()}", highlight=False)
        known = _checks.KNOWN_BAD_JAXLIB.get(version("jaxlib"))
        if known:
            raise RuntimeError(f"jaxlib {version('jaxlib')} {known}")
        if not _fused_products_are_right():
            raise RuntimeError("this jaxlib returns wrong numbers for fused products (as in jax-ml/jax#39103)")
        console.print("no known fault; fused products computed right", highlight=False)


def _fused_products_are_right() -> bool:
    """Whether a vmapped product followed by a reduction is computed right, which jaxlib 0.10.2 on a CPU does not."""
    i = jnp.arange(32769, dtype=jnp.float32)
    rows = jnp.stack((i, 0 * i, 0 * i), axis=1)
    squared_norms = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
    return float(squared_norms[-1]) == 32768.0**2


def _devices() -> str:
    devices = jax.devices()
    return f"{len(devices)} × {devices[0].device_kind}"


def _load(path: Path) -> xr.Dataset:
    try:
        return results.load(path)
    except (OSError, ValueError) as error:
        raise CommandLineError(str(error)) from error


def _check_writable(folder: Path) -> None:
    """Refuses a folder that cannot be written, before hours are spent on what is to go there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandLineError(f"cannot write into the folder {folder}: {error.strerror}") from error


_TARGET = 0.1
"""Excess risk, in nats, for which the tables say how much data it took."""


def _show(study: xr.Dataset, console: Console) -> None:
    """A table for each source: excess risk by data length; below it, what each encoder needed and where it stopped."""
    risk = results.best_excess_risk(study).mean("seed")
    samples = results.samples_to_reach(risk, _TARGET)
    networks = [(hidden, size) for hidden in study["hidden"].values for size in study["batch_size"].values]
    console.print(f"Least excess risk over H(Y|X) in nats by data length n, mean over {study.sizes['seed']} seeds;")
    console.print(f"n* is the data length that reaches {_TARGET} nats.")
    for source, encoders in results.problems_by_source(study).items():
        table = Table(title=f"\n{source}", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        for heading in ("encoder", "loss", "MLP"):
            table.add_column(heading, no_wrap=True, justify="right" if heading == "loss" else "left")
        for heading in (*map(str, study["length"].values), "n*"):
            table.add_column(heading, no_wrap=True, justify="right")
        for encoder, problem in encoders.items():
            for hidden, size in networks:
                at = {"problem": problem, "hidden": hidden, "batch_size": size}
                network = str(hidden) + (f" B={size}" if study.sizes["batch_size"] > 1 else "")
                names = (encoder, f"{float(study['encoder_bias'].sel(problem=problem)):.3f}")
                reached = float(samples.sel(at))
                table.add_row(
                    *(names if (hidden, size) == networks[0] else ("", "")),
                    network,
                    *(f"{float(value):.3f}" for value in risk.sel(at)),
                    "–" if np.isnan(reached) else f"{reached:.0f}",
                )
        console.print(table)
        for fact in _facts(study, risk, samples, encoders):
            console.print(fact, style="italic", highlight=False)
    seconds = {name: study.attrs.get(f"{name}_seconds") for name in ("compile", "run")}
    if None not in seconds.values():
        console.print(f"\ncompiling took {seconds['compile']:.1f} s, training {seconds['run']:.1f} s", highlight=False)


def _facts(study: xr.Dataset, risk: xr.DataArray, samples: xr.DataArray, encoders: dict[str, str]) -> list[str]:
    """What one source shows: how much data the sufficient code saves, and where the biased one stops."""
    facts = []
    if {"identity", "sufficient"} <= encoders.keys():
        saved = (samples.sel(problem=encoders["identity"]) / samples.sel(problem=encoders["sufficient"])).to_numpy()
        if not np.isnan(saved).all():
            times = _span(saved[~np.isnan(saved)], ".1f")
            facts.append(f"the sufficient U reaches {_TARGET} nats with {times} times less data than X itself")
    if "biased" in encoders:
        loss = float(study["encoder_bias"].sel(problem=encoders["biased"]))
        longest = int(np.argmax(study["length"].values))
        at = f"at n={study['length'].values[longest]}"
        last = risk.sel(problem=encoders["biased"]).isel(length=longest).to_numpy()
        if loss > 1e-6:
            facts.append(
                f"the biased U, which loses {loss:.3f} nats, is {at} at {_span(last / loss, '.3f')} times that"
            )
        else:
            facts.append(f"the biased U loses nothing here, and is {at} at {_span(last, '.3f')} nats")
    return facts


def _span(values: np.ndarray, form: str) -> str:
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"


def _parse(arguments: Sequence[str]) -> Any:  # noqa: ANN401  (one of the commands)
    """The command that the words ask for."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def widths(type_info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
        """Networks, each with the widths of its hidden layers parted by commas: ``--hidden 32 256,256``."""
        if type_info.type != Sequence[Sequence[int]]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="WIDTH[,WIDTH…]",
            instance_from_str=lambda words: tuple(tuple(int(width) for width in word.split(",")) for word in words),
            is_instance=lambda instance: isinstance(instance, tuple),
            str_from_instance=lambda instance: [",".join(map(str, widths)) for widths in instance],
        )

    by_epochs = any(word.partition("=")[0] == "--num-epochs" for word in arguments)
    spec = dataclasses.replace(DEFAULT_SPEC, num_steps=None, num_epochs=1) if by_epochs else DEFAULT_SPEC
    commands = (
        Annotated[Sweep, tyro.conf.subcommand("sweep", default=Sweep(spec))]
        | Annotated[Plot, tyro.conf.subcommand("plot")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Bottleneck, tyro.conf.subcommand("bottleneck")]
        | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    )
    try:
        return tyro.cli(commands, prog="isjax", description=isjax.__doc__, args=list(arguments), registry=registry)
    except (TypeError, ValueError) as error:
        raise CommandLineError(str(error)) from error


def _console() -> Console:
    """Standard output: as wide as the terminal, or as wide as need be."""
    console = Console()
    return console if console.is_terminal else Console(width=1000)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line's entry."""
    arguments = sys.argv[1:] if arguments is None else arguments
    errors = Console(stderr=True)
    try:
        command = _parse(arguments)
        configure_cpu()
        command(_console())
    except CommandLineError as error:
        errors.print(f"isjax: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("isjax: interrupted", highlight=False)
        sys.exit(1)
    except (OSError, RuntimeError, ValueError) as error:
        errors.print(f"isjax: {type(error).__name__}: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
