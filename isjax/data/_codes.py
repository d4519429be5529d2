"""Codes of one's own, written as expressions of columns: ``age<40``, ``age<30<60``, ``age:2``, ``smokes+half``."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from isjax.data import _reading

_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
_FORMS = (
    "a column (smokes), a threshold or several (age<40, age<30<60), one symbol or several against the rest "
    "(region==north,east), a number of bins (age:2), or such parts joined by +"
)


class Part(NamedTuple):
    """A part of an expression: a column, and how its values are grouped."""

    column: str
    kind: str
    """``""`` for the column as it is, ``"<"`` or ``"<="`` for thresholds, ``"=="`` for symbols, ``":"`` for bins."""
    values: tuple[str, ...]


def parse(name: str, text: str, known: Sequence[str]) -> list[Part]:
    """The parts of an expression of known columns, each the longest name that fits."""
    parts, rest = [], text.strip()
    while True:
        column = max((each for each in known if rest.startswith(each)), key=len, default=None)
        if column is None:
            raise ValueError(
                f"the code {name}={text} needs a column at {rest!r}, but there are only {', '.join(map(repr, known))}"
            )
        kind, values, rest = _grouping(name, text, rest[len(column) :].strip())
        parts.append(Part(column, kind, values))
        if not rest:
            return parts
        rest = rest[1:].strip()


def _grouping(name: str, text: str, rest: str) -> tuple[str, tuple[str, ...], str]:
    """What follows a column's name, and the rest, which is empty or begins with a plus sign."""
    for symbol, kind in (("<=", "<="), (">=", "<"), ("<", "<"), (">", "<=")):  # x >= 40 has the cells of x < 40
        if found := re.match(rf"(?:{symbol}{_NUMBER})+(?=\+|$)", rest):
            return kind, tuple(re.findall(rf"{symbol}{_NUMBER}", found[0])), rest[found.end() :]
    if found := re.match(r"(?:==|!=)([^+]+)(?=\+|$)", rest):
        return "==", tuple(value.strip() for value in found[1].split(",")), rest[found.end() :]
    if found := re.match(r":\s*(\d+)\s*(?=\+|$)", rest):
        return ":", (found[1],), rest[found.end() :]
    if not rest or rest.startswith("+"):
        return "", (), rest
    raise ValueError(f"the code {name}={text} cannot be read at {rest!r}: write {_FORMS}")


def labels_and_codes(grouped: Sequence[tuple[Sequence[str], np.ndarray]]) -> tuple[list[str], np.ndarray]:
    """Labels of the combinations of grouped columns that occur, in order, and each row's code; missing is last."""
    rows = np.stack([codes for _, codes in grouped], axis=1)
    is_missing = np.any([codes == len(labels) for labels, codes in grouped], axis=0)
    distinct, numbers = np.unique(rows[~is_missing], axis=0, return_inverse=True)
    codes = np.full(len(rows), len(distinct), np.int32)
    codes[~is_missing] = numbers.reshape(-1)
    of_parts = [np.array(labels)[column] for (labels, _), column in zip(grouped, distinct.T, strict=True)]
    labels = [" & ".join(each) for each in zip(*of_parts, strict=True)]
    return labels, codes


def grouped(part: Part, values: pl.Series) -> tuple[list[str], np.ndarray]:
    """Labels and codes of one part; a missing value has the code after the labels."""
    if part.kind == "":
        return _reading.levels_and_codes(values, None, whole=False)
    if part.kind == ":":
        _refuse_words(values, f"cut into {part.values[0]} bins")
        if int(part.values[0]) < 2:
            raise ValueError(f"a code must cut {part.column!r} into at least 2 bins, got {part.values[0]}")
        return _reading.levels_and_codes(values, int(part.values[0]), whole=True)
    if part.kind == "==":
        symbols, codes = _reading.levels_and_codes(values, None, whole=False)
        absent = [value for value in part.values if value not in symbols]
        if absent:
            raise ValueError(f"column {part.column!r} never is {absent[0]!r}; it holds {', '.join(symbols[:8])}, …")
        is_named = np.isin(np.array([*symbols, ""]), part.values)[codes]
        return [" or ".join(part.values), "other"], np.where(codes == len(symbols), 2, ~is_named)
    _refuse_words(values, "compared with numbers")
    numbers = _reading.as_numbers(values)
    edges = sorted(set(map(float, part.values)))
    side = "right" if part.kind == "<" else "left"
    codes = np.searchsorted(edges, numbers.fill_null(0).to_numpy(), side=side)
    below, above = ("below", "up") if part.kind == "<" else ("to", "above")
    labels = [f"{below} {edges[0]:g}", *(f"{below} {edge:g}" for edge in edges[1:]), f"{edges[-1]:g} {above}"]
    return labels, np.where(numbers.is_null().to_numpy(), len(labels), codes)


def _refuse_words(values: pl.Series, what: str) -> None:
    if _reading.is_text(values):
        raise ValueError(f"column {values.name!r} cannot be {what}: it holds words; name symbols, as {values.name}==A")
