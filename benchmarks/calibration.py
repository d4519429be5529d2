"""Size and power of the test of sufficiency, and coverage of the bootstrap's intervals, by simulation.

X is uniform, its code is x mod |U|, and p(y|x) ∝ exp(a(u,y) + ε b(x,y)) with normal a and b, where ε makes the loss
what the table says; zero at the null. At nominal 5 %, and 95 %.
"""

import argparse
import functools
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax
from benchmarks._report import machine, print_machine, print_table, write_figures
from isjax.estimation._cells import occupied_cells, smallest_expected_count

SHAPES = ((2, 2, 1), (4, 2, 2), (8, 4, 3), (16, 4, 4), (32, 8, 4), (64, 8, 4))


def model(seed, shape, loss):
    """A joint ``[x, y]`` and codes ``[x]`` that lose so many nats."""
    num_x, num_y, num_u = shape
    rng = np.random.default_rng(seed)
    codes = np.arange(num_x) % num_u
    of_code, of_x = rng.normal(size=(num_u, num_y))[codes], rng.normal(size=(num_x, num_y))

    def joint(strength):
        mass = np.exp(of_code + strength * of_x)
        return mass / mass.sum(1, keepdims=True) / num_x

    def loss_of(joint):
        p_uy = np.stack([joint[codes == u].sum(0) for u in range(num_u)])
        return np.sum(joint * np.log(joint * num_x / (p_uy / p_uy.sum(1, keepdims=True))[codes]))

    low, high = 0.0, 1.0
    while loss_of(joint(high)) < loss:
        low, high = high, 2 * high
        if high > 64:
            raise ValueError(f"no strength loses {loss} nats at shape {shape}, seed {seed}")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_of(joint(middle)) < loss else (low, middle)
    return jnp.asarray(joint(low if loss else 0.0), jnp.float32), jnp.asarray(codes)


@functools.partial(jax.jit, static_argnames=("shape", "num_samples", "num_permutations", "num_tests"))
def tests(key, joint, codes, *, shape, num_samples, num_permutations, num_tests):
    """So many tests, each of a new sample, and the smallest expected count in each."""

    def one(key):
        of_sample, of_test = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, num_samples)
        u = codes[x]
        smallest = smallest_expected_count(occupied_cells(x, y, u, shape))
        result = isjax.sufficiency_test(of_test, x, y, u, shape=shape, num_permutations=num_permutations)
        return result.p_value, result.permutation_p_value, smallest

    chunks = jax.random.split(key, num_tests).reshape(-1, 8)
    return jax.tree.map(jnp.ravel, jax.lax.map(jax.vmap(one), chunks))


@functools.partial(jax.jit, static_argnames=("shape", "num_samples", "num_resamples", "num_intervals"))
def intervals(key, joint, codes, *, shape, num_samples, num_resamples, num_intervals):
    """So many intervals of the plug-in loss, each from a new sample."""

    def one(key):
        of_sample, of_interval = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, num_samples)
        loss = functools.partial(_loss, shape=shape)
        return isjax.bootstrap(of_interval, loss, (x, y, codes[x]), num_resamples=num_resamples)

    return jax.lax.map(one, jax.random.split(key, num_intervals))


def _loss(sample, shape):
    return isjax.estimate_information_loss(*sample, shape=shape, method="plug_in")


def size_and_power(options):
    for shape in SHAPES[: options.num_shapes]:
        for num_samples in options.samples:
            for loss in (0.0, 0.01, 0.03, 0.1):
                joint, codes = model(0, shape, loss)
                sizes = {"shape": shape, "num_samples": num_samples}
                limit, exact, smallest = tests(
                    jax.random.key(1),
                    joint,
                    codes,
                    **sizes,
                    num_permutations=options.permutations,
                    num_tests=options.tests,
                )
                row = {**sizes, "loss": loss, "smallest_expected": float(jnp.median(smallest))}
                yield row | {"chi2": float(jnp.mean(limit < 0.05)), "permutation": float(jnp.mean(exact < 0.05))}


def coverage(options):
    for shape in SHAPES[: options.num_shapes]:
        for num_samples in options.samples:
            for loss in (0.0, 0.003, 0.01, 0.03, 0.1):
                joint, codes = model(0, shape, loss)
                sizes = {"shape": shape, "num_samples": num_samples}
                found = intervals(
                    jax.random.key(2),
                    joint,
                    codes,
                    **sizes,
                    num_resamples=options.resamples,
                    num_intervals=options.intervals,
                )
                row = {**sizes, "loss": loss, "mean_estimate": float(jnp.mean(found.estimate))}
                covered = (found.low <= loss) & (loss <= found.high)
                row |= {"covered": float(jnp.mean(covered)), "above": float(jnp.mean(found.low > loss))}
                yield row | {"width": float(jnp.mean(found.high - found.low))}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibration", description=__doc__)
    parser.add_argument("--tests", type=int, default=2000, help="simulated tests, a multiple of 8; 0 for none")
    parser.add_argument("--permutations", type=int, default=399)
    parser.add_argument("--intervals", type=int, default=1000, help="simulated intervals; 0 for none")
    parser.add_argument("--resamples", type=int, default=199)
    parser.add_argument("--samples", type=int, nargs="+", default=[300, 1000], help="sample sizes")
    parser.add_argument("--num-shapes", type=int, default=len(SHAPES), help="how many of the alphabets")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about, tables = machine(), {}
    print_machine(about)
    common = {"n": ("num_samples", "d"), "loss": ("loss", ".4g")}
    rejections = {
        "smallest expected": ("smallest_expected", ".2g"),
        "chi2": ("chi2", ".3f"),
        "permuted": ("permutation", ".3f"),
    }
    covering = {name: (name, ".3f") for name in ("mean_estimate", "covered", "above", "width")}
    simulations = [("rejected at nominal 5 %", size_and_power, options.tests, rejections)]
    simulations += [("covered at nominal 95 %", coverage, options.intervals, covering)]
    for name, simulate, num, columns in simulations:
        if num:
            start = time.perf_counter()
            tables[name] = print_table(simulate(options), {name: ("shape", ""), **common, **columns})
            print(f"{time.perf_counter() - start:.0f} s")
    write_figures(options.output, about, **tables)
    return 0
