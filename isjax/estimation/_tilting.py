r"""The family of conditionals whose losses an interval tries: observed rows tilted away from their code's mean.

.. math:: q_t(y|x,u) \propto \tilde p(y|u)\, r(x,u,y)^t

Its loss is exact at every t, and its samples are drawn at many t at once, from the same uniform numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, ndtri

from isjax._numerics import divergence_terms, information_terms, rows_or_zero, safe_divide
from isjax._typing import Array, Float, Int

_BY_SAMPLE = 64
"""A row of at most so many samples is drawn sample by sample, a longer one cell by cell."""

_STRIDE = 4
"""Samples that one step draws."""

_NORMAL_VARIANCE = 6
"""Variance from which a binomial is drawn by its normal expansion: off by 0.001 in total variation there."""

_LARGEST_CONCENTRATION = 64.0
_SHARE = 1 / 3
"""Pseudo-counts, as a share of the most likely concentration."""


class Table(NamedTuple):
    """Counts n(x, u, y) of the pairs (x, u) that occur, in the order of codes; empty rows are last."""

    counts: Float[Array, "row y"]
    codes: Int[Array, "row"]
    """Code of each row, numbered from zero."""
    starts: Int[Array, "code_plus_1"]
    """First row of each code, and the end of the last."""
    means: Float[Array, "row y"]
    """p̂(y|u) of each row's code."""
    targets: Float[Array, "row y"]
    """p̃(y|u): p̂(y|u), drawn to p̂(y) by pseudo-counts."""

    @property
    def totals(self) -> Float[Array, "row"]:
        """n(x, u)."""
        return jnp.sum(self.counts, axis=-1)

    @classmethod
    def of(cls, counts: Array, codes: Array) -> "Table":
        """The table of counts ``[row, y]`` and the codes of their rows, in an order that no name of a symbol changes.

        Rows, targets and codes are sorted by numbers that are made of counts alone. A tie keeps the given order; it
        matters only if the counts are symmetric.
        """
        num_rows, empty = counts.shape[0], jnp.sum(counts, axis=-1) == 0
        whole = counts.astype(jnp.uint32)
        of_cells = _mixed(whole, jnp.sum(whole, axis=-1, keepdims=True))
        of_target = jnp.sum(jnp.where(whole > 0, of_cells, 0), axis=0, dtype=jnp.uint32)
        of_row = jnp.sum(jnp.where(whole > 0, _mixed(whole, of_target), 0), axis=-1, dtype=jnp.uint32)
        of_code = jax.ops.segment_sum(jnp.where(empty, 0, _mixed(of_row, of_row)), codes, num_rows)
        order = jnp.lexsort((of_row, codes, of_code[codes], empty))
        of_columns = jnp.lexsort((of_target, jnp.sum(counts, axis=0) == 0))
        counts, codes, empty = counts[order][:, of_columns], codes[order], empty[order]
        is_new = (codes != jnp.roll(codes, 1)).at[0].set(False) & ~empty
        codes = jnp.cumsum(is_new.astype(int))
        rows_of_code = jax.ops.segment_sum((~empty).astype(int), codes, num_rows)
        starts = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(rows_of_code)])
        of_codes = jax.ops.segment_sum(counts, codes, num_rows)
        of_all = rows_or_zero(jnp.sum(counts, axis=0))
        b = concentration(of_codes, jnp.broadcast_to(of_all, of_codes.shape), jnp.sum(rows_of_code > 0))
        smoothed = rows_or_zero(of_codes + b * of_all)
        return cls(counts, codes, starts, rows_or_zero(of_codes)[codes], smoothed[codes])


def _mixed(a: Array, b: Array) -> Array:
    """A pseudo-random number of 32 bits for each pair of them."""
    mixed = (a + jnp.uint32(0x9E3779B9)) * jnp.uint32(0x85EBCA6B) + b * jnp.uint32(0xC2B2AE35)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
    return mixed ^ (mixed >> 16)


def concentration(counts: Array, means: Array, num_rows: Array) -> Array:
    """The a of largest likelihood of the first rows of ``counts``, each Dirichlet-multinomial of mean ``means``.

    Σ log Γ(a)/Γ(n + a) + Σ log Γ(n(y) + a m(y))/Γ(a m(y)), over a grid of a from 1/16 to 64.
    """
    grid = _LARGEST_CONCENTRATION * 2 ** -jnp.linspace(0, 10, 31, dtype=counts.dtype)

    def add_row(row: Array, log_likelihoods: Array) -> Array:
        mean, count = jnp.append(means[row], 1), jnp.append(counts[row], jnp.sum(counts[row]))
        prior = jnp.where(mean > 0, grid[:, None] * mean, 1)
        of_counts, of_prior = gammaln(jnp.stack([count + prior, prior]))  # one call, which takes long to compile
        terms = jnp.where(mean > 0, of_counts - of_prior, 0)
        return log_likelihoods + jnp.sum(terms[:, :-1], axis=-1) - terms[:, -1]

    return grid[jnp.argmax(jax.lax.fori_loop(0, num_rows, add_row, jnp.zeros_like(grid)))]


def log_ratios(table: Table) -> Array:
    """``log r``, r = (n(x,y) + a p̃(y|u)) / ((n(x) + a) p̃(y|u)).

    Rows that are all alike have no direction: theirs are ±1/√N then, in turn.
    """
    a = _SHARE * concentration(table.counts, table.targets, table.starts[-1])
    occurs = (table.targets > 0) & (table.totals > 0)[:, None]
    ratios = (table.counts + a * table.targets) / ((table.totals + a)[:, None] * jnp.where(occurs, table.targets, 1))
    logs = jnp.where(occurs, jnp.log(jnp.where(occurs, ratios, 1)), 0)
    parity = (jnp.arange(logs.shape[0])[:, None] + jnp.cumsum(occurs, axis=-1)) % 2
    in_turn = (1 - 2 * parity) / jnp.sqrt(jnp.sum(table.totals))
    return jnp.where(occurs, jnp.where(jnp.max(jnp.abs(logs)) > 1e-6, logs, in_turn), 0)


def tilted(tilt: Array, targets: Array, logs: Array) -> Array:
    """Rows ``q_t(·|x,u)``, from p̃(·|u) and log r."""
    exponents = jnp.where(targets > 0, tilt * logs, -jnp.inf)
    largest = jnp.max(exponents, axis=-1, keepdims=True)
    return rows_or_zero(targets * jnp.exp(exponents - jnp.where(largest > -jnp.inf, largest, 0)))


def exact_loss(tilt: Array, table: Table, logs: Array) -> tuple[Array, Array]:
    """The loss of q_t in nats, Σ n(x,u)/N d(x,u) + Σ_u χ²_u/2N, and its standard error √(Var d/N) from n(x,u).

    d = D(q_t(·|x,u) ‖ q_t(·|u)). A loss is concave in the shares of the rows of a code, so that of random shares is too
    small, to first order by the second term on average, with χ²_u = Σ_x n(x,u)/n(u) Σ_y (q_t(y|x,u) − q_t(y|u))² /
    q_t(y|u). Its derivative in a share is d.
    """
    rows, totals, codes = tilted(tilt, table.targets, logs), table.totals, table.codes
    mixtures = rows_or_zero(jax.ops.segment_sum(totals[:, None] * rows, codes, totals.size))[codes]
    shares = safe_divide(totals, jax.ops.segment_sum(totals, codes, totals.size)[codes], 0)
    squares = shares * jnp.sum(safe_divide((rows - mixtures) ** 2, mixtures, 0), axis=-1)
    divergences, total = jnp.sum(information_terms(rows, mixtures), axis=-1), jnp.sum(totals)
    mean = jnp.sum(totals * divergences) / total
    loss, variance = mean + jnp.sum(squares) / (2 * total), jnp.sum(totals * (divergences - mean) ** 2) / total
    return jnp.where(tilt == 0, 0, loss), jnp.sqrt(variance / total)


def observed_loss(table: Table) -> Array:
    """``N Î`` of the table itself."""
    return jnp.sum(table.totals * jnp.sum(divergence_terms(rows_or_zero(table.counts), table.means), axis=-1))


def drawn_losses(key: Array, table: Table, logs: Array, tilts: Array, num_draws: int) -> Array:
    """``N Î`` ``[tilt, draw]`` of tables with the same n(x, u), from q_t at each t.

    With ĉ the rows of a draw and m̂ their mean in a code, Σ n(x,u) D(ĉ‖m̂) = Σ n(x,u) D(ĉ‖p̂) − Σ n(u) D(m̂‖p̂): rows
    need no second pass, and both sums are of terms that are not negative.
    """
    num_tilts, num_targets = tilts.size, table.counts.shape[1]
    totals = table.totals

    def of_row(row: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        counts, sums = carry
        total, target = totals[row], table.targets[row]
        rows, of_this = tilted(tilts[:, None], target, logs[row]), jax.random.fold_in(key, row)
        drawn = jax.lax.cond(
            total <= _BY_SAMPLE,
            lambda: _drawn_by_sample(of_this, rows, total, num_draws),
            lambda: _drawn_by_cell(of_this, rows, total, num_draws),
        )
        return counts + drawn, sums + _divergences(drawn, total * target)

    def of_code(code: Array, sums: Array) -> Array:
        first = table.starts[code]
        nothing = jnp.zeros((num_targets, num_tilts, num_draws), sums.dtype)
        counts, sums = jax.lax.fori_loop(first, table.starts[code + 1], of_row, (nothing, sums))
        total = jnp.sum(counts[:, 0, 0])
        return sums - _divergences(counts, total * table.targets[first])

    num_codes = jnp.sum(jnp.diff(table.starts) > 0)
    losses = jax.lax.fori_loop(0, num_codes, of_code, jnp.zeros((num_tilts, num_draws), totals.dtype))
    return jnp.maximum(losses, 0)


def _divergences(counts: Array, expected: Array) -> Array:
    """``Σ_y d(counts[y], expected[y])`` ``[tilt, draw]``, target by target: XLA vectorises no larger loop."""

    def add(sums: Array, of_target: tuple[Array, Array]) -> tuple[Array, None]:
        return sums + divergence_terms(*of_target), None

    return jax.lax.scan(add, jnp.zeros_like(counts[0]), (counts, expected))[0]


def _drawn_by_sample(key: Array, rows: Array, total: Array, num_draws: int) -> Array:
    """Counts ``[y, tilt, draw]`` of a row, from rows ``[tilt, y]``: how many uniform numbers lie in each interval."""
    thresholds = jnp.cumsum(rows, axis=-1).T[:-1, :, None]

    def of_stride(i: Array, below: Array) -> Array:
        uniforms = jax.random.uniform(jax.random.fold_in(key, i), (_STRIDE, num_draws), rows.dtype)
        is_sample = i * _STRIDE + jnp.arange(_STRIDE) < total
        uniforms = jnp.where(is_sample[:, None], uniforms, 2)  # above all thresholds
        for uniform in uniforms:
            below = below + (uniform < thresholds)
        return below

    num_strides = (total.astype(int) + _STRIDE - 1) // _STRIDE
    below = jnp.zeros((rows.shape[1] - 1, rows.shape[0], num_draws), rows.dtype)
    below = jax.lax.fori_loop(0, jnp.minimum(num_strides, _BY_SAMPLE // _STRIDE), of_stride, below)
    return jnp.diff(below, axis=0, prepend=0, append=jnp.broadcast_to(total, (1, *below.shape[1:])))


def _drawn_by_cell(key: Array, rows: Array, total: Array, num_draws: int) -> Array:
    """Counts ``[y, tilt, draw]`` of a row: each cell binomial, of what the cells before it left."""
    left = jnp.cumsum(rows[:, ::-1], axis=-1)[:, ::-1]
    shares = jnp.clip(safe_divide(rows, left, 0), 0, 1).T[:-1]

    def of_cell(remaining: Array, of_this: tuple[Array, Array]) -> tuple[Array, Array]:
        target, share = of_this
        of_target = jax.random.fold_in(key, target)
        uniform = jax.random.uniform(of_target, (num_draws,), rows.dtype, float(jnp.finfo(rows.dtype).eps))
        drawn = binomial(uniform, remaining, share[:, None])
        return remaining - drawn, drawn

    start = jnp.broadcast_to(total, (rows.shape[0], num_draws))
    last, drawn = jax.lax.scan(of_cell, start, (jnp.arange(rows.shape[1] - 1), shares))
    return jnp.concatenate([drawn, last[None]])


def binomial(uniform: Array, num: Array, share: Array) -> Array:
    """Successes among ``num`` trials, from uniform numbers in (0, 1): increasing in them and in ``share``.

    If the variance is small the distribution function is inverted from the rarer outcome's zero on; else by its normal
    expansion to the fourth cumulant, with Sheppard's correction, rounded.
    """
    is_rare = share <= 0.5
    p, v = jnp.where(is_rare, share, 1 - share), jnp.where(is_rare, uniform, 1 - uniform)
    normal = ndtri(uniform)
    normal = jnp.where(is_rare, normal, -normal)
    variance = num * p * (1 - p)
    is_normal = variance > _NORMAL_VARIANCE
    successes = jnp.where(is_normal, _binomial_by_expansion(normal, num, p), _binomial_by_search(v, num, p, ~is_normal))
    return jnp.where(is_rare, successes, num - successes)


def _binomial_by_expansion(z: Array, num: Array, p: Array) -> Array:
    variance = jnp.maximum(num * p * (1 - p), 1)
    skew, excess = (1 - 2 * p) ** 2 / variance, (1 - 6 * p * (1 - p)) / variance
    standard = z + excess * (z**3 - 3 * z) / 24 - skew * (2 * z**3 - 5 * z) / 36
    quantile = num * p + jnp.sqrt(variance - 1 / 12) * standard + (1 - 2 * p) * (z * z - 1) / 6
    return jnp.clip(jnp.round(quantile), 0, num)


def _binomial_by_search(v: Array, num: Array, p: Array, wanted: Array) -> Array:
    """The smallest k whose distribution function reaches v."""
    v, num, p, wanted = jnp.broadcast_arrays(v, num, p, wanted)
    mass = jnp.where(wanted, jnp.exp(num * jnp.log1p(-p)), 1)
    odds = jnp.where(wanted, p / (1 - p), 0)

    def is_open(state: tuple[Array, ...]) -> Array:
        _, left, mass, _ = state
        return jnp.any((left >= 0) & (mass > 1e-10))  # at the start it is 2⁻²⁴ or more

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        k, left, mass, found = state
        mass = mass * odds * jnp.maximum(num - k, 0) / (k + 1)
        return k + 1, left - mass, mass, jnp.where(left >= 0, k + 1, found)

    start = jnp.zeros((), v.dtype), v - mass, mass, jnp.zeros_like(v)
    return jnp.minimum(jax.lax.while_loop(is_open, step, start)[-1], num)
