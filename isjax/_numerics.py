r"""Zeros, infinities and cancellation: the only file that knows about them.

Every divergence is computed as a sum of terms

.. math:: d(p, q) = p \log\frac{p}{q} - p + q \;=\; q\,\varphi\!\left(\frac{p - q}{q}\right) \ge 0,
          \qquad \varphi(t) = (1 + t)\log(1 + t) - t,

which equals :math:`\sum p \log(p/q)` because both distributions sum to one, and in which no terms cancel. A cell of
exactly zero mass contributes zero to the value and to derivatives of any order.

Derivatives are given in closed form, as logarithms of ratios: differentiating the sums themselves would square the
reciprocals of small masses, and 1/p² overflows in float32 where p is below 10⁻¹⁹. In ``defjvps``, None means that the
derivative in that argument vanishes.
"""

import abc
import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from isjax._typing import Array, ArrayLike, Real


def in_base(nats: Array, base: float | None) -> Array:
    """An amount of information in the unit of ``base``: nats if None, bits if 2."""
    return nats if base is None else nats / math.log(base)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def safe_divide(numerator: Array, denominator: Array, fallback: Real) -> Array:
    """``numerator / denominator``, and ``fallback`` where the denominator is zero, with derivative zero there."""
    empty = denominator == 0
    return jnp.where(empty, fallback, numerator / jnp.where(empty, 1, denominator))


@safe_divide.defjvp
def _safe_divide_jvp(
    fallback: Real, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (numerator, denominator), (dnumerator, ddenominator) = primals, tangents
    ratio, empty = safe_divide(numerator, denominator, fallback), denominator == 0
    change = dnumerator - jnp.where(empty, 0, ratio) * ddenominator
    return ratio, jnp.where(empty, 0, change) / jnp.where(empty, 1, denominator)


def normalise(mass: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """Rows of ``mass`` scaled to sum to one; a row with no mass is uniform."""
    total = jnp.sum(mass, axis=axis, keepdims=True)
    return safe_divide(mass, total, total.size / mass.size if mass.size else 0.0)


@jax.custom_jvp
def rows_or_zero(mass: Array) -> Array:
    """Rows of ``mass`` scaled to sum to one; a row with no mass is zero: for rows whose weight is then zero.

    A product with the reciprocal of the sum, around which XLA vectorises more than around a division.
    """
    total = jnp.sum(mass, axis=-1, keepdims=True)
    empty = jnp.abs(total) < jnp.finfo(mass.dtype).tiny
    return mass * jnp.where(empty, 0, 1 / jnp.where(empty, 1, total))


@rows_or_zero.defjvp
def _rows_or_zero_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (mass,), (dmass,) = primals, tangents
    rows = rows_or_zero(mass)
    change = dmass - rows * jnp.sum(dmass, axis=-1, keepdims=True)
    return rows, safe_divide(change, jnp.sum(mass, axis=-1, keepdims=True), 0)


MANY = 256  # terms, of which a sum one after another loses a few units of rounding


def sum_by_label(values: Array, labels: Array, num_labels: int) -> Array:
    """Sums ``[u, y]`` of the rows of ``values`` ``[x, y]`` that have the same label.

    Rows are added one after another, so that rounding errors grow with their number: a float32 sum of 2²⁰ equal masses
    is off by one per cent. Of a large alphabet, rows are therefore added in lanes of ``MANY`` rows, and then the lanes.
    With so many labels that the lanes would take several times the memory of ``values``, sums are made at a fixed
    point.
    """
    num_lanes = -(-values.shape[0] // MANY)
    if num_lanes == 1:
        return jax.ops.segment_sum(values, labels, num_labels)
    if num_labels > 4 * MANY:
        return _fixed_point_sum(values, labels, num_labels)
    lane = jnp.arange(values.shape[0], dtype=labels.dtype) % num_lanes
    sums = jax.ops.segment_sum(values, lane * num_labels + labels, num_lanes * num_labels)
    return jnp.sum(sums.reshape(num_lanes, num_labels, *values.shape[1:]), axis=0)


def _fixed_point_sum(values: Array, labels: Array, num_labels: int) -> Array:
    """``sum_by_label`` of values rounded to integers, whose sums are exact, and again of the remainders."""
    integer = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    num_bits = jnp.iinfo(integer).bits - 2
    remainder, total = values, 0.0
    for _ in range(2):
        given = jax.lax.stop_gradient(remainder)
        _, exponent = jnp.frexp(jnp.sum(jnp.abs(given)))  # every sum is below 2^exponent
        fixed = jnp.round(jnp.ldexp(given, num_bits - exponent)).astype(integer)
        sums = jax.ops.segment_sum(fixed, labels, num_labels).astype(values.dtype)
        total += jnp.ldexp(sums, exponent - num_bits)
        remainder = remainder - jnp.ldexp(fixed.astype(values.dtype), exponent - num_bits)
    # Without the barrier XLA adds the remainders one by one to the total, where they are lost.
    return total + jax.lax.optimization_barrier(jax.ops.segment_sum(remainder, labels, num_labels))


def sum_of_products(left: Array, right: Array) -> Array:
    """``Σ_x left[x, u] right[x, y]``, of a large alphabet by blocks of ``MANY`` terms, at full precision."""
    num_rows = left.shape[-2]
    num_blocks = -(-num_rows // MANY)
    if num_blocks == 1:
        return jnp.einsum("...xu,...xy->...uy", left, right, precision=jax.lax.Precision.HIGHEST)
    blocks = (_blocks(a, num_blocks) for a in (left, right))
    products = jnp.einsum("...bxu,...bxy->...buy", *blocks, precision=jax.lax.Precision.HIGHEST)
    return jnp.sum(products, axis=-3)


def _blocks(array: Array, num_blocks: int) -> Array:
    """The second last axis cut into blocks of equal size, padded with zeros."""
    *batch, num_rows, num_columns = array.shape
    size = -(-num_rows // num_blocks)
    padding = [(0, 0)] * len(batch) + [(0, num_blocks * size - num_rows), (0, 0)]
    return jnp.pad(array, padding).reshape(*batch, num_blocks, size, num_columns)


def distribution_function(steps: Array, top: ArrayLike) -> Array:
    """Cumulative sum along the last axis, never above ``top``, and equal to it from the last cell with mass on."""
    has_mass = (steps > 0).astype(int)
    is_last = jax.lax.cumsum(has_mass, axis=steps.ndim - 1, reverse=True) <= has_mass
    top = jnp.asarray(top, steps.dtype)
    return jnp.where(is_last, top, jnp.minimum(jnp.cumsum(steps, axis=-1, dtype=steps.dtype), top))


def expectation(weights: Array, values: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Sum of ``weights * values``; a weight of zero gives zero whatever the value, infinite or NaN."""
    weights, values = jnp.broadcast_arrays(weights, values)
    empty = weights == 0
    products = jnp.where(empty, 0, weights) * jnp.where(empty, 0, values)
    return jnp.sum(products, axis=axis)


def sum_of_rows(products: Array) -> Array:
    """Sum over the last two axes, of products.

    The rows are summed first, in the loop that makes the products: XLA would merge the two sums, write the products to
    memory, and add them in another loop (jaxlib 0.10.1 on a CPU).
    """
    return jnp.sum(jax.lax.optimization_barrier(jnp.sum(products, axis=-1)), axis=-1)


@jax.custom_jvp
def safe_log(p: Array) -> Array:
    """Logarithm of ``p``, with log 0 = 0 and derivative zero there: for use with a factor that vanishes with p."""
    return jnp.log(jnp.where(p == 0, 1, p))


safe_log.defjvps(lambda dp, _, p: safe_divide(jnp.ones_like(p), p, 0) * dp)


def safe_sqrt(p: Array) -> Array:
    """Square root of ``p``, with derivative zero where p is zero."""
    return jnp.where(p == 0, 0, jnp.sqrt(jnp.where(p == 0, 1, p)))


def _deformed_log(log: Array, exponent: float) -> Array:
    """``(e^{b l} − 1)/b``, which is l itself for b = 0."""
    return log if exponent == 0 else jnp.expm1(exponent * log) / exponent


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def xlogx(p: Array, order: float = 1) -> Array:
    """``p log p``, or ``(p^a − p)/(a − 1)`` of an order a > 0; zero at zero with derivative zero."""
    return p * _deformed_log(safe_log(p), order - 1)


@xlogx.defjvp
def _xlogx_jvp(order: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (p,), (dp,) = primals, tangents
    slope = jnp.where(p == 0, 0, order * _deformed_log(safe_log(p), order - 1) + 1)
    return xlogx(p, order), slope * dp


@jax.custom_jvp
def cross_entropy_terms(p: Array, q: Array) -> Array:
    """``−p log q``: zero where p is, and plus infinity where only q is."""
    return nan_where(jnp.isnan(q), jnp.where(p == 0, 0, -p * jnp.log(jnp.where(p == 0, 1, q))))


cross_entropy_terms.defjvps(
    lambda dp, _, p, q: jnp.where(p == 0, 0, jnp.where(q == 0, jnp.inf, -safe_log(q))) * dp,
    lambda dq, _, p, q: jnp.where(p == 0, 0, safe_divide(-p, q, -jnp.inf)) * dq,
)


def pin_zeros(p: Array) -> Array:
    """``p`` itself, with derivative zero in cells of zero mass."""
    return jnp.where(p == 0, 0, p)


# --- entropies, in nats -------------------------------------------------------------------------------------------


def binary_entropy(p: Array) -> Array:
    """``−p log p − (1 − p) log(1 − p)``."""
    tails = (1 - p) * jnp.log1p(-jnp.where(p == 1, 0, p))
    return 0 - (xlogx(p) + tails)  # 0 − 0 is zero, and −0 would be minus zero


def renyi_entropy(p: Array, order: float, axes: tuple[int, ...]) -> Array:
    """``log(Σ p^a)/(1 − a)``, and its limits at the orders 0, 1 (Shannon) and infinity."""
    if order == 0:
        return jnp.log(_support_size(p, axes))
    if order == 1:
        return 0 - jnp.sum(xlogx(p), axis=axes)
    if order == math.inf:
        return -jnp.log(jnp.max(nan_where(p < 0, p), axis=axes))
    if abs(order - 1) < 0.25:
        return jnp.log1p((order - 1) * jnp.sum(xlogx(p, order), axis=axes)) / (1 - order)
    return _log_power_sum(p, order, axes) / (1 - order)


def _support_size(p: Array, axes: tuple[int, ...]) -> Array:
    """Number of cells with mass; NaN if a cell holds NaN or a negative mass."""
    return jnp.sum(nan_where(~(p >= 0), (p > 0).astype(p.dtype)), axis=axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _log_power_sum(p: Array, order: float, axes: tuple[int, ...]) -> Array:
    """``log Σ p^a``, in which no power underflows."""
    return jax.nn.logsumexp(order * safe_log(p), axis=axes, where=p != 0)


@_log_power_sum.defjvp
def _log_power_sum_jvp(
    order: float, axes: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (p,), (dp,) = primals, tangents
    value = _log_power_sum(p, order, axes)
    exponent = (order - 1) * safe_log(p) - jnp.expand_dims(value, axes)
    return value, jnp.sum(jnp.where(p == 0, 0, order * jnp.exp(exponent)) * dp, axis=axes)


def tsallis_entropy(p: Array, order: float, axes: tuple[int, ...]) -> Array:
    """``(1 − Σ p^a)/(a − 1)``, and its limits at the orders 0, 1 (Shannon) and infinity."""
    if order == 0:
        return _support_size(p, axes) - 1
    if order == math.inf:
        return 0 * _support_size(p, axes)
    return -jnp.sum(xlogx(p, order), axis=axes)


# --- d(p, q) from probabilities -----------------------------------------------------------------------------------
#
# Near p = q: with v = (p − q)/(p + q), log(p/q) = 2 artanh v, so d = (p − q) v + 2 p v (v²/3 + v⁴/5 + …), which is
# Loader's deviance. Elsewhere the definition itself. The difference p − q is an argument, because some callers have it
# more accurately than by subtraction: in the Jensen-Shannon divergence it is (1 − w)(p − q).

_NEAR = 0.2  # |v| below which the series is used: p/q from 2/3 to 3/2


def _num_terms(dtype: jnp.dtype) -> int:
    """Number of terms after which a series in v² ≤ 0.04 is accurate to rounding."""
    return 12 if jnp.finfo(dtype).bits > 32 else 5


def _artanh_series(square: Array) -> Array:
    """``(artanh(v)/v − 1)/s = 1/3 + s/5 + s²/7 + …`` for s = v²."""
    count = _num_terms(square.dtype)
    total = jnp.full_like(square, 1 / (2 * count + 1))
    for j in range(count - 1, 0, -1):
        total = total * square + 1 / (2 * j + 1)
    return total


def _relative(p: Array, q: Array, difference: Array) -> tuple[Array, Array]:
    """``v = (p − q)/(p + q)`` where it is small, zero elsewhere; and where it is small."""
    v = safe_divide(difference, p + q, 0)
    near = jnp.abs(v) < _NEAR
    return jnp.where(near, v, 0), near


@jax.custom_jvp
def log_ratio(p: Array, q: Array, difference: Array) -> Array:
    """``log(p/q)``, accurate to rounding where p is near q; zero where p is zero, +inf where only q is."""
    v, near = _relative(p, q, difference)
    far = jnp.log(jnp.where(p == 0, 1, p) / jnp.where(p == 0, 1, q))
    return jnp.where(near, 2 * v * (1 + v * v * _artanh_series(v * v)), far)


log_ratio.defjvps(
    lambda dp, _, p, q, difference: safe_divide(jnp.ones_like(p), p, 0) * dp,
    lambda dq, _, p, q, difference: -jnp.where(p == 0, 0, safe_divide(jnp.ones_like(q), q, jnp.inf)) * dq,
    None,
)


@jax.custom_jvp
def _divergence_terms(p: Array, q: Array, difference: Array) -> Array:
    v, near = _relative(p, q, difference)
    series = difference * v + 2 * p * v * (v * v * _artanh_series(v * v))
    far = p * log_ratio(p, q, difference) - p + q
    return jnp.where(near, series, jnp.maximum(far, 0))


_divergence_terms.defjvps(
    lambda dp, _, p, q, difference: log_ratio(p, q, difference) * dp,
    lambda dq, _, p, q, difference: (  # 1 − p/q
        jnp.where((p == 0) & (q == 0), 0, safe_divide(-difference, q, -jnp.inf)) * dq
    ),
    None,
)


def divergence_terms(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``p log(p/q) − p + q``, cell by cell: never negative, +inf where q = 0 < p.

    The derivatives are log(p/q) and 1 − p/q; where p = 0 the first is taken as zero (its limit is minus infinity).
    """
    p, q = jnp.broadcast_arrays(p, q)
    return _divergence_terms(p, q, p - q if difference is None else difference)


# Where q is a mixture of which p is a part, q = 0 means that the cell is empty, or that it underflowed. An information
# has no infinite term, so such a cell contributes zero.


def information_terms(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``divergence_terms`` of a part p of a mixture q."""
    p, q = jnp.broadcast_arrays(p, q)
    empty = q == 0
    difference = p - q if difference is None else difference
    return _divergence_terms(jnp.where(empty, 0, p), q, jnp.where(empty, 0, difference))


def information_ratio(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``log(p/q)`` of a part p of a mixture q: zero where either is."""
    p, q = jnp.broadcast_arrays(p, q)
    empty = q == 0
    difference = p - q if difference is None else difference
    return log_ratio(jnp.where(empty, 0, p), q, jnp.where(empty, 0, difference))


def pointwise_information(joint: Array) -> Array:
    """``log(p(y|x)/p(y))``: −inf in an empty cell whose row and column have mass, zero in those without."""
    p_x, p_y = (jnp.sum(joint, axis=axis, keepdims=True) for axis in (-1, -2))
    rows, p_y = jnp.broadcast_arrays(rows_or_zero(joint), p_y)
    never = (joint == 0) & (p_x > 0) & (p_y > 0)
    return jnp.where(never, -jnp.inf, log_ratio(rows, p_y, rows - p_y))


# --- Jensen-Shannon divergence ------------------------------------------------------------------------------------


def _mixture(p: Array, q: Array, w: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """Each of p and q with their mixture and its difference from it."""
    mixture = w * p + (1 - w) * q
    return (p, mixture, (1 - w) * (p - q)), (q, mixture, w * (q - p))


@jax.custom_jvp
def jensen_shannon_terms(p: Array, q: Array, w: Array) -> Array:
    of_p, of_q = _mixture(p, q, w)
    return w * information_terms(*of_p) + (1 - w) * information_terms(*of_q)


@jensen_shannon_terms.defjvp
def _jensen_shannon_terms_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (p, q, w), (dp, dq, dw) = primals, tangents
    of_p, of_q = _mixture(p, q, w)
    slope_w = information_terms(*of_p) - information_terms(*of_q)
    slope_p, slope_q = w * information_ratio(*of_p), (1 - w) * information_ratio(*of_q)
    p, q = jax.lax.optimization_barrier((p, q))  # otherwise XLA writes what value and slopes share to memory
    return jensen_shannon_terms(p, q, w), slope_p * dp + slope_q * dq + slope_w * dw


# --- Rényi divergence ---------------------------------------------------------------------------------------------


def renyi_divergence(p: Array, q: Array, order: float, axes: tuple[int, ...]) -> Array:
    """``log(Σ p^a q^{1−a})/(a − 1)`` in nats, and its limits at the orders 0, 1 (Kullback-Leibler) and infinity."""
    if order == 0:
        nats = -jnp.log(jnp.sum(jnp.where(p == 0, 0, q), axis=axes))
    elif order == 1:
        return jnp.sum(divergence_terms(p, q), axis=axes)
    elif order == math.inf:
        nats = jnp.max(jnp.where(p == 0, -jnp.inf, log_ratio(p, q, p - q)), axis=axes)
    else:
        nats = _renyi_nats(p, q, order, axes)
    return nan_where(jnp.isnan(jnp.sum(p + q, axis=axes)), jnp.maximum(nats, 0))  # an empty cell hides the other's NaN


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _renyi_nats(p: Array, q: Array, order: float, axes: tuple[int, ...]) -> Array:
    """Rényi divergence of an order other than 0, 1 and infinity."""
    b = order - 1
    small = jnp.log1p(b * jnp.sum(_renyi_terms(p, q, order), axis=axes)) / b
    # Its terms overflow where the divergence is large; there a logarithm of a sum of exponentials is as accurate.
    absent = (p == 0) | ((q == 0) & (order < 1))
    log_terms = safe_log(p) + b * log_ratio(jnp.where(absent, 0, p), q, p - q)
    large = jax.nn.logsumexp(log_terms, axis=axes, where=~absent) / b
    return jnp.where(jnp.abs(small * b) < 1, small, large)


@_renyi_nats.defjvp
def _renyi_nats_jvp(
    order: float, axes: tuple[int, ...], primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (p, q), (dp, dq) = primals, tangents
    value = _renyi_nats(p, q, order, axes)
    log_sum = (order - 1) * jnp.expand_dims(value, axes)  # log Σ p^a q^{1−a}
    r, finite = log_ratio(p, jnp.where(q == 0, 1, q), p - q), jnp.isfinite(log_sum)
    r_of_p = jnp.where(q == 0, jnp.inf if order < 1 else 0, r)
    r_of_q = jnp.where(q == 0, 0, jnp.where(p == 0, -jnp.inf, r))
    slope_p = _power_slope(r_of_p, order - 1, order / (order - 1), log_sum)
    slope_q = _power_slope(r_of_q, order, -1, log_sum)
    slope_p, slope_q = jnp.where(finite & (p > 0), slope_p, 0), jnp.where(finite & (q > 0), slope_q, 0)
    return value, jnp.sum(slope_p * dp + slope_q * dq, axis=axes)


def _power_slope(log: Array, exponent: float, factor: float, log_sum: Array) -> Array:
    """``factor (e^{b l} − c)/S`` with S = e^log_sum; on a normalised axis, slopes are determined up to a constant.

    Near S = 1, c is 1, so that nothing cancels near l = 0; elsewhere c is 0, because c/S could overflow.
    """
    near = jnp.abs(log_sum) < 1
    of_near = jnp.expm1(jnp.where(near, exponent * log, 0)) * jnp.exp(-jnp.where(near, log_sum, 0))
    return factor * jnp.where(near, of_near, jnp.exp(jnp.where(near, 0, exponent * log - log_sum)))


def _renyi_terms(p: Array, q: Array, order: float) -> Array:
    """``q g_a(p/q) ≥ 0``."""
    b = order - 1
    r = log_ratio(p, q, p - q)
    near = (p > 0) & (jnp.abs(r) * max(order, 1) < 0.4)
    x = jnp.where(near, r, 0)
    num_terms = 18 if p.dtype == jnp.float64 else 10
    series = jnp.zeros_like(x)
    for k in range(num_terms, 1, -1):
        series = (series + sum(order**j for j in range(k - 1)) / math.factorial(k)) * x
    far = p * jnp.expm1(b * r) / b - (p - q)
    return jnp.where(near, order * q * series * x, far)


# --- d(p, q) from log q -------------------------------------------------------------------------------------------


def _expm1_plus(s: Array) -> Array:
    """``expm1(−s) + s``, by its series near zero, where the two cancel."""
    near, x = _near_zero(s)
    return jnp.where(near, _expm1_plus_series(x), jnp.expm1(-s) + s)


def _near_zero(s: Array) -> tuple[Array, Array]:
    """Where the series is used, and its argument, zero elsewhere."""
    near = jnp.abs(s) < 0.5
    return near, jnp.where(near, s, 0)


def _expm1_plus_series(x: Array) -> Array:
    count = 18 if jnp.finfo(x.dtype).bits > 32 else 10
    series = jnp.ones_like(x)
    for k in range(count, 2, -1):
        series = 1 - series * x * (1 / k)
    return x * x / 2 * series


def divergence_terms_from_log(p: Array, log_q: Array) -> Array:
    """``p log(p/q) − p + q`` from log q: infinite where log q = −inf and p > 0, not where exp(log q) underflows."""
    return jnp.where(p == 0, jnp.exp(log_q), p * _expm1_plus(_log_ratio_from_log(p, log_q)))


def _log_ratio_from_log(p: Array, log_q: Array) -> Array:
    """``log(p/q)`` from log q, zero where p is."""
    return jnp.where(p == 0, 0, safe_log(p) - log_q)


@jax.custom_jvp
def divergence_from_log(joint: Array, log_q: Array) -> Array:
    """Sum over rows of ``p(u) D(p(·|u) ‖ q(·|u))``, for a joint ``[..., u, y]`` and log q of the same shape."""
    divergences = jnp.sum(divergence_terms_from_log(rows_or_zero(joint), log_q), axis=-1)
    mean = expectation(jnp.sum(joint, axis=-1), divergences, axis=-1)
    return nan_where(jnp.any(jnp.isnan(log_q), axis=(-2, -1)), mean)  # in a row without mass too


def _divergence_from_log_joint(djoint: Array, _: Array, joint: Array, log_q: Array) -> Array:
    return jnp.sum(_log_ratio_from_log(rows_or_zero(joint), log_q) * djoint, axis=(-2, -1))


def _divergence_from_log_log_q(dlog_q: Array, _: Array, joint: Array, log_q: Array) -> Array:
    rows = rows_or_zero(joint)
    log_ratios = _log_ratio_from_log(rows, log_q)
    near = (rows > 0) & (jnp.abs(log_ratios) < 1)
    q_less_p = jnp.where(near, rows * jnp.expm1(-jnp.where(near, log_ratios, 0)), jnp.exp(log_q) - rows)
    return jnp.sum(jnp.sum(joint, axis=-1, keepdims=True) * q_less_p * dlog_q, axis=(-2, -1))


divergence_from_log.defjvps(_divergence_from_log_joint, _divergence_from_log_log_q)


# --- proper scoring rules -----------------------------------------------------------------------------------------
#
# A rule charges S(q, y) for the prediction q where y occurs. Its entropy is G(p) = E_p S(p, Y), its divergence is
# D(p, q) = E_p[S(q, Y) − S(p, Y)] ≥ 0, and the regret of y is S(q, y) − S(p, y). G is concave, and homogeneous of
# degree one when it is extended by p ↦ |p| G(p/|p|), so that the derivatives are the scores themselves:
#
#     d/dp(x, y) of Σ_x p(x) G(p(·|x)) = S(p(·|x), y),    d/dp(x, y) of Σ_x p(x) D(p(·|x), q) = S(q, y) − S(p(·|x), y),
#
# and a mean of rows minimises Σ_x p(x) D(p(·|x), q) over q, so that the derivative there vanishes. The difference
# p − q is an argument, as above.


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Score(abc.ABC):
    """Formulas of a proper scoring rule, over the last axis."""

    # JAX compares structures without leaves by their static fields and not by their class. Without the name, a program
    # of one rule could be taken for that of another.
    name: str = dataclasses.field(default="", metadata={"static": True})

    num_classes = None  # how many symbols Y has, where the rule says so

    @abc.abstractmethod
    def entropy(self, p: Array) -> Array:
        """``G(p)``."""

    @abc.abstractmethod
    def score(self, p: Array) -> Array:
        """``S(p, y)`` for each y."""

    @abc.abstractmethod
    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``D(p, q)``."""

    @abc.abstractmethod
    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``S(q, y) − S(p, y)`` for each y."""

    def mean_entropy(self, joint: Array, score: Array | None = None) -> Array:
        """``Σ_x p(x) G(p(·|x))``; the score of each cell is given where it is computed anyway."""
        del score
        return expectation(jnp.sum(joint, axis=-1), self.entropy(rows_or_zero(joint)), axis=-1)

    def mean_divergence(self, weights: Array, p: Array, q: Array, difference: Array, regret: Array | None) -> Array:
        """``Σ_x w(x) D(p(·|x), q(·|x))``; the regret is given where it is computed anyway."""
        del regret
        return expectation(weights, self.divergence(p, q, difference), axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogScore(Score):
    """``S(q, y) = −log q(y)``."""

    name: str = dataclasses.field(default="log", metadata={"static": True})

    def entropy(self, p: Array) -> Array:
        """``−Σ p log p``."""
        return 0 - jnp.sum(xlogx(p), axis=-1)

    def score(self, p: Array) -> Array:
        """``−log p``, and zero where p is zero."""
        return -safe_log(p)

    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``Σ p log(p/q) − p + q``."""
        return jnp.sum(_divergence_terms(p, q, difference), axis=-1)

    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``log(p/q)``."""
        return log_ratio(p, q, difference)

    def mean_entropy(self, joint: Array, score: Array | None = None) -> Array:
        """``−Σ p(x, y) log p(y|x)``."""
        return 0 - sum_of_rows(joint * (safe_log(rows_or_zero(joint)) if score is None else -score))

    def mean_divergence(self, weights: Array, p: Array, q: Array, difference: Array, regret: Array | None) -> Array:
        """``Σ_x w(x) Σ p log(p/q) − p + q``."""
        if regret is None:
            terms = _divergence_terms(p, q, difference)
        else:  # without the quotients that the regret is made of, which XLA would write to memory
            near, x = _near_zero(regret)
            far = jnp.where(p == 0, q, jnp.maximum(p * regret - difference, 0))
            terms = jnp.where(near & (p != 0), p * _expm1_plus_series(x), far)
        weights = weights[..., None]
        return sum_of_rows(weights * jnp.where(weights == 0, 0, terms))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BrierScore(Score):
    """``S(q, y) = Σ_z (q(z) − 1{z = y})²``."""

    name: str = dataclasses.field(default="brier", metadata={"static": True})

    def entropy(self, p: Array) -> Array:
        """``1 − Σ p²``, as twice the sum of the products of pairs."""
        before = jnp.cumsum(p, axis=-1)[..., :-1]
        return 2 * jnp.sum(p[..., 1:] * before, axis=-1)

    def score(self, p: Array) -> Array:
        """``1 − 2 p + Σ p²``."""
        return 1 - 2 * p + jnp.sum(p * p, axis=-1, keepdims=True)

    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``Σ (p − q)²``."""
        return jnp.sum(difference * difference, axis=-1)

    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``2 (p − q) − Σ (p − q)(p + q)``."""
        return 2 * difference - jnp.sum(difference * (p + q), axis=-1, keepdims=True)


def _norm(p: Array) -> Array:
    return safe_sqrt(jnp.sum(p * p, axis=-1, keepdims=True))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SphericalScore(Score):
    """``S(q, y) = 1 − q(y)/‖q‖``."""

    name: str = dataclasses.field(default="spherical", metadata={"static": True})

    def entropy(self, p: Array) -> Array:
        """``1 − ‖p‖ = (1 − ‖p‖²)/(1 + ‖p‖)``."""
        return BrierScore().entropy(p) / (1 + _norm(p)[..., 0])

    def score(self, p: Array) -> Array:
        """``1 − p/‖p‖``."""
        return 1 - safe_divide(p, _norm(p), 0)

    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``‖p‖ (1 − cos θ) = ‖p‖ Σ (p/‖p‖ − q/‖q‖)²/2``."""
        apart = self.regret(p, q, difference)
        return _norm(p)[..., 0] * jnp.sum(apart * apart, axis=-1) / 2

    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``p/‖p‖ − q/‖q‖ = (p − q − (‖p‖ − ‖q‖) q/‖q‖)/‖p‖``."""
        norm_p, norm_q = _norm(p), _norm(q)
        longer = safe_divide(jnp.sum(difference * (p + q), axis=-1, keepdims=True), norm_p + norm_q, 0)
        return safe_divide(difference - longer * safe_divide(q, norm_q, 0), norm_p, 0)


def _best_guess(p: Array) -> Array:
    """One at the first of the most probable symbols, zero elsewhere."""
    return jax.nn.one_hot(jnp.argmax(p, axis=-1), p.shape[-1], dtype=p.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ZeroOneScore(Score):
    """``S(q, y) = 1{y ≠ argmax q}``."""

    name: str = dataclasses.field(default="zero_one", metadata={"static": True})

    def entropy(self, p: Array) -> Array:
        """``1 − max p``, as the sum of the others."""
        return jnp.sum((1 - _best_guess(p)) * p, axis=-1)

    def score(self, p: Array) -> Array:
        """One for every symbol but the guess."""
        return 1 - _best_guess(p)

    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``max p − p(argmax q)``."""
        return jnp.max(p, axis=-1) - jnp.sum(_best_guess(q) * p, axis=-1)

    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``1{y = argmax p} − 1{y = argmax q}``."""
        return _best_guess(p) - _best_guess(q)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SquaredError(Score):
    """``S(q, y) = (v(y) − E_q v)²``."""

    name: str = dataclasses.field(default="squared_error", metadata={"static": True})
    values: Array
    """v(y), shape ``[y]``."""

    @property
    def num_classes(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How many symbols Y has."""
        return self.values.shape[-1]

    def _centred(self, p: Array) -> Array:
        """The values less the middle of their range, which no error depends on."""
        middle = (jnp.max(self.values) + jnp.min(self.values)) / 2
        values = (self.values - jax.lax.stop_gradient(middle)).astype(p.dtype)
        return values.reshape((1,) * (p.ndim - 1) + values.shape)

    def mean(self, p: Array) -> Array:
        """``E_p v``, less that middle."""
        return jnp.sum(p * self._centred(p), axis=-1, keepdims=True)

    def entropy(self, p: Array) -> Array:
        """``Σ p (v − E_p v)²``."""
        return jnp.sum(p * self.score(p), axis=-1)

    def score(self, p: Array) -> Array:
        """``(v − E_p v)²``."""
        deviation = self._centred(p) - self.mean(p)
        return deviation * deviation

    def divergence(self, p: Array, q: Array, difference: Array) -> Array:
        """``(E_p v − E_q v)²``."""
        apart = self.mean(difference)[..., 0]
        return apart * apart

    def regret(self, p: Array, q: Array, difference: Array) -> Array:
        """``(E_p v − E_q v)(2 v − E_p v − E_q v)``."""
        return self.mean(difference) * (2 * self._centred(p) - self.mean(p) - self.mean(q))


LOG = LogScore()


def _zero_where_empty(p: Array, slope: Array) -> Array:
    return jnp.where(p == 0, 0, slope)


@jax.custom_jvp
def score_entropy(score: Score, p: Array) -> Array:
    """``G(p)``, whose derivative is the score, and zero in cells without mass."""
    return score.entropy(p)


@score_entropy.defjvp
def _score_entropy_jvp(primals: tuple[Score, Array], tangents: tuple[Score, Array]) -> tuple[Array, Array]:
    (score, p), (dscore, dp) = primals, tangents
    value, of_score = jax.jvp(lambda score: score.entropy(p), (score,), (dscore,))
    return value, of_score + jnp.sum(_zero_where_empty(p, score.score(p)) * dp, axis=-1)


@jax.custom_jvp
def score_divergence(score: Score, p: Array, q: Array) -> Array:
    """``D(p, q)``, whose derivative in p is the regret, and zero in cells without mass."""
    return score.divergence(p, q, p - q)


@score_divergence.defjvp
def _score_divergence_jvp(
    primals: tuple[Score, Array, Array], tangents: tuple[Score, Array, Array]
) -> tuple[Array, Array]:
    (score, p, q), (dscore, dp, dq) = primals, tangents
    value, of_others = jax.jvp(lambda score, q: score.divergence(p, q, p - q), (score, q), (dscore, dq))
    return value, of_others + jnp.sum(_zero_where_empty(p, score.regret(p, q, p - q)) * dp, axis=-1)


def conditional_entropy(joint: Array, score: Score = LOG) -> Array:
    """Sum over rows of ``p(x) G(p(·|x))``, for a joint ``[..., x, y]``."""
    return _conditional_entropy(score, joint)


def _mean_entropy(score: Score, joint: Array) -> Array:
    return score.mean_entropy(joint)


_conditional_entropy = jax.custom_jvp(_mean_entropy)


@_conditional_entropy.defjvp
def _conditional_entropy_jvp(primals: tuple[Score, Array], tangents: tuple[Score, Array]) -> tuple[Array, Array]:
    (score, joint), (dscore, djoint) = primals, tangents
    slope = jax.lax.optimization_barrier(_zero_where_empty(joint, score.score(rows_or_zero(joint))))
    value, of_score = jax.jvp(lambda score: score.mean_entropy(joint, slope), (score,), (dscore,))
    return value, of_score + jnp.sum(slope * djoint, axis=(-2, -1))


def information(joint: Array, mixture: Array, score: Score = LOG) -> Array:
    """Sum over rows of ``p(x) D(p(·|x), mixture)``, for a joint ``[..., x, y]`` of whose rows the mixture is made.

    The derivative in the joint is the regret. That in the mixture vanishes, because the mean of the rows minimises the
    sum.
    """
    return _information(score, joint, mixture)


def parts_of_mixture(p: Array, q: Array, difference: Array | None = None) -> tuple[Array, Array, Array]:
    """Rows p of a mixture q, the mixture, and their difference, as ``information_terms`` has them."""
    present = (q != 0).astype(p.dtype)
    return p * present, q, (p - q if difference is None else difference) * present


def _mean_divergence(score: Score, joint: Array, mixture: Array, regret: Array | None = None) -> Array:
    parts = parts_of_mixture(rows_or_zero(joint), mixture)
    return score.mean_divergence(jnp.sum(joint, axis=-1), *parts, regret)


@jax.custom_jvp
def _information(score: Score, joint: Array, mixture: Array) -> Array:
    return _mean_divergence(score, joint, mixture)


@_information.defjvp
def _information_jvp(primals: tuple[Score, Array, Array], tangents: tuple[Score, Array, Array]) -> tuple[Array, Array]:
    (score, joint, mixture), (dscore, djoint, _) = primals, tangents
    slope = _zero_where_empty(joint, score.regret(*parts_of_mixture(rows_or_zero(joint), mixture)))
    # The value is computed of the slope; the barrier keeps XLA from writing more than the slope to memory for it.
    slope, joint, mixture = jax.lax.optimization_barrier((slope, joint, mixture))
    value, of_score = jax.jvp(lambda score: _mean_divergence(score, joint, mixture, slope), (score,), (dscore,))
    return value, of_score + jnp.sum(slope * djoint, axis=(-2, -1))


def information_through(joint: Array, kernel: Array, mixtures: Array, score: Score = LOG) -> Array:
    """Sum over x and u of ``p(x) η(u|x) D(p(·|x), p(·|u))``: ``information`` for rows η ``[..., x, u]``."""
    return _information_through(score, joint, kernel, mixtures)


def _mean_divergence_through(score: Score, joint: Array, kernel: Array, mixtures: Array) -> Array:
    divergences = score.divergence(*_each_pair(joint, mixtures))
    return expectation(jnp.sum(joint, axis=-1), expectation(kernel, divergences, axis=-1), axis=-1)


_information_through = jax.custom_jvp(_mean_divergence_through)


@_information_through.defjvp
def _information_through_jvp(
    primals: tuple[Score, Array, Array, Array], tangents: tuple[Score, Array, Array, Array]
) -> tuple[Array, Array]:
    (score, joint, kernel, mixtures), (dscore, djoint, dkernel, _) = primals, tangents
    pairs = _each_pair(joint, mixtures)
    value, of_score = jax.jvp(
        lambda score: _mean_divergence_through(score, joint, kernel, mixtures), (score,), (dscore,)
    )
    slope = _zero_where_empty(joint, expectation(kernel[..., None], score.regret(*pairs), axis=-2))
    of_joint = jnp.sum(slope * djoint, axis=(-2, -1))
    slope = _zero_where_empty(kernel, jnp.sum(joint, axis=-1, keepdims=True) * score.divergence(*pairs))
    return value, of_score + of_joint + jnp.sum(slope * dkernel, axis=(-2, -1))


def _each_pair(joint: Array, mixtures: Array) -> tuple[Array, Array, Array]:
    """Rows p(· | x), mixtures and their differences, broadcast to ``[..., x, u, y]``."""
    return parts_of_mixture(rows_or_zero(joint)[..., :, None, :], mixtures[..., None, :, :])


def decoder_error(joint: Array, log_q: Array, score: Score = LOG) -> Array:
    """Sum over rows of ``p(u) D(p(·|u), q(·|u))``, for a joint ``[..., u, y]`` and log q of the same shape."""
    if isinstance(score, LogScore):
        return divergence_from_log(joint, log_q)
    return nan_where(jnp.any(jnp.isnan(log_q), axis=(-2, -1)), _decoder_error(score, joint, log_q))


@jax.custom_jvp
def _decoder_error(score: Score, joint: Array, log_q: Array) -> Array:
    rows, q = rows_or_zero(joint), jnp.exp(log_q)
    return expectation(jnp.sum(joint, axis=-1), score.divergence(rows, q, rows - q), axis=-1)


@_decoder_error.defjvp
def _decoder_error_jvp(
    primals: tuple[Score, Array, Array], tangents: tuple[Score, Array, Array]
) -> tuple[Array, Array]:
    (score, joint, log_q), (dscore, djoint, dlog_q) = primals, tangents
    rows, p_u, q = rows_or_zero(joint), jnp.sum(joint, axis=-1), jnp.exp(log_q)

    def mean(score: Score, q: Array) -> Array:
        return expectation(p_u, score.divergence(rows, q, rows - q), axis=-1)

    value, of_others = jax.jvp(mean, (score, q), (dscore, jnp.where(q == 0, 0, q * dlog_q)))
    slope = _zero_where_empty(joint, score.regret(rows, q, rows - q))
    return value, of_others + jnp.sum(slope * djoint, axis=(-2, -1))


def nan_where(condition: Array, values: Array) -> Array:
    """``values``, and NaN where ``condition`` holds: the result of invalid traced values."""
    return jnp.where(condition, jnp.nan, values)
