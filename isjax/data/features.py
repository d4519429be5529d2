"""Columns of tables as features of learners: numbers as they are, words one-hot, arrays whole."""

import dataclasses
import fnmatch
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from isjax import _checks
from isjax.cross_validation import Sample
from isjax.data.columns import Missing

if TYPE_CHECKING:
    import polars as pl

    from isjax._typing import Float

__all__ = ["Samples", "samples"]

_FORMS = (
    "columns separated by commas (age,dose), a range of columns (p0..p63), a pattern (emb_*), or a code of a column "
    "(age<40, age:4, region==north)"
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Samples(Mapping[Any, Sample]):
    """What each encoder shows of the rows of a table, by the encoder's name: the samples of ``cross_validate``.

    Attributes:
      samples: a ``Sample`` for each encoder; all have the same targets.
      classes: the label of each class.
      features: names of the features of each encoder.
      constant: columns that have one value in all rows, and are left out.
      num_dropped: number of rows dropped for a missing value.
    """

    samples: dict[str, Sample]
    classes: tuple[str, ...]
    features: dict[str, tuple[str, ...]]
    constant: tuple[str, ...]
    num_dropped: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return next(iter(self.samples.values())).targets.size

    def __repr__(self) -> str:
        lines = [f"  {name}: {len(names)} features" for name, names in list(self.features.items())[:8]]
        return "\n".join([f"Samples of {self.num_rows} rows, {len(self.classes)} classes", *lines])

    def __getitem__(self, name: str) -> Sample:
        return self.samples[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)


def samples(
    path: Any,  # noqa: ANN401  (a path, or a data frame of polars or pandas, which need not be installed)
    *,
    target: str,
    encoders: Sequence[str] | Mapping[str, str],
    missing: Missing = "refuse",
    separator: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    na: Sequence[str] = (),
) -> Samples:
    r"""Reads what encoders show of the rows of a table.

    An encoder is some columns: ``age,dose``, ``p0..p63`` (those between two, in the order of the file), ``emb_*``, or
    codes of columns (``age<40``, ``age:4`` for four bins, ``region==north``). Numbers stay numbers; words become
    one-hot, two of them one column. A column of a constant is left out.

    Args:
      path: a file or data frame as ``read`` takes, or an ``.npz`` file of arrays ``[n]`` or ``[n, …]``, by their names.
      target: the column of the class, or a code of one (``price:4``).
      encoders: expressions such as ``"pixels=p0..p63"``, or a mapping of names to columns.
      missing: ``"refuse"`` missing values in these columns, ``"drop"`` their rows, or, with ``"symbol"``, let the mean
        stand for a missing number, marked in a feature of its own, and make a missing word a word of its own.
      separator: as for ``read``.
      encoding: as for ``read``.
      header: as for ``read``.
      na: as for ``read``.

    Returns:
      ``Samples``: a mapping of the encoders' names to samples, which ``isjax.cross_validate`` takes as it is.

    Raises:
      FileNotFoundError: if there is no file.
      ValueError: if it cannot be read, an expression names no column, a column has as many words as rows, numbers are
        infinite, or an encoder shows nothing.

    Examples:
      >>> import isjax.data, pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder) / "pets.csv"
      ...     _ = file.write_text("kind,legs,kilos\ncat,4,3.5\nbird,2,0.1\ncat,4,4.5\n")
      ...     found = isjax.data.samples(file, target="kind", encoders=["both=legs,kilos", "heavy=kilos<1"])
      >>> found.classes, found["both"].features.shape, found["heavy"].features[:, 0].tolist()
      (('bird', 'cat'), (3, 2), [1.0, -1.0, 1.0])
    """
    from isjax.data import _reading

    _checks.check_one_of(missing, "missing", get_args(Missing))
    form = _reading.Format(separator=separator, encoding=encoding, header=header, na=tuple(na))
    source = Path(path) if isinstance(path, str | os.PathLike) else path
    arrays: dict[str, list[str]] = {}
    named = _named(encoders)
    if isinstance(source, Path) and source.suffix.lower() == ".npz":
        source, arrays = _of_arrays(source, [target, *(piece for text in named.values() for piece in text.split(","))])
    known = _reading.names(source, form)
    parts = {name: _parts(name, text, known, arrays) for name, text in named.items()}
    aim = _one_part(target, known)
    _refuse_target(parts, aim)
    needed = dict.fromkeys([aim.column, *(part.column for of_encoder in parts.values() for part in of_encoder)])
    frame, num_dropped = _reading.read_frame(source, list(needed), form, drop=missing == "drop")
    classes, targets = _classes(frame[aim.column], aim)
    blocks: dict[_Part, _Block | None] = {}
    for part in dict.fromkeys(part for of_encoder in parts.values() for part in of_encoder):
        if missing == "refuse":
            _reading.refuse_missing(frame[part.column])
        blocks[part] = _block(frame[part.column], part)
    made, names = {}, {}
    for name, of_encoder in parts.items():
        shown = [block for part in of_encoder if (block := blocks[part]) is not None]
        if not shown:
            raise ValueError(
                f"the encoder {name}={named[name]} shows nothing: {', '.join(part.text for part in of_encoder)} "
                "have one value in all rows"
            )
        made[name] = Sample(np.concatenate([block.values for block in shown], axis=1), targets)
        names[name] = tuple(each for block in shown for each in block.names)
    constant = tuple(dict.fromkeys(part.text for part, block in blocks.items() if block is None))
    return Samples(made, classes, names, constant, num_dropped)


# -- what the expressions name -----------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A column of an encoder, as it is or as a code."""

    column: str
    code: str = ""
    """What follows the column in an expression of a code, such as ``<40``."""

    @property
    def text(self) -> str:
        return self.column + self.code


def _named(encoders: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """The expression of each encoder, by its name."""
    if isinstance(encoders, str):
        raise TypeError(f"encoders must be a sequence of expressions, such as [{encoders!r}], got a string")
    if isinstance(encoders, Mapping):
        pairs = [(str(name), str(text)) for name, text in encoders.items()]
    else:
        matches = [(re.match(r"([^=<>!,]+)=(?!=)(.*)", text, re.DOTALL), text) for text in encoders]
        pairs = [(found[1].strip(), found[2]) if found else (text.strip(), text) for found, text in matches]
    if not pairs:
        raise ValueError("encoders must name at least one encoder, such as raw=age,dose, got none")
    names = [name for name, _ in pairs]
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"encoders must have different names, got {repeated[0]!r} twice")
    return dict(pairs)


def _parts(name: str, text: str, known: Sequence[str], arrays: Mapping[str, Sequence[str]]) -> list[_Part]:
    """The columns of an encoder, each once."""
    if not text.strip():
        raise ValueError(f"the encoder {name} names no column: write {_FORMS}")
    pieces: list[str] = []
    for piece in [text] if text.strip() in known else text.split(","):
        if pieces and "==" in pieces[-1] and not _columns(piece, known, arrays):
            pieces[-1] += f",{piece}"  # another symbol
        else:
            pieces.append(piece)
    parts = []
    for piece in pieces:
        columns = _columns(piece, known, arrays)
        parts += [_Part(column) for column in columns] if columns else [_one_part(piece, known, name)]
    return list(dict.fromkeys(parts))


def _columns(piece: str, known: Sequence[str], arrays: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns that a name, a range or a pattern stands for; none if it is no such thing."""
    piece = piece.strip()
    if piece in known:
        return [piece]
    if piece in arrays:
        return list(arrays[piece])
    first, dots, last = (part.strip() for part in piece.partition(".."))
    if dots and first in known and last in known:
        start, stop = known.index(first), known.index(last)
        if stop < start:
            raise ValueError(f"the range {piece} ends before it starts: {last!r} comes before {first!r}")
        return list(known[start : stop + 1])
    return [each for each in known if fnmatch.fnmatchcase(each, piece)]


def _one_part(text: str, known: Sequence[str], encoder: str | None = None) -> _Part:
    """A column, or a code of one."""
    from isjax.data import _codes, _reading

    text = text.strip()
    if text in known:
        return _Part(text)
    try:
        if any(sign in text for sign in "<>=:"):
            (part,) = _codes.parse(encoder or "target", text, known)
            return _Part(part.column, text[len(part.column) :].strip())
    except ValueError:
        pass
    shown = _reading.listed(known)
    if encoder is None:
        raise ValueError(
            f"the target must be a column, or a code of one such as age:4, got {text!r}; there are {shown}"
        )
    raise ValueError(
        f"the encoder {encoder} names {text!r}, which no column is or matches: write {_FORMS}; there are {shown}"
    )


def _refuse_target(parts: Mapping[str, Sequence[_Part]], target: _Part) -> None:
    """Refuses an encoder that shows the column of the target."""
    for name, of_encoder in parts.items():
        if any(part.column == target.column for part in of_encoder):
            raise ValueError(
                f"the encoder {name} shows the target's column {target.column!r}: name columns, ranges or patterns "
                "without it"
            )


# -- what the columns become -------------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """Features made of one column."""

    values: "Float[np.ndarray, 'n k']"
    names: tuple[str, ...]


def _classes(values: "pl.Series", part: _Part) -> tuple[tuple[str, ...], np.ndarray]:
    """Labels of the classes, and the class of each row."""
    from isjax.data import _reading

    _reading.refuse_missing(values)
    labels, codes = _grouped(values, part)
    if len(labels) == values.len() and values.len() > 2:
        raise ValueError(
            f"the target {part.text!r} is different in each of the {values.len()} rows: cut it into bins, "
            f"such as {part.column}:4, or name another column"
        )
    return tuple(labels), codes.astype(np.int64)


def _grouped(values: "pl.Series", part: _Part) -> tuple[list[str], np.ndarray]:
    """Labels and codes of a column of words, or of a code."""
    from isjax.data import _codes, _reading

    if part.code:
        (parsed,) = _codes.parse(part.text, part.text, [part.column])
        labels, codes = _codes.grouped(parsed, values)
        return list(labels), np.asarray(codes)
    if not _reading.is_text(values) and not _is_whole(_reading.as_numbers(values)):
        raise ValueError(
            f"the target {part.column!r} is continuous: cut it into bins, such as {part.column}:4, or at a "
            f"threshold, such as '{part.column}<0.5'"
        )
    return _reading.levels_and_codes(values, None, whole=False)


def _is_whole(numbers: "pl.Series") -> bool:
    known = numbers.drop_nulls()
    return bool((known.is_finite() & (known == known.floor())).all())


def _block(values: "pl.Series", part: _Part) -> _Block | None:
    """The features of a column; None if it has one value in all rows."""
    from isjax.data import _reading

    if values.dtype.is_nested():
        raise ValueError(f"column {values.name!r} holds {values.dtype}: write each of its numbers in a column")
    if values.dtype.is_temporal():
        values = values.to_physical()
    if not part.code and not _reading.is_text(values):
        return _numbers(_reading.as_numbers(values))
    if not part.code:
        _refuse_keys(values)
    labels, codes = _grouped(values, part)
    return _one_hot(part, labels, codes)


def _numbers(values: "pl.Series") -> _Block | None:
    """A column of numbers; the mean stands for a missing one, marked in a second feature."""
    numbers, is_missing = values.to_numpy().astype(np.float64), values.is_null().to_numpy()
    infinite = np.flatnonzero(np.isinf(numbers))
    if infinite.size:
        raise ValueError(
            f"column {values.name!r} must be finite, got {numbers[infinite[0]]} in row {infinite[0] + 1}: replace it, "
            f"or give --na {numbers[infinite[0]]}"
        )
    if not is_missing.any():
        return _Block(numbers[:, None], (values.name,)) if np.ptp(numbers) else None
    numbers[is_missing] = numbers[~is_missing].mean()
    return _Block(np.stack([numbers, is_missing], axis=1), (values.name, f"{values.name} is missing"))


def _one_hot(part: _Part, labels: Sequence[str], codes: np.ndarray) -> _Block | None:
    """A feature of ones and zeros for each label that occurs, one of ±1 for two; a missing value is a label."""
    every = [*labels, "(missing)"]
    present = np.unique(codes)
    if present.size == 1:
        return None
    if present.size == 2:
        return _Block(np.where(codes == present[1], 1.0, -1.0)[:, None], (f"{part.text}={every[present[1]]}",))
    return _Block((codes[:, None] == present).astype(np.float64), tuple(f"{part.text}={every[k]}" for k in present))


def _refuse_keys(values: "pl.Series") -> None:
    """Refuses a column of words that has about as many words as rows, or words among numbers."""
    from isjax.data import _reading

    num_words, num_rows = values.n_unique(), values.len()
    if (word := _reading.word_among_numbers(values)) is not None:
        raise ValueError(
            f"column {values.name!r} holds {word!r} among numbers: if that means a missing value, give "
            f"--na {word}; otherwise leave the column out or write its numbers as words"
        )
    if num_words > max(2, num_rows // 2):
        raise ValueError(
            f"column {values.name!r} has {num_words} words in {num_rows} rows: a learner cannot use words that occur "
            "once; leave it out, or write a coarser column"
        )


# -- arrays ------------------------------------------------------------------------------------------------------------


def _of_arrays(path: Path, needed: Sequence[str]) -> "tuple[pl.DataFrame, dict[str, list[str]]]":
    """The arrays of an ``.npz`` file as columns, and the columns of each array; those needed have as many rows."""
    import polars as pl

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as arrays of numbers and strings: {error}") from None
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if not lengths:
        raise ValueError(f"{path} holds no array with rows")
    rows = {name: lengths[name] for name in map(str.strip, needed) if name in lengths}
    if len(set(rows.values())) > 1:
        shown = ", ".join(f"{name} has {number}" for name, number in rows.items())
        raise ValueError(f"the arrays must have as many rows as each other, but {shown} in {path}")
    columns, of_arrays = {}, {}
    for name, array in arrays.items():
        if array.ndim and array.dtype.kind in "biufU":
            table = array.reshape(len(array), -1)
            of_arrays[name] = [name] if array.ndim == 1 else [f"{name}.{i}" for i in range(table.shape[1])]
            columns |= dict(zip(of_arrays[name], table.T, strict=True))
    most = max(rows.values(), default=max(set(lengths.values()), key=list(lengths.values()).count))
    columns = {name: column for name, column in columns.items() if len(column) == most}
    frame = pl.DataFrame({name: np.ascontiguousarray(column) for name, column in columns.items()})
    return frame, {name: each for name, each in of_arrays.items() if each and each[0] in columns}
