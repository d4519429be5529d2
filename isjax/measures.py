"""Entropies, divergences and mutual informations over finite alphabets.

Every divergence and information is a sum of terms that are never negative (see ``_numerics``), so none of them is
negative, and each is accurate in float32 where it is many orders smaller than the entropies around it. Amounts are in
nats, or in the unit of ``base``. Zero mass contributes zero, and derivative zero.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import (
    cross_entropy_terms,
    divergence_terms,
    expectation,
    in_base,
    information,
    information_ratio,
    information_terms,
    log_ratio,
    normalise,
    rows_or_zero,
    safe_log,
    xlogx,
)
from isjax._typing import Array, ArrayLike, Float, Joint, ScalarFloat

__all__ = [
    "binary_entropy",
    "co_information",
    "conditional_entropy",
    "conditional_mutual_information",
    "cross_entropy",
    "dual_total_correlation",
    "entropy",
    "jensen_shannon_divergence",
    "kl_divergence",
    "mutual_information",
    "o_information",
    "pointwise_mutual_information",
    "renyi_divergence",
    "renyi_entropy",
    "total_correlation",
    "total_variation",
    "tsallis_entropy",
]

Axis = int | tuple[int, ...]

# --- one distribution ---------------------------------------------------------------------------------------------


def entropy(p: Float[ArrayLike, "..."], *, axis: Axis = -1, base: float | None = None) -> Float[Array, "..."]:
    r"""Shannon entropy.

    .. math:: H(p) = -\sum_i p_i \log p_i

    The derivative is −log p − 1; at a cell of zero mass it is taken as zero (its limit is plus infinity).

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The shape of ``p`` without ``axis``.

    Raises:
      TypeError: if ``p`` does not hold floats.
      ValueError: if ``axis`` is not an axis of it, or ``base`` is not greater than 1.

    Source:
      Shannon, A mathematical theory of communication (1948).

    Examples:
      >>> float(entropy(jnp.array([0.5, 0.25, 0.25, 0.0]), base=2))
      1.5
    """
    p = _checks.probabilities(p, "p")
    return in_base(0 - jnp.sum(xlogx(p), axis=_checks.valid_axes(axis, p, "axis")), base)


def binary_entropy(p: Float[ArrayLike, "*batch"], *, base: float | None = None) -> Float[Array, "*batch"]:
    r"""Entropy of a coin that falls heads with probability ``p``.

    .. math:: h(p) = -p \log p - (1 - p) \log(1 - p)

    The derivative at p = 0 and p = 1, where its limits are infinite, is 1 and −1: what the side with mass contributes.

    Args:
      p: probabilities, any shape.
      base: base of the logarithm; nats if None.

    Returns:
      The shape of ``p``; NaN where it lies outside [0, 1].

    Raises:
      TypeError: if ``p`` does not hold floats.
      ValueError: if ``base`` is not greater than 1.

    Source:
      Cover and Thomas (2006), equation 2.5.

    Examples:
      >>> binary_entropy(jnp.array([0.0, 0.5, 1.0]), base=2).tolist()
      [0.0, 1.0, 0.0]
    """
    p = _checks.probabilities(p, "p")
    tails = (1 - p) * jnp.log1p(-jnp.where(p == 1, 0, p))
    return in_base(0 - (xlogx(p) + tails), base)  # 0 − 0 is zero, and −0 would be minus zero


def renyi_entropy(
    p: Float[ArrayLike, "..."], order: float, *, axis: Axis = -1, base: float | None = None
) -> Float[Array, "..."]:
    r"""Rényi entropy.

    .. math:: H_a(p) = \frac{1}{1 - a} \log \sum_i p_i^a

    Order 0 is the logarithm of the support's size, 1 is Shannon's, infinity is −log max p. Near order 1 it is summed as
    log1p(Σ p (p^{a−1} − 1)), which does not cancel.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The shape of ``p`` without ``axis``.

    Raises:
      TypeError: if ``p`` does not hold floats.
      ValueError: if ``order`` is negative, ``axis`` not an axis of ``p``, or ``base`` not greater than 1.

    Source:
      Rényi, On measures of entropy and information (1961).

    Examples:
      >>> p = jnp.array([0.5, 0.25, 0.25, 0.0])
      >>> [round(float(renyi_entropy(p, order, base=2)), 3) for order in (0, 1, 2, jnp.inf)]
      [1.585, 1.5, 1.415, 1.0]
    """
    p, order = _checks.probabilities(p, "p"), _checks.order(order)
    axes = _checks.valid_axes(axis, p, "axis")
    if order == 0:
        nats = jnp.log(jnp.sum(p != 0, axis=axes).astype(p.dtype))
    elif order == 1:
        return entropy(p, axis=axis, base=base)
    elif order == math.inf:
        nats = -jnp.log(jnp.max(p, axis=axes))
    elif abs(order - 1) < 0.25:
        nats = jnp.log1p((order - 1) * jnp.sum(xlogx(p, order), axis=axes)) / (1 - order)
    else:
        nats = _log_power_sum(p, order, axes) / (1 - order)
    return in_base(nats, base)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _log_power_sum(p: Array, order: float, axes: tuple[int, ...]) -> Array:
    """``log Σ p^a``, in which no power underflows."""
    return jax.nn.logsumexp(order * safe_log(p), axis=axes, where=p > 0)


@_log_power_sum.defjvp
def _log_power_sum_jvp(
    order: float, axes: tuple[int, ...], primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (p,), (dp,) = primals, tangents
    value = _log_power_sum(p, order, axes)
    exponent = (order - 1) * safe_log(p) - jnp.expand_dims(value, axes)
    return value, jnp.sum(jnp.where(p == 0, 0, order * jnp.exp(exponent)) * dp, axis=axes)


def tsallis_entropy(p: Float[ArrayLike, "..."], order: float, *, axis: Axis = -1) -> Float[Array, "..."]:
    r"""Tsallis entropy, which has no unit.

    .. math:: S_a(p) = \frac{1 - \sum_i p_i^a}{a - 1}

    Order 0 is the support's size less one, 1 is Shannon's entropy in nats, infinity is zero.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.

    Returns:
      The shape of ``p`` without ``axis``.

    Raises:
      TypeError: if ``p`` does not hold floats.
      ValueError: if ``order`` is negative or ``axis`` not an axis of ``p``.

    Source:
      Tsallis, Possible generalization of Boltzmann-Gibbs statistics (1988).

    Examples:
      >>> float(tsallis_entropy(jnp.array([0.5, 0.5]), 2))
      0.5
    """
    p, order = _checks.probabilities(p, "p"), _checks.order(order)
    axes = _checks.valid_axes(axis, p, "axis")
    if order == 0:
        return jnp.sum(p != 0, axis=axes).astype(p.dtype) - 1
    if order == math.inf:
        return jnp.sum(p * 0, axis=axes)
    return -jnp.sum(xlogx(p, order), axis=axes)


# --- two distributions --------------------------------------------------------------------------------------------


def _pair(p: ArrayLike, q: ArrayLike, axis: Axis) -> tuple[Array, Array, tuple[int, ...]]:
    """Two distributions over one alphabet, and its axes."""
    p, q = _checks.probabilities(p, "p"), _checks.probabilities(q, "q")
    _checks.same_alphabet(p, q, axis)
    p, q = jnp.broadcast_arrays(p, q)
    return p, q, _checks.valid_axes(axis, p, "axis")


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
        _checks.unit_interval(float(np.asarray(weight)), "weight")
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
    order = _checks.order(order)
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


# --- joint distributions ------------------------------------------------------------------------------------------


def conditional_entropy(joint: Joint, *, base: float | None = None) -> Float[Array, "*batch"]:
    r"""Entropy of Y that remains when X is known.

    .. math:: H(Y \mid X) = \sum_x p(x) H(Y \mid X = x)

    The derivative is −log p(y | x); at a cell of zero mass it is taken as zero (its limit is plus infinity).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Cover and Thomas (2006), equation 2.10.

    Examples:
      >>> float(conditional_entropy(jnp.array([[0.25, 0.25], [0.5, 0.0]]), base=2))
      0.5
    """
    joint = _checks.probabilities(joint, "joint", axes="x y")
    return in_base(_conditional_entropy(joint), base)


@jax.custom_jvp
def _conditional_entropy(joint: Array) -> Array:
    return expectation(jnp.sum(joint, axis=-1), -jnp.sum(xlogx(rows_or_zero(joint)), axis=-1), axis=-1)


@_conditional_entropy.defjvp
def _conditional_entropy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (joint,), (djoint,) = primals, tangents
    return _conditional_entropy(joint), -jnp.sum(safe_log(rows_or_zero(joint)) * djoint, axis=(-2, -1))


def mutual_information(joint: Joint, *, base: float | None = None) -> Float[Array, "*batch"]:
    r"""Information that X and Y have about each other.

    .. math:: I(X;Y) = \sum_x p(x)\, D\bigl(p(\cdot \mid x) \,\|\, p_Y\bigr) \ge 0

    The derivative is log(p(y | x)/p(y)); at a cell of zero mass it is taken as zero (its limit is minus infinity).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; zero for independent X and Y, never negative.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Cover and Thomas (2006), equation 2.28.

    Examples:
      >>> round(float(mutual_information(jnp.array([[0.5, 0.0], [0.0, 0.5]]), base=2)), 6)
      1.0
    """
    joint = _checks.probabilities(joint, "joint", axes="x y")
    return in_base(information(joint, jnp.sum(joint, axis=-2, keepdims=True)), base)


def pointwise_mutual_information(joint: Joint, *, base: float | None = None) -> Float[Array, "*batch x y"]:
    r"""Information that one value of X has about one value of Y.

    .. math:: i(x;y) = \log \frac{p(y \mid x)}{p(y)}

    Its mean is the mutual information. Minus infinity at a pair that never occurs though x and y do; zero, by
    convention, where x or y itself never occurs. The derivative is zero at both.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[..., x, y]``, of either sign.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Fano, Transmission of Information (1961), chapter 2.

    Examples:
      >>> pointwise_mutual_information(jnp.array([[0.25, 0.0], [0.25, 0.5]]), base=2)[0].tolist()
      [1.0, -inf]
    """
    joint = _checks.probabilities(joint, "joint", axes="x y")
    p_x, p_y = (jnp.sum(joint, axis=axis, keepdims=True) for axis in (-1, -2))
    rows, p_y = jnp.broadcast_arrays(rows_or_zero(joint), p_y)
    never = (joint == 0) & (p_x > 0) & (p_y > 0)
    return in_base(jnp.where(never, -jnp.inf, log_ratio(rows, p_y, rows - p_y)), base)


def conditional_mutual_information(
    joint: Float[ArrayLike, "*batch x y z"], *, base: float | None = None
) -> Float[Array, "*batch"]:
    r"""Information that X and Y have about each other when Z is known.

    .. math:: I(X;Y \mid Z) = \sum_{x,z} p(x, z)\, D\bigl(p(\cdot \mid x, z) \,\|\, p(\cdot \mid z)\bigr) \ge 0

    The derivative is log(p(y | x, z)/p(y | z)); at a cell of zero mass it is taken as zero.

    Args:
      joint: distribution of (X, Y, Z), shape ``[..., x, y, z]``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; zero if X and Y are independent given Z, never negative.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than three axes, or ``base`` is not greater than 1.

    Source:
      Cover and Thomas (2006), equation 2.60.

    Examples:
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(conditional_mutual_information(xor, base=2)), 6)
      1.0
    """
    joint = _checks.probabilities(joint, "joint", axes="x y z")
    joint = jnp.moveaxis(joint, -1, -3)
    given_z = normalise(jnp.sum(joint, axis=-2, keepdims=True))
    return in_base(jnp.sum(information(joint, given_z), axis=-1), base)


# --- many variables: every axis is one ----------------------------------------------------------------------------


def _variables(joint: ArrayLike) -> Array:
    """A joint distribution whose every axis is a variable."""
    joint = _checks.probabilities(joint, "joint")
    if joint.ndim < 2:
        raise ValueError(f"joint must have an axis for each of two or more variables, got shape {joint.shape}")
    return jnp.where(joint == 0, 0, joint)  # the same, with derivative zero at cells without mass


def total_correlation(joint: Float[ArrayLike, "..."], *, base: float | None = None) -> Float[Array, ""]:
    r"""Information that several variables share, counted from the first on.

    .. math:: \sum_i H(X_i) - H(X_1, \dots, X_n) = \sum_{i \ge 2} I(X_i; X_1, \dots, X_{i-1}) \ge 0

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar; zero if the variables are independent, never negative.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Watanabe, Information theoretical analysis of multivariate correlation (1960).

    Examples:
      >>> giant_bit = jnp.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]])
      >>> round(float(total_correlation(giant_bit, base=2)), 6)
      2.0
    """
    joint = _variables(joint)
    prefixes = (jnp.sum(joint, axis=tuple(range(i + 1, joint.ndim))) for i in range(1, joint.ndim))
    terms = (mutual_information(_grouped(prefix, prefix.ndim - 1), base=base) for prefix in prefixes)
    return sum(terms, start=jnp.zeros((), joint.dtype))


def dual_total_correlation(joint: Float[ArrayLike, "..."], *, base: float | None = None) -> Float[Array, ""]:
    r"""Information that several variables share, less what is each one's own.

    .. math:: H(X_1, \dots, X_n) - \sum_i H(X_i \mid X_{\ne i})
              = I(X_1, \dots, X_{n-1}; X_n) + \sum_{i=2}^{n-1} I(X_i; X_{<i} \mid X_{>i}) \ge 0

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar; zero if the variables are independent, never negative.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Han, Nonnegative entropy measures of multivariate symmetric correlations (1978).

    Examples:
      >>> giant_bit = jnp.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]])
      >>> round(float(dual_total_correlation(giant_bit, base=2)), 6)
      1.0
    """
    joint = _variables(joint)
    last = joint.ndim - 1
    terms = (conditional_mutual_information(_grouped(joint, i, i + 1), base=base) for i in range(1, last))
    return sum(terms, start=mutual_information(_grouped(joint, last), base=base))


def co_information(joint: Float[ArrayLike, "..."], *, base: float | None = None) -> Float[Array, ""]:
    r"""Interaction information of several variables, of either sign.

    .. math:: \sum_{\emptyset \ne S} -(-1)^{|S|} H(X_S) = \sum_{S \subseteq \{3..n\}} (-1)^{|S|} I(X_1; X_2 \mid X_S)

    The mutual information of two variables; for three, I(X;Y) − I(X;Y|Z): positive for shared, negative for synergetic
    information.

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Bell, The co-information lattice (2003).

    Examples:
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(co_information(xor, base=2)), 6)
      -1.0
    """
    joint = _variables(joint)
    others = range(2, joint.ndim)
    total = jnp.zeros((), joint.dtype)
    for num_dropped in range(len(others) + 1):
        sign = (-1) ** (len(others) - num_dropped)
        for dropped in itertools.combinations(others, num_dropped):
            kept = _grouped(jnp.sum(joint, axis=dropped), 1, 2)
            total = total + sign * conditional_mutual_information(kept, base=base)
    return total


def o_information(joint: Float[ArrayLike, "..."], *, base: float | None = None) -> Float[Array, ""]:
    r"""Total correlation less dual total correlation: positive where redundancy prevails, negative where synergy does.

    .. math:: \Omega(X_1, \dots, X_n) = TC - DTC

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar; zero for two variables.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``base`` is not greater than 1.

    Source:
      Rosas, Mediano, Gastpar and Jensen, Quantifying high-order interdependencies (2019).

    Examples:
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(o_information(xor, base=2)), 6)
      -1.0
    """
    return total_correlation(joint, base=base) - dual_total_correlation(joint, base=base)


def _grouped(joint: Array, *cuts: int) -> Array:
    """``joint`` with its axes merged into consecutive groups, cut before each axis in ``cuts``."""
    edges = (0, *cuts, joint.ndim)
    return joint.reshape([math.prod(joint.shape[i:j]) for i, j in itertools.pairwise(edges)])
