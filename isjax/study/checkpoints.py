"""Finished blocks of a study on disk, so that a study survives whatever ends its process.

A block is one file, named by the digest of its identity: everything that determines its numbers. It holds a SHA-256
checksum of all that follows, a line of JSON with the identity and the timings, and the arrays as ``.npz``, without
pickle. A file is written beside its place, flushed to the disk and renamed: whole, or not there. A block of another
spec, key, problem or version has another name, so that no run overwrites what another one spent its time on.
"""

import collections
import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isjax._shell.files import write_atomically
from isjax._typing import Array, Key
from isjax.sources import Problem
from isjax.study.blocks import Part, RunError, settings, versions
from isjax.sweeps import SweepSpec

__all__ = ["Checkpoints", "digest", "digest_of_problem", "identify", "locked"]

FORMAT = "isjax block 1"
_SUFFIX = ".block"

_logger = logging.getLogger(__name__)


def identify(key: Key[Array, ""], problems: Sequence[str], spec: SweepSpec) -> dict[str, Any]:
    """What determines the numbers of a block; not the device, nor the chunks, on which only their rounding depends.

    Args:
      key: a key of ``jax.random.key``.
      problems: digests of its problems.
      spec: its part of the grid.

    Returns:
      A dictionary that goes through JSON unchanged.

    Examples:
      >>> import isjax.study.checkpoints
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16,), num_steps=10, num_evals=2)
      >>> identity = isjax.study.checkpoints.identify(jax.random.key(1), ["ab12"], spec)
      >>> identity["hidden"], identity["num_steps"]
      ([[8]], 10)
    """
    identity = {
        **dataclasses.asdict(dataclasses.replace(spec, chunk_size=None)),
        "max_length": spec.max_length,
        "problems": list(problems),
        "key": [str(jax.random.key_impl(key)), np.asarray(jax.random.key_data(key)).tolist()],
        "settings": settings(),
        "versions": versions(),
    }
    return json.loads(json.dumps(identity))


def digest_of_problem(problem: Problem) -> str:
    """SHA-256 of a problem's arrays, their shapes and dtypes.

    Args:
      problem: what a learner sees.

    Returns:
      64 hexadecimal digits.

    Examples:
      >>> import isjax.study.checkpoints
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> len({isjax.study.checkpoints.digest_of_problem(source.problem(encoder)) for encoder in ("identity", "biased")})
      2
    """
    arrays = [np.ascontiguousarray(array) for array in problem]
    return digest([[a.dtype.str, a.shape, hashlib.sha256(a.tobytes()).hexdigest()] for a in arrays])


def digest(described: object) -> str:
    """SHA-256 of what JSON can hold.

    Args:
      described: numbers, words, lists and dictionaries.

    Returns:
      64 hexadecimal digits.

    Examples:
      >>> import isjax.study.checkpoints
      >>> isjax.study.checkpoints.digest({"a": 1, "b": 2}) == isjax.study.checkpoints.digest({"b": 2, "a": 1})
      True
    """
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The finished blocks of a study.

    Attributes:
      folder: where they lie; made when the first is written.
      identities: what determines each block of the study.

    Examples:
      >>> import pathlib, tempfile, numpy as np, isjax.study.blocks, isjax.study.checkpoints
      >>> part = isjax.study.blocks.Part({"risk": np.zeros(3)}, {"run": 1.5})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     blocks = isjax.study.checkpoints.Checkpoints(pathlib.Path(folder) / "study.blocks", [{"a": 1}, {"a": 2}])
      ...     blocks.write(1, part)
      ...     {i: whole.seconds for i, whole in blocks.restore().items()}
      {1: {'run': 1.5}}
    """

    folder: Path
    identities: Sequence[dict[str, Any]]

    def path(self, i: int) -> Path:
        """Where a block lies."""
        return self.folder / (digest(self.identities[i]) + _SUFFIX)

    def write(self, i: int, part: Part) -> None:
        """Writes a block, whole or not at all."""
        arrays = io.BytesIO()
        np.savez(arrays, allow_pickle=False, **part.arrays)
        header = {"format": FORMAT, "identity": self.identities[i], "seconds": part.seconds}
        content = json.dumps(header).encode() + b"\n" + arrays.getvalue()
        checksum = hashlib.sha256(content).hexdigest().encode()
        self.folder.mkdir(exist_ok=True)
        write_atomically(self.path(i), lambda beside: beside.write_bytes(checksum + b"\n" + content))

    def restore(self) -> dict[int, Part]:
        """The blocks that are whole; the log says which are, and what is wrong with the others."""
        parts = {}
        for i, of in enumerate(self._numbered()):
            try:
                parts[i] = self._read(i)
            except FileNotFoundError:
                _logger.debug("%s is not there yet", of)
            except (OSError, ValueError) as error:
                _logger.warning("%s is trained again: %s", of, error)
            else:
                _logger.info("%s is whole, and is not trained again", of)
        for reason, paths in self._others().items():
            example = f"{len(paths)} files such as {paths[0].name}" if len(paths) > 1 else paths[0].name
            _logger.warning("%s in %s is left as it is: %s", example, self.folder, reason)
        return parts

    def num_files(self) -> int:
        """How many of the blocks have a file."""
        return sum(self.path(i).exists() for i in range(len(self.identities)))

    def tidy(self) -> None:
        """Removes what was half-written when a run was cut off; only for one who holds the lock."""
        for path in self.folder.glob(f".*{_SUFFIX}"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the blocks, and their folder unless it holds anything else."""
        for i in range(len(self.identities)):
            self.path(i).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _read(self, i: int) -> Part:
        header, arrays = _parse(self.path(i).read_bytes())
        if header["identity"] != self.identities[i]:
            raise ValueError("its file holds another block")
        with np.load(io.BytesIO(arrays), allow_pickle=False) as loaded:
            return Part(dict(loaded), header["seconds"])

    def _numbered(self) -> list[str]:
        return [f"block {i + 1} of {len(self.identities)}" for i in range(len(self.identities))]

    def _others(self) -> dict[str, list[Path]]:
        """What else lies in the folder, by the reason why it is no block of the study."""
        ours = {self.path(i) for i in range(len(self.identities))}
        found = collections.defaultdict(list)
        for path in sorted(self.folder.glob("*")):
            if path not in ours:
                found[self._why_not_ours(path)].append(path)
        return found

    def _why_not_ours(self, path: Path) -> str:
        try:
            identity = _parse(path.read_bytes())[0]["identity"]
        except (OSError, ValueError) as error:
            return str(error) if isinstance(error, ValueError) else "it cannot be read"
        names = sorted({*identity, *self.identities[0]})
        unlike = [name for name in names if identity.get(name) not in [ours.get(name) for ours in self.identities]]
        return f"it is of another study, whose {', '.join(unlike or ['combination'])} differ{'s' * (len(unlike) < 2)}"


def _parse(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a whole block, and its arrays."""
    checksum, _, rest = content.partition(b"\n")
    if checksum != hashlib.sha256(rest).hexdigest().encode():
        raise ValueError("its checksum differs: it is torn, or no block")
    line, _, arrays = rest.partition(b"\n")
    header = json.loads(line)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"it is no block of the format {FORMAT!r}")
    return header, arrays


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for one run; the operating system lets go of it when the process ends, however that ends.

    Args:
      folder: where the run writes; it must be there.

    Raises:
      OSError: if the folder cannot be written.
      RunError: if another run holds it.

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
            raise RunError(f"another run is writing into the folder {folder}: wait for it, or name another") from error
        except OSError as error:
            _logger.warning("the folder %s cannot be locked (%s): start no second run into it", folder, error.strerror)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)  # its last holder removed it before we had it
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
