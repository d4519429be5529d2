"""Entropies of distributions over finite alphabets.

Amounts are in nats, or in the unit of ``base``. A cell of zero mass contributes zero, and derivative zero.
"""

import jax

from isjax import _checks, _numerics
from isjax._numerics import in_base
from isjax._typing import Array, ArrayLike, Axis, Float, Joint, Real

__all__ = ["binary_entropy", "conditional_entropy", "entropy", "renyi_entropy", "tsallis_entropy"]


def entropy(p: Float[ArrayLike, "..."], *, axis: Axis = -1, base: Real | None = None) -> Float[Array, "..."]:
    r"""Shannon entropy.

    .. math:: H(p) = -\sum_i p_i \log p_i

    The derivative is −log p − 1; at a cell of zero mass it is taken as zero (its limit is plus infinity).

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The entropy; the shape of ``p`` without ``axis``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> float(isjax.entropy(jnp.array([0.5, 0.25, 0.25, 0.0]), base=2))
      1.5
    """
    p, axes = _checks.as_distribution(p, "p", axis)
    return _renyi_entropy(p, order=1.0, axes=axes, base=_checks.check_base(base))


def binary_entropy(p: Float[ArrayLike, "*batch"], *, base: Real | None = None) -> Float[Array, "*batch"]:
    r"""Entropy of a Bernoulli variable.

    .. math:: h(p) = -p \log p - (1 - p) \log(1 - p)

    The derivative is log((1 − p)/p). Its limits at p = 0 and p = 1 are infinite; there it is taken as 1 and −1, the
    derivative of the outcome that has mass.

    Args:
      p: probabilities, any shape.
      base: base of the logarithm; nats if None.

    Returns:
      The shape of ``p``; NaN where it lies outside [0, 1].

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.binary_entropy(jnp.array([0.0, 0.5, 1.0]), base=2).tolist()
      [0.0, 1.0, 0.0]
    """
    return _binary_entropy(_checks.as_unit_interval(p, "p"), base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _binary_entropy(p: Array, *, base: float | None) -> Array:
    return in_base(_numerics.binary_entropy(p), base)


def renyi_entropy(
    p: Float[ArrayLike, "..."], order: Real, *, axis: Axis = -1, base: Real | None = None
) -> Float[Array, "..."]:
    r"""Rényi entropy.

    .. math:: H_a(p) = \frac{1}{1 - a} \log \sum_i p_i^a

    Order 0 is the logarithm of the size of the support, 1 is Shannon's entropy, infinity is −log max p. Near order 1
    it is computed as log1p(Σ p (p^{a−1} − 1)), in which nothing cancels.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.
      base: base of the logarithm; nats if None.

    Returns:
      The entropy; the shape of ``p`` without ``axis``.

    Raises:
      ValueError: if ``order`` is negative.

    Source:
      Rényi, On measures of entropy and information (1961).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> p = jnp.array([0.5, 0.25, 0.25, 0.0])
      >>> [round(float(isjax.renyi_entropy(p, order, base=2)), 3) for order in (0, 1, 2, jnp.inf)]
      [1.585, 1.5, 1.415, 1.0]
    """
    p, axes = _checks.as_distribution(p, "p", axis)
    return _renyi_entropy(p, order=_checks.check_order(order), axes=axes, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("order", "axes", "base"))
def _renyi_entropy(p: Array, *, order: float, axes: tuple[int, ...], base: float | None) -> Array:
    return in_base(_numerics.renyi_entropy(p, order, axes), base)


def tsallis_entropy(p: Float[ArrayLike, "..."], order: Real, *, axis: Axis = -1) -> Float[Array, "..."]:
    r"""Tsallis entropy, which has no unit.

    .. math:: S_a(p) = \frac{1 - \sum_i p_i^a}{a - 1}

    Order 0 is the size of the support minus one, 1 is Shannon's entropy in nats, infinity is zero.

    Args:
      p: distribution over ``axis``, batch axes elsewhere.
      order: a ≥ 0, a number, not a traced value.
      axis: the alphabet's axis or axes.

    Returns:
      The entropy; the shape of ``p`` without ``axis``.

    Raises:
      ValueError: if ``order`` is negative.

    Source:
      Tsallis, Possible generalization of Boltzmann-Gibbs statistics (1988).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> float(isjax.tsallis_entropy(jnp.array([0.5, 0.5]), 2))
      0.5
    """
    p, axes = _checks.as_distribution(p, "p", axis)
    return _tsallis_entropy(p, order=_checks.check_order(order), axes=axes)


@jax.jit(inline=True, static_argnames=("order", "axes"))
def _tsallis_entropy(p: Array, *, order: float, axes: tuple[int, ...]) -> Array:
    return _numerics.tsallis_entropy(p, order, axes)


def conditional_entropy(joint: Joint, *, base: Real | None = None) -> Float[Array, "*batch"]:
    r"""Conditional entropy of Y given X.

    .. math:: H(Y \mid X) = \sum_x p(x) H(Y \mid X = x)

    The derivative is −log p(y | x); at a cell of zero mass it is taken as zero (its limit is plus infinity).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      The entropy, shape ``[...]``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> float(isjax.conditional_entropy(jnp.array([[0.25, 0.25], [0.5, 0.0]]), base=2))
      0.5
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    return _conditional_entropy(joint, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _conditional_entropy(joint: Array, *, base: float | None) -> Array:
    return in_base(_numerics.conditional_entropy(joint), base)
