"""Runs a study block by block, from the host: a block is one jitted call, and progress shows between blocks."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isjax import results
from isjax._typing import Array, Key
from isjax.sources import Problem
from isjax.sweeps import SweepResult, SweepSpec, problem_groups, sweep

__all__ = ["Block", "blocks", "run"]

_sweep = jax.jit(sweep, static_argnames="mesh")


class Block(NamedTuple):
    """A part of a study that is one program: problems that share it, one width, one batch size."""

    problems: tuple[int, ...]
    """Positions of its problems."""
    hidden: int
    """Position of its widths."""
    batch_size: int
    """Position of its batch size."""
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
        return f"{self.num_members} networks of width {widths}, {problems}, batches of {self.spec.batch_sizes[0]}"


def blocks(problems: Sequence[Problem], spec: SweepSpec) -> list[Block]:
    """The blocks of a study, the narrow networks first."""
    return [
        Block(tuple(group), i, j, dataclasses.replace(spec, hidden=(hidden,), batch_sizes=(size,)))
        for i, hidden in enumerate(spec.hidden)
        for j, size in enumerate(spec.batch_sizes)
        for group in problem_groups(problems, spec.batch_sizes)
    ]


def run(key: Key[Array, ""], problems: Mapping[str, Problem], spec: SweepSpec, *, progress: bool = False) -> xr.Dataset:
    """Trains every member of a study, and gives its results names.

    The numbers are those of ``isjax.sweep``: a study is the same members, a block at a time.

    Args:
      key: a key of ``jax.random.key``.
      problems: what the learners see, by name; the shell's own names tell source and encoder, as in
        ``sparse d=10 k=3 δ=0.8 / biased``.
      spec: the grid.
      progress: whether to show on standard error what is being compiled and trained.

    Returns:
      A dataset with the dimensions problem, hidden, batch_size, learning_rate, length, seed and evaluation (see
      ``isjax.results.to_dataset``); seconds spent compiling and running are among its attributes.

    Raises:
      ValueError: if there is no problem.

    Source:
      arXiv:2405.20452, the numerical study.

    Examples:
      >>> import isjax.runner
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.runner.run(jax.random.key(1), {"a / sufficient": source.problem("sufficient")}, spec)
      >>> dict(study.excess_risk.sizes)["length"]
      2
    """
    if not problems:
        raise ValueError("problems must hold at least one problem, got none")
    listed = list(problems.values())
    parts: list[tuple[Block, SweepResult]] = []
    seconds = {"compile": 0.0, "run": 0.0}
    todo = blocks(listed, spec)
    with _reporting(todo, show=progress) as report:
        for block in todo:
            arguments = key, [listed[i] for i in block.problems], block.spec
            report("compiling", block)
            with _timed(seconds, "compile"):
                program = _sweep.lower(*arguments).compile()
            report("training", block)
            with _timed(seconds, "run"):
                parts.append((block, jax.block_until_ready(program(*arguments))))
    return results.to_dataset(assemble(parts, len(listed), spec), list(problems), spec, seconds=seconds)


def assemble(parts: Sequence[tuple[Block, SweepResult]], num_problems: int, spec: SweepSpec) -> SweepResult:
    """One result from the results of all blocks."""

    def whole(name: str) -> Array:
        example = np.asarray(getattr(parts[0][1], name))
        shape = num_problems, len(spec.hidden), len(spec.batch_sizes), *example.shape[3:]
        array = np.empty(shape, example.dtype)
        for block, result in parts:
            array[list(block.problems), block.hidden, block.batch_size] = np.asarray(getattr(result, name))[:, 0, 0]
        return jnp.asarray(array)

    return SweepResult(*map(whole, SweepResult._fields))


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] += time.perf_counter() - start


@contextlib.contextmanager
def _reporting(todo: Sequence[Block], *, show: bool):  # noqa: ANN202  (a context manager of a function)
    """Shows which block is at work: a moving bar on a terminal, a line for each step elsewhere, or nothing."""
    console = Console(stderr=True, quiet=not show)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal)) as bar:
        task = bar.add_task("", total=2 * len(todo))
        done = 0

        def report(what: str, block: Block) -> None:
            nonlocal done
            text = f"{what} block {done // 2 + 1} of {len(todo)}: {block.describe()}"
            bar.update(task, description=text, completed=done)
            if not console.is_terminal:
                console.print(text, highlight=False, soft_wrap=True)
            done += 1

        yield report
