"""Mutual information and its loss: isjax beside numpy, plain JAX and dit, and beside one read of the array.

Two inputs, float32: 4096 joints of 64×16 with 8 codes, and one joint of 2^16×4 with 2^12 codes. The contenders of an
input take turns; times are medians, and the first call, which compiles, is reported apart.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax


def random_joint(rng, *shape):
    mass = rng.random(shape, np.float32)
    return mass / mass.sum((-2, -1), keepdims=True)


def numpy_information(joint):
    """Σ p log p/(p p): the definition, which cancels."""
    p_x, p_y = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(joint * np.log(joint / (p_x * p_y)), axis=(-2, -1))


def numpy_loss(joint, codes, num_codes):
    """I(X;Y) − I(U;Y)."""
    joint_uy = np.zeros((*joint.shape[:-2], num_codes, joint.shape[-1]), joint.dtype)
    flat, flat_uy = joint.reshape(-1, *joint.shape[-2:]), joint_uy.reshape(-1, num_codes, joint.shape[-1])
    batch = np.arange(len(flat))[:, None]
    np.add.at(flat_uy, (batch, codes.reshape(len(flat), -1)), flat)
    return numpy_information(joint) - numpy_information(joint_uy)


def plain_information(joint):
    p_x, p_y = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    return jnp.nansum(joint * jnp.log(joint / (p_x * p_y)), axis=(-2, -1))


def plain_loss(joint, codes, num_codes):
    push = jnp.vectorize(functools.partial(jax.ops.segment_sum, num_segments=num_codes), signature="(x,y),(x)->(u,y)")
    return plain_information(joint) - plain_information(push(joint, codes))


def dit_seconds(joints):
    """Seconds a joint that dit takes to make its distribution, and then to measure it."""
    import dit  # pyright: ignore[reportMissingImports]

    making, measuring = [], []
    for joint in joints.astype(np.float64):
        start = time.perf_counter()
        distribution = dit.Distribution.from_ndarray(joint / joint.sum())
        made = time.perf_counter()
        dit.shannon.mutual_information(distribution, [0], [1])  # pyright: ignore[reportAttributeAccessIssue]
        making.append(made - start)
        measuring.append(time.perf_counter() - made)
    return statistics.median(making), statistics.median(measuring)


def contenders(joint, codes, num_codes):
    """Functions without arguments, by what they compute and with what. Arrays lie where each can read them at once."""
    device_joint, device_codes = jnp.asarray(joint), jnp.asarray(codes)

    def jitted(f, *args, **static):
        program = jax.jit(functools.partial(f, **static))
        return lambda: jax.block_until_ready(program(*args))

    found = {
        ("read the array once", "jit(sum)"): jitted(jnp.sum, device_joint),
        ("mutual information", "numpy"): lambda: numpy_information(joint),
        ("mutual information", "plain JAX"): jitted(plain_information, device_joint),
        ("mutual information", "isjax"): jitted(isjax.mutual_information, device_joint),
        ("loss", "numpy"): lambda: numpy_loss(joint, codes, num_codes),
        ("loss", "plain JAX"): jitted(plain_loss, device_joint, device_codes, num_codes=num_codes),
        ("loss", "isjax"): jitted(isjax.mutual_information_loss, device_joint, device_codes, num_codes=num_codes),
    }
    value_and_gradient = jax.value_and_grad(lambda p: isjax.mutual_information(p).sum())
    found["mutual information, and gradient", "isjax"] = jitted(value_and_gradient, device_joint)
    return found


def measured(functions, num_rounds):
    """Seconds of the first call and the median of the others, in turns."""
    times = {name: [] for name in functions}
    for _ in range(num_rounds + 1):
        for name, f in functions.items():
            start = time.perf_counter()
            f()
            times[name].append(time.perf_counter() - start)
    return {name: (first, statistics.median(rest)) for name, (first, *rest) in times.items()}


def run(num_rounds, num_for_dit):
    rng = np.random.default_rng(0)
    inputs = {
        "4096 joints of 64x16, 8 codes": (random_joint(rng, 4096, 64, 16), rng.integers(0, 8, (4096, 64)), 8),
        "one joint of 65536x4, 4096 codes": (random_joint(rng, 2**16, 4), rng.integers(0, 2**12, 2**16), 2**12),
    }
    rows = []
    for title, (joint, codes, num_codes) in inputs.items():
        functions = contenders(joint, codes, num_codes)
        seconds = measured(functions, num_rounds)
        if joint.ndim == 3 and importlib.util.find_spec("dit"):
            # dit takes one joint at a time: some are measured, and the time is scaled to all. Making its distribution
            # from the array takes far longer than measuring it, so that is told apart.
            making, measuring = dit_seconds(joint[:num_for_dit])
            seconds["mutual information", "dit"] = (None, measuring * len(joint))
            seconds["mutual information", "dit, from the array"] = (None, (making + measuring) * len(joint))
        read = seconds["read the array once", "jit(sum)"][1]
        for (quantity, tool), (first, median) in seconds.items():
            ours = seconds.get((quantity, "isjax"), (None, median))[1]
            row = {"input": title, "quantity": quantity, "tool": tool, "median_ms": median * 1e3}
            row |= {"first_call_ms": first and first * 1e3, "over_isjax": median / ours, "over_one_read": median / read}
            rows.append(row)
    return rows


def machine():
    names = ["isjax", "jax", "jaxlib", "numpy", "dit"]
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def _processor():
    info = pathlib.Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return models[0] if models else platform.processor()


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks measures", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="how often each contender runs")
    parser.add_argument("--dit", type=int, default=200, help="how many of the joints dit is given")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    rows, about = run(options.rounds, options.dit), machine()
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    for title in dict.fromkeys(row["input"] for row in rows):
        print(f"\n{title:50s}{'ms':>10s}{'first call':>12s}{'÷ isjax':>10s}{'÷ one read':>12s}")
        for row in rows:
            if row["input"] == title:
                first = f"{row['first_call_ms']:.0f}" if row["first_call_ms"] else ""
                name = f"{row['quantity']}: {row['tool']}"
                print(
                    f"{name:50s}{row['median_ms']:10.2f}{first:>12s}{row['over_isjax']:10.1f}"
                    f"{row['over_one_read']:12.1f}"
                )
    if options.output:
        options.output.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    return 0
