"""Divergences between two distributions over one finite alphabet.

Each is a sum of non-negative terms: it is never negative, and accurate in float32 where it is many
orders of magnitude smaller than the entropies.
"""

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks, _numerics
from isjax._numerics import cross_entropy_terms, in_base, jensen_shannon_terms
from isjax._typing import Array, ArrayLike, Axis, Float, Real, ScalarFloat

__all__ = [
    "cross_entropy",
    "jensen_shannon_divergence",
    "kl_divergence",
    "renyi_divergence",
    "total_variation",
]


def _as_pair(p: ArrayLike, q: ArrayLike, axis: Axis) -> tuple[Array, Array, tuple[int, ...]]:
    """Two distributions over one alphabet, and its axes."""
    given = {"p": p, "q": q}
    p, q = (_checks.as_probabilities(values, name, over=0) for name, values in given.items())
    _checks.check_same_alphabet(p, q, axis)
    axes = _checks.resolve_axes(axis, p, "axis")
    for name, values in given.items():
        _checks.check_masses(values, name, axes)
    return p, q, axes


def cross_entropy(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1, base: Real | None = None
) -> Float[Array, "..."]:
    r"""Cross-entropy of ``q`` under ``p``.

    .. math:: H(p, q) = -\sum_i p_i \log q_i

    Value and gradient are infinite where q = 0 < p. A cell with p = 0 contributes zero, and derivative zero, whatever
    q.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The cross-entropy; the broadcast shape without ``axis``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> float(isjax.cross_entropy(jnp.array([0.5, 0.5, 0.0]), jnp.array([0.5, 0.25, 0.25]), base=2))
      1.5
    """
    p, q, axes = _as_pair(p, q, axis)
    return _cross_entropy(p, q, axes=axes, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("axes", "base"))
def _cross_entropy(p: Array, q: Array, *, axes: tuple[int, ...], base: float | None) -> Array:
    return in_base(jnp.sum(cross_entropy_terms(*jnp.broadcast_arrays(p, q)), axis=axes), base)


def kl_divergence(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1, base: Real | None = None
) -> Float[Array, "..."]:
    r"""Kullback-Leibler divergence of ``p`` from ``q``.

    .. math:: D(p \| q) = \sum_i \left( p_i \log \frac{p_i}{q_i} - p_i + q_i \right) \ge 0

    Value and gradient are infinite where q = 0 < p. Where p = 0 the derivative in p is taken as zero (its limit is
    minus infinity). Because of the terms −p + q, the gradient differs from that of Σ p log(p/q) by a constant over the
    alphabet: along directions that sum to zero the two agree.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The divergence; the broadcast shape without ``axis``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> p = jnp.array([0.5, 0.5, 0.0])
      >>> round(float(isjax.kl_divergence(p, jnp.array([0.5, 0.25, 0.25]), base=2)), 6)
      0.5
      >>> float(isjax.kl_divergence(p, jnp.array([1.0, 0.0, 0.0])))
      inf
    """
    p, q, axes = _as_pair(p, q, axis)
    return _renyi_divergence(p, q, order=1.0, axes=axes, base=_checks.check_base(base))


def jensen_shannon_divergence(
    p: Float[ArrayLike, "..."],
    q: Float[ArrayLike, "..."],
    *,
    weight: Real | ScalarFloat = 0.5,
    axis: Axis = -1,
    base: Real | None = None,
) -> Float[Array, "..."]:
    r"""Jensen-Shannon divergence of ``p`` with weight w and ``q`` with weight 1 − w.

    .. math:: w D(p \| m) + (1 - w) D(q \| m), \qquad m = w p + (1 - w) q

    It is the mutual information of a draw from the mixture and the component it came from; always finite, at most
    h(w). The derivative in p is w log(p/m); at p = 0 it is taken as zero (its limit is minus infinity). The same holds
    for q.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      weight: the weight of ``p``, a scalar in [0, 1].
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The divergence; the broadcast shape without ``axis``.

    Raises:
      ValueError: if ``weight`` is not a scalar, or is concrete and outside [0, 1].

    Source:
      Lin, Divergence measures based on the Shannon entropy (1991).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> p, q = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
      >>> float(isjax.jensen_shannon_divergence(p, q, base=2))
      1.0
    """
    p, q, axes = _as_pair(p, q, axis)
    if np.ndim(weight):
        raise ValueError(f"weight must be a scalar, got shape {np.shape(weight)}")
    if _checks.is_concrete(weight):
        _checks.check_unit_interval(float(np.asarray(weight)), "weight")
    return _jensen_shannon_divergence(p, q, weight, axes=axes, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("axes", "base"))
def _jensen_shannon_divergence(
    p: Array, q: Array, weight: ArrayLike, *, axes: tuple[int, ...], base: float | None
) -> Array:
    p, q = jnp.broadcast_arrays(p, q)
    weight = jnp.asarray(weight, p.dtype).reshape((1,) * p.ndim)
    return in_base(jnp.sum(jensen_shannon_terms(p, q, weight), axis=axes), base)


def renyi_divergence(
    p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], order: Real, *, axis: Axis = -1, base: Real | None = None
) -> Float[Array, "..."]:
    r"""Rényi divergence of ``p`` from ``q``.

    .. math:: D_a(p \| q) = \frac{1}{a - 1} \log \sum_i p_i^a q_i^{1 - a}

    Order 0 is −log q(p > 0), 1 is the Kullback-Leibler divergence, infinity is log max p/q. Infinite where the supports
    are disjoint, and for a ≥ 1 where q = 0 < p. Divergences below about one are computed as
    (a − 1)⁻¹ log1p((a − 1) Σ q g_a(p/q)) with g_a(e^r) = e^r (e^{(a−1)r} − 1)/(a − 1) − (e^r − 1) ≥ 0, in which nothing
    cancels near order 1 or near p = q.

    The derivative in a cell of p or q without mass is taken as zero (its limits are infinite for orders below 1), and
    so are all derivatives where the divergence is infinite. Elsewhere the derivative is of order a/(|a − 1| p), and
    infinite only where that exceeds the largest number of the dtype: in float32, at order 0.99, for masses below
    3·10⁻³⁷.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The divergence; the broadcast shape without ``axis``.

    Raises:
      ValueError: if ``order`` is negative.

    Source:
      van Erven and Harremoës, Rényi divergence and Kullback-Leibler divergence (2014).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> p, q = jnp.array([0.5, 0.5, 0.0]), jnp.array([0.25, 0.5, 0.25])
      >>> [round(float(isjax.renyi_divergence(p, q, order, base=2)), 3) for order in (0, 1, 2, jnp.inf)]
      [0.415, 0.5, 0.585, 1.0]
    """
    p, q, axes = _as_pair(p, q, axis)
    return _renyi_divergence(p, q, order=_checks.check_order(order), axes=axes, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("order", "axes", "base"))
def _renyi_divergence(p: Array, q: Array, *, order: float, axes: tuple[int, ...], base: float | None) -> Array:
    p, q = jnp.broadcast_arrays(p, q)
    return in_base(_numerics.renyi_divergence(p, q, order, axes), base)


def total_variation(p: Float[ArrayLike, "..."], q: Float[ArrayLike, "..."], *, axis: Axis = -1) -> Float[Array, "..."]:
    r"""Total variation distance, which has no unit.

    .. math:: \tfrac12 \sum_i |p_i - q_i|

    Where p = q the derivative is taken as zero.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      q: distribution over the same alphabet; its batch axes broadcast with those of ``p``.
      axis: the alphabet's axis or axes.

    Returns:
      The distance, in [0, 1]; the broadcast shape without ``axis``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> float(isjax.total_variation(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])))
      0.25
    """
    p, q, axes = _as_pair(p, q, axis)
    return _total_variation(p, q, axes=axes)


@jax.jit(inline=True, static_argnames="axes")
def _total_variation(p: Array, q: Array, *, axes: tuple[int, ...]) -> Array:
    return jnp.sum(jnp.abs(jnp.subtract(*jnp.broadcast_arrays(p, q))), axis=axes) / 2
