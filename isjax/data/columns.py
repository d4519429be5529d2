"""People's data: CSV and Parquet to integer codes with labels, and the tables that are made of them.

Files are read by polars: it reads both formats by itself, a million rows in a fraction of a second, and a column of
integers with a missing value stays one of integers beside a null, where pandas makes floating-point numbers and NaN.
"""

import contextlib
import csv
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import jax
import numpy as np
import polars as pl
from rich.table import Table as Grid

from isjax import _checks
from isjax._shell.files import write_atomically
from isjax._typing import Array, Float, Key
from isjax.distributions import empirical_joint, marginal_x, pushforward
from isjax.encoders import compact_codes
from isjax.entropies import entropy
from isjax.informations import mutual_information
from isjax.quantizers import Quantizer, quantizers_up_to

__all__ = [
    "Column",
    "Missing",
    "Table",
    "best_quantizers",
    "complexity_and_relevance",
    "joint",
    "names",
    "quantizer_table",
    "read",
    "write_codes",
]

Missing = Literal["refuse", "drop", "symbol"]
"""What becomes of a missing value: it is refused, its row is left out, or it is a symbol of its own."""

MISSING_LABEL = "(missing)"
_MAX_CELLS = 2**26  # of a joint distribution: 256 MiB in float32


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A categorical column: a code for each row, and what the codes stand for.

    Attributes:
      codes: integers in 0 … num_symbols − 1, shape ``[n]``.
      labels: the symbols in order, numbers by size and words by letter, a missing value last.
    """

    codes: np.ndarray
    labels: tuple[str, ...]

    @property
    def num_symbols(self) -> int:
        """The size of the alphabet."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Categorical columns of one file, row by row.

    Attributes:
      columns: each column by its name.
      num_rows: how many rows they have.
      num_dropped: how many rows of the file were left out for a missing value.
    """

    columns: dict[str, Column]
    num_rows: int
    num_dropped: int


def names(path: str | os.PathLike[str]) -> list[str]:
    r"""The names of a file's columns.

    Args:
      path: a file ``….csv`` or ``….parquet``; a CSV has the names of its columns in the first line.

    Returns:
      Their names, in order.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, is empty, or has two columns of one name.

    Examples:
      >>> import tempfile, pathlib, isjax.data.columns
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs\ncat,4\n")
      ...     isjax.data.columns.names(file)
      ['kind', 'legs']
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path} must end in {' or '.join(_READERS)}")
    with _reading(path):
        found = _header(path) if path.suffix.lower() == ".csv" else list(pl.read_parquet_schema(path))
    if not found:
        raise ValueError(f"{path} is empty")
    repeated = [name for i, name in enumerate(found) if name in found[:i]]
    if repeated:
        raise ValueError(f"{path} has two columns {repeated[0]!r}: give each a name of its own")
    return found


def read(
    path: str | os.PathLike[str], columns: Sequence[str], *, missing: Missing = "refuse", bins: int | None = None
) -> Table:
    r"""Reads categorical columns of a CSV or Parquet file as integer codes.

    Words, whole numbers and truth values are symbols. An empty field of a CSV, a null and NaN are missing values; an
    empty word in quotes is a word. A column that holds a fraction is continuous: it is refused, or cut at its
    quantiles into bins of as equal counts as its ties allow; if it has no more levels than bins, each is a symbol.

    Args:
      path: a file ``….csv`` or ``….parquet``; a CSV has the names of its columns in the first line.
      columns: which columns, by name; the others are not looked at.
      missing: ``"refuse"``, ``"drop"`` the rows that miss a value in one of these columns, or make it a ``"symbol"``.
      bins: how many bins a continuous column is cut into, at least 2; refused if None.

    Returns:
      A ``Table``.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, lacks a column or has two of one name, has no row, misses a value that it may
        not, a column is not categorical, or there are fewer than two bins.

    Examples:
      >>> import tempfile, pathlib, isjax.data.columns
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs\ncat,4\nbird,2\ncat,4\n")
      ...     table = isjax.data.columns.read(file, ["kind", "legs"])
      >>> table.columns["kind"].codes.tolist(), table.columns["kind"].labels
      ([1, 0, 1], ('bird', 'cat'))
    """
    _checks.check_one_of(missing, "missing", get_args(Missing))
    if bins is not None:
        _checks.check_integer(bins, "bins", at_least=2)
    frame = _columns(Path(path), list(dict.fromkeys(columns)))
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    num_read = frame.height
    if not num_read:
        raise ValueError(f"{path} has no row")
    if missing == "drop":
        frame = frame.drop_nulls()
        if not frame.height:
            raise ValueError(f"{path} has no row without a missing value in {', '.join(frame.columns)}")
    found = {name: _coded(frame[name], missing, bins) for name in frame.columns}
    return Table(found, frame.height, num_read - frame.height)


_READERS = {".csv": functools.partial(pl.read_csv, infer_schema_length=None), ".parquet": pl.read_parquet}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says in one line what is wrong with a file."""
    try:
        yield
    except (pl.exceptions.PolarsError, csv.Error, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _header(path: Path) -> list[str]:
    """The first line of a CSV."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def _columns(path: Path, columns: list[str]) -> pl.DataFrame:
    """These columns of a file, as they are there."""
    found = names(path)
    absent = [name for name in columns if name not in found]
    if absent:
        raise ValueError(f"{path} has no column {absent[0]!r}, only {', '.join(map(repr, found))}")
    with _reading(path):
        frame = _READERS[path.suffix.lower()](path)  # whole: some columns alone would hide rows with too many fields
        if path.suffix.lower() == ".csv" and frame[:, -1].null_count():
            _refuse_short_rows(path, len(found))
    return frame.select(columns)


def _refuse_short_rows(path: Path, num_columns: int) -> None:
    """Refuses a CSV with too few fields in a row, which polars takes for missing values at its end."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        for fields in lines:
            if 0 < len(fields) < num_columns:
                raise ValueError(
                    f"{path} cannot be read: line {lines.line_num} has {len(fields)} fields, not {num_columns}"
                )


def _coded(values: pl.Series, missing: Missing, bins: int | None) -> Column:
    """One column's codes and labels."""
    num_missing = values.null_count()
    if num_missing and missing == "refuse":
        raise ValueError(
            f"column {values.name!r} misses {num_missing} of {values.len()} values: leave those rows out (--missing "
            "drop) or make them a symbol of their own (--missing symbol)"
        )
    levels, codes = _binned(values, bins) if bins is not None and _is_continuous(values) else _levels(_symbols(values))
    codes = codes.cast(pl.Int32).fill_null(len(levels))
    return Column(codes.to_numpy(), (*levels, *([MISSING_LABEL] if num_missing else [])))


def _levels(values: pl.Series) -> tuple[list[str], pl.Series]:
    """A column's symbols in order, and the number of each row's; null where it has none."""
    labels = values.drop_nulls().unique().sort().cast(pl.String)
    return labels.to_list(), values.cast(pl.String).cast(pl.Enum(labels)).to_physical()


def _binned(values: pl.Series, bins: int) -> tuple[list[str], pl.Series]:
    """A column's bins in order, and the number of each row's; null where it has none."""
    if values.drop_nulls().n_unique() <= bins:
        return _levels(values)
    known = values.drop_nulls().to_numpy()
    edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    second = known[known > known.min()].min()  # where many share the least value, they make the first bin
    edges = np.unique(np.maximum(edges, second))  # each is a value that occurs, and begins a bin: none is empty
    codes = pl.Series(np.searchsorted(edges, values.fill_null(0).to_numpy(), side="right"))
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    labels = [f"{low} to below {high}".strip() if high else f"{low} up" for low, high in itertools.pairwise(ends)]
    return labels, codes.set(values.is_null(), None)


def _fractional(values: pl.Series) -> pl.Series:
    """The values of a column that are not whole numbers; infinity is not."""
    return values.filter(values.is_infinite() | (values != values.floor()))


def _is_continuous(values: pl.Series) -> bool:
    return values.dtype.is_float() and _fractional(values).len() > 0


def _symbols(values: pl.Series) -> pl.Series:
    """A column whose values are symbols; whole numbers that are stored as floating-point ones become integers."""
    kind = values.dtype
    if kind.is_float():
        if _is_continuous(values):
            raise ValueError(
                f"column {values.name!r} is continuous (it holds {_fractional(values)[0]:g}): leave it out, cut it "
                "into bins (--bins N), or write its levels as words"
            )
        return values.cast(pl.Int64)
    if kind in (pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if kind.is_integer() or kind in (pl.String, pl.Boolean, pl.Null):
        return values.cast(pl.String) if kind in (pl.Boolean, pl.Null) else values
    raise ValueError(f"column {values.name!r} holds {kind}, not symbols: write its levels as words or whole numbers")


def joint(table: Table, input: str, target: str) -> Float[Array, "x y"]:
    """The empirical joint distribution of two columns.

    Args:
      table: as ``read`` gives it.
      input: name of X.
      target: name of Y.

    Returns:
      Shape ``[x, y]``, float32.

    Raises:
      ValueError: if it would have more than 2**26 cells.

    Examples:
      >>> import isjax.data.columns, numpy
      >>> column = isjax.data.columns.Column(numpy.array([0, 1, 1, 0]), ("a", "b"))
      >>> isjax.data.columns.joint(isjax.data.columns.Table({"x": column, "y": column}, 4, 0), "x", "y").tolist()
      [[0.5, 0.0], [0.0, 0.5]]
    """
    x, y = table.columns[input], table.columns[target]
    if x.num_symbols * y.num_symbols > _MAX_CELLS:
        raise ValueError(
            f"columns {input!r} and {target!r} have {x.num_symbols} and {y.num_symbols} symbols in {table.num_rows} "
            f"rows, more than {_MAX_CELLS} pairs: is one of them an identifier?"
        )
    return empirical_joint(x.codes, y.codes, shape=(x.num_symbols, y.num_symbols))


def best_quantizers(key: Key[Array, ""], joint: Float[Array, "x y"], num_codes: int) -> list[Quantizer]:
    """The encoder that loses least for each number of codes from 1 to ``num_codes``, or to that of the inputs.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_codes: the largest number of codes.

    Returns:
      A ``Quantizer`` for each: the optimum where Y has two classes at most, else the best that KL-means finds.

    Raises:
      ValueError: if ``num_codes`` is below one.

    Examples:
      >>> import isjax.data.columns
      >>> found = isjax.data.columns.best_quantizers(jax.random.key(0), jnp.eye(3) / 3, 5)
      >>> [round(float(each.loss), 3) for each in found]
      [1.099, 0.462, 0.0]
    """
    num_codes = min(_checks.check_integer(num_codes, "num_codes"), joint.shape[0])
    found = jax.device_get(jax.jit(quantizers_up_to, static_argnames="num_codes")(key, joint, num_codes=num_codes))
    return [Quantizer(*parts) for parts in zip(*found, strict=True)]


def complexity_and_relevance(joint: Float[Array, "x y"], quantizer: Quantizer) -> tuple[float, float]:
    """H(U) and I(U;Y) of a deterministic encoder, in nats: where it lies in the plane of the bottleneck's curve.

    Args:
      joint: distribution of (X, Y), shape ``[x, y]``.
      quantizer: an encoder of its X.

    Returns:
      Two numbers.

    Raises:
      ValueError: if its codes are not one for each symbol of X.

    Examples:
      >>> import isjax, isjax.data.columns
      >>> found = isjax.optimal_quantizer(jnp.eye(2) / 2, num_codes=2)
      >>> [round(each, 3) for each in isjax.data.columns.complexity_and_relevance(jnp.eye(2) / 2, found)]
      [0.693, 0.693]
    """
    joint_uy = pushforward(joint, quantizer.codes)
    return float(entropy(marginal_x(joint_uy))), float(mutual_information(joint_uy))


def quantizer_table(quantizers: Sequence[Quantizer], information: float) -> Grid:
    """The table of the number of codes against what they lose and keep.

    Args:
      quantizers: one for each number of codes, from 1 on.
      information: I(X;Y) in nats.

    Returns:
      A table of rich's.

    Examples:
      >>> import isjax.data.columns
      >>> found = isjax.data.columns.best_quantizers(jax.random.key(0), jnp.eye(2) / 2, 2)
      >>> isjax.data.columns.quantizer_table(found, 0.6931).row_count
      2
    """
    grid = Grid(box=None, padding=(0, 2, 0, 0))
    for heading in ("codes K", "loss I(X;Y|U)", "kept I(U;Y)", "of I(X;Y)"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    for k, quantizer in enumerate(quantizers, start=1):
        lost = float(quantizer.loss)
        kept = max(information - lost, 0.0)
        share = f"{kept / information:.1%}" if information > 0 else "–"
        how = "optimal" if bool(quantizer.is_global) else "best found"
        grid.add_row(str(k), f"{lost:.6f}", f"{kept:.6f}", share, how)
    return grid


def write_codes(
    column: Column, joint: Float[Array, "x y"], quantizers: Sequence[Quantizer], path: str | os.PathLike[str]
) -> Path:
    """Writes which code each symbol has: a row for each symbol, a column ``k=K`` for each number of codes from 2 on.

    Codes are numbered in the order of their first symbols.

    Args:
      column: the input's.
      joint: distribution of (X, Y), shape ``[x, y]``.
      quantizers: one for each number of codes, from 1 on.
      path: where to, ``….csv``.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.

    Examples:
      >>> import isjax.data.columns, numpy, tempfile
      >>> column, half = isjax.data.columns.Column(numpy.array([0, 1]), ("a", "b")), jnp.eye(2) / 2
      >>> found = isjax.data.columns.best_quantizers(jax.random.key(0), half, 2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     print(isjax.data.columns.write_codes(column, half, found, folder + "/codes.csv").read_text().split())
      ['symbol,probability,k=2', 'a,0.5,0', 'b,0.5,1']
    """
    frame = pl.DataFrame({"symbol": column.labels, "probability": np.asarray(joint).sum(1).astype(np.float64)})
    compact = {f"k={k}": compact_codes(each.codes).codes for k, each in enumerate(quantizers, start=1) if k > 1}
    columns = {name: pl.Series(name, np.asarray(codes)) for name, codes in compact.items()}
    return write_atomically(path, frame.with_columns(**columns).write_csv)
