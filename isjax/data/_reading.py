"""How files become columns of text or numbers; imported when a file is read.

polars reads a million rows of text in a fraction of a second. What it cannot read, such as quotation marks within a
field, the standard library's ``csv`` reads more slowly. Fields of a text file stay as they are written: numbers are
made of them only where numbers are asked for.
"""

import contextlib
import csv
import dataclasses
import gzip
import io
import itertools
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

_TEXT = (".csv", ".tsv", ".txt", ".data")
_BINARY = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc, ".feather": pl.read_ipc}
_SEPARATORS = ",;\t|"
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?", ".", "-")
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_MOST_ROWS = 10**8  # that weights may stand for


@dataclasses.dataclass(frozen=True)
class Format:
    """How a text file is written."""

    separator: str | None = None
    """What separates fields; found if None."""
    encoding: str | None = None
    """How characters are encoded; UTF-8, or by the file's mark, if None."""
    header: bool = True
    """Whether the first line names the columns; otherwise they are numbered from 1."""
    na: Sequence[str] = ()
    """What stands for a missing value besides the usual."""


def names(source: object, form: Format) -> list[str]:
    """Names of the columns of a file or a data frame."""
    return _load(source, form)[0]


def read_frame(source: object, columns: Sequence[str], form: Format, *, drop: bool) -> tuple[pl.DataFrame, int]:
    """These columns, missing values made null, and the number of rows that are dropped for a missing value."""
    found, load = _load(source, form)
    what = source if isinstance(source, Path) else "the data frame"
    positions = []
    for name in map(_composed, columns):
        if name not in found:
            raise ValueError(f"{what} has no column {name!r}, only {listed(found)}")
        if found.count(name) > 1:
            raise ValueError(f"{what} has two columns {name!r}: rename one of them")
        positions.append(found.index(name))
    frame = load()
    series = [_with_nulls(frame.to_series(i), form).alias(name) for i, name in zip(positions, columns, strict=True)]
    frame = pl.DataFrame(series)
    if not frame.height:
        raise ValueError(f"{what} has no rows")
    complete = frame.drop_nulls() if drop else frame
    if not complete.height:
        raise ValueError(f"{what} has no row without a missing value in {', '.join(columns)}")
    return complete, frame.height - complete.height


def listed(found: Sequence[str]) -> str:
    return ", ".join(map(repr, found[:20])) + (f" and {len(found) - 20} more" if len(found) > 20 else "")


def _composed(name: str) -> str:
    """A name in Unicode's composed form, so that two ways to write a letter are one."""
    return unicodedata.normalize("NFC", name)


def _with_nulls(values: pl.Series, form: Format) -> pl.Series:
    """A column with null for a missing value."""
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype == pl.String:
        is_missing = values.str.strip_chars().is_in([*_MISSING, *form.na])
    elif values.dtype.is_numeric() and form.na:
        is_missing = values.cast(pl.String).is_in(list(form.na))
    else:
        return values
    return values.to_frame("v").select(pl.when(~is_missing).then(pl.col("v")))["v"]


# --- files --------------------------------------------------------------------------------------------------------


_Load = Callable[[], pl.DataFrame]
"""Reads the columns, named by position."""


def _load(source: object, form: Format) -> tuple[list[str], _Load]:
    """Names of the columns, and what reads them."""
    if not isinstance(source, Path):
        return _of_frame(source)
    path = source
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    *_, ending = [suffix for suffix in ("", *path.suffixes) if suffix.lower() != ".gz"]
    with _reading(path):
        if reader := _BINARY.get(ending.lower()):
            frame = reader(path)
            return [_composed(name) for name in frame.columns], lambda: _by_position(frame)
        if ending.lower() not in _TEXT:
            raise ValueError(f"{path} must end in {', '.join((*_TEXT, *_BINARY))}; a text file may also end in .gz")
        return _of_text(path, _decoded(path, form), form)


def _of_frame(frame: Any) -> tuple[list[str], _Load]:  # noqa: ANN401
    """Of a frame of polars, or of one that is like pandas'."""
    if isinstance(frame, pl.DataFrame):
        return [_composed(name) for name in frame.columns], lambda: _by_position(frame)
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        raise TypeError(f"path must be the path of a file, or a data frame, got {type(frame).__name__}")
    found = [str(name) for name in frame.columns]
    columns = {str(i): _series(frame.iloc[:, i]) for i in range(len(found))}
    return [_composed(name) for name in found], lambda: pl.DataFrame(columns)


def _series(values: Any) -> pl.Series:  # noqa: ANN401  (a column of pandas)
    """A column of numbers, or of text with null for a missing value."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biuf":
        return pl.Series(values.to_numpy())
    is_missing = values.isna().to_numpy()
    texts = [None if m else str(value) for m, value in zip(is_missing, values.astype(object), strict=True)]
    return pl.Series(texts, dtype=pl.String)


def _by_position(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.rename(dict(zip(frame.columns, map(str, range(frame.width)), strict=True)))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Makes an error of reading one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, csv.Error, OSError, EOFError, zlib.error) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read: {first}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of polars, for some damaged files
            raise ValueError(f"{path} cannot be read: it is damaged") from error
        raise


def _decoded(path: Path, form: Format) -> str:
    """The text of a file, with line feeds for all ends of lines."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:4] == b"PK\x03\x04":
        raise ValueError(f"{path} is a zip archive, or a spreadsheet: unpack it, or save the table as CSV")
    marked = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), None)
    try:
        text = content.decode(form.encoding or marked or "utf-8")
    except LookupError:
        raise ValueError(f"encoding must be one that Python knows, such as latin-1, got {form.encoding!r}") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not written in {error.encoding}: byte 0x{error.object[error.start]:02x} at position "
            f"{error.start}; give its encoding (--encoding latin-1)"
        ) from None
    text = text if text.isascii() else _composed(text).removeprefix("\ufeff")
    if re.match(r"\s*<(!doctype|html|\?xml)", text[:200], re.IGNORECASE):
        raise ValueError(f"{path} is a web page, not a table: download the file itself")
    if "\0" in text[:10_000]:
        raise ValueError(f"{path} is not a text file: it has zero bytes; for UTF-16 give --encoding utf-16")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _of_text(path: Path, text: str, form: Format) -> tuple[list[str], _Load]:
    """Names of the columns of a table in text, and what reads them."""
    blank = re.match(r"(?:[ \t]*\n)*", text)
    num_blank, text = (blank[0].count("\n"), text[blank.end() :]) if blank else (0, text)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    first = text.partition("\n")[0]
    separator = form.separator or max(_SEPARATORS, key=lambda each: len(_fields(first, each)))
    if len(separator) != 1 or separator in '"\n':
        raise ValueError(f"separator must be one character, such as ';', got {separator!r}")
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    found = next(rows)
    if not form.header:
        numbered = [str(i + 1) for i in range(len(found))]
        return numbered, lambda: _parsed(path, text, separator, len(found), num_blank)
    num_lines = rows.line_num
    *_, body = ["", *text.split("\n", num_lines)]
    body = body if text.count("\n") >= num_lines else ""
    second = next((fields for fields in rows if "".join(fields).strip()), [])
    has_row_names = len(second) == len(found) + 1 and second[-1].strip() != ""  # as R writes them
    found = ["row name", *found] if has_row_names else found
    num_columns = max(len(found), len(second)) if not "".join(second[len(found) :]).strip() else len(found)
    names = [name.strip() for name in found]
    return names, lambda: _parsed(path, body, separator, num_columns, num_blank + num_lines)[:, : len(names)]


def _without_blank_lines(text: str, separator: str) -> str:
    blanks = " " if separator == "\t" else " \t"
    whole = text.rstrip("\n")
    if whole[0] not in "\n" + blanks and not any("\n" + each in whole for each in "\n" + blanks):
        return whole  # faster than to search for what blank lines are
    if '"' not in text:
        return re.sub(rf"(?m)^[{blanks}]*(?:\n|\Z)", "", text).rstrip("\n")
    kept, quoted = [], False  # a blank line within quotation marks belongs to its field
    for line in text.split("\n"):
        if quoted or line.strip(blanks):
            kept.append(line)
        quoted ^= line.count('"') % 2 == 1
    return "\n".join(kept)


def _fields(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _parsed(path: Path, text: str, separator: str, num_columns: int, lines_before: int) -> pl.DataFrame:
    """The rows as columns of text."""
    schema = {str(i): pl.String for i in range(num_columns)}
    if not text.strip("\n "):
        return pl.DataFrame(schema=schema)
    rows = _rows(path, text, separator, num_columns, lines_before)
    try:
        content = io.BytesIO(_without_blank_lines(text, separator).encode())
        frame = pl.read_csv(content, has_header=False, separator=separator, schema=schema)
    except pl.exceptions.PolarsError:
        return pl.DataFrame(list(rows), schema=schema, orient="row")
    if frame.to_series(num_columns - 1).null_count():  # empty fields, or rows that are too short
        for _ in rows:
            pass
    return frame


def _rows(path: Path, text: str, separator: str, num_columns: int, lines_before: int) -> Iterator[list[str]]:
    """The rows, each of which must have as many fields as there are columns."""
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    for fields in rows:
        if len(fields) == num_columns and (num_columns > 1 or fields[0].strip()):
            yield fields
        elif len(fields) > 1 or "".join(fields).strip():
            line = rows.line_num + lines_before
            raise ValueError(f"{path} cannot be read: line {line} has {len(fields)} fields, not {num_columns}")


# --- columns ------------------------------------------------------------------------------------------------------


def refuse_missing(values: pl.Series) -> None:
    """Refuses a column with missing values."""
    num_missing = values.null_count()
    if num_missing:
        raise ValueError(
            f"column {values.name!r} misses {num_missing} of {values.len()} values: drop those rows (--missing drop) "
            "or make them a symbol of their own (--missing symbol)"
        )


def is_text(values: pl.Series) -> bool:
    """Whether a column is not one of numbers."""
    return _numbers(values) is None


def as_numbers(values: pl.Series) -> pl.Series:
    """A column of numbers as floats; a column of words is refused."""
    numbers = _numbers(values)
    if numbers is None:
        raise ValueError(f"column {values.name!r} holds words, not numbers")
    return numbers


def levels_and_codes(values: pl.Series, bins: int | None, *, whole: bool) -> tuple[list[str], np.ndarray]:
    """Labels of a column's symbols or bins in order, and each row's code; a missing value has the code after them.

    With ``bins``, a column of numbers is cut; one of whole numbers only if ``whole``.
    """
    numbers = _numbers(values)
    is_continuous = numbers is not None and _fractional(numbers).len() > 0
    if bins is not None and numbers is None:
        _refuse_words_among_numbers(values)
    if bins is not None and numbers is not None and (whole or is_continuous):
        few = numbers.drop_nulls().n_unique() <= bins and numbers.n_unique() == values.n_unique()
        levels, codes = _levels(values) if few else _binned(numbers, bins)
    elif is_continuous:
        assert numbers is not None
        raise ValueError(
            f"column {values.name!r} is continuous (it holds {_fractional(numbers)[0]:g}): leave it out, cut it "
            "into bins (--bins N), or write its levels as words"
        )
    else:
        levels, codes = _levels(values)
    return levels, codes.cast(pl.Int32).fill_null(len(levels)).to_numpy()


def repeated(frame: pl.DataFrame, weights: str) -> pl.DataFrame:
    """The rows, each as often as the column ``weights`` says."""
    return frame[np.repeat(np.arange(frame.height), _as_counts(frame[weights]))]


def _as_counts(values: pl.Series) -> np.ndarray:
    """How many rows each row stands for."""
    numbers = _numbers(values)
    if numbers is None or values.null_count():
        raise ValueError(f"weights must be numbers in every row, but column {values.name!r} is not")
    counts = numbers.to_numpy()
    if (counts < 0).any():
        raise ValueError(f"weights must not be negative, but column {values.name!r} holds {counts.min():g}")
    if (counts != np.floor(counts)).any():
        raise ValueError(
            f"weights must be counts of equal rows, but column {values.name!r} holds {_fractional(numbers)[0]:g}: "
            "survey weights are not supported, because tests and intervals need to know how many rows there are"
        )
    if not counts.sum() or counts.sum() > _MOST_ROWS:
        raise ValueError(f"weights must add up to 1 … {_MOST_ROWS} rows, column {values.name!r} to {counts.sum():g}")
    return counts.astype(np.int64)


def _numbers(values: pl.Series) -> pl.Series | None:
    """The column as numbers; None if it has other values, or none at all."""
    if values.dtype == pl.Boolean or not (values.dtype == pl.String or values.dtype.is_numeric()):
        return None
    numbers = (values.str.strip_chars() if values.dtype == pl.String else values).cast(pl.Float64, strict=False)
    is_number = numbers.null_count() == values.null_count() < values.len()
    return numbers + 0.0 if is_number else None  # minus zero is zero


def _refuse_words_among_numbers(values: pl.Series) -> None:
    """Refuses to leave a column uncut in which most values are numbers."""
    if (word := word_among_numbers(values)) is not None:
        raise ValueError(
            f"column {values.name!r} cannot be cut into bins: it holds {word!r} among numbers; if that means a "
            f"missing value, give --na {word}"
        )


def word_among_numbers(values: pl.Series) -> str | None:
    """The first word of a column in which most values are numbers; None if there is none."""
    if values.dtype != pl.String:
        return None
    numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
    words = values.filter(numbers.is_null() & values.is_not_null())
    return words[0] if words.len() and 2 * words.len() < values.len() - values.null_count() else None


def _fractional(values: pl.Series) -> pl.Series:
    """The values of a column that are not integers, infinities included."""
    return values.filter(values.is_infinite() | (values != values.floor()))


def _levels(values: pl.Series) -> tuple[list[str], pl.Series]:
    """Labels of a column's symbols in natural order, and each row's code or null."""
    if values.dtype.is_nested():
        raise ValueError(f"column {values.name!r} holds {values.dtype}, not symbols: write its levels as words")
    if values.dtype.is_float():
        distinct = np.unique(values.drop_nulls().to_numpy() + 0.0)
        is_whole = bool((distinct == np.floor(distinct)).all())
        return [f"{number:.0f}" if is_whole else repr(float(number)) for number in distinct], _coded(values, distinct)
    written = values.cast(pl.String)
    labels = sorted(written.drop_nulls().unique().to_list(), key=_natural)
    return labels, written.cast(pl.Enum(labels)).to_physical()


def _coded(numbers: pl.Series, distinct: np.ndarray) -> pl.Series:
    """The position of each number among the distinct ones; null for null."""
    filled = numbers.fill_null(distinct[0] if distinct.size else 0).to_numpy()
    return pl.Series(np.searchsorted(distinct, filled)).set(numbers.is_null(), None)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _natural(label: str) -> list[Any]:
    """Key of an order in which 2 comes before 10, alone and within words; numbers come before words."""
    if _NUMBER.fullmatch(label.strip()):
        return [0, float(label), label]
    parts = [part.lstrip("0") if part.isdecimal() else part for part in re.split(r"(\d+)", label)]
    return [1, *((0, len(part), part) if part.isdecimal() else (1, 0, part) for part in parts), (2, 0, label)]


def _binned(numbers: pl.Series, bins: int) -> tuple[list[str], pl.Series]:
    """Labels of a column's bins in order, and each row's code or null."""
    known = numbers.drop_nulls().to_numpy()
    distinct = np.unique(known)
    if distinct.size <= bins:
        return [f"{number:.15g}" for number in distinct], _coded(numbers, distinct)
    edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique(np.maximum(edges, distinct[1]))  # each is a value that occurs and starts a bin: none is empty
    codes = pl.Series(np.searchsorted(edges, numbers.fill_null(0).to_numpy(), side="right"))
    ends = ["", *(f"{edge:.15g}" for edge in edges), ""]
    labels = [f"{low} to below {high}".strip() if high else f"{low} up" for low, high in itertools.pairwise(ends)]
    return labels, codes.set(numbers.is_null(), None)
