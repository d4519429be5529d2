"""Size and power of the test of sufficiency; coverage, width, bias and error of intervals and estimates, by simulation.

X is uniform, or p(x) ∝ 1/x, its code is x mod |U|, and p(y|x) ∝ exp(a(u,y) + ε b(x,y)) with normal a and b, where ε
makes the loss what the table says; zero at the null. At nominal 5 %, and 95 %.
"""

import argparse
import functools
import importlib
import importlib.util
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax
from benchmarks._report import machine, print_machine, print_table, write_figures
from isjax.estimation._cells import occupied_cells, smallest_expected_count
from isjax.estimation._estimates import jackknife_loss
from isjax.estimation.estimators import METHODS

SHAPES = ((2, 2, 1), (4, 2, 2), (8, 4, 3), (16, 4, 4), (32, 8, 4), (64, 8, 4))


SETTINGS = (
    ((2, 2, 1), 100),
    ((4, 2, 2), 100),
    ((4, 2, 2), 300),
    ((8, 4, 3), 300),
    ((16, 2, 2), 100),
    ((16, 4, 4), 300),
    ((32, 4, 4), 300),
    ((32, 8, 4), 300),
    ((32, 8, 4), 1000),
    ((64, 2, 1), 200),
    ((100, 3, 1), 300),
    ((160, 2, 4), 1000),
    ((256, 4, 16), 1000),
    ((256, 4, 16), 3190),
)
"""Alphabets and sample sizes of the comparison of estimators."""

LOSSES = (0.0, 0.01, 0.03, 0.1, 0.3)


def model(seed, shape, loss, tail="uniform"):
    """A joint ``[x, y]`` and codes ``[x]`` that lose so many nats."""
    num_x, num_y, num_u = shape
    rng = np.random.default_rng(seed)
    codes = np.arange(num_x) % num_u
    of_code, of_x = rng.normal(size=(num_u, num_y))[codes], rng.normal(size=(num_x, num_y))

    p_x = 1 / np.arange(1, num_x + 1) if tail == "heavy" else np.ones(num_x)
    p_x = p_x / p_x.sum()

    def joint(strength):
        mass = np.exp(of_code + strength * of_x)
        return mass / mass.sum(1, keepdims=True) * p_x[:, None]

    def loss_of(joint):
        return np.sum(joint * log_ratios(joint, codes))

    low, high = 0.0, 1.0
    while loss_of(joint(high)) < loss:
        low, high = high, 2 * high
        if high > 64:
            raise ValueError(f"no strength loses {loss} nats at shape {shape}, seed {seed}")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_of(joint(middle)) < loss else (low, middle)
    return jnp.asarray(joint(low if loss else 0.0), jnp.float32), jnp.asarray(codes)


def log_ratios(joint, codes):
    """The logarithm of p(y|x) / p(y|u), whose mean is the loss; zero where (x, y) has no mass."""
    p_uy = np.stack([joint[codes == u].sum(0) for u in range(codes.max() + 1)])
    ratio = joint / joint.sum(1, keepdims=True) / (p_uy / p_uy.sum(1, keepdims=True))[codes]
    return np.log(np.where(joint > 0, ratio, 1))


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


@functools.partial(jax.jit, static_argnames=("shape", "num_samples", "num_draws", "num_intervals"))
def _inversions(key, joint, codes, *, shape, num_samples, num_draws, num_intervals):
    """So many samples, their intervals by inversion and by the jackknife, and the estimates of each method."""

    def one(key):
        of_sample, of_interval = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, num_samples)
        u = codes[x]
        inverted = isjax.loss_interval(of_interval, x, y, u, shape=shape, num_draws=num_draws)
        jackknife, error = jackknife_loss(occupied_cells(x, y, u, shape))
        error = 1.96 * error
        jackknife = isjax.Interval(jackknife, jackknife - error, jackknife + error)
        corrected = {m: isjax.estimate_information_loss(x, y, u, shape=shape, method=m) for m in METHODS}
        return (x, y), {"inversion": inverted, "jackknife": jackknife}, corrected

    return jax.lax.map(one, jax.random.split(key, num_intervals))


def _bootstrap(rng, counts, codes, num_resamples):
    """Limits ``isjax.bootstrap`` gives for counts ``[x, y]``: of a table, which is faster than of its samples."""
    num_samples, of_code = counts.sum(), np.eye(codes.max() + 1)[codes]
    drawn = rng.multinomial(num_samples, counts.ravel() / num_samples, num_resamples).reshape(-1, *counts.shape)
    losses = _plug_in(np.concatenate([counts[None], drawn]), of_code)
    estimate, width = 2 * losses[0] - losses[1:].mean(), 1.96 * losses[1:].std(ddof=1)
    return estimate, estimate - width, estimate + width


def _plug_in(counts, of_code):
    """Plug-in losses of counts ``[..., x, y]``; codes are one-hot ``[x, u]``."""
    of_code = np.einsum("...xy,xu->...uy", counts, of_code)
    parts = (counts, counts.sum(-1), of_code, of_code.sum(-1))
    cells, of_x, of_uy, of_u = (xlogx(part).reshape(len(counts), -1).sum(-1) for part in parts)
    return (cells - of_x - of_uy + of_u) / counts[0].sum()


def xlogx(counts):
    return counts * np.log(np.maximum(counts, 1))


def _infomeasure(x, y, codes):
    """Estimates of ``infomeasure``, if it is installed: its own corrections of conditional mutual information."""
    if importlib.util.find_spec("infomeasure") is None:
        return {}
    infomeasure = importlib.import_module("infomeasure")

    def estimates(method):
        return np.array([
            infomeasure.conditional_mutual_information(a, b, cond=codes[a], approach=method)
            for a, b in zip(x, y, strict=True)
        ])  # fmt: skip

    return {f"infomeasure's {method}": estimates(method) for method in ("miller_madow", "grassberger", "chao_shen")}


def known_error(joint, codes, num_samples):
    """Standard error of the mean of log p(y|x) / p(y|u) over samples, the estimate of somebody who knows p.

    With many samples, an estimate without bias that has to find p too cannot have less.
    """
    joint = np.asarray(joint, np.float64)
    log_ratio = log_ratios(joint, np.asarray(codes))
    variance = np.sum(joint * log_ratio**2) - np.sum(joint * log_ratio) ** 2
    return float(np.sqrt(max(variance, 0.0) / num_samples))


def comparison(options):
    """For each setting, tail and loss: each estimator's bias, error, and its interval's coverage and width."""
    for shape, num_samples in SETTINGS[: options.num_settings]:
        for tail in ("uniform", "heavy"):
            for loss in LOSSES:
                joint, codes = model(0, shape, loss, tail)
                sizes = {"shape": shape, "num_samples": num_samples, "num_intervals": options.compared}
                found = _inversions(jax.random.key(3), joint, codes, **sizes, num_draws=options.resamples)
                (x, y), intervals, corrected = jax.tree.map(np.asarray, jax.device_get(found))
                counts = np.zeros((len(x), *shape[:2]), int)
                np.add.at(counts, (np.arange(len(x))[:, None], x, y), 1)
                rng = np.random.default_rng(4)
                resampled = np.transpose([_bootstrap(rng, c, np.asarray(codes), options.resamples) for c in counts])
                estimates = {"inversion": intervals["inversion"].estimate, "bootstrap": resampled[0], **corrected}
                estimates |= _infomeasure(x[: options.peers], y[: options.peers], np.asarray(codes))
                intervals["bootstrap"] = isjax.Interval(*resampled)
                occupied = {"occupied": float((counts.sum(-1) > 0).sum(-1).mean())}
                setting = {"shape": shape, "num_samples": num_samples, "tail": tail, "loss": loss}
                for name, values in estimates.items():
                    errors = values - loss
                    row = setting | {"estimator": name, "bias": float(errors.mean())}
                    row |= {"error": float(np.sqrt((errors**2).mean()))} | occupied
                    if name in intervals:
                        _, low, high = intervals[name]
                        row |= {"covered": float(np.mean((low <= loss) & (loss <= high)))}
                        row |= {"above": float(np.mean(low > loss)), "width": float(np.mean(high - low))}
                    yield row
                error = known_error(joint, codes, num_samples)
                yield setting | {"estimator": "known", "bias": 0.0, "error": error} | occupied


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibration", description=__doc__)
    parser.add_argument("--tests", type=int, default=2000, help="simulated tests, a multiple of 8; 0 for none")
    parser.add_argument("--permutations", type=int, default=399)
    parser.add_argument("--intervals", type=int, default=1000, help="simulated intervals; 0 for none")
    parser.add_argument("--resamples", type=int, default=199)
    parser.add_argument("--compared", type=int, default=400, help="samples of the comparison; 0 for none")
    parser.add_argument("--num-settings", type=int, default=len(SETTINGS), help="how many of its settings")
    parser.add_argument("--peers", type=int, default=50, help="samples that peers, if installed, are given")
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
    comparing = {
        "tail": ("tail", ""),
        "estimator": ("estimator", ""),
        "bias": ("bias", "+.4f"),
        "rmse": ("error", ".4f"),
    }
    comparing |= {name: (name, ".3f") for name in ("covered", "above", "width")}
    simulations += [("estimators and intervals, nominal 95 %", comparison, options.compared, comparing)]
    for name, simulate, num, columns in simulations:
        if num:
            start = time.perf_counter()
            tables[name] = print_table(simulate(options), {name: ("shape", ""), **common, **columns})
            print(f"{time.perf_counter() - start:.0f} s")
    write_figures(options.output, about, **tables)
    return 0
