r"""Cross-validation of learners on samples, for those who have rows and no distribution.

.. math:: H_{\mathcal V}(Y|U) - H_{\mathcal V}(Y|X)

The held-out cross-entropy of a family of learners on U minus that on X, the rise, estimates what it costs them to see
U instead of X. A member of the grid is (sample, network, batch size, learning rate, length, seed, fold). The rows of a
fold are held out. Of the first n others, in an order that the seed draws, every fifth chooses the step, the batch size
and the learning rate of a network trained on the rest; the network that is judged is then trained on all n. All samples
have the same folds and order: comparisons are paired.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from isjax import _checks
from isjax._display import displayed
from isjax._typing import Array, Float, Int, Key
from isjax.entropies import entropy
from isjax.estimation import Interval
from isjax.networks import MLP, EncoderDecoder, check_network
from isjax.sweeps import (
    SweepSpec,
    all_devices,
    bytes_of_device,
    check_spec,
    chunk_size_on_cpu,
    map_members,
    num_numbers,
)
from isjax.training import LearnedRows, Optimizer, RowSplit, train_on_rows

__all__ = [
    "Candidates",
    "CheckedSamples",
    "CrossValidation",
    "Folds",
    "Sample",
    "as_samples",
    "choose",
    "compile_candidates",
    "cross_validate",
    "draw_folds",
    "most_rows",
    "sample_groups",
]

_Values = Array | np.ndarray
"""Arrays on the device or on the host."""

_EVERY = 5  # one of so many rows chooses the step, the batch size and the learning rate
_MOST_VALIDATION = 4096  # rows
_MOST_PADDING = 2  # times its number of columns
_GATHERED_NUMBERS = 2**23  # features of the training rows, of all members that a core trains at once


@displayed()
class Sample(NamedTuple):
    """Rows of data whose distribution nobody knows: what a learner sees of each, and its class.

    Source:
      arXiv:2405.20452, the proposed check on benchmark data.
    """

    features: Float[_Values, "n d"] | Int[_Values, "n d"]
    """Numbers, which need not be scaled."""
    targets: Int[_Values, "n"]
    """Class of each row, in 0 … y − 1."""


@displayed("risk", "accuracy")
@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=(
        "row_loss",
        "row_accuracy",
        "target_entropy",
        "length",
        "fold",
        "validation_loss",
        "learning_rate",
        "batch_size",
        "step",
    ),
    meta_fields=("samples", "networks", "num_classes", "num_folds"),
)
@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CrossValidation:
    """Losses of every row when it was held out, and what was chosen for each fold; in nats.

    Attributes:
      row_loss: −log q(y | row), shape ``[sample, network, length, seed, row]``.
      row_accuracy: one if the likeliest class is the row's, else zero; same shape.
      target_entropy: H(Y) of the rows, the risk of a learner that sees nothing.
      length: number of rows that each learner had, for training and validation together, shape ``[length]``, ascending
        as in the spec.
      fold: in which fold each row was held out, shape ``[seed, row]``.
      validation_loss: least loss of the validation rows, shape ``[sample, network, length, seed, fold]``.
      learning_rate: the rate of that loss; same shape.
      batch_size: the batch size of that loss; same shape.
      step: where the run on all rows stopped, zero for the frequencies of the classes; same shape.
      samples: name of each sample.
      networks: name of each network.
      num_classes: number of classes.
      num_folds: number of folds.

    Source:
      Xu, Zhao, Song, Stewart and Ermon, A theory of usable information under computational constraints (2020).
    """

    row_loss: Float[Array, "sample network length seed row"]
    row_accuracy: Float[Array, "sample network length seed row"] = dataclasses.field(repr=False)
    target_entropy: Float[Array, ""]
    length: Int[Array, "length"]
    fold: Int[Array, "seed row"] = dataclasses.field(repr=False)
    validation_loss: Float[Array, "sample network length seed fold"] = dataclasses.field(repr=False)
    learning_rate: Float[Array, "sample network length seed fold"]
    batch_size: Int[Array, "sample network length seed fold"] = dataclasses.field(repr=False)
    step: Int[Array, "sample network length seed fold"]
    samples: tuple[str, ...]
    networks: tuple[str, ...]
    num_classes: int
    num_folds: int

    @property
    def risk(self) -> Float[Array, "sample network length seed"]:
        """Held-out cross-entropy: the mean over rows, in nats."""
        return jnp.mean(self.row_loss, axis=-1)

    @property
    def accuracy(self) -> Float[Array, "sample network length seed"]:
        """Share of rows whose class was predicted when they were held out."""
        return jnp.mean(self.row_accuracy, axis=-1)

    def rise(self, reference: str, *, confidence: float = 0.95) -> Interval:
        r"""How much more the learners lose that see another sample than the reference, in nats, with its interval.

        .. math:: \bar d \pm z_{(1+c)/2} \sqrt{(\kappa + r (v - \kappa)) / n}, \qquad r = 1 + K / (K - 1)

        d are the differences of the losses of the n rows, means over seeds, v is their variance over rows, and κ the
        part of it that seeds share: the mean covariance of the differences of two seeds, between 0 and v. The interval
        of n independent differences would have v alone. But what seeds do not share are errors of learners, which rows
        have in common: to this part applies the correction of Nadeau and Bengio for K folds. With one seed, which
        cannot tell, κ is v/2.

        Share of 400 simulated samples whose nominal 95 % interval contains the mean rise over samples, five folds, one
        and two seeds (``python -m benchmarks rises``), of a sufficient code, a biased code and X with other signs and
        order of its features. With two seeds it is 93 to 98.5 % in all cases, with one up to 99 %:

        ===================  ====  ===============  ===============  ===============
        source               n     sufficient       biased           relabelled
        ===================  ====  ===============  ===============  ===============
        sparse, 64 symbols   300   96.5, 97.5 %     97.2, 93.2 %     96.8, 98.2 %
        sparse, 64 symbols   1000  95.8, 98.5 %     98.5, 96.2 %     93.0, 97.2 %
        sparse, 64 symbols   3000  96.0, 98.0 %     98.2, 95.2 %     95.8, 96.5 %
        robust, 128 symbols  300   97.0, 95.8 %     95.8, 95.5 %     94.2, 98.2 %
        robust, 128 symbols  1000  99.0, 96.0 %     97.2, 96.0 %     95.2, 96.5 %
        robust, 128 symbols  3000  99.0, 96.8 %     99.2, 96.5 %     94.0, 97.5 %
        ===================  ====  ===============  ===============  ===============

        Args:
          reference: name of the sample to compare with.
          confidence: probability that the interval should contain the rise expected of such learners.

        Returns:
          An ``Interval``, each part of shape ``[sample, network, length]``; zero for the reference itself.

        Raises:
          ValueError: if there is no sample of that name.

        Source:
          Nadeau and Bengio, Inference for the generalization error (2003).

        Examples:
          >>> import isjax, jax
          >>> x = jax.random.normal(jax.random.key(0), (200, 2))
          >>> y = (x[:, 0] > 0).astype(int)
          >>> samples = {"both": isjax.Sample(x, y), "other": isjax.Sample(x[:, 1:], y)}
          >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(100,), num_seeds=1, num_steps=200)
          >>> found = isjax.cross_validate(jax.random.key(1), samples, spec)
          >>> bool(found.rise("both").low[1, 0, 0] > 0.2)
          True
        """
        _checks.check_one_of(reference, "reference", self.samples)
        confidence = _checks.check_open_unit_interval(confidence, "confidence")
        return _rise(self.row_loss, self.samples.index(reference), confidence, num_folds=self.num_folds)

    @property
    def codelength(self) -> Float[Array, "sample network seed"]:
        r"""Prequential codelength of the targets, in nats a row.

        .. math:: \frac{1}{n_m} \left(n_1 \log |Y| + \sum_{i < m} (n_{i+1} - n_i)\, \text{risk}(n_i)\right)

        The first n₁ rows are sent with a uniform code, and those up to n_{i+1} with a learner of the first n_i, whose
        expected loss is its held-out cross-entropy. Lengths must ascend.

        Source:
          Blier and Ollivier, The description length of deep learning models (2018); Voita and Titov (2020).
        """
        return _codelength(self.risk, self.length, math.log(self.num_classes))

    @property
    def codelength_bits(self) -> Float[Array, "sample network seed"]:
        """Prequential codelength in bits a row."""
        return self.codelength / math.log(2)


@jax.jit(inline=True, static_argnames="num_folds")
def _rise(row_loss: Array, reference: Array, confidence: Array, *, num_folds: int) -> Interval:
    difference = row_loss - row_loss[reference]
    *_, num_seeds, num_rows = difference.shape
    estimate = jnp.mean(difference, axis=(-2, -1))
    variance = jnp.var(jnp.mean(difference, axis=-2), axis=-1, ddof=1)
    shared = variance / 2
    if num_seeds > 1:
        of_seeds = jnp.sum(jnp.var(difference, axis=-1, ddof=1), axis=-1)
        shared = jnp.clip((num_seeds**2 * variance - of_seeds) / (num_seeds * (num_seeds - 1)), 0, variance)
    corrected = (1 + num_folds / (num_folds - 1)) * (variance - shared)
    error = jnp.sqrt((shared + corrected) / num_rows)
    width = jax.scipy.stats.norm.ppf((1 + confidence) / 2).astype(estimate.dtype) * error
    return Interval(estimate, estimate - width, estimate + width)


@jax.jit(inline=True)
def _codelength(risk: Array, length: Array, uniform: Array) -> Array:
    length = length.astype(risk.dtype)
    coded = jnp.sum(jnp.diff(length)[:, None] * risk[..., :-1, :], axis=-2)
    return (length[0] * uniform + coded) / length[-1]


def cross_validate(
    key: Key[Array, ""],
    samples: Mapping[str, Sample],
    spec: SweepSpec,
    *,
    num_folds: int = 5,
    num_classes: int | None = None,
    mesh: Mesh | None = None,
) -> CrossValidation:
    r"""Held-out losses of every learner of a grid on several samples of the same rows, in one jitted call.

    The samples are what learners may see of each row: raw columns, a binning, an embedding. A row is held out once for
    each seed, in the same fold for every sample. Folds have equal shares of each class. A length is a number of rows
    that a learner has, the first of those that are not held out; ``math.inf`` is all of them. Each network is trained
    twice. In the first run every fifth of its rows (at most 4096) is left out, by whose loss are chosen the step, among
    the evaluations of the spec, and the learning rate and batch size, for each fold separately. The second run is on
    all of its rows and stops at that evaluation; its losses are given. Features are standardised by the rows trained
    on. A learner may ignore them: where the frequencies of the classes have less loss, it predicts these, at step 0.

    Args:
      key: a key of ``jax.random.key``; it draws the folds, the order of the rows, the initial weights and the batches.
      samples: what learners see, by name. All have the same targets.
      spec: the grid.
      num_folds: in how many parts the rows are divided.
      num_classes: number of classes; found in the targets if None, and needed where they are traced.
      mesh: the devices to use; all of them if None.

    Returns:
      A ``CrossValidation``: the loss of each row, shape ``[sample, network, length, seed, row]``, and what was chosen.

    Raises:
      ValueError: if there is no sample, samples have different targets, a class has fewer rows than folds, there is one
        class, a feature is not finite, or a length exceeds the number of rows that are not held out.

    Source:
      Stone, Cross-validatory choice and assessment of statistical predictions (1974); arXiv:2405.20452, the proposed
      check on benchmark data.

    Examples:
      >>> import isjax, jax
      >>> x = jax.random.normal(jax.random.key(0), (200, 2))
      >>> y = (x[:, 0] > 0).astype(int)
      >>> samples = {"both": isjax.Sample(x, y), "sign": isjax.Sample(jax.numpy.sign(x[:, :1]), y)}
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(40, 160), num_seeds=2, num_steps=200)
      >>> found = isjax.cross_validate(jax.random.key(1), samples, spec)
      >>> found.row_loss.shape, found.risk.shape
      ((2, 1, 2, 2, 200), (2, 1, 2, 2))
    """
    _checks.check_key(key)
    check_spec(spec)
    if not isinstance(samples, Mapping):
        raise TypeError(f"samples must map names to Samples, such as {{'raw': sample}}, got {type(samples).__name__}")
    checked = as_samples(samples, spec, num_folds=num_folds, num_classes=num_classes)
    folds = draw_folds(key, checked.targets, num_seeds=spec.num_seeds, num_folds=num_folds)
    mesh = all_devices() if mesh is None else mesh
    candidates = _candidates(
        key, checked.features, checked.targets, folds, spec, num_classes=checked.num_classes, mesh=mesh
    )
    return choose(candidates, folds, checked, spec)


class CheckedSamples(NamedTuple):
    """Samples that can be cross-validated."""

    names: tuple[str, ...]
    features: tuple[Float[_Values, "n _"], ...]
    targets: Int[_Values, "n"]
    num_classes: int
    num_folds: int


def as_samples(
    samples: Mapping[Any, Sample], spec: SweepSpec, *, num_folds: int, num_classes: int | None = None
) -> CheckedSamples:
    """Samples, checked against each other and against the grid.

    Args:
      samples: by name.
      spec: the grid.
      num_folds: number of folds.
      num_classes: number of classes; found in the targets if None.

    Returns:
      The samples, whose features are floats.

    Raises:
      TypeError: if one is no ``Sample``, or the targets are traced and ``num_classes`` is None.
      ValueError: as of ``cross_validate``.

    Examples:
      >>> import isjax, isjax.cross_validation, numpy as np
      >>> sample = isjax.Sample(np.arange(8).reshape(4, 2), np.array([0, 1, 0, 1]))
      >>> spec = isjax.SweepSpec(lengths=(2,), num_steps=20)
      >>> isjax.cross_validation.as_samples({"raw": sample}, spec, num_folds=2).features[0].dtype
      dtype('float32')
    """
    if not samples:
        raise ValueError("samples must hold at least one Sample, got none")
    for name, sample in samples.items():
        if not isinstance(sample, Sample):
            raise TypeError(
                f"samples must hold an isjax.Sample for {name!r}, such as isjax.Sample(features, targets), "
                f"got {type(sample).__name__}"
            )
    (first, (_, given)), *others = samples.items()
    targets = _as_targets(given, first, num_folds, num_classes)
    for name, other in others:
        if np.shape(other.targets) != targets.shape or (
            _checks.is_concrete(given, other.targets)
            and not np.array_equal(np.asarray(other.targets), np.asarray(given))
        ):
            raise ValueError(f"samples must have the same targets, row by row, but {name!r} has others than {first!r}")
    features = [_as_features(sample.features, targets.size, name) for name, sample in samples.items()]
    features = tuple(each.astype(jnp.result_type(*features)) for each in features)
    if num_classes is None:
        if not _checks.is_concrete(targets):
            raise TypeError("targets are being traced: give num_classes")
        num_classes = int(np.asarray(targets).max()) + 1
    _check_lengths(spec, targets.size, num_folds)
    if spec.scores:
        raise ValueError(
            f"rules of samples are the logarithmic one and the accuracy, got {', '.join(spec.scores)}: leave rules out"
        )
    return CheckedSamples(tuple(samples), features, targets, num_classes, num_folds)


def _as_targets(targets: Any, name: Any, num_folds: int, num_classes: int | None) -> Array:  # noqa: ANN401
    """The classes, each of which must have a row in every fold."""
    _checks.check_integer(num_folds, "num_folds", at_least=2)
    _checks.check_integers(targets, f"targets of {name!r}", "classes 0…y−1")
    if np.ndim(targets) != 1:
        raise ValueError(f"targets of {name!r} must have shape [n], one class a row, got shape {np.shape(targets)}")
    if num_classes is not None:
        _checks.check_integer(num_classes, "num_classes", at_least=2)
    if not _checks.is_concrete(targets):
        return jnp.asarray(targets, jnp.int32)
    values = np.asarray(targets)
    if not values.size:
        raise ValueError(f"targets of {name!r} must have at least one row, got none")
    if values.min() < 0 or values.max() > max(values.size, num_classes or 0):
        raise ValueError(
            f"targets of {name!r} must be classes 0…y−1, got {values.min()}…{values.max()}: "
            "isjax.encode_labels turns labels into these"
        )
    counts = np.bincount(values.astype(np.int64), minlength=num_classes or 0)
    if counts.size > (num_classes or counts.size):
        raise ValueError(f"targets of {name!r} must be below num_classes={num_classes}, got {values.max()}")
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"targets of {name!r} must have at least two classes, got one: there is nothing to learn")
    rare = int(np.argmin(counts))
    if not counts[rare]:
        remedy = "isjax.encode_labels numbers the classes that occur"
        raise ValueError(
            f"targets of {name!r} must use every class 0…{counts.size - 1}, class {rare} has no row: {remedy}"
        )
    if counts[rare] < num_folds:
        raise ValueError(
            f"each class must have a row in each of {num_folds} folds, but class {rare} has {counts[rare]} rows: "
            "merge it with another, drop its rows, or use fewer folds"
        )
    return jnp.asarray(values, jnp.int32)


def _as_features(features: Any, num_rows: int, name: Any) -> Array:  # noqa: ANN401
    """Features as finite floats."""
    if np.ndim(features) != 2:
        remedy = ": give features[:, None]" if np.ndim(features) == 1 else ": reshape the rest to one axis"
        raise ValueError(f"features of {name!r} must have shape [n, d], got shape {np.shape(features)}{remedy}")
    if np.shape(features)[0] != num_rows or not np.shape(features)[1]:
        raise ValueError(
            f"features of {name!r} must have shape [{num_rows}, d], a row for each target and at least one column, "
            f"got {np.shape(features)}"
        )
    values = features if isinstance(features, jax.Array) else np.asarray(features)
    if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise TypeError(f"features of {name!r} must hold real numbers, got dtype {values.dtype}")
    if _checks.is_concrete(values):
        not_finite = np.argwhere(~np.isfinite(np.asarray(values)))
        if not_finite.size:
            row, column = map(int, not_finite[0])
            raise ValueError(
                f"features of {name!r} must be finite, got {values[row, column]} in row {row}, column {column}: drop "
                "such rows, or replace the value and mark it in a column of its own"
            )
    is_wide = values.dtype in (jnp.float32, jnp.float64)
    dtype = values.dtype if is_wide else jnp.result_type(float)
    if isinstance(values, np.ndarray):
        values = _centred(values.astype(np.float64))
    return jnp.asarray(values, jax.dtypes.canonicalize_dtype(dtype))


def _centred(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Columns shifted and scaled in double precision: float32 cannot tell 10⁹ from 10⁹ + 1."""
    for _ in range(2):  # the first time against overflow
        largest = np.abs(values).max(axis=0)
        values = values / np.where(largest > 0, largest, 1)
        values = np.where(np.ptp(values, axis=0) > 0, values - values.mean(axis=0), 0)
    return values


def _check_lengths(spec: SweepSpec, num_rows: int, num_folds: int) -> None:
    """Refuses lengths that no learner can have."""
    most = most_rows(num_rows, num_folds)
    finite = [length for length in spec.lengths if not _checks.is_infinite(length)]
    if not _checks.is_concrete(*finite):
        return
    if finite and min(finite) < 2:
        raise ValueError(f"lengths must be at least 2, a row to train on and one to choose by, got {min(finite)}")
    if finite and max(finite) > most:
        raise ValueError(
            f"lengths must be at most {most}, the rows that are not held out of {num_rows} in {num_folds} folds, got "
            f"{max(finite)}: give shorter ones, and inf for all of them"
        )


# -- members -----------------------------------------------------------------------------------------------------------


class Candidates(NamedTuple):
    """Every member of a grid, before the learning rate and the batch size are chosen; axes as of ``SweepResult``."""

    row_loss: Float[Array, "sample network batch_size learning_rate length seed row"]
    """Loss of each row when it was held out."""
    row_accuracy: Float[Array, "sample network batch_size learning_rate length seed row"]
    """Whether its class was predicted."""
    validation_loss: Float[Array, "sample network batch_size learning_rate length seed fold"]
    """Least loss of the validation rows along the run without them."""
    step: Int[Array, "sample network batch_size learning_rate length seed fold"]
    """Where the run on all rows stopped."""


def compile_candidates(
    key: Key[Array, ""], samples: CheckedSamples, spec: SweepSpec, *, mesh: Mesh | None = None
) -> Callable[[], Candidates]:
    """Compiles the training of all members without running it.

    Args:
      key: as for ``cross_validate``.
      samples: what ``as_samples`` gives.
      spec: the grid.
      mesh: the devices to use; all of them if None.

    Returns:
      A function without arguments that trains the members.

    Examples:
      >>> import isjax, isjax.cross_validation as cv, jax
      >>> x = jax.random.normal(jax.random.key(0), (40, 2))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20,), num_seeds=1, num_steps=20)
      >>> samples = cv.as_samples({"x": isjax.Sample(x, (x[:, 0] > 0).astype(int))}, spec, num_folds=4)
      >>> program = cv.compile_candidates(jax.random.key(1), samples, spec)
      >>> program().row_loss.shape
      (1, 1, 1, 1, 1, 1, 40)
    """
    folds = draw_folds(key, jnp.asarray(samples.targets), num_seeds=spec.num_seeds, num_folds=samples.num_folds)
    arguments = key, tuple(map(jnp.asarray, samples.features)), jnp.asarray(samples.targets), folds, spec
    mesh = all_devices() if mesh is None else mesh
    program = _candidates.lower(*arguments, num_classes=samples.num_classes, mesh=mesh).compile()
    return functools.partial(program, *arguments)


@jax.jit(inline=True, static_argnames=("num_classes", "mesh"))
def _candidates(
    key: Array,
    features: Sequence[Array],
    targets: Array,
    folds: "Folds",
    spec: SweepSpec,
    *,
    num_classes: int,
    mesh: Mesh,
) -> Candidates:
    modules = spec.modules(num_classes)
    groups = sample_groups(features, modules)

    for network in modules.values():
        check_network(network, features[0], num_classes)

    def of_group(group: Sequence[int]) -> Candidates:
        padded = _padded([features[i] for i in group])

        def members(name: str, size: int) -> Candidates:
            return _members(key, padded, targets, folds, spec, name, modules[name], size, num_classes, mesh)

        return _stacked([_stacked([members(name, size) for size in spec.batch_sizes]) for name in modules])

    results = list(map(of_group, groups))
    position = np.argsort(np.concatenate(groups))
    return jax.tree.map(lambda *of_groups: jnp.concatenate(of_groups)[position], *results)


def _stacked(results: Sequence[Candidates]) -> Candidates:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays, 1), *results)


def sample_groups(features: Sequence[Float[_Values, "n _"]], networks: Mapping[str, nn.Module]) -> list[list[int]]:
    """Positions of samples in groups that share their programs.

    Networks of this library give the same numbers if features are padded with zeros, so samples are padded to up to
    twice their number of columns; for other networks only samples of equally many share programs.

    Args:
      features: of each sample.
      networks: that are trained on them, by name.

    Returns:
      For each group, the positions of its samples in increasing order.

    Examples:
      >>> import isjax, isjax.cross_validation, jax.numpy as jnp
      >>> features = [jnp.ones((5, d)) for d in (8, 1, 3)]
      >>> isjax.cross_validation.sample_groups(features, {"narrow": isjax.MLP((8,), 2)})
      [[0, 2], [1]]
    """
    most = _MOST_PADDING if all(isinstance(network, MLP | EncoderDecoder) for network in networks.values()) else 1
    groups: list[list[int]] = []
    for i in sorted(range(len(features)), key=lambda i: -features[i].shape[1]):
        if groups and features[groups[-1][0]].shape[1] <= most * features[i].shape[1]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return list(map(sorted, groups))


def _padded(features: Sequence[Array]) -> Float[Array, "sample n d"]:
    most = max(each.shape[1] for each in features)
    return jnp.stack([jnp.pad(each, ((0, 0), (0, most - each.shape[1]))) for each in features])


class Folds(NamedTuple):
    """How each seed divides the rows."""

    fold: Int[Array, "seed row"]
    """In which fold each row is held out."""
    order: Int[Array, "seed fold row"]
    """The rows in the order of the seed, those of the fold last."""
    place: Int[Array, "seed row"]
    """Where each row is in the order of the fold that holds it out."""


@jax.jit(inline=True, static_argnames=("num_seeds", "num_folds"))
def draw_folds(key: Key[Array, ""], targets: Int[Array, "n"], *, num_seeds: int, num_folds: int) -> Folds:
    """Folds of equal size and equal shares of each class, each up to one row.

    Args:
      key: as for ``cross_validate``.
      targets: the class of each row.
      num_seeds: number of seeds, each of which divides the rows otherwise.
      num_folds: number of folds.

    Returns:
      The folds of each seed.

    Examples:
      >>> import isjax.cross_validation, jax, jax.numpy as jnp
      >>> folds = isjax.cross_validation.draw_folds(jax.random.key(0), jnp.arange(10) % 2, num_seeds=1, num_folds=5)
      >>> jnp.bincount(folds.fold[0]).tolist()
      [2, 2, 2, 2, 2]
    """

    def of_seed(seed: Array) -> Folds:
        key_folds, _ = jax.random.split(jax.random.fold_in(key, seed))
        order = jax.random.permutation(key_folds, targets.size)
        by_class = order[jnp.argsort(targets[order], stable=True)]
        fold = jnp.zeros_like(order).at[by_class].set(jnp.arange(targets.size) % num_folds)
        is_held_out = fold[order] == jnp.arange(num_folds)[:, None]
        before = jnp.cumsum(~is_held_out, axis=-1)
        place = jnp.where(is_held_out, before[:, -1:] + jnp.cumsum(is_held_out, axis=-1), before) - 1
        in_order = jnp.zeros_like(place).at[jnp.arange(num_folds)[:, None], place].set(order)
        of_row = jnp.zeros_like(order).at[order].set(jnp.take_along_axis(place, fold[order][None], axis=0)[0])
        return Folds(fold, in_order, of_row)

    return jax.vmap(of_seed)(jnp.arange(num_seeds))


def _members(
    key: Array,
    features: Float[Array, "sample n d"],
    targets: Int[Array, "n"],
    folds: Folds,
    spec: SweepSpec,
    name: str,
    network: nn.Module,
    batch_size: int,
    num_classes: int,
    mesh: Mesh,
) -> Candidates:
    """Members of one network and batch size: (sample, learning rate, length, seed, row or fold)."""
    num_samples, num_rows, _ = features.shape
    num_seeds, num_folds, _ = folds.order.shape
    num_others = most_rows(num_rows, num_folds)
    num_held_out = num_rows - num_others
    is_infinite = [_checks.is_infinite(length) for length in spec.lengths]
    longest = num_others if any(is_infinite) else min(spec.longest, num_others)
    ends = [num_others if infinite else length for infinite, length in zip(is_infinite, spec.lengths, strict=True)]
    lengths, rates = jnp.asarray([*ends, 0], jnp.int32), jnp.asarray(spec.learning_rates, features.dtype)
    chosen_by = np.arange(1, longest, _EVERY)[:_MOST_VALIDATION]
    trained_on = np.setdiff1d(np.arange(longest), chosen_by)
    config = {"num_classes": num_classes, "network": network, "config": spec.train_config(name, batch_size)}

    def train_member(shared: Any, sample: Array, rate: Array, length: Array, member: Array) -> LearnedRows:  # noqa: ANN401
        key, order, table, classes = shared
        seed, fold = member // num_folds, member % num_folds
        rows = sample * num_rows + order[seed, fold]
        num_validation = jnp.minimum((lengths[length] + _EVERY - 2) // _EVERY, chosen_by.size)
        split = RowSplit(
            train=rows[trained_on],
            num_train=lengths[length] - num_validation,
            validation=rows[chosen_by],
            num_validation=num_validation,
            held_out=rows[num_others:],
        )
        _, key_member = jax.random.split(jax.random.fold_in(key, seed))
        key_member = jax.random.fold_in(key_member, fold)
        return train_on_rows(key_member, table, classes, split, rates[rate], **config)

    grid = num_samples, len(spec.learning_rates), len(ends), num_seeds * num_folds
    most = spec.chunk_size or _chunk_size(mesh, network, features, longest, num_held_out, spec.optimizer_of(name))
    per_length = math.prod(grid) // len(ends)
    rounds = -(-per_length // (most * mesh.devices.size))  # as many for each device: long lengths take most of the time
    size = -(-per_length // (rounds * mesh.devices.size))
    shared = key, folds.order, features.reshape(-1, features.shape[-1]), jnp.tile(targets, num_samples)
    learned: LearnedRows = map_members(train_member, shared, grid, chunk_size=size, mesh=mesh)
    of_row = folds.fold * num_held_out + folds.place - num_others

    def by_row(values: Array) -> Array:
        values = values.reshape(*grid[:3], num_seeds, num_folds * num_held_out)
        return _take_last(values, of_row)

    def by_fold(values: Array) -> Array:
        return values.reshape(*grid[:3], num_seeds, num_folds)

    return Candidates(
        by_row(learned.row_loss),
        by_row(learned.row_accuracy),
        by_fold(learned.validation_loss),
        by_fold(learned.step),
    )


def _chunk_size(
    mesh: Mesh, network: nn.Module, features: Array, num_train: int, num_held_out: int, optimizer: Optimizer
) -> int:
    """Number of members that a device trains at once: few on a CPU, a quarter of the memory full elsewhere."""
    example, num_features, device = features[0, :1], features.shape[-1], mesh.devices.flat[0]
    if device.platform == "cpu":
        fit = _GATHERED_NUMBERS // (num_train * num_features)
        return max(1, min(chunk_size_on_cpu(network, example, optimizer), fit))
    units = jax.eval_shape(
        lambda key: network.init_with_output(key, example, capture_intermediates=True)[1],
        jax.eval_shape(jax.random.key, 0),
    ).get("intermediates", {})
    evaluated = max(num_held_out, min(num_train // _EVERY, _MOST_VALIDATION))
    numbers = (
        (num_train + evaluated) * num_features
        + evaluated * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(units))
        + 4 * num_numbers(network, example, optimizer)
    )
    return max(1, bytes_of_device(device) // 4 // (numbers * features.dtype.itemsize))


# -- choice ------------------------------------------------------------------------------------------------------------


def choose(candidates: Candidates, folds: Folds, samples: CheckedSamples, spec: SweepSpec) -> CrossValidation:
    """The members of least validation loss, over learning rates and batch sizes, for each fold.

    Args:
      candidates: of all learning rates and batch sizes.
      folds: of the rows.
      samples: that were learned.
      spec: the grid.

    Returns:
      A ``CrossValidation``.

    Examples:
      >>> import isjax, isjax.cross_validation as cv, jax
      >>> x = jax.random.normal(jax.random.key(0), (40, 2))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20,), num_seeds=1, num_steps=20, learning_rates=(0.1, 0.2))
      >>> samples = cv.as_samples({"x": isjax.Sample(x, (x[:, 0] > 0).astype(int))}, spec, num_folds=4)
      >>> candidates = cv.compile_candidates(jax.random.key(1), samples, spec)()
      >>> folds = cv.draw_folds(jax.random.key(1), samples.targets, num_seeds=1, num_folds=4)
      >>> cv.choose(candidates, folds, samples, spec).learning_rate.shape
      (1, 1, 1, 1, 4)
    """
    most = most_rows(samples.targets.size, samples.num_folds)
    lengths = [most if _checks.is_infinite(length) else length for length in spec.lengths]
    return CrossValidation(
        **_choose(candidates, folds.fold, samples.targets, spec, num_classes=samples.num_classes),
        length=jnp.asarray(lengths, jnp.int32),
        fold=folds.fold,
        samples=tuple(map(str, samples.names)),
        networks=spec.network_names,
        num_classes=samples.num_classes,
        num_folds=samples.num_folds,
    )


def most_rows(num_rows: int, num_folds: int) -> int:
    """The number of rows that a learner can have in every fold: those that are not held out.

    Examples:
      >>> import isjax.cross_validation
      >>> isjax.cross_validation.most_rows(101, 5)
      80
    """
    return num_rows - -(-num_rows // num_folds)


@jax.jit(inline=True, static_argnames="num_classes")
def _choose(
    candidates: Candidates, fold: Array, targets: Array, spec: SweepSpec, *, num_classes: int
) -> dict[str, Array]:
    candidates = jax.tree.map(_with_candidates_last, candidates)
    loss = candidates.validation_loss
    best = jnp.argmin(loss, axis=-1)
    best_of_row = _take_last(best, fold)
    sizes = jnp.asarray(spec.batch_sizes, jnp.int32)
    rates = jnp.asarray(spec.learning_rates, loss.dtype)
    frequencies = jnp.bincount(targets, length=num_classes).astype(loss.dtype) / targets.size
    return {
        "row_loss": _at(candidates.row_loss, best_of_row),
        "row_accuracy": _at(candidates.row_accuracy, best_of_row),
        "target_entropy": entropy(frequencies),
        "validation_loss": _at(loss, best),
        "learning_rate": rates[best % rates.size],
        "batch_size": sizes[best // rates.size],
        "step": _at(candidates.step, best),
    }


def _with_candidates_last(values: Array) -> Array:
    """Over (sample, network, length, seed, row or fold, candidate), from (…, batch size, learning rate, …)."""
    values = jnp.moveaxis(values, (2, 3), (-2, -1))
    return values.reshape(*values.shape[:-2], -1)


def _at(values: Array, candidate: Array) -> Array:
    return jnp.take_along_axis(values, candidate[..., None], axis=-1)[..., 0]


def _take_last(values: Array, index: Int[Array, "seed row"]) -> Array:
    """Entries of the last axis, one index for each seed and row."""
    return jnp.take_along_axis(values, index.reshape((1,) * (values.ndim - 2) + index.shape), axis=-1)
