"""The commands on people's data: ``isjax measure`` measures columns, ``isjax bottleneck`` finds encoders of one.

polars and matplotlib are imported when a command runs, so that other commands and help start fast.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro
from rich.console import Console

from isjax import _checks
from isjax.cli.common import CommandLineError, check_file_name, check_writable, keep_programs, working
from isjax.data import MeasureSpec, Missing, RankSpec, Table, columns, find_codes, measure, rank

__all__ = ["Bottleneck", "Form", "Measure", "Rank", "Reading"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """How a file is written."""

    separator: str | None = None
    """What separates fields; found in the first line if not given."""
    encoding: str | None = None
    """Encoding of the file, such as latin-1; UTF-8, or UTF-16 by its mark, if not given."""
    header: bool = True
    """Whether the first line holds the names; if not, columns are named 1, 2, …"""
    na: tuple[str, ...] = ()
    """Words for a missing value, besides NA, N/A, NaN, null, ?, . and -."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading(Form):
    """How a file is read."""

    missing: Missing = "refuse"
    """Missing values: refuse them, drop their rows, or make them a symbol of their own."""
    bins: str | None = None
    """Bins of equal counts: 4 for every numeric input, or age=4,dose=10 by column."""
    weights: str | None = None
    """A column of counts: how many equal rows each row stands for."""

    @property
    def form(self) -> dict[str, Any]:
        """The options that say how the file is written."""
        return {"separator": self.separator, "encoding": self.encoding, "header": self.header}

    def read(
        self, file: Path, inputs: tuple[str, ...], others: tuple[str, ...], codes: dict[str, str] | None = None
    ) -> Table:
        """The columns of a file, and codes; without names, ``bins`` cut whole numbers of the inputs only."""
        options = {"missing": self.missing, "weights": self.weights, "na": self.na, "codes": codes, **self.form}
        return columns.read(file, (*inputs, *others), bins=self._bins(), uncut=others, **options)

    def all_columns(self, file: Path, option: str) -> list[str]:
        """All columns of a file but the weights, where an option does not name them."""
        found = columns.names(file, **self.form)
        if repeated := [name for i, name in enumerate(found) if name in found[:i]]:
            raise ValueError(f"{file} has two columns {repeated[0]!r}: rename one of them, or name the {option}")
        return [name for name in found if name != self.weights]

    def own_codes(self, file: Path, encoders: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Names of the encoders, and by name the expressions among them, such as half=age<40, which are no columns."""
        if not any("=" in each for each in encoders):
            return encoders, {}
        found = columns.names(file, **self.form)
        own = {each: each.partition("=") for each in encoders if "=" in each and each not in found}
        names = tuple(own[each][0].strip() if each in own else each for each in encoders)
        return names, {name.strip(): text for name, _, text in own.values()}

    def _bins(self) -> int | dict[str, int] | None:
        if self.bins is None:
            return None
        try:
            if "=" not in self.bins:
                return int(self.bins)
            pairs = [entry.rpartition("=") for entry in self.bins.split(",")]
            return {name: int(number) for name, _, number in pairs}
        except ValueError:
            raise ValueError(f"bins must be a number, or such as age=4,dose=10, got {self.bins!r}") from None


@dataclasses.dataclass(frozen=True)
class Measure:
    """Measure what columns of a file say about another, and what encoders lose.

    Prints H(Y), H(X) and I(X;Y) of the target Y and the inputs X.

    For each encoder U: I(U;Y), which it retains, and I(X;Y|U), which it loses.

    The loss has an interval and two tests. Alphabets are the symbols that occur.
    """

    file: tyro.conf.Positional[Path]
    """A table: CSV, TSV, other text, Parquet, Arrow or Feather."""
    spec: Annotated[MeasureSpec, tyro.conf.arg(name="")]
    """What is measured."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = Reading()
    """How the file is read."""
    seed: int = 0
    """Seed of the resamples and permutations."""
    json: bool = False
    """Print JSON, and nothing else, on standard output."""

    def __call__(self, console: Console) -> None:
        """Reads, measures and prints."""
        from isjax.data import report

        keep_programs()
        try:
            _checks.check_integer(self.seed, "seed", at_least=0)
            encoders, codes = self.reading.own_codes(self.file, self.spec.encoders)
            spec = dataclasses.replace(self.spec, encoders=encoders)
            spec = spec if spec.inputs else spec.with_inputs(self.reading.all_columns(self.file, "--inputs"))
            others = (spec.target, *(each for each in encoders if each not in codes))
            with working("reading") as status:
                table = self.reading.read(self.file, spec.inputs, others, codes)
                status.update(f"measuring {table.num_rows} rows")
                found = measure(jax.random.key(self.seed), table, spec)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        errors = Console(stderr=True, emoji=False)
        for warning in found.warnings():
            errors.print(f"isjax: {warning}", highlight=False, markup=False, soft_wrap=True)
        if self.json:
            about = {"file": str(self.file), "num_dropped": table.num_dropped, "missing": self.reading.missing}
            text = json.dumps(found.to_dict() | about | {"seed": self.seed}, indent=2, ensure_ascii=False)
            console.out(text, highlight=False)
        else:
            report.print_measurement(found, console, num_dropped=table.num_dropped)


@dataclasses.dataclass(frozen=True)
class Rank:
    """Rank the columns of a file by what they say about another.

    Prints I(X;Y) of each column with an interval and a p-value.

    Then adds the column that says most beyond those before, until none does.

    Writes NAME.png, the figure, to the output folder.
    """

    file: tyro.conf.Positional[Path]
    """A table: CSV, TSV, other text, Parquet, Arrow or Feather."""
    spec: Annotated[RankSpec, tyro.conf.arg(name="")]
    """What is ranked."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = Reading(missing="symbol")
    """How the file is read; without bins, continuous columns are cut into four."""
    seed: int = 0
    """Seed of the permutations."""
    json: bool = False
    """Print JSON, and nothing else, on standard output."""
    output: Path = Path()
    """Folder for the figure; created if absent."""
    name: str | None = None
    """Name of the figure; FILE-rank if not given."""

    def __call__(self, console: Console) -> None:
        """Reads, ranks, prints and draws."""
        from isjax._shell import style
        from isjax.data import figure, report

        name = self.file.stem + "-rank" if self.name is None else self.name
        check_file_name(name)
        try:
            _checks.check_integer(self.seed, "seed", at_least=0)
            ranked = self.spec.columns or tuple(self.reading.all_columns(self.file, "--columns"))
            ranked = tuple(each for each in ranked if each != self.spec.target)
            cut = (ranked, (self.spec.target,)) if self.reading.bins else ((), (*ranked, self.spec.target))
            reading = dataclasses.replace(self.reading, bins=self.reading.bins or "4")
            with working("reading") as status:
                table = reading.read(self.file, *cut)
                status.update(f"ranking {len(ranked)} columns of {table.num_rows} rows")
                found = rank(jax.random.key(self.seed), table, dataclasses.replace(self.spec, columns=ranked))
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        check_writable(self.output)
        drawn = style.save(figure.ranking_figure(found), self.output / f"{name}.png")
        if self.json:
            about = {"file": str(self.file), "num_dropped": table.num_dropped, "seed": self.seed}
            console.out(json.dumps(dataclasses.asdict(found) | about, indent=2, ensure_ascii=False), highlight=False)
            return
        report.print_ranking(found, console, num_dropped=table.num_dropped)
        console.print(f"wrote {drawn}", highlight=False, markup=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """Find the encoders of a column that lose least about another.

    Prints, for 1, 2, … K codes, the loss I(X;Y|U) of the best encoder.

    Codes found in each half of the rows are measured in the other half too.

    Writes NAME.csv (the code of each symbol) and NAME.png to the output folder.

    The figure shows these encoders and the curve of the information bottleneck.
    """

    file: tyro.conf.Positional[Path]
    """A table: CSV, TSV, other text, Parquet, Arrow or Feather."""
    target: str
    """Column of the target Y."""
    input: str
    """Column of the input X, which is encoded."""
    num_codes: int
    """Largest number of codes, K; at most the number of symbols of X is used."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = Reading()
    """How the file is read."""
    num_betas: int = 48
    """Points of the curve."""
    seed: int = 0
    """Seed of the halves and of the restarts."""
    output: Path = Path()
    """Folder for the files; created if absent."""
    name: str | None = None
    """Name of the files; FILE-bottleneck if not given."""

    def __call__(self, console: Console) -> None:
        """Reads, solves, prints and draws."""
        from isjax._shell import style
        from isjax.data import figure, report

        name = self.file.stem + "-bottleneck" if self.name is None else self.name
        check_file_name(name)
        keep_programs()
        with working("reading") as status:
            try:
                _checks.check_integer(self.num_codes, "num_codes")
                _checks.check_integer(self.num_betas, "num_betas", at_least=2)
                _checks.check_integer(self.seed, "seed", at_least=0)
                table = self.reading.read(self.file, (self.input,), (self.target,))
                status.update(f"finding codes of {table[self.input].num_symbols} symbols in {table.num_rows} rows")
                found = find_codes(
                    jax.random.key(self.seed),
                    table,
                    target=self.target,
                    input=self.input,
                    num_codes=self.num_codes,
                    num_betas=self.num_betas,
                )
            except (OSError, OverflowError, TypeError, ValueError) as error:
                raise CommandLineError(str(error)) from error
            check_writable(self.output)
            status.update("drawing")
            codes = report.write_codes(self.output / f"{name}.csv", found, table[self.input].labels)
            drawn = style.save(figure.bottleneck_figure(found), self.output / f"{name}.png")
        report.print_codes(found, console, num_dropped=table.num_dropped)
        console.print(f"wrote {codes} and {drawn}", highlight=False, markup=False, soft_wrap=True)
