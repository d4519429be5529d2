"""Distributions over finite alphabets: marginals, conditionals, joints, images under an encoder, and samples.

A distribution is an array of floats, a joint distribution of (X, Y) has shape ``[..., x, y]``, and leading axes are a
batch. Nothing is normalised or clipped behind the caller's back; ``check_distribution`` says whether an array is one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import distribution_function, nan_where, normalise
from isjax._typing import Array, ArrayLike, Encoder, Float, Int, Joint, Key, UInt

__all__ = [
    "check_distribution",
    "conditional_x_given_y",
    "conditional_y_given_x",
    "empirical_joint",
    "joint_distribution",
    "marginal_x",
    "marginal_y",
    "product_distribution",
    "pushforward",
    "sample",
]


def marginal_x(joint: Joint) -> Float[Array, "*batch x"]:
    r"""Distribution of X.

    .. math:: p(x) = \sum_y p(x, y)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Shape ``[..., x]``.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes.

    Source:
      Cover and Thomas, Elements of Information Theory (2006), section 2.2.

    Examples:
      >>> marginal_x(jnp.array([[0.5, 0.0], [0.25, 0.25]])).tolist()
      [0.5, 0.5]
    """
    return jnp.sum(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-1)


def marginal_y(joint: Joint) -> Float[Array, "*batch y"]:
    r"""Distribution of Y.

    .. math:: p(y) = \sum_x p(x, y)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Shape ``[..., y]``.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes.

    Source:
      Cover and Thomas (2006), section 2.2.

    Examples:
      >>> marginal_y(jnp.array([[0.5, 0.0], [0.25, 0.25]])).tolist()
      [0.75, 0.25]
    """
    return jnp.sum(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-2)


def conditional_y_given_x(joint: Joint) -> Float[Array, "*batch x y"]:
    r"""Distribution of Y given each value of X.

    .. math:: p(y \mid x) = p(x, y) / p(x)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Rows that sum to one, shape ``[..., x, y]``; the row of an x with no mass is uniform, with derivative zero.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes.

    Source:
      Cover and Thomas (2006), section 2.2.

    Examples:
      >>> conditional_y_given_x(jnp.array([[0.75, 0.25], [0.0, 0.0]])).tolist()
      [[0.75, 0.25], [0.5, 0.5]]
    """
    return normalise(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-1)


def conditional_x_given_y(joint: Joint) -> Float[Array, "*batch x y"]:
    r"""Distribution of X given each value of Y.

    .. math:: p(x \mid y) = p(x, y) / p(y)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Columns that sum to one, shape ``[..., x, y]``; the column of a y with no mass is uniform, with derivative zero.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes.

    Source:
      Cover and Thomas (2006), section 2.2.

    Examples:
      >>> conditional_x_given_y(jnp.array([[0.75, 0.0], [0.25, 0.0]])).tolist()
      [[0.75, 0.5], [0.25, 0.5]]
    """
    return normalise(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-2)


def joint_distribution(
    p_x: Float[ArrayLike, "*#batch x"], p_y_given_x: Float[ArrayLike, "*#batch x y"]
) -> Float[Array, "*batch x y"]:
    r"""Joint distribution of (X, Y) from X's distribution and a channel.

    .. math:: p(x, y) = p(x)\, p(y \mid x)

    Args:
      p_x: distribution of X, shape ``[..., x]``.
      p_y_given_x: distribution of Y given each x, shape ``[..., x, y]``.

    Returns:
      Shape ``[..., x, y]``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if the channel's rows are not X's symbols.

    Source:
      Cover and Thomas (2006), section 2.2.

    Examples:
      >>> joint_distribution(jnp.array([0.5, 0.5]), jnp.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
      [[0.5, 0.0], [0.25, 0.25]]
    """
    p_x = _checks.as_probabilities(p_x, "p_x", axes="x")
    channel = _checks.as_probabilities(p_y_given_x, "p_y_given_x", axes="x y")
    if p_x.shape[-1] != channel.shape[-2]:
        raise ValueError(f"p_y_given_x has {channel.shape[-2]} rows, but X has {p_x.shape[-1]} symbols in p_x")
    p_x, channel = _checks.align_batches(p_x=(p_x, 1), p_y_given_x=(channel, 2))
    return p_x[..., None] * channel


def product_distribution(
    p_x: Float[ArrayLike, "*#batch x"], p_y: Float[ArrayLike, "*#batch y"]
) -> Float[Array, "*batch x y"]:
    r"""Joint distribution of independent X and Y.

    .. math:: p(x, y) = p(x)\, p(y)

    Args:
      p_x: distribution of X, shape ``[..., x]``.
      p_y: distribution of Y, shape ``[..., y]``.

    Returns:
      Shape ``[..., x, y]``.

    Raises:
      TypeError: if either does not hold floats.
      ValueError: if either has no axis.

    Source:
      Cover and Thomas (2006), section 2.2.

    Examples:
      >>> product_distribution(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])).tolist()
      [[0.125, 0.375], [0.125, 0.375]]
    """
    p_x = _checks.as_probabilities(p_x, "p_x", axes="x")
    p_y = _checks.as_probabilities(p_y, "p_y", axes="y")
    p_x, p_y = _checks.align_batches(p_x=(p_x, 1), p_y=(p_y, 1))
    return p_x[..., :, None] * p_y[..., None, :]


def pushforward(joint: Joint, encoder: Encoder, *, num_codes: int | None = None) -> Float[Array, "*batch u y"]:
    r"""Joint distribution of the code U and Y.

    .. math:: p(u, y) = \sum_x p(x, y)\, \eta(u \mid x)

    Codes are summed by segments: no array of shape ``[x, u]`` is made for them.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.

    Returns:
      Shape ``[..., u, y]``. Where a traced code lies outside 0 … num_codes − 1, NaN throughout that encoder's result.

    Raises:
      TypeError: if ``joint`` does not hold floats, or ``encoder`` neither integers nor floats.
      ValueError: if the encoder's rows are not X's symbols, or a concrete code lies outside 0 … num_codes − 1.

    Source:
      arXiv:2405.20452, the marginal of (U, Y) in Definition 2.

    Examples:
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> pushforward(joint, jnp.array([0, 0, 1]), num_codes=2).tolist()
      [[0.5, 0.25], [0.0, 0.25]]
    """
    joint, checked = _checks.as_joint_and_encoder(joint, encoder, num_codes)
    return checked.pushforward(joint)


def pushforward_unchecked(joint: Array, encoder: Array, num_codes: int) -> Array:
    """``pushforward`` of arguments that the caller has checked."""
    is_codes = jnp.issubdtype(encoder.dtype, jnp.integer)
    return (_checks.Codes(encoder, num_codes) if is_codes else _checks.Rows(encoder)).pushforward(joint)


def empirical_joint(
    x: Int[ArrayLike, "*#batch n"],
    y: Int[ArrayLike, "*#batch n"],
    *,
    shape: tuple[int, int],
    weights: Float[ArrayLike, "*#batch n"] | None = None,
) -> Float[Array, "*batch x y"]:
    r"""Joint distribution of a sample.

    .. math:: \hat p(x, y) = \frac{\sum_i w_i\, 1\{x_i = x,\, y_i = y\}}{\sum_i w_i}

    Args:
      x: symbols of X, shape ``[..., n]``.
      y: symbols of Y, shape ``[..., n]``.
      shape: the alphabet sizes (|X|, |Y|).
      weights: weight of each sample, shape ``[..., n]``; one each if None, and then the counts are exact whatever n.

    Returns:
      Shape ``[..., x, y]``; uniform if the weights sum to zero. NaN throughout where a traced symbol is outside its
      alphabet.

    Raises:
      TypeError: if x or y does not hold integers, or ``weights`` not floats.
      ValueError: if the lengths differ, a sample is empty, or a concrete symbol is outside its alphabet.

    Source:
      Cover and Thomas (2006), section 11.1 (the type of a sequence).

    Examples:
      >>> x, y = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 1, 1])
      >>> empirical_joint(x, y, shape=(2, 2)).tolist()
      [[0.25, 0.25], [0.0, 0.5]]
    """
    sizes = tuple(_checks.check_integer(size, "shape") for size in shape)
    if len(sizes) != 2:
        raise ValueError(f"shape must be (|X|, |Y|), got {shape}")
    x, y = _checks.as_symbols(x, sizes[0], "x"), _checks.as_symbols(y, sizes[1], "y")
    ones = jnp.ones(x.shape[-1:], int) if weights is None else _checks.as_probabilities(weights, "weights", axes="n")
    _checks.check_same_length(x=x, y=y, weights=ones)

    def counts(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
        outside = jnp.any((x < 0) | (x >= sizes[0]) | (y < 0) | (y >= sizes[1]))
        return jax.ops.segment_sum(weights, x * sizes[1] + y, sizes[0] * sizes[1]).reshape(sizes), outside

    samples = _checks.align_batches(x=(x, 1), y=(y, 1), weights=(ones, 1))
    mass, outside = jnp.vectorize(counts, signature="(n),(n),(n)->(x,y),()")(*samples)
    return nan_where(
        outside[..., None, None], normalise(mass.astype(float) if weights is None else mass, axis=(-2, -1))
    )


class Sample(NamedTuple):
    """Independent draws of (X, Y)."""

    x: Int[Array, "n"]
    """Symbols of X."""
    y: Int[Array, "n"]
    """Symbols of Y."""


def sample(key: Key[Array, ""], joint: Float[ArrayLike, "x y"], num_samples: int) -> Sample:
    r"""Independent draws of (X, Y): x from its distribution, then y given x.

    Both are drawn by integer thresholds, whose cumulative sum is exact, so that small cells of a large alphabet keep
    their mass, and no cell of zero mass is ever drawn. The first n draws of a longer sample are the sample of length n.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_samples: how many draws, static.

    Returns:
      ``(x, y)``, integers of shape ``[num_samples]`` each.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has not exactly two axes, or ``num_samples`` is negative.

    Source:
      Inversion of the distribution function: Devroye, Non-Uniform Random Variate Generation (1986), section III.2.

    Examples:
      >>> x, y = sample(jax.random.key(0), jnp.array([[0.5, 0.0], [0.0, 0.5]]), 6)
      >>> x.shape, bool((x == y).all())
      ((6,), True)
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    if joint.ndim != 2:
        raise ValueError(f"joint must have shape [x, y], got shape {joint.shape}: map over a batch with jax.vmap")
    num_samples = _checks.check_integer(num_samples, "num_samples", at_least=0)
    key_x, key_y = jax.random.split(key)
    x = jnp.searchsorted(_thresholds(jnp.sum(joint, axis=-1)), _uniform(key_x, num_samples, joint.dtype), side="right")
    rows = _thresholds(normalise(joint, axis=-1))[x]
    y = jnp.sum(rows <= _uniform(key_y, num_samples, joint.dtype)[:, None], axis=-1)
    return Sample(x.astype(int), y.astype(int))


# Thresholds and draws share half of an unsigned integer's range: rounded masses may sum to a few units more than one,
# and would wrap around in the whole of it.


def _unsigned(dtype: jnp.dtype) -> jnp.dtype:
    return jnp.dtype(jnp.uint64 if dtype == jnp.float64 else jnp.uint32)


def _thresholds(p: Array) -> UInt[Array, "*batch k"]:
    """Cumulative distribution on the integer scale."""
    unsigned = _unsigned(p.dtype)
    top = 1 << (unsigned.itemsize * 8 - 1)
    wide = p.astype(jnp.float64 if p.dtype == jnp.float64 else jnp.float32)
    return distribution_function(jnp.round(wide * float(top)).astype(unsigned), top)


def _uniform(key: Array, num_samples: int, dtype: jnp.dtype) -> UInt[Array, "n"]:
    return jax.random.bits(key, (num_samples,), _unsigned(dtype)) >> 1


def check_distribution(p: Float[ArrayLike, "..."], *, axis: int | tuple[int, ...] = -1, name: str = "p") -> None:
    """Raises unless the values are a distribution: finite, no mass below zero, and a sum of one.

    Args:
      p: what should be a distribution over ``axis``, any shape, batch axes elsewhere.
      axis: the alphabet's axis or axes.
      name: what to call it in the message.

    Raises:
      TypeError: if it does not hold floats, or is being traced.
      ValueError: if a mass is negative or not finite, or a sum differs from one by more than rounding explains:
        32 units of the dtype, and as many more as the square root of the number of cells.

    Source:
      Kolmogorov's axioms, on a finite alphabet.

    Examples:
      >>> check_distribution(jnp.array([0.5, 0.5]))
      >>> check_distribution(jnp.array([0.5, 0.6]), name="p_x")
      Traceback (most recent call last):
      ...
      ValueError: p_x must sum to one over axis -1, got a sum of 1.1
    """
    if not _checks.is_concrete(p):
        raise TypeError(f"{name} is being traced: check_distribution needs values, so call it outside jit and vmap")
    array = np.asarray(p)
    _checks.check_floating(array, name, "probabilities")
    axes = _checks.resolve_axes(axis, array, "axis")
    values = array.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    if np.any(values < 0):
        raise ValueError(f"{name} must not be negative, got {values.min():.6g}")
    sums = values.sum(axis=axes)
    num_cells = values.size // max(sums.size, 1)
    off = np.abs(sums - 1) > jnp.finfo(jnp.result_type(array)).eps * (32 + num_cells**0.5)
    if np.any(off):
        raise ValueError(
            f"{name} must sum to one over axis {axis}, got a sum of {np.ravel(sums)[np.ravel(off)][0]:.6g}"
        )
