"""Categorical columns of CSV and Parquet files as integer codes with labels."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from isjax import _checks
from isjax._typing import Array, Float, Int
from isjax.distributions import empirical_joint

__all__ = ["Column", "Missing", "Table", "joint", "names", "read"]

Missing = Literal["refuse", "drop", "symbol"]
"""What to do with missing values: refuse them, drop their rows, or make them a symbol of their own."""

_MISSING_LABEL = "(missing)"
_MAX_CELLS = 2**26  # of a joint distribution: 256 MiB in float32


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Column:
    """A categorical column: the code of each row, and the labels of the codes. ``numpy.asarray`` gives the codes.

    Attributes:
      codes: integers in 0 … num_symbols − 1, shape ``[n]``.
      labels: the symbols in order, numbers by value and strings alphabetically, a missing value last.
    """

    codes: Int[np.ndarray, "n"]
    labels: tuple[str, ...]

    @property
    def num_symbols(self) -> int:
        """Size of the alphabet."""
        return len(self.labels)

    def __repr__(self) -> str:
        symbols = ", ".join(self.labels[:4]) + (", …" if self.num_symbols > 4 else "")
        return f"Column of {len(self.codes)} rows, {self.num_symbols} symbols: {symbols}"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: ANN401 — numpy's protocol
        return np.array(self.codes, dtype=dtype, copy=copy)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Table(Mapping[str, Column]):
    """Categorical columns of one file, by name.

    Attributes:
      columns: each column by its name.
      num_rows: number of rows.
      num_dropped: number of rows of the file dropped for a missing value.
    """

    columns: dict[str, Column]
    num_rows: int
    num_dropped: int

    def __repr__(self) -> str:
        lines = [f"  {name}: {column.num_symbols} symbols" for name, column in list(self.columns.items())[:8]]
        more = [f"  and {len(self) - 8} more columns"] if len(self) > 8 else []
        return "\n".join([f"Table of {self.num_rows} rows, {self.num_dropped} dropped", *lines, *more])

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def names(path: str | os.PathLike[str]) -> list[str]:
    r"""Names of a file's columns.

    Args:
      path: a file ``….csv`` or ``….parquet``; the first line of a CSV holds the names of its columns.

    Returns:
      The names, in order.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, is empty, or has two columns of one name.

    Examples:
      >>> import isjax.data.columns, pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs\ncat,4\n")
      ...     isjax.data.columns.names(file)
      ['kind', 'legs']
    """
    from isjax.data import _reading

    return _reading.names(Path(path))


def read(
    path: str | os.PathLike[str], columns: Sequence[str], *, missing: Missing = "refuse", bins: int | None = None
) -> Table:
    r"""Reads categorical columns of a CSV or Parquet file as integer codes.

    Strings, integers and booleans are symbols. An empty field of a CSV, a null and NaN are missing values; a quoted
    empty string is a symbol. A column with a fractional value is continuous: it is refused, or cut at its quantiles
    into bins of counts as equal as its ties allow; if it has no more levels than bins, each level is a symbol.

    Args:
      path: a file ``….csv`` or ``….parquet``; the first line of a CSV holds the names of its columns.
      columns: which columns, by name; the others are ignored.
      missing: ``"refuse"`` missing values in these columns, ``"drop"`` their rows, or make them a ``"symbol"``.
      bins: number of bins of a continuous column, at least 2; such columns are refused if None.

    Returns:
      A ``Table``: a mapping of names to columns, which ``measure`` takes as it is.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, lacks a column or has two of one name, has no rows, has missing values that are
        refused, or a column is not categorical.

    Examples:
      >>> import isjax.data, pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs\ncat,4\nbird,2\ncat,4\n")
      ...     table = isjax.data.read(file, ["kind", "legs"])
      >>> table["kind"].codes.tolist(), table["kind"].labels
      ([1, 0, 1], ('bird', 'cat'))
    """
    _checks.check_one_of(missing, "missing", get_args(Missing))
    if bins is not None:
        _checks.check_integer(bins, "bins", at_least=2)
    from isjax.data import _reading

    frame, num_dropped = _reading.read_frame(Path(path), list(dict.fromkeys(columns)), drop=missing == "drop")
    coded = {}
    for series in frame:
        if missing == "refuse":
            _reading.refuse_missing(series)
        levels, codes = _reading.levels_and_codes(series, bins)
        has_missing = series.null_count() > 0
        coded[series.name] = Column(codes, (*levels, _MISSING_LABEL) if has_missing else tuple(levels))
    return Table(coded, frame.height, num_dropped)


def joint(table: Table, input: str, target: str) -> Float[Array, "x y"]:
    """Empirical joint distribution of two columns.

    Args:
      table: what ``read`` returns.
      input: name of X.
      target: name of Y.

    Returns:
      Shape ``[x, y]``, float32.

    Raises:
      ValueError: if it would have more than 2**26 cells.

    Examples:
      >>> import isjax.data.columns, numpy as np
      >>> column = isjax.data.Column(np.array([0, 1, 1, 0]), ("a", "b"))
      >>> isjax.data.columns.joint(isjax.data.Table({"x": column, "y": column}, 4, 0), "x", "y").tolist()
      [[0.5, 0.0], [0.0, 0.5]]
    """
    x, y = table[input], table[target]
    if x.num_symbols * y.num_symbols > _MAX_CELLS:
        raise ValueError(
            f"columns {input!r} and {target!r} have {x.num_symbols} and {y.num_symbols} symbols in {table.num_rows} "
            f"rows, more than {_MAX_CELLS} pairs: is one of them an identifier?"
        )
    return empirical_joint(x.codes, y.codes, shape=(x.num_symbols, y.num_symbols))
