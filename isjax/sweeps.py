"""Every member of a grid, trained in one jitted call.

A grid is problems × widths × batch sizes × learning rates × lengths × seeds. Whatever changes a shape (the problem's
alphabets, the width, the batch size) is unrolled into programs; all else is an axis of members. Members of one length
train in lock step, a few at a time: so no step is wasted where the number of steps follows the length. These chunks are
shared out over the devices of a mesh, and every device works through its own, one after another: memory is bounded
whatever the grid.
"""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from isjax import _checks
from isjax._typing import Array, Float, Int, Key, Real
from isjax.networks import MLP
from isjax.sources import Problem
from isjax.sufficiency import RiskDecomposition
from isjax.training import TrainConfig, train

__all__ = ["SweepResult", "SweepSpec", "configure_cpu", "sweep"]

AXES = ("problem", "hidden", "batch_size", "learning_rate", "length", "seed", "evaluation")


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """The grid of a sweep: every combination of its fields is trained, for each problem.

    A pytree: lengths and learning rates are its leaves, so that changing them compiles nothing anew (for as many of
    them, and the same longest length); the rest is metadata.

    Attributes:
      hidden: Widths of the hidden layers of each network.
      lengths: How many samples a member learns from.
      batch_sizes: The most samples that a step sees.
      learning_rates: Learning rates of SGD.
      num_seeds: How many seeds; members of one seed see the same samples.
      num_steps: How many SGD steps, whatever the length. Give this or num_epochs.
      num_epochs: How many passes over the data, of ⌈length / batch size⌉ steps each. Give this or num_steps.
      num_evals: At how many steps the risk is evaluated, spaced evenly in the logarithm, the last one among them.
      sampling: Batches that are fixed once, or drawn with replacement at each step.
      schedule: Whether the learning rate stays constant, or falls to zero on a linear or cosine path.
      chunk_size: How many members train in lock step on a device; chosen for its kind and the width if None. It changes
        time and memory, and results by rounding alone.

    Raises:
      TypeError: if a number of things is not an integer.
      ValueError: if an axis is empty, a value out of its range, or both or neither of ``num_steps`` and ``num_epochs``
        are given.

    Source:
      arXiv:2405.20452, the numerical study: widths, data lengths, batch sizes and learning rates.

    Examples:
      >>> spec = SweepSpec(hidden=((32,), (64, 64)), lengths=(64, 256), num_seeds=3, num_steps=100)
      >>> spec.num_members
      12
    """

    hidden: Sequence[Sequence[int]] = ((32,), (256,), (1024,))
    lengths: Sequence[int] = (32, 64, 128, 256, 512, 1024, 2048, 4096)
    batch_sizes: Sequence[int] = (32,)
    learning_rates: Sequence[Real] = (0.1,)
    num_seeds: int = 4
    num_steps: int | None = None
    num_epochs: int | None = None
    num_evals: int = 16
    sampling: Literal["fixed", "replacement"] = "fixed"
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("hidden", "lengths", "batch_sizes", "learning_rates"):
            if not len(getattr(self, name)):
                raise ValueError(f"{name} must name at least one value, got none")
        object.__setattr__(self, "hidden", tuple(tuple(widths) for widths in self.hidden))
        for widths in self.hidden:
            MLP(tuple(widths), num_classes=1)
        lengths = tuple(_checks.check_integer(n, "lengths") for n in self.lengths)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "_max_length", max(lengths))
        for rate in self.learning_rates:
            if not (rate > 0 and math.isfinite(rate)):
                raise ValueError(f"learning_rates must be positive and finite, got {rate}")
        object.__setattr__(self, "learning_rates", tuple(float(rate) for rate in self.learning_rates))
        _checks.check_integer(self.num_seeds, "num_seeds")
        if self.chunk_size is not None:
            _checks.check_integer(self.chunk_size, "chunk_size")
        object.__setattr__(self, "batch_sizes", tuple(self.batch_sizes))
        self.train_configs  # noqa: B018  (they check the rest)

    @property
    def train_configs(self) -> list[TrainConfig]:
        """How the members of each batch size are trained."""
        return [
            TrainConfig(
                batch_size=size,
                num_steps=self.num_steps,
                num_epochs=self.num_epochs,
                num_evals=self.num_evals,
                sampling=self.sampling,
                schedule=self.schedule,
                max_length=self.max_length,
            )
            for size in self.batch_sizes
        ]

    @property
    def max_length(self) -> int:
        """The longest length, known under a trace too."""
        return self._max_length  # type: ignore[attr-defined]

    @property
    def num_members(self) -> int:
        """How many networks are trained for each problem."""
        sizes = map(len, (self.hidden, self.batch_sizes, self.learning_rates, self.lengths))
        return math.prod(sizes) * self.num_seeds

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        """Leaves with their names, and metadata."""
        leaves = tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in _LEAVES)
        return leaves, (self.max_length, *(getattr(self, name) for name in _METADATA))

    @classmethod
    def tree_unflatten(cls, metadata: tuple[Any, ...], leaves: tuple[Any, ...]) -> "SweepSpec":
        """A spec whose leaves may be traced, and are not checked."""
        spec = object.__new__(cls)
        max_length, *rest = metadata
        for name, value in (*zip(_LEAVES, leaves, strict=True), *zip(_METADATA, rest, strict=True)):
            object.__setattr__(spec, name, value)
        object.__setattr__(spec, "_max_length", max_length)
        return spec


_LEAVES = ("lengths", "learning_rates")
_METADATA = tuple(field.name for field in dataclasses.fields(SweepSpec) if field.name not in _LEAVES)


class SweepResult(NamedTuple):
    """What became of every member, in nats.

    Axes: problem, hidden, batch_size, learning_rate, length, seed, evaluation.

    Source:
      arXiv:2405.20452, Theorem 4 for the three parts.
    """

    conditional_entropy: Float[Array, "problem hidden batch rate length seed evaluation"]
    """H(Y|X): what no learner can avoid."""
    encoder_bias: Float[Array, "problem hidden batch rate length seed evaluation"]
    """I(X;Y|U): what no decoder of U can avoid."""
    decoder_error: Float[Array, "problem hidden batch rate length seed evaluation"]
    """What the network has not learnt."""
    train_loss: Float[Array, "problem hidden batch rate length seed evaluation"]
    """Cross-entropy on the training data."""
    steps: Int[Array, "problem hidden batch rate length seed evaluation"]
    """After how many steps."""

    @property
    def risk(self) -> Float[Array, "problem hidden batch rate length seed evaluation"]:
        """The cross-entropy risk E[−log q(Y|U)]."""
        return RiskDecomposition(self.conditional_entropy, self.encoder_bias, self.decoder_error).risk

    @property
    def excess_risk(self) -> Float[Array, "problem hidden batch rate length seed evaluation"]:
        """The risk above H(Y|X), that of the best predictor from X."""
        return RiskDecomposition(self.conditional_entropy, self.encoder_bias, self.decoder_error).excess_risk


def sweep(
    key: Key[Array, ""], problems: Sequence[Problem], spec: SweepSpec, *, mesh: Mesh | None = None
) -> SweepResult:
    r"""Trains every member of a grid, and splits its risk exactly at every evaluation.

    ``jax.jit(sweep, static_argnames="mesh")`` is the one call. Changing the key, the lengths (for the same longest),
    the learning rates or the problems' values compiles nothing anew. A member's numbers do not depend on the grid that
    it is in: it is ``train`` with the key ``jax.random.fold_in(key, seed)``.

    Args:
      key: a key of ``jax.random.key``.
      problems: what the learners see; those of one shape share a program.
      spec: the grid.
      mesh: the devices to use; all of them if None.

    Returns:
      A ``SweepResult`` with the axes (problem, hidden, batch_size, learning_rate, length, seed, evaluation).

    Raises:
      ValueError: if there is no problem.

    Source:
      arXiv:2405.20452, the numerical study; Theorem 4 for the split of the risk.

    Examples:
      >>> source = sparse_source(jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> problems = [source.problem("identity"), source.problem("sufficient")]
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 64), num_seeds=2, num_steps=20, num_evals=3)
      >>> result = jax.jit(sweep, static_argnames="mesh")(jax.random.key(1), problems, spec)
      >>> result.excess_risk.shape
      (2, 1, 1, 1, 2, 2, 3)
    """
    if not len(problems):
        raise ValueError("problems must hold at least one problem, got none")
    mesh = Mesh(np.asarray(jax.devices()), ("device",)) if mesh is None else mesh
    results: list[SweepResult | None] = [None] * len(problems)
    for group in problem_groups(problems, spec.batch_sizes):
        stacked = _stack_padded([problems[i] for i in group])
        programs = [
            [_sweep_program(key, stacked, spec, hidden, config, mesh) for config in spec.train_configs]
            for hidden in spec.hidden
        ]
        of_group = _stack([_stack(of_width, axis=1) for of_width in programs], axis=1)
        for position, i in enumerate(group):
            results[i] = jax.tree.map(lambda a, position=position: a[position], of_group)
    return _stack([result for result in results if result is not None], axis=0)


def _stack(results: Sequence[SweepResult], axis: int) -> SweepResult:
    return jax.tree.map(lambda *arrays: jnp.stack(arrays, axis), *results)


def problem_groups(problems: Sequence[Problem], batch_sizes: Sequence[int]) -> list[list[int]]:
    """Positions of the problems, in groups of which each takes one program for each width and batch size.

    A program takes longer to compile than many a study to run, so problems over one (X, Y) are padded to the largest of
    their group, with codes that never occur and features that are zero. Within a group no code alphabet is over four
    times another, nor do batches of the one hold more samples than there are codes while those of the other do not.
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
    """Problems over one (X, Y), stacked; codes that never occur and features that are zero make up what is missing."""
    largest = np.max([problem.features.shape for problem in problems], axis=0)
    padded = [
        problem._replace(features=jnp.pad(problem.features, [(0, n) for n in largest - problem.features.shape]))
        for problem in problems
    ]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *padded)


class _Chunks(NamedTuple):
    """Which members each chunk trains; every index is into its own axis of the grid."""

    length: Int[Array, "chunk"]
    """One length for all members of a chunk; the number of lengths where the chunk is there to fill up a device."""
    problem: Int[Array, "chunk member"]
    rate: Int[Array, "chunk member"]
    seed: Int[Array, "chunk member"]


def _sweep_program(
    key: Array, problems: Problem, spec: SweepSpec, hidden: Sequence[int], config: TrainConfig, mesh: Mesh
) -> SweepResult:
    """Members of one shape: (problem, learning rate, length, seed, evaluation)."""
    network = MLP(tuple(hidden), num_classes=problems.joint.shape[-1])
    grid = problems.joint.shape[0], len(spec.learning_rates), len(spec.lengths), spec.num_seeds
    size = spec.chunk_size or best_chunk_size(mesh.devices.flat[0].platform, hidden)
    chunks, position = _share_out(grid, size, mesh.devices.size)
    lengths = jnp.asarray([*spec.lengths, 0], jnp.int32)
    rates = jnp.asarray(spec.learning_rates, problems.features.dtype)

    def train_member(length: Array, problem: Array, rate: Array, seed: Array) -> SweepResult:
        trace = train(
            jax.random.fold_in(key, seed),
            jax.tree.map(lambda a: a[problem], problems),
            lengths[length],
            rates[rate],
            network=network,
            config=config,
        )
        return SweepResult(*trace.risk, trace.train_loss, trace.steps)

    def train_chunk(chunk: _Chunks) -> SweepResult:
        if chunk.seed.size == 1:  # products with a batch axis, be it of size one, are slower on a CPU
            return train_member(chunk.length, chunk.problem[0], chunk.rate[0], chunk.seed[0])
        return jax.vmap(train_member, in_axes=(None, 0, 0, 0))(*chunk)

    def train_chunks(chunks: _Chunks) -> SweepResult:
        return jax.lax.map(train_chunk, chunks)

    along = PartitionSpec(mesh.axis_names)
    shared_out = jax.shard_map(train_chunks, mesh=mesh, in_specs=along, out_specs=along, check_vma=False)
    return jax.tree.map(lambda a: a.reshape(-1, config.num_evals)[position], shared_out(chunks))


def _share_out(grid: tuple[int, int, int, int], size: int, num_devices: int) -> tuple[_Chunks, Int[np.ndarray, "..."]]:
    """Cuts a grid of (problem, rate, length, seed) into chunks of one length each, of about ``size`` members.

    Returns:
      The chunks, in the order in which the devices hold them, and the position of each member of the grid in the flat
      list of all chunks' members.
    """
    num_problems, num_rates, num_lengths, num_seeds = grid
    per_length = num_problems * num_rates * num_seeds
    chunks_per_length = -(-per_length // size)
    size = -(-per_length // chunks_per_length)  # the same number of chunks, as even as can be
    num_chunks = chunks_per_length * num_lengths
    num_slots = -(-num_chunks // num_devices) * num_devices

    # Devices take turns: chunk i goes to device i mod num_devices, so that each has its share of every length.
    slot_of_chunk = np.arange(num_slots).reshape(num_devices, -1).T.ravel()
    chunk_in_slot = np.argsort(slot_of_chunk)
    length = np.minimum(chunk_in_slot // chunks_per_length, num_lengths)
    member = np.minimum(chunk_in_slot[:, None] % chunks_per_length * size + np.arange(size), per_length - 1)
    problem, rate, seed = np.unravel_index(member, (num_problems, num_rates, num_seeds))

    problems, rates, lengths, seeds = np.indices(grid)
    of_length = np.ravel_multi_index((problems, rates, seeds), (num_problems, num_rates, num_seeds))
    position = slot_of_chunk[lengths * chunks_per_length + of_length // size] * size + of_length % size
    return _Chunks(*(jnp.asarray(a, jnp.int32) for a in (length, problem, rate, seed))), position


def best_chunk_size(platform: str, hidden: Sequence[int]) -> int:
    """How many members train in lock step on a device, where the spec does not say.

    On a CPU few, so that their weights stay in the cache of a core: the wider, the fewer. On an accelerator many, so
    that its products are large. ``python -m benchmarks scaling`` measures the one; the other is not measured.
    """
    width = max(hidden, default=1)
    return max(1, min(1024 // width, 8) if platform == "cpu" else 2**16 // max(sum(hidden), 32))


def configure_cpu(num_devices: int | None = None) -> None:
    """Makes JAX see one CPU device a core, so that a sweep runs on all of them. Call it before JAX computes anything.

    Args:
      num_devices: how many devices; as many as this process may use cores if None.

    Raises:
      RuntimeError: if JAX has already started.
      ValueError: if ``num_devices`` is below 1.

    Source:
      JAX's option ``jax_num_cpu_devices``.

    Examples:
      >>> configure_cpu(2)  # doctest: +SKIP
    """
    if num_devices is None:
        num_devices = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", _checks.check_integer(num_devices, "num_devices"))
