"""What the compilers for TPUs and GPUs make of the library, on a machine that has neither.

Sweeps are compiled for the chips of a TPU topology by libtpu, which contains the TPU's compiler and needs no TPU. Every
public function that can be traced is lowered for CUDA and for TPUs. Nothing is run: no figure here is a speed.

Install libtpu into an environment of its own (see ``benchmarks/README.md``): where it is installed, JAX looks for a
TPU. Without it, functions are only lowered. The flops are those of the compiler, which counts the body of a loop once:
they are those of one step and one evaluation of one chunk, and of everything outside the loops.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import isjax
from benchmarks._report import machine, print_machine, print_markdown, write_figures
from benchmarks.calls import CALLS, Call
from isjax.cli.networks import OPTIMIZERS
from isjax.cli.study import DEFAULT_SPEC, Sweep

TOPOLOGIES = ("v5e:2x2", "v6e:2x2")
PLATFORMS = ("cuda", "tpu")
MEBIBYTE = 2**20


def default_study():
    return sweep(list(Sweep().problems().values()), DEFAULT_SPEC)


def grid_of_mlp256():
    return sweep(one_problem(), isjax.SweepSpec(hidden=((256,),), num_seeds=12_500, num_steps=2000))


def encoder_decoders():
    networks = {"encoder-decoder": functools.partial(isjax.EncoderDecoder, (256,), 16)}
    options = {"optimizer": OPTIMIZERS["adam"], "learning_rates": (1e-3,), "num_seeds": 1250}
    return sweep(one_problem(), isjax.SweepSpec(networks=networks, num_steps=2000, **options))


def cross_validation():
    rng = np.random.default_rng(0)
    targets = jnp.asarray(rng.integers(0, 4, 20_000))
    features = {name: rng.normal(size=(20_000, d)).astype(np.float32) for name, d in (("raw", 50), ("embedding", 16))}
    samples = {name: isjax.Sample(jnp.asarray(values), targets) for name, values in features.items()}
    options = {"optimizer": OPTIMIZERS["adam"], "learning_rates": (1e-3, 1e-2), "num_seeds": 20}
    spec = isjax.SweepSpec(hidden=((256,),), lengths=(256, 2048, 16_000), num_steps=2000, **options)
    return functools.partial(isjax.cross_validate, spec=spec, num_classes=4), samples


def sweep(problems, spec):
    """A sweep as a function of the key, the problems and the mesh, and the problems."""
    return functools.partial(isjax.sweep, spec=spec), problems


def one_problem():
    options = {"num_inputs": 10, "num_relevant": 4, "num_classes": 4, "discrimination": 0.8}
    return [isjax.sparse_source(jax.random.key(0), **options).problem("identity")]


SWEEPS = {
    "the default study": default_study,
    "100,000 networks of 256 hidden units": grid_of_mlp256,
    "10,000 encoder-decoders of 16 soft codes, Adam": encoder_decoders,
    "1,200 networks of 256 units cross-validated on 20,000 rows": cross_validation,
}


def compiled(name, topology):
    """Compiles a sweep for all chips of a topology, and says what the compiler says of it."""
    mesh = Mesh(np.asarray(topology.devices), ("device",))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def on_the_chips(array):
        array = jnp.asarray(array)
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=everywhere)

    function, arrays = SWEEPS[name]()
    arguments = jax.tree.map(on_the_chips, (jax.random.key(0), arrays))
    start = time.perf_counter()
    traced = jax.jit(functools.partial(function, mesh=mesh)).trace(*arguments)
    lowered = traced.lower(lowering_platforms=("tpu",))
    middle = time.perf_counter()
    program = lowered.compile()
    memory: Any = program.memory_analysis()
    cost: Any = program.cost_analysis()
    parts = {part: getattr(memory, f"{part}_size_in_bytes") for part in ("argument", "output", "temp")}
    return {
        "lower_s": middle - start,
        "compile_s": time.perf_counter() - middle,
        "program_mib": memory.generated_code_size_in_bytes / MEBIBYTE,
        "chip_mib": (sum(parts.values()) + memory.generated_code_size_in_bytes) / MEBIBYTE,
        "flops": cost["flops"],
        **{f"{part}_mib": size / MEBIBYTE for part, size in parts.items()},
    }


def lowered(call: Call, platform: str) -> str:
    """The program of a call for a platform, as text."""
    traced = jax.jit(call.function).trace(*call.arguments(0))
    return traced.lower(lowering_platforms=(platform,)).as_text()


COMPILED = {
    "sweep": ("sweep", ""),
    "chips": ("topology", ""),
    "lowering, s": ("lower_s", ".1f"),
    "compiling, s": ("compile_s", ".1f"),
    "program, MiB": ("program_mib", ".1f"),
    "memory of a chip, MiB": ("chip_mib", ",.0f"),
    "flops, each loop once": ("flops", ".2e"),
}
LOWERED = {
    "function": ("function", ""),
    **{f"{platform}, kB of text": (platform, ".0f") for platform in PLATFORMS},
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks accelerators", description=__doc__)
    parser.add_argument("--topologies", nargs="*", default=TOPOLOGIES, help="of TPUs to compile for")
    parser.add_argument("--sweeps", nargs="*", choices=SWEEPS, default=list(SWEEPS), help="what to compile for them")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine("libtpu", "flax", "optax")
    print_machine(about)
    rows = {}
    if importlib.util.find_spec("libtpu"):
        rows["compiled"] = print_markdown(each_sweep(options.sweeps, options.topologies), COMPILED)
    else:
        print("libtpu is not installed: nothing is compiled")
    rows["lowered"] = print_markdown(each_function(), LOWERED)
    print(f"\n{len(rows['lowered'])} functions were lowered for {' and '.join(PLATFORMS)}")
    write_figures(options.output, about, **rows)
    return 0


def each_sweep(names, topologies):
    from jax.experimental import topologies as chips

    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # do not look for a TPU
    for kind in topologies:
        topology = chips.get_topology_desc(kind, platform="tpu")
        for name in names:
            yield {"sweep": name, "topology": kind, **compiled(name, topology)}


def each_function():
    for name, call in CALLS.items():
        if call.traceable:
            yield {"function": f"`{name}`"} | {platform: len(lowered(call, platform)) / 1e3 for platform in PLATFORMS}
