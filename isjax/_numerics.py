r"""Zeros, infinities and cancellation: the only file that knows about them.

Every divergence here is a sum of terms

.. math:: d(p, q) = p \log\frac{p}{q} - p + q \;=\; q\,\varphi\!\left(\frac{p - q}{q}\right) \ge 0,
          \qquad \varphi(t) = (1 + t)\log(1 + t) - t,

which equals :math:`\sum p \log(p/q)` because both distributions sum to one, and in which nothing cancels. A cell of
exactly zero mass contributes nothing to a value and nothing to a derivative of any order.
"""

import math

import jax
import jax.numpy as jnp

from isjax._typing import Array

Axis = int | tuple[int, ...] | None


def in_base(nats: Array, base: float | None) -> Array:
    """An amount of information in the unit that ``base`` names: nats if None, bits if 2."""
    if base is None:
        return nats
    if not base > 1:
        raise ValueError(f"base must be greater than 1 (None for nats, 2 for bits), got {base}")
    return nats / math.log(base)


def safe_divide(numerator: Array, denominator: Array, fallback: float) -> Array:
    """``numerator / denominator``, and ``fallback`` where the denominator is zero, with derivative zero there."""
    empty = denominator == 0
    return jnp.where(empty, fallback, numerator / jnp.where(empty, 1, denominator))


def normalise(mass: Array, axis: Axis = -1) -> Array:
    """Rows of ``mass`` scaled to sum to one; a row with no mass is uniform."""
    total = jnp.sum(mass, axis=axis, keepdims=True)
    return safe_divide(mass, total, fallback=total.size / mass.size if mass.size else 0.0)


def expectation(weights: Array, values: Array, axis: Axis = None) -> Array:
    """Sum of ``weights * values`` in which a weight of zero cancels any value, infinities among them."""
    weights, values = jnp.broadcast_arrays(weights, values)
    empty = weights == 0
    products = jnp.where(empty, 0, weights) * jnp.where(empty, 0, values)
    return jnp.sum(products, axis=axis)


def safe_log(p: Array) -> Array:
    """Logarithm of ``p``, with log 0 = 0 and derivative zero there: for use under a factor that vanishes with p."""
    return jnp.log(jnp.where(p == 0, 1, p))


def xlogx(p: Array) -> Array:
    """``p log p``, zero at zero with derivative zero (the one-sided limit of the derivative is minus infinity)."""
    return p * safe_log(p)


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
    v = safe_divide(difference, p + q, fallback=0)
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
    slope_p = safe_divide(jnp.ones_like(p), p, fallback=0)
    slope_q = jnp.where(p == 0, 0, safe_divide(jnp.ones_like(q), q, fallback=jnp.inf))
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
    slope_q = jnp.where(p == q, 0, safe_divide(-difference, q, fallback=-jnp.inf))  # 1 − p/q
    return _divergence_terms(p, q, difference), log_ratio(p, q, difference) * dp + slope_q * dq


def divergence_terms(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``p log(p/q) − p + q``, cell by cell: never negative, +inf where q = 0 < p.

    The derivatives are log(p/q) and 1 − p/q; where p = 0 the first is taken as zero (its limit is minus infinity).
    """
    p, q = jnp.broadcast_arrays(p, q)
    return _divergence_terms(p, q, p - q if difference is None else difference)


def information_terms(p: Array, q: Array, difference: Array | None = None) -> Array:
    """``divergence_terms`` where q is a mixture of which p is a part: q = 0 means that the cell is empty, or underflowed.

    A mutual information has no infinite term, so such a cell contributes nothing.
    """
    p, q = jnp.broadcast_arrays(p, q)
    empty = q == 0
    difference = p - q if difference is None else difference
    return divergence_terms(jnp.where(empty, 0, p), q, jnp.where(empty, 0, difference))


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
    return _divergence_terms_from_log(*jnp.broadcast_arrays(p, log_q))


@jax.custom_jvp
def _divergence_terms_from_log(p: Array, log_q: Array) -> Array:
    s = jnp.where(p == 0, 0, safe_log(p) - log_q)
    return jnp.where(p == 0, jnp.exp(log_q), p * _expm1_plus(s))


@_divergence_terms_from_log.defjvp
def _divergence_terms_from_log_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    p, log_q = primals
    dp, dlog_q = tangents
    s = jnp.where(p == 0, 0, safe_log(p) - log_q)
    slope_log_q = jnp.where(p == 0, jnp.exp(log_q), p * jnp.expm1(-s))  # q − p
    return _divergence_terms_from_log(p, log_q), s * dp + slope_log_q * dlog_q


def nan_where(condition: Array, values: Array) -> Array:
    """``values``, and NaN where ``condition`` holds: how a mistake in traced values shows itself."""
    return jnp.where(condition, jnp.nan, values)
