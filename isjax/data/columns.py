"""Categorical columns of tables, in files or data frames, as integer codes with labels."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from isjax import _checks
from isjax._typing import Int

__all__ = ["Column", "Missing", "Table", "names", "read"]

Missing = Literal["refuse", "drop", "symbol"]
"""What to do with missing values: refuse them, drop their rows, or make them a symbol of their own."""

_MISSING_LABEL = "(missing)"


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


def names(
    path: Any,  # noqa: ANN401  (a path, or a data frame of polars or pandas, which need not be installed)
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> list[str]:
    r"""Names of a file's columns.

    Args:
      path: as for ``read``.
      separator: as for ``read``.
      encoding: as for ``read``.
      header: as for ``read``.

    Returns:
      The names, in order.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, or is empty.

    Examples:
      >>> import isjax.data.columns, pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs\ncat,4\n")
      ...     isjax.data.columns.names(file)
      ['kind', 'legs']
    """
    from isjax.data import _reading

    form = _reading.Format(separator=separator, encoding=encoding, header=header)
    return _reading.names(_as_source(path), form)


def read(
    path: Any,  # noqa: ANN401  (a path, or a data frame of polars or pandas, which need not be installed)
    columns: Sequence[str],
    *,
    missing: Missing = "refuse",
    bins: int | Mapping[str, int] | None = None,
    uncut: Sequence[str] = (),
    codes: Mapping[str, str] | None = None,
    weights: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    na: Sequence[str] = (),
) -> Table:
    r"""Reads categorical columns of a file or a data frame as integer codes.

    A symbol is what is written: in a text file ``007``, ``07`` and ``7`` are three. Symbols are ordered naturally, 2
    before 10. Missing are an empty field, quoted or not, ``NA``, ``N/A``, ``NaN``, ``null``, ``?``, ``.`` and ``-``,
    what ``na`` adds, and a null or NaN of a typed file. A column of numbers with a fraction is continuous: it is
    refused, or cut at its quantiles into bins of counts as equal as its ties allow; if it has no more levels than bins,
    each level is a symbol.

    Args:
      path: a text file (``.csv``, ``.tsv``, ``.txt`` or ``.data``, each also with ``.gz``), a ``.parquet``, ``.arrow``
        or ``.feather`` file, or a data frame of polars or pandas.
      columns: which columns, by name; the others may hold anything.
      missing: ``"refuse"`` missing values in these columns, ``"drop"`` their rows, or make them a ``"symbol"``.
      bins: number of bins, at least 2, of every column of numbers, or of each that is named. Without, continuous
        columns are refused.
      uncut: columns that ``bins`` cuts only if they are continuous, such as codes.
      codes: codes of one's own, by name, which the table holds beside the columns: expressions of the file's columns
        and of codes before, such as ``{"half": "age<40", "group": "smokes+half"}``. A part is a column, a threshold
        or several (``age<30<60``), one symbol or several against the rest (``region==north,east``), or a number of
        bins (``age:2``).
      weights: name of a column of counts: how many equal rows each row stands for.
      separator: what separates the fields of a text file; comma, semicolon, tab or bar, as found in its first line, if
        None.
      encoding: encoding of a text file; UTF-8, or UTF-16 by its mark, if None.
      header: whether the first line holds the names of the columns; they are ``"1"``, ``"2"``, … if not.
      na: more words that stand for a missing value.

    Returns:
      A ``Table``: a mapping of names to columns, which ``measure`` takes as it is.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, lacks a column or has two of one name, has no rows, has missing values that are
        refused, or a column is not categorical or cannot be cut.

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
    from isjax.data import _reading

    form = _reading.Format(separator=separator, encoding=encoding, header=header, na=tuple(na))
    wanted = list(dict.fromkeys(columns))
    asked = _bins_of(bins, wanted)
    parsed = _parsed_codes(path, form, codes) if codes else {}
    within: list[str] = [part.column for parts in parsed.values() for part in parts if part.column not in parsed]
    needed = [*dict.fromkeys((*wanted, *within, *(() if weights is None else (weights,))))]
    frame, num_dropped = _reading.read_frame(_as_source(path), needed, form, drop=missing == "drop")
    if weights is not None:
        frame = _reading.repeated(frame, weights)
    coded = {}
    for series in frame.select(wanted):
        if missing == "refuse":
            _reading.refuse_missing(series)
        number, is_named = asked.get(series.name, (None, False))
        if is_named and _reading.is_text(series):
            raise ValueError(f"column {series.name!r} cannot be cut into bins: it holds words, not numbers")
        levels, numbers = _reading.levels_and_codes(series, number, whole=is_named or series.name not in uncut)
        labels = (*levels, _MISSING_LABEL) if series.null_count() else tuple(levels)
        coded[series.name] = Column(numbers, labels)
    for name, parts in parsed.items():
        coded[name] = _own_code(parts, frame, coded, refuse=missing == "refuse")
    return Table(coded, frame.height, num_dropped)


def _as_source(path: Any) -> Any:  # noqa: ANN401
    return Path(path) if isinstance(path, str | os.PathLike) else path


def _bins_of(bins: int | Mapping[str, int] | None, columns: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """For each column that is to be cut, its number of bins, and whether it was named."""
    if bins is None:
        return {}
    if not isinstance(bins, Mapping):
        return dict.fromkeys(columns, (_checks.check_integer(bins, "bins", at_least=2), False))
    absent = [name for name in bins if name not in columns]
    if absent:
        raise ValueError(f"bins name the column {absent[0]!r}, which is not among {', '.join(map(repr, columns))}")
    return {name: (_checks.check_integer(number, f"bins of {name}", at_least=2), True) for name, number in bins.items()}


def _parsed_codes(path: Any, form: Any, codes: Mapping[str, str]) -> dict[str, list[Any]]:  # noqa: ANN401
    """The parts of each code; a code may use the file's columns and the codes before it."""
    from isjax.data import _codes, _reading

    known, parsed = _reading.names(_as_source(path), form), {}
    for name, text in codes.items():
        if name in known:
            raise ValueError(f"the code {name}={text} needs another name: there is a column {name!r}")
        parsed[name] = _codes.parse(name, text, [*known, *parsed])
    return parsed


def _own_code(parts: Sequence[Any], frame: Any, coded: Mapping[str, Column], *, refuse: bool) -> Column:  # noqa: ANN401
    """The column of a code."""
    import polars as pl

    from isjax.data import _codes, _reading

    def grouped(part: Any) -> tuple[Sequence[str], np.ndarray]:  # noqa: ANN401
        if part.column in frame.columns:
            values = frame[part.column]
            if refuse:
                _reading.refuse_missing(values)
            return _codes.grouped(part, values)
        column = coded[part.column]
        labels = [label for label in column.labels if label != _MISSING_LABEL]
        values = pl.Series(part.column, [*labels, None], dtype=pl.String)[column.codes]
        return _codes.grouped(part, values) if part.kind else (labels, column.codes)

    labels, codes = _codes.labels_and_codes([grouped(part) for part in parts])
    has_missing = bool((codes == len(labels)).any())
    return Column(codes, (*labels, _MISSING_LABEL) if has_missing else tuple(labels))
