"""Runs a study block by block, from the host, so that it survives and scales out.

A block is trained here, or wherever an executor takes it, or by all processes of one JAX program. Whoever trains it
hands back arrays; only the coordinator (this process, or the first of a JAX program) reads and writes.
"""

import contextlib
import glob
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
import xarray as xr
from jax.experimental import multihost_utils
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from isjax._typing import Array, Key
from isjax.distributions import check_distribution
from isjax.sources import Problem
from isjax.study import results
from isjax.study.blocks import POLL_SECONDS, Block, Part, RunError, Work, assemble, blocks, train_block
from isjax.study.checkpoints import Checkpoints, digest, digest_of_problem, identify, locked
from isjax.sweeps import SweepSpec

__all__ = ["Block", "Executor", "RunError", "blocks", "run"]

_logger = logging.getLogger(__name__)


@runtime_checkable
class Executor(Protocol):
    """Takes work elsewhere: any ``concurrent.futures.Executor``, Dask's ``Client.get_executor()``, submitit's own."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:  # noqa: ANN401
        """A future, with ``done``, ``result`` and ``cancel``."""
        ...


def run(
    key: Key[Array, ""],
    problems: Mapping[str, Problem],
    spec: SweepSpec,
    *,
    output: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    resume: bool = False,
    progress: bool = False,
) -> xr.Dataset:
    """Trains every member of a study, and gives its results names.

    The numbers are those of ``isjax.sweep``: a study is the same members, a block at a time.

    With ``output``, every finished block is written to a folder beside it, ``NAME.blocks`` for ``NAME.nc``. When all
    are there the study is written, and its blocks, which hold nothing more, are removed. A run that was cut off,
    however it was, goes on where it was with ``resume=True``: what is whole, and of the same spec, key, problems,
    settings and versions, is not trained again; all else is, and the log (``isjax.study.checkpoints``) says which and why.
    Another device is no reason: a study may go on elsewhere. One run at a time holds the folder.

    With ``executor``, blocks are trained where that takes them, and one that fails keeps no other from being trained
    and written. A pool of processes must spawn, since JAX has threads, which do not survive a fork:
    ``ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))``.

    Where several processes are one JAX program (``jax.distributed``), all of them call this with the same arguments,
    train each block together, and get the study; the first of them reads and writes.

    Args:
      key: a key of ``jax.random.key``.
      problems: what the learners see, by name; the shell's own names tell source and encoder, as in
        ``sparse d=10 k=3 δ=0.8 / biased``.
      spec: the grid.
      output: where to write the study, ``….nc``; nowhere if None.
      executor: what trains the blocks; this process if None.
      resume: whether to go on with what an earlier run left beside ``output``.
      progress: whether to show on standard error what is being compiled and trained.

    Returns:
      A dataset with the dimensions problem, hidden, batch_size, learning_rate, length, seed and evaluation (see
      ``isjax.study.results.to_dataset``). Among its attributes are the key, the seconds spent compiling and running, summed
      over blocks, and a digest of all that determines the numbers.

    Raises:
      OSError: if the folder of ``output`` cannot be written.
      RunError: if a block could not be trained or written, or another run holds the folder. What was finished is kept.
      ValueError: if there is no problem, or one is not a distribution with finite features and codes among them; if
        there is ``resume`` without ``output``, or an executor for a program of several processes.

    Source:
      arXiv:2405.20452, the numerical study.

    Examples:
      >>> import isjax.study.runner
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.study.runner.run(jax.random.key(1), {"a / sufficient": source.problem("sufficient")}, spec)
      >>> dict(study.excess_risk.sizes)["length"]
      2
    """
    if not problems:
        raise ValueError("problems must hold at least one problem, got none")
    for name, problem in problems.items():
        _check_problem(problem, name)
    if resume and output is None:
        raise ValueError("resume=True needs output, the file of the study that is to go on")
    if executor is not None and jax.process_count() > 1:
        raise ValueError(f"give no executor to a JAX program of {jax.process_count()} processes")

    listed = list(problems.values())
    todo = blocks(listed, spec)
    digests = [digest_of_problem(problem) for problem in listed]
    identities = [identify(key, [digests[i] for i in block.problems], block.spec) for block in todo]
    whole_digest = digest([list(problems), identities])
    path = Path(output) if output is not None and jax.process_index() == 0 else None
    store = Checkpoints(path.with_name(f"{path.stem}.blocks"), identities) if path else None
    study, parts = None, {}

    with contextlib.ExitStack() as held:
        with _together():
            if path and store:
                path.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(path.parent))
                _tidy(path, store)
                if resume:
                    study = _finished(path, whole_digest)
                    parts = store.restore() if study is None else {}
                elif store.num_files():
                    _logger.warning(
                        "%d blocks of this study are in %s, and are trained again: resume=True (isjax sweep --resume) "
                        "would go on with them",
                        store.num_files(),
                        store.folder,
                    )
        left = np.flatnonzero(_of_the_first(np.array([study is None and i not in parts for i in range(len(todo))])))
        report = held.enter_context(_reporting(todo, len(todo) - len(left), show=progress and jax.process_index() == 0))
        held.enter_context(_saying_how_to_go_on(parts, len(todo), store))
        works = {i: Work.of(key, [listed[p] for p in todo[i].problems], todo[i].spec) for i in left.tolist()}
        for i, part in _train_here(works, report) if executor is None else _train_at(executor, works, report):
            parts[i] = part
            with _together():
                if store:
                    store.write(i, part)
            _logger.debug("block %d of %d is done: %s", i + 1, len(todo), part.seconds)
        with _together():
            if study is None and jax.process_index() == 0:
                result = assemble([(block, parts[i].arrays) for i, block in enumerate(todo)], len(listed), spec)
                seconds = {name: sum(part.seconds[name] for part in parts.values()) for name in ("compile", "run")}
                study = results.to_dataset(result, list(problems), spec, seconds=seconds)
                key_data = np.asarray(jax.random.key_data(key)).tolist()
                study.attrs |= {"key": key_data, "key_impl": str(jax.random.key_impl(key)), "digest": whole_digest}
                if path:
                    results.save(study, path)
            if store:
                store.remove()
        return _study_of_the_first(study)


def _check_problem(problem: Problem, name: str) -> None:
    joint, codes, features = (np.asarray(array) for array in problem)
    check_distribution(joint, axis=(-2, -1), name=f"joint of the problem {name!r}")
    if not np.isfinite(features).all():
        raise ValueError(f"features of the problem {name!r} must be finite, got {features[~np.isfinite(features)][0]}")
    if codes.shape != joint.shape[:1] or codes.min() < 0 or codes.max() >= len(features):
        raise ValueError(
            f"codes of the problem {name!r} must be one of 0…{len(features) - 1} for each of {len(joint)} symbols"
        )


# -- files -------------------------------------------------------------------------------------------------------------


def _tidy(path: Path, store: Checkpoints) -> None:
    """Clears away what was half-written when an earlier run was cut off; the folder is held."""
    for beside in path.parent.glob(f".{glob.escape(path.stem)}-*{path.suffix}"):
        beside.unlink(missing_ok=True)
    store.tidy()


def _finished(path: Path, whole_digest: str) -> xr.Dataset | None:
    """The study, where an earlier run came to its end."""
    try:
        study = results.load(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        _logger.warning("the study is put together again: %s", error)
        return None
    if study.attrs.get("digest") != whole_digest:
        _logger.warning("%s is of another spec, key, problem or version, and is replaced at the end", path)
        return None
    _logger.info("%s is whole: nothing is trained again", path)
    return study


@contextlib.contextmanager
def _saying_how_to_go_on(parts: Mapping[int, Part], num_blocks: int, store: Checkpoints | None) -> Iterator[None]:
    """What stops a run says what is kept, and how to go on with it."""
    try:
        yield
    except (KeyboardInterrupt, OSError, RuntimeError, MemoryError) as error:
        if store is None:
            raise
        kept = f"{store.num_files()} of {num_blocks} blocks are whole in {store.folder}"
        hint = f"{kept}: go on with resume=True (isjax sweep --resume)"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(hint) from None
        raise RunError(f"{error}; {hint}") from error


# -- training ----------------------------------------------------------------------------------------------------------


def _train_here(works: Mapping[int, Work], report: Callable[[str, int], None]) -> Iterator[tuple[int, Part]]:
    for i, work in works.items():
        yield i, train_block(work, lambda what, i=i: report(what, i))


def _train_at(
    executor: Executor, works: Mapping[int, Work], report: Callable[[str, int], None]
) -> Iterator[tuple[int, Part]]:
    """Blocks as an executor finishes them. Those that fail are told of when there are no others left."""
    futures: dict[Any, int] = {}
    failures: list[str] = []

    def failed(i: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if reason not in failures:
            _logger.info("block %d failed, and the others go on: %s", i + 1, reason)
        failures.append(reason)

    try:
        for i, work in works.items():
            try:
                futures[executor.submit(train_block, work)] = i
            except Exception as error:
                failed(i, error)
        while futures:
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
            if not done:
                time.sleep(POLL_SECONDS)
    finally:
        for future in futures:
            future.cancel()
    if failures:
        raise RunError(f"the executor failed to train {len(failures)} blocks ({failures[0]})")


# -- several processes as one JAX program ------------------------------------------------------------------------------


def _of_the_first(array: np.ndarray) -> np.ndarray:
    """The first process's array, on all processes."""
    return array if jax.process_count() == 1 else np.asarray(multihost_utils.broadcast_one_to_all(array))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """For what the first process does alone: if it fails, the others fail too, rather than wait for it."""
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    if _of_the_first(np.array(failure is not None)) and failure is None:
        raise RunError("the first process failed; its message says why")
    if failure is not None:
        raise failure


def _study_of_the_first(study: xr.Dataset | None) -> xr.Dataset:
    """The first process's study, on all processes: sent as the file that it makes."""
    if jax.process_count() == 1 and study is not None:
        return study
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.nc"
        content = b"" if study is None else results.save(study, path).read_bytes()
        size = int(_of_the_first(np.array(len(content))))
        sent = _of_the_first(np.frombuffer(content or bytes(size), np.uint8))
        path.write_bytes(sent.astype(np.uint8).tobytes())
        return results.load(path)


# -- progress ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _reporting(todo: Sequence[Block], num_whole: int, *, show: bool):  # noqa: ANN202  (a context manager of a function)
    """Shows which block is at work: a moving bar on a terminal, a line for each step elsewhere, or nothing."""
    console = Console(stderr=True, quiet=not show)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal)) as bar:
        done = 2 * num_whole
        task = bar.add_task("waiting for the first block", total=2 * len(todo), completed=done)

        def report(what: str, i: int) -> None:
            nonlocal done
            text = f"{what} block {i + 1} of {len(todo)}: {todo[i].describe()}"
            done += 2 if what == "trained" else 0
            bar.update(task, description=text, completed=done)
            done += 0 if what == "trained" else 1
            if not console.is_terminal:
                console.print(text, highlight=False, soft_wrap=True)

        yield report
