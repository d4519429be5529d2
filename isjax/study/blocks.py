"""A study cut into blocks, each of which is one jitted call that any process can make."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax._typing import Array, Key
from isjax.sources import Problem
from isjax.sweeps import SweepResult, SweepSpec, problem_groups, sweep

__all__ = ["Block", "Part", "RunError", "Work", "assemble", "blocks", "settings", "train_block", "versions"]

MOST_STEPS = 2**24
POLL_SECONDS = 0.01

_sweep = jax.jit(sweep, static_argnames="mesh")


class RunError(RuntimeError):
    """A study could not be run to its end; the message says what stopped it, and how to go on."""


class Block(NamedTuple):
    """A part of a study that is one call: problems that share a program, one width, one batch size."""

    problems: tuple[int, ...]
    """Positions of its problems."""
    hidden: int
    """Position of its widths."""
    batch_size: int
    """Position of its batch size."""
    learning_rates: tuple[int, ...]
    """Positions of its learning rates."""
    lengths: tuple[int, ...]
    """Positions of its lengths."""
    spec: SweepSpec
    """The part of the grid that it trains."""

    @property
    def num_members(self) -> int:
        """How many networks it trains."""
        return len(self.problems) * self.spec.num_members

    def describe(self) -> str:
        """What it is, in a few words."""
        widths = "×".join(map(str, self.spec.hidden[0])) or "linear"
        problems = f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)}"
        lengths = "…".join(map(str, sorted({min(self.spec.lengths), max(self.spec.lengths)})))
        batches = f"batches of {self.spec.batch_sizes[0]}"
        return f"{self.num_members} networks of width {widths}, {problems}, {batches}, n = {lengths}"


class Part(NamedTuple):
    """What a block gave."""

    arrays: dict[str, np.ndarray]
    """The fields of its ``SweepResult``."""
    seconds: dict[str, float]
    """How long was spent on what."""


def blocks(problems: Sequence[Problem], spec: SweepSpec, *, most_steps: int | None = None) -> list[Block]:
    """The blocks of a study, the narrow networks first.

    A block in which all members' SGD steps together are more than ``most_steps`` is cut: into one length each, then one
    learning rate, then one problem. So what a reboot can cost is bounded. Parts by length or rate share a program.

    Args:
      problems: what the learners see.
      spec: the grid.
      most_steps: how many steps a block may hold, where cutting helps; ``MOST_STEPS`` if None.

    Returns:
      The blocks.

    Examples:
      >>> import isjax.study.blocks
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,), (9,)), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> problems = [source.problem("sufficient")]
      >>> [len(isjax.study.blocks.blocks(problems, spec, most_steps=n)) for n in (40, 20)]
      [2, 4]
    """
    most_steps = MOST_STEPS if most_steps is None else most_steps
    made = []
    for (i, hidden), (j, size) in itertools.product(enumerate(spec.hidden), enumerate(spec.batch_sizes)):
        whole = dataclasses.replace(spec, hidden=(hidden,), batch_sizes=(size,))
        for group in problem_groups(problems, spec.batch_sizes):
            cuts = [[tuple(group)], [tuple(range(len(spec.learning_rates)))], [tuple(range(len(spec.lengths)))]]
            for axis in reversed(range(3)):
                if max(_num_steps(whole, *positions) for positions in itertools.product(*cuts)) > most_steps:
                    cuts[axis] = [(position,) for position in cuts[axis][0]]
            made += [Block(p, i, j, rates, n, _part(whole, rates, n)) for p, rates, n in itertools.product(*cuts)]
    return made


def _num_steps(spec: SweepSpec, problems: Sequence[int], rates: Sequence[int], lengths: Sequence[int]) -> int:
    """How many steps the members of a part take together."""
    if spec.num_epochs is None:
        steps = len(lengths) * (spec.num_steps or 0)
    else:
        steps = sum(-(-spec.lengths[i] // spec.batch_sizes[0]) for i in lengths) * spec.num_epochs
    return len(problems) * len(rates) * spec.num_seeds * steps


def _part(spec: SweepSpec, rates: Sequence[int], lengths: Sequence[int]) -> SweepSpec:
    """Some rates and lengths of a grid; its longest length stays, which is what parts need to share a program."""
    _, metadata = spec.tree_flatten_with_keys()
    leaves = tuple(spec.lengths[i] for i in lengths), tuple(spec.learning_rates[i] for i in rates)
    return SweepSpec.tree_unflatten(metadata, leaves)


def assemble(
    parts: Sequence[tuple[Block, Mapping[str, np.ndarray]]], num_problems: int, spec: SweepSpec
) -> SweepResult:
    """One result from those of all blocks.

    Args:
      parts: every block, and the arrays that it gave.
      num_problems: how many problems the study has.
      spec: the grid.

    Returns:
      A ``SweepResult``.

    Examples:
      >>> import isjax.study.blocks
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> problems = [source.problem("sufficient")]
      >>> [block] = isjax.study.blocks.blocks(problems, spec)
      >>> part = isjax.study.blocks.train_block(isjax.study.blocks.Work.of(jax.random.key(1), problems, block.spec))
      >>> isjax.study.blocks.assemble([(block, part.arrays)], 1, spec).risk.shape
      (1, 1, 1, 1, 2, 2, 2)
    """

    def whole(name: str) -> Array:
        example = parts[0][1][name]
        grid = map(len, (spec.hidden, spec.batch_sizes, spec.learning_rates, spec.lengths))
        array = np.empty((num_problems, *grid, *example.shape[5:]), example.dtype)
        for block, arrays in parts:
            at = np.ix_(block.problems, (block.hidden,), (block.batch_size,), block.learning_rates, block.lengths)
            array[at] = arrays[name]
        return jnp.asarray(array)

    return SweepResult(*map(whole, SweepResult._fields))


class Work(NamedTuple):
    """All that it takes to train a block: plain things, which any process can unpickle."""

    key_data: np.ndarray
    """Of the key."""
    key_impl: str
    """Name of its kind."""
    problems: list[Problem]
    """What the learners see, as numpy arrays."""
    spec: SweepSpec
    """The block's part of the grid."""
    settings: dict[str, Any]
    """Those of JAX under which it is done."""
    versions: dict[str, str]
    """What has to be installed."""

    @classmethod
    def of(cls, key: Key[Array, ""], problems: Sequence[Problem], spec: SweepSpec) -> "Work":
        """The work of a block, with the settings of this process."""
        plain = [jax.tree.map(np.asarray, problem) for problem in problems]
        data, impl = np.asarray(jax.random.key_data(key)), str(jax.random.key_impl(key))
        return cls(data, impl, plain, spec, settings(), versions())


def train_block(work: Work, report: Callable[[str], object] = lambda _: None) -> Part:
    """Trains a block, in whatever process this is: arrays in, arrays out.

    Args:
      work: what to do.
      report: is told when it begins compiling, and when training.

    Returns:
      What it gave.

    Raises:
      RunError: if this process has other versions than the work's.

    Examples:
      >>> import isjax.study.blocks
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16,), num_seeds=2, num_steps=10, num_evals=2)
      >>> work = isjax.study.blocks.Work.of(jax.random.key(1), [source.problem("sufficient")], spec)
      >>> isjax.study.blocks.train_block(work, print).arrays["steps"].shape
      compiling
      training
      (1, 1, 1, 1, 1, 2, 2)
    """
    if versions() != work.versions:
        raise RunError(f"a worker has {versions()}, but the coordinator {work.versions}")
    with (
        jax.enable_x64(work.settings["jax_enable_x64"]),
        jax.default_matmul_precision(work.settings["jax_default_matmul_precision"]),
        jax.threefry_partitionable(work.settings["jax_threefry_partitionable"]),
    ):
        key = jax.random.wrap_key_data(jnp.asarray(work.key_data), impl=work.key_impl)
        arguments = key, work.problems, work.spec
        report("compiling")
        start = time.perf_counter()
        program = _sweep.lower(*arguments).compile()  # JAX keeps it for the blocks that share it
        compiled = time.perf_counter()
        report("training")
        result = program(*arguments)
        while not all(array.is_ready() for array in result):  # block_until_ready would not let Ctrl-C through
            time.sleep(POLL_SECONDS)
        seconds = {"compile": compiled - start, "run": time.perf_counter() - compiled}
        return Part({name: np.asarray(array) for name, array in result._asdict().items()}, seconds)


def settings() -> dict[str, Any]:
    """Settings of JAX that change numbers.

    Returns:
      Their values here and now.

    Examples:
      >>> import isjax.study.blocks
      >>> with jax.enable_x64(True):
      ...     isjax.study.blocks.settings()["jax_enable_x64"]
      True
    """
    names = ("jax_enable_x64", "jax_default_matmul_precision", "jax_threefry_partitionable")
    return {name: getattr(jax.config, name) for name in names}


def versions() -> dict[str, str]:
    """Versions of what computes the numbers.

    Returns:
      A version for each package.

    Examples:
      >>> import isjax.study.blocks
      >>> sorted(isjax.study.blocks.versions())
      ['flax', 'isjax', 'jax', 'jaxlib', 'optax']
    """
    return {name: version(name) for name in ("isjax", "jax", "jaxlib", "flax", "optax")}
