"""A study cut into blocks, each of which is one compiled call that any process can make."""

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from isjax._typing import Array, Key
from isjax.cross_validation import Candidates, CheckedSamples, compile_candidates, sample_groups
from isjax.sources import Problem
from isjax.sweeps import ScoredRisk, SweepResult, SweepSpec, compile_sweep, problem_groups

__all__ = [
    "MOST_STEPS",
    "POLL_SECONDS",
    "Block",
    "Part",
    "PlainKey",
    "RunError",
    "Work",
    "assemble",
    "blocks",
    "settings",
    "train_block",
    "versions",
]

_Result = TypeVar("_Result", SweepResult, Candidates)

MOST_STEPS = 2**24
POLL_SECONDS = 0.01


class RunError(RuntimeError):
    """A study could not be finished; the message says why, and how to resume it."""


class Block(NamedTuple):
    """A part of a study that is one call: problems that share a program, one network, one batch size."""

    problems: tuple[int, ...]
    """Positions of its problems."""
    network: int
    """Position of its network."""
    batch_size: int
    """Position of its batch size."""
    learning_rates: tuple[int, ...]
    """Positions of its learning rates."""
    lengths: tuple[int, ...]
    """Positions of its lengths."""
    spec: SweepSpec
    """The part of the grid that it trains."""
    num_folds: int = 1
    """How many folds it trains for each of these."""

    @property
    def num_members(self) -> int:
        """How many networks it trains."""
        return len(self.problems) * self.spec.num_members * self.num_folds

    def describe(self) -> str:
        """One line for the progress display."""
        problems = f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)}"
        lengths = "…".join(map(str, sorted({min(self.spec.lengths), max(self.spec.lengths)})))
        batches = f"batches of {self.spec.batch_sizes[0]}"
        return f"{self.num_members} networks {self.spec.network_names[0]}, {problems}, {batches}, n = {lengths}"


class Part(NamedTuple):
    """What training a block gave."""

    arrays: dict[str, np.ndarray]
    """The fields of its ``SweepResult`` or ``Candidates``; those of ``scores`` as ``"brier/decoder_error"``."""
    seconds: dict[str, float]
    """Seconds spent compiling and running."""


def blocks(
    problems: Sequence[Problem] | CheckedSamples, spec: SweepSpec, *, most_steps: int | None = None
) -> list[Block]:
    """The blocks of a study, in the order of its networks.

    A block in which all members take more than ``most_steps`` steps together is cut: into one length each, then one
    learning rate, then one problem. This bounds what an interruption can cost. Blocks cut by length or learning rate
    share a program.

    Args:
      problems: what the learners see; samples are cross-validated.
      spec: the grid.
      most_steps: the largest number of steps in a block that can still be cut; ``MOST_STEPS`` if None.

    Returns:
      The blocks.

    Examples:
      >>> import isjax, jax, isjax.study.blocks
      >>> key, options = jax.random.key(0), {"num_inputs": 3, "num_relevant": 2, "num_classes": 2}
      >>> problems = [isjax.sparse_source(key, **options, discrimination=0.8).problem("sufficient")]
      >>> spec = isjax.SweepSpec(hidden=((8,), (9,)), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> [len(isjax.study.blocks.blocks(problems, spec, most_steps=n)) for n in (40, 20)]
      [2, 4]
    """
    most_steps = MOST_STEPS if most_steps is None else most_steps
    num_folds = problems.num_folds if isinstance(problems, CheckedSamples) else 1
    made = []
    for i, (j, size) in itertools.product(range(len(spec.network_names)), enumerate(spec.batch_sizes)):
        whole = dataclasses.replace(spec.with_one_network(i), batch_sizes=(size,))
        part = functools.cache(functools.partial(_part, whole))  # blocks that differ by their problems share a spec
        for group in _groups(problems, spec, whole):
            cuts = [[tuple(group)], [tuple(range(len(spec.learning_rates)))], [tuple(range(len(spec.lengths)))]]
            for axis in reversed(range(3)):
                steps = max(_num_steps(whole, *positions) for positions in itertools.product(*cuts))
                if num_folds * steps > most_steps:
                    cuts[axis] = [(position,) for position in cuts[axis][0]]
            made += [
                Block(chosen, i, j, rates, lengths, part(rates, lengths), num_folds)
                for chosen, rates, lengths in itertools.product(*cuts)
            ]
    return made


def _groups(problems: Sequence[Problem] | CheckedSamples, spec: SweepSpec, whole: SweepSpec) -> list[list[int]]:
    """Positions of those that share their programs, of the network of ``whole``."""
    if isinstance(problems, CheckedSamples):
        return sample_groups(problems.features, whole.modules(problems.num_classes))
    return problem_groups(problems, spec.batch_sizes)


def _part(spec: SweepSpec, learning_rates: tuple[int, ...], lengths: tuple[int, ...]) -> SweepSpec:
    return spec.part(learning_rates=learning_rates, lengths=lengths)


def _num_steps(spec: SweepSpec, problems: Sequence[int], rates: Sequence[int], lengths: Sequence[int]) -> int:
    """How many steps the members of a part take together."""
    finite = [spec.lengths[i] if spec.num_steps is None else 1 for i in lengths]
    steps = sum(spec.total_steps(int(length), spec.batch_sizes[0]) for length in finite)
    return len(problems) * len(rates) * spec.num_seeds * steps


def assemble(
    parts: Sequence[tuple[Block, Mapping[str, np.ndarray]]],
    num_problems: int,
    spec: SweepSpec,
    kind: type[_Result] = SweepResult,
) -> _Result:
    """One result, in numpy arrays, from those of all blocks.

    Args:
      parts: every block, and the arrays that it gave.
      num_problems: how many problems or samples the study has.
      spec: the grid.
      kind: ``SweepResult``, or ``Candidates`` for samples.

    Returns:
      A result of this kind.

    Examples:
      >>> import numpy as np, isjax, isjax.study.blocks
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> block = isjax.study.blocks.Block((0,), 0, 0, (0,), (0, 1), spec)
      >>> of_members = ("code_loss", "decoder_error", "train_loss", "steps")
      >>> arrays = {name: np.zeros((1, 1, 1, 1, 2, 2, 2)) for name in of_members}
      >>> arrays |= {name: np.zeros(1) for name in ("conditional_entropy", "encoder_bias", "uniform_risk")}
      >>> isjax.study.blocks.assemble([(block, arrays)], 1, spec).decoder_error.shape
      (1, 1, 1, 1, 2, 2, 2)
    """
    grid = num_problems, *map(len, (spec.network_names, spec.batch_sizes, spec.learning_rates, spec.lengths))

    def empty(example: np.ndarray) -> np.ndarray:
        num_axes = min(example.ndim, len(grid))  # all of the grid's, or the problems' alone
        return np.empty((*grid[:num_axes], *example.shape[num_axes:]), example.dtype)

    whole: dict[str, Any] = {name: empty(parts[0][1][name]) for name in parts[0][1]}
    for block, arrays in parts:
        of_members = np.ix_(block.problems, (block.network,), (block.batch_size,), block.learning_rates, block.lengths)
        for name, array in whole.items():
            array[list(block.problems) if array.ndim == 1 else of_members] = arrays[name]
    return _result(whole, spec) if kind is SweepResult else kind(**whole)  # pyright: ignore[reportReturnType]


def _arrays(result: SweepResult | Candidates) -> dict[str, Any]:
    """The arrays of a result by name, without a mapping within: ``"brier/decoder_error"`` is one of its scores."""
    fields = result._asdict()
    scores = fields.pop("scores", None) or {}
    return fields | {f"{rule}/{name}": array for rule, risk in scores.items() for name, array in risk._asdict().items()}


def _result(arrays: Mapping[str, Any], spec: SweepSpec) -> SweepResult:
    """The result of these arrays."""
    fields = {name: arrays[name] for name in SweepResult._fields if name != "scores"}
    scores = {rule: ScoredRisk(*(arrays[f"{rule}/{name}"] for name in ScoredRisk._fields)) for rule in spec.scores}
    return SweepResult(**fields, scores=scores)


class PlainKey(NamedTuple):
    """A key of ``jax.random.key`` on the host, which can be pickled and written as JSON."""

    impl: str
    data: np.ndarray

    @classmethod
    def of(cls, key: Key[Array, ""]) -> "PlainKey":
        """Copies a key to the host."""
        return cls(str(jax.random.key_impl(key)), jax.device_get(jax.random.key_data(key)))

    def on_device(self) -> Key[Array, ""]:
        """The key again."""
        return jax.random.wrap_key_data(jnp.asarray(self.data), impl=self.impl)


class Work(NamedTuple):
    """All that it takes to train a block, as plain data that any process can unpickle."""

    key: PlainKey
    """The key of the study."""
    problems: list[Problem] | CheckedSamples
    """What the learners see, as numpy arrays."""
    spec: SweepSpec
    """The block's part of the grid."""
    settings: dict[str, Any]
    """The settings of JAX under which it is trained."""
    versions: dict[str, str]
    """The versions that must be installed."""


@contextlib.contextmanager
def _under(settings: Mapping[str, Any]) -> Iterator[None]:
    """With settings of JAX, in this thread."""
    with (
        jax.enable_x64(settings["jax_enable_x64"]),
        jax.default_matmul_precision(settings["jax_default_matmul_precision"]),
        jax.threefry_partitionable(settings["jax_threefry_partitionable"]),
    ):
        yield


def train_block(work: Work, report: Callable[[str], object] = lambda _: None) -> Part:
    """Trains a block, in whatever process this is. Its arrays come from the host and return to it, once each.

    Args:
      work: what to train.
      report: is called with ``"compiling"``, then with ``"training"``.

    Returns:
      The results and the timings.

    Raises:
      RunError: if this process has other versions than the work requires.

    Examples:
      >>> import isjax, jax, isjax.study.blocks as blocks
      >>> key, options = jax.random.key(0), {"num_inputs": 3, "num_relevant": 2, "num_classes": 2}
      >>> problem = jax.device_get(isjax.sparse_source(key, **options, discrimination=0.8).problem("biased"))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> work = blocks.Work(blocks.PlainKey.of(key), [problem], spec, blocks.settings(), blocks.versions())
      >>> blocks.train_block(work, print).arrays["steps"].shape
      compiling
      training
      (1, 1, 1, 1, 2, 2, 2)
    """
    if versions() != work.versions:
        raise RunError(f"a worker has {versions()}, but the coordinator {work.versions}")
    with _under(work.settings):
        report("compiling")
        start = time.perf_counter()
        program = _compiled(work)
        ready = time.perf_counter()
        report("training")
        result = program()
    while not all(array.is_ready() for array in jax.tree.leaves(result)):
        # block_until_ready would delay Ctrl-C
        time.sleep(POLL_SECONDS)
    seconds = {"compile": ready - start, "run": time.perf_counter() - ready}
    return Part(_arrays(jax.device_get(result)), seconds)


def _compiled(work: Work) -> Callable[[], SweepResult | Candidates]:
    if isinstance(work.problems, CheckedSamples):
        return compile_candidates(work.key.on_device(), work.problems, work.spec)
    return compile_sweep(work.key.on_device(), work.problems, work.spec)


def settings() -> dict[str, Any]:
    """The settings of JAX that change numbers, here and now.

    Examples:
      >>> import jax, isjax.study.blocks
      >>> with jax.enable_x64(True):
      ...     isjax.study.blocks.settings()["jax_enable_x64"]
      True
    """
    names = ("jax_enable_x64", "jax_default_matmul_precision", "jax_threefry_partitionable")
    return {name: getattr(jax.config, name) for name in names}


@functools.cache  # each takes a millisecond to look up
def versions() -> dict[str, str]:
    """The versions of the packages that compute the numbers.

    Examples:
      >>> import isjax.study.blocks
      >>> sorted(isjax.study.blocks.versions())
      ['flax', 'isjax', 'jax', 'jaxlib', 'optax']
    """
    return {name: version(name) for name in ("isjax", "jax", "jaxlib", "flax", "optax")}
