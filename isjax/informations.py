"""Mutual informations: what the variables of a joint distribution say about each other.

Each is a sum of terms that are never negative (see ``_numerics``), so a mutual information is never negative, and is
accurate in float32 where it is many orders smaller than the entropies around it.
"""

import itertools
import math

import jax.numpy as jnp

from isjax import _checks
from isjax._numerics import in_base, information, log_ratio, normalise, rows_or_zero
from isjax._typing import Array, ArrayLike, Float, Joint

__all__ = [
    "co_information",
    "conditional_mutual_information",
    "dual_total_correlation",
    "mutual_information",
    "o_information",
    "pointwise_mutual_information",
    "total_correlation",
]


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
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
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
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
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
    joint = _checks.as_probabilities(joint, "joint", axes="x y z")
    joint = jnp.moveaxis(joint, -1, -3)
    given_z = normalise(jnp.sum(joint, axis=-2, keepdims=True))
    return in_base(jnp.sum(information(joint, given_z), axis=-1), base)


# --- many variables: every axis is one ----------------------------------------------------------------------------


def _variables(joint: ArrayLike) -> Array:
    """A joint distribution whose every axis is a variable."""
    joint = _checks.as_probabilities(joint, "joint")
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
