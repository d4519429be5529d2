"""The commands on people's data: ``isjax bottleneck`` finds encoders of a column."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console

import isjax
from isjax import _checks, plotting, tables
from isjax.cli_common import CommandLineError, check_file_name, check_writable

__all__ = ["Bottleneck"]


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
