"""Encoders U = η(X) of a finite alphabet: integers for a deterministic one, rows p(u | x) for a stochastic one.

Codes that go outside their alphabet where they are traced, and cannot be refused, become −1: outside still, so that
every measure of them is NaN.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes, Rows
from isjax._numerics import rows_or_zero
from isjax._typing import Array, ArrayLike, Encoder, Float, Int, Joint, Key

__all__ = [
    "activation_codes",
    "compact_codes",
    "compose_encoders",
    "coordinate_encoder",
    "encoder_kernel",
    "minimal_sufficient_encoder",
    "orbit_encoder",
    "random_encoder",
]

# --- two forms, and composition -----------------------------------------------------------------------------------


def encoder_kernel(encoder: Encoder, *, num_codes: int) -> Float[Array, "*batch x u"]:
    r"""Encoder as rows of probabilities.

    .. math:: \eta(u \mid x) = 1\{u = \eta(x)\}

    Args:
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats), which come back as they are.
      num_codes: size of the code alphabet.

    Returns:
      Rows p(u | x), shape ``[..., x, u]``; NaN throughout an encoder of which a traced code is outside its alphabet.

    Raises:
      TypeError: if ``encoder`` holds neither integers nor floats.
      ValueError: if a concrete code lies outside 0 … num_codes − 1, or the rows are not over ``num_codes`` codes.

    Source:
      arXiv:2405.20452, Definition 1.

    Examples:
      >>> encoder_kernel(jnp.array([0, 1, 1]), num_codes=2).tolist()
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
    r"""Encoder of X that encodes its code once more.

    .. math:: \eta(v \mid x) = \sum_u \eta_1(u \mid x)\, \eta_2(v \mid u)

    Args:
      first: encoder of X, codes ``[..., x]`` or rows ``[..., x, u]``.
      second: encoder of U, codes ``[..., u]`` or rows ``[..., u, v]``; its symbols are the codes of the first.
      num_codes: size of V's alphabet, where ``second`` holds codes; as many as U has symbols if None.

    Returns:
      Codes of shape ``[..., x]`` if both hold codes (−1 where a traced code is outside its alphabet), otherwise rows of
      shape ``[..., x, v]`` (NaN throughout such an encoder).

    Raises:
      TypeError: if either holds neither integers nor floats.
      ValueError: if the symbols of the second are not the codes of the first, or a concrete code is outside its
        alphabet.

    Source:
      Cover and Thomas (2006), section 2.8: a Markov chain X → U → V.

    Examples:
      >>> compose_encoders(jnp.array([0, 1, 2, 2]), jnp.array([1, 0, 0])).tolist()
      [1, 0, 0, 0]
    """
    num_symbols = np.shape(second)[-1 if jnp.issubdtype(jnp.result_type(second), jnp.integer) else -2 :][:1]
    is_codes = jnp.issubdtype(jnp.result_type(first), jnp.integer)
    one = _checks.as_encoder(first, *(num_symbols if is_codes and num_symbols else (None,)), name="first")
    of = f"first has {one.num_codes} codes, shape {one.array.shape}"
    other = _checks.as_encoder(second, num_codes, name="second", num_symbols=one.num_codes, of=of)
    _checks.broadcast_batch(first=(one.array, one.num_axes), second=(other.array, other.num_axes))
    return _compose(one, other)


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


class CompactCodes(NamedTuple):
    """Codes without gaps."""

    codes: Int[Array, "*batch x"]
    """0 … num_codes − 1, in order of first appearance."""
    num_codes: Int[Array, "*batch"]
    """How many codes there are."""


def compact_codes(codes: Int[ArrayLike, "*batch x"]) -> CompactCodes:
    """Codes relabelled 0 … K − 1 in order of first appearance.

    Args:
      codes: any integers, shape ``[..., x]``.

    Returns:
      ``(codes, num_codes)``: codes of shape ``[..., x]``, and how many there are, an array of shape ``[...]``.

    Raises:
      TypeError: if ``codes`` does not hold integers.
      ValueError: if it has no axis, or an empty one.

    Source:
      The restricted growth string of a partition: Knuth, The Art of Computer Programming 4A (2011), section 7.2.1.5.

    Examples:
      >>> codes, num_codes = compact_codes(jnp.array([7, 3, 7, 9]))
      >>> codes.tolist(), int(num_codes)
      ([0, 1, 0, 2], 3)
    """
    _checks.check_integers(codes, "codes", "codes")
    codes = jnp.asarray(codes)
    if codes.ndim < 1 or codes.shape[-1] == 0:
        raise ValueError(f"codes must have shape [..., x] with x at least 1, got shape {codes.shape}")
    return CompactCodes(*jnp.vectorize(_compact, signature="(x)->(x),()")(codes))


def _compact(codes: Int[Array, "x"]) -> tuple[Int[Array, "x"], Int[Array, ""]]:
    order = jnp.argsort(codes, stable=True)
    return _first_appearance(order, jnp.diff(codes[order]) != 0)


def _first_appearance(order: Int[Array, "x"], is_new: Array) -> tuple[Int[Array, "x"], Int[Array, ""]]:
    """Codes of groups that follow one another in a stable order; ``is_new[i]`` tells whether one starts at i + 1."""
    group = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(is_new)]).astype(int)
    first = jax.ops.segment_min(order, group, order.size, indices_are_sorted=True)  # of each group, in 0 … x − 1
    first_of = jnp.zeros_like(order).at[order].set(first[group])
    is_first = first_of == jnp.arange(order.size)
    return (jnp.cumsum(is_first) - 1)[first_of].astype(int), jnp.sum(is_first)


# --- encoders of structured alphabets -----------------------------------------------------------------------------


def coordinate_encoder(alphabet_sizes: Sequence[int], kept: Sequence[int]) -> Int[Array, "x"]:
    r"""Encoder that keeps some coordinates of a vector and drops the rest.

    .. math:: \eta(x_1, \dots, x_d) = (x_i)_{i \in \text{kept}}

    X is the product alphabet in C order, the last coordinate running fastest, and so is U.

    Args:
      alphabet_sizes: how many values each coordinate has.
      kept: which coordinates are kept, in the order in which the code lists them.

    Returns:
      Codes, shape ``[x]`` with x = ∏ alphabet_sizes, in 0 … ∏ kept sizes − 1.

    Raises:
      TypeError: if a size or a coordinate is not an integer.
      ValueError: if there is no coordinate, a size is below one, or ``kept`` names a coordinate twice or one that is
        not there.

    Source:
      arXiv:2405.20452, the sparse model of the numerical study.

    Examples:
      >>> coordinate_encoder([2, 2, 2], kept=[0, 2]).tolist()
      [0, 1, 0, 1, 2, 3, 2, 3]
    """
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
    r"""Encoder that tells apart the orbits of a group of permutations, and nothing else.

    .. math:: \eta(x) = \eta(x') \iff x' = g x \text{ for some } g \text{ of the group that the rows generate}

    Args:
      permutations: generators, each a permutation of X's symbols, shape ``[g, x]``.

    Returns:
      Codes in order of first appearance, shape ``[x]``; −1 throughout if a traced row is not a permutation.

    Raises:
      TypeError: if ``permutations`` does not hold integers.
      ValueError: if it has not two axes, or a concrete row is not a permutation.

    Source:
      arXiv:2405.20452, the invariant models: a maximal invariant of the group is sufficient.

    Examples:
      >>> orbit_encoder(jnp.array([[1, 0, 2, 4, 3]])).tolist()
      [0, 0, 1, 2, 2]
    """
    _checks.check_integers(permutations, "permutations", "symbols")
    permutations = jnp.asarray(permutations)
    if permutations.ndim != 2 or permutations.shape[1] == 0:
        raise ValueError(f"permutations must have shape [g, x], got shape {permutations.shape}")
    symbols = jnp.arange(permutations.shape[1])
    is_permutation = jnp.all(jnp.sort(permutations, axis=1) == symbols[None], axis=1)
    if _checks.is_concrete(permutations) and not bool(jnp.all(is_permutation)):
        row = int(jnp.argmin(is_permutation))
        raise ValueError(f"permutations must hold permutations of 0…{symbols.size - 1}, but row {row} is none")

    # Every symbol takes the least symbol that a generator, or its inverse, joins it to, until none changes.
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
    """Random deterministic encoder that uses every code.

    The symbols are dealt out in a random order: each code gets ⌊x/u⌋ or ⌈x/u⌉ of them, at random which.

    Args:
      key: a key of ``jax.random.key``.
      num_symbols: how many symbols X has.
      num_codes: how many codes, at most as many as symbols.

    Returns:
      Codes 0 … num_codes − 1, shape ``[num_symbols]``.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if there are more codes than symbols, or none.

    Source:
      arXiv:2405.20452, a lossy encoder without structure.

    Examples:
      >>> sorted(random_encoder(jax.random.key(0), 6, 3).tolist())
      [0, 0, 1, 1, 2, 2]
    """
    num_symbols, num_codes = (
        _checks.check_integer(num_symbols, "num_symbols"),
        _checks.check_integer(num_codes, "num_codes"),
    )
    if num_codes > num_symbols:
        raise ValueError(f"num_codes={num_codes}, but there are only num_symbols={num_symbols} symbols to encode")
    key_order, key_codes = jax.random.split(key)
    dealt = jax.random.permutation(key_codes, num_codes)[jnp.arange(num_symbols) % num_codes]
    return dealt[jax.random.permutation(key_order, num_symbols)]


# --- the codes that rows of numbers induce ------------------------------------------------------------------------

_GAPS = 8  # how many times nearer than the tolerance are rows that share a code for certain


def minimal_sufficient_encoder(joint: Joint, *, tolerance: float | None = None) -> Int[Array, "*batch x"]:
    r"""Coarsest encoder that loses nothing: symbols share a code if and only if they say the same about Y.

    .. math:: \eta(x) = \eta(x') \iff p(\cdot \mid x) = p(\cdot \mid x')

    Posteriors equal up to an eighth of the tolerance share a code, unless a chain of such joins two that are further
    apart than the tolerance in total variation: these never share one. Symbols without mass join the first that has
    some. Takes O(x log x) for each symbol of Y.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      tolerance: total variation above which two posteriors differ for certain; 256 units of the dtype if None.

    Returns:
      Codes in order of first appearance, shape ``[..., x]``.

    Raises:
      TypeError: if ``joint`` does not hold floats.
      ValueError: if it has fewer than two axes, or ``tolerance`` is negative.

    Source:
      Lehmann and Scheffé, Completeness, similar regions, and unbiased estimation (1950); arXiv:2405.20452, Theorem 1.

    Examples:
      >>> minimal_sufficient_encoder(jnp.array([[0.2, 0.1], [0.1, 0.3], [0.2, 0.1]])).tolist()
      [0, 1, 0]
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    tolerance = _checks.check_tolerance(tolerance, 256 * float(jnp.finfo(joint.dtype).eps))

    def one(joint: Array) -> Array:
        # Cells that differ by at most tolerance × (p + 1/|Y|) each add up to a total variation of at most tolerance.
        labels = _groups(rows_or_zero(joint), tolerance / joint.shape[-1], tolerance)
        has_mass = jnp.sum(joint, axis=-1) > 0
        labels = jnp.where(has_mass[:, None], labels, labels[jnp.argmax(has_mass)])
        return _codes_of_rows(labels)

    return jnp.vectorize(one, signature="(x,y)->(x)")(joint)


def activation_codes(activations: Float[ArrayLike, "x d"], *, tolerance: float | None = None) -> Int[Array, "x"]:
    r"""Codes that a layer's activations induce on the inputs: inputs share one if the layer cannot tell them apart.

    .. math:: \eta(x) = \eta(x') \iff h(x) = h(x')

    Activations equal up to an eighth of the tolerance share a code, unless a chain of such joins two that are further
    apart than the tolerance: these never share one. Activations of real numbers are usually all different, and lose
    nothing; a layer whose forward pass quantises makes codes of which ``layerwise_loss`` tells what they lose.

    Args:
      activations: outputs of a layer for each input symbol, shape ``[x, d]``.
      tolerance: largest difference above which two rows differ for certain; if None, 256 units of the dtype times the
        largest activation.

    Returns:
      Codes in order of first appearance, shape ``[x]``.

    Raises:
      TypeError: if ``activations`` does not hold floats.
      ValueError: if it has not two axes, or ``tolerance`` is negative.

    Source:
      arXiv:2405.20452, Theorem 6: the encoders X → U₁ → … → U_L of a network's layers.

    Examples:
      >>> activation_codes(jnp.array([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])).tolist()
      [0, 1, 0]
    """
    activations = _checks.as_reals(activations, "activations", axes="x d")
    if activations.ndim != 2:
        raise ValueError(f"activations must have shape [x, d], got shape {activations.shape}: map over more with vmap")
    units = 256 * float(jnp.finfo(activations.dtype).eps)
    width = units * jnp.max(jnp.abs(activations)) if tolerance is None else _checks.check_tolerance(tolerance, 0.0)
    return _codes_of_rows(_groups(activations, width, 0.0))


def _groups(values: Float[Array, "x k"], absolute: ArrayLike, relative: float) -> Int[Array, "x k"]:
    """Group of each value within its column: runs of near values in their order, none of them wide.

    A run ends before a value that is more than absolute + relative × least above its least, or more than an eighth of
    that above the one before.
    """
    order = jnp.argsort(values, axis=0)
    ascending = jnp.take_along_axis(values, order, axis=0)
    absolute = jnp.asarray(absolute, values.dtype)

    def step(state: tuple[Array, Array, Array], value: Array) -> tuple[tuple[Array, Array, Array], Array]:
        least, last, group = state
        too_wide = value - least > absolute + relative * least
        apart = _GAPS * (value - last) > absolute + relative * last
        ends = too_wide | apart
        state = jnp.where(ends, value, least), value, group + ends.astype(int)
        return state, state[2]

    first = ascending[0], ascending[0], jnp.zeros(values.shape[1:], int)
    _, groups = jax.lax.scan(step, first, ascending)
    return jnp.put_along_axis(jnp.zeros_like(groups), order, groups, axis=0, inplace=False)


def _codes_of_rows(labels: Int[Array, "x k"]) -> Int[Array, "x"]:
    """Codes of rows of labels, column by column: what it was, and the column's label, make what it is."""

    def refine(codes: Array, column: Array) -> tuple[Array, None]:
        order = jnp.lexsort((column, codes))
        is_new = functools.reduce(jnp.logical_or, (jnp.diff(a[order]) != 0 for a in (codes, column)))
        return _first_appearance(order, is_new)[0], None

    return jax.lax.scan(refine, jnp.zeros(labels.shape[0], int), labels.T)[0]
