"""The sources of ``isjax sweep``, controlled ones and files: a subcommand each, with its own options."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import jax
import tyro

from isjax._typing import Array, Key
from isjax.cli.data import Reading
from isjax.data import problems
from isjax.sources import Problem, Source, digital_source, invariant_source, robust_source, sparse_source

__all__ = ["Digital", "File", "Invariant", "Robust", "SourceFamily", "Sources", "Sparse"]

_Model = tuple[str, int, Callable[..., Source]]
"""A source without its classes and discrimination: its name, a number that its key depends on, and how to build it."""


@dataclasses.dataclass(frozen=True)
class SourceFamily(abc.ABC):
    """Sources of one kind, at several discriminations."""

    @abc.abstractmethod
    def models(self) -> Iterator[_Model]:
        """The sources, without their classes and discrimination."""

    def sources(
        self, key: Key[Array, ""], *, num_classes: int, discriminations: Sequence[float]
    ) -> Iterator[tuple[str, Source]]:
        """Each source with its name; those that differ in their discrimination alone share codes and labels."""
        for name, salt, build in self.models():
            of_model = jax.random.fold_in(key, salt)
            for discrimination in discriminations:
                source = build(of_model, num_classes=num_classes, discrimination=discrimination)
                yield f"{name} δ={discrimination:g}", source


@dataclasses.dataclass(frozen=True)
class Sparse(SourceFamily):
    """Y depends on k of d binary inputs."""

    num_inputs: int = 10
    """Number of inputs, d."""
    num_relevant: tuple[int, ...] = (3, 4)
    """Number of relevant inputs, k; one source for each."""

    def models(self) -> Iterator[_Model]:
        """One for each number of relevant inputs."""
        for k in self.num_relevant:
            build = partial(sparse_source, num_inputs=self.num_inputs, num_relevant=k)
            yield f"sparse d={self.num_inputs} k={k}", k, build


@dataclasses.dataclass(frozen=True)
class Invariant(SourceFamily):
    """Y depends on the orbit of a bit string under a group of permutations."""

    length: tuple[int, ...] = (8,)
    """Bits of the string, L; one source for each. (--lengths are those of the data.)"""
    group: Literal["cyclic", "symmetric"] = "cyclic"
    """The group."""

    def models(self) -> Iterator[_Model]:
        """One for each length of the string."""
        for length in self.length:
            build = partial(invariant_source, length=length, group=self.group)
            yield f"invariant L={length} {self.group}", length, build


@dataclasses.dataclass(frozen=True)
class Robust(SourceFamily):
    """Y depends on the message of a Hamming code, and survives any one flipped bit."""

    def models(self) -> Iterator[_Model]:
        """The only one."""
        yield "robust", 0, robust_source


@dataclasses.dataclass(frozen=True)
class Digital(SourceFamily):
    """Y depends on the cell of a plane that a point lies in."""

    grid: int = 16
    """Points on each axis of the plane."""
    num_cells: tuple[int, ...] = (16,)
    """Number of cells, K; one source for each."""

    def models(self) -> Iterator[_Model]:
        """One for each number of cells."""
        for k in self.num_cells:
            yield f"digital {self.grid}×{self.grid} K={k}", k, partial(digital_source, grid=self.grid, num_cells=k)


@dataclasses.dataclass(frozen=True)
class File:
    """The rows of a file: their empirical distribution is taken as the truth.

    Give the encoders as columns, or as codes such as half=age<40.
    """

    file: Path
    """A table: CSV, TSV, other text, Parquet, Arrow or Feather."""
    target: str
    """Column of the target Y."""
    inputs: tuple[str, ...]
    """Columns whose joint is the input X."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Reading)
    """How the file is read."""

    def problems(self, encoders: tuple[str, ...]) -> dict[tuple[str, str], Problem]:
        """The problem of X itself, and those of its codes, by source and encoder."""
        names, codes = self.reading.own_codes(self.file, encoders)
        others = (self.target, *(name for name in names if name not in codes))
        table = self.reading.read(self.file, self.inputs, others, codes)
        made = problems(table, target=self.target, inputs=self.inputs, encoders=names)
        return {(self.file.stem, name): problem for name, problem in made.items()}


Sources = (
    Annotated[Sparse, tyro.conf.subcommand("sparse")]
    | Annotated[Invariant, tyro.conf.subcommand("invariant")]
    | Annotated[Robust, tyro.conf.subcommand("robust")]
    | Annotated[Digital, tyro.conf.subcommand("digital")]
    | Annotated[File, tyro.conf.subcommand("file")]
)
