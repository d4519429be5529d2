"""Divergences between two distributions over one finite alphabet.

Each is a sum of terms that are never negative (see ``_numerics``), so none is negative, and each is accurate in float32
where it is many orders smaller than the entropies around it.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import (
    cross_entropy_terms,
    divergence_terms,
    in_base,
    information_ratio,
    information_terms,
    log_ratio,
    safe_log,
)
from isjax._typing import Array, ArrayLike, Float, ScalarFloat

__all__ = [
    "cross_entropy",
    "jensen_shannon_divergence",
    "kl_divergence",
    "renyi_divergence",
    "total_variation",
]

Axis = int | tuple[int, ...]


def _pair(p: ArrayLike, q: ArrayLike, axis: Axis) -> tuple[Array, Array, tuple[int, ...]]:
    """Two distributions over one alphabet, and its axes."""
    p, q = _checks.as_probabilities(p, "p"), _checks.as_probabilities(q, "q")
    _checks.check_same_alphabet(p, q, axis)
    p, q = jnp.broadcast_arrays(p, q)
    return p, q, _checks.resolve_axes(axis, p, "axis")


def cross_entropy(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1, base: float | None = None
) -> Float[Array, "..."]:
    r"""Cross-entropy of ``q`` under ``p``.

    .. math:: H(p, q) = -\sum_i p_i \log q_i

    Plus infinity where q = 0 < p, and the gradient there is infinite too; a cell with p = 0 contributes nothing, and
    derivative zero, whatever q.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The broadcast shape without ``axis``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if the alphabets differ, ``axis`` is not an axis, or ``base`` is not greater than 1.

    Source:
      Cover and Thomas (2006), section 2.3: H(p) + D(p‖q).

    Examples:
      >>> float(cross_entropy(jnp.array([0.5, 0.5, 0.0]), jnp.array([0.5, 0.25, 0.25]), base=2))
      1.5
    """
    p, q, axes = _pair(p, q, axis)
    return in_base(jnp.sum(cross_entropy_terms(p, q), axis=axes), base)


def kl_divergence(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1, base: float | None = None
) -> Float[Array, "..."]:
    r"""Kullback-Leibler divergence of ``p`` from ``q``.

    .. math:: D(p \| q) = \sum_i \left( p_i \log \frac{p_i}{q_i} - p_i + q_i \right) \ge 0

    Plus infinity where q = 0 < p, and the gradient there is infinite too. Where p = 0 the derivative in p is taken as
    zero (its limit is minus infinity). Since the terms −p + q are kept, derivatives differ from those of
    Σ p log(p/q) by a constant over the alphabet: along directions that sum to zero the two agree.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The broadcast shape without ``axis``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if the alphabets differ, ``axis`` is not an axis, or ``base`` is not greater than 1.

    Source:
      Kullback and Leibler, On information and sufficiency (1951).

    Examples:
      >>> p = jnp.array([0.5, 0.5, 0.0])
      >>> round(float(kl_divergence(p, jnp.array([0.5, 0.25, 0.25]), base=2)), 6)
      0.5
      >>> float(kl_divergence(p, jnp.array([1.0, 0.0, 0.0])))
      inf
    """
    p, q, axes = _pair(p, q, axis)
    return in_base(jnp.sum(divergence_terms(p, q), axis=axes), base)


def jensen_shannon_divergence(
    p: Float[ArrayLike, "..."],
    q: Float[ArrayLike, "..."],
    *,
    weight: float | ScalarFloat = 0.5,
    axis: Axis = -1,
    base: float | None = None,
) -> Float[Array, "..."]:
    r"""Jensen-Shannon divergence, of ``p`` with weight w and ``q`` with weight 1 − w.

    .. math:: w D(p \| m) + (1 - w) D(q \| m), \qquad m = w p + (1 - w) q

    It is what a sample tells about which of the two it came from; finite always, at most h(w). The derivative in a cell
    of p is w log(p/m); at p = 0 it is taken as zero (its limit is minus infinity), and so for q.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      weight: the weight of ``p``, in [0, 1].
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The broadcast shape without ``axis``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if the alphabets differ, ``weight`` is not one number or, where it is concrete, outside [0, 1],
        ``axis`` is not an axis, or ``base`` is not greater than 1.

    Source:
      Lin, Divergence measures based on the Shannon entropy (1991).

    Examples:
      >>> p, q = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
      >>> float(jensen_shannon_divergence(p, q, base=2))
      1.0
    """
    p, q, axes = _pair(p, q, axis)
    w = jnp.asarray(weight, p.dtype)
    if w.ndim:
        raise ValueError(f"weight must be one number, got shape {w.shape}")
    if _checks.is_concrete(weight):
        _checks.check_unit_interval(float(np.asarray(weight)), "weight")
    w = jnp.expand_dims(w, tuple(range(p.ndim)))
    return in_base(jnp.sum(_jensen_shannon_terms(p, q, w), axis=axes), base)


def _mixture(p: Array, q: Array, w: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """The mixture m beside p and q, each with its difference from m."""
    mixture = w * p + (1 - w) * q
    return (p, mixture, (1 - w) * (p - q)), (q, mixture, w * (q - p))


@jax.custom_jvp
def _jensen_shannon_terms(p: Array, q: Array, w: Array) -> Array:
    of_p, of_q = _mixture(p, q, w)
    return w * information_terms(*of_p) + (1 - w) * information_terms(*of_q)


@_jensen_shannon_terms.defjvp
def _jensen_shannon_terms_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    (p, q, w), (dp, dq, dw) = primals, tangents
    of_p, of_q = _mixture(p, q, w)
    slope_w = information_terms(*of_p) - information_terms(*of_q)
    slope_p, slope_q = w * information_ratio(*of_p), (1 - w) * information_ratio(*of_q)
    return _jensen_shannon_terms(p, q, w), slope_p * dp + slope_q * dq + slope_w * dw


def renyi_divergence(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], order: float, *, axis: Axis = -1, base: float | None = None
) -> Float[Array, "..."]:
    r"""Rényi divergence of ``p`` from ``q``.

    .. math:: D_a(p \| q) = \frac{1}{a - 1} \log \sum_i p_i^a q_i^{1 - a}

    Order 0 is −log q(p > 0), 1 is Kullback-Leibler's, infinity is log max p/q. Plus infinity where the supports are
    disjoint, and for a ≥ 1 where q = 0 < p. Divergences below about one are summed as
    (a − 1)⁻¹ log1p((a − 1) Σ q g_a(p/q)) with g_a(e^r) = e^r (e^{(a−1)r} − 1)/(a − 1) − (e^r − 1) ≥ 0, whose limit at
    a = 1 is the term of Kullback-Leibler's: nothing cancels, near order 1 or near p = q. The derivative in a cell
    of p or of q that has no mass is taken as zero (its limits are infinite for orders below 1), and as zero throughout
    where the divergence is infinite. It grows like a/|a − 1| over the mass, and is infinite only where that is beyond
    the dtype's largest number: in float32, at order 0.99, below a mass of 3·10⁻³⁷.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The broadcast shape without ``axis``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if ``order`` is negative, the alphabets differ, ``axis`` is not an axis, or ``base`` not greater than
        1.

    Source:
      van Erven and Harremoës, Rényi divergence and Kullback-Leibler divergence (2014).

    Examples:
      >>> p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.5, 0.25])
      >>> [round(float(renyi_divergence(p, q, order, base=2)), 3) for order in (0, 1, 2, jnp.inf)]
      [0.415, 0.5, 0.585, 1.0]
    """
    p, q, axes = _pair(p, q, axis)
    order = _checks.check_order(order)
    if order == 1:
        return kl_divergence(p, q, axis=axis, base=base)
    if order == 0:
        nats = -jnp.log(jnp.sum(jnp.where(p == 0, 0, q), axis=axes))
    else:
        r = jnp.where(p == 0, -jnp.inf, log_ratio(p, q, p - q))
        nats = jnp.max(r, axis=axes) if order == math.inf else _renyi_nats(p, q, order, axes)
    return in_base(jnp.maximum(nats, 0), base)


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
    """``factor (e^{b l} − c)/S`` for S = e^log_sum; a slope is given but for a constant c, as on any normalised axis.

    Near S = 1 it is 1, and nothing cancels near l = 0; elsewhere it is 0, or c/S alone could overflow.
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


def total_variation(p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1) -> Float[Array, "..."]:
    r"""Total variation distance, which has no unit.

    .. math:: \tfrac12 \sum_i |p_i - q_i|

    Where p = q the derivative is taken as zero.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.

    Returns:
      The broadcast shape without ``axis``, in [0, 1].

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if the alphabets differ or ``axis`` is not an axis.

    Source:
      Cover and Thomas (2006), section 11.6.

    Examples:
      >>> float(total_variation(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])))
      0.25
    """
    p, q, axes = _pair(p, q, axis)
    return jnp.sum(jnp.abs(p - q), axis=axes) / 2
