"""Encoders U = η(X) of a finite alphabet: integers for a deterministic one, rows p(u | x) for a stochastic one.

Invalid traced codes cannot raise; they become −1, so every measure of them is NaN.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes, Rows
from isjax._display import displayed
from isjax._numerics import rows_or_zero
from isjax._typing import Array, ArrayLike, Encoder, Float, Int, Joint, Key, Real

__all__ = [
    "CompactCodes",
    "EncodedLabels",
    "activation_codes",
    "compact_codes",
    "compose_encoders",
    "coordinate_encoder",
    "encode_labels",
    "encoder_kernel",
    "minimal_sufficient_encoder",
    "orbit_encoder",
    "random_encoder",
]

# --- codes and rows, and composition ------------------------------------------------------------------------------


def encoder_kernel(encoder: Encoder, *, num_codes: int) -> Float[Array, "*batch x u"]:
    r"""Rows p(u | x) of an encoder.

    .. math:: \eta(u \mid x) = 1\{u = \eta(x)\}

    Args:
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats), which are returned unchanged.
      num_codes: size of the code alphabet.

    Returns:
      Rows, shape ``[..., x, u]``; NaN throughout an encoder with a traced code outside its alphabet.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.encoder_kernel(jnp.array([0, 1, 1]), num_codes=2).tolist()
      [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    return _kernel(_checks.as_encoder(encoder, _checks.check_integer(num_codes, "num_codes")))


@jax.jit(inline=True)
def _kernel(encoder: Codes | Rows) -> Array:
    return encoder.kernel()


def compose_encoders(
    first: Encoder,
    second: Int[ArrayLike, "*#batch u"] | Float[ArrayLike, "*#batch u v"],
    *,
    num_codes: int | None = None,
) -> Int[Array, "*batch x"] | Float[Array, "*batch x v"]:
    r"""Composition of an encoder of X with an encoder of its code.

    .. math:: \eta(v \mid x) = \sum_u \eta_1(u \mid x)\, \eta_2(v \mid u)

    Args:
      first: encoder of X: codes ``[..., x]`` or rows ``[..., x, u]``.
      second: encoder of U: codes ``[..., u]`` or rows ``[..., u, v]``.
      num_codes: size of the alphabet of V, if ``second`` holds codes; as many as U has symbols if None.

    Returns:
      Codes ``[..., x]`` if both hold codes, −1 where a traced code is outside its alphabet; otherwise rows
      ``[..., x, v]``, NaN throughout an encoder with such a code.

    Raises:
      ValueError: if the symbols of ``second`` are not the codes of ``first``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.compose_encoders(jnp.array([0, 1, 2, 2]), jnp.array([1, 0, 0])).tolist()
      [1, 0, 0, 0]
    """
    one = _checks.as_encoder(first, _num_symbols(second) if _checks.is_deterministic(first) else None, name="first")
    of = f"first has {one.num_codes} codes, shape {one.array.shape}"
    other = _checks.as_encoder(second, num_codes, name="second", num_symbols=one.num_codes, of=of)
    _checks.broadcast_batch(first=(one.array, one.num_axes), second=(other.array, other.num_axes))
    return _compose(one, other)


def _num_symbols(encoder: ArrayLike) -> int | None:
    """Size of an encoder's input alphabet; None if it has too few axes."""
    shape, num_axes = np.shape(encoder), 1 if _checks.is_deterministic(encoder) else 2
    return shape[-num_axes] if len(shape) >= num_axes else None


@jax.jit(inline=True)
def _compose(first: Codes | Rows, second: Codes | Rows) -> Array:
    ranked = _checks.align_batches(first=(first.array, first.num_axes), second=(second.array, second.num_axes))
    if isinstance(first, Codes) and isinstance(second, Codes):
        codes, code_of_code = ranked
        composed = jnp.take_along_axis(code_of_code, jnp.clip(codes, 0, first.num_codes - 1), axis=-1)
        valid = (codes >= 0) & (codes < first.num_codes) & (composed >= 0) & (composed < second.num_codes)
        return jnp.where(valid, composed, -1)
    dtype = (first if isinstance(first, Rows) else second).array.dtype
    kernels = (
        dataclasses.replace(e, array=a).kernel().astype(dtype) for e, a in zip((first, second), ranked, strict=True)
    )
    return jnp.matmul(*kernels, precision=jax.lax.Precision.HIGHEST)


@displayed()
class CompactCodes(NamedTuple):
    """Codes without gaps."""

    codes: Int[Array, "*batch x"]
    """0 … num_codes − 1, in order of first appearance."""
    num_codes: Int[Array, "*batch"]
    """Number of codes."""


def compact_codes(codes: Int[ArrayLike, "*batch x"]) -> CompactCodes:
    """Codes relabelled 0 … K − 1 in order of first appearance.

    Args:
      codes: any integers, shape ``[..., x]``.

    Returns:
      ``CompactCodes(codes, num_codes)``: codes of shape ``[..., x]``, and their number, an array of shape ``[...]``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> codes, num_codes = isjax.compact_codes(jnp.array([7, 3, 7, 9]))
      >>> codes.tolist(), int(num_codes)
      ([0, 1, 0, 2], 3)
    """
    codes = _checks.as_labels(codes, "codes")
    if not np.shape(codes) or np.shape(codes)[-1] == 0:
        raise ValueError(f"codes must have shape [..., x] with x at least 1, got shape {np.shape(codes)}")
    return _compact_codes(codes)


@jax.jit(inline=True)
def _compact_codes(codes: ArrayLike) -> CompactCodes:
    return CompactCodes(*jnp.vectorize(_compact, signature="(x)->(x),()")(codes))


def _compact(codes: Int[Array, "x"]) -> tuple[Int[Array, "x"], Int[Array, ""]]:
    order = jnp.argsort(codes, stable=True)
    return _first_appearance(order, jnp.diff(codes[order]) != 0)


def _first_appearance(order: Int[Array, "x"], is_new: Array) -> tuple[Int[Array, "x"], Int[Array, ""]]:
    """Codes of groups that are contiguous in a stable order; ``is_new[i]`` says whether one starts at i + 1."""
    group = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(is_new)]).astype(int)
    first = jax.ops.segment_min(order, group, order.size, indices_are_sorted=True)  # of each group, in 0 … x − 1
    first_of = jnp.zeros_like(order).at[order].set(first[group])
    is_first = first_of == jnp.arange(order.size)
    return (jnp.cumsum(is_first) - 1)[first_of].astype(int), jnp.sum(is_first)


@displayed()
class EncodedLabels(NamedTuple):
    """Symbols of labels."""

    symbols: Int[Array, "*n"]
    """0 … number of labels − 1, in the sorted order of the labels."""
    labels: tuple[Any, ...]
    """The label of each symbol."""


def encode_labels(labels: Sequence[Any] | np.ndarray) -> EncodedLabels:
    """Integers for labels of any sortable type, such as strings, as the other functions take them.

    Args:
      labels: a list, or an array, of labels, such as the rows of a column.

    Returns:
      ``EncodedLabels(symbols, labels)``: integers of the shape of ``labels``, and the label of each of them.

    Raises:
      TypeError: if the labels cannot be sorted.
      ValueError: if there are none, or one is NaN.

    Examples:
      >>> import isjax
      >>> symbols, labels = isjax.encode_labels(["red", "blue", "red"])
      >>> symbols.tolist(), labels
      ([1, 0, 1], ('blue', 'red'))
    """
    values = np.asarray(labels)
    if values.dtype.kind not in "biufUSO" or values.ndim == 0:
        raise TypeError(f"labels must be a list or an array of labels, got {type(labels).__name__}")
    if not values.size:
        raise ValueError("labels must hold at least one label, got none")
    if values.dtype.kind == "O" and len({type(value) for value in values.ravel()}) > 1:
        types = sorted({type(value).__name__ for value in values.ravel()})
        raise TypeError(f"labels must be of one type, got {', '.join(types)}")
    if (values != values).any():
        raise ValueError("labels must not be NaN: drop these rows, or give them a label of their own")
    try:
        distinct, symbols = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise TypeError(f"labels must be sortable: {error}") from None
    return EncodedLabels(jnp.asarray(symbols.reshape(values.shape), int), tuple(distinct.tolist()))


# --- encoders of structured alphabets -----------------------------------------------------------------------------


def coordinate_encoder(alphabet_sizes: Sequence[int], kept: Sequence[int]) -> Int[Array, "x"]:
    r"""Encoder that keeps some coordinates of a vector and drops the rest.

    .. math:: \eta(x_1, \dots, x_d) = (x_i)_{i \in \text{kept}}

    X and U are product alphabets in C order: the last coordinate varies fastest.

    Args:
      alphabet_sizes: number of values of each coordinate.
      kept: the coordinates that are kept, in their order in the code.

    Returns:
      Codes, shape ``[x]`` with x = ∏ alphabet_sizes, in 0 … ∏ kept sizes − 1.

    Raises:
      ValueError: if there is no coordinate, or ``kept`` names one twice or one that does not exist.

    Source:
      arXiv:2405.20452, the sparse model of the numerical study.

    Examples:
      >>> import isjax
      >>> isjax.coordinate_encoder([2, 2, 2], kept=[0, 2]).tolist()
      [0, 1, 0, 1, 2, 3, 2, 3]
    """
    for name, given in (("alphabet_sizes", alphabet_sizes), ("kept", kept)):
        if not _checks.is_sequence(given):
            raise TypeError(f"{name} must be a sequence of integers, such as (2, 2), got {given!r}")
    sizes = [_checks.check_integer(size, "alphabet_sizes") for size in alphabet_sizes]
    kept = [_checks.check_integer(i, "kept", at_least=0) for i in kept]
    if not sizes:
        raise ValueError("alphabet_sizes must name at least one coordinate, got none")
    outside = [i for i in kept if i >= len(sizes)]
    if outside or len(set(kept)) < len(kept):
        raise ValueError(f"kept must name coordinates 0…{len(sizes) - 1}, each once, got {kept}")
    coordinates = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    kept_sizes = [sizes[i] for i in kept]
    codes = (
        np.ravel_multi_index([coordinates[i] for i in kept], kept_sizes) if kept else np.zeros(math.prod(sizes), int)
    )
    return jnp.asarray(codes, int)


def orbit_encoder(permutations: Int[ArrayLike, "g x"]) -> Int[Array, "x"]:
    r"""Maximal invariant of a group of permutations: its codes are the orbits.

    .. math:: \eta(x) = \eta(x') \iff x' = g x \text{ for some } g \text{ of the group that the rows generate}

    Args:
      permutations: generators, each a permutation of X's symbols, shape ``[g, x]``.

    Returns:
      Codes in order of first appearance, shape ``[x]``; −1 throughout if a traced row is not a permutation.

    Raises:
      ValueError: if a concrete row is not a permutation of 0 … x − 1.

    Source:
      arXiv:2405.20452, the invariant models: a maximal invariant of the group is sufficient.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.orbit_encoder(jnp.array([[1, 0, 2, 4, 3]])).tolist()
      [0, 0, 1, 2, 2]
    """
    _checks.check_integers(permutations, "permutations", "symbols")
    shape = np.shape(permutations)
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"permutations must have shape [g, x], got shape {shape}")
    if _checks.is_concrete(permutations):
        wrong = np.any(np.sort(np.asarray(permutations), axis=1) != np.arange(shape[1]), axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"permutations must hold permutations of 0…{shape[1] - 1}, but row {row} is not one")
    return _orbits(jnp.asarray(permutations, int))


@jax.jit(inline=True)
def _orbits(permutations: Array) -> Array:
    symbols = jnp.arange(permutations.shape[1])
    is_permutation = jnp.all(jnp.sort(permutations, axis=1) == symbols[None], axis=1)

    # Label propagation: each symbol takes the least label among its images under the generators and their inverses.
    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        least, _ = state
        joined, _ = jax.lax.scan(lambda a, permutation: (_joined(a, permutation), None), least, permutations)
        joined = joined[joined]
        return joined, jnp.any(joined != least)

    least, _ = jax.lax.while_loop(lambda state: state[1], spread, (symbols, jnp.array(True)))
    return jnp.where(jnp.all(is_permutation), _compact(least)[0], -1)


def _joined(least: Array, permutation: Array) -> Array:
    along = jnp.minimum(least, least[permutation])
    return along.at[permutation].min(along, mode="drop")


def random_encoder(key: Key[Array, ""], num_symbols: int, num_codes: int) -> Int[Array, "x"]:
    """Random balanced partition: each code gets ⌊x/u⌋ or ⌈x/u⌉ symbols.

    Args:
      key: a key of ``jax.random.key``.
      num_symbols: number of symbols of X.
      num_codes: number of codes, at most ``num_symbols``.

    Returns:
      Codes 0 … num_codes − 1, each of them used, shape ``[num_symbols]``.

    Raises:
      ValueError: if there are more codes than symbols.

    Examples:
      >>> import isjax, jax
      >>> sorted(isjax.random_encoder(jax.random.key(0), 6, 3).tolist())
      [0, 0, 1, 1, 2, 2]
    """
    _checks.check_key(key)
    num_symbols = _checks.check_integer(num_symbols, "num_symbols")
    num_codes = _checks.check_integer(num_codes, "num_codes")
    if num_codes > num_symbols:
        raise ValueError(f"num_codes={num_codes}, but there are only num_symbols={num_symbols} symbols to encode")
    return _random_encoder(key, num_symbols=num_symbols, num_codes=num_codes)


@jax.jit(inline=True, static_argnames=("num_symbols", "num_codes"))
def _random_encoder(key: Array, *, num_symbols: int, num_codes: int) -> Array:
    key_order, key_codes = jax.random.split(key)
    codes = jax.random.permutation(key_codes, num_codes)[jnp.arange(num_symbols) % num_codes]
    return codes[jax.random.permutation(key_order, num_symbols)]


# --- codes induced by rows of numbers -----------------------------------------------------------------------------

_CERTAIN = 8  # rows that differ by less than the tolerance over this share a code


def minimal_sufficient_encoder(joint: Joint, *, tolerance: Real | None = None) -> Int[Array, "*batch x"]:
    r"""Minimal sufficient encoder: symbols share a code if and only if their posteriors are equal.

    .. math:: \eta(x) = \eta(x') \iff p(\cdot \mid x) = p(\cdot \mid x')

    Posteriors further apart than the tolerance in total variation never share a code. Those equal up to an eighth of
    it share one, unless a chain of such pairs links two that are further apart than the tolerance. Symbols without mass
    get the code of the first symbol that has some. If the joint holds NaN, all codes are −1. Takes O(x log x) steps for
    each symbol of Y.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      tolerance: total variation above which two posteriors are different; 256 units of rounding if None.

    Returns:
      Codes in order of first appearance, shape ``[..., x]``.

    Raises:
      ValueError: if ``tolerance`` is negative.

    Source:
      Lehmann and Scheffé, Completeness, similar regions, and unbiased estimation (1950); arXiv:2405.20452, Theorem 1.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.minimal_sufficient_encoder(jnp.array([[0.2, 0.1], [0.1, 0.3], [0.2, 0.1]])).tolist()
      [0, 1, 0]
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    return _minimal_sufficient_encoder(joint, _checks.check_tolerance(tolerance, 256 * _eps(joint)))


def _eps(array: Array) -> float:
    return float(jnp.finfo(array.dtype).eps)


@jax.jit(inline=True)
def _minimal_sufficient_encoder(joint: Array, tolerance: ArrayLike) -> Array:
    def one(joint: Array) -> Array:
        # Cells that differ by at most tolerance × (p + 1/|Y|) each add up to a total variation of at most tolerance.
        labels = _groups(rows_or_zero(joint), tolerance / joint.shape[-1], tolerance)
        has_mass = jnp.sum(joint, axis=-1) > 0
        labels = jnp.where(has_mass[:, None], labels, labels[jnp.argmax(has_mass)])
        return jnp.where(jnp.isnan(jnp.sum(joint)), -1, _codes_of_rows(labels))

    return jnp.vectorize(one, signature="(x,y)->(x)")(joint)


def activation_codes(activations: Float[ArrayLike, "x d"], *, tolerance: Real | None = None) -> Int[Array, "x"]:
    r"""Codes induced by the activations of a layer: inputs share a code if and only if their activations are equal.

    .. math:: \eta(x) = \eta(x') \iff h(x) = h(x')

    Activations further apart than the tolerance never share a code. Those equal up to an eighth of it share one, unless
    a chain of such pairs links two that are further apart than the tolerance. Real-valued activations are usually all
    different, so they lose no information; ``layerwise_loss`` gives the loss of layers whose forward pass quantises.

    Args:
      activations: outputs of a layer for each input symbol, shape ``[x, d]``.
      tolerance: largest coordinate difference up to which two rows may count as equal; if None, 256 units of rounding
        of the largest finite activation. Infinities equal themselves only, and NaN nothing.

    Returns:
      Codes in order of first appearance, shape ``[x]``.

    Raises:
      ValueError: if ``activations`` does not have two axes, or ``tolerance`` is negative.

    Source:
      arXiv:2405.20452, Theorem 6: the encoders X → U₁ → … → U_L of the layers of a network.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.activation_codes(jnp.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])).tolist()
      [0, 1, 0]
    """
    activations = _checks.as_reals(activations, "activations", axes="x d")
    if activations.ndim != 2:
        raise ValueError(f"activations must have shape [x, d], got shape {activations.shape}: map over more with vmap")
    tolerance = None if tolerance is None else _checks.check_tolerance(tolerance, 0.0)
    return _activation_codes(activations, tolerance)


@jax.jit(inline=True)
def _activation_codes(activations: Array, tolerance: ArrayLike | None) -> Array:
    if tolerance is None:
        tolerance = 256 * _eps(activations) * jnp.max(jnp.abs(activations), where=jnp.isfinite(activations), initial=0)
    return _codes_of_rows(_groups(activations, tolerance, 0.0))


def _groups(values: Float[Array, "x k"], absolute: ArrayLike, relative: ArrayLike) -> Int[Array, "x k"]:
    """Group of each value within its column: runs of close values in ascending order, of bounded width.

    A run ends before a value that exceeds the run's least value by more than absolute + relative × least, or the value
    before by more than an eighth of that.
    """
    order = jnp.argsort(values, axis=0)
    ascending = jnp.take_along_axis(values, order, axis=0)
    absolute = jnp.asarray(absolute, values.dtype)

    def step(state: tuple[Array, Array, Array], value: Array) -> tuple[tuple[Array, Array, Array], Array]:
        least, last, group = state
        # Written so that infinities equal themselves only, and NaN equals nothing.
        too_wide = (value != least) & ~(value - least <= absolute + relative * least)
        apart = (value != last) & ~(_CERTAIN * (value - last) <= absolute + relative * last)
        ends = too_wide | apart
        state = jnp.where(ends, value, least), value, group + ends.astype(int)
        return state, state[2]

    first = ascending[0], ascending[0], jnp.zeros(values.shape[1:], int)
    _, groups = jax.lax.scan(step, first, ascending)
    return jnp.put_along_axis(jnp.zeros_like(groups), order, groups, axis=0, inplace=False)


def _codes_of_rows(labels: Int[Array, "x k"]) -> Int[Array, "x"]:
    """Codes of equal rows of labels: the partition is refined by one column after another."""

    def refine(codes: Array, column: Array) -> tuple[Array, None]:
        order = jnp.lexsort((column, codes))
        is_new = functools.reduce(jnp.logical_or, (jnp.diff(a[order]) != 0 for a in (codes, column)))
        return _first_appearance(order, is_new)[0], None

    return jax.lax.scan(refine, jnp.zeros(labels.shape[0], int), labels.T)[0]
