"""Runs a study block by block, from the host, so that it can be interrupted, resumed and distributed.

A block is trained in this process, by an executor, or by all processes of one JAX program. Its results return to the
coordinator (this process, or the first of a JAX program), which alone reads and writes files.
"""

import collections
import contextlib
import dataclasses
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isjax import _checks
from isjax._typing import Array, Key
from isjax.cross_validation import (
    Candidates,
    CheckedSamples,
    CrossValidation,
    Sample,
    as_samples,
    choose,
    draw_folds,
)
from isjax.distributions import check_distribution, pushforward
from isjax.networks import check_network
from isjax.quantizers import quantizers_up_to
from isjax.sources import Problem
from isjax.study import comparison, results
from isjax.study.blocks import (
    POLL_SECONDS,
    Block,
    Part,
    PlainKey,
    RunError,
    Work,
    assemble,
    blocks,
    settings,
    train_block,
    versions,
)
from isjax.study.checkpoints import (
    Checkpoints,
    NoCheckpoints,
    digest,
    digest_of_arrays,
    digest_of_computation,
    digest_of_problem,
    identify,
)
from isjax.study.results import Name
from isjax.sweeps import SweepSpec, check_spec

__all__ = ["Executor", "run"]

_logger = logging.getLogger(__name__)


@runtime_checkable
class Executor(Protocol):
    """A ``concurrent.futures.Executor``, Dask's ``Client.get_executor()``, an executor of submitit, or the like."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:  # noqa: ANN401
        """A future, with ``done``, ``result`` and ``cancel``."""
        ...


def run(
    key: Key[Array, ""],
    problems: Mapping[Name, Problem] | Mapping[Name, Sample],
    spec: SweepSpec,
    *,
    num_folds: int = 5,
    output: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> xr.Dataset:
    """Trains every member of a study, and returns its results with named axes.

    The numbers are those of ``isjax.sweep``, or of ``isjax.cross_validate`` if samples are given in place of problems:
    a study trains the same members, one block after another.

    With ``output``, every finished block is written to the folder ``NAME.blocks`` next to ``NAME.nc``. At the end the
    study is written and its blocks are removed. An interrupted run is continued by ``resume=True``: blocks that are
    complete and have the same spec, key, problems, settings and versions are restored, all others are trained; the log
    (``isjax.study.checkpoints``) says which and why. The device may differ. The folder is locked by one run at a time.

    With ``executor``, blocks are trained where it runs them; if one fails, the others are still trained and written. A
    pool of processes must spawn, because the threads of JAX do not survive a fork:
    ``ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))``.

    Where several processes form one JAX program (``jax.distributed``), all of them call this function with the same
    arguments, train each block together, and get the study; the first one reads and writes.

    Args:
      key: a key of ``jax.random.key``.
      problems: what the learners see, by (source, encoder); all ``Problem`` or all ``Sample``.
      spec: the grid.
      num_folds: in how many folds samples are divided.
      output: the file to write, ``….nc``; none if None.
      executor: trains the blocks; this process if None.
      resume: whether to continue an interrupted run with the same ``output``.
      overwrite: whether a file ``output`` may be replaced; a finished study is not, unless this is said.
      progress: whether to show on standard error what is being compiled and trained.

    Returns:
      A dataset with the dimensions problem, network, batch_size, learning_rate, length, seed and evaluation (see
      ``isjax.study.results.to_dataset``), or problem, network, length, seed, row and fold for samples (see
      ``isjax.study.comparison.to_dataset``), indexed by source and encoder: ``study.sel(encoder="biased")``. Its
      attributes include the key, the seconds spent compiling and running, summed over blocks, and a
      digest of all that determines the numbers.

    Raises:
      FileExistsError: if ``output`` exists, and is neither continued nor to be overwritten.
      OSError: if the folder of ``output`` cannot be written.
      RunError: if a block could not be trained or written, or another run holds the folder. Finished blocks are kept.
      ValueError: if there is no problem, or one has a key that is not a pair of non-empty strings, a joint that is not
        a distribution, or features or codes out of range; if ``resume`` is given without ``output``, or an executor in
        a program of several processes.

    Source:
      arXiv:2405.20452, the numerical study.

    Examples:
      >>> import isjax, jax, isjax.study
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("biased")
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.study.run(jax.random.key(1), {("sparse", "biased"): problem}, spec)
      >>> study.best_excess_risk.sel(source="sparse", encoder="biased", network="8").mean("seed").shape
      (1, 2)
    """
    _checks.check_key(key)
    if resume and output is None:
        raise ValueError("resume=True needs output, the file of the study to continue")
    check_spec(spec)
    if output is not None:
        results.check_path(output, "output")
    if executor is not None and jax.process_count() > 1:
        raise ValueError(f"executor must be None in a JAX program of {jax.process_count()} processes")
    names = _check_names(problems)
    on_host = _on_host(problems, spec, num_folds)
    plan = _plan(PlainKey.of(key), names, on_host, spec)
    is_coordinator = jax.process_index() == 0
    store = NoCheckpoints()
    if output is not None and is_coordinator:
        store = Checkpoints(Path(output), plan.identities, plan.digest, overwrite)

    with contextlib.ExitStack() as stack:
        with _fail_everywhere():
            stack.enter_context(store.locked())
            study, parts = store.restore() if resume else store.start_anew()
        is_missing = np.array([study is None and i not in parts for i in range(len(plan.blocks))])
        missing = np.flatnonzero(_broadcast_from_coordinator(is_missing)).tolist()

        report = stack.enter_context(_report_progress(plan.blocks, len(missing), show=progress and is_coordinator))
        stack.enter_context(_with_resume_hint(store))
        trained = _train_here(plan, missing, report) if executor is None else _train_on(executor, plan, missing, report)
        for i, part in trained:
            parts[i] = part
            with _fail_everywhere():
                store.write(i, part)
            _logger.debug("block %d of %d is trained: %s", i + 1, len(plan.blocks), part.seconds)

        with _fail_everywhere():
            if study is None and is_coordinator:
                study = plan.study(parts)
                diverged = "" if comparison.is_comparison(study) else results.describe_diverged(study)
                if diverged:
                    _logger.warning("%s", diverged)
                store.finish(study)
            store.remove_blocks()
        return _broadcast_study(study)


# -- check and plan ----------------------------------------------------------------------------------------------------


def _check_names(problems: Mapping[Name, Any]) -> list[Name]:
    """The names of the problems, each a pair of non-empty strings."""
    if not isinstance(problems, Mapping):
        raise TypeError(
            "problems must map (source, encoder) to a Problem, such as {('mine', 'biased'): problem}, "
            f"got {type(problems).__name__}"
        )
    if not problems:
        raise ValueError("problems must hold at least one problem, got none")
    for name in problems:
        is_pair = isinstance(name, tuple) and len(name) == 2
        if not (is_pair and all(isinstance(part, str) and part for part in name)):
            raise ValueError(
                f"problems must be named by pairs (source, encoder) of non-empty strings, such as ('mine', 'biased'), "
                f"got the name {name!r}"
            )
        if not isinstance(problems[name], Problem | Sample):
            raise TypeError(
                f"problems must hold an isjax.Problem for {name}, got {type(problems[name]).__name__}: "
                "a Source gives one by source.problem('identity')"
            )
    if len({type(problem) for problem in problems.values()}) > 1:
        raise TypeError("problems must hold isjax.Problem or isjax.Sample, got both: run two studies")
    return list(problems)


def _on_host(problems: Mapping[Name, Any], spec: SweepSpec, num_folds: int) -> list[Problem] | CheckedSamples:
    """What the learners see, checked, as numpy arrays."""
    if any(isinstance(problem, Sample) for problem in problems.values()):
        samples = as_samples(problems, spec, num_folds=num_folds)
        return samples._replace(features=jax.device_get(samples.features), targets=jax.device_get(samples.targets))
    on_host: list[Problem] = jax.device_get(list(problems.values()))
    for name, problem in zip(problems, on_host, strict=True):
        _check_problem(problem, name)
    return on_host


def _check_problem(problem: Problem, name: Name) -> None:
    joint, codes, features = problem
    check_distribution(joint, axis=(-2, -1), name=f"joint of the problem {name}")
    if not np.isfinite(features).all():
        raise ValueError(f"features of the problem {name} must be finite, got {features[~np.isfinite(features)][0]}")
    if codes.shape != joint.shape[:1] or codes.min() < 0 or codes.max() >= len(features):
        raise ValueError(
            f"codes of the problem {name} must be one of 0…{len(features) - 1} for each of {len(joint)} symbols"
        )


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The blocks of a study, what determines their numbers, and how they form the study."""

    key: PlainKey
    names: Sequence[Name]
    problems: list[Problem] | CheckedSamples
    spec: SweepSpec
    blocks: Sequence[Block]
    identities: Sequence[dict[str, Any]]
    digest: str

    def work(self, i: int) -> Work:
        """All that it takes to train a block."""
        block = self.blocks[i]
        return Work(self.key, _of_block(self.problems, block), block.spec, settings(), versions())

    def study(self, parts: Mapping[int, Part]) -> xr.Dataset:
        """The study, when all blocks are trained."""
        trained = [(block, parts[i].arrays) for i, block in enumerate(self.blocks)]
        seconds = {name: sum(part.seconds[name] for part in parts.values()) for name in ("compile", "run")}
        if isinstance(self.problems, CheckedSamples):
            study = comparison.to_dataset(self._cross_validation(trained), self.names, self.spec, seconds=seconds)
        else:
            result = assemble(trained, len(self.problems), self.spec)
            least = _least_code_loss(self.problems, self.spec)
            study = results.to_dataset(result, self.names, self.spec, seconds=seconds, least_code_loss=least)
        return study.assign_attrs(key=self.key.data.tolist(), key_impl=self.key.impl, digest=self.digest)

    def _cross_validation(self, trained: Sequence[tuple[Block, Mapping[str, np.ndarray]]]) -> CrossValidation:
        assert isinstance(self.problems, CheckedSamples)
        samples, num_seeds = self.problems, self.spec.num_seeds
        candidates = assemble(trained, len(self.names), self.spec, Candidates)
        targets = jnp.asarray(samples.targets)
        folds = draw_folds(self.key.on_device(), targets, num_seeds=num_seeds, num_folds=samples.num_folds)
        return choose(candidates, folds, samples, self.spec)


def _of_block(problems: list[Problem] | CheckedSamples, block: Block) -> list[Problem] | CheckedSamples:
    """What the learners of a block see."""
    if isinstance(problems, CheckedSamples):
        return problems._replace(
            names=tuple(problems.names[i] for i in block.problems),
            features=tuple(problems.features[i] for i in block.problems),
        )
    return [problems[i] for i in block.problems]


def _least_code_loss(problems: Sequence[Problem], spec: SweepSpec) -> np.ndarray | None:
    """The least loss of as many codes as each network has, over (problem, network).

    Proved for two classes or at most ten different rows p(y|u), else the best found by KL-means. NaN for a network
    without codes, and None if there is no other.
    """
    least = np.full((len(problems), len(spec.network_names)), np.nan)
    for i, (joint, codes, features) in enumerate(problems):
        num_classes = joint.shape[-1]
        for j, network in enumerate(spec.modules(num_classes).values()):
            num_codes = None if spec.networks is None else check_network(network, features, num_classes)
            if num_codes is not None:
                joint_uy = pushforward(joint, codes, num_codes=len(features))
                found = quantizers_up_to(jax.random.key(0), joint_uy, num_codes=num_codes, num_restarts=64)
                least[i, j] = found.loss[-1]
    return None if np.isnan(least).all() else least


def _plan(key: PlainKey, names: Sequence[Name], problems: list[Problem] | CheckedSamples, spec: SweepSpec) -> _Plan:
    cut = blocks(problems, spec)
    if isinstance(problems, CheckedSamples):
        arrays = list(map(np.asarray, problems.features))
        digests = [digest_of_arrays([features, np.asarray(problems.targets)]) for features in arrays]
        seen = [(features, problems.num_classes) for features in arrays]
        num_folds = problems.num_folds
    else:
        digests = [digest_of_problem(problem) for problem in problems]
        seen = [(np.asarray(problem.features), problem.joint.shape[-1]) for problem in problems]
        num_folds = None
    computations: dict[Any, str | None] = {}
    shared: dict[Any, dict[str, Any]] = {}  # what blocks that differ by their problems have in common
    identities = []
    for block in cut:
        features, num_classes = seen[block.problems[0]]
        kind = block.network, features.shape, features.dtype, num_classes
        if kind not in computations:
            computations[kind] = digest_of_computation(block.spec, features, num_classes)
        if (id(block.spec), kind) not in shared:
            options = {"computation": computations[kind], "num_folds": num_folds}
            shared[id(block.spec), kind] = identify(key, [], block.spec, **options)
        identities.append(shared[id(block.spec), kind] | {"problems": [digests[p] for p in block.problems]})
    return _Plan(key, names, problems, spec, cut, identities, digest([names, [digest(one) for one in identities]]))


# -- training ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _with_resume_hint(store: Checkpoints | NoCheckpoints) -> Iterator[None]:
    """Adds to the error that ends a run how many blocks are saved, and how to resume."""
    try:
        yield
    except (KeyboardInterrupt, OSError, RuntimeError, MemoryError) as error:
        hint = store.resume_hint()
        if hint is None:
            raise
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(hint) from None
        raise RunError(f"{error}; {hint}") from error


def _train_here(plan: _Plan, missing: Sequence[int], report: Callable[[str, int], None]) -> Iterator[tuple[int, Part]]:
    for i in missing:
        yield i, train_block(plan.work(i), lambda what, i=i: report(what, i))


_MOST_SUBMITTED = 1024  # blocks at a time, which are looked through each time that some are finished


def _train_on(
    executor: Executor, plan: _Plan, missing: Sequence[int], report: Callable[[str, int], None]
) -> Iterator[tuple[int, Part]]:
    """Blocks as an executor finishes them. Failures are raised when all other blocks are finished."""
    waiting = collections.deque(missing)
    futures: dict[Any, int] = {}
    failures: list[str] = []

    def failed(i: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if reason not in failures:
            _logger.info("block %d failed, the others continue: %s", i + 1, reason)
        failures.append(reason)

    try:
        while waiting or futures:
            while waiting and len(futures) < _MOST_SUBMITTED:
                i = waiting.popleft()
                try:
                    futures[executor.submit(train_block, plan.work(i))] = i
                except Exception as error:
                    failed(i, error)
            done = [future for future in futures if future.done()]
            for future in done:
                i = futures.pop(future)
                try:
                    part = future.result()
                except Exception as error:
                    failed(i, error)
                else:
                    report("trained", i)
                    yield i, part
            if futures and not done:
                time.sleep(POLL_SECONDS)
    finally:
        for future in futures:
            future.cancel()
    if failures:
        raise RunError(f"the executor failed to train {len(failures)} blocks ({failures[0]})")


# -- several processes as one JAX program ------------------------------------------------------------------------------


def _broadcast_from_coordinator(array: np.ndarray) -> np.ndarray:
    """The array of the first process, on all processes."""
    return array if jax.process_count() == 1 else np.asarray(multihost_utils.broadcast_one_to_all(array))


@contextlib.contextmanager
def _fail_everywhere() -> Iterator[None]:
    """Around what the first process does alone: if it fails there, all processes fail instead of waiting for it."""
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    if _broadcast_from_coordinator(np.array(failure is not None)) and failure is None:
        raise RunError("the first process failed; its message says why")
    if failure is not None:
        raise failure


def _broadcast_study(study: xr.Dataset | None) -> xr.Dataset:
    """The study of the first process, on all processes, sent as the bytes of its file."""
    if jax.process_count() == 1 and study is not None:
        return study
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.nc"
        content = b"" if study is None else results.save(study, path).read_bytes()
        size = int(_broadcast_from_coordinator(np.array(len(content))))
        sent = _broadcast_from_coordinator(np.frombuffer(content or bytes(size), np.uint8))
        path.write_bytes(sent.astype(np.uint8).tobytes())
        return results.load(path)


# -- progress ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _report_progress(cut: Sequence[Block], num_missing: int, *, show: bool) -> Iterator[Callable[[str, int], None]]:
    """Shows what is being done: a progress bar on a terminal, a line for each step elsewhere, or nothing."""
    if not show:
        yield lambda what, i: None
        return
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        done = 2 * (len(cut) - num_missing)
        task = bar.add_task("waiting for the first block", total=2 * len(cut), completed=done)

        def report(what: str, i: int) -> None:
            nonlocal done
            text = f"{what} block {i + 1} of {len(cut)}: {cut[i].describe()}"
            done += 2 if what == "trained" else 0
            bar.update(task, description=text, completed=done)
            done += 0 if what == "trained" else 1
            if not console.is_terminal:
                console.print(text, highlight=False, soft_wrap=True)

        yield report
