"""The commands on people's data: ``isjax measure`` measures its columns, ``isjax bottleneck`` finds encoders of one.

They import polars and matplotlib when they are called, so that other commands, and help, need not wait for these.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console

import isjax
from isjax import _checks
from isjax.cli.common import CommandLineError, check_file_name, check_writable

__all__ = ["Bottleneck", "Measure"]

Missing = Literal["refuse", "drop", "symbol"]
Method = Literal["plug_in", "miller_madow", "grassberger", "chao_shen", "james_stein"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """Measure what the columns of a file say about one of them, and what encoders lose of it.

    Prints H(Y), H(X) and I(X;Y) for the target Y and the inputs X, and for each encoder U what it keeps, I(U;Y), and
    what it loses, I(X;Y|U), with an interval and two tests of its being sufficient. Alphabets are the symbols that
    occur.
    """

    file: tyro.conf.Positional[Path]
    """A CSV or Parquet file with categorical columns."""
    target: str
    """The column to be told, Y."""
    inputs: tuple[str, ...] = ()
    """The columns that X is the joint of; all but the target and the encoders if not given."""
    encoder: tuple[str, ...] = ()
    """The columns that are encoders, each a U."""
    missing: Missing = "refuse"
    """What becomes of a missing value: refuse it, drop its row, or make it a symbol of its own."""
    bins: int | None = None
    """Bins of equal counts into which a continuous column is cut; it is refused if not given."""
    method: Method = "miller_madow"
    """The correction of the bias of the plug-in."""
    base: float | None = None
    """Base of the logarithm: 2 for bits; nats if not given."""
    confidence: float = 0.95
    """The chance that the intervals of the losses should have."""
    num_resamples: int = 499
    """Resamples of the bootstrap."""
    num_permutations: int = 499
    """Permutations of the test; the smallest p-value there can be is one in so many and one."""
    seed: int = 0
    """Seed of the resamples and permutations."""
    json: bool = False
    """Print JSON, and nothing else, on standard output."""

    def __call__(self, console: Console) -> None:
        """Reads, measures and prints."""
        from isjax.data import columns, report
        from isjax.estimation import measurement

        try:
            inputs = self._inputs()
            table = columns.read(self.file, (self.target, *inputs, *self.encoder), missing=self.missing, bins=self.bins)
            found = measurement.measure(
                self.seed,
                {name: column.codes for name, column in table.columns.items()},
                target=self.target,
                inputs=inputs,
                encoders=self.encoder,
                method=self.method,
                base=self.base,
                confidence=self.confidence,
                num_resamples=self.num_resamples,
                num_permutations=self.num_permutations,
            )
        except (OSError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        errors = Console(stderr=True, emoji=False)
        for warning in found.warnings():
            errors.print(f"isjax: {warning}", highlight=False, markup=False, soft_wrap=True)
        about = {"unit": _unit(self.base), "method": self.method, "confidence": self.confidence}
        if self.json:
            about |= {"num_resamples": self.num_resamples, "num_permutations": self.num_permutations, "seed": self.seed}
            about |= {"file": str(self.file), "num_dropped": table.num_dropped, "missing": self.missing}
            console.out(json.dumps({**about, **found.to_dict()}, indent=2, ensure_ascii=False), highlight=False)
        else:
            report.print_measurement(found, console, num_dropped=table.num_dropped, **about)

    def _inputs(self) -> tuple[str, ...]:
        """The columns of X, with the target and the encoders told apart from them."""
        from isjax.data import columns

        for what, columns in (("inputs", self.inputs), ("encoder", self.encoder)):
            if self.target in columns:
                raise CommandLineError(f"{what} names the target, {self.target!r}: it can be one of them only")
            repeated = [name for i, name in enumerate(columns) if name in columns[:i]]
            if repeated:
                raise CommandLineError(f"{what} names {repeated[0]!r} twice")
        if self.inputs:
            return self.inputs
        inputs = tuple(name for name in columns.names(self.file) if name not in (self.target, *self.encoder))
        if not inputs:
            raise CommandLineError(f"{self.file} has no column besides the target and the encoders: X needs one")
        return inputs


def _unit(base: float | None) -> str:
    return {None: "nats", 2: "bits"}.get(base, f"logarithms to the base {base}")


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
    missing: Missing = "refuse"
    """What becomes of a missing value: refuse it, drop its row, or make it a symbol of its own."""
    bins: int | None = None
    """Bins of equal counts into which a continuous column is cut; it is refused if not given."""
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
        from isjax._shell import style
        from isjax.data import columns, figure

        try:
            _checks.check_integer(self.num_codes, "num_codes")
            _checks.check_integer(self.num_betas, "num_betas", at_least=2)
            table = columns.read(self.file, (self.input, self.target), missing=self.missing, bins=self.bins)
            joint = columns.joint(table, self.input, self.target)
        except (OSError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        name = self.file.stem + "-bottleneck" if self.name is None else self.name
        check_file_name(name)
        check_writable(self.output)
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
        quantizers = columns.best_quantizers(key_quantizers, joint, self.num_codes)
        console.print(columns.quantizer_table(quantizers, information))
        betas = jnp.geomspace(1, 1000, self.num_betas, dtype=joint.dtype)
        trace = jax.jit(isjax.bottleneck_curve, static_argnames=("num_codes", "num_restarts"))
        curve = trace(key_curve, joint, betas, num_codes=len(quantizers), num_restarts=4)
        codes = columns.write_codes(x, joint, quantizers, self.output / f"{name}.csv")
        points = [columns.complexity_and_relevance(joint, each) for each in quantizers]
        title = f"X = {self.input}, Y = {self.target}"
        drawing = figure.bottleneck_figure(curve, points, information=information, title=title)
        drawn = style.save(drawing, self.output / f"{name}.png")
        console.print(f"wrote {codes} and {drawn}", highlight=False, soft_wrap=True)
