"""Which columns of a sample say something about a target, and what each adds to those before it.

Everything is counts in numpy, which compiles nothing.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from isjax import _checks
from isjax._display import displayed, displayed_as_call
from isjax._typing import Array, Key
from isjax.estimation._sampling import alphabet_size, as_codes, generator, numbered

__all__ = ["ColumnRank", "RankSpec", "Ranking", "Step", "rank"]


@displayed_as_call
@dataclasses.dataclass(frozen=True, kw_only=True)
class RankSpec:
    """What ``rank`` ranks, and how.

    Attributes:
      target: Column of the target Y.
      columns: Columns to rank; all others if empty.
      level: Level of significance below which a column is added.
      num_permutations: Number of permutations.

    Raises:
      ValueError: if an option is out of its range, or the target is among the columns.

    Examples:
      >>> from isjax.estimation.ranking import RankSpec
      >>> RankSpec(target="y", columns=("a", "b"))
      RankSpec(target='y', columns=('a', 'b'))
    """

    target: str
    columns: tuple[str, ...] = ()
    level: float = 0.01
    num_permutations: int = 199

    def __post_init__(self) -> None:
        _checks.check_open_unit_interval(self.level, "level")
        _checks.check_integer(self.num_permutations, "num_permutations", at_least=9)
        if self.target in self.columns:
            raise ValueError(f"columns must not contain the target, got {self.target!r} in both")
        if repeated := [name for i, name in enumerate(self.columns) if name in self.columns[:i]]:
            raise ValueError(f"columns must name each column once, got {repeated[0]!r} twice")


@displayed()
@dataclasses.dataclass(frozen=True)
class ColumnRank:
    """What one column says about the target, alone, in nats.

    Attributes:
      column: name of the column.
      symbols: number of symbols that occur.
      entropy: H(X), the plug-in estimate.
      information: I(X;Y), the plug-in estimate minus its mean over permutations of Y.
      low: lower end of the 95 % interval, by the normal limit of the plug-in estimate.
      high: upper end.
      p_value: of independence, by permutations of Y.
      adjusted_p_value: corrected for the number of columns, by Benjamini and Hochberg.
      note: why it is no column to learn from, or the same as another; empty otherwise.
    """

    column: str
    symbols: int
    entropy: float
    information: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float
    note: str


@displayed()
@dataclasses.dataclass(frozen=True)
class Step:
    """A column that was added to those before it.

    Attributes:
      column: name of the column.
      information: I(X;Y|before), the plug-in estimate minus its mean over permutations, in nats.
      p_value: of the largest of all candidates, by permutations of Y within the combinations of the columns before.
      total: I(columns so far;Y), the sum of these.
    """

    column: str
    information: float
    p_value: float
    total: float


@displayed()
@dataclasses.dataclass(frozen=True)
class Ranking:
    """Columns by what they say about a target, and a selection of them.

    Attributes:
      target: name of the target.
      rows: number of rows.
      entropy_y: H(Y), the plug-in estimate, in nats.
      columns: every column, the most informative first.
      steps: columns that add something, each to those before it.
    """

    target: str
    rows: int
    entropy_y: float
    columns: tuple[ColumnRank, ...]
    steps: tuple[Step, ...]


def rank(key: Key[Array, ""], columns: Mapping[str, Any], spec: RankSpec) -> Ranking:
    r"""Ranks columns by what they say about a target, alone and in addition to those before.

    .. math:: I(X_j;Y), \qquad I(X_{j_k};Y \mid X_{j_1}, \dots, X_{j_{k-1}})

    Each amount is the plug-in estimate minus its mean over permutations of Y, which have no information. Columns are
    added as long as the largest standardised amount exceeds those of all candidates in all but a share ``level`` of the
    permutations; they are shared by the candidates, so that the number of candidates is taken into account. A column
    that says something only together with another one, as in an exclusive or, is not found.

    Args:
      key: a key of ``jax.random.key``, for the permutations.
      columns: codes of each column by its name, integers, shape ``[n]``; what ``isjax.data.read`` returns, or arrays.
      spec: the target and the options.

    Returns:
      A ``Ranking``.

    Raises:
      ValueError: if a column is absent or of another length, or the target has one class.

    Source:
      Westfall and Young, Resampling-based multiple testing (1993); Benjamini and Hochberg, Controlling the false
      discovery rate (1995).

    Examples:
      >>> import jax, numpy as np
      >>> from isjax.estimation.ranking import RankSpec, rank
      >>> x = np.arange(400)
      >>> found = rank(jax.random.key(0), {"a": x % 2, "b": x // 2 % 2, "y": x % 2}, RankSpec(target="y"))
      >>> [each.column for each in found.columns], [step.column for step in found.steps]
      (['a', 'b'], ['a'])
    """
    _checks.check_key(key)
    if not isinstance(spec, RankSpec):
        raise TypeError(f"spec must be a RankSpec, such as RankSpec(target='y'), got {spec!r}")
    rng = generator(key)
    names = spec.columns or tuple(name for name in columns if name != spec.target)
    if not names:
        raise ValueError(f"columns must hold one beside the target {spec.target!r}, got none to rank")
    codes = as_codes(columns, (*names, spec.target))
    y = numbered(codes[spec.target])
    num_classes = alphabet_size(y)
    if num_classes == 1:
        raise ValueError(f"the target {spec.target!r} has the same value in all {y.size} rows")
    candidates = {name: numbered(codes[name]) for name in names}
    alone = _rank_alone(rng, candidates, y, spec)
    usable = {each.column: candidates[each.column] for each in alone if not each.note}
    steps = _forward(rng, usable, y, spec)
    return Ranking(spec.target, y.size, _entropy(y), tuple(alone), tuple(steps))


def _entropy(codes: np.ndarray) -> float:
    shares = np.bincount(codes) / codes.size
    shares = shares[shares > 0]
    return float(-np.sum(shares * np.log(shares)))


class _Informations:
    """Plug-in I(X_j;Y|strata) of several columns, for any order of Y."""

    def __init__(self, candidates: Mapping[str, np.ndarray], strata: np.ndarray, y: np.ndarray) -> None:
        self.num_classes = alphabet_size(y)
        self.rows = [numbered(strata, x) for x in candidates.values()]
        of_rows = np.array([_c_log_c(np.bincount(rows)) for rows in self.rows])
        of_strata = _c_log_c(np.bincount(strata)) - _c_log_c(np.bincount(strata * self.num_classes + y))
        self.constants, self.size = of_strata - of_rows, y.size

    def __call__(self, y: np.ndarray) -> np.ndarray:
        cells = np.array([_c_log_c(np.bincount(rows * self.num_classes + y)) for rows in self.rows])
        return (cells + self.constants) / self.size


def _c_log_c(counts: np.ndarray) -> float:
    counts = counts[counts > 1]
    return float(np.sum(counts * np.log(counts)))


def _shuffled(rng: np.random.Generator, y: np.ndarray, strata: np.ndarray, num: int) -> Iterator[np.ndarray]:
    """Permutations of y within each stratum."""
    order = np.argsort(strata, kind="stable")
    for _ in range(num):
        within = np.lexsort((rng.random(y.size), strata))
        permuted = np.empty_like(y)
        permuted[order] = y[within]
        yield permuted


def _observed_and_permuted(
    rng: np.random.Generator, candidates: Mapping[str, np.ndarray], strata: np.ndarray, y: np.ndarray, num: int
) -> tuple[np.ndarray, np.ndarray]:
    """Plug-in informations ``[column]``, and ``[permutation, column]`` of permuted targets."""
    informations = _Informations(candidates, strata, y)
    return informations(y), np.stack([informations(permuted) for permuted in _shuffled(rng, y, strata, num)])


def _rank_alone(
    rng: np.random.Generator, candidates: Mapping[str, np.ndarray], y: np.ndarray, spec: RankSpec
) -> list[ColumnRank]:
    """Every column on its own, the most informative first."""
    whole = np.zeros(y.size, int)
    observed, permuted = _observed_and_permuted(rng, candidates, whole, y, spec.num_permutations)
    reached = np.sum(permuted >= observed - 1e-12, axis=0)
    p_values = (1 + reached) / (1 + spec.num_permutations)
    adjusted = _benjamini_hochberg(p_values)
    ranked, seen = [], {}
    for i, (name, x) in enumerate(candidates.items()):
        information = observed[i] - permuted[:, i].mean()
        error = 1.96 * _standard_error(x, y)
        symbols = alphabet_size(x)
        same = seen.setdefault(x.tobytes(), name)
        note = "constant" if symbols == 1 else "different in each row" if symbols == x.size else ""
        note = f"same as {same}" if same != name and not note else note
        ends = information - error, information + error
        ranked.append(ColumnRank(name, symbols, _entropy(x), information, *ends, p_values[i], adjusted[i], note))
    return sorted(ranked, key=lambda each: -each.information)


def _standard_error(x: np.ndarray, y: np.ndarray) -> float:
    """Standard error of the plug-in information: that of the mean of log p(x, y)/(p(x) p(y))."""
    cells = numbered(x, y)
    of_x, of_y, of_cells = np.bincount(x)[x], np.bincount(y)[y], np.bincount(cells)[cells]
    ratios = np.log(of_cells * float(x.size) / (of_x * of_y.astype(float)))
    return float(ratios.std() / np.sqrt(x.size))


def _benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted so that rejecting those below a level has at most this rate of false discoveries."""
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * p_values.size / np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.minimum.accumulate(np.minimum(scaled, 1))
    return adjusted


def _forward(
    rng: np.random.Generator, candidates: dict[str, np.ndarray], y: np.ndarray, spec: RankSpec
) -> Iterator[Step]:
    """The column that adds most to those before it, until none adds anything."""
    strata, total, remaining = np.zeros(y.size, int), 0.0, dict(candidates)
    while remaining:
        observed, permuted = _observed_and_permuted(rng, remaining, strata, y, spec.num_permutations)
        mean, spread = permuted.mean(axis=0), permuted.std(axis=0)
        scale = np.where(spread > 0, spread, np.inf)
        standardised, of_permuted = (observed - mean) / scale, ((permuted - mean) / scale).max(axis=1)
        best = int(np.argmax(standardised))
        p_value = float((1 + np.sum(of_permuted >= standardised[best])) / (1 + spec.num_permutations))
        if p_value > spec.level:
            return
        name = list(remaining)[best]
        total += float(observed[best] - mean[best])
        yield Step(name, float(observed[best] - mean[best]), p_value, total)
        strata = numbered(strata, remaining.pop(name))
