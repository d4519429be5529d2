"""Permutations and resamples in JAX: permuted tables, memory-bounded chunks, and intervals from resamples.

The same in numpy, for ``measure``, is in ``_sampling``.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from isjax._numerics import divergence_terms, safe_divide
from isjax._typing import Array, Float, Int
from isjax.estimation._cells import (
    DENSE,
    Cells,
    Sizes,
    cells_of_labels,
    label_samples,
    number_pairs,
    plug_in_information,
    sum_over,
)


def map_in_chunks(draw: Callable[[Array], Array], keys: Array, width: int) -> Array:
    """Maps ``draw``, of ``width`` numbers a key, over keys in chunks of at most 2²⁰ numbers and 1024 keys."""
    num = keys.shape[0]
    num_chunks = -(-num // max(1, min(1024, 2**20 // width)))
    chunk = -(-num // num_chunks)
    padded = keys[jnp.arange(num_chunks * chunk) % num].reshape(num_chunks, chunk)  # no remainder to compile for
    drawn = jax.lax.map(jax.vmap(draw), padded)
    return drawn.reshape(num_chunks * chunk, *drawn.shape[2:])[:num]


def bootstrap_limits(estimate: Array, resampled: Array, confidence: float | Array) -> tuple[Array, Array]:
    """Lower and upper limit from a statistic of the data and of resamples ``[resample, ...]``: 2θ̂ − θ̄* ± z s*."""
    middle = 2 * estimate - jnp.mean(resampled, axis=0)
    width = jnp.std(resampled, axis=0, ddof=1) * ndtri((1 + confidence) / 2)
    return middle - width, middle + width


def permuted_statistics(keys: Array, cells: Cells, x: Array, y: Array, u: Array, sizes: Sizes) -> Array:
    """G after a permutation of y within each code, for each key: drawn cell by cell if dense, else sorted."""
    if sizes[1] * max(sizes[0], sizes[2]) <= DENSE * x.size:
        margins = _margins(cells, y, u, sizes)
        return map_in_chunks(lambda key: _drawn_statistic(key, margins), keys, sizes[1])
    row, column, code = label_samples(x, y, u, sizes)
    code, row, column = jax.lax.sort((code, row, column), num_keys=1, is_stable=False)
    return map_in_chunks(lambda key: _shuffled_statistic(key, row, column, code), keys, x.size)


def _shuffled_statistic(key: Array, row: Array, column: Array, code: Array) -> Array:
    """G after a permutation of the columns within each code, by sorting random words; samples in the order of codes."""
    n = row.size
    words = jax.random.bits(key, (1 if n < 2048 else 2, n))  # 64 bits where 32 would often repeat
    _, *_, column = jax.lax.sort((code, *words, column), num_keys=1 + len(words), is_stable=False)
    return 2 * plug_in_information(cells_of_labels(row, column, code, n, n))


class _Margins(NamedTuple):
    """Counts that a permutation within codes does not change; rows in the order of their codes."""

    num_rows: Int[Array, ""]
    rows: Int[Array, "row"]
    """n(x, u)."""
    codes: Int[Array, "row"]
    """Each row's code."""
    targets: Int[Array, "u y"]
    """n(u, y)."""


def _margins(cells: Cells, y: Array, u: Array, sizes: Sizes) -> _Margins:
    rows = sum_over(cells.rows, cells.counts)
    code, _ = number_pairs(jnp.zeros_like(u), u, (1, sizes[2]))
    targets = jnp.zeros((sizes[2], sizes[1]), int).at[code, y].add(1)
    codes = jnp.zeros_like(rows).at[cells.rows].max(jnp.where(cells.counts > 0, cells.codes, 0))
    return _Margins(jnp.sum(rows > 0), rows, codes, targets)


def _drawn_statistic(key: Array, margins: _Margins) -> Array:
    """G of a random table with these margins: row by row, each drawn from what the rows before it left of its code."""

    def of_row(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        remaining, statistic = carry
        count, code = margins.rows[i], margins.codes[i]
        targets = margins.targets[code]
        remaining = jnp.where((i == 0) | (margins.codes[i - 1] != code), targets, remaining)

        def of_target(carry: tuple[Array, Array], of_this: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            (num_draws, others), (available, uniform) = carry, of_this
            others = others - available
            drawn = hypergeometric(uniform, available, others, num_draws)
            return (num_draws - drawn, others), drawn

        uniforms = jax.random.uniform(jax.random.fold_in(key, i), remaining.shape, statistic.dtype)
        _, drawn = jax.lax.scan(of_target, (count, jnp.sum(remaining)), (remaining, uniforms))
        p, q = drawn.astype(float) / count.astype(float), targets.astype(float) / jnp.sum(targets).astype(float)
        return remaining - drawn, statistic + 2 * count.astype(float) * jnp.sum(divergence_terms(p, q))

    carry = jnp.zeros_like(margins.targets[0]), jnp.zeros((), float)
    return jax.lax.fori_loop(0, margins.num_rows, of_row, carry)[1]


def hypergeometric(uniform: Float[Array, ""], good: Array, bad: Array, num_draws: Array) -> Array:
    """Number of good items among ``num_draws`` of ``good + bad`` items, from a uniform number in [0, 1).

    The distribution function is inverted outwards from the mode, in a few standard deviations of steps; the mass at the
    mode is computed without cancellation, and the others by their ratios.
    """
    g, b, m = (count.astype(uniform.dtype) for count in (good, bad, num_draws))
    mode = jnp.floor((m + 1) * (g + 1) / (g + b + 2)).astype(good.dtype)
    start = jnp.clip(mode, jnp.maximum(num_draws - bad, 0), jnp.minimum(good, num_draws))

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        left, distance, p_above, p_below, found = state
        up, down = (start + distance).astype(g.dtype), (start - distance).astype(g.dtype)
        p_above = p_above * ((g - up) * (m - up) / ((up + 1) * (b - m + up + 1)))
        p_below = p_below * (down * (b - m + down) / ((g - down + 1) * (m - down + 1)))
        above, below = left < p_above, left < p_above + p_below
        found = jnp.where(above, start + distance + 1, jnp.where(below, start - distance - 1, found))
        left = jnp.where(above | below, -1, left - p_above - p_below)
        return left, distance + 1, p_above, p_below, found

    def is_open(state: tuple[Array, ...]) -> Array:
        left, _, p_above, p_below, _ = state
        return (left >= 0) & ((p_above > 0) | (p_below > 0))

    mass = _hypergeometric_mass(start.astype(g.dtype), g, b, m)
    return jax.lax.while_loop(is_open, step, (uniform - mass, jnp.zeros_like(good), mass, mass, start))[-1]


def _hypergeometric_mass(k: Array, good: Array, bad: Array, num_draws: Array) -> Array:
    """Probability of k good items, by Loader's deviances: the large terms of the factorials cancel analytically."""
    total, rest = good + bad, good + bad - num_draws
    cells = jnp.stack([k, good - k, num_draws - k, bad - num_draws + k])
    share, other = safe_divide(num_draws, total, 0), safe_divide(rest, total, 0)
    expected = jnp.stack([good * share, good * other, bad * share, bad * other])
    margins = _stirling(jnp.stack([good, bad, num_draws, rest]))
    log_mass = jnp.sum(margins) - _stirling(total) - jnp.sum(_stirling(cells) + divergence_terms(cells, expected))
    return jnp.exp(log_mass)


_TABULATED = np.array([math.lgamma(n + 1) - n * math.log(max(n, 1)) + n for n in range(16)])


def _stirling(n: Array) -> Array:
    """``log n! − n log n + n``."""
    large = jnp.maximum(n, 16)
    series = (1 - (1 - 2 / (7 * large * large)) / (30 * large * large)) / (12 * large)
    tabulated = jnp.asarray(_TABULATED, n.dtype)[jnp.minimum(n, 15).astype(int)]
    return jnp.where(n < 16, tabulated, jnp.log(2 * math.pi * large) / 2 + series)
