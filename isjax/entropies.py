"""Entropies of distributions over finite alphabets.

Amounts are in nats, or in the unit of ``base``. A cell of zero mass contributes zero, and derivative zero.
"""

import functools
import math

import jax
import jax.numpy as jnp

from isjax import _checks
from isjax._numerics import expectation, in_base, rows_or_zero, safe_log, xlogx
from isjax._typing import Array, ArrayLike, Float, Joint

__all__ = ["binary_entropy", "conditional_entropy", "entropy", "renyi_entropy", "tsallis_entropy"]

Axis = int | tuple[int, ...]


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
    p = _checks.as_probabilities(p, "p")
    return in_base(0 - jnp.sum(xlogx(p), axis=_checks.resolve_axes(axis, p, "axis")), base)


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
    p = _checks.as_probabilities(p, "p")
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
    p, order = _checks.as_probabilities(p, "p"), _checks.check_order(order)
    axes = _checks.resolve_axes(axis, p, "axis")
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
    p, order = _checks.as_probabilities(p, "p"), _checks.check_order(order)
    axes = _checks.resolve_axes(axis, p, "axis")
    if order == 0:
        return jnp.sum(p != 0, axis=axes).astype(p.dtype) - 1
    if order == math.inf:
        return jnp.sum(p * 0, axis=axes)
    return -jnp.sum(xlogx(p, order), axis=axes)


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
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    return in_base(_conditional_entropy(joint), base)


@jax.custom_jvp
def _conditional_entropy(joint: Array) -> Array:
    return expectation(jnp.sum(joint, axis=-1), -jnp.sum(xlogx(rows_or_zero(joint)), axis=-1), axis=-1)


@_conditional_entropy.defjvp
def _conditional_entropy_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (joint,), (djoint,) = primals, tangents
    return _conditional_entropy(joint), -jnp.sum(safe_log(rows_or_zero(joint)) * djoint, axis=(-2, -1))
