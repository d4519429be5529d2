"""The measures of isjax beside numpy, plain JAX, dit, one read of the array, and one pass of logarithms.

Two inputs, float32: 4096 joints of 64×16 with 8 codes, and one joint of 2^16×4 with 2^12 codes. The contenders of an
input alternate; times are medians, and the first call, which compiles, is reported separately. CPU time is the least
over all rounds: it varies less on a busy machine. A pass of logarithms is the sum of the logarithms of all cells; a
measure is told in passes for each logarithm that its formula has in a cell.
"""

import argparse
import functools
import importlib.util
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax
from benchmarks._report import Seconds, in_turns, machine, print_machine, print_table, write_figures


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
    """Seconds per joint that dit takes to construct its distribution, and to measure it."""
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
    """Functions without arguments, by quantity and tool. JAX's arrays are on the device beforehand."""
    device_joint, device_codes = jnp.asarray(joint), jnp.asarray(codes)

    def jitted(f, *args, **static):
        program = jax.jit(functools.partial(f, **static))
        return lambda: jax.block_until_ready(program(*args))

    found = {
        READ: jitted(jnp.sum, device_joint),
        LOG: jitted(lambda joint: jnp.sum(jnp.log(joint)), device_joint),
        ("mutual information", "numpy"): lambda: numpy_information(joint),
        ("mutual information", "plain JAX"): jitted(plain_information, device_joint),
        ("loss", "numpy"): lambda: numpy_loss(joint, codes, num_codes),
        ("loss", "plain JAX"): jitted(plain_loss, device_joint, device_codes, num_codes=num_codes),
    }
    rows = device_joint / device_joint.sum(axis=-1, keepdims=True)
    others = jnp.roll(rows, 1, axis=-2)
    loss = functools.partial(isjax.mutual_information_loss, num_codes=num_codes)
    ours = {
        "entropy": (isjax.entropy, rows),
        "conditional entropy": (isjax.conditional_entropy, device_joint),
        "mutual information": (isjax.mutual_information, device_joint),
        "loss": (loss, device_joint, device_codes),
        "Kullback-Leibler": (isjax.kl_divergence, rows, others),
        "Jensen-Shannon": (isjax.jensen_shannon_divergence, rows, others),
    }
    for name, (measure, *given) in ours.items():
        total = functools.partial(_total, measure)
        found[name, "isjax"] = jitted(measure, *given)
        found[f"{name}, gradient", "isjax"] = jitted(jax.grad(total), *given)
        found[f"{name}, value and gradient", "isjax"] = jitted(jax.value_and_grad(total), *given)
    return found


def _total(measure, *given):
    return jnp.sum(measure(*given))


READ, LOG = ("read the array once", "jit(sum)"), ("one logarithm of each cell", "jit(sum of logarithms)")
LOGARITHMS = {"Jensen-Shannon": 2}  # in a cell, where it is not one


def cpu_seconds(function, rounds):
    """Least CPU time of a call, of all threads."""
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        function()
        least = min(least, time.process_time() - start)
    return least


def run(num_rounds, num_for_dit):
    rng = np.random.default_rng(0)
    inputs = {
        "4096 joints of 64x16, 8 codes": (random_joint(rng, 4096, 64, 16), rng.integers(0, 8, (4096, 64)), 8),
        "one joint of 65536x4, 4096 codes": (random_joint(rng, 2**16, 4), rng.integers(0, 2**12, 2**16), 2**12),
    }
    rows = []
    for title, (joint, codes, num_codes) in inputs.items():
        functions = contenders(joint, codes, num_codes)
        seconds = in_turns(functions, num_rounds)
        cpu = {key: cpu_seconds(f, num_rounds) for key, f in functions.items() if key[1] in ("isjax", LOG[1])}
        if joint.ndim == 3 and importlib.util.find_spec("dit"):
            # dit takes one joint at a time: some are measured and the time is scaled to all. Constructing its
            # distribution from the array takes far longer than measuring it, so the two are reported separately.
            making, measuring = dit_seconds(joint[:num_for_dit])
            seconds["mutual information", "dit"] = Seconds(None, measuring * len(joint))
            seconds["mutual information", "dit, from the array"] = Seconds(None, (making + measuring) * len(joint))
        read, log = seconds[READ].median, seconds[LOG].median
        for (quantity, tool), (first, median) in seconds.items():
            ours = seconds.get((quantity, "isjax"), (None, median))[1]
            row = {"input": title, "quantity": quantity, "tool": tool, "median_ms": median * 1e3}
            row |= {"first_call_ms": first and first * 1e3, "over_isjax": median / ours, "over_one_read": median / read}
            if (quantity, tool) in cpu:
                count = LOGARITHMS.get(quantity.split(",")[0], 1)
                row["over_one_log"] = median / log / count
                row["cpu_over_one_log"] = cpu[quantity, tool] / cpu[LOG] / count
            rows.append(row)
    return rows


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks measures", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="how many times each contender runs")
    parser.add_argument("--dit", type=int, default=200, help="on how many of the joints dit runs")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    rows, about = run(options.rounds, options.dit), machine("dit")
    print_machine(about)
    for title in dict.fromkeys(row["input"] for row in rows):
        columns = {
            title: ("what", ""),
            "ms": ("median_ms", ".2f"),
            "first call": ("first_call_ms", ".0f"),
            "÷ isjax": ("over_isjax", ".1f"),
            "÷ one read": ("over_one_read", ".1f"),
            "÷ one log": ("over_one_log", ".1f"),
            "CPU ÷ one log": ("cpu_over_one_log", ".1f"),
        }
        named = ({"what": f"{row['quantity']}: {row['tool']}", **row} for row in rows if row["input"] == title)
        print_table(named, columns)
    write_figures(options.output, about, rows=rows)
    return 0
