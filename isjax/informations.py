"""Mutual informations between the variables of a joint distribution.

Each is a sum of non-negative terms: a mutual information is never negative, and accurate in float32
where it is many orders of magnitude smaller than the entropies.
"""

import itertools
import math

import jax
import jax.numpy as jnp

from isjax import _checks
from isjax._numerics import in_base, information, normalise, pin_zeros, pointwise_information
from isjax._typing import Array, ArrayLike, Float, Joint, Real

__all__ = [
    "co_information",
    "conditional_mutual_information",
    "dual_total_correlation",
    "mutual_information",
    "o_information",
    "pointwise_mutual_information",
    "total_correlation",
]


def mutual_information(joint: Joint, *, base: Real | None = None) -> Float[Array, "*batch"]:
    r"""Mutual information of X and Y.

    .. math:: I(X;Y) = \sum_x p(x)\, D\bigl(p(\cdot \mid x) \,\|\, p_Y\bigr) \ge 0

    The derivative is log(p(y | x)/p(y)); at a cell of zero mass it is taken as zero (its limit is minus infinity).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      The mutual information, shape ``[...]``; zero if X and Y are independent, never negative.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> round(float(isjax.mutual_information(jnp.array([[0.5, 0.0], [0.0, 0.5]]), base=2)), 6)
      1.0
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    return _mutual_information(joint, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _mutual_information(joint: Array, *, base: float | None) -> Array:
    return in_base(information(joint, jnp.sum(joint, axis=-2, keepdims=True)), base)


def pointwise_mutual_information(joint: Joint, *, base: Real | None = None) -> Float[Array, "*batch x y"]:
    r"""Pointwise mutual information of each pair of values of X and Y.

    .. math:: i(x;y) = \log \frac{p(y \mid x)}{p(y)}

    Its mean is the mutual information. It is minus infinity at a pair that has no mass although x and y have, and
    zero, by convention, where x or y has no mass. The derivative is zero at both.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      base: base of the logarithm; nats if None.

    Returns:
      Values of either sign, shape ``[..., x, y]``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.pointwise_mutual_information(jnp.array([[0.25, 0.0], [0.25, 0.5]]), base=2)[0].tolist()
      [1.0, -inf]
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    return _pointwise_mutual_information(joint, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _pointwise_mutual_information(joint: Array, *, base: float | None) -> Array:
    return in_base(pointwise_information(joint), base)


def conditional_mutual_information(
    joint: Float[ArrayLike, "*batch x y z"], *, base: Real | None = None
) -> Float[Array, "*batch"]:
    r"""Mutual information of X and Y given Z.

    .. math:: I(X;Y \mid Z) = \sum_{x,z} p(x, z)\, D\bigl(p(\cdot \mid x, z) \,\|\, p(\cdot \mid z)\bigr) \ge 0

    The derivative is log(p(y | x, z)/p(y | z)); at a cell of zero mass it is taken as zero.

    Args:
      joint: distribution of (X, Y, Z), shape ``[..., x, y, z]``.
      base: base of the logarithm; nats if None.

    Returns:
      The mutual information, shape ``[...]``; zero if X and Y are independent given Z, never negative.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(isjax.conditional_mutual_information(xor, base=2)), 6)
      1.0
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y z")
    return _conditional_mutual_information(joint, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _conditional_mutual_information(joint: Array, *, base: float | None) -> Array:
    joint = jnp.moveaxis(joint, -1, -3)
    p_y_given_z = normalise(jnp.sum(joint, axis=-2, keepdims=True))
    return in_base(jnp.sum(information(joint, p_y_given_z), axis=-1), base)


# --- many variables: every axis is one ----------------------------------------------------------------------------


def _as_variables(joint: ArrayLike) -> Array:
    """A joint distribution whose every axis is a variable."""
    array = _checks.as_probabilities(joint, "joint", over=0)
    if array.ndim < 2:
        raise ValueError(f"joint must have an axis for each of two or more variables, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"joint has a variable with an empty alphabet: shape {array.shape}")
    _checks.check_masses(joint, "joint", tuple(range(-array.ndim, 0)))
    return array


def _group(joint: Array, *cuts: int) -> Array:
    """``joint`` with its axes merged into consecutive groups, cut before each axis in ``cuts``."""
    edges = (0, *cuts, joint.ndim)
    return joint.reshape([math.prod(joint.shape[i:j]) for i, j in itertools.pairwise(edges)])


def total_correlation(joint: Float[ArrayLike, "..."], *, base: Real | None = None) -> Float[Array, ""]:
    r"""Total correlation (multi-information) of several variables.

    .. math:: \sum_i H(X_i) - H(X_1, \dots, X_n) = \sum_{i \ge 2} I(X_i; X_1, \dots, X_{i-1}) \ge 0

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar; zero if the variables are independent, never negative.

    Raises:
      ValueError: if ``joint`` has fewer than two axes.

    Source:
      Watanabe, Information theoretical analysis of multivariate correlation (1960).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> giant_bit = jnp.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]])
      >>> round(float(isjax.total_correlation(giant_bit, base=2)), 6)
      2.0
    """
    return _total_correlation(_as_variables(joint), base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _total_correlation(joint: Array, *, base: float | None) -> Array:
    joint = pin_zeros(joint)
    prefixes = (jnp.sum(joint, axis=tuple(range(i + 1, joint.ndim))) for i in range(1, joint.ndim))
    terms = (_mutual_information(_group(prefix, prefix.ndim - 1), base=base) for prefix in prefixes)
    return sum(terms, start=jnp.zeros((), joint.dtype))


def dual_total_correlation(joint: Float[ArrayLike, "..."], *, base: Real | None = None) -> Float[Array, ""]:
    r"""Dual total correlation (binding information) of several variables.

    .. math:: H(X_1, \dots, X_n) - \sum_i H(X_i \mid X_{\ne i})
              = I(X_1, \dots, X_{n-1}; X_n) + \sum_{i=2}^{n-1} I(X_i; X_{<i} \mid X_{>i}) \ge 0

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar; zero if the variables are independent, never negative.

    Raises:
      ValueError: if ``joint`` has fewer than two axes.

    Source:
      Han, Nonnegative entropy measures of multivariate symmetric correlations (1978).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> giant_bit = jnp.array([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.5]]])
      >>> round(float(isjax.dual_total_correlation(giant_bit, base=2)), 6)
      1.0
    """
    return _dual_total_correlation(_as_variables(joint), base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _dual_total_correlation(joint: Array, *, base: float | None) -> Array:
    joint = pin_zeros(joint)
    last = joint.ndim - 1
    terms = (_conditional_mutual_information(_group(joint, i, i + 1), base=base) for i in range(1, last))
    return sum(terms, start=jnp.asarray(_mutual_information(_group(joint, last), base=base)))


def co_information(joint: Float[ArrayLike, "..."], *, base: Real | None = None) -> Float[Array, ""]:
    r"""Co-information (interaction information) of several variables.

    .. math:: \sum_{\emptyset \ne S} -(-1)^{|S|} H(X_S) = \sum_{S \subseteq \{3..n\}} (-1)^{|S|} I(X_1; X_2 \mid X_S)

    For two variables it is the mutual information; for three it is I(X;Y) − I(X;Y|Z), positive for redundant and
    negative for synergistic information.

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar of either sign.

    Raises:
      ValueError: if ``joint`` has fewer than two axes.

    Source:
      Bell, The co-information lattice (2003).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(isjax.co_information(xor, base=2)), 6)
      -1.0
    """
    return _co_information(_as_variables(joint), base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _co_information(joint: Array, *, base: float | None) -> Array:
    joint = pin_zeros(joint)
    others = range(2, joint.ndim)
    total = jnp.zeros((), joint.dtype)
    for num_dropped in range(len(others) + 1):
        sign = (-1) ** (len(others) - num_dropped)
        for dropped in itertools.combinations(others, num_dropped):
            marginal = _group(jnp.sum(joint, axis=dropped), 1, 2)
            total = total + sign * _conditional_mutual_information(marginal, base=base)
    return total


def o_information(joint: Float[ArrayLike, "..."], *, base: Real | None = None) -> Float[Array, ""]:
    r"""O-information: total correlation minus dual total correlation.

    .. math:: \Omega(X_1, \dots, X_n) = TC - DTC

    It is positive where redundancy dominates, negative where synergy does.

    Args:
      joint: distribution whose every axis is a variable; map over a batch with ``jax.vmap``.
      base: base of the logarithm; nats if None.

    Returns:
      A scalar of either sign; zero for two variables.

    Raises:
      ValueError: if ``joint`` has fewer than two axes.

    Source:
      Rosas, Mediano, Gastpar and Jensen, Quantifying high-order interdependencies (2019).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> xor = jnp.array([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
      >>> round(float(isjax.o_information(xor, base=2)), 6)
      -1.0
    """
    return _o_information(_as_variables(joint), base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _o_information(joint: Array, *, base: float | None) -> Array:
    return _total_correlation(joint, base=base) - _dual_total_correlation(joint, base=base)
