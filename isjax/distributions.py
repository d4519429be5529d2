"""Distributions over finite alphabets: marginals, conditionals, joints, pushforwards under an encoder, and samples.

A distribution is an array of floats, a joint distribution of (X, Y) has shape ``[..., x, y]``, and leading axes are a
batch. Nothing is normalised or clipped implicitly; ``check_distribution`` raises unless an array is a distribution.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from isjax import _checks, _numerics
from isjax._checks import Codes, Rows
from isjax._display import displayed
from isjax._numerics import nan_where
from isjax._typing import Array, ArrayLike, Axis, Encoder, Float, Int, Joint, Key, UInt

__all__ = [
    "Draws",
    "check_distribution",
    "conditional_x_given_y",
    "conditional_y_given_x",
    "empirical_joint",
    "joint_distribution",
    "marginal_x",
    "marginal_y",
    "normalise",
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

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.marginal_x(jnp.array([[0.5, 0.0], [0.25, 0.25]])).tolist()
      [0.5, 0.5]
    """
    return _marginal(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-1)


def marginal_y(joint: Joint) -> Float[Array, "*batch y"]:
    r"""Distribution of Y.

    .. math:: p(y) = \sum_x p(x, y)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Shape ``[..., y]``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.marginal_y(jnp.array([[0.5, 0.0], [0.25, 0.25]])).tolist()
      [0.75, 0.25]
    """
    return _marginal(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-2)


@jax.jit(inline=True, static_argnames="axis")
def _marginal(joint: Array, *, axis: int) -> Array:
    return jnp.sum(joint, axis=axis)


def conditional_y_given_x(joint: Joint) -> Float[Array, "*batch x y"]:
    r"""Distribution of Y given each value of X.

    .. math:: p(y \mid x) = p(x, y) / p(x)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Rows that sum to one, shape ``[..., x, y]``; the row of an x with no mass is uniform, with derivative zero.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.conditional_y_given_x(jnp.array([[0.75, 0.25], [0.0, 0.0]])).tolist()
      [[0.75, 0.25], [0.5, 0.5]]
    """
    return _conditional(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-1)


def conditional_x_given_y(joint: Joint) -> Float[Array, "*batch x y"]:
    r"""Distribution of X given each value of Y.

    .. math:: p(x \mid y) = p(x, y) / p(y)

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.

    Returns:
      Columns that sum to one, shape ``[..., x, y]``; the column of a y with no mass is uniform, with derivative zero.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.conditional_x_given_y(jnp.array([[0.75, 0.0], [0.25, 0.0]])).tolist()
      [[0.75, 0.5], [0.25, 0.5]]
    """
    return _conditional(_checks.as_probabilities(joint, "joint", axes="x y"), axis=-2)


@jax.jit(inline=True, static_argnames="axis")
def _conditional(joint: Array, *, axis: int) -> Array:
    return _numerics.normalise(joint, axis=axis)


def joint_distribution(
    p_x: Float[ArrayLike, "*#batch x"], p_y_given_x: Float[ArrayLike, "*#batch x y"]
) -> Float[Array, "*batch x y"]:
    r"""Joint distribution of (X, Y) from the distribution of X and a channel.

    .. math:: p(x, y) = p(x)\, p(y \mid x)

    Args:
      p_x: distribution of X, shape ``[..., x]``.
      p_y_given_x: distribution of Y given each x, shape ``[..., x, y]``.

    Returns:
      Shape ``[..., x, y]``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.joint_distribution(jnp.array([0.5, 0.5]), jnp.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
      [[0.5, 0.0], [0.25, 0.25]]
    """
    p_x = _checks.as_probabilities(p_x, "p_x", axes="x")
    channel = _checks.as_probabilities(p_y_given_x, "p_y_given_x", axes="x y", over=1)
    if p_x.shape[-1] != channel.shape[-2]:
        raise ValueError(f"p_y_given_x has {channel.shape[-2]} rows, but X has {p_x.shape[-1]} symbols in p_x")
    _checks.broadcast_batch(p_x=(p_x, 1), p_y_given_x=(channel, 2))
    return _joint_distribution(p_x, channel)


@jax.jit(inline=True)
def _joint_distribution(p_x: Array, channel: Array) -> Array:
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

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.product_distribution(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.75])).tolist()
      [[0.125, 0.375], [0.125, 0.375]]
    """
    p_x = _checks.as_probabilities(p_x, "p_x", axes="x")
    p_y = _checks.as_probabilities(p_y, "p_y", axes="y")
    _checks.broadcast_batch(p_x=(p_x, 1), p_y=(p_y, 1))
    return _product_distribution(p_x, p_y)


@jax.jit(inline=True)
def _product_distribution(p_x: Array, p_y: Array) -> Array:
    p_x, p_y = _checks.align_batches(p_x=(p_x, 1), p_y=(p_y, 1))
    return p_x[..., :, None] * p_y[..., None, :]


def pushforward(joint: Joint, encoder: Encoder, *, num_codes: int | None = None) -> Float[Array, "*batch u y"]:
    r"""Joint distribution of the code U and Y.

    .. math:: p(u, y) = \sum_x p(x, y)\, \eta(u \mid x)

    Integer codes are summed by segments, without an array of shape ``[x, u]``.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.

    Returns:
      Shape ``[..., u, y]``; NaN throughout the result of an encoder with a traced code outside 0 … num_codes − 1.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> isjax.pushforward(joint, jnp.array([0, 0, 1]), num_codes=2).tolist()
      [[0.5, 0.25], [0.0, 0.25]]
    """
    return _pushforward(*_checks.as_joint_and_encoder(joint, encoder, num_codes))


@jax.jit(inline=True)
def _pushforward(joint: Array, encoder: Codes | Rows) -> Array:
    return encoder.pushforward(joint)


def empirical_joint(
    x: Int[ArrayLike, "*#batch n"],
    y: Int[ArrayLike, "*#batch n"],
    *,
    shape: tuple[int, int],
    weights: Float[ArrayLike, "*#batch n"] | None = None,
) -> Float[Array, "*batch x y"]:
    r"""Empirical joint distribution of a sample.

    .. math:: \hat p(x, y) = \frac{\sum_i w_i\, 1\{x_i = x,\, y_i = y\}}{\sum_i w_i}

    Args:
      x: symbols of X, shape ``[..., n]``.
      y: symbols of Y, shape ``[..., n]``.
      shape: the alphabet sizes (|X|, |Y|).
      weights: weight of each sample, shape ``[..., n]``. If None, all are one, and the counts are exact for any n.

    Returns:
      Shape ``[..., x, y]``; uniform if the weights sum to zero; NaN throughout if a traced symbol is outside its
      alphabet.

    Raises:
      ValueError: if the samples differ in length, or one is empty.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> x, y = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 1, 1])
      >>> isjax.empirical_joint(x, y, shape=(2, 2)).tolist()
      [[0.25, 0.25], [0.0, 0.5]]
    """
    sizes = _checks.as_sizes(shape, "(|X|, |Y|)")
    _checks.check_num_cells(sizes, "shape")
    x, y = _checks.as_symbols(x, sizes[0], "x"), _checks.as_symbols(y, sizes[1], "y")
    samples = {"x": x, "y": y}
    if weights is not None:
        samples["weights"] = weights = _checks.as_reals(weights, "weights", axes="n")
    _checks.check_same_length(**samples)
    _checks.broadcast_batch(**{name: (array, 1) for name, array in samples.items()})
    return _empirical_joint(x, y, weights, shape=sizes)


@jax.jit(inline=True, static_argnames="shape")
def _empirical_joint(x: Array, y: Array, weights: Array | None, *, shape: tuple[int, int]) -> Array:
    num_x, num_y = shape

    def count(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
        outside = jnp.any((x < 0) | (x >= num_x) | (y < 0) | (y >= num_y))
        return sum_by_label(weights, x * num_y + y, num_x * num_y).reshape(shape), outside

    ones = jnp.ones(x.shape[-1:], int) if weights is None else weights  # sums of integers are exact
    sum_by_label = jax.ops.segment_sum if weights is None else _numerics.sum_by_label
    samples = _checks.align_batches(x=(x, 1), y=(y, 1), weights=(ones, 1))
    mass, outside = jnp.vectorize(count, signature="(n),(n),(n)->(x,y),()")(*samples)
    mass = mass.astype(float) if weights is None else mass
    return nan_where(outside[..., None, None], _numerics.normalise(mass, axis=(-2, -1)))


@displayed()
class Draws(NamedTuple):
    """Independent draws of (X, Y)."""

    x: Int[Array, "n"]
    """Symbols of X."""
    y: Int[Array, "n"]
    """Symbols of Y."""


def sample(key: Key[Array, ""], joint: Float[ArrayLike, "x y"], num_samples: int) -> Draws:
    r"""Independent draws of (X, Y): x from its distribution, then y given x.

    Both are drawn by inversion of a distribution function of integers, whose cumulative sums are exact: in an alphabet
    of up to 2²⁰ symbols, the probability of each differs by less than one in a thousand from its mass, if no mass is
    below a sixteenth of the mean. No cell of zero mass is ever drawn. The first n draws of a longer sample are the
    sample of length n.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_samples: number of draws, static.

    Returns:
      ``Draws(x, y)``, integers of shape ``[num_samples]`` each; −1 throughout if traced masses are negative or NaN, or
      if all are zero.

    Raises:
      ValueError: if a concrete mass is NaN.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> x, y = isjax.sample(jax.random.key(0), jnp.array([[0.5, 0.0], [0.0, 0.5]]), 6)
      >>> x.shape, bool((x == y).all())
      ((6,), True)
    """
    _checks.check_key(key)
    array = _checks.as_joint(joint)
    _checks.check_no_nan(joint, "joint")
    return _sample(key, array, num_samples=_checks.check_integer(num_samples, "num_samples", at_least=0))


@jax.jit(inline=True, static_argnames="num_samples")
def _sample(key: Array, joint: Array, *, num_samples: int) -> Draws:
    joint = joint if joint.dtype.itemsize >= 4 else joint.astype(jnp.float32)
    key_x, key_y = jax.random.split(key)
    x = _invert(key_x, jnp.sum(joint, axis=-1)[None], jnp.zeros(num_samples, int))
    y = _invert(key_y, joint, x)
    is_valid = jnp.all(joint >= 0) & jnp.any(joint > 0)
    return Draws(*(jnp.where(is_valid, drawn, -1) for drawn in (x, y)))


_LARGEST_TABLE = 1024  # symbols; a larger alphabet is drawn in two stages, first a block of symbols


def _invert(key: Array, masses: Float[Array, "row k"], row: Int[Array, "n"]) -> Int[Array, "n"]:
    """A symbol for each of ``row``, drawn from the masses of that row."""
    num_rows, num_symbols = masses.shape
    if num_symbols <= _LARGEST_TABLE:
        return _search(_cumulative(masses), row, jax.random.bits(key, row.shape, jnp.uint32))
    size = math.isqrt(num_symbols - 1) + 1
    num_blocks = -(-num_symbols // size)
    blocks = jnp.pad(masses, ((0, 0), (0, num_blocks * size - num_symbols))).reshape(num_rows * num_blocks, size)
    key_block, key_symbol = jax.random.split(key)
    block = _invert(key_block, jnp.sum(blocks, axis=-1).reshape(num_rows, num_blocks), row)
    return block * size + _invert(key_symbol, blocks, row * num_blocks + block)


def _cumulative(masses: Float[Array, "row k"]) -> UInt[Array, "row k"]:
    """Cumulative sums in units of 2⁻³¹ to 2⁻³⁰ of their total, rounded down after they are summed exactly."""
    _, exponent = jnp.frexp(jnp.sum(masses, axis=-1, keepdims=True))
    units = jnp.ldexp(masses, 31 - exponent)
    whole = jnp.floor(units)
    num_bits = 31 - math.ceil(math.log2(masses.shape[-1] + 1))  # the fractions' sum must fit too
    both = jnp.stack([whole, jnp.ldexp(units - whole, num_bits)]).astype(jnp.uint32)
    whole, fractions = jnp.cumsum(both, axis=-1, dtype=jnp.uint32)
    return whole + (fractions >> num_bits)


def _search(cumulative: UInt[Array, "row k"], row: Int[Array, "n"], bits: UInt[Array, "n"]) -> Int[Array, "n"]:
    """The first symbol whose cumulative sum exceeds the fraction ``bits / 2³²`` of the total, by bisection."""
    num_symbols = cumulative.shape[-1]
    num_halvings = (num_symbols - 1).bit_length()
    aim = _multiply_high(bits, cumulative[row, -1])

    def halve(i: Array, low: Array) -> Array:
        middle = jnp.minimum(low + (1 << (num_halvings - 1 - i)), num_symbols - 1)
        return jnp.where(cumulative[row, middle - 1] > aim, low, middle)

    return jax.lax.fori_loop(0, num_halvings, halve, jnp.zeros_like(row))


def _multiply_high(a: UInt[Array, "n"], b: UInt[Array, "n"]) -> UInt[Array, "n"]:
    """``⌊a b / 2³²⌋`` of integers of 32 bits."""
    a_low, a_high, b_low, b_high = a & 0xFFFF, a >> 16, b & 0xFFFF, b >> 16
    middle = a_high * b_low + (a_low * b_low >> 16)
    return a_high * b_high + (middle >> 16) + ((a_low * b_high + (middle & 0xFFFF)) >> 16)


def normalise(counts_or_mass: ArrayLike, *, axis: Axis | None = None) -> Float[Array, "..."]:
    r"""Distributions from counts, or from masses that do not sum to one.

    .. math:: p_i = m_i / \sum_j m_j

    Args:
      counts_or_mass: counts (integers of any dtype) or masses (floats), not negative, any shape.
      axis: the alphabet's axis or axes, batch axes elsewhere; all axes are the alphabet if None.

    Returns:
      The shape of ``counts_or_mass``; counts give the default float type. Traced masses that sum to zero give a uniform
      distribution.

    Raises:
      ValueError: if a concrete mass is negative or infinite, or concrete masses sum to zero.

    Examples:
      >>> import isjax, numpy as np
      >>> counts = np.array([[2, 0], [1, 1]])
      >>> isjax.normalise(counts).tolist()
      [[0.5, 0.0], [0.25, 0.25]]
      >>> isjax.normalise(counts, axis=-1).tolist()
      [[1.0, 0.0], [0.5, 0.5]]
    """
    mass = _checks.as_mass(counts_or_mass, "counts_or_mass")
    axes = tuple(range(-mass.ndim, 0)) if axis is None else _checks.resolve_axes(axis, mass, "axis")
    _checks.check_some_mass(counts_or_mass, "counts_or_mass", axes)
    return _normalise(mass, axes=axes)


@jax.jit(inline=True, static_argnames="axes")
def _normalise(mass: Array, *, axes: tuple[int, ...]) -> Array:
    return _numerics.normalise(mass, axis=axes)


def check_distribution(p: Float[ArrayLike, "..."], *, axis: Axis | None = None, name: str = "p") -> None:
    """Raises unless the values are a distribution: finite, not negative, with a sum of one.

    Args:
      p: the values, any shape: a distribution, or a joint distribution of any number of variables.
      axis: the alphabet's axis or axes, batch axes elsewhere, such as −1 for rows p(y | x); all axes are the alphabet
        if None.
      name: the name of the argument in the error message.

    Raises:
      TypeError: if ``p`` is being traced.
      ValueError: if a value is negative or not finite, or a sum differs from one by more than rounding explains:
        32 + √k units of the dtype for k cells.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.check_distribution(jnp.array([[0.5, 0.0], [0.25, 0.25]]))
      >>> isjax.check_distribution(jnp.array([[0.5, 0.5], [0.25, 0.75]]), axis=-1)
      >>> isjax.check_distribution(jnp.array([0.5, 0.6]), name="p_x")
      Traceback (most recent call last):
      ...
      ValueError: p_x sums to 1.1, not 1: isjax.normalise(p_x) divides by the sum
    """
    if not _checks.is_concrete(p):
        raise TypeError(f"{name} is being traced: check_distribution needs values, so call it outside jit and vmap")
    array, axes = _checks.as_distribution(p, name, axis)
    _checks.check_no_nan(p, name)
    num_cells = math.prod(array.shape[i] for i in axes)
    rounding = float(jnp.finfo(array.dtype).eps) * (32 + num_cells**0.5)
    _checks.check_masses(array, name, axes, min(rounding, _checks.mass_tolerance(array.dtype)))
