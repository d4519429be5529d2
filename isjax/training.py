r"""Training of one network: an optimiser of optax as a pure function of a key, with an exact decomposition of its risk.

A batch is a table of weights over (row of features, class), and its loss is

.. math:: -\sum_{r,y} w(r, y) \log q(y \mid r).

If a batch holds at least as many samples as there are codes, its rows are the codes and its weights are the relative
frequencies of (u, y). These are a sufficient statistic of the gradient, so the cost of a step does not depend on the
batch size.

A network may have a code V of its own, with rows r(v|u) and a decoder q(y|v). Its loss is the expected cross-entropy
−Σ w(u,y) Σ_v r(v|u) log q(y|v), and its excess risk has three parts: I(X;Y|U), the loss I(U;Y|V) of its own code, and
the error of its decoder.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from isjax import _checks
from isjax._checks import Codes, Rows
from isjax._display import as_text, displayed, displayed_as_call
from isjax._numerics import nan_where
from isjax._typing import Array, Float, Int, Key, Real, ScalarFloat, ScalarInt
from isjax.distributions import Draws, sample
from isjax.entropies import conditional_entropy
from isjax.networks import Network, as_network, check_network
from isjax.sources import Problem
from isjax.sufficiency import RiskDecomposition, risk_decomposition

__all__ = [
    "Converted",
    "Drawn",
    "LearnedRows",
    "Optimizer",
    "RowSplit",
    "Trace",
    "TrainConfig",
    "TrainingOptions",
    "as_optimizer",
    "check_optimizer",
    "converted",
    "draw",
    "train",
    "train_drawn",
    "train_on_rows",
]

_Length = TypeVar("_Length", int, Array)

Optimizer = Callable[[Any], optax.GradientTransformation]
"""A function of the learning rate that gives an optax transformation, such as ``optax.adam``."""


def check_optimizer(optimizer: object) -> None:
    """Refuses what is not a function of the learning rate that gives an optax transformation.

    Examples:
      >>> import functools, optax, isjax.training
      >>> isjax.training.check_optimizer(functools.partial(optax.sgd, momentum=0.9))
    """
    such_as = "such as optax.adam or functools.partial(optax.sgd, momentum=0.9)"
    if isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"optimizer must be a function of the learning rate, {such_as}, got what one returns")
    if not callable(optimizer):
        raise TypeError(f"optimizer must be a function of the learning rate, {such_as}, got {optimizer!r}")
    try:
        made = optimizer(0.1)
    except TypeError as error:
        raise TypeError(f"optimizer must be a function of the learning rate alone, {such_as}: {error}") from None
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(f"optimizer must give an optax transformation, {such_as}, got {type(made).__name__}")


class Converted:
    """A dataclass field (a descriptor) whose values are checked and converted when an instance is made."""

    def __init__(self, default: object, convert: Callable[[Any], object]) -> None:
        self.default, self.convert = default, convert

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> object:
        return self.default if instance is None else vars(instance)[self.name]

    def __set__(self, instance: object, value: object) -> None:
        vars(instance)[self.name] = self.convert(value)


def converted(default: object, convert: Callable[[Any], object]) -> Any:  # noqa: ANN401  (the type of its field)
    """A field with this default, whose values ``convert`` checks and converts.

    Examples:
      >>> import dataclasses, isjax.training
      >>> @dataclasses.dataclass(frozen=True)
      ... class Options:
      ...     widths: tuple = isjax.training.converted((8,), tuple)
      >>> Options([16, 32]).widths
      (16, 32)
    """
    return Converted(default, convert)


@dataclasses.dataclass(frozen=True)
class _Partial:
    """A ``functools.partial`` that equals another of the same function and arguments, so that they share programs."""

    function: Callable[..., optax.GradientTransformation]
    args: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, learning_rate: Any) -> optax.GradientTransformation:  # noqa: ANN401
        return self.function(*self.args, learning_rate, **dict(self.keywords))

    def __repr__(self) -> str:
        return as_text(functools.partial(self.function, *self.args, **dict(self.keywords)))


def as_optimizer(optimizer: Any) -> Optimizer:  # noqa: ANN401  (what a user gives)
    """A function of the learning rate, checked; equal partials of one function become equal.

    Examples:
      >>> import functools, optax, isjax.training
      >>> momentum = [isjax.training.as_optimizer(functools.partial(optax.sgd, momentum=0.9)) for _ in range(2)]
      >>> momentum[0] == momentum[1], momentum[0]
      (True, partial(optax.sgd, momentum=0.9))
    """
    check_optimizer(optimizer)
    if not isinstance(optimizer, functools.partial):
        return optimizer
    made = _Partial(optimizer.func, optimizer.args, tuple(sorted(optimizer.keywords.items())))
    try:
        hash(made)
    except TypeError:
        return optimizer
    return made


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of training that ``TrainConfig`` and ``SweepSpec`` share; both document them."""

    num_steps: int | None = None
    num_epochs: int | None = None
    num_evals: int = 16
    sampling: Literal["fixed", "replacement"] = "fixed"
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    optimizer: Optimizer | Mapping[str, Optimizer] = converted(optax.sgd, as_optimizer)  # a mapping in a sweep alone

    def __post_init__(self) -> None:
        _checks.check_integer(self.num_evals, "num_evals")
        _checks.check_exactly_one(num_steps=self.num_steps, num_epochs=self.num_epochs)
        if self.num_steps is not None and self.num_evals > self.num_steps:
            raise ValueError(f"num_evals={self.num_evals}, but there are only num_steps={self.num_steps} steps")
        _checks.check_one_of(self.sampling, "sampling", ("fixed", "replacement"))
        _checks.check_one_of(self.schedule, "schedule", tuple(_SCHEDULES))

    def total_steps(self, length: _Length, batch_size: int) -> int | _Length:
        """Number of steps of a run on ``length`` samples."""
        if self.num_steps is not None:
            return self.num_steps
        return _num_batches(length, batch_size) * (self.num_epochs or 0)


@displayed_as_call
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainingOptions):
    """How a network is trained. Static: it goes through ``jit`` as metadata.

    The n samples are independent, so consecutive samples already form a random partition into batches. With
    ``sampling="fixed"`` the samples are divided once into ⌈n / batch_size⌉ batches of equal size (up to one sample),
    and step t uses batch t modulo their number. This is shuffling once, which converges like reshuffling in every
    epoch. With ``sampling="replacement"`` each step draws ``batch_size`` of the n samples.

    Fixed batches are the default: the training loop needs no random numbers, and the counts of all batches are computed
    before it. The learning curves agree until only the noise of the steps is left, which is smaller with fixed batches:
    the least excess risk along a run is 0.290, 0.0756 and 0.0156 nats at n = 64, 512 and 4096, against 0.291, 0.0784
    and 0.0186 with replacement (ten binary inputs, 32 hidden units, 32 seeds; ``python -m benchmarks sampling``).

    Attributes:
      batch_size: Largest number of samples in a batch.
      num_steps: Total steps; give exactly one of num_steps, num_epochs.
      num_epochs: Passes over the data, of ⌈n / batch_size⌉ steps each.
      num_evals: Number of evaluations of the risk: after the first step, after the last, and in between at steps spaced
        evenly in the logarithm.
      sampling: ``"fixed"`` batches, or batches drawn with ``"replacement"``.
      schedule: The learning rate decays to zero on a ``"linear"`` or ``"cosine"`` schedule, or stays ``"constant"``.
      optimizer: A function of the learning rate that gives an optax transformation: ``optax.sgd``, ``optax.adam``,
        ``functools.partial(optax.sgd, momentum=0.9)``.
      max_length: Upper bound on the data length; required only if the length is traced.

    Raises:
      ValueError: if both or neither of ``num_steps`` and ``num_epochs`` are given, or ``num_evals`` exceeds
        ``num_steps``.

    Source:
      arXiv:2405.20452, the numerical study; Mishchenko, Khaled and Richtárik, Random reshuffling (2020).

    Examples:
      >>> import isjax
      >>> isjax.TrainConfig(num_steps=100, num_evals=3).num_steps
      100
    """

    batch_size: int = 32
    max_length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.check_integer(self.batch_size, "batch_size")
        if self.max_length is not None:
            _checks.check_integer(self.max_length, "max_length")


_SCHEDULES: dict[str, Callable[[Array], Array]] = {
    "constant": jnp.ones_like,
    "linear": lambda progress: 1 - progress,
    "cosine": lambda progress: (1 + jnp.cos(jnp.pi * progress)) / 2,
}


@displayed()
class Trace(NamedTuple):
    """One training run, at its evaluations."""

    steps: Int[Array, "evaluation"]
    """Number of steps taken."""
    train_loss: Float[Array, "evaluation"]
    """Cross-entropy on all of the training data, in nats."""
    risk: RiskDecomposition
    """Exact decomposition of the risk, each part of shape ``[evaluation]``, in nats; the encoder bias is that of the
    network's own code V, if it has one: I(X;Y|V) = I(X;Y|U) + I(U;Y|V)."""
    code_loss: Float[Array, "evaluation"]
    """I(U;Y|V), what the network's own code loses; zero for a network without one."""
    log_decoder: Float[Array, "evaluation u y"] | Float[Array, "evaluation v y"]
    """The trained decoder: log q(y | u), or log q(y | v)."""
    code: Float[Array, "evaluation u v"] | None = None
    """The network's own code: rows r(v | u); None for a network without one."""


def train(
    key: Key[Array, ""],
    problem: Problem,
    length: Real | ScalarInt,
    learning_rate: Real | ScalarFloat,
    *,
    network: Network,
    config: TrainConfig,
) -> Trace:
    r"""Trains a network on samples of a problem by stochastic gradient descent on the cross-entropy.

    .. math:: \theta_{t+1} = \theta_t + \alpha_t \nabla_\theta \sum_{r,y} w_t(r, y) \log q_{\theta_t}(y \mid r)

    A pure function: the key determines the data, the initial weights and the batches. The data of length n are a prefix
    of those of length 2n, and depend only on the key and on the distribution of (X, Y): runs with the same key are
    paired.

    Args:
      key: a key of ``jax.random.key``.
      problem: the distribution, the code and the features that the network sees.
      length: number n of samples; it may be traced if ``config.max_length`` is given, and gives NaN outside 1 …
        ``max_length``. ``math.inf`` for fresh samples at every step; where a batch holds at least as many samples as
        there are codes, it is the distribution itself.
      learning_rate: of the optimiser; it may be traced. Derivatives in it are forward-mode (``jax.jvp``).
      network: a Flax module from features ``[n, d]`` to logits ``[n, y]``, or to rows r(v | u) ``[n, v]`` and logits
        ``[v, y]``, as ``EncoderDecoder``; hashable. Or a function of the number of classes that gives one.
      config: options of the training.

    Returns:
      A ``Trace``, whose arrays have shape ``[evaluation]``, ``[evaluation, u, y]`` for the decoder, or
      ``[evaluation, v, y]`` and ``[evaluation, u, v]`` for the decoder and the code.

    Raises:
      TypeError: if ``length`` is traced and ``config.max_length`` is None.
      ValueError: if a concrete length is below 1 or above ``config.max_length``, infinite and given in epochs, or the
        network has another output, no parameters, or variables beside them.

    Source:
      arXiv:2405.20452, the numerical study; Theorem 4 for the decomposition of the risk.

    Examples:
      >>> import isjax, jax
      >>> source = isjax.sparse_source(
      ...     jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=4, discrimination=0.9
      ... )
      >>> config = isjax.TrainConfig(num_steps=200, num_evals=4)
      >>> problem, network = source.problem("sufficient"), isjax.MLP32(num_classes=4)
      >>> trace = isjax.train(jax.random.key(1), problem, 512, 0.5, network=network, config=config)
      >>> trace.steps.tolist(), bool(trace.risk.excess_risk[-1] < 0.5 * trace.risk.excess_risk[0])
      ([1, 6, 34, 200], True)
    """
    _checks.check_key(key)
    if not isinstance(problem, Problem):
        raise TypeError(f"problem must be a Problem, got {type(problem).__name__}")
    problem = Problem(*_checks.as_problem_arrays(*problem))
    if not isinstance(config, TrainConfig):
        raise TypeError(f"config must be a TrainConfig, such as isjax.TrainConfig(num_steps=2000), got {config!r}")
    network = as_network(network, problem.joint.shape[-1])
    _checks.check_learning_rate(learning_rate)
    if _checks.is_infinite(length):
        if config.num_epochs is not None:
            raise ValueError("length is infinite, and has no epochs: give num_steps")
        return _train(key, problem, None, learning_rate, network=network, config=config)
    length, max_length = _as_length(length, config.max_length)
    config = dataclasses.replace(config, max_length=max_length)
    return _train(key, problem, length, learning_rate, network=network, config=config)


def _as_length(length: Real | ScalarInt, max_length: int | None) -> tuple[int | ScalarInt, int]:
    """The length, a Python number where it is concrete, and the bound on it."""
    if not jnp.issubdtype(jnp.result_type(length), jnp.integer):
        raise TypeError(f"length must be an integer, got {length!r}")
    if not _checks.is_concrete(length):
        if max_length is None:
            raise TypeError("length is being traced: give TrainConfig a max_length")
        return length, max_length
    length = int(np.asarray(length))
    max_length = max(length, 1) if max_length is None else max_length
    if not 1 <= length <= max_length:
        raise ValueError(f"length must lie in 1…{max_length}, got {length}")
    return length, max_length


class Drawn(NamedTuple):
    """What the key of a run determines, whatever the network, the encoder and the length."""

    samples: Draws
    """Samples of (X, Y), as many as the longest data have."""
    key_init: Key[Array, ""]
    """Of the initial weights."""
    key_batches: Key[Array, ""]
    """Of the batches, where these are drawn."""


def draw(key: Key[Array, ""], joint: Float[Array, "x y"], max_length: int) -> Drawn:
    """Draws the samples of a run.

    Args:
      key: of the run, as for ``train``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      max_length: number of samples.

    Returns:
      The samples, and the keys of the rest, for ``train_drawn``.

    Examples:
      >>> import isjax.training, jax, jax.numpy as jnp
      >>> isjax.training.draw(jax.random.key(0), jnp.full((2, 2), 0.25), 8).samples.x.shape
      (8,)
    """
    key_data, key_init, key_batches = jax.random.split(key, 3)
    return Drawn(sample(key_data, joint, max_length), key_init, key_batches)


class _Data(NamedTuple):
    """Samples of (U, Y), of which the first ``length`` are the training data."""

    codes: Int[Array, "n"]
    targets: Int[Array, "n"]
    length: Int[Array, ""]

    @classmethod
    def of(cls, samples: Draws, problem: Problem, length: ScalarInt) -> "_Data":
        """What the encoder of a problem makes of samples of (X, Y)."""
        return cls(problem.codes[samples.x], samples.y, jnp.asarray(length, jnp.int32))


class _Inputs(NamedTuple):
    """What a network sees of each code, and the number of classes that it tells apart."""

    features: Float[Array, "u d"]
    num_classes: int

    @classmethod
    def of(cls, problem: Problem) -> "_Inputs":
        """Those of a problem."""
        return cls(problem.features, problem.joint.shape[-1])


class _Batch(NamedTuple):
    """Rows of features, and the weight of each class at each of them; the weights sum to one."""

    rows: Float[Array, "r d"]
    weights: Float[Array, "r y"]


_STEPS_PER_DRAW = 64
_FUSED = 512  # numbers of a small product, which takes less time as a fused sum: a step of 16 codes 9.1 µs, not 10.0
_ROUNDING = 1e-3  # by which rows of a code may miss a sum of one


@jax.jit(inline=True, static_argnames=("network", "config"))
def _train(
    key: Array,
    problem: Problem,
    length: Array | None,
    learning_rate: Array,
    *,
    network: nn.Module,
    config: TrainConfig,
) -> Trace:
    check_network(network, *_Inputs.of(problem))
    longest = config.max_length or 1
    drawn = draw(key, problem.joint, longest)
    trace = train_drawn(drawn, problem, length, learning_rate, network=network, config=config)
    if length is None:
        return trace
    is_outside = (length < 1) | (length > longest)
    return jax.tree.map(lambda a: nan_where(is_outside, a) if jnp.issubdtype(a.dtype, jnp.floating) else a, trace)


def train_drawn(
    drawn: Drawn,
    problem: Problem,
    length: ScalarInt | None,
    learning_rate: ScalarFloat,
    *,
    network: nn.Module,
    config: TrainConfig,
) -> Trace:
    """Trains a network as ``train`` does, with what was drawn for its key, and checks nothing.

    Args:
      drawn: by ``draw``.
      problem: as for ``train``.
      length: how many of the samples to train on, at most all; None for fresh samples at every step.
      learning_rate: of the optimiser.
      network: as for ``train``.
      config: options of the training.

    Returns:
      A ``Trace``.

    Examples:
      >>> import isjax, isjax.training, jax
      >>> source = isjax.sparse_source(
      ...     jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.9
      ... )
      >>> problem, config = source.problem("identity"), isjax.TrainConfig(num_steps=20, num_evals=2)
      >>> drawn = isjax.training.draw(jax.random.key(1), problem.joint, 64)
      >>> trace = isjax.training.train_drawn(drawn, problem, 64, 0.5, network=isjax.MLP((8,), 2), config=config)
      >>> trace.steps.tolist()
      [1, 20]
    """
    inputs = _Inputs.of(problem)
    joint_uy = Codes(problem.codes, problem.features.shape[0]).pushforward(problem.joint)
    if length is None:
        data, batches = joint_uy, _FreshBatches(drawn.key_batches, inputs, joint_uy, config.batch_size)
        num_steps = jnp.asarray(config.num_steps, jnp.int32)
    else:
        samples = _Data.of(drawn.samples, problem, length)
        data, batches = _empirical(inputs, samples), _batches(drawn.key_batches, inputs, samples, config)
        num_steps = _num_steps(samples, config)

    def evaluate(state: None, params: PyTree, _: Array) -> tuple[None, _Applied]:
        with jax.default_matmul_precision("highest"):
            return state, _apply(network, params, problem.features)

    steps = _evaluation_steps(num_steps, config.num_evals)
    params = network.init(drawn.key_init, problem.features)
    learning_rate = jnp.asarray(learning_rate, problem.features.dtype)
    apply = functools.partial(_apply, network)
    _, trained = _optimise(apply, params, batches, learning_rate, num_steps, steps, evaluate, None, config)
    return _measured(problem, joint_uy, data, steps, trained)


def _optimise(
    apply: Callable[[PyTree, Array], "_Applied"],
    params: PyTree,
    batches: "_Batches",
    learning_rate: Array,
    num_steps: Int[Array, ""],
    steps: Int[Array, "evaluation"],
    evaluate: Callable[[Any, PyTree, Array], tuple[Any, Any]],
    state: PyTree,
    config: TrainConfig,
) -> tuple[PyTree, PyTree]:
    """Minimises the cross-entropy of batches up to the last of ``steps``, on the schedule of a run of ``num_steps``.

    ``evaluate(state, params, step)`` gives a state and what is collected.
    """
    schedule, optimizer = _SCHEDULES[config.schedule], as_optimizer(config.optimizer)

    def loss(params: PyTree, batch: _Batch) -> Array:
        rows, log_decoder = apply(params, batch.rows)
        return -jnp.sum(_pushed(rows, batch.weights) * log_decoder)

    def step(prepared: PyTree, t: Array, carry: _Carry) -> _Carry:
        gradient = jax.grad(loss)(carry.params, batches.at(prepared, t))
        progress = t.astype(learning_rate.dtype) / num_steps.astype(learning_rate.dtype)
        updates, state = optimizer(learning_rate * schedule(progress)).update(gradient, carry.state, carry.params)
        state = jax.tree.map(lambda new, old: new.astype(old.dtype), state, carry.state)
        return _Carry(optax.apply_updates(carry.params, updates), state)

    def segment(carry: tuple[_Carry, PyTree], bounds: tuple[Array, Array]) -> tuple[tuple[_Carry, PyTree], PyTree]:
        start, stop = bounds

        def steps_of_draw(i: Array, carry: _Carry) -> _Carry:
            first, last = jnp.maximum(start, i * _STEPS_PER_DRAW), jnp.minimum(stop, (i + 1) * _STEPS_PER_DRAW)
            return jax.lax.fori_loop(first, last, functools.partial(step, batches.prepare(i)), carry)

        trained, state = carry
        trained = jax.lax.fori_loop(start // _STEPS_PER_DRAW, -(-stop // _STEPS_PER_DRAW), steps_of_draw, trained)
        state, collected = evaluate(state, trained.params, stop)
        return (trained, state), collected

    starts = jnp.concatenate([jnp.zeros_like(steps[:1]), steps[:-1]])
    carry = _Carry(params, optimizer(learning_rate).init(params)), state
    (_, state), collected = jax.lax.scan(segment, carry, (starts, steps))
    return state, collected


def _measured(problem: Problem, joint_uy: Array, data: Array, steps: Array, trained: "_Applied") -> Trace:
    """The exact risk of a network at its evaluations, in parts; ``data`` is its training data's distribution of (U, Y).

    Rows of a code that do not sum to one give NaN.
    """
    code, log_decoder = trained
    of_code, code_loss = joint_uy, jnp.zeros(steps.shape, joint_uy.dtype)
    if code is not None:
        is_code = jnp.all(jnp.abs(jnp.sum(code, axis=-1) - 1) < _ROUNDING, axis=-1)
        code = nan_where(~is_code[:, None, None], code)
        of_code, code_loss = Rows(code).pushforward(joint_uy), Rows(code).loss(joint_uy)
    with jax.default_matmul_precision("highest"):
        train_loss = -jnp.sum(_pushed(code, data) * log_decoder, axis=(-2, -1))
    entropy = jnp.broadcast_to(conditional_entropy(problem.joint), steps.shape)
    bias = Codes(problem.codes, problem.features.shape[0]).loss(problem.joint)
    error = risk_decomposition(of_code, log_decoder).decoder_error
    return Trace(steps, train_loss, RiskDecomposition(entropy, bias + code_loss, error), code_loss, log_decoder, code)


class RowSplit(NamedTuple):
    """Which rows of a table a network is trained on, its step is chosen by, and it is tested on."""

    train: Int[Array, "n"]
    """The first ``num_train`` are trained on when the step is chosen."""
    num_train: Int[Array, ""]
    validation: Int[Array, "m"]
    """The step is chosen by the first ``num_validation``."""
    num_validation: Int[Array, ""]
    held_out: Int[Array, "k"]
    """Rows of which only the losses are wanted."""

    def with_validation(self) -> Int[Array, "n_plus_m"]:
        """Those to train on, then those to choose by: the first ``num_train + num_validation`` are given."""
        i = jnp.arange(self.train.size + self.validation.size)
        train, validation = self.train[jnp.minimum(i, self.train.size - 1)], self.validation[i - self.num_train]
        return jnp.where(i < self.num_train, train, validation)


class LearnedRows(NamedTuple):
    """A network that was stopped where the validation loss is least, on the rows held out."""

    row_loss: Float[Array, "k"]
    """−log q(y | row) in nats; of a network with a code V, its mean over r(v | row). Bounded by the mixture."""
    row_accuracy: Float[Array, "k"]
    """Whether the likeliest class is the row's, zero or one; of a network with a code, how likely that is."""
    validation_loss: Float[Array, ""]
    """Least mean loss of the validation rows, along the run without them."""
    step: Int[Array, ""]
    """Where the run with them stopped; zero if the frequencies of the classes had less validation loss than the network
    at any evaluation."""


def train_on_rows(
    key: Key[Array, ""],
    features: Float[Array, "n d"],
    targets: Int[Array, "n"],
    rows: RowSplit,
    learning_rate: ScalarFloat,
    *,
    num_classes: int,
    network: nn.Module,
    config: TrainConfig,
) -> LearnedRows:
    """Trains a network on rows of a table, stopped where its validation loss is least; checks no argument.

    There are two runs from the same initial weights: one without the validation rows, which chooses the evaluation of
    least loss, and one with them, which stops at that evaluation. A learner may ignore what it sees: where the
    frequencies of the classes have a smaller validation loss than the network at every evaluation, it predicts these.

    Features are standardised by the rows trained on: clipped to their range, then shifted and scaled to mean zero and
    variance one. A column that is constant there becomes zero. The network's q(y) is mixed with the frequencies of the
    classes, (n q(y) + p(y)) / (n + 1), as if one more row were of no known class: no loss exceeds log (n + 1) / p(y),
    where the loss of one row could otherwise outweigh that of all others.

    Args:
      key: determines the initial weights and the batches.
      features: the table.
      targets: the class of each row.
      rows: which rows have which part.
      learning_rate: of the optimiser.
      num_classes: number of classes.
      network: as for ``train``.
      config: options of the training, whose evaluations there are to choose from.

    Returns:
      Losses of the rows held out.

    Examples:
      >>> import isjax, isjax.training as training, jax, jax.numpy as jnp
      >>> x = jnp.linspace(-1, 1, 100)
      >>> rows = training.RowSplit(jnp.arange(0, 100, 2), 50, jnp.arange(1, 60, 2), 30, jnp.arange(61, 100, 2))
      >>> learned = training.train_on_rows(
      ...     jax.random.key(0),
      ...     x[:, None],
      ...     (x > 0).astype(int),
      ...     rows,
      ...     0.1,
      ...     num_classes=2,
      ...     network=isjax.MLP((8,), 2),
      ...     config=isjax.TrainConfig(num_steps=200),
      ... )
      >>> float(learned.row_accuracy.mean())
      1.0
    """
    rows = jax.tree.map(jnp.asarray, rows)
    key_init, key_batches = jax.random.split(key)
    learning_rate = jnp.asarray(learning_rate, features.dtype)
    every, is_given = rows.with_validation(), jnp.arange(rows.validation.size) < rows.num_validation

    def validation_loss(losses: Array) -> Array:
        return jnp.sum(jnp.where(is_given, losses, 0)) / jnp.maximum(jnp.sum(is_given), 1)

    def run(last: Array, num_rows: Array) -> tuple[Array, LearnedRows]:
        """A run on the first rows up to an evaluation, of which the zeroth is that of the frequencies."""
        data = _Data(every, targets[every], num_rows)
        table = _Table.of(features, targets, data, num_classes)
        batches = _batches(key_batches, _Inputs(features, num_classes), data, config)
        num_steps = _num_steps(data, config)
        steps = _evaluation_steps(num_steps, config.num_evals)
        stop = jnp.pad(steps, (1, 0))[last]

        def apply(params: PyTree, inputs: Array) -> _Applied:
            return _apply(network, params, table.scaling.apply(inputs))

        def evaluate(stopped: PyTree, params: PyTree, step: Array) -> tuple[PyTree, Array]:
            stopped = jax.tree.map(lambda old, new: jnp.where(step == stop, new, old), stopped, params)
            return stopped, validation_loss(table.losses(apply, params, rows.validation)[0])

        steps = jnp.minimum(steps, _largest_in_lock_step(stop))
        params = network.init(key_init, table.scaling.example())
        params, losses = _optimise(apply, params, batches, learning_rate, num_steps, steps, evaluate, params, config)
        losses = jnp.append(validation_loss(table.losses_of_frequencies(rows.validation)[0]), losses)
        losses = jnp.where(jnp.isnan(losses), jnp.inf, losses)
        step = jnp.where(losses[last] < jnp.inf, stop, 0)
        of_rows = table.losses_of_frequencies(rows.held_out), table.losses(apply, params, rows.held_out)
        row_loss, row_accuracy = (jnp.where(step == 0, *each) for each in zip(*of_rows, strict=True))
        return jnp.argmin(losses).astype(last.dtype), LearnedRows(row_loss, row_accuracy, jnp.min(losses), step)

    num_rows = jnp.stack([rows.num_train, rows.num_train + rows.num_validation]).astype(jnp.int32)
    _, (row_loss, row_accuracy, least, step) = jax.lax.scan(run, jnp.asarray(config.num_evals, jnp.int32), num_rows)
    return LearnedRows(row_loss[1], row_accuracy[1], least[0], step[1])


class _Table(NamedTuple):
    """Rows of features and their classes, as learners see them that have some of them as training data."""

    features: Float[Array, "n d"]
    targets: Int[Array, "n"]
    scaling: "_Scaling"
    log_frequencies: Float[Array, "y"]
    num_rows: Int[Array, ""]

    @classmethod
    def of(cls, features: Array, targets: Array, data: _Data, num_classes: int) -> "_Table":
        """With the scaling and the frequencies of the training data."""
        log_frequencies = _log_frequencies(data, num_classes, features.dtype)
        return cls(features, targets, _Scaling.of(features, data), log_frequencies, data.length)

    def losses(
        self, apply: Callable[[PyTree, Array], "_Applied"], params: PyTree, chosen: Int[Array, "k"]
    ) -> tuple[Float[Array, "k"], Float[Array, "k"]]:
        """Loss and accuracy of a network on rows."""
        with jax.default_matmul_precision("highest"):
            applied = apply(params, self.features[chosen])
        return _of_rows(_with_one_more_row(applied, self.log_frequencies, self.num_rows), self.targets[chosen])

    def losses_of_frequencies(self, chosen: Int[Array, "k"]) -> tuple[Float[Array, "k"], Float[Array, "k"]]:
        """Loss and accuracy of a learner that predicts the frequencies of the classes."""
        every = jnp.broadcast_to(self.log_frequencies, (chosen.size, self.log_frequencies.size))
        return _of_rows(_Applied(None, every), self.targets[chosen])


@jax.custom_batching.custom_vmap
def _largest_in_lock_step(number: Array) -> Array:
    """The largest of the numbers of all networks that are trained in lock step, whose loops then have one end."""
    return number


@_largest_in_lock_step.def_vmap
def _(_: int, is_batched: Sequence[bool], number: Array) -> tuple[Array, bool]:
    return jnp.max(number, axis=0) if is_batched[0] else number, False


class _Scaling(NamedTuple):
    """How features are standardised by the rows of a training set."""

    low: Float[Array, "d"]
    high: Float[Array, "d"]
    mean: Float[Array, "d"]
    scale: Float[Array, "d"]

    @classmethod
    def of(cls, features: Float[Array, "n d"], data: _Data) -> "_Scaling":
        """Range, mean and inverse standard deviation of the training data; the scale of a constant column is zero."""
        rows, given = features[data.codes], (jnp.arange(data.codes.size) < data.length)[:, None]
        count = jnp.maximum(data.length, 1).astype(rows.dtype)
        low, high = (reduce(rows, axis=0, where=given, initial=end) for reduce, end in _ENDS)
        mean = jnp.sum(rows, axis=0, where=given) / count
        variance = jnp.sum(jnp.square(rows - mean), axis=0, where=given) / count
        varies = (high > low) & (variance > 0)
        return cls(low, high, mean, jnp.where(varies, 1 / jnp.sqrt(jnp.where(varies, variance, 1)), 0))

    def apply(self, rows: Float[Array, "k d"]) -> Float[Array, "k d"]:
        """Standardised rows."""
        return (jnp.clip(rows, self.low, self.high) - self.mean) * self.scale

    def example(self) -> Float[Array, "1 d"]:
        """A row to make a network for: columns that are always zero do not count in the variance of its weights."""
        return (self.scale > 0).astype(self.scale.dtype)[None]


_ENDS = (jnp.min, jnp.inf), (jnp.max, -jnp.inf)


def _log_frequencies(data: _Data, num_classes: int, dtype: Any) -> Float[Array, "y"]:  # noqa: ANN401
    """Of the rows trained on: log (n_y + 1) / (n + |Y|)."""
    is_given = (jnp.arange(data.targets.size) < data.length).astype(dtype)
    counts = jax.ops.segment_sum(is_given, data.targets, num_classes)
    return jnp.log((counts + 1) / (data.length.astype(dtype) + num_classes))


def _with_one_more_row(applied: "_Applied", log_frequencies: Array, length: Array) -> "_Applied":
    """Mixed with the frequencies of the classes, (n q(y) + p(y)) / (n + 1): no class has a probability of zero."""
    n = length.astype(log_frequencies.dtype)
    of_network = applied.log_decoder + jnp.log(n) - jnp.log1p(n)
    return applied._replace(log_decoder=jnp.logaddexp(of_network, log_frequencies - jnp.log1p(n)))


def _of_rows(applied: "_Applied", targets: Int[Array, "k"]) -> tuple[Float[Array, "k"], Float[Array, "k"]]:
    """Loss and accuracy of each row; rows of a code that do not sum to one give NaN."""
    code, log_decoder = applied
    guess = jnp.argmax(log_decoder, axis=-1)
    if code is None:
        losses = -jnp.take_along_axis(log_decoder, targets[:, None], axis=-1)[:, 0]
        return losses, (guess == targets).astype(losses.dtype)
    is_code = jnp.abs(jnp.sum(code, axis=-1) - 1) < _ROUNDING
    losses = -jnp.sum(code * log_decoder[:, targets].T, axis=-1)
    return nan_where(~is_code, losses), jnp.sum(jnp.where(guess == targets[:, None], code, 0), axis=-1)


class _Carry(NamedTuple):
    """What a step changes."""

    params: PyTree
    state: optax.OptState


class _Applied(NamedTuple):
    """The output of a network: its code, if it has one, and log-probabilities."""

    rows: Array | None
    log_decoder: Array


def _apply(network: nn.Module, params: PyTree, inputs: Array) -> _Applied:
    output: Any = network.apply(params, inputs)
    if isinstance(output, tuple | list):
        return _Applied(output[0], jax.nn.log_softmax(output[1]))
    return _Applied(None, jax.nn.log_softmax(output))


def _pushed(rows: Array | None, weights: Array) -> Array:
    """Weights of (v, y), if there is a code v of the rows."""
    if rows is None:
        return weights
    if rows.shape[-1] * weights.shape[-1] <= _FUSED:
        return jnp.sum(rows[..., :, :, None] * weights[..., :, None, :], axis=-3)
    return jnp.einsum("...nv,...ny->...vy", rows, weights)


def _evaluation_steps(num_steps: Int[Array, ""], num_evals: int) -> Int[Array, "evaluation"]:
    """The steps to evaluate at: 1 … num_steps, evenly in the logarithm, and distinct if there are enough."""
    index = jnp.arange(num_evals)
    fraction = index / max(num_evals - 1, 1)
    spaced = jnp.round(jnp.exp(fraction * jnp.log(jnp.maximum(num_steps, 1)))).astype(num_steps.dtype)
    distinct = jnp.minimum(jnp.maximum(spaced, index.astype(num_steps.dtype) + 1), num_steps)
    return jnp.where(index == num_evals - 1, num_steps, distinct)


def _num_batches(length: _Length, batch_size: int) -> _Length:
    return -(-length // batch_size)


def _num_steps(data: _Data, config: TrainConfig) -> Int[Array, ""]:
    """Number of steps; zero if there are no data, as in the chunks that pad a sweep."""
    total = jnp.asarray(config.total_steps(data.length, config.batch_size))
    num_steps = jnp.where(data.length > 0, total, 0).astype(data.length.dtype)
    # Equal for all lengths: the loops of networks that are trained in lock step then have one end.
    return num_steps if config.num_steps is None else _largest_in_lock_step(num_steps)


class _FixedBatches(NamedTuple):
    """Consecutive samples, the first ``num_larger`` batches with one more sample than the others."""

    inputs: _Inputs
    codes: Int[Array, "n"]
    targets: Int[Array, "n"]
    num_batches: Int[Array, ""]
    size: int
    small: Int[Array, ""]
    num_larger: Int[Array, ""]
    tables: Float[Array, "batch u y"] | None
    """The weights of all batches, if they are given by counts."""

    @classmethod
    def of(cls, inputs: _Inputs, data: _Data, size: int) -> "_FixedBatches":
        """The partition of the training data into batches of at most ``size`` samples."""
        num_batches = jnp.maximum(_num_batches(data.length, size), 1)
        codes, targets = (jnp.pad(samples, (0, size)) for samples in (data.codes, data.targets))
        small, num_larger = data.length // num_batches, data.length % num_batches
        batches = cls(inputs, codes, targets, num_batches, size, small, num_larger, None)
        if not _is_counted(inputs, size):
            return batches
        every = jnp.arange(_num_batches(data.codes.size, size))
        return batches._replace(tables=jax.vmap(lambda batch: batches._batch(batch).weights)(every))

    def prepare(self, _: Array) -> None:
        """Nothing to draw."""

    def at(self, _: None, t: Array) -> _Batch:
        """The batch of step t."""
        batch = t % self.num_batches
        return self._batch(batch) if self.tables is None else _Batch(self.inputs.features, self.tables[batch])

    def _batch(self, batch: Array) -> _Batch:
        start = batch * self.small + jnp.minimum(batch, self.num_larger)
        count = self.small + (batch < self.num_larger)
        codes, targets = (jax.lax.dynamic_slice(s, (start,), (self.size,)) for s in (self.codes, self.targets))
        weights = jnp.where(jnp.arange(self.size) < count, 1 / count, 0).astype(self.inputs.features.dtype)
        return _batch(self.inputs, codes, targets, weights)


class _DrawnBatches(NamedTuple):
    """Batches of samples drawn with replacement, those of ``_STEPS_PER_DRAW`` steps at once, which is faster."""

    key: Array
    inputs: _Inputs
    data: _Data
    size: int

    def prepare(self, draw: Array) -> Array:
        """The batches of the steps of one draw: indices of their samples, or their weights if given by counts."""
        shape, bound = (_STEPS_PER_DRAW, self.size), jnp.maximum(self.data.length, 1)
        indices = jax.random.randint(jax.random.fold_in(self.key, draw), shape, 0, bound)
        if not _is_counted(self.inputs, self.size):
            return indices
        return jax.vmap(lambda index: self._batch(index).weights)(indices)

    def at(self, prepared: Array, t: Array) -> _Batch:
        """The batch of step t."""
        of_step = prepared[t % _STEPS_PER_DRAW]
        if not _is_counted(self.inputs, self.size):
            return self._batch(of_step)
        return _Batch(self.inputs.features, of_step)

    def _batch(self, index: Array) -> _Batch:
        weights = jnp.full(self.size, 1 / self.size, self.inputs.features.dtype)
        return _batch(self.inputs, self.data.codes[index], self.data.targets[index], weights)


class _FreshBatches(NamedTuple):
    """Samples of the distribution that are new in each step; the distribution itself where the codes are few."""

    key: Array
    inputs: _Inputs
    joint: Float[Array, "u y"]
    size: int

    def prepare(self, draw: Array) -> _Data | None:
        """The samples of the steps of one draw."""
        if _is_counted(self.inputs, self.size):
            return None
        u, y = sample(jax.random.fold_in(self.key, draw), self.joint, _STEPS_PER_DRAW * self.size)
        return _Data(u, y, jnp.asarray(self.size))

    def at(self, prepared: _Data | None, t: Array) -> _Batch:
        """The batch of step t."""
        if prepared is None:
            return _Batch(self.inputs.features, self.joint)
        start = t % _STEPS_PER_DRAW * self.size
        codes, targets = (jax.lax.dynamic_slice(s, (start,), (self.size,)) for s in prepared[:2])
        weights = jnp.full(self.size, 1 / self.size, self.inputs.features.dtype)
        return _batch(self.inputs, codes, targets, weights)


_Batches = _FixedBatches | _DrawnBatches | _FreshBatches


def _batches(key: Array, inputs: _Inputs, data: _Data, config: TrainConfig) -> _FixedBatches | _DrawnBatches:
    if config.sampling == "fixed":
        return _FixedBatches.of(inputs, data, config.batch_size)
    return _DrawnBatches(key, inputs, data, config.batch_size)


def _is_counted(inputs: _Inputs, num_samples: int) -> bool:
    """Whether a batch of this size is given by its counts over the codes, rather than sample by sample."""
    return inputs.features.shape[0] <= num_samples


def _batch(inputs: _Inputs, codes: Array, targets: Array, weights: Array) -> _Batch:
    """The batch of weighted samples."""
    if _is_counted(inputs, codes.size):
        return _Batch(inputs.features, _counts(inputs, codes, targets, weights))
    classes = jax.nn.one_hot(targets, inputs.num_classes, dtype=weights.dtype)
    return _Batch(inputs.features[codes], weights[:, None] * classes)


def _counts(inputs: _Inputs, codes: Array, targets: Array, weights: Array) -> Float[Array, "u y"]:
    """Total weight of each (u, y) among weighted samples."""
    shape = inputs.features.shape[0], inputs.num_classes
    return jax.ops.segment_sum(weights, codes * shape[1] + targets, shape[0] * shape[1]).reshape(shape)


def _empirical(inputs: _Inputs, data: _Data) -> Float[Array, "u y"]:
    """Empirical distribution of (U, Y) in the training data."""
    present = jnp.arange(data.codes.size) < data.length
    weights = jnp.where(present, 1 / jnp.maximum(data.length, 1), 0).astype(inputs.features.dtype)
    return _counts(inputs, data.codes, data.targets, weights)
