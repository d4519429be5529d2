"""Learning curves where batches are fixed once, and where each is drawn with replacement: the same, within the seeds.

X itself of a sparse source (ten binary inputs, three of which matter), an MLP of 32 hidden units, batches of 32, a
constant learning rate. Curves are means over seeds, bands two standard errors of the mean.
"""

import argparse
import pathlib

import jax
import numpy as np

import isjax
from benchmarks._report import machine, print_machine, print_table, save_figure, write_figures

SAMPLINGS = ("fixed", "replacement")


def curves(lengths, num_seeds, num_steps, num_evals):
    """Steps ``[evaluation]``, and excess risk ``[length, seed, evaluation]`` of each way to sample."""
    options = {"num_inputs": 10, "num_relevant": 3, "num_classes": 4, "discrimination": 0.8}
    problem = isjax.sparse_source(jax.random.key(0), **options).problem("identity")
    steps, risk = None, {}
    for sampling in SAMPLINGS:
        spec = isjax.SweepSpec(
            hidden=((32,),),
            lengths=lengths,
            num_seeds=num_seeds,
            num_steps=num_steps,
            num_evals=num_evals,
            sampling=sampling,
        )
        result = isjax.sweep(jax.random.key(1), [problem], spec)
        steps, risk[sampling] = np.asarray(result.steps)[0, 0, 0, 0, 0, 0], np.asarray(result.excess_risk)[0, 0, 0, 0]
    return steps, risk


def compared(lengths, risk):
    """For each length the least excess risk along a run, of both, and their paired difference in standard errors."""
    for i, n in enumerate(lengths):
        least = {sampling: risk[sampling][i].min(-1) for sampling in SAMPLINGS}
        difference = least["replacement"] - least["fixed"]
        error = difference.std(ddof=1) / len(difference) ** 0.5
        yield (
            {"length": f"n = {n}"}
            | {sampling: float(least[sampling].mean()) for sampling in SAMPLINGS}
            | {"difference": float(difference.mean()), "standard_error": float(error)}
        )


def draw(lengths, steps, risk, axes):
    for i, (axis, n) in enumerate(zip(axes, lengths, strict=True)):
        for sampling, label in zip(SAMPLINGS, ("batches fixed once", "drawn with replacement"), strict=True):
            mean = risk[sampling][i].mean(0)
            error = 2 * risk[sampling][i].std(0, ddof=1) / risk[sampling].shape[1] ** 0.5
            axis.plot(steps, mean, label=label)
            axis.fill_between(steps, mean - error, mean + error, alpha=0.2, linewidth=0)
        axis.set(xscale="log", yscale="log", xlabel="step", title=f"n = {n}")
    axes[0].set_ylabel("excess risk (nats)")


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks sampling", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 512, 4096])
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--evals", type=int, default=32)
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures: FILE.json, and FILE.png")
    options = parser.parse_args(arguments)
    isjax.configure_cpu()
    about = machine()
    print_machine(about)
    steps, risk = curves(options.lengths, options.seeds, options.steps, options.evals)
    columns = {"": ("length", ""), "fixed": ("fixed", ".4f"), "replacement": ("replacement", ".4f")}
    columns |= {"difference": ("difference", ".4f"), "± standard error": ("standard_error", ".4f")}
    rows = print_table(compared(options.lengths, risk), columns)
    write_figures(options.output, about, rows=rows)
    save_figure(
        options.output, lambda axes: draw(options.lengths, steps, risk, axes), panels=len(options.lengths), share_y=True
    )
    return 0
