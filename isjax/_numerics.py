r"""Zeros, infinities and cancellation: the only file that knows about them.

Every divergence here is a sum of terms

.. math:: d(p, q) = p \log\frac{p}{q} - p + q \;=\; q\,\varphi\!\left(\frac{p - q}{q}\right) \ge 0,
          \qquad \varphi(t) = (1 + t)\log(1 + t) - t,

which equals :math:`\sum p \log(p/q)` because both distributions sum to one, and in which nothing cancels. A cell of
exactly zero mass contributes nothing to a value and nothing to a derivative of any order.

Derivatives are given in closed form, as logarithms of ratios: differentiating the sums themselves would square the
reciprocals of small masses, and 1/p² overflows in float32 where p is below 10⁻¹⁹.
"""

import functools
import math

import jax
import jax.numpy as jnp

from isjax._typing import Array, ArrayLike, Real

Axis = int | tuple[int, ...] | None


def in_base(nats: Array, base: float | None) -> Array:
    """An amount of information in the unit that ``base`` names: nats if None, bits if 2."""
    if base is None:
        return nats
    if not base > 1:
        raise ValueError(f"base must be greater than 1 (None for nats, 2 for bits), got {base}")
    return nats / math.log(base)


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


def normalise(mass: Array, axis: Axis = -1) -> Array:
    """Rows of ``mass`` scaled to sum to one; a row with no mass is uniform."""
    total = jnp.sum(mass, axis=axis, keepdims=True)
    return safe_divide(mass, total, total.size / mass.size if mass.size else 0.0)


def rows_or_zero(mass: Array) -> Array:
    """Rows of ``mass`` scaled to sum to one; a row with no mass is zero: for use under a weight that is zero there."""
    return safe_divide(mass, jnp.sum(mass, axis=-1, keepdims=True), 0)


def distribution_function(steps: Array, top: ArrayLike) -> Array:
    """Cumulative sum along the last axis that reaches ``top`` at the last cell with mass, and is never above it."""
    has_mass = (steps > 0).astype(int)
    is_last = jax.lax.cumsum(has_mass, axis=steps.ndim - 1, reverse=True) <= has_mass
    top = jnp.asarray(top, steps.dtype)
    return jnp.where(is_last, top, jnp.minimum(jnp.cumsum(steps, axis=-1, dtype=steps.dtype), top))


def expectation(weights: Array, values: Array, axis: Axis = None) -> Array:
    """Sum of ``weights * values`` in which a weight of zero cancels any value, infinities among them."""
    weights, values = jnp.broadcast_arrays(weights, values)
    empty = weights == 0
    products = jnp.where(empty, 0, weights) * jnp.where(empty, 0, values)
    return jnp.sum(products, axis=axis)


@jax.custom_jvp
def safe_log(p: Array) -> Array:
    """Logarithm of ``p``, with log 0 = 0 and derivative zero there: for use under a factor that vanishes with p."""
    return jnp.log(jnp.where(p == 0, 1, p))


@safe_log.defjvp
def _safe_log_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (p,), (dp,) = primals, tangents
    return safe_log(p), safe_divide(jnp.ones_like(p), p, 0) * dp


def deformed_log(log: Array, exponent: float) -> Array:
    """``(e^{b l} − 1)/b``, which is l itself for b = 0."""
    return log if exponent == 0 else jnp.expm1(exponent * log) / exponent


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def xlogx(p: Array, order: float = 1) -> Array:
    """``p log p``, or ``(p^a − p)/(a − 1)`` of an order a > 0; zero at zero with derivative zero."""
    return p * deformed_log(safe_log(p), order - 1)


@xlogx.defjvp
def _xlogx_jvp(order: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (p,), (dp,) = primals, tangents
    slope = jnp.where(p == 0, 0, order * deformed_log(safe_log(p), order - 1) + 1)
    return xlogx(p, order), slope * dp


@jax.custom_jvp
def cross_entropy_terms(p: Array, q: Array) -> Array:
    """``−p log q``: zero where p is, and plus infinity where only q is."""
    return jnp.where(p == 0, 0, -p * jnp.log(jnp.where(p == 0, 1, q)))


@cross_entropy_terms.defjvp
def _cross_entropy_terms_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (p, q), (dp, dq) = primals, tangents
    slope_p = jnp.where(p == 0, 0, jnp.where(q == 0, jnp.inf, -safe_log(q)))
    slope_q = jnp.where(p == 0, 0, safe_divide(-p, q, -jnp.inf))
    return cross_entropy_terms(p, q), slope_p * dp + slope_q * dq


# --- d(p, q) from probabilities -----------------------------------------------------------------------------------
#
# Near p = q: with v = (p − q)/(p + q), log(p/q) = 2 artanh v, so d = (p − q) v + 2 p v (v²/3 + v⁴/5 + …), which is
# Loader's deviance. Elsewhere the definition itself. The difference p − q is an argument, since some callers know it
# better than p − q can tell: in the Jensen-Shannon divergence it is (1 − w)(p − q).

_NEAR = 0.2  # |v| below which the series is used: p/q from 2/3 to 3/2


def _num_terms(dtype: jnp.dtype) -> int:
    """How many terms of a series in v² ≤ 0.04 reach rounding."""
    return 12 if jnp.finfo(dtype).bits > 32 else 5


def _artanh_series(square: Array) -> Array:
    """``1/3 + s/5 + s²/7 + …``: what remains of artanh(v)/v − 1 over s, for s = v²."""
    count = _num_terms(square.dtype)
    total = jnp.full_like(square, 1 / (2 * count + 1))
    for j in range(count - 1, 0, -1):
        total = total * square + 1 / (2 * j + 1)
    return total


def _relative(p: Array, q: Array, difference: Array) -> tuple[Array, Array]:
    """``v = (p − q)/(p + q)``, made zero where both are zero or it is not small, and where it is small."""
    v = safe_divide(difference, p + q, 0)
    near = jnp.abs(v) < _NEAR
    return jnp.where(near, v, 0), near


@jax.custom_jvp
def log_ratio(p: Array, q: Array, difference: Array) -> Array:
    """``log(p/q)``, accurate to the last places where p is near q; zero where p is zero, +inf where only q is."""
    v, near = _relative(p, q, difference)
    far = jnp.log(jnp.where(p == 0, 1, p) / jnp.where(p == 0, 1, q))
    return jnp.where(near, 2 * v * (1 + v * v * _artanh_series(v * v)), far)


@log_ratio.defjvp
def _log_ratio_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    p, q, difference = primals
    dp, dq, _ = tangents
    slope_p = safe_divide(jnp.ones_like(p), p, 0)
    slope_q = jnp.where(p == 0, 0, safe_divide(jnp.ones_like(q), q, jnp.inf))
    return log_ratio(p, q, difference), slope_p * dp - slope_q * dq


@jax.custom_jvp
def _divergence_terms(p: Array, q: Array, difference: Array) -> Array:
    v, near = _relative(p, q, difference)
    series = difference * v + 2 * p * v * (v * v * _artanh_series(v * v))
    far = p * log_ratio(p, q, difference) - p + q
    return jnp.where(near, series, jnp.maximum(far, 0))


@_divergence_terms.defjvp
def _divergence_terms_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    p, q, difference = primals
    dp, dq, _ = tangents
    slope_q = jnp.where((p == 0) & (q == 0), 0, safe_divide(-difference, q, -jnp.inf))  # 1 − p/q
    return _divergence_terms(p, q, difference), log_ratio(p, q, difference) * dp + slope_q * dq


def divergence_terms(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``p log(p/q) − p + q``, cell by cell: never negative, +inf where q = 0 < p.

    The derivatives are log(p/q) and 1 − p/q; where p = 0 the first is taken as zero (its limit is minus infinity).
    """
    p, q = jnp.broadcast_arrays(p, q)
    return _divergence_terms(p, q, p - q if difference is None else difference)


# Where q is a mixture of which p is a part, q = 0 means that the cell is empty, or that it underflowed. An information
# has no infinite term, so such a cell contributes nothing.


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


@jax.custom_jvp
def information(joint: Array, mixture: Array) -> Array:
    """Sum over rows of ``p(x) D(p(·|x) ‖ mixture)``, for a joint ``[..., x, y]`` of whose rows the mixture is made.

    The derivative in the joint is the log-ratio. That in the mixture vanishes, because the mean of its parts is what
    they diverge from least.
    """
    divergences = jnp.sum(information_terms(rows_or_zero(joint), mixture), axis=-1)
    return expectation(jnp.sum(joint, axis=-1), divergences, axis=-1)


@information.defjvp
def _information_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (joint, mixture), (djoint, _) = primals, tangents
    slope = information_ratio(rows_or_zero(joint), mixture)
    return information(joint, mixture), jnp.sum(slope * djoint, axis=(-2, -1))


@jax.custom_jvp
def information_through(joint: Array, kernel: Array, mixtures: Array) -> Array:
    """``information`` of a joint ``[..., x, y]`` that a kernel ``[..., x, u]`` sends to mixtures ``[..., u, y]``."""
    divergences = jnp.sum(information_terms(*_each_pair(joint, mixtures)), axis=-1)
    return expectation(jnp.sum(joint, axis=-1), expectation(kernel, divergences, axis=-1), axis=-1)


@information_through.defjvp
def _information_through_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    (joint, kernel, mixtures), (djoint, dkernel, _) = primals, tangents
    rows, mixtures_ = _each_pair(joint, mixtures)
    divergences = jnp.sum(information_terms(rows, mixtures_), axis=-1)
    slope_joint = expectation(kernel[..., None], information_ratio(rows, mixtures_), axis=-2)
    slope_kernel = jnp.where(kernel == 0, 0, jnp.sum(joint, axis=-1, keepdims=True) * divergences)
    tangent = jnp.sum(slope_joint * djoint, axis=(-2, -1)) + jnp.sum(slope_kernel * dkernel, axis=(-2, -1))
    return information_through(joint, kernel, mixtures), tangent


def _each_pair(joint: Array, mixtures: Array) -> tuple[Array, Array]:
    """Every row p(· | x) beside every mixture, ``[..., x, u, y]``."""
    return rows_or_zero(joint)[..., :, None, :], mixtures[..., None, :, :]


# --- d(p, q) from log q -------------------------------------------------------------------------------------------


def _expm1_plus(s: Array) -> Array:
    """``expm1(−s) + s``, by its series near zero, where the two cancel."""
    near = jnp.abs(s) < 0.5
    x = jnp.where(near, s, 0)
    count = 18 if jnp.finfo(s.dtype).bits > 32 else 10
    series = jnp.ones_like(x)
    for k in range(count, 2, -1):
        series = 1 - series * x / k
    return jnp.where(near, x * x / 2 * series, jnp.expm1(-s) + s)


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
    return expectation(jnp.sum(joint, axis=-1), divergences, axis=-1)


@divergence_from_log.defjvp
def _divergence_from_log_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (joint, log_q), (djoint, dlog_q) = primals, tangents
    rows = rows_or_zero(joint)
    log_ratios = _log_ratio_from_log(rows, log_q)
    near = (rows > 0) & (jnp.abs(log_ratios) < 1)
    q_less_p = jnp.where(near, rows * jnp.expm1(-jnp.where(near, log_ratios, 0)), jnp.exp(log_q) - rows)
    slope_log_q = jnp.sum(joint, axis=-1, keepdims=True) * q_less_p
    tangent = jnp.sum(log_ratios * djoint, axis=(-2, -1)) + jnp.sum(slope_log_q * dlog_q, axis=(-2, -1))
    return divergence_from_log(joint, log_q), tangent


def nan_where(condition: Array, values: Array) -> Array:
    """``values``, and NaN where ``condition`` holds: how a mistake in traced values shows itself."""
    return jnp.where(condition, jnp.nan, values)
