"""Occupied cells of samples of (X, Y, U): found by sorting, without a table of all cells.

Three variables of a thousand symbols make 10⁹ cells, of which a sample of n occupies at most n.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaincc

from isjax import _checks
from isjax._numerics import divergence_terms, safe_divide
from isjax._typing import Array, ArrayLike, Int

DENSE = 4
"""Pairs are numbered in a dense table if it has at most this many cells per sample, else by sorting."""

SMALL_COUNT = 10
"""If the smallest expected count is below this, the p-value of the χ² limit is too small."""

Sizes = tuple[int, int, int]


class Cells(NamedTuple):
    """Occupied cells (x, y, u), in the order of (u, x, y); entries beyond the last occupied cell have count 0.

    Rows are the pairs (x, u) that occur and columns the pairs (y, u), numbered from zero in the order of (u, x) and of
    (u, y); codes are numbered likewise. There are at most as many of each as there are cells.
    """

    counts: Int[Array, "cell"]
    """Number of samples in the cell."""
    rows: Int[Array, "cell"]
    """Its row."""
    columns: Int[Array, "cell"]
    """Its column."""
    codes: Int[Array, "cell"]
    """Its code."""


def check_samples(
    x: ArrayLike, y: ArrayLike, u: ArrayLike, shape: tuple[int, ...]
) -> tuple[tuple[Array, Array, Array], Sizes]:
    """Samples of X, Y and U, checked, and the sizes of their alphabets."""
    num_x, num_y, num_u = _checks.as_sizes(shape, "(|X|, |Y|, |U|)")
    sizes = (num_x, num_y, num_u)
    x, y, u = (_checks.as_symbols(s, k, name) for s, k, name in zip((x, y, u), sizes, "xyu", strict=True))
    _checks.check_same_length(x=x, y=y, u=u)
    _checks.broadcast_batch(x=(x, 1), y=(y, 1), u=(u, 1))
    return (x, y, u), sizes


def outside_alphabets(x: Array, y: Array, u: Array, sizes: Sizes) -> Array:
    """Whether a symbol lies outside its alphabet."""
    return jnp.any(jnp.array([jnp.any((s < 0) | (s >= k)) for s, k in zip((x, y, u), sizes, strict=True)]))


def number_pairs(first: Array, second: Array, sizes: tuple[int, int]) -> tuple[Array, int]:
    """Numbers the pairs that occur from zero, in lexicographic order: each sample's number, and an upper bound."""
    n, num_pairs = first.size, sizes[0] * sizes[1]
    if num_pairs <= DENSE * n:
        pair = first * sizes[1] + second
        occurs = jnp.zeros(num_pairs, int).at[pair].set(1)
        return (jnp.cumsum(occurs) - 1)[pair], min(n, num_pairs)
    first, second, index = jax.lax.sort((first, second, jnp.arange(n)), num_keys=2, is_stable=False)
    is_new = (first != jnp.roll(first, 1)) | (second != jnp.roll(second, 1))
    numbers = jnp.cumsum(is_new.at[0].set(False).astype(int))
    return jnp.zeros(n, int).at[index].set(numbers, unique_indices=True), n


def label_samples(x: Array, y: Array, u: Array, sizes: Sizes) -> tuple[Array, Array, Array]:
    """Row, column and code of each sample."""
    row, _ = number_pairs(u, x, (sizes[2], sizes[0]))
    column, _ = number_pairs(u, y, (sizes[2], sizes[1]))
    code, _ = number_pairs(jnp.zeros_like(u), u, (1, sizes[2]))
    return row, column, code


def cells_of_labels(row: Array, column: Array, code: Array, num_rows: int, num_columns: int) -> Cells:
    """Cells of samples with known rows, columns and codes."""
    cell, num_cells = number_pairs(row, column, (num_rows, num_columns))
    counts = jax.ops.segment_sum(jnp.ones_like(cell), cell, num_cells)
    row, column, code = (jnp.zeros(num_cells, int).at[cell].set(label) for label in (row, column, code))
    return Cells(counts, row, column, code)


def occupied_cells(x: Array, y: Array, u: Array, sizes: Sizes) -> Cells:
    """Cells of samples ``[n]`` of (X, Y, U)."""
    n = x.size
    return cells_of_labels(*label_samples(x, y, u, sizes), min(n, sizes[0] * sizes[2]), min(n, sizes[1] * sizes[2]))


def sum_over(labels: Array, values: Array) -> Array:
    """Sum of the values of the cells with each label."""
    return jax.ops.segment_sum(values, labels, labels.size)


def plug_in_information(cells: Cells) -> Array:
    """``N Î(X;Y|U)`` in nats: Σ n(x,u) D(p̂(·|x,u) ‖ p̂(·|u)), targets that do not occur in a row included exactly."""
    margins = (sum_over(labels, cells.counts) for labels in cells[1:])
    of_row, of_column, of_code = (m[labels] for m, labels in zip(margins, cells[1:], strict=True))
    row, column, code, count = (a.astype(float) for a in (of_row, of_column, of_code, cells.counts))
    occupied = cells.counts > 0
    terms = row * divergence_terms(safe_divide(count, row, 0), safe_divide(column, code, 0))
    absent = of_code - sum_over(cells.rows, jnp.where(occupied, of_column, 0))[cells.rows]  # samples of other targets
    shares = safe_divide(count, code, 0) * absent.astype(float)  # a row's term for them, split among its cells
    return jnp.sum(jnp.where(occupied, terms + shares, 0))


def smallest_expected_count(cells: Cells) -> Array:
    """The smallest n(x,u) n(y,u)/n(u) over the inputs and targets that occur with a code."""
    of_row, of_column, of_code = (sum_over(labels, cells.counts).astype(float) for labels in cells[1:])
    occupied = cells.counts > 0

    def least(of_label: Array, labels: Array) -> Array:
        values = jnp.where(occupied, of_label[labels], jnp.inf)
        return jax.ops.segment_min(values, cells.codes, cells.codes.size)

    least_expected = least(of_row, cells.rows) * safe_divide(least(of_column, cells.columns), of_code, jnp.inf)
    return jnp.min(jnp.where(of_code > 0, least_expected, jnp.inf))


def degrees_of_freedom(cells: Cells) -> Array:
    """Σ_u (r_u − 1)(c_u − 1)."""
    of_row, of_column, of_code = (sum_over(labels, cells.counts) for labels in cells[1:])

    def num_of_code(labels: Array, of_label: Array) -> Array:
        code_of_label = jnp.zeros_like(labels).at[labels].max(jnp.where(cells.counts > 0, cells.codes, 0))
        return sum_over(code_of_label, (of_label > 0).astype(float))

    rows, columns = num_of_code(cells.rows, of_row), num_of_code(cells.columns, of_column)
    return jnp.sum(jnp.where(of_code > 0, (rows - 1) * (columns - 1), 0))


def likelihood_ratio(cells: Cells) -> tuple[Array, Array, Array]:
    """G = 2N Î(X;Y|U), its degrees of freedom, and its p-value from the χ² limit."""
    statistic, freedom = 2 * plug_in_information(cells), degrees_of_freedom(cells)
    return statistic, freedom, chi2_p_value(statistic, freedom)


def chi2_p_value(statistic: ArrayLike, freedom: ArrayLike) -> Array:
    """Probability that a χ² variable is at least ``statistic``; one without degrees of freedom."""
    freedom = jnp.asarray(freedom, float)
    return jnp.where(freedom > 0, gammaincc(jnp.where(freedom > 0, freedom, 1) / 2, jnp.asarray(statistic) / 2), 1)
