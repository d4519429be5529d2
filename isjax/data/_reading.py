"""How polars reads files and columns; imported when a file is read.

polars reads CSV and Parquet without further packages, a million rows in a fraction of a second, and keeps a column of
integers with missing values one of integers and nulls, where pandas makes it floats and NaN.
"""

import contextlib
import csv
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

_READERS = {".csv": functools.partial(pl.read_csv, infer_schema_length=None), ".parquet": pl.read_parquet}


def names(path: Path) -> list[str]:
    """Names of a file's columns."""
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
        raise ValueError(f"{path} has two columns {repeated[0]!r}: rename one of them")
    return found


def read_frame(path: Path, columns: list[str], *, drop: bool) -> tuple[pl.DataFrame, int]:
    """These columns of a file, NaN made null, and the number of rows that are dropped for a missing value."""
    frame = _columns(path, columns).with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    if not frame.height:
        raise ValueError(f"{path} has no rows")
    complete = frame.drop_nulls() if drop else frame
    if not complete.height:
        raise ValueError(f"{path} has no row without a missing value in {', '.join(columns)}")
    return complete, frame.height - complete.height


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Makes an error of reading one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, csv.Error, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _header(path: Path) -> list[str]:
    """First line of a CSV."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def _columns(path: Path, columns: list[str]) -> pl.DataFrame:
    """These columns of a file, unchanged."""
    found = names(path)
    absent = [name for name in columns if name not in found]
    if absent:
        raise ValueError(f"{path} has no column {absent[0]!r}, only {', '.join(map(repr, found))}")
    with _reading(path):
        frame = _READERS[path.suffix.lower()](path)  # all: reading some columns hides rows with too many fields
        if path.suffix.lower() == ".csv" and frame[:, -1].null_count():
            _refuse_short_rows(path, len(found))
    return frame.select(columns)


def _refuse_short_rows(path: Path, num_columns: int) -> None:
    """Refuses a CSV with too few fields in a row, which polars reads as missing values."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        for fields in lines:
            if 0 < len(fields) < num_columns:
                raise ValueError(
                    f"{path} cannot be read: line {lines.line_num} has {len(fields)} fields, not {num_columns}"
                )


def refuse_missing(values: pl.Series) -> None:
    """Refuses a column with missing values."""
    num_missing = values.null_count()
    if num_missing:
        raise ValueError(
            f"column {values.name!r} misses {num_missing} of {values.len()} values: drop those rows (--missing drop) "
            "or make them a symbol of their own (--missing symbol)"
        )


def levels_and_codes(values: pl.Series, bins: int | None) -> tuple[list[str], np.ndarray]:
    """Labels of a column's symbols or bins in order, and each row's code; a missing value has the code after them."""
    levels, codes = _binned(values, bins) if bins is not None and _is_continuous(values) else _levels(_symbols(values))
    return levels, codes.cast(pl.Int32).fill_null(len(levels)).to_numpy()


def _levels(values: pl.Series) -> tuple[list[str], pl.Series]:
    """Labels of a column's symbols in order, and each row's code or null."""
    labels = values.drop_nulls().unique().sort().cast(pl.String)
    return labels.to_list(), values.cast(pl.String).cast(pl.Enum(labels)).to_physical()


def _binned(values: pl.Series, bins: int) -> tuple[list[str], pl.Series]:
    """Labels of a column's bins in order, and each row's code or null."""
    if values.drop_nulls().n_unique() <= bins:
        return _levels(values)
    known = values.drop_nulls().to_numpy()
    edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    second = known[known > known.min()].min()  # ties at the least value make the first bin
    edges = np.unique(np.maximum(edges, second))  # each is a value that occurs and starts a bin: no bin is empty
    codes = pl.Series(np.searchsorted(edges, values.fill_null(0).to_numpy(), side="right"))
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    labels = [f"{low} to below {high}".strip() if high else f"{low} up" for low, high in itertools.pairwise(ends)]
    return labels, codes.set(values.is_null(), None)


def _fractional(values: pl.Series) -> pl.Series:
    """The values of a column that are not integers, infinities included."""
    return values.filter(values.is_infinite() | (values != values.floor()))


def _is_continuous(values: pl.Series) -> bool:
    return values.dtype.is_float() and _fractional(values).len() > 0


def _symbols(values: pl.Series) -> pl.Series:
    """A column whose values are symbols; integers that are stored as floats become integers."""
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
    raise ValueError(f"column {values.name!r} holds {kind}, not symbols: write its levels as words or integers")
