"""Every member of a grid, trained in one jitted call.

A grid is problems × networks × batch sizes × learning rates × lengths × seeds. Whatever changes a shape (the alphabets
of the problem, the network, the batch size) is a program of its own within the call; everything else is an axis of
members. The members of a program are divided into chunks, of one length each, so that no step is wasted, unless the
members of a length are few and all take equally many steps. The chunks are distributed over the devices of a mesh; each
device trains its chunks one after another, and the members of a chunk at once, so that memory does not grow with the
grid. The members of a seed see the same samples; if these are not too many, they are drawn once, before training.
"""

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import FrozenDict
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

from isjax import _checks, _numerics
from isjax._display import displayed, displayed_as_call
from isjax._typing import Array, Bool, Float, Int, Key, Real
from isjax.distributions import pushforward
from isjax.entropies import conditional_entropy
from isjax.networks import MLP, Network, as_network, check_network
from isjax.scoring import RULES, ScoringRule, log_score, scored_loss
from isjax.sources import Problem
from isjax.sufficiency import mutual_information_loss, risk_decomposition
from isjax.training import (
    Drawn,
    Optimizer,
    Trace,
    TrainConfig,
    TrainingOptions,
    as_optimizer,
    converted,
    draw,
    train_drawn,
)

__all__ = [
    "AXES",
    "ScoredRisk",
    "SweepResult",
    "SweepSpec",
    "all_devices",
    "bytes_of_device",
    "check_spec",
    "chunk_size_on_cpu",
    "compile_sweep",
    "configure_cpu",
    "map_members",
    "num_numbers",
    "problem_groups",
    "sweep",
]

AXES = ("problem", "network", "batch_size", "learning_rate", "length", "seed", "evaluation")
"""Axes of the arrays of a ``SweepResult``."""


def _as_hidden(hidden: Any) -> tuple[tuple[int, ...], ...]:  # noqa: ANN401  (what a user gives)
    if hidden == ():  # beside networks
        return ()
    networks = _checks.as_sequence(hidden, "hidden", such_as="((32,), (64, 64))")
    for widths in networks:
        if not _checks.is_sequence(widths):
            raise TypeError(
                f"hidden must hold a sequence of widths for each network, such as (({widths},),), got {widths!r}"
            )
    return tuple(_checks.as_widths(widths) for widths in networks)


def _as_networks(networks: Any) -> FrozenDict[str, Network] | None:  # noqa: ANN401
    if networks is None:
        return None
    such_as = "such as {'narrow': isjax.MLP((32,), num_classes=4)}"
    if not isinstance(networks, Mapping):
        raise TypeError(f"networks must map names to Flax modules, {such_as}, got {type(networks).__name__}")
    if not networks:
        raise ValueError(f"networks must hold at least one network, {such_as}, got none")
    for name, network in networks.items():
        if not (isinstance(name, str) and name):
            raise TypeError(f"networks must be named by non-empty strings, {such_as}, got the name {name!r}")
        if not callable(network):  # modules are
            raise TypeError(f"networks must hold Flax modules, {such_as}, got {network!r} for {name!r}")
    return FrozenDict(networks)


def _as_optimizers(optimizer: Any) -> Optimizer | FrozenDict[str, Optimizer]:  # noqa: ANN401
    if not isinstance(optimizer, Mapping):
        return as_optimizer(optimizer)
    return FrozenDict({name: as_optimizer(of_network) for name, of_network in optimizer.items()})


def _as_lengths(lengths: Any) -> tuple[int | float, ...]:  # noqa: ANN401
    values = _checks.as_sequence(lengths, "lengths", such_as="(32, 64)")
    return tuple(math.inf if _checks.is_infinite(n) else _checks.check_integer(n, "lengths") for n in values)


def _as_batch_sizes(batch_sizes: Any) -> tuple[int, ...]:  # noqa: ANN401
    values = _checks.as_sequence(batch_sizes, "batch_sizes", such_as="(32,)")
    return tuple(_checks.check_integer(size, "batch_sizes") for size in values)


def _as_learning_rates(rates: Any) -> tuple[float, ...]:  # noqa: ANN401
    values = _checks.as_sequence(rates, "learning_rates", such_as="(0.1,)")
    if not all(isinstance(rate, int | float | np.integer | np.floating) for rate in values):
        raise TypeError(f"learning_rates must hold numbers, got {rates!r}")
    _checks.check_positive(np.asarray(values, float), "learning_rates")
    return tuple(float(rate) for rate in values)


def _as_rules(rules: Any) -> tuple[str | ScoringRule, ...]:  # noqa: ANN401
    """Names, and the rules that have values of their own."""
    such_as = "('log', 'brier', 'zero_one')"
    given = _checks.as_sequence(rules, "rules", such_as=such_as)
    if wrong := [rule for rule in given if not isinstance(rule, ScoringRule) and str(rule) not in RULES]:
        raise (ValueError if isinstance(wrong[0], str) else TypeError)(
            f"rules must hold names of scoring rules, {', '.join(RULES)}, or an isjax.ScoringRule, got {wrong[0]!r}"
        )
    made = [rule.name if isinstance(rule, ScoringRule) and rule.name in RULES else rule for rule in given]
    names = _names(made)
    if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"rules must hold each rule once, such as {such_as}, got {repeated[0]} twice")
    return tuple(made)


def _names(rules: Sequence[str | ScoringRule]) -> tuple[str, ...]:
    return tuple(rule if isinstance(rule, str) else rule.name for rule in rules)


@displayed_as_call
@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSpec(TrainingOptions):
    """The grid of a sweep: every combination of its fields is trained, for each problem.

    A pytree whose leaves are the lengths and the learning rates: changing their values compiles nothing anew, if there
    are equally many and the bound ``max_length`` is the same. A spec that went through ``jit`` has this bound set.

    Attributes:
      hidden: Widths of the hidden layers of each network, a short form of ``networks``.
      networks: Networks by their names, instead of ``hidden``: Flax modules that give logits ``[n, y]``, or rows
        ``[n, v]`` of a code and logits ``[v, y]``; or functions of the number of classes that give one. On the command
        line: 256,256, tanh:32, encoder-decoder:32/8 or hard:32/8, which has 8 hard codes.
      lengths: Numbers of samples to train on; inf for fresh samples at every step, or for all rows of a file.
      batch_sizes: Largest numbers of samples in a batch.
      learning_rates: Learning rates of the optimiser.
      num_seeds: Number of seeds; members of one seed see the same samples.
      num_steps: Total steps; give exactly one of num_steps, num_epochs.
      num_epochs: Passes over the data, of ⌈length / batch size⌉ steps each.
      num_evals: Number of evaluations of the risk: after the first step, after the last, and in between at steps spaced
        evenly in the logarithm.
      sampling: Batches that are fixed once, or drawn with replacement in each step.
      schedule: The learning rate decays to zero on a linear or cosine schedule, or stays constant.
      optimizer: The optimiser, a function of the learning rate that gives an optax transformation; or one for each
        network, by its name.
      rules: Scoring rules under which the risk is split: log, the cross-entropy, which is always there; brier,
        spherical, or zero_one, the error rate; from Python also isjax.squared_error(values). They change no training.
      max_length: Upper bound on the lengths, which determines the shapes of the programs; the longest length if None.
      chunk_size: Number of members that a device trains at once; chosen by its kind, its memory and the network if
        None. It changes time and memory, and the results only by rounding.

    Raises:
      ValueError: if an axis is empty, or both or neither of ``num_steps`` and ``num_epochs`` are given.

    Source:
      arXiv:2405.20452, the numerical study: widths, data lengths, batch sizes and learning rates.

    Examples:
      >>> import isjax
      >>> spec = isjax.SweepSpec(hidden=((32,), (64, 64)), lengths=(64, 256), num_seeds=3, num_steps=100)
      >>> spec.num_members, spec.network_names
      (12, ('32', '64,64'))
    """

    hidden: Sequence[Sequence[int]] = converted(((32,), (256,), (1024,)), _as_hidden)
    networks: Mapping[str, Network] | None = converted(None, _as_networks)
    lengths: Sequence[Real] = converted((32, 64, 128, 256, 512, 1024, 2048, 4096), _as_lengths)
    batch_sizes: Sequence[int] = converted((32,), _as_batch_sizes)
    learning_rates: Sequence[Real] = converted((0.1,), _as_learning_rates)
    optimizer: Optimizer | Mapping[str, Optimizer] = converted(optax.sgd, _as_optimizers)
    rules: Sequence[str | ScoringRule] = converted(("log",), _as_rules)
    num_seeds: int = 4
    max_length: int | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.networks is not None:
            if self.hidden not in ((), type(self).hidden):
                raise ValueError("give one of hidden and networks: networks replaces hidden")
            vars(self)["hidden"] = ()
        elif not self.hidden:
            raise ValueError("hidden must name at least one value, such as ((32,), (64, 64)), got none")
        if isinstance(self.optimizer, Mapping) and set(self.optimizer) != set(self.network_names):
            raise ValueError(
                f"optimizer must have one for each network, {', '.join(self.network_names)}, "
                f"got those of {', '.join(map(str, self.optimizer)) or 'none'}"
            )
        _checks.check_integer(self.num_seeds, "num_seeds")
        if self.num_epochs is not None and math.inf in self.lengths:
            raise ValueError("lengths must be finite for num_epochs, got inf, which has no epochs: give num_steps")
        longest = max(self._finite, default=1)
        if self.max_length is not None and _checks.check_integer(self.max_length, "max_length") < longest:
            raise ValueError(f"lengths must be at most max_length={self.max_length}, got {longest}")
        if self.chunk_size is not None:
            _checks.check_integer(self.chunk_size, "chunk_size")

    @property
    def _finite(self) -> tuple[Any, ...]:
        """The lengths that are not infinite."""
        return tuple(length for length in self.lengths if not _checks.is_infinite(length))

    @property
    def longest(self) -> int:
        """``max_length``, or the longest finite length if that is None."""
        return max(self._finite, default=1) if self.max_length is None else self.max_length

    @property
    def network_names(self) -> tuple[str, ...]:
        """The name of each network; the widths of ``hidden``: ``"32"``, ``"256,256"``, or ``"linear"`` without any."""
        if self.networks is not None:
            return tuple(self.networks)
        return tuple(",".join(map(str, widths)) or "linear" for widths in self.hidden)

    def modules(self, num_classes: int) -> dict[str, nn.Module]:
        """The networks, by their names."""
        if self.networks is not None:
            return {name: as_network(network, num_classes) for name, network in self.networks.items()}
        return {name: MLP(widths, num_classes) for name, widths in zip(self.network_names, self.hidden, strict=True)}

    def optimizer_of(self, name: str) -> Optimizer:
        """The optimiser of a network."""
        return self.optimizer[name] if isinstance(self.optimizer, Mapping) else self.optimizer

    @property
    def rule_names(self) -> tuple[str, ...]:
        """The name of each scoring rule."""
        return _names(self.rules)

    @property
    def scores(self) -> dict[str, ScoringRule]:
        """The scoring rules beside the logarithmic one, by their names."""
        rules = (RULES[rule] if isinstance(rule, str) else rule for rule in self.rules)
        return {rule.name: rule for rule in rules if rule.name != log_score.name}

    def with_one_network(self, i: int) -> "SweepSpec":
        """The grid of the network at a position alone."""
        name = self.network_names[i]
        kept: dict[str, Any] = (
            {"optimizer": {name: self.optimizer[name]}} if isinstance(self.optimizer, Mapping) else {}
        )
        if self.networks is not None:
            return dataclasses.replace(self, networks={name: self.networks[name]}, **kept)
        return dataclasses.replace(self, hidden=self.hidden[i : i + 1], **kept)

    @property
    def widths(self) -> tuple[int, ...] | None:
        """The common width of the hidden layers of each network; None unless every network has one."""
        if self.networks is not None:
            return None
        of_networks = [set(widths) for widths in self.hidden]
        return tuple(min(widths) for widths in of_networks) if all(len(w) == 1 for w in of_networks) else None

    @property
    def num_members(self) -> int:
        """How many networks are trained for each problem."""
        axes = self.network_names, self.batch_sizes, self.learning_rates, self.lengths
        return math.prod(map(len, axes)) * self.num_seeds

    def part(self, *, learning_rates: Sequence[int], lengths: Sequence[int]) -> "SweepSpec":
        """The grid of some learning rates and lengths, given by their positions, with the same bound on the length.

        Parts of a grid with equally many of each share their programs.
        """
        return dataclasses.replace(
            self,
            learning_rates=[self.learning_rates[i] for i in learning_rates],
            lengths=[self.lengths[i] for i in lengths],
            max_length=self.longest,
        )

    def train_config(self, name: str, batch_size: int) -> TrainConfig:
        """How the members of one network and batch size are trained."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainingOptions)}
        options: dict[str, Any] = shared | {"optimizer": self.optimizer_of(name)}
        return TrainConfig(batch_size=batch_size, max_length=self.longest, **options)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        """Leaves with their names, and metadata."""
        lengths, rates = map(jax.tree_util.GetAttrKey, ("lengths", "learning_rates"))
        infinite = tuple(i for i, length in enumerate(self.lengths) if _checks.is_infinite(length))
        networks = None if self.networks is None else tuple(self.networks.items())  # their order matters
        metadata = (self.longest, infinite, networks, *(getattr(self, name) for name in _METADATA))
        return ((lengths, self._finite), (rates, self.learning_rates)), metadata

    @classmethod
    def tree_unflatten(cls, metadata: tuple[Any, ...], leaves: tuple[Any, ...]) -> "SweepSpec":
        """A spec whose leaves may be traced, and are not checked."""
        (finite, rates), (longest, infinite, networks, *others) = leaves, metadata
        lengths = list(finite) if isinstance(finite, Sequence) else finite
        for i in infinite:
            lengths.insert(i, math.inf)
        named = {"lengths": tuple(lengths) if isinstance(lengths, list) else lengths, "learning_rates": rates}
        named |= {"max_length": longest, "networks": None if networks is None else FrozenDict(networks)}
        spec = object.__new__(cls)
        vars(spec).update(named, **dict(zip(_METADATA, others, strict=True)))
        return spec


_METADATA = tuple(
    field.name
    for field in dataclasses.fields(SweepSpec)
    if field.name not in ("lengths", "learning_rates", "max_length", "networks")
)


_Values = Array | np.ndarray
"""Results on the device, or those of a study, which are on the host."""


@displayed("risk", "excess_risk")
class ScoredRisk(NamedTuple):
    """The risk of every member under one scoring rule, decomposed exactly; in nats for the logarithmic rule."""

    conditional_entropy: Float[Array, "problem"]
    """The mean of G(p(y|x)): the risk of the best predictor from X."""
    encoder_bias: Float[Array, "problem"]
    """The mean of D(p(y|x), p(y|u)): the least excess risk of any decoder of U."""
    code_loss: Float[Array, "problem network batch_size learning_rate length seed evaluation"]
    """The mean of D(p(y|u), p(y|v)): what the code V of an encoder-decoder adds; zero for other networks."""
    decoder_error: Float[Array, "problem network batch_size learning_rate length seed evaluation"]
    """The mean of D(p(y|u), q(y|u)), or of D(p(y|v), q(y|v)): what the network has not learned."""

    @property
    def risk(self) -> Float[_Values, "problem network batch_size learning_rate length seed evaluation"]:
        """The risk E[S(q, Y)]."""
        return _along_problems(self.conditional_entropy) + self.excess_risk

    @property
    def excess_risk(self) -> Float[_Values, "problem network batch_size learning_rate length seed evaluation"]:
        """The risk minus that of the best predictor from X."""
        return _along_problems(self.encoder_bias) + self.code_loss + self.decoder_error


@displayed("last_excess_risk", "best_excess_risk", "accuracy", "diverged")
class SweepResult(NamedTuple):
    """The risk of every member, in nats, decomposed exactly; ``under`` gives the parts under another scoring rule.

    Source:
      arXiv:2405.20452, Theorem 4 for the three parts.
    """

    conditional_entropy: Float[Array, "problem"]
    """H(Y|X): the risk of the best predictor from X."""
    encoder_bias: Float[Array, "problem"]
    """I(X;Y|U): the least excess risk of any decoder of U."""
    decoder_error: Float[Array, "problem network batch_size learning_rate length seed evaluation"]
    """What the network has not learned."""
    train_loss: Float[Array, "problem network batch_size learning_rate length seed evaluation"]
    """Cross-entropy on the training data."""
    steps: Int[Array, "problem network batch_size learning_rate length seed evaluation"]
    """Number of steps taken."""
    uniform_risk: Float[Array, "problem"] | None = None
    """log |Y|: the risk of the uniform decoder; None in a result that was not made by ``sweep``."""
    code_loss: Float[Array, "problem network batch_size learning_rate length seed evaluation"] | None = None
    """I(U;Y|V): what the code V of an encoder-decoder loses of U; zero for other networks, and if None."""
    scores: Mapping[str, ScoredRisk] | None = None
    """The risk under each scoring rule of the spec but the logarithmic one, by the name of the rule."""

    def under(self, rule: str) -> ScoredRisk:
        """The risk and its parts under a scoring rule of the spec, by its name; under ``"log"`` those of this result.

        Raises:
          ValueError: if the sweep did not compute this rule.
        """
        if rule == log_score.name:
            lost = 0 * self.decoder_error if self.code_loss is None else self.code_loss
            return ScoredRisk(self.conditional_entropy, self.encoder_bias, lost, self.decoder_error)
        scores = self.scores or {}
        if rule not in scores:
            computed = ", ".join(map(repr, (log_score.name, *scores)))
            raise ValueError(f"rule must be one that the sweep computed, {computed}, got {rule!r}: give it in rules")
        return scores[rule]

    @property
    def accuracy(self) -> Float[_Values, "problem network batch_size learning_rate length seed evaluation"]:
        """The probability that the most probable class of the network is Y: one minus the zero-one risk."""
        return 1 - self.under("zero_one").risk

    @property
    def risk(self) -> Float[_Values, "problem network batch_size learning_rate length seed evaluation"]:
        """The cross-entropy risk E[−log q(Y|U)]."""
        return _along_problems(self.conditional_entropy) + self.excess_risk

    @property
    def excess_risk(self) -> Float[_Values, "problem network batch_size learning_rate length seed evaluation"]:
        """The risk minus H(Y|X)."""
        lost = _along_problems(self.encoder_bias)
        return (lost if self.code_loss is None else lost + self.code_loss) + self.decoder_error

    @property
    def diverged(self) -> Bool[_Values, "problem network batch_size learning_rate length seed"]:
        """Runs of which a risk is not finite, or whose last training loss is more than one nat above log |Y|.

        Overfitting raises the risk, but never the training loss, which is about log |Y| before the first step. Without
        ``uniform_risk`` only risks that are not finite are found.
        """
        xp = self.decoder_error.__array_namespace__()
        is_finite = xp.all(xp.isfinite(self.excess_risk), axis=-1)
        if self.uniform_risk is None:
            return ~is_finite
        return ~(is_finite & (self.train_loss[..., -1] <= _along_problems(self.uniform_risk)[..., 0] + 1))

    @property
    def last_excess_risk(self) -> Float[_Values, "problem network batch_size length seed"]:
        """Excess risk after the last step, at the learning rate where its mean over seeds is least.

        NaN for a run that diverged; rates at which a run diverged are taken only if there is no other.
        """
        xp = self.decoder_error.__array_namespace__()
        return self._at_best_rate(xp.where(self.diverged, xp.inf, self.excess_risk[..., -1]))

    @property
    def best_excess_risk(self) -> Float[_Values, "problem network batch_size length seed"]:
        """Least excess risk along each run, at the learning rate where its mean over seeds is least; skips NaN.

        To stop a run there, one would have to know the distribution.
        """
        xp = self.decoder_error.__array_namespace__()
        risk = self.excess_risk
        return self._at_best_rate(xp.min(xp.where(xp.isnan(risk), xp.inf, risk), axis=-1))

    def _at_best_rate(
        self, risk: Float[_Values, "problem network batch_size learning_rate length seed"]
    ) -> Float[_Values, "problem network batch_size length seed"]:
        """At the learning rate with the least mean over seeds; NaN where infinite."""
        xp = risk.__array_namespace__()
        num_infinite = xp.sum(xp.isinf(risk), axis=-1)
        fewest = num_infinite == xp.min(num_infinite, axis=3, keepdims=True)
        total = xp.sum(xp.where(xp.isinf(risk), 0, risk), axis=-1)
        rate = xp.argmin(xp.where(fewest, total, xp.inf), axis=3)
        best = xp.take_along_axis(risk, rate[:, :, :, None, :, None], axis=3)[:, :, :, 0]
        return xp.where(xp.isinf(best), xp.nan, best)


def _along_problems(values: Float[_Values, "problem"]) -> Float[_Values, "problem 1 1 1 1 1 1"]:
    return values.reshape(-1, *[1] * (len(AXES) - 1))


def sweep(
    key: Key[Array, ""], problems: Sequence[Problem], spec: SweepSpec, *, mesh: Mesh | None = None
) -> SweepResult:
    r"""Trains every member of a grid, and decomposes its risk exactly at every evaluation.

    A member's numbers do not depend on the grid: they are those of ``train`` with the key
    ``jax.random.fold_in(key, seed)``, if the key is one of threefry, the default. The first call compiles; another one
    with other values (the key, the problems' arrays, the learning rates, the lengths for the same ``max_length``)
    compiles nothing.

    Args:
      key: a key of ``jax.random.key``.
      problems: a sequence of problems; those of similar shapes share a program.
      spec: the grid.
      mesh: the devices to use; all of them if None.

    Returns:
      A ``SweepResult``: H(Y|X) and the encoder bias of shape ``[problem]``, the rest of shape ``[problem, network,
      batch_size, learning_rate, length, seed, evaluation]``; the same under each other scoring rule of the spec.

    Raises:
      TypeError: if ``problems`` is not a sequence of ``Problem``.
      ValueError: if there is no problem.

    Source:
      arXiv:2405.20452, the numerical study; Theorem 4 for the decomposition of the risk.

    Examples:
      >>> import isjax, jax
      >>> source = isjax.sparse_source(
      ...     jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8
      ... )
      >>> problems = [source.problem("identity"), source.problem("sufficient")]
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 64), num_seeds=2, num_steps=20, num_evals=3)
      >>> result = isjax.sweep(jax.random.key(1), problems, spec)
      >>> result.excess_risk.shape, result.best_excess_risk.shape
      ((2, 1, 1, 1, 2, 2, 3), (2, 1, 1, 2, 2))
    """
    _checks.check_key(key)
    check_spec(spec)
    problems = _as_problems(problems)
    _check_rules(spec, problems)
    groups, positions = _groups(key, problems, spec)
    return _sweep(groups, spec, positions=positions, mesh=all_devices() if mesh is None else mesh)


def compile_sweep(
    key: Key[Array, ""], problems: Sequence[Problem], spec: SweepSpec, *, mesh: Mesh | None = None
) -> Callable[[], SweepResult]:
    """Compiles a sweep without training anything, for those who time or report the two apart.

    Args:
      key: as for ``sweep``.
      problems: as for ``sweep``.
      spec: as for ``sweep``.
      mesh: as for ``sweep``.

    Returns:
      A function without arguments that runs the sweep and returns its ``SweepResult``.

    Raises:
      TypeError: if ``problems`` is not a sequence of ``Problem``.
      ValueError: if there is no problem.

    Source:
      JAX's ahead-of-time compilation.

    Examples:
      >>> import isjax, isjax.sweeps, jax
      >>> source = isjax.sparse_source(
      ...     jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8
      ... )
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16,), num_seeds=2, num_steps=20, num_evals=3)
      >>> program = isjax.sweeps.compile_sweep(jax.random.key(1), [source.problem("biased")], spec)
      >>> program().steps.shape
      (1, 1, 1, 1, 1, 2, 3)
    """
    _checks.check_key(key)
    check_spec(spec)
    problems = _as_problems(problems)
    _check_rules(spec, problems)
    groups, positions = _groups(key, problems, spec)
    lowered = _sweep.lower(groups, spec, positions=positions, mesh=all_devices() if mesh is None else mesh)
    return partial(lowered.compile(), groups, spec)


def check_spec(spec: object) -> None:
    """Refuses what is not a ``SweepSpec``.

    Args:
      spec: what was given.

    Raises:
      TypeError: if it is anything else.

    Examples:
      >>> import isjax, isjax.sweeps
      >>> isjax.sweeps.check_spec(isjax.SweepSpec(num_steps=100))
    """
    if not isinstance(spec, SweepSpec):
        raise TypeError(f"spec must be a SweepSpec, such as isjax.SweepSpec(num_steps=2000), got {spec!r}")


def all_devices() -> Mesh:
    """A mesh of all devices, along one axis.

    Examples:
      >>> import isjax.sweeps
      >>> isjax.sweeps.all_devices().axis_names
      ('device',)
    """
    return Mesh(np.asarray(jax.devices()), ("device",))


def _as_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Checked problems, whose codes have the default integer type."""
    if isinstance(problems, Problem) or not isinstance(problems, Sequence):
        raise TypeError(f"problems must be a sequence of Problem, such as [problem], got {type(problems).__name__}")
    if not problems:
        raise ValueError("problems must hold at least one problem, got none")
    for i, problem in enumerate(problems):
        if not isinstance(problem, Problem):
            raise TypeError(
                f"problems must be a sequence of Problem, got {type(problem).__name__} at position {i}: "
                "a Source gives one by source.problem('identity')"
            )
    return [Problem(*_checks.as_problem_arrays(*problem)) for problem in problems]


def _check_rules(spec: SweepSpec, problems: Sequence[Problem]) -> None:
    """Refuses a rule that has not a value for each class."""
    for i, (rule, problem) in enumerate(itertools.product(spec.scores.values(), problems)):
        num_classes = problem.joint.shape[-1]
        _checks.as_score(rule, num_classes, f"Y has {num_classes} symbols in problem {i % len(problems)}")


def _draw_before(key: Array, problems: Sequence[Problem], spec: SweepSpec) -> list[Drawn] | None:
    """What is drawn for each seed, for each problem: its members, and the blocks of a study, share this small program.

    None if each member has to draw its own: where the samples of all seeds would take much memory, and where anything
    is traced, since the caller's ``jit`` would compile this once for each problem.
    """
    anything = key, problems, jnp.zeros(())  # a constant is traced within jit, even if the arguments are not
    if not _checks.is_concrete(anything) or len(problems) * spec.num_seeds * spec.longest > _MOST_SAMPLES:
        return None
    return [_draw_seeds(key, problem.joint, num_seeds=spec.num_seeds, max_length=spec.longest) for problem in problems]


_MOST_SAMPLES = 2**20  # 8 MiB


@jax.jit(static_argnames=("num_seeds", "max_length"))
def _draw_seeds(key: Array, joint: Array, *, num_seeds: int, max_length: int) -> Drawn:
    # Not vmap: keys of other generators than threefry give other numbers in a batch.
    return jax.lax.map(lambda seed: draw(jax.random.fold_in(key, seed), joint, max_length), jnp.arange(num_seeds))


_Positions = tuple[tuple[int, ...], ...]
"""Those of the problems of each group."""


def _groups(key: Array, problems: Sequence[Problem], spec: SweepSpec) -> "tuple[list[_Group], _Positions]":
    """The problems of a sweep in groups, and their positions: by small programs, which blocks of a study share."""
    positions = tuple(map(tuple, problem_groups(problems, spec.batch_sizes)))
    return _stack_groups(key, problems, _draw_before(key, problems, spec), positions=positions), positions


@jax.jit(inline=True, static_argnames="positions")
def _stack_groups(
    key: Array, problems: Sequence[Problem], drawn: Sequence[Drawn] | None, *, positions: _Positions
) -> "list[_Group]":
    def stacked(each: Sequence[Drawn]) -> Drawn:
        return jax.tree.map(lambda *arrays: jnp.stack(arrays), *each)

    return [
        _Group(
            key,
            _stack_padded([problems[i] for i in of_group]),
            None if drawn is None else stacked([drawn[i] for i in of_group]),
        )
        for of_group in positions
    ]


@jax.jit(inline=True, static_argnames=("positions", "mesh"))
def _sweep(groups: "Sequence[_Group]", spec: SweepSpec, *, positions: _Positions, mesh: Mesh) -> SweepResult:
    results = [_sweep_group(group, spec, mesh) for group in groups]
    position = np.argsort(np.concatenate(positions))
    return jax.tree.map(lambda *of_groups: jnp.concatenate(of_groups)[position], *results)


class _Group(NamedTuple):
    """Problems that share their programs, and what was drawn for them."""

    key: Array
    problems: Problem
    """With an axis of problems in front."""
    drawn: Drawn | None
    """With axes of problems and seeds in front, if it was drawn before."""

    def of_member(self, problem: Array, seed: Array, max_length: int, *, is_only: bool) -> tuple[Drawn, Problem]:
        """What is drawn for a member, and its problem, which is that of all members if ``is_only``."""
        # Rows of one table are gathered faster than of one for each member; products with one table are slower.
        seen = jax.tree.map(lambda a: a[0 if is_only else problem], self.problems)
        if self.drawn is None:
            return draw(jax.random.fold_in(self.key, seed), seen.joint, max_length), seen
        return jax.tree.map(lambda a: a[problem, seed], self.drawn), seen


def _sweep_group(group: _Group, spec: SweepSpec, mesh: Mesh) -> SweepResult:
    """The members of all problems of a group."""
    programs = [
        _stack([_sweep_network(group, spec, name, size, mesh) for size in spec.batch_sizes])
        for name in spec.network_names
    ]
    problems, members = group.problems, _stack(programs)
    num_codes = problems.features.shape[1]
    loss = mutual_information_loss(problems.joint, problems.codes, num_codes=num_codes)
    scores = {
        name: ScoredRisk(
            _numerics.conditional_entropy(problems.joint, rule.formulas),
            scored_loss(problems.joint, problems.codes, rule, num_codes=num_codes),
            *members.scores[name],
        )
        for name, rule in spec.scores.items()
    }
    return SweepResult(
        conditional_entropy=conditional_entropy(problems.joint),
        encoder_bias=loss,
        decoder_error=members.decoder_error,
        train_loss=members.train_loss,
        steps=members.steps,
        uniform_risk=jnp.full_like(loss, math.log(problems.joint.shape[-1])),
        code_loss=members.code_loss,
        scores=scores,
    )


def _stack(results: "Sequence[_Members]") -> "_Members":
    return jax.tree.map(lambda *arrays: jnp.stack(arrays, 1), *results)


def problem_groups(problems: Sequence[Problem], batch_sizes: Sequence[int]) -> list[list[int]]:
    """Positions of the problems in groups; each group takes one program for each network and batch size.

    A program often takes longer to compile than to run. Problems over one (X, Y) are therefore padded to the largest of
    their group, with codes that never occur and features that are zero. Within a group, no code alphabet is more than
    four times as large as another, and the same batch sizes are at least as large as the code alphabet.

    Args:
      problems: what the learners see.
      batch_sizes: those of the grid.

    Returns:
      For each group, the positions of its problems in increasing order.

    Examples:
      >>> import isjax, isjax.sweeps, jax
      >>> source = isjax.sparse_source(
      ...     jax.random.key(0), num_inputs=6, num_relevant=2, num_classes=2, discrimination=0.8
      ... )
      >>> problems = [source.problem(encoder) for encoder in ("identity", "sufficient", "biased")]
      >>> isjax.sweeps.problem_groups(problems, (32,))
      [[0], [1, 2]]
    """
    groups: dict[Any, list[int]] = {}
    for i in sorted(range(len(problems)), key=lambda i: -problems[i].features.shape[0]):
        joint, _, features = problems[i]
        num_codes = features.shape[0]
        kind = joint.shape, joint.dtype, features.dtype, *(num_codes <= size for size in batch_sizes)
        of_kind = [group for key, group in groups.items() if key[:-1] == kind]
        if of_kind and problems[of_kind[-1][0]].features.shape[0] <= _MOST_PADDING * num_codes:
            of_kind[-1].append(i)
        else:
            groups[(*kind, len(of_kind))] = [i]
    return [sorted(group) for group in groups.values()]


_MOST_PADDING = 4


def _stack_padded(problems: Sequence[Problem]) -> Problem:
    """Problems over one (X, Y), padded with codes that never occur and features that are zero, then stacked."""
    largest = np.max([problem.features.shape for problem in problems], axis=0)
    padded = [
        problem._replace(features=jnp.pad(problem.features, [(0, n) for n in largest - problem.features.shape]))
        for problem in problems
    ]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *padded)


class _Chunks(NamedTuple):
    """Which members each chunk trains; every index is into its own axis of the grid."""

    problem: Int[Array, "chunk member"]
    rate: Int[Array, "chunk member"]
    length: Int[Array, "chunk member"] | Int[Array, "chunk"]
    """Of each member, or of all members of a chunk; the number of lengths in one that pads the work of a device."""
    seed: Int[Array, "chunk member"]


class _Members(NamedTuple):
    """What differs from member to member in a ``SweepResult``."""

    code_loss: Array
    decoder_error: Array
    train_loss: Array
    steps: Array
    scores: dict[str, tuple[Array, Array]]
    """Code loss and decoder error under each scoring rule but the logarithmic one."""


def _sweep_network(group: _Group, spec: SweepSpec, name: str, batch_size: int, mesh: Mesh) -> _Members:
    """Members of one network and batch size: (problem, learning rate, length, seed, evaluation).

    Those of infinite length draw their samples otherwise, and have a program of their own.
    """
    infinite = np.array([_checks.is_infinite(length) for length in spec.lengths])
    finite = [length for length, is_infinite in zip(spec.lengths, infinite, strict=True) if not is_infinite]
    parts = [lengths for lengths in (finite, [math.inf] * int(infinite.sum())) if lengths]
    members = [_sweep_program(group, spec, lengths, name, batch_size, mesh) for lengths in parts]
    position = np.argsort(np.argsort(infinite, kind="stable"), kind="stable")
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays, 2)[:, :, position], *members)


def _sweep_program(
    group: _Group, spec: SweepSpec, lengths: Sequence[Any], name: str, batch_size: int, mesh: Mesh
) -> _Members:
    """Members of one shape: (problem, learning rate, length, seed, evaluation)."""
    config, is_infinite, problems = spec.train_config(name, batch_size), _checks.is_infinite(lengths[0]), group.problems
    network = spec.modules(problems.joint.shape[-1])[name]
    check_network(network, problems.features[0], problems.joint.shape[-1])
    grid = problems.joint.shape[0], len(spec.learning_rates), len(lengths), spec.num_seeds
    size = spec.chunk_size or _best_chunk_size(mesh.devices.flat[0], network, problems, spec, spec.optimizer_of(name))
    is_only = grid[0] == 1 and problems.features.shape[1] > batch_size
    values = jnp.asarray([] if is_infinite else [*lengths, 0], jnp.int32)
    rates = jnp.asarray(spec.learning_rates, problems.features.dtype)

    def train_member(group: _Group, problem: Array, rate: Array, length: Array, seed: Array) -> _Members:
        drawn, seen = group.of_member(problem, seed, spec.longest, is_only=is_only)
        num_samples = None if is_infinite else values[length]
        trace = train_drawn(drawn, seen, num_samples, rates[rate], network=network, config=config)
        scores = _scores(seen, trace, spec)
        return _Members(trace.code_loss, trace.risk.decoder_error, trace.train_loss, trace.steps, scores)

    same_steps = spec.num_steps is not None
    return map_members(train_member, group, grid, chunk_size=size, mesh=mesh, same_steps=same_steps)


def map_members(
    train_member: Callable[[Any, Array, Array, Array, Array], Any],
    shared: PyTree,
    grid: tuple[int, int, int, int],
    *,
    chunk_size: int,
    mesh: Mesh,
    same_steps: bool = False,
) -> Any:  # noqa: ANN401  (what a member gives)
    """Trains every member of a grid of (problem, learning rate, length, seed), in chunks on the devices of a mesh.

    Args:
      train_member: trains, from what is shared, the member at these four positions. A position past the last length is
        that of a chunk that pads the work of a device; what it gives is dropped.
      shared: arrays that every device has; they may be distributed over devices before.
      grid: the sizes of the four axes.
      chunk_size: about how many members a device trains at once.
      mesh: the devices.
      same_steps: whether members of different lengths take equally many steps, and may be trained at once.

    Returns:
      What the members give, with the axes of the grid in front.

    Examples:
      >>> import isjax, isjax.sweeps, jax
      >>> mesh = jax.make_mesh((1,), ("device",))
      >>> def number(first, problem, rate, length, seed):
      ...     return first + 100 * problem + 10 * length + seed
      >>> isjax.sweeps.map_members(number, 0, (2, 1, 2, 3), chunk_size=2, mesh=mesh)[1, 0, 1].tolist()
      [110, 111, 112]
    """
    chunks, position = _divide(grid, chunk_size, mesh.devices.size, may_mix=same_steps)

    def train_chunk(shared: PyTree, chunk: _Chunks) -> Any:  # noqa: ANN401
        if chunk.seed.size == 1:  # on a CPU a batch axis slows products down, even one of size one
            return train_member(shared, *(of_chunk.reshape(()) for of_chunk in chunk))
        axes = (None, *(0 if of_chunk.ndim else None for of_chunk in chunk))
        return jax.vmap(train_member, in_axes=axes)(shared, *chunk)

    def train_chunks(shared: PyTree, chunks: _Chunks) -> Any:  # noqa: ANN401
        return jax.lax.map(partial(train_chunk, shared), chunks)

    everywhere, along = PartitionSpec(), PartitionSpec(mesh.axis_names)
    distributed = jax.shard_map(train_chunks, mesh=mesh, in_specs=(everywhere, along), out_specs=along, check_vma=False)
    num_slots, size = chunks.seed.shape

    def in_grid(of_chunks: Array) -> Array:
        shape = of_chunks.shape[1:] if size == 1 else of_chunks.shape[2:]
        return of_chunks.reshape(num_slots * size, *shape)[position]

    return jax.tree.map(in_grid, distributed(shared, chunks))


def _scores(problem: Problem, trace: Trace, spec: SweepSpec) -> dict[str, tuple[Array, Array]]:
    """Code loss and decoder error of one member at its evaluations, under each rule but the logarithmic one."""
    joint_uy = pushforward(problem.joint, problem.codes, num_codes=problem.features.shape[0])
    split = {
        name: risk_decomposition(joint_uy, trace.log_decoder, trace.code, rule=rule)
        for name, rule in spec.scores.items()
    }
    return {name: (parts.encoder_bias, parts.decoder_error) for name, parts in split.items()}


def _divide(
    grid: tuple[int, int, int, int], size: int, num_devices: int, *, may_mix: bool
) -> tuple[_Chunks, Int[np.ndarray, "..."]]:
    """Divides a grid of (problem, rate, length, seed) into chunks of about ``size`` members.

    Those of a chunk have the same length. If ``may_mix``, they may have different ones where those of one length do not
    fill a chunk, or would leave devices without work.

    Returns:
      The chunks in the order of the devices, and the position of each member of the grid in the flat list of the
      members of all chunks.
    """
    num_problems, num_rates, num_lengths, num_seeds = grid
    by_length = num_lengths, num_problems, num_rates, num_seeds  # members of one length follow each other
    per_length = num_problems * num_rates * num_seeds
    is_small = per_length < size or num_lengths * -(-per_length // size) < num_devices
    is_mixed = may_mix and num_lengths > 1 and is_small
    num_parts = 1 if is_mixed else num_lengths  # each is divided alone
    per_part = math.prod(grid) // num_parts
    chunks_per_part = -(-per_part // size)
    if num_parts == 1:
        chunks_per_part = min(-(-chunks_per_part // num_devices) * num_devices, per_part)
    size = -(-per_part // chunks_per_part)  # equal sizes
    chunks_per_part = -(-per_part // size)
    num_slots = -(-num_parts * chunks_per_part // num_devices) * num_devices

    # Devices take turns: chunk i goes to device i mod num_devices, so that each has its share of every length.
    slot_of_chunk = np.arange(num_slots).reshape(num_devices, -1).T.ravel()
    part, chunk = np.divmod(np.argsort(slot_of_chunk)[:, None], chunks_per_part)
    is_padding = part >= num_parts
    member = np.where(is_padding, 0, part) * per_part + np.minimum(chunk * size + np.arange(size), per_part - 1)
    length, problem, rate, seed = np.unravel_index(member, by_length)
    length = np.where(is_padding, num_lengths, length)
    chunks = problem, rate, length if is_mixed else length[:, 0], seed

    part, member = np.divmod(np.arange(math.prod(grid)), per_part)
    position = slot_of_chunk[part * chunks_per_part + member // size] * size + member % size
    return _Chunks(*(jnp.asarray(a, jnp.int32) for a in chunks)), np.moveaxis(position.reshape(by_length), 0, 2)


def _best_chunk_size(
    device: Any,  # noqa: ANN401  (a jax.Device, which is no type to type checkers)
    network: nn.Module,
    problems: Problem,
    spec: SweepSpec,
    optimizer: Optimizer = optax.sgd,
) -> int:
    """Number of members that a device trains at once if the spec does not say.

    On a CPU few, fewer for wider networks, so that their weights fit in the cache of a core (measured by ``python -m
    benchmarks scaling``). On an accelerator as many as fit into a quarter of its memory, because a step of more members
    takes little longer until the device is busy (measured by ``python -m benchmarks chunks`` on a GPU). Compilers for
    TPUs were seen to need 0.7 to 1.4 times the estimate (``python -m benchmarks accelerators``).
    """
    if device.platform != "cpu":
        return max(1, bytes_of_device(device) // 4 // _bytes_of_member(network, problems, spec, optimizer))
    return chunk_size_on_cpu(network, problems.features[0], optimizer)


def bytes_of_device(device: Any) -> int:  # noqa: ANN401
    """Bytes that JAX may use on a device; 16 GiB if it cannot be asked.

    Processes of one JAX program must compile the same, and their devices may have a little more or less to use.

    Examples:
      >>> import isjax.sweeps, jax
      >>> isjax.sweeps.bytes_of_device(jax.devices("cpu")[0]) > 2**30
      True
    """
    if jax.process_count() == 1:
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # a device of a topology, which is not there
            return (device.memory_stats() or {}).get("bytes_limit", _USUAL_BYTES)
    return _USUAL_BYTES


_USUAL_BYTES = 2**34
_NARROW = 32  # hidden units of networks whose steps take less time in groups of 16 than of 8
_CACHED_NUMBERS = 2**15  # weights and the optimiser's numbers, of all members that a core trains at once


def chunk_size_on_cpu(network: nn.Module, features: Float[Array, "n d"], optimizer: Optimizer) -> int:
    """Number of members that a core trains at once: few, so that their weights stay in its cache.

    Args:
      network: of the members.
      features: what it sees.
      optimizer: of the members.

    Returns:
      One to sixteen.

    Examples:
      >>> import isjax, isjax.sweeps, jax.numpy as jnp, optax
      >>> [isjax.sweeps.chunk_size_on_cpu(isjax.MLP((h,), 2), jnp.ones((5, 3)), optax.sgd) for h in (32, 256, 1024)]
      [16, 4, 1]
    """
    if isinstance(network, MLP):
        width = max(network.hidden, default=1)
        return max(1, min(1024 // width, 16 if width <= _NARROW else 8))
    return max(1, min(_CACHED_NUMBERS // num_numbers(network, features, optimizer), 8))


def num_numbers(network: nn.Module, features: Float[Array, "n d"], optimizer: Optimizer) -> int:
    """Weights of a network, and the numbers of the optimiser's state.

    Examples:
      >>> import isjax, isjax.sweeps, jax.numpy as jnp, optax
      >>> isjax.sweeps.num_numbers(isjax.MLP((), 2), jnp.ones((5, 3)), optax.sgd)
      8
    """

    def initial(key: Array) -> Any:  # noqa: ANN401
        params = network.init(key, features)
        return params, optimizer(0.1).init(params)

    shapes = jax.eval_shape(initial, jax.eval_shape(jax.random.key, 0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _bytes_of_member(network: nn.Module, problems: Problem, spec: SweepSpec, optimizer: Optimizer = optax.sgd) -> int:
    """About the memory that a member takes: samples, hidden units, evaluations, and weights with their gradients."""
    num_codes, num_classes = problems.features.shape[1], problems.joint.shape[-1]
    rows = num_codes + 2 * min(max(spec.batch_sizes), num_codes)
    units = jax.eval_shape(
        lambda key: network.init_with_output(key, problems.features[0][:1], capture_intermediates=True)[1],
        jax.eval_shape(jax.random.key, 0),
    ).get("intermediates", {})
    numbers = (
        spec.longest * (num_classes + 8)
        + rows * sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(units))
        + (3 + len(spec.scores)) * spec.num_evals * num_codes * num_classes
        + 4 * num_numbers(network, problems.features[0], optimizer)
    )
    return numbers * problems.features.dtype.itemsize


def configure_cpu(num_devices: int | None = None) -> None:
    """Gives JAX one CPU device for each core, so that a sweep uses all of them. Call it before JAX computes anything.

    Args:
      num_devices: number of devices; as many as this process may use cores if None.

    Raises:
      RuntimeError: if JAX has already started.

    Source:
      JAX's option ``jax_num_cpu_devices``.

    Examples:
      >>> import isjax
      >>> isjax.configure_cpu(2)  # doctest: +SKIP
    """
    if num_devices is None:
        num_devices = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", _checks.check_integer(num_devices, "num_devices"))
