"""``isjax compare``: what learners lose that see some columns of a file instead of others."""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import optax
import tyro
from rich.console import Console

from isjax import _checks
from isjax.cli.common import CommandLineError, keep_programs, working
from isjax.cli.data import Form
from isjax.cli.study import Study
from isjax.cross_validation import as_samples, most_rows
from isjax.data import Missing, Samples, samples
from isjax.sweeps import SweepSpec

__all__ = ["COMPARE_SPEC", "Compare"]

_LENGTHS = (64, 256, 1024, 4096, 16384)

COMPARE_SPEC = SweepSpec(
    hidden=((64,),),
    lengths=(*_LENGTHS, float("inf")),
    learning_rates=(0.001, 0.01),
    num_seeds=2,
    num_steps=2000,
    optimizer=optax.adam,
)
"""The grid of a comparison."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compare(Study):
    """Compare encoders of a file by what learners lose on rows held out.

    An encoder is columns: raw=age,dose pixels=p0..p63 embedding=emb_* young=age<40.

    Numbers stay numbers, words become one-hot; files as of isjax measure, or .npz.

    Prints cross-entropy, accuracy, codelength, and the rise over the reference.

    Writes NAME.nc (the loss of every row) and NAME.png (the figure).
    """

    file: tyro.conf.Positional[Path]
    """A table: CSV, TSV, other text, Parquet, Arrow or Feather; or arrays: .npz."""
    target: str
    """Column of the class Y, or a code of one: price:4, age<40."""
    encoders: tuple[str, ...]
    """What learners see: NAME=COLUMNS for each encoder."""
    reference: str | None = None
    """The encoder that others are compared with; the first if not given."""
    spec: Annotated[SweepSpec, tyro.conf.arg(name="")] = COMPARE_SPEC
    """The grid; a length is a number of rows to learn from, inf is all that are not held out."""
    num_folds: int = 5
    """In how many folds the rows are divided; each is held out once."""
    missing: Missing = "refuse"
    """Missing values: refuse them, drop their rows, or mark them by a feature or word of their own."""
    form: Annotated[Form, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Form)
    """How the file is read."""
    name: str | None = None
    """Name of the files; FILE-compare if not given."""

    @property
    def file_name(self) -> str:
        """Name of the files, without an ending."""
        return self.file.stem + "-compare" if self.name is None else self.name

    def __call__(self, console: Console) -> None:
        """Reads, trains, prints and draws."""
        if self.keep_programs:
            keep_programs()
        try:
            _checks.check_integer(self.num_folds, "num_folds", at_least=2)
            _checks.check_integer(self.seed, "seed", at_least=0)
            with working("reading"):
                found = samples(
                    self.file,
                    target=self.target,
                    encoders=self.encoders,
                    missing=self.missing,
                    **dataclasses.asdict(self.form),
                )
            _check_classes(found, self.num_folds)
            spec = _with_possible_lengths(self.spec, found.num_rows, self.num_folds)
            names = self._names(found)
            as_samples(found, spec, num_folds=self.num_folds)
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise CommandLineError(str(error)) from error
        if found.constant:
            self.warn(f"left out, since they have one value in all rows: {', '.join(found.constant)}")
        if found.num_dropped:
            self.warn(f"{found.num_dropped} rows with a missing value are dropped")
        problems = {(self.file.stem or "file", name): found[name] for name in names}
        self.run(console, problems, spec, num_folds=self.num_folds)

    def _names(self, found: Samples) -> list[str]:
        """Names of the encoders, the reference first."""
        reference = next(iter(found)) if self.reference is None else self.reference
        _checks.check_one_of(reference, "reference", tuple(found))
        return [reference, *(name for name in found if name != reference)]


def _check_classes(found: Samples, num_folds: int) -> None:
    """Refuses classes that learners cannot have in every fold, by their labels."""
    counts = np.bincount(next(iter(found.values())).targets, minlength=len(found.classes))
    if counts.size < 2:
        raise ValueError(f"the target is {found.classes[0]!r} in all {counts.sum()} rows: there is nothing to learn")
    rare = int(np.argmin(counts))
    if counts[rare] < num_folds:
        raise ValueError(
            f"each class must have a row in each of {num_folds} folds, but {found.classes[rare]!r} has {counts[rare]}: "
            "drop its rows, merge it with another class, or give fewer --num-folds"
        )


def _with_possible_lengths(spec: SweepSpec, num_rows: int, num_folds: int) -> SweepSpec:
    """The grid; of the default lengths only those that a learner can have."""
    if spec.lengths != COMPARE_SPEC.lengths:
        return spec
    most = most_rows(num_rows, num_folds)
    return dataclasses.replace(spec, lengths=(*(n for n in _LENGTHS if 1.5 * n <= most), float("inf")))
