r"""Controlled models of (X, Y) with exact ground truth, and the problems that they pose to a learner.

X has a given input distribution, U = η(X) is a sufficient encoder that the model knows, and

.. math:: p(y \mid u) = \frac{1 - \delta}{C} + \delta\, 1\{y = \text{label}(u)\}

for C classes, random balanced labels, and the discrimination δ: at 0 there is nothing to learn, at 1 the code tells Y.
"""

import dataclasses
import math
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
from isjax.encoders import coordinate_encoder
from isjax.measures import conditional_entropy, entropy, mutual_information
from isjax.sufficiency import mutual_information_loss

__all__ = ["Problem", "Source", "sparse_source"]

_MAX_LABEL_DRAWS = 1000


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
        _checks.encoder(codes, num_symbols, num_symbols=num_symbols, of=f"X has {num_symbols} symbols in the source")
        codes = _checks.deterministic(codes, "encoder")
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
    _checks.unit_interval(discrimination, "discrimination")
    if _checks.count(num_classes, "num_classes", at_least=2) > num_codes:
        raise ValueError(f"num_classes={num_classes}, but there are only {num_codes} codes to label")
    if input_distribution is None:
        p_x = jnp.full(num_symbols, 1 / num_symbols)
    else:
        p_x = _checks.probabilities(input_distribution, "input_distribution", axes="x")
        if p_x.shape != (num_symbols,):
            raise ValueError(f"input_distribution must have shape ({num_symbols},), got {p_x.shape}")
        check_distribution(p_x, name="input_distribution")
    labels = _labels(key, pushforward(p_x[:, None], codes, num_codes=num_codes)[:, 0], merged, num_classes)
    rows = _channel_given_code(labels, num_classes, discrimination)[codes].astype(p_x.dtype)
    return Source(joint_distribution(p_x, rows), features.astype(p_x.dtype), codes, merged[codes])


def _labels(key: Array, p_u: Array, merged: Array, num_classes: int) -> Int[Array, "u"]:
    """Balanced random labels that the merged codes do not determine."""
    for attempt in range(_MAX_LABEL_DRAWS):
        key_codes, key_classes = jax.random.split(jax.random.fold_in(key, attempt))
        classes = jax.random.permutation(key_classes, num_classes)  # which of them have one label more
        labels = classes[jax.random.permutation(key_codes, p_u.shape[0]) % num_classes]
        if mutual_information_loss(p_u[:, None] * jax.nn.one_hot(labels, num_classes, dtype=p_u.dtype), merged) > 0:
            return labels
    raise ValueError(
        f"no labels in {_MAX_LABEL_DRAWS} draws for which the biased encoder loses information: the codes that it "
        f"merges may have no mass (num_classes={num_classes})"
    )


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
    d, a = _checks.count(num_inputs, "num_inputs"), _checks.count(alphabet_size, "alphabet_size", at_least=2)
    k = _checks.count(num_relevant, "num_relevant")
    if k > d:
        raise ValueError(f"num_relevant={num_relevant}, but there are only num_inputs={num_inputs} inputs")
    if math.log(a) * d > math.log(2**24) + 1e-9:
        raise ValueError(f"alphabet_size**num_inputs must be at most 2**24 symbols, got {a}**{d}")
    key_relevant, key_dropped, key_labels = jax.random.split(key, 3)
    relevant = np.sort(np.asarray(jax.random.permutation(key_relevant, d)[:k]))
    dropped = int(jax.random.randint(key_dropped, (), 0, k))
    values = np.stack(np.unravel_index(np.arange(a**d), (a,) * d), axis=1)
    features = 2.0 * values - 1 if a == 2 else np.eye(a)[values].reshape(a**d, d * a)
    return _source(
        key_labels,
        features=features,
        codes=coordinate_encoder((a,) * d, relevant.tolist()),
        merged=coordinate_encoder((a,) * k, [i for i in range(k) if i != dropped]),
        num_classes=num_classes,
        discrimination=discrimination,
        input_distribution=input_distribution,
    )
