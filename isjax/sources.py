r"""Controlled models of (X, Y) with exact ground truth, and the problems that they pose to a learner.

X has a given input distribution, U = η(X) is a sufficient encoder that the model knows, and

.. math:: p(y \mid u) = \frac{1 - \delta}{C} + \delta\, 1\{y = \text{label}(u)\}

for C classes, random balanced labels, and the discrimination δ: at 0 there is nothing to learn, at 1 the code tells Y.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._typing import Array, ArrayLike, Float, Int, Key, Real
from isjax.distributions import (
    check_distribution,
    joint_distribution,
    marginal_x,
    marginal_y,
    pushforward,
)
from isjax.encoders import compact_codes, compose_encoders, coordinate_encoder, orbit_encoder
from isjax.entropies import conditional_entropy, entropy
from isjax.informations import mutual_information
from isjax.sufficiency import mutual_information_loss

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


class Problem(NamedTuple):
    """What a learner sees: X through its code U, and Y. Arrays alone, so problems of one shape stack and vmap.

    Source:
      arXiv:2405.20452: the encoder-decoder structure X → U → Y.
    """

    joint: Float[Array, "x y"]
    """Distribution of (X, Y)."""
    codes: Int[Array, "x"]
    """Code of each input symbol, in 0 … u − 1."""
    features: Float[Array, "u d"]
    """How a network sees each code."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A joint distribution of (X, Y) of which everything is known.

    Attributes:
      joint: distribution of (X, Y), shape ``[x, y]``.
      features: how a network sees each input symbol, shape ``[x, d]``.
      codes: a sufficient encoder, shape ``[x]``.
      biased_codes: an encoder that loses information unless the discrimination is zero, shape ``[x]``.

    Source:
      arXiv:2405.20452, the controlled models of the numerical study.
    """

    joint: Float[Array, "x y"]
    features: Float[Array, "x d"]
    codes: Int[Array, "x"]
    biased_codes: Int[Array, "x"]

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

        A code's features are those of one of its symbols, the one nearest to their mean (the first of several), without
        the columns that are the same for every code. So the sufficient code of a sparse source has the features of the
        coordinates that it keeps.

        Args:
          encoder: ``"identity"`` (X itself), ``"sufficient"``, ``"biased"``, or codes of one's own, shape ``[x]``.

        Returns:
          A ``Problem``.

        Raises:
          TypeError: if codes of one's own are not integers.
          ValueError: if the name is unknown, or the codes are not one for each symbol of X, 0 … K − 1, each of them
            used.

        Examples:
          >>> source = sparse_source(jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8)
          >>> source.problem("identity").features.shape, source.problem("sufficient").features.shape
          ((16, 4), (4, 2))
        """
        if isinstance(encoder, str):
            if encoder == "identity":
                return Problem(self.joint, jnp.arange(self.joint.shape[0]), self.features)
            named = {"sufficient": self.codes, "biased": self.biased_codes}
            if encoder not in named:
                raise ValueError(f'encoder must be "identity", "sufficient", "biased" or codes, got "{encoder}"')
            codes = named[encoder]
        else:
            codes = jnp.asarray(encoder)
        num_symbols = self.joint.shape[0]
        if codes.shape != (num_symbols,):
            raise ValueError(
                f"encoder must have shape ({num_symbols},), a code for each symbol of X, got {codes.shape}"
            )
        codes = _checks.as_codes(codes, num_symbols, "encoder")
        return Problem(self.joint, codes, _code_features(np.asarray(codes), np.asarray(self.features)))


def _code_features(codes: np.ndarray, features: np.ndarray) -> Float[Array, "u d"]:
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
    return jnp.asarray(nearest[:, varying] if varying.any() else nearest[:, :1])


def _channel_given_code(labels: Int[ArrayLike, "u"], num_classes: int, discrimination: Real) -> Float[Array, "u y"]:
    """Rows p(y | u) of a source with these labels."""
    return (1 - discrimination) / num_classes + discrimination * jax.nn.one_hot(labels, num_classes)


def _source(
    key: Key[Array, ""],
    *,
    features: Float[ArrayLike, "x d"],
    codes: Int[ArrayLike, "x"],
    merged: Int[ArrayLike, "u"],
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None,
) -> Source:
    """A source with given codes, and labels drawn until merging the codes as ``merged`` does loses information."""
    features, codes, merged = jnp.asarray(features, float), jnp.asarray(codes), jnp.asarray(merged)
    num_symbols, num_codes = codes.shape[0], merged.shape[0]
    _checks.check_unit_interval(discrimination, "discrimination")
    if _checks.check_integer(num_classes, "num_classes", at_least=2) > num_codes:
        raise ValueError(f"num_classes={num_classes}, but there are only {num_codes} codes to label")
    if input_distribution is None:
        p_x = jnp.full(num_symbols, 1 / num_symbols)
    else:
        p_x = _checks.as_probabilities(input_distribution, "input_distribution", axes="x")
        if p_x.shape != (num_symbols,):
            raise ValueError(f"input_distribution must have shape ({num_symbols},), got {p_x.shape}")
        check_distribution(p_x, name="input_distribution")
    occupied = np.unique(np.asarray(codes)[np.asarray(p_x) > 0])
    labels = _labels(key, occupied, merged, num_classes)
    rows = _channel_given_code(labels, num_classes, discrimination)[codes].astype(p_x.dtype)
    return Source(joint_distribution(p_x, rows), features.astype(p_x.dtype), codes, merged[codes])


def _labels(
    key: Key[Array, ""], occupied: Int[np.ndarray, "_"], merged: Int[Array, "u"], num_classes: int
) -> Int[Array, "u"]:
    """Balanced random labels that the merged codes do not determine; codes that have mass are ``occupied``."""
    cells = np.asarray(merged)
    for attempt in range(_MAX_LABEL_DRAWS):
        labels = _balanced_labels(jax.random.fold_in(key, attempt), cells.size, num_classes)
        labelled_cells = np.stack([cells, np.asarray(labels)])[:, occupied]
        if np.unique(labelled_cells, axis=1).shape[1] > np.unique(cells[occupied]).size:  # a cell has two labels
            return labels
    raise ValueError(
        f"no labels in {_MAX_LABEL_DRAWS} draws for which the biased encoder loses information: the codes that it "
        f"merges may have no mass (num_classes={num_classes})"
    )


@partial(jax.jit, static_argnames=("num_codes", "num_classes"))
def _balanced_labels(key: Array, num_codes: int, num_classes: int) -> Int[Array, "u"]:
    key_codes, key_classes = jax.random.split(key)
    classes = jax.random.permutation(key_classes, num_classes)  # which of them have one label more
    return classes[jax.random.permutation(key_codes, num_codes) % num_classes]


def _check_num_symbols(base: int, exponent: int, name: str) -> None:
    if math.log(base) * exponent > math.log(_MAX_SYMBOLS) + 1e-9:
        raise ValueError(f"{name} must be at most 2**24 symbols, got {base}**{exponent}")


def _coordinates(sizes: Sequence[int]) -> Int[np.ndarray, "x d"]:
    """Every vector of the product alphabet, in C order."""
    return np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)


def _coordinate_features(sizes: Sequence[int]) -> Float[np.ndarray, "x d"]:
    """How a network sees a vector: coordinates of two values as ±1, those of more as one-hot."""
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
      num_inputs: d, how many inputs.
      num_relevant: k, how many of them matter, from 1 to d.
      num_classes: C, how many classes, from 2 to the number of codes a**k.
      discrimination: δ in [0, 1]; at 0 nothing can be learnt, at 1 the code tells Y.
      alphabet_size: a, how many values an input has.
      input_distribution: distribution of X, shape ``[x]`` with x = a**d; uniform if None.

    Returns:
      A ``Source`` of a**d symbols and C classes.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if an argument is out of its range, or no draw of labels lets the biased encoder lose information.

    Source:
      arXiv:2405.20452, the numerical study.

    Examples:
      >>> source = sparse_source(jax.random.key(0), num_inputs=6, num_relevant=2, num_classes=4, discrimination=1.0)
      >>> source.joint.shape, round(float(source.mutual_information / jnp.log(2)), 3)
      ((64, 4), 2.0)
    """
    d, a = (
        _checks.check_integer(num_inputs, "num_inputs"),
        _checks.check_integer(alphabet_size, "alphabet_size", at_least=2),
    )
    k = _checks.check_integer(num_relevant, "num_relevant")
    if k > d:
        raise ValueError(f"num_relevant={num_relevant}, but there are only num_inputs={num_inputs} inputs")
    _check_num_symbols(a, d, "alphabet_size**num_inputs")
    key_relevant, key_dropped, key_labels = jax.random.split(key, 3)
    relevant = np.sort(np.asarray(jax.random.permutation(key_relevant, d)[:k]))
    dropped = int(jax.random.randint(key_dropped, (), 0, k))
    return _source(
        key_labels,
        features=_coordinate_features((a,) * d),
        codes=coordinate_encoder((a,) * d, relevant.tolist()),
        merged=coordinate_encoder((a,) * k, [i for i in range(k) if i != dropped]),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


def invariant_source(
    key: Key[Array, ""],
    *,
    length: int,
    num_classes: int,
    discrimination: Real,
    group: Literal["cyclic", "symmetric"] = "cyclic",
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y depends on a binary string up to a group of permutations of its places.

    X is a string of L bits, in C order, and the sufficient code U is its orbit: under the cyclic group a necklace,
    under the symmetric group the number of ones. The biased encoder merges the orbits in pairs, drawn at random. Bits
    are seen as ±1.

    Args:
      key: a key of ``jax.random.key``.
      length: L, how many bits.
      num_classes: C, how many classes, from 2 to the number of orbits.
      discrimination: δ in [0, 1]; at 0 nothing can be learnt, at 1 the code tells Y.
      group: ``"cyclic"`` shifts, or the ``"symmetric"`` group of all permutations.
      input_distribution: distribution of X, shape ``[x]`` with x = 2**L; uniform if None.

    Returns:
      A ``Source`` of 2**L symbols and C classes.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if an argument is out of its range, or no draw of labels lets the biased encoder lose information.

    Source:
      arXiv:2405.20452, the models that are invariant to a group.

    Examples:
      >>> source = invariant_source(jax.random.key(0), length=4, num_classes=3, discrimination=1.0)
      >>> source.joint.shape, int(source.codes.max()) + 1
      ((16, 3), 6)
    """
    _check_num_symbols(2, _checks.check_integer(length, "length"), "2**length")
    _checks.check_one_of(group, "group", ("cyclic", "symmetric"))
    key_merged, key_labels = jax.random.split(key)
    bits = _coordinates((2,) * length)
    swapped = np.concatenate([bits[:, 1::-1], bits[:, 2:]], axis=1)  # of the first two places
    moved = [np.roll(bits, 1, axis=1)] if group == "cyclic" else [np.roll(bits, 1, axis=1), swapped]
    codes = orbit_encoder(np.stack([_index_of(places) for places in moved]))
    return _source(
        key_labels,
        features=_coordinate_features((2,) * length),
        codes=codes,
        merged=jax.random.permutation(key_merged, int(codes.max()) + 1) // 2,
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


def _index_of(bits: Int[np.ndarray, "x d"]) -> Int[np.ndarray, "x"]:
    """Symbols of binary vectors, in C order."""
    return bits @ (1 << np.arange(bits.shape[1])[::-1])


def robust_source(
    key: Key[Array, ""],
    *,
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y survives any one flipped bit of X.

    X is a string of 7 bits, in C order, and the sufficient code U is the message of the nearest codeword of the
    Hamming(7,4) code, whose balls of radius one tile the cube. The biased encoder drops one of the message's 4 bits,
    drawn at random. Bits are seen as ±1.

    Args:
      key: a key of ``jax.random.key``.
      num_classes: C, how many classes, from 2 to 16.
      discrimination: δ in [0, 1]; at 0 nothing can be learnt, at 1 the code tells Y.
      input_distribution: distribution of X, shape ``[128]``; uniform if None.

    Returns:
      A ``Source`` of 128 symbols and C classes.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if an argument is out of its range, or no draw of labels lets the biased encoder lose information.

    Source:
      Hamming, Error detecting and error correcting codes (1950); arXiv:2405.20452, the robust models.

    Examples:
      >>> source = robust_source(jax.random.key(0), num_classes=2, discrimination=0.8)
      >>> source.joint.shape, bool(source.codes[0b0000000] == source.codes[0b0010000])
      ((128, 2), True)
    """
    key_dropped, key_labels = jax.random.split(key)
    bits = _coordinates((2,) * 7)
    places = np.arange(1, 8)
    syndrome = np.bitwise_xor.reduce(bits * places, axis=1)  # the place that is flipped, or none
    corrected = bits ^ (places == syndrome[:, None])
    dropped = int(jax.random.randint(key_dropped, (), 0, 4))
    return _source(
        key_labels,
        features=_coordinate_features((2,) * 7),
        codes=_index_of(corrected[:, [2, 4, 5, 6]]),  # the places that are no power of two hold the message
        merged=coordinate_encoder((2,) * 4, [i for i in range(4) if i != dropped]),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )


def digital_source(
    key: Key[Array, ""],
    *,
    grid: int | tuple[int, int],
    num_cells: int,
    num_classes: int,
    discrimination: Real,
    input_distribution: Float[ArrayLike, "x"] | None = None,
) -> Source:
    r"""Source in which Y depends on the cell of the plane that X lies in.

    X is a point of a grid, in C order, and the sufficient code U is the nearest of K centres, the first of several;
    centres are distinct points of the grid, drawn at random, so that no cell is empty. The biased encoder keeps the
    first ⌈K/2⌉ centres, and sends each cell to the one nearest to its own. A point is seen as the one-hot codes of its
    row and of its column (as ±1 on an axis of two points).

    Args:
      key: a key of ``jax.random.key``.
      grid: how many points on each axis, one number for both or (rows, columns).
      num_cells: K, how many cells, from 2 to the number of points.
      num_classes: C, how many classes, from 2 to K.
      discrimination: δ in [0, 1]; at 0 nothing can be learnt, at 1 the code tells Y.
      input_distribution: distribution of X, shape ``[x]`` with x = rows × columns; uniform if None.

    Returns:
      A ``Source`` of rows × columns symbols and C classes.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if an argument is out of its range, or no draw of labels lets the biased encoder lose information.

    Source:
      arXiv:2405.20452, the models of a digitised input; Lloyd, Least squares quantization in PCM (1982), for the cells.

    Examples:
      >>> source = digital_source(jax.random.key(0), grid=8, num_cells=5, num_classes=4, discrimination=0.8)
      >>> source.joint.shape, int(source.codes.max()) + 1, source.features.shape
      ((64, 4), 5, (64, 16))
    """
    sizes = tuple(_checks.check_integer(size, "grid") for size in (grid if isinstance(grid, tuple) else (grid, grid)))
    if len(sizes) != 2:
        raise ValueError(f"grid must be one number or (rows, columns), got {grid}")
    num_points = math.prod(sizes)
    if num_points > _MAX_SYMBOLS:
        raise ValueError(f"grid must have at most 2**24 points, got {num_points}")
    if _checks.check_integer(num_cells, "num_cells", at_least=2) > num_points:
        raise ValueError(f"num_cells={num_cells}, but the grid has only {num_points} points")
    key_centres, key_labels = jax.random.split(key)
    points = _coordinates(sizes)
    centres = points[np.asarray(jax.random.permutation(key_centres, num_points)[:num_cells])]
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

    Of up to 8 codes every partition is tried. Of more, those that deal the first m codes of an order into some cells
    and keep the others, for every m and for many orders and numbers of cells: with one cell their losses rise from zero
    to I(X;Y), and the nearest of all of them is taken. The same source and loss give the same encoder.

    Args:
      source: of which the codes are to be coarsened.
      loss: the mutual information loss that is wanted, in nats; above I(X;Y) the nearest is the constant encoder.

    Returns:
      Codes of X, 0 … K − 1 in order of first appearance, shape ``[x]``.

    Raises:
      ValueError: if ``loss`` is negative or not finite.

    Source:
      arXiv:2405.20452, Theorem 4: the loss is the bias of an encoder.

    Examples:
      >>> source = robust_source(jax.random.key(0), num_classes=4, discrimination=0.8)
      >>> codes = biased_encoder(source, loss=0.1)
      >>> round(float(mutual_information_loss(source.joint, codes)), 2)
      0.11
    """
    if not (loss >= 0 and math.isfinite(loss)):
        raise ValueError(f"loss must be at least 0 and finite, got {loss}")
    num_codes = int(source.codes.max()) + 1
    joint_uy = pushforward(source.joint, source.codes, num_codes=num_codes)
    candidates = _partitions(num_codes) if num_codes <= _MAX_CODES_TO_ENUMERATE else _random_merges(num_codes)
    at_once = max(1, _MAX_CELLS_AT_ONCE // joint_uy.size)
    losses = jax.lax.map(lambda codes: mutual_information_loss(joint_uy, codes), candidates, batch_size=at_once)
    nearest = candidates[jnp.argmin(jnp.abs(losses - loss))]
    return compact_codes(compose_encoders(source.codes, nearest)).codes


def _partitions(num_codes: int) -> Int[Array, "candidate u"]:
    """Every partition, as its restricted growth string: each code is at most one above the largest before it."""
    grown = [[0]]
    for _ in range(num_codes - 1):
        grown = [[*codes, code] for codes in grown for code in range(max(codes) + 2)]
    return jnp.asarray(grown)


def _random_merges(num_codes: int) -> Int[Array, "candidate u"]:
    """Encoders that deal the first m codes of a random order into c cells and keep the others, for every m and some c.

    With one cell the losses rise from zero to all of the information; with more they lie closer together.
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
