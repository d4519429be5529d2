r"""Controlled models of (X, Y) with exact ground truth, and the problems that they pose to a learner.

X has a given input distribution, U = η(X) is a known sufficient encoder, and

.. math:: p(y \mid u) = \frac{1 - \delta}{C} + \delta\, 1\{y = \text{label}(u)\}

for C classes, random balanced labels, and the discrimination δ: at 0 Y is independent of X, at 1 U determines Y.

Sources are built on the host, and only what is random on the device: a source is built once, from concrete values.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes
from isjax._display import displayed
from isjax._typing import Array, ArrayLike, Float, Int, Key, Real
from isjax.distributions import marginal_x, marginal_y
from isjax.encoders import compact_codes, orbit_encoder
from isjax.entropies import conditional_entropy, entropy
from isjax.informations import mutual_information

__all__ = [
    "Problem",
    "Source",
    "biased_encoder",
    "digital_source",
    "invariant_source",
    "robust_source",
    "sparse_source",
]

_MAX_LABEL_DRAWS = 1000
_MAX_SYMBOLS = 2**24


@displayed()
class Problem(NamedTuple):
    """What a learner sees: X through its code U, and Y. All fields are arrays, so problems of one shape can be stacked.

    Source:
      arXiv:2405.20452: the encoder-decoder structure X → U → Y.
    """

    joint: Float[Array, "x y"]
    """Distribution of (X, Y)."""
    codes: Int[Array, "x"]
    """Code of each input symbol, in 0 … u − 1."""
    features: Float[Array, "u d"]
    """Input of a network for each code."""


@displayed("target_entropy", "mutual_information")
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A known joint distribution of (X, Y), with a sufficient and a biased encoder of X.

    Attributes:
      joint: distribution of (X, Y), shape ``[x, y]``.
      features: input of a network for each symbol of X, shape ``[x, d]``.
      codes: a sufficient encoder, shape ``[x]``.
      biased_codes: an encoder that loses information unless the discrimination is zero, shape ``[x]``.

    Raises:
      ValueError: if the shapes differ, a value is no code or not finite, or ``codes`` are not sufficient.

    Source:
      arXiv:2405.20452, the controlled models of the numerical study.
    """

    joint: Float[Array, "x y"]
    features: Float[Array, "x d"]
    codes: Int[Array, "x"]
    biased_codes: Int[Array, "x"]

    def __post_init__(self) -> None:
        fields = self.joint, self.features, self.codes, self.biased_codes
        if all(isinstance(field, np.ndarray | jax.Array) for field in fields) and _checks.is_concrete(*fields):
            _check_source(*jax.device_get(fields))

    @property
    def input_entropy(self) -> Float[Array, ""]:
        """H(X) in nats."""
        return entropy(marginal_x(self.joint))

    @property
    def target_entropy(self) -> Float[Array, ""]:
        """H(Y) in nats."""
        return entropy(marginal_y(self.joint))

    @property
    def conditional_entropy(self) -> Float[Array, ""]:
        """H(Y|X) in nats: the least cross-entropy risk."""
        return conditional_entropy(self.joint)

    @property
    def mutual_information(self) -> Float[Array, ""]:
        """I(X;Y) in nats."""
        return mutual_information(self.joint)

    def problem(self, encoder: Literal["identity", "sufficient", "biased"] | Int[ArrayLike, "x"]) -> Problem:
        """What a learner sees through an encoder.

        The features of a code are those of one of its symbols, the one nearest to their mean (the first of several),
        without the columns that are the same for every code. So the sufficient code of a sparse source has the features
        of the coordinates that it keeps.

        Args:
          encoder: ``"identity"`` (X itself), ``"sufficient"``, ``"biased"``, or codes, shape ``[x]``.

        Returns:
          A ``Problem``.

        Raises:
          ValueError: if the name is unknown, or the codes are not 0 … K − 1, each of them used.

        Examples:
          >>> import isjax, jax
          >>> options = {"num_inputs": 4, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
          >>> source = isjax.sparse_source(jax.random.key(0), **options)
          >>> source.problem("identity").features.shape, source.problem("sufficient").features.shape
          ((16, 4), (4, 2))
        """
        num_symbols = self.joint.shape[0]
        if isinstance(encoder, str):
            if encoder == "identity":
                return Problem(self.joint, jnp.arange(num_symbols), self.features)
            named = {"sufficient": self.codes, "biased": self.biased_codes}
            if encoder not in named:
                raise ValueError(f'encoder must be "identity", "sufficient", "biased" or codes, got "{encoder}"')
            encoder = named[encoder]
        _, checked = _checks.as_joint_and_codes(self.joint, encoder, None)
        codes = checked.array
        if codes.ndim != 1:
            raise ValueError(
                f"encoder must have shape ({num_symbols},), a code for each symbol of X, got {codes.shape}"
            )
        features = _code_features(*jax.device_get((codes, self.features)))
        return Problem(self.joint, codes, jnp.asarray(features))


def _check_source(joint: np.ndarray, features: np.ndarray, codes: np.ndarray, biased_codes: np.ndarray) -> None:
    """Refuses fields of a source that do not belong together."""
    eps = float(jnp.finfo(joint.dtype).eps)
    joint = np.asarray(_checks.as_joint(joint), np.float64)
    num_symbols = len(joint)
    _checks.check_floating(features, "features", "numbers")
    if features.ndim != 2 or len(features) != num_symbols:
        raise ValueError(
            f"features must have shape ({num_symbols}, d), a row for each symbol of X in joint, got {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"features must be finite, got {features[~np.isfinite(features)][0]}")
    for name, given in (("codes", codes), ("biased_codes", biased_codes)):
        _checks.as_codes(given, num_symbols, name)
        if given.shape != (num_symbols,):
            raise ValueError(f"{name} must have shape ({num_symbols},), one for each symbol of X, got {given.shape}")
    loss = _loss_in_double(joint, codes.astype(int))
    if loss > (128 * eps) ** 2:
        raise ValueError(
            f"codes must be a sufficient encoder, but they lose I(X;Y|U) = {loss:.3g} nats: "
            "isjax.minimal_sufficient_encoder(joint) gives codes that lose nothing"
        )


def _loss_in_double(joint: np.ndarray, codes: np.ndarray) -> float:
    """I(X;Y|U), on the host, without a program for each shape."""
    joint_uy = np.stack([np.bincount(codes, weights=column) for column in joint.T], axis=1)
    p_x, p_u = joint.sum(1, keepdims=True), joint_uy.sum(1, keepdims=True)
    rows = np.divide(joint, p_x, out=np.zeros_like(joint), where=p_x > 0)
    mixture = np.divide(joint_uy, p_u, out=np.zeros_like(joint_uy), where=p_u > 0)[codes]
    ratios = np.log(np.divide(rows, mixture, out=np.ones_like(rows), where=rows > 0))
    return float(np.sum(p_x * (rows * ratios - rows + mixture)))


def _code_features(codes: Int[np.ndarray, "x"], features: Float[np.ndarray, "x d"]) -> Float[np.ndarray, "u k"]:
    """Features of each code: those of the symbol nearest to the mean of its symbols, constant columns left out."""
    num_codes = int(codes.max()) + 1
    sizes = np.bincount(codes, minlength=num_codes)
    if not sizes.all():
        raise ValueError(f"encoder must use every code 0…{num_codes - 1}, got none for code {np.argmin(sizes)}")
    means = np.zeros((num_codes, features.shape[1]))
    np.add.at(means, codes, features)
    distances = np.sum((features - (means / sizes[:, None])[codes]) ** 2, axis=1).round(6)
    order = np.lexsort((np.arange(codes.size), distances, codes))
    nearest = features[order[np.searchsorted(codes[order], np.arange(num_codes))]]
    varying = np.ptp(nearest, axis=0) > 0
    return nearest[:, varying] if varying.any() else nearest[:, :1]


def _source(
    key: Key[Array, ""],
    *,
    features: Float[np.ndarray, "x d"],
    codes: Int[np.ndarray, "x"],
    merged: Int[np.ndarray, "u"],
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None,
) -> Source:
    """A source with given codes, and labels for which the encoder that merges the codes loses information."""
    num_symbols, num_codes = codes.size, merged.size
    _checks.check_unit_interval(discrimination, "discrimination")
    if _checks.check_integer(num_classes, "num_classes", at_least=2) > num_codes:
        raise ValueError(f"num_classes={num_classes}, but there are only {num_codes} codes to label")
    dtype = np.dtype(jnp.result_type(float))
    p_x = np.full(num_symbols, 1 / num_symbols, dtype)
    if input_distribution is not None:
        given = _checks.as_probabilities(input_distribution, "input_distribution", axes="x")
        if given.shape != (num_symbols,):
            raise ValueError(f"input_distribution must have shape ({num_symbols},), got {given.shape}")
        p_x = np.asarray(given)
    labels = _draw_labels(key, np.unique(codes[p_x > 0]), merged, num_classes)
    channel = (1 - discrimination) / num_classes + discrimination * np.eye(num_classes, dtype=dtype)[labels]
    joint = p_x[:, None] * channel[codes].astype(p_x.dtype)
    arrays = joint, features.astype(p_x.dtype), codes.astype(int), merged[codes].astype(int)
    return Source(*(jnp.asarray(array) for array in arrays))


def _draw_labels(
    key: Key[Array, ""], occupied: Int[np.ndarray, "_"], merged: Int[np.ndarray, "u"], num_classes: int
) -> Int[np.ndarray, "u"]:
    """Balanced random labels that the merged codes do not determine; codes that have mass are ``occupied``."""
    num_cells = np.unique(merged[occupied]).size
    for attempt in range(_MAX_LABEL_DRAWS):
        labels = np.asarray(_balanced_labels(key, attempt, num_codes=merged.size, num_classes=num_classes))
        labelled_cells = np.stack([merged, labels])[:, occupied]
        if np.unique(labelled_cells, axis=1).shape[1] > num_cells:  # a cell has two labels
            return labels
    raise ValueError(
        f"no labels in {_MAX_LABEL_DRAWS} draws for which the biased encoder loses information: the codes that it "
        f"merges may have no mass (num_classes={num_classes})"
    )


@jax.jit(static_argnames=("num_codes", "num_classes"))
def _balanced_labels(key: Array, attempt: Array | int, *, num_codes: int, num_classes: int) -> Int[Array, "u"]:
    key_codes, key_classes = jax.random.split(jax.random.fold_in(key, attempt))
    classes = jax.random.permutation(key_classes, num_classes)  # which of them get one label more
    return classes[jax.random.permutation(key_codes, num_codes) % num_classes]


def _check_num_symbols(base: int, exponent: int, name: str) -> None:
    if math.log(base) * exponent > math.log(_MAX_SYMBOLS) + 1e-9:
        raise ValueError(f"{name} must be at most 2**24 symbols, got {base}**{exponent}")


def _coordinates(sizes: Sequence[int]) -> Int[np.ndarray, "x d"]:
    """Every vector of the product alphabet, in C order."""
    return np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)


def _index_of(vectors: Int[np.ndarray, "x d"], sizes: Sequence[int]) -> Int[np.ndarray, "x"]:
    """The position of each vector in the product alphabet, in C order."""
    return vectors @ np.array([math.prod(sizes[i + 1 :]) for i in range(len(sizes))], int)


def _without(dropped: int, sizes: Sequence[int]) -> Int[np.ndarray, "x"]:
    """The encoder of the product alphabet that drops one coordinate."""
    return _index_of(np.delete(_coordinates(sizes), dropped, axis=1), (*sizes[:dropped], *sizes[dropped + 1 :]))


def _coordinate_features(sizes: Sequence[int]) -> Float[np.ndarray, "x d"]:
    """Inputs of a network for the product alphabet: coordinates of two values as ±1, those of more as one-hot."""
    columns = (
        2.0 * c[:, None] - 1 if a == 2 else np.eye(a)[c] for c, a in zip(_coordinates(sizes).T, sizes, strict=True)
    )
    return np.concatenate(list(columns), axis=1)


def sparse_source(
    key: Key[Array, ""],
    *,
    num_inputs: int,
    num_relevant: int,
    num_classes: int,
    discrimination: Real,
    alphabet_size: int = 2,
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y depends on a few of many inputs.

    X is a vector of d inputs with a values each, in C order, and the sufficient code U is k of them, drawn at random;
    the sparsity is k/d. The biased encoder drops one of the k, drawn at random. Inputs are seen as ±1, or one-hot for
    a > 2.

    Args:
      key: a key of ``jax.random.key``.
      num_inputs: d, the number of inputs.
      num_relevant: k, the number of relevant ones, from 1 to d.
      num_classes: C, the number of classes, from 2 to the number of codes a**k.
      discrimination: δ in [0, 1]; at 0 Y is independent of X, at 1 the code determines Y.
      alphabet_size: a, the number of values of an input.
      input_distribution: distribution of X, shape ``[x]`` with x = a**d; uniform if None.

    Returns:
      A ``Source`` of a**d symbols and C classes.

    Raises:
      ValueError: if an argument is out of its range, or the biased encoder loses no information for any labels drawn.

    Source:
      arXiv:2405.20452, the numerical study.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> options = {"num_inputs": 6, "num_relevant": 2, "num_classes": 4, "discrimination": 1.0}
      >>> source = isjax.sparse_source(jax.random.key(0), **options)
      >>> source.joint.shape, round(float(source.mutual_information / jnp.log(2)), 3)
      ((64, 4), 2.0)
    """
    _checks.check_key(key)
    d = _checks.check_integer(num_inputs, "num_inputs")
    k = _checks.check_integer(num_relevant, "num_relevant")
    a = _checks.check_integer(alphabet_size, "alphabet_size", at_least=2)
    if k > d:
        raise ValueError(f"num_relevant={num_relevant}, but there are only num_inputs={num_inputs} inputs")
    _check_num_symbols(a, d, "alphabet_size**num_inputs")
    order, dropped, key_labels = _draw_relevant(key, k, num_inputs=d)
    return _source(
        key_labels,
        features=_coordinate_features((a,) * d),
        codes=_index_of(_coordinates((a,) * d)[:, np.sort(order[:k])], (a,) * k),
        merged=_without(int(dropped), (a,) * k),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


@jax.jit(static_argnames="num_inputs")
def _draw_relevant(key: Array, num_relevant: Array | int, *, num_inputs: int) -> tuple[Array, Array, Array]:
    """An order of the inputs, of which the first are relevant, which of these is dropped, and a key for the labels."""
    key_relevant, key_dropped, key_labels = jax.random.split(key, 3)
    order = jax.random.permutation(key_relevant, num_inputs)
    return order, jax.random.randint(key_dropped, (), 0, num_relevant), key_labels


def invariant_source(
    key: Key[Array, ""],
    *,
    length: int,
    num_classes: int,
    discrimination: Real,
    group: Literal["cyclic", "symmetric"] = "cyclic",
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y depends on a binary string up to a group of permutations of its bits.

    X is a string of L bits, in C order, and the sufficient code U is its orbit: under the cyclic group a necklace,
    under the symmetric group the number of ones. The biased encoder merges the orbits in pairs, drawn at random. Bits
    are seen as ±1.

    Args:
      key: a key of ``jax.random.key``.
      length: L, the number of bits.
      num_classes: C, the number of classes, from 2 to the number of orbits.
      discrimination: δ in [0, 1]; at 0 Y is independent of X, at 1 the code determines Y.
      group: ``"cyclic"`` shifts, or the ``"symmetric"`` group of all permutations.
      input_distribution: distribution of X, shape ``[x]`` with x = 2**L; uniform if None.

    Returns:
      A ``Source`` of 2**L symbols and C classes.

    Raises:
      ValueError: if an argument is out of its range, or the biased encoder loses no information for any labels drawn.

    Source:
      arXiv:2405.20452, the models that are invariant to a group.

    Examples:
      >>> import isjax, jax
      >>> source = isjax.invariant_source(jax.random.key(0), length=4, num_classes=3, discrimination=1.0)
      >>> source.joint.shape, int(source.codes.max()) + 1
      ((16, 3), 6)
    """
    _checks.check_key(key)
    _check_num_symbols(2, _checks.check_integer(length, "length"), "2**length")
    _checks.check_one_of(group, "group", ("cyclic", "symmetric"))
    sizes = (2,) * length
    bits = _coordinates(sizes)
    generators = [np.roll(bits, 1, axis=1)]
    if group == "symmetric":
        generators.append(np.concatenate([bits[:, 1::-1], bits[:, 2:]], axis=1))  # swaps the first two bits
    codes = np.asarray(orbit_encoder(np.stack([_index_of(permuted, sizes) for permuted in generators])))
    order, key_labels = _draw_order(key, size=int(codes.max()) + 1)
    return _source(
        key_labels,
        features=_coordinate_features(sizes),
        codes=codes,
        merged=np.asarray(order) // 2,
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


@jax.jit(static_argnames="size")
def _draw_order(key: Array, *, size: int) -> tuple[Array, Array]:
    """A random permutation, and a key for the labels."""
    key_order, key_labels = jax.random.split(key)
    return jax.random.permutation(key_order, size), key_labels


def robust_source(
    key: Key[Array, ""],
    *,
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y does not change if any one bit of X is flipped.

    X is a string of 7 bits, in C order, and the sufficient code U is the message of the nearest codeword of the
    Hamming(7,4) code, whose balls of radius one tile the cube. The biased encoder drops one of the message's 4 bits,
    drawn at random. Bits are seen as ±1.

    Args:
      key: a key of ``jax.random.key``.
      num_classes: C, the number of classes, from 2 to 16.
      discrimination: δ in [0, 1]; at 0 Y is independent of X, at 1 the code determines Y.
      input_distribution: distribution of X, shape ``[128]``; uniform if None.

    Returns:
      A ``Source`` of 128 symbols and C classes.

    Raises:
      ValueError: if an argument is out of its range, or the biased encoder loses no information for any labels drawn.

    Source:
      Hamming, Error detecting and error correcting codes (1950); arXiv:2405.20452, the robust models.

    Examples:
      >>> import isjax, jax
      >>> source = isjax.robust_source(jax.random.key(0), num_classes=2, discrimination=0.8)
      >>> source.joint.shape, bool(source.codes[0b0000000] == source.codes[0b0010000])
      ((128, 2), True)
    """
    _checks.check_key(key)
    bits = _coordinates((2,) * 7)
    positions = np.arange(1, 8)
    syndrome = np.bitwise_xor.reduce(bits * positions, axis=1)  # the position of the flipped bit, or 0
    corrected = bits ^ (positions == syndrome[:, None])
    dropped, key_labels = _draw_dropped(key)
    return _source(
        key_labels,
        features=_coordinate_features((2,) * 7),
        codes=_index_of(corrected[:, [2, 4, 5, 6]], (2,) * 4),  # positions that are no power of two hold the message
        merged=_without(int(dropped), (2,) * 4),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


@jax.jit
def _draw_dropped(key: Array) -> tuple[Array, Array]:
    """Which bit of the message is dropped, and a key for the labels."""
    key_dropped, key_labels = jax.random.split(key)
    return jax.random.randint(key_dropped, (), 0, 4), key_labels


def digital_source(
    key: Key[Array, ""],
    *,
    grid: int | tuple[int, int],
    num_cells: int,
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y depends on the cell of the plane in which X lies.

    X is a point of a grid, in C order, and the sufficient code U is the nearest of K centres, the first of several;
    centres are distinct points of the grid, drawn at random, so that no cell is empty. The biased encoder keeps the
    first ⌈K/2⌉ centres, and maps each cell to the one nearest to its centre. Features of a point are the one-hot codes
    of its row and of its column (±1 on an axis of two points).

    Args:
      key: a key of ``jax.random.key``.
      grid: number of points on each axis, one for both or (rows, columns).
      num_cells: K, the number of cells, from 2 to the number of points.
      num_classes: C, the number of classes, from 2 to K.
      discrimination: δ in [0, 1]; at 0 Y is independent of X, at 1 the code determines Y.
      input_distribution: distribution of X, shape ``[x]`` with x = rows × columns; uniform if None.

    Returns:
      A ``Source`` of rows × columns symbols and C classes.

    Raises:
      ValueError: if an argument is out of its range, or the biased encoder loses no information for any labels drawn.

    Source:
      arXiv:2405.20452, the models of a digitised input; Lloyd, Least squares quantization in PCM (1982), for the cells.

    Examples:
      >>> import isjax, jax
      >>> options = {"grid": 8, "num_cells": 5, "num_classes": 4, "discrimination": 0.8}
      >>> source = isjax.digital_source(jax.random.key(0), **options)
      >>> source.joint.shape, int(source.codes.max()) + 1, source.features.shape
      ((64, 4), 5, (64, 16))
    """
    _checks.check_key(key)
    sizes = tuple(_checks.check_integer(size, "grid") for size in (grid if isinstance(grid, tuple) else (grid, grid)))
    if len(sizes) != 2:
        raise ValueError(f"grid must be one number or (rows, columns), got {grid}")
    num_points = math.prod(sizes)
    if num_points > _MAX_SYMBOLS:
        raise ValueError(f"grid must have at most 2**24 points, got {num_points}")
    if _checks.check_integer(num_cells, "num_cells", at_least=2) > num_points:
        raise ValueError(f"num_cells={num_cells}, but the grid has only {num_points} points")
    order, key_labels = _draw_order(key, size=num_points)
    points = _coordinates(sizes)
    centres = points[np.asarray(order)[:num_cells]]
    return _source(
        key_labels,
        features=_coordinate_features(sizes),
        codes=_nearest(points, centres),
        merged=_nearest(centres, centres[: -(-num_cells // 2)]),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


def _nearest(points: Int[np.ndarray, "n d"], centres: Int[np.ndarray, "k d"]) -> Int[np.ndarray, "n"]:
    """The nearest centre of each point, in squared distances of integers, which are exact."""
    nearest, least = np.zeros(len(points), int), np.full(len(points), np.iinfo(int).max)
    for k, centre in enumerate(centres):
        distance = np.sum((points - centre) ** 2, axis=1)
        nearest[distance < least] = k
        least = np.minimum(distance, least)
    return nearest


# --- biased encoders of a given loss ------------------------------------------------------------------------------

_MAX_CODES_TO_ENUMERATE = 8
_MAX_CELLS_AT_ONCE = 2**22


def biased_encoder(source: Source, *, loss: Real) -> Int[Array, "x"]:
    r"""Coarsening of a source's sufficient code whose loss is nearest to a given one.

    .. math:: \arg\min_\eta \bigl| I(X;Y \mid \eta(U)) - \text{loss} \bigr|

    Of up to 8 codes every partition is tried. Of more, those that assign the first m codes of an order to some cells
    and keep the others, for every m and for many orders and numbers of cells: with one cell their losses increase from
    zero to I(X;Y). The result is a function of the source and the loss.

    Args:
      source: the source whose codes are coarsened.
      loss: the desired mutual information loss, in nats; above I(X;Y) the nearest is that of the constant encoder.

    Returns:
      Codes of X, 0 … K − 1 in order of first appearance, shape ``[x]``.

    Raises:
      ValueError: if ``loss`` is negative or not finite.

    Source:
      arXiv:2405.20452, Theorem 4: the loss is the bias of an encoder.

    Examples:
      >>> import isjax, jax
      >>> source = isjax.robust_source(jax.random.key(0), num_classes=4, discrimination=0.8)
      >>> codes = isjax.biased_encoder(source, loss=0.1)
      >>> round(float(isjax.mutual_information_loss(source.joint, codes)), 2)
      0.11
    """
    if not (loss >= 0 and math.isfinite(loss)):
        raise ValueError(f"loss must be at least 0 and finite, got {loss}")
    num_codes = int(np.max(source.codes)) + 1
    return _nearest_coarsening(source.joint, source.codes, loss, num_codes=num_codes)


@jax.jit(inline=True, static_argnames="num_codes")
def _nearest_coarsening(joint: Array, codes: Array, loss: Array | float, *, num_codes: int) -> Int[Array, "x"]:
    joint_uy = Codes(codes, num_codes).pushforward(joint)
    candidates = _partitions(num_codes) if num_codes <= _MAX_CODES_TO_ENUMERATE else _random_merges(num_codes)
    at_once = max(1, _MAX_CELLS_AT_ONCE // joint_uy.size)
    losses = jax.lax.map(lambda merged: Codes(merged, num_codes).loss(joint_uy), candidates, batch_size=at_once)
    nearest = candidates[jnp.argmin(jnp.abs(losses - loss))]
    return compact_codes(nearest[codes]).codes


def _partitions(num_codes: int) -> Int[Array, "candidate u"]:
    """Every partition, as its restricted growth string: each code is at most one above the largest before it."""
    grown = [[0]]
    for _ in range(num_codes - 1):
        grown = [[*codes, code] for codes in grown for code in range(max(codes) + 2)]
    return jnp.asarray(grown)


def _random_merges(num_codes: int) -> Int[Array, "candidate u"]:
    """Encoders that assign the first m codes of a random order to c cells and keep the others, for all m and some c.

    With one cell the losses increase from zero to all of the information; with more they lie closer together.
    """
    num_orders = max(1, min(256, _MAX_CELLS_AT_ONCE // num_codes**2))

    def merges(i: Array) -> Array:
        key_order, key_cells = jax.random.split(jax.random.fold_in(jax.random.key(0), i))
        position = jax.random.permutation(key_order, num_codes)
        num_cells = 1 + i % max(num_codes // 2, 1)
        cells = jax.random.randint(key_cells, (num_codes,), 0, num_cells)
        num_merged = jnp.arange(1, num_codes + 1)[:, None]
        return jnp.where(position < num_merged, cells, num_codes // 2 + position)

    return compact_codes(jax.vmap(merges)(jnp.arange(num_orders)).reshape(-1, num_codes)).codes
