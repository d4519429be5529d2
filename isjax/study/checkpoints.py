"""Finished blocks of a study on disk, so that an interrupted study can be resumed.

A block is one file, named by the digest of its identity: everything that determines its numbers. It holds a SHA-256
checksum of all that follows, a line of JSON with the identity, the timings and the shapes of the arrays, and the bytes
of the arrays. A file is written under a temporary name, then renamed: it is complete or absent. It is flushed to the
disk unless another one was within the last second: when the machine crashes, the blocks of the last half minute may be
lost, which their checksums tell. A block of another spec, key, problem or version has another name, so no run
overwrites the blocks of another.
"""

import collections
import contextlib
import dataclasses
import functools
import glob
import hashlib
import itertools
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import xarray as xr

from isjax._shell.files import write_atomically
from isjax._typing import Array, Float
from isjax.networks import check_network
from isjax.sources import Problem
from isjax.study import results
from isjax.study.blocks import Part, PlainKey, RunError, settings, versions
from isjax.sweeps import SweepSpec

__all__ = [
    "FORMAT",
    "Checkpoints",
    "NoCheckpoints",
    "digest",
    "digest_of_arrays",
    "digest_of_computation",
    "digest_of_problem",
    "identify",
    "locked",
]

FORMAT = "isjax block 6"
_SUFFIX = ".block"
_FLUSH_SECONDS = 1.0
_COMPUTATION = "computation of the network or the optimizer"

_logger = logging.getLogger(__name__)


def identify(
    key: PlainKey,
    problems: Sequence[str],
    spec: SweepSpec,
    *,
    computation: str | None = None,
    num_folds: int | None = None,
) -> dict[str, Any]:
    """What determines the numbers of a block; not the device or the chunk size, which change only their rounding.

    Args:
      key: the key of the study.
      problems: digests of its problems.
      spec: its part of the grid.
      computation: what ``digest_of_computation`` gives.
      num_folds: in how many folds samples are divided; None for problems.

    Returns:
      A dictionary that JSON reproduces exactly.

    Examples:
      >>> import isjax, jax, isjax.study.blocks, isjax.study.checkpoints
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16,), num_steps=10, num_evals=2)
      >>> key = isjax.study.blocks.PlainKey.of(jax.random.key(1))
      >>> identity = isjax.study.checkpoints.identify(key, ["ab12"], spec)
      >>> identity["hidden"], identity["num_steps"]
      ([[8]], 10)
    """
    identity = {
        **results.describe_spec(dataclasses.replace(spec, chunk_size=None)),
        _COMPUTATION: computation,
        "problems": list(problems),
        "key": [key.impl, key.data.tolist()],
        "settings": settings(),
        "versions": versions(),
        **({} if num_folds is None else {"num_folds": num_folds}),
    }
    return json.loads(json.dumps(identity))


def digest_of_computation(spec: SweepSpec, features: Float[np.ndarray, "n d"], num_classes: int) -> str | None:
    """SHA-256 of what a spec's networks and optimiser compute, so that a block of other code is never taken for it.

    None for networks given by ``hidden`` and SGD, which the spec and the versions determine.

    Examples:
      >>> import flax.linen as nn, isjax, isjax.study.checkpoints, numpy as np
      >>> features = np.ones((4, 3), np.float32)
      >>> specs = [isjax.SweepSpec(networks={"a": nn.Dense(2, use_bias=b)}, num_steps=20) for b in (True, False)]
      >>> len({isjax.study.checkpoints.digest_of_computation(spec, features, 2) for spec in specs})
      2
    """
    if spec.networks is None and spec.optimizer is optax.sgd:
        return None
    shape = jax.ShapeDtypeStruct(features.shape, features.dtype)
    rate = jax.ShapeDtypeStruct((), features.dtype)
    described = {}
    for name, network in spec.modules(num_classes).items():
        check_network(network, shape, num_classes)

        def compute(key: Array, features: Array, rate: Array, network: nn.Module = network, name: str = name) -> Any:  # noqa: ANN401
            params = network.init(key, features)
            optimizer = spec.optimizer_of(name)(rate)
            return network.apply(params, features), optimizer.update(params, optimizer.init(params), params)

        traced = jax.make_jaxpr(compute)(jax.random.key(0), shape, rate)
        constants = [digest_of_arrays([np.asarray(constant)]) for constant in traced.consts]
        described[name] = [re.sub(r" at 0x[0-9a-f]+", "", str(traced)), constants]
    return digest(described)


def digest_of_problem(problem: Problem) -> str:
    """SHA-256 of a problem's numpy arrays, their shapes and dtypes.

    Examples:
      >>> import isjax, jax, isjax.study.checkpoints
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> source = isjax.sparse_source(jax.random.key(0), **options)
      >>> problems = jax.device_get([source.problem("identity"), source.problem("biased")])
      >>> len({isjax.study.checkpoints.digest_of_problem(problem) for problem in problems})
      2
    """
    return digest_of_arrays([np.asarray(array) for array in problem])


def digest_of_arrays(arrays: Sequence[np.ndarray]) -> str:
    """SHA-256 of numpy arrays, their shapes and dtypes.

    Examples:
      >>> import numpy as np, isjax.study.checkpoints
      >>> len(isjax.study.checkpoints.digest_of_arrays([np.zeros(3)]))
      64
    """
    return digest([[a.dtype.str, a.shape, hashlib.sha256(a.tobytes()).hexdigest()] for a in arrays])


def digest(described: object) -> str:
    """SHA-256 of an object that JSON can represent, as 64 hexadecimal digits.

    Examples:
      >>> import isjax.study.checkpoints
      >>> isjax.study.checkpoints.digest({"a": 1, "b": 2}) == isjax.study.checkpoints.digest({"b": 2, "a": 1})
      True
    """
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


class NoCheckpoints:
    """A store that keeps nothing: for a study without a file, and for all processes of a program but the first."""

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Reserves nothing."""
        return contextlib.nullcontext()

    def restore(self) -> tuple[None, dict[int, Part]]:
        """Nothing."""
        return None, {}

    start_anew = restore

    def write(self, i: int, part: Part) -> None:
        """Does nothing."""

    def finish(self, study: xr.Dataset) -> None:
        """Does nothing."""

    def remove_blocks(self) -> None:
        """Does nothing."""

    def resume_hint(self) -> None:
        """None: there is nothing to resume."""


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The finished blocks of a study, in the folder ``NAME.blocks`` next to its file ``NAME.nc``.

    Attributes:
      path: the file of the study.
      identities: what determines each block of the study.
      digest: of all that determines the study.
      overwrite: whether another file at ``path`` may be replaced.

    Examples:
      >>> import pathlib, tempfile, numpy as np, isjax.study.blocks, isjax.study.checkpoints
      >>> part = isjax.study.blocks.Part({"risk": np.zeros(3)}, {"run": 1.5})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "study.nc"
      ...     store = isjax.study.checkpoints.Checkpoints(path, [{"a": 1}, {"a": 2}], digest="")
      ...     store.write(1, part)
      ...     study, parts = store.restore()
      >>> study, {i: restored.seconds for i, restored in parts.items()}
      (None, {1: {'run': 1.5}})
    """

    path: Path
    identities: Sequence[dict[str, Any]]
    digest: str
    overwrite: bool = False

    @functools.cached_property
    def _names(self) -> list[str]:
        """The name of the file of each block."""
        return [digest(identity) + _SUFFIX for identity in self.identities]

    @functools.cached_property
    def _flushes(self) -> "_Flushes":
        return _Flushes()

    @property
    def folder(self) -> Path:
        """The folder of the blocks, created when the first is written."""
        return self.path.with_name(f"{self.path.stem}.blocks")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Creates and locks the folder of the study, and removes temporary files that an interrupted run left."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path.parent):
            for folder, pattern in (
                (self.path.parent, f".{glob.escape(self.path.stem)}-*{self.path.suffix}"),
                (self.folder, f".*{_SUFFIX}"),
            ):
                for temporary in folder.glob(pattern):
                    temporary.unlink(missing_ok=True)
            yield

    def restore(self) -> tuple[xr.Dataset | None, dict[int, Part]]:
        """The finished study if there is one, otherwise the finished blocks; the log says what could not be used."""
        study = self._restore_study()
        return study, self._restore_blocks() if study is None else {}

    def start_anew(self) -> tuple[xr.Dataset | None, dict[int, Part]]:
        """No study and no blocks; warns if there are blocks that could have been restored.

        Raises:
          FileExistsError: if there is a file that may not be replaced.
        """
        if self.path.exists() and not self.overwrite:
            raise FileExistsError(
                f"{self.path} exists: give overwrite=True to replace it, resume=True to continue it, or another output"
            )
        if num_files := self._num_files():
            _logger.warning(
                "%d blocks of this study in %s are trained again: resume=True (--resume) restores them",
                num_files,
                self.folder,
            )
        return None, {}

    def write(self, i: int, part: Part) -> None:
        """Writes a block, completely or not at all."""
        arrays = {name: np.ascontiguousarray(array) for name, array in part.arrays.items()}
        header = {
            "format": FORMAT,
            "identity": self.identities[i],
            "seconds": part.seconds,
            "arrays": {name: [array.dtype.str, array.shape] for name, array in arrays.items()},
        }
        content = b"".join([json.dumps(header).encode(), b"\n", *(array.tobytes() for array in arrays.values())])
        content = hashlib.sha256(content).hexdigest().encode() + b"\n" + content
        self.folder.mkdir(exist_ok=True)
        write_atomically(self._path(i), lambda temporary: temporary.write_bytes(content), flush=self._flushes.are_due())

    def finish(self, study: xr.Dataset) -> None:
        """Writes the study."""
        results.save(study, self.path)

    def remove_blocks(self) -> None:
        """Removes the blocks of the study, and their folder if it is then empty."""
        for i in range(len(self.identities)):
            self._path(i).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def resume_hint(self) -> str:
        """How many blocks are saved, and how to resume."""
        return (
            f"{self._num_files()} of {len(self.identities)} blocks are saved in {self.folder}: "
            "continue with resume=True (--resume)"
        )

    def _path(self, i: int) -> Path:
        return self.folder / self._names[i]

    def _num_files(self) -> int:
        return sum(self._path(i).exists() for i in range(len(self.identities)))

    def _restore_study(self) -> xr.Dataset | None:
        try:
            study = results.load(self.path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            _logger.warning("the study is computed again: %s", error)
            return None
        if study.attrs.get("digest") != self.digest:
            reason = f"{self.path} has another spec, key, problems or versions"
            if not self.overwrite:
                raise FileExistsError(f"{reason}: give overwrite=True to replace it, or another output")
            _logger.warning("%s, and will be replaced", reason)
            return None
        _logger.info("%s is complete: there is nothing to train", self.path)
        return study

    def _restore_blocks(self) -> dict[int, Part]:
        parts = {}
        for i in range(len(self.identities)):
            block = f"block {i + 1} of {len(self.identities)}"
            try:
                parts[i] = self._read(i)
            except FileNotFoundError:
                _logger.debug("%s is not trained yet", block)
            except (OSError, ValueError) as error:
                _logger.warning("%s is trained again: %s", block, error)
            else:
                _logger.debug("%s is restored", block)
        if parts:
            _logger.info("%d of %d blocks are restored", len(parts), len(self.identities))
        for reason, paths in self._other_files().items():
            example = f"{len(paths)} files such as {paths[0].name}" if len(paths) > 1 else paths[0].name
            _logger.warning("%s in %s is not used: %s", example, self.folder, reason)
        return parts

    def _read(self, i: int) -> Part:
        header, content = _parse(self._path(i).read_bytes())
        if header["identity"] != self.identities[i]:
            raise ValueError("its file contains another block")
        kinds = {name: (np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in header["arrays"].items()}
        ends = itertools.accumulate(dtype.itemsize * math.prod(shape) for dtype, shape in kinds.values())
        starts = [0, *ends]
        if starts.pop() != len(content):
            raise ValueError("its arrays have another size")
        arrays = {
            name: np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape)
            for (name, (dtype, shape)), start in zip(kinds.items(), starts, strict=True)
        }
        return Part(arrays, header["seconds"])

    def _other_files(self) -> dict[str, list[Path]]:
        """The files in the folder that are not blocks of this study, by the reason."""
        found = collections.defaultdict(list)
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        for name in sorted({*names} - {*self._names}):
            path = self.folder / name
            found[self._why_not_ours(path)].append(path)
        return found

    def _why_not_ours(self, path: Path) -> str:
        try:
            identity = _parse(path.read_bytes())[0]["identity"]
        except (OSError, ValueError) as error:
            return str(error) if isinstance(error, ValueError) else "cannot be read"
        names = sorted({*identity, *self.identities[0]})
        unlike = [name for name in names if identity.get(name) not in [ours.get(name) for ours in self.identities]]
        return f"a block of another study, with other {', '.join(unlike or ['combinations'])}"


class _Flushes:
    """Says which of many writes are flushed to the disk: one that is more than a second after the last of them."""

    def __init__(self) -> None:
        self._last = -math.inf

    def are_due(self) -> bool:
        """Whether this one is."""
        now = time.monotonic()
        is_due = now - self._last > _FLUSH_SECONDS
        self._last = now if is_due else self._last
        return is_due


def _parse(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the arrays of a block."""
    checksum, _, rest = content.partition(b"\n")
    if checksum != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("checksum mismatch: truncated, or not an isjax block")
    line, _, arrays = rest.partition(b"\n")
    header = json.loads(line)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"not in the format {FORMAT!r}")
    return header, arrays


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks a folder for one run; the operating system releases the lock when the process ends, however it ends.

    Args:
      folder: where the run writes; it must exist.

    Raises:
      OSError: if the folder cannot be written.
      RunError: if another run holds the lock.

    Examples:
      >>> import pathlib, tempfile, isjax.study.checkpoints
      >>> with tempfile.TemporaryDirectory() as name, isjax.study.checkpoints.locked(pathlib.Path(name)):
      ...     with isjax.study.checkpoints.locked(pathlib.Path(name)):  # doctest: +ELLIPSIS
      ...         pass
      Traceback (most recent call last):
      ...
      isjax.study.blocks.RunError: another run is writing into the folder ...
    """
    path = folder / ".isjax.lock"
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
        except (BlockingIOError, PermissionError) as error:
            os.close(handle)
            raise RunError(
                f"another run is writing into the folder {folder}: wait for it, or choose another output folder"
            ) from error
        except OSError as error:
            _logger.warning("the folder %s cannot be locked (%s): start no second run in it", folder, error.strerror)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)  # its last holder removed it before we locked it
    try:
        yield
    finally:
        if sys.platform != "win32":  # where an open file cannot be removed
            path.unlink(missing_ok=True)
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
