"""``isjax …``: the command line, built from the dataclasses.

Exit codes: 0 done; 1 the work failed, with one clear line; 2 the command line was wrong.
"""

import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console

from isjax import _checks
from isjax._display import as_text
from isjax.cli.common import CommandFailed, CommandLineError, devices, programs_folder
from isjax.cli.compare import Compare
from isjax.cli.data import Bottleneck, Measure, Rank
from isjax.cli.networks import OPTIMIZERS, as_networks
from isjax.cli.study import DEFAULT_SPEC, Plot, Show, Sweep
from isjax.networks import Network
from isjax.scoring import RULES, ScoringRule
from isjax.sweeps import configure_cpu

__all__ = ["Doctor", "main"]


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Print versions and devices, and check that they compute correctly."""

    def __call__(self, console: Console) -> None:
        """Checks the installation; fails if it computes wrongly."""
        packages = ("isjax", "jax", "jaxlib", "flax", "optax", "numpy", "jaxtyping", "xarray")
        for name in packages:
            console.print(f"{name:10} {version(name)}", highlight=False)
        console.print(f"{'python':10} {platform.python_version()} on {platform.platform()}", highlight=False)
        console.print(f"{'devices':10} {devices()}", highlight=False)
        console.print(f"{'programs':10} {programs_folder()}", highlight=False, soft_wrap=True)
        known = _checks.KNOWN_BAD_JAXLIB.get(version("jaxlib"))
        if known:
            raise RuntimeError(f"jaxlib {version('jaxlib')} {known}")
        if not _fused_products_are_correct():
            raise RuntimeError("this jaxlib returns wrong numbers for fused products (as in jax-ml/jax#39103)")
        console.print("no known fault; fused products are computed correctly", highlight=False)


def _fused_products_are_correct() -> bool:
    """Whether a vmapped product followed by a reduction is computed correctly; jaxlib 0.10.2 on a CPU does not."""
    i = jnp.arange(32769, dtype=jnp.float32)
    rows = jnp.stack((i, 0 * i, 0 * i), axis=1)
    squared_norms = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
    return float(squared_norms[-1]) == 32768.0**2


_KINDS: dict[tuple[type, ...], type] = {(int,): int, (float,): float, (float, int): float, (str,): str, (Path,): Path}


_PLURALS = {"--encoder": "--encoders", "--input": "--inputs"}  # as people write where they have one


def _parse(arguments: Sequence[str]) -> Any:  # noqa: ANN401  (one of the commands)
    """The command that the arguments name."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def widths(type_info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
        """Networks, each as the widths of its hidden layers separated by commas: ``--hidden 32 256,256``."""
        if type_info.type != Sequence[Sequence[int]]:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs="*",
            metavar="WIDTH[,WIDTH…]",
            instance_from_str=lambda words: tuple(tuple(int(width) for width in word.split(",")) for word in words),
            is_instance=lambda instance: isinstance(instance, tuple),
            str_from_instance=lambda instance: [",".join(map(str, widths)) for widths in instance],
        )

    @registry.primitive_rule
    def of_words(type_info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
        """Networks such as ``256,256`` or ``hard:32/8``, and scoring rules and optimisers by their names."""
        if type_info.type == Mapping[str, Network] | None:
            return tyro.constructors.PrimitiveConstructorSpec(
                nargs="*",
                metavar="NETWORK",
                instance_from_str=as_networks,
                is_instance=lambda instance: instance is None or isinstance(instance, Mapping),
                str_from_instance=lambda instance: list(instance or ()),
            )
        if type_info.type == Sequence[str | ScoringRule]:
            return tyro.constructors.PrimitiveConstructorSpec(
                nargs="*",
                metavar="{" + ",".join(RULES) + "}",
                instance_from_str=tuple,
                is_instance=lambda instance: isinstance(instance, tuple),
                str_from_instance=list,
            )
        if any(get_origin(kind) is Callable for kind in get_args(type_info.type)):  # the optimiser
            return tyro.constructors.PrimitiveConstructorSpec(
                nargs=1,
                metavar="{" + ",".join(OPTIMIZERS) + "}",
                instance_from_str=lambda words: OPTIMIZERS[words[0]],
                is_instance=callable,
                str_from_instance=lambda instance: [
                    next((name for name, each in OPTIMIZERS.items() if each is instance), as_text(instance))
                ],
                choices=tuple(OPTIMIZERS),
            )
        return None

    @registry.primitive_rule
    def one_of_several_types(
        type_info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec | None:
        """An option that need not be given, or a number of any type: its help names one type, as ``INT``."""
        if get_origin(type_info.type) not in (Union, UnionType):
            return None
        kinds = set(get_args(type_info.type)) - {type(None)}
        is_optional = type(None) in get_args(type_info.type)
        kind = next((kind for names, kind in _KINDS.items() if kinds == set(names)), None)
        if kind is None:
            return None
        read = (lambda word: int(word) if word.isdecimal() else float(word)) if kind is float else kind
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="STR" if kind is str else kind.__name__.upper(),
            instance_from_str=lambda words: None if is_optional and words[0] == "None" else read(words[0]),
            is_instance=lambda instance: instance is None or isinstance(instance, tuple(kinds)),
            str_from_instance=lambda instance: [str(instance)],
        )

    if list(arguments[:1]) in (["measure"], ["compare"]):
        arguments = [_PLURALS.get(word, word) for word in arguments]
    given = {word.partition("=")[0] for word in arguments}
    by_epochs = "--num-epochs" in given
    spec = dataclasses.replace(DEFAULT_SPEC, num_steps=None, num_epochs=1) if by_epochs else DEFAULT_SPEC
    if list(arguments[:1]) == ["compare"]:  # what replaces a default of its grid
        arguments = [*arguments, *(["--num-steps", "None"] if by_epochs else [])]
        arguments = [*arguments, *(["--hidden"] if "--networks" in given and "--hidden" not in given else [])]
    commands = (
        Annotated[Sweep, tyro.conf.subcommand("sweep", default=Sweep(spec=spec))]
        | Annotated[Compare, tyro.conf.subcommand("compare")]
        | Annotated[Plot, tyro.conf.subcommand("plot")]
        | Annotated[Show, tyro.conf.subcommand("show")]
        | Annotated[Measure, tyro.conf.subcommand("measure")]
        | Annotated[Rank, tyro.conf.subcommand("rank")]
        | Annotated[Bottleneck, tyro.conf.subcommand("bottleneck")]
        | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    )
    try:
        return tyro.cli(
            commands,
            prog="isjax",
            description="What an encoder costs a learner: exact information loss, and training sweeps.",
            args=list(arguments),
            registry=registry,
            config=(tyro.conf.CascadeSubcommandArgs,),  # options of a sweep may follow the source
        )
    except (TypeError, ValueError) as error:
        raise CommandLineError(str(error)) from error


def _console() -> Console:
    """Standard output: as wide as the terminal, or wide enough that no line is wrapped."""
    console = Console(emoji=False)
    return console if console.is_terminal else Console(width=1000, emoji=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    errors = Console(stderr=True, emoji=False)
    try:
        command = _parse(arguments)
        configure_cpu()
        command(_console())
    except CommandLineError as error:
        errors.print(f"isjax: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt as error:
        errors.print(": ".join(["isjax: interrupted", *map(str, error.args)]), highlight=False, soft_wrap=True)
        sys.stdout.flush()
        os._exit(1)  # sys.exit would wait until JAX has finished the current block
    except CommandFailed as error:
        errors.print(f"isjax: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except (MemoryError, OSError, RuntimeError, ValueError) as error:
        errors.print(f"isjax: {type(error).__name__}: {error}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
