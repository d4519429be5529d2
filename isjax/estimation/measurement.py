"""A sample measured: its entropies, its informations, and what each encoder in it loses, with intervals and tests.

A million rows occupy few distinct cells. They are found by sorting, and resamples and permutations are drawn as counts
of cells; nothing is as large as the product of the alphabets. Draws are made in numpy, which compiles nothing: their
statistics need c log c of integers alone. Estimates are those of ``isjax.estimation``, in double precision.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import in_base
from isjax._typing import Array
from isjax.estimation import _cells, estimators, intervals, testing
from isjax.estimation._cells import Cells

__all__ = ["EncoderMeasurement", "Estimate", "Measurement", "measure"]

_ROWS_A_CELL = 8  # a resample is drawn cell by cell where there are so many rows for each, else row by row
_ROWS_A_PAIR = 4  # with fewer rows for each pair (x, y) the bias is more than corrections and resamples see
_SMALL_FOR_INTERVALS = 1  # the smallest expected count below which intervals have been seen to miss (``bootstrap``)


class Estimate(NamedTuple):
    """An amount of information, estimated in two ways."""

    plug_in: float
    """That of the sample itself."""
    corrected: float
    """With the correction that was asked for."""


@dataclasses.dataclass(frozen=True)
class EncoderMeasurement:
    """What one encoder U keeps and loses.

    Attributes:
      column: its name.
      symbols: how many codes occur.
      is_function_of_inputs: whether rows with the same X have the same U.
      information: I(U;Y).
      loss: I(X;Y|U).
      low: lower end of the bootstrap interval of the loss.
      high: its upper end.
      statistic: G = 2N Î(X;Y|U), in nats.
      degrees_of_freedom: of its χ² limit.
      p_value: of U being sufficient, from that limit.
      permutation_p_value: the same, from permutations of y within each code.
      smallest_expected_count: the least n(x,u) n(y,u)/n(u); where it is small, so is ``p_value``, wrongly.
    """

    column: str
    symbols: int
    is_function_of_inputs: bool
    information: Estimate
    loss: Estimate
    low: float
    high: float
    statistic: float
    degrees_of_freedom: int
    p_value: float
    permutation_p_value: float
    smallest_expected_count: float


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a sample says about a target Y, inputs X and encoders U.

    Attributes:
      rows: how many samples there are.
      target: the column of Y.
      target_symbols: how many classes occur.
      inputs: the columns that X is the joint of.
      input_symbols: how many of their combinations occur.
      entropy_y: H(Y).
      entropy_x: H(X).
      information: I(X;Y).
      encoders: one for each encoder.
    """

    rows: int
    target: str
    target_symbols: int
    inputs: tuple[str, ...]
    input_symbols: int
    entropy_y: Estimate
    entropy_x: Estimate
    information: Estimate
    encoders: tuple[EncoderMeasurement, ...]

    def to_dict(self) -> dict[str, Any]:
        """Numbers and words alone, as JSON takes them; estimates by the names of their parts."""

        def plain(value: object) -> object:
            if isinstance(value, Estimate):
                return value._asdict()
            if isinstance(value, EncoderMeasurement):
                return {name: plain(part) for name, part in vars(value).items()}
            return [plain(part) for part in value] if isinstance(value, tuple) else value

        return {name: plain(value) for name, value in vars(self).items()} | {"warnings": [*self.warnings()]}

    def warnings(self) -> Iterator[str]:
        """What is not to be trusted, where the sample is small for its alphabets."""
        pairs = self.input_symbols * self.target_symbols
        if self.rows < _ROWS_A_PAIR * pairs:
            yield (
                f"{self.rows} rows are few for {self.input_symbols} symbols of X and {self.target_symbols} of Y: with "
                f"less than {_ROWS_A_PAIR} rows a pair informations come out too large"
            )
        counts = {each.column: each.smallest_expected_count for each in self.encoders if each.degrees_of_freedom}
        small = {name: count for name, count in counts.items() if count < testing.SMALL_COUNT}
        if small:
            least = min(small.values())
            intervals = "intervals may miss, and " if least < _SMALL_FOR_INTERVALS else ""
            yield (
                f"expected counts are as small as {least:.2g} (given {', '.join(small)}): {intervals}p-values from the "
                "χ² limit are too small; trust those of permutations"
            )


def measure(
    seed: int,
    columns: dict[str, np.ndarray],
    *,
    target: str,
    inputs: Sequence[str],
    encoders: Sequence[str] = (),
    method: str = "miller_madow",
    base: float | None = None,
    confidence: float = 0.95,
    num_resamples: int = 499,
    num_permutations: int = 499,
) -> Measurement:
    r"""Measures a sample of a target Y, of an input X that may be several columns, and of encoders of it.

    .. math:: H(Y),\; H(X),\; I(X;Y) \quad\text{and, for each } U, \quad I(U;Y),\; I(X;Y \mid U)

    Alphabets are the symbols that occur. Where U is a function of X, I(X;Y|U) = I(X;Y) − I(U;Y) is what it loses;
    otherwise it is what X says beyond U. The interval is that of ``bootstrap`` of the plug-in loss; all encoders share
    their resamples. The test is that of ``sufficiency_test``.

    Args:
      seed: of the resamples and permutations, at least 0.
      columns: codes ``[n]`` from zero on, by the name of the column.
      target: the column of Y.
      inputs: the columns that X is the joint of.
      encoders: the columns of encoders.
      method: the correction, as in ``estimate_entropy``.
      base: base of the logarithm; nats if None.
      confidence: the chance that the intervals should have.
      num_resamples: of the bootstrap, at least 2.
      num_permutations: B; the smallest p-value that there can be is 1/(1 + B).

    Returns:
      A ``Measurement``.

    Raises:
      ValueError: if the target has one class, each row has an X or a class of its own, or an option is out of range.

    Source:
      arXiv:2405.20452, Definition 2; the estimators as in ``isjax.estimation``.

    Examples:
      >>> import isjax.estimation.measurement, numpy
      >>> x = numpy.arange(400) % 4
      >>> columns = {"x": x, "y": x % 2, "half": x // 2}
      >>> found = isjax.estimation.measurement.measure(0, columns, target="y", inputs=["x"], encoders=["half"], base=2)
      >>> found.information.plug_in, found.encoders[0].loss.plug_in, found.encoders[0].permutation_p_value
      (1.0, 1.0, 0.002)
    """
    _checks.check_one_of(method, "method", estimators.METHODS)
    _checks.check_open_unit_interval(confidence, "confidence")
    _checks.check_integer(num_resamples, "num_resamples", at_least=2)
    _checks.check_integer(num_permutations, "num_permutations")
    _checks.check_integer(seed, "seed", at_least=0)
    with jax.enable_x64(True):
        unit = float(in_base(jnp.ones(()), base))
    names = dict.fromkeys((*inputs, target, *encoders))
    _, first, counts = np.unique(numbered(*(columns[name] for name in names)), return_index=True, return_counts=True)
    distinct = {name: columns[name][first] for name in names}
    x, y = numbered(*(distinct[name] for name in inputs)), numbered(distinct[target])
    rows, num_x, num_y = int(counts.sum()), _size(x), _size(y)
    if num_y == 1:
        raise ValueError(f"the target {target!r} is the same in all {rows} rows: there is nothing to tell")
    for what, number in ((f"X = {', '.join(inputs)}", num_x), (f"the target {target!r}", num_y)):
        if number == rows:
            raise ValueError(f"{what} is different in each of the {rows} rows: nothing can be estimated from them")
    us = [numbered(distinct[name]) for name in encoders]
    constant = np.zeros_like(x)
    partitions = [_Partition.of(x, y, u) for u in us]
    of_resampling, *of_permuting = np.random.default_rng(seed).spawn(1 + len(us))
    resampled = _resampled_losses(of_resampling, counts, partitions, num_resamples)
    with jax.enable_x64(True):

        def amounts(partition: _Partition, *sizes: int) -> _Amounts:
            return jax.tree.map(float, jax.device_get(_amounts(partition.cells_of(counts), sizes, unit, method=method)))

        of_x, measured = amounts(_Partition.of(x, y, constant), num_x, num_y, 1), []
        for name, u, partition, losses, rng in zip(encoders, us, partitions, resampled, of_permuting, strict=True):
            num_u = _size(u)
            of_u = amounts(_Partition.of(u, y, constant), num_u, num_y, 1)
            given_u = amounts(partition, num_x, num_y, num_u)
            interval = _interval(given_u.loss.plug_in, unit * losses, confidence)
            measured.append(
                EncoderMeasurement(
                    column=name,
                    symbols=num_u,
                    is_function_of_inputs=_size(numbered(x, u)) == num_x,
                    information=of_u.information,
                    loss=given_u.loss,
                    low=float(interval.low),
                    high=float(interval.high),
                    statistic=given_u.statistic,
                    degrees_of_freedom=round(given_u.freedom),
                    p_value=given_u.p_value,
                    permutation_p_value=_permutation_p_value(rng, counts, partition, given_u.freedom, num_permutations),
                    smallest_expected_count=given_u.smallest_expected_count,
                )
            )
    return Measurement(
        rows=rows,
        target=target,
        target_symbols=num_y,
        inputs=tuple(inputs),
        input_symbols=num_x,
        entropy_y=of_x.entropy_y,
        entropy_x=of_x.entropy_x,
        information=of_x.information,
        encoders=tuple(measured),
    )


class _Amounts(NamedTuple):
    """What is estimated from the cells of one partition; the first three are of X and Y where the code is constant."""

    entropy_x: Estimate
    entropy_y: Estimate
    information: Estimate
    loss: Estimate
    statistic: float
    freedom: float
    p_value: float
    smallest_expected_count: float


_interval = jax.jit(intervals.interval)


@functools.partial(jax.jit, static_argnames="method")
def _amounts(cells: Cells, sizes: tuple[Array, Array, Array], unit: Array, *, method: str) -> _Amounts:
    """One program for all the partitions of a sample."""

    def both(estimate: Callable[..., Any], *about: Array | Cells | Sequence[Array]) -> Estimate:
        return Estimate(*(unit * estimate(*about, each) for each in ("plug_in", method)))

    facts: Any = (*_cells.likelihood_ratio(cells), _cells.smallest_expected_count(cells))
    return _Amounts(
        both(estimators.entropy_of_margin, cells.counts, cells.rows, sizes[0]),
        both(estimators.entropy_of_margin, cells.counts, cells.columns, sizes[1]),
        both(estimators.information_of_cells, cells, sizes),
        both(estimators.loss_of_cells, cells, sizes),
        *facts,
    )


# --- cells ----------------------------------------------------------------------------------------------------------


def numbered(*columns: np.ndarray) -> np.ndarray:
    """The combinations of codes that occur, numbered from zero in lexicographic order: each row's number."""
    numbers, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        if size * _size(column) >= 2**63:
            numbers = np.unique(numbers, return_inverse=True)[1]
            size = _size(numbers)
        numbers, size = numbers * _size(column) + column, size * _size(column)
    return np.unique(numbers, return_inverse=True)[1]


def _size(codes: np.ndarray) -> int:
    """How large the alphabet is."""
    return int(codes.max()) + 1


def _sums(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of the counts with one label; whole numbers below 2⁵³, which floats hold exactly."""
    return np.bincount(labels, counts).astype(np.int64)


def _c_log_c(counts: np.ndarray) -> np.ndarray:
    """``c log c`` of whole numbers; 0 log 0 is 0 log 1."""
    return counts * np.log(np.maximum(counts, 1))


class _Partition(NamedTuple):
    """Which cell (x, y, u), row (x, u), column (y, u) and code u each distinct row of the sample lies in."""

    cells: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, u: np.ndarray) -> "_Partition":
        rows, columns = numbered(u, x), numbered(u, y)
        return cls(numbered(rows, columns), rows, columns, numbered(u))

    def cells_of(self, counts: np.ndarray) -> Cells:
        """The cells, as the estimators take them; filled up, so that partitions of a sample share a program."""
        size = max(64, 1 << (counts.size - 1).bit_length())
        _, first = np.unique(self.cells, return_index=True)
        parts = (_sums(self.cells, counts), *(labels[first] for labels in self[1:]))
        return Cells(*(jnp.asarray(np.pad(part, (0, size - part.size))) for part in parts))

    def loss(self, counts: np.ndarray) -> float:
        """The plug-in loss of counts, in nats."""
        of_cells, of_rows, of_columns, of_codes = (float(_c_log_c(_sums(labels, counts)).sum()) for labels in self)
        return ((of_cells - of_rows) - (of_columns - of_codes)) / counts.sum()


# --- draws ----------------------------------------------------------------------------------------------------------


def _resampled_losses(
    rng: np.random.Generator, counts: np.ndarray, partitions: Sequence[_Partition], num: int
) -> np.ndarray:
    """The plug-in loss of each encoder in each resample, ``[encoder, resample]``: they share the resamples."""
    rows = int(counts.sum())
    losses = np.zeros((len(partitions), num))
    if not partitions:
        return losses
    of_row = None if _ROWS_A_CELL * counts.size <= rows else np.repeat(np.arange(counts.size), counts)
    for i in range(num):
        if of_row is None:
            drawn = rng.multinomial(rows, counts / rows)
        else:
            drawn = np.bincount(of_row[rng.integers(0, rows, rows)], minlength=counts.size)
        losses[:, i] = [partition.loss(drawn) for partition in partitions]
    return losses


def _permutation_p_value(
    rng: np.random.Generator, counts: np.ndarray, partition: _Partition, freedom: float, num: int
) -> float:
    """The p-value of permutations of y within each code.

    They leave the counts of rows, columns and codes as they are, so that Σ c log c of the cells stands for G.
    """
    if not freedom:
        return 1.0
    observed = float(_c_log_c(_sums(partition.cells, counts)).sum())
    by_cell = 2 * freedom <= counts.sum()  # about as many draws as there are rows to shuffle and sort
    drawn = (_drawn_sums if by_cell else _shuffled_sums)(rng, counts, partition, num)
    rounding = 4096 * float(np.finfo(float).eps) * observed
    return float((1 + np.sum(drawn >= observed - rounding)) / (1 + num))


def _drawn_sums(rng: np.random.Generator, counts: np.ndarray, partition: _Partition, num: int) -> np.ndarray:
    """Σ c log c of tables drawn as permutations within codes would draw them, cell by cell: many draws at once."""
    sums = np.zeros(num)
    of_code = []
    for labels in (partition.rows, partition.columns):
        _, first = np.unique(labels, return_index=True)
        margins = _sums(labels, counts)
        codes = partition.codes[first]  # in order: labels are numbered by their codes first
        of_code.append(np.split(margins, np.flatnonzero(np.diff(codes)) + 1))
    for of_rows, of_columns in zip(*of_code, strict=True):
        left_over = np.repeat(of_columns[:, None], num, axis=1)
        for count in of_rows[:-1]:
            to_draw, others = np.full(num, count), left_over.sum(axis=0)
            for available in left_over[:-1]:
                others -= available
                drawn = rng.hypergeometric(available, others, to_draw)
                to_draw -= drawn
                available -= drawn
                sums += _c_log_c(drawn)
            left_over[-1] -= to_draw
            sums += _c_log_c(to_draw)
        sums += _c_log_c(left_over).sum(axis=0)
    return sums


def _shuffled_sums(rng: np.random.Generator, counts: np.ndarray, partition: _Partition, num: int) -> np.ndarray:
    """Σ c log c after permutations of the columns within codes, sample by sample."""
    order = np.argsort(partition.codes, kind="stable")
    rows, columns, codes = (np.repeat(labels[order], counts[order]) for labels in partition[1:])
    blocks = np.split(columns, np.flatnonzero(np.diff(codes)) + 1)  # views
    shift = rows * _size(columns)
    sums = np.zeros(num)
    for i in range(num):
        for block in blocks:
            rng.shuffle(block)
        cells = np.sort(shift + columns)
        ends = np.flatnonzero(np.diff(cells, append=-1)) + 1
        sums[i] = _c_log_c(np.diff(ends, prepend=0)).sum()
    return sums
