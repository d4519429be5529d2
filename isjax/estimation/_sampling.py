"""Cells, permutations and resamples of concrete samples in numpy, which compiles nothing.

The statistics of draws need c log c of integers alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._typing import Array, Key
from isjax.estimation._cells import Cells

ROWS_A_CELL = 8
"""A resample is drawn cell by cell if there are at least this many rows per cell, else row by row."""


def generator(key: Key[Array, ""]) -> np.random.Generator:
    """Generator of numpy, seeded by a key."""
    if not _checks.is_concrete(key):
        raise TypeError("key is being traced, but measure runs outside jit")
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def as_codes(columns: Mapping[str, object], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The codes of these columns, checked in their own dtype."""
    absent = [name for name in names if name not in columns]
    if absent:
        raise ValueError(f"there is no column {absent[0]!r}, only {', '.join(map(repr, columns))}")
    codes = {}
    for name in names:
        values = np.asarray(columns[name])
        if not np.issubdtype(values.dtype, np.integer):
            raise TypeError(f"column {name!r} must hold integer codes, got dtype {values.dtype}")
        if values.ndim != 1 or not values.size:
            raise ValueError(f"column {name!r} must have shape [n] with n at least 1, got shape {values.shape}")
        if values.min() < 0:
            raise ValueError(f"column {name!r} must not have negative codes, got {values.min()}")
        is_small = values.max() < 2**31  # so that products of alphabets fit
        codes[name] = values.astype(np.int64) if is_small else np.unique(values, return_inverse=True)[1]
    _checks.check_same_length(**codes)
    return codes


def numbered(*columns: np.ndarray) -> np.ndarray:
    """Numbers the combinations of codes that occur from zero, in lexicographic order: each row's number."""
    numbers, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        if size * alphabet_size(column) >= 2**63:
            numbers = np.unique(numbers, return_inverse=True)[1]
            size = alphabet_size(numbers)
        numbers, size = numbers * alphabet_size(column) + column, size * alphabet_size(column)
    return np.unique(numbers, return_inverse=True)[1]


def alphabet_size(codes: np.ndarray) -> int:
    """The largest code plus one."""
    return int(codes.max()) + 1


def _sums(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum of the counts with each label: integers below 2⁵³, which floats hold exactly."""
    return np.bincount(labels, counts).astype(np.int64)


def _starts(codes: np.ndarray) -> np.ndarray:
    """Where each of the sorted codes starts."""
    return np.flatnonzero(np.diff(codes, prepend=-1))


def _c_log_c(counts: np.ndarray) -> np.ndarray:
    """``c log c`` of integers, with 0 log 0 = 0."""
    return counts * np.log(np.maximum(counts, 1))


class Partition(NamedTuple):
    """Cell (x, y, u), row (x, u), column (y, u) and code u of each distinct combination in the sample."""

    cells: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, u: np.ndarray) -> "Partition":
        """The partition of distinct combinations (x, y, u, …)."""
        rows, columns = numbered(u, x), numbered(u, y)
        return cls(numbered(rows, columns), rows, columns, numbered(u))

    def cells_of(self, counts: np.ndarray) -> Cells:
        """The cells, padded to a power of two, so that the partitions of a sample share a compiled program."""
        size = max(2**14, 1 << (counts.size - 1).bit_length())
        _, first = np.unique(self.cells, return_index=True)
        parts = (_sums(self.cells, counts), *(labels[first] for labels in self[1:]))
        return Cells(*(jnp.asarray(np.pad(part, (0, size - part.size))) for part in parts))

    def margins(self, counts: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The counts n(x,u) of rows, and n(y,u) of columns, each with their codes, which are sorted."""
        both = ((labels, np.unique(labels, return_index=True)[1]) for labels in (self.rows, self.columns))
        return tuple((_sums(labels, counts), self.codes[first]) for labels, first in both)

    def loss(self, counts: np.ndarray) -> float:
        """The plug-in loss of counts, in nats."""
        of_cells, of_rows, of_columns, of_codes = (float(_c_log_c(_sums(labels, counts)).sum()) for labels in self)
        return ((of_cells - of_rows) - (of_columns - of_codes)) / counts.sum()


class Sample(NamedTuple):
    """Counts of the distinct (x, y, u) of a sample, in an order in which only these count."""

    counts: np.ndarray
    partition: Partition
    targets: np.ndarray
    """y of each."""
    sizes: tuple[int, int, int]
    """(|X|, |Y|, |U|)."""

    @classmethod
    def of(cls, counts: np.ndarray, x: np.ndarray, y: np.ndarray, u: np.ndarray) -> "Sample":
        """The sample in which (x, y, u) occur so often, in any order and more than once."""
        partition = Partition.of(x, y, u)
        _, first = np.unique(partition.cells, return_index=True)
        distinct = Partition(*(labels[first] for labels in partition))
        sizes = (alphabet_size(x), alphabet_size(y), alphabet_size(u))
        return cls(_sums(partition.cells, counts), distinct, y[first], sizes)

    @property
    def num_rows(self) -> int:
        """Number of pairs (x, u) that occur."""
        return alphabet_size(self.partition.rows)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the test of sufficiency: Σ (r − 1)(c − 1), r rows and c columns within each code."""
        r, c = (np.bincount(codes) for _, codes in self.partition.margins(self.counts))
        return int(np.sum((r - 1) * (c - 1)))

    @property
    def smallest_expected_count(self) -> float:
        """The smallest n(x,u) n(y,u)/n(u) over the inputs and targets that occur with a code."""
        margins = self.partition.margins(self.counts)
        rows, columns = (np.minimum.reduceat(sums, _starts(codes)) for sums, codes in margins)
        return float(np.min(rows * (columns / _sums(self.partition.codes, self.counts))))

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts ``[row, y]`` and the code of each row, padded to a power of four rows, so that programs are shared."""
        size = max(1024, 4 ** math.ceil(math.log(self.num_rows, 4)))
        counts, codes = np.zeros((size, self.sizes[1]), np.float32), np.zeros(size, np.int32)
        counts[self.partition.rows, self.targets] = self.counts
        codes[self.partition.rows] = self.partition.codes
        return counts, codes

    def assumed_share(self, loss: float) -> float:
        """Share of a loss L in nats that an interval by inversion assumes of pairs (x, u) that occur once.

        Their share of the samples, times (a/(1 + a))² for a pseudo-counts: a third of (|Y| − 1)/2L, which is the
        concentration of rows that lose L.
        """
        if loss <= 0:
            return 0.0
        a = (self.sizes[1] - 1) / (6 * loss)
        (of_rows, _), _ = self.partition.margins(self.counts)
        return float(np.sum(of_rows == 1) / self.counts.sum()) * (a / (1 + a)) ** 2

    def small_share(self, small: float) -> float:
        """Share of the expected counts n(x,u) n(y,u)/n(u) that are below ``small``, where codes leave any freedom."""
        counts, codes = self.table()
        of_codes = np.zeros((self.sizes[2], self.sizes[1]))
        np.add.at(of_codes, codes, counts)
        totals = counts.sum(axis=1, dtype=float)
        rows = np.bincount(codes[totals > 0], minlength=self.sizes[2])
        occurs = (of_codes > 0) & (rows > 1)[:, None] & ((of_codes > 0).sum(axis=1) > 1)[:, None]
        expected = totals[:, None] * (of_codes / np.maximum(of_codes.sum(axis=1, keepdims=True), 1))[codes]
        wanted = occurs[codes] & (totals > 0)[:, None]
        return float(np.mean(expected[wanted] < small)) if wanted.any() else 0.0


def resampled_losses(
    rng: np.random.Generator, counts: np.ndarray, partitions: Sequence[Partition], num: int
) -> np.ndarray:
    """Plug-in losses ``[encoder, resample]``; the encoders share their resamples."""
    num_rows = int(counts.sum())
    losses = np.zeros((len(partitions), num))
    if not partitions:
        return losses
    of_row = None if ROWS_A_CELL * counts.size <= num_rows else np.repeat(np.arange(counts.size), counts)
    for i in range(num):
        if of_row is None:
            drawn = rng.multinomial(num_rows, counts / num_rows)
        else:
            drawn = np.bincount(of_row[rng.integers(0, num_rows, num_rows)], minlength=counts.size)
        losses[:, i] = [partition.loss(drawn) for partition in partitions]
    return losses


def permutation_p_value(
    rng: np.random.Generator, counts: np.ndarray, partition: Partition, freedom: float, num: int
) -> float:
    """P-value from permutations of y within each code.

    They do not change the counts of rows, columns and codes, so Σ c log c over cells orders tables as G does.
    """
    if not freedom:
        return 1.0
    observed = float(_c_log_c(_sums(partition.cells, counts)).sum())
    by_cell = 2 * freedom <= counts.sum()  # about as many draws as there are rows to shuffle and sort
    drawn = (drawn_sums if by_cell else shuffled_sums)(rng, counts, partition, num)
    rounding = 4096 * float(np.finfo(float).eps) * observed
    return float((1 + np.sum(drawn >= observed - rounding)) / (1 + num))


def drawn_sums(rng: np.random.Generator, counts: np.ndarray, partition: Partition, num: int) -> np.ndarray:
    """Σ c log c of permuted tables, drawn cell by cell from hypergeometric distributions, all permutations at once."""
    sums = np.zeros(num)
    of_code = (np.split(sums, _starts(codes)[1:]) for sums, codes in partition.margins(counts))
    for of_rows, of_columns in zip(*of_code, strict=True):
        remaining = np.repeat(of_columns[:, None], num, axis=1)
        for count in of_rows[:-1]:
            to_draw, others = np.full(num, count), remaining.sum(axis=0)
            for available in remaining[:-1]:
                others -= available
                drawn = rng.hypergeometric(available, others, to_draw)
                to_draw -= drawn
                available -= drawn
                sums += _c_log_c(drawn)
            remaining[-1] -= to_draw
            sums += _c_log_c(to_draw)
        sums += _c_log_c(remaining).sum(axis=0)
    return sums


def shuffled_sums(rng: np.random.Generator, counts: np.ndarray, partition: Partition, num: int) -> np.ndarray:
    """Σ c log c of permuted tables, by shuffling the columns within codes, sample by sample."""
    order = np.argsort(partition.codes, kind="stable")
    rows, columns, codes = (np.repeat(labels[order], counts[order]) for labels in partition[1:])
    blocks = np.split(columns, _starts(codes)[1:])  # views
    shift = rows * alphabet_size(columns)
    sums = np.zeros(num)
    for i in range(num):
        for block in blocks:
            rng.shuffle(block)
        cells = np.sort(shift + columns)
        ends = np.flatnonzero(np.diff(cells, append=-1)) + 1
        sums[i] = _c_log_c(np.diff(ends, prepend=0)).sum()
    return sums
