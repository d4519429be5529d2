"""Coverage of the interval of a rise in held-out cross-entropy, simulated on controlled sources.

Nominal 95 %, five folds, two seeds, one hidden layer of 32 units, Adam, two learning rates. The truth is the mean rise
over the simulated samples: what learners of so many rows lose on average. For one seed, the first of the two.
"""

import argparse
import pathlib

import jax
import numpy as np
import optax

import isjax
from benchmarks._report import machine, print_machine, print_table, write_figures

SPEC = isjax.SweepSpec(
    hidden=((32,),),
    lengths=(float("inf"),),
    learning_rates=(0.003, 0.01),
    num_seeds=2,
    num_steps=1000,
    optimizer=optax.adam,
)


def sources():
    options = {"num_classes": 4, "discrimination": 0.8}
    return {
        "sparse, 64 symbols": isjax.sparse_source(jax.random.key(0), num_inputs=6, num_relevant=2, **options),
        "robust, 128 symbols": isjax.robust_source(jax.random.key(1), **options),
    }


def samples_of(source, key, num_rows):
    """Encoders of one sample of a source: X, a sufficient and a biased code, and X with other signs and order."""
    x, y = map(np.asarray, isjax.sample(key, source.joint, num_rows))

    def seen(encoder):
        problem = jax.device_get(source.problem(encoder))
        return problem.features[problem.codes[x]]

    raw = seen("identity")
    features = {"X": raw, "sufficient": seen("sufficient"), "biased": seen("biased"), "relabelled": -raw[:, ::-1]}
    return {name: isjax.Sample(values, y) for name, values in features.items()}


def simulate(source, num_rows, num_samples):
    """Rises over X and half-widths of their intervals, [number of seeds, sample, encoder]."""
    found = []
    for i in range(num_samples):
        key_sample, key = jax.random.split(jax.random.key(1000 * num_rows + i))
        result = isjax.cross_validate(key, samples_of(source, key_sample, num_rows), SPEC)
        one = type(result)(**{**vars(result), "row_loss": result.row_loss[:, :, :, :1]})
        rises = [jax.device_get(each.rise("X")) for each in (one, result)]
        found.append([(rise.estimate[1:, 0, 0], (rise.high - rise.low)[1:, 0, 0] / 2) for rise in rises])
    return np.array(found).transpose(1, 2, 0, 3)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks rises", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=(300, 1000, 3000))
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args(arguments)
    isjax.configure_cpu()
    about = machine()
    print_machine(about)

    def rows():
        for name, source in sources().items():
            for num_rows in options.rows:
                by_seeds = simulate(source, num_rows, options.samples)
                for j, encoder in enumerate(("sufficient", "biased", "relabelled")):
                    row = {"what": f"{name}, {encoder}, n={num_rows}"}
                    for seeds, (estimates, widths) in zip((1, 2), by_seeds, strict=True):
                        error = estimates[:, j] - estimates[:, j].mean()
                        row |= {
                            f"covers, {seeds}": float(np.mean(np.abs(error) <= widths[:, j])),
                            f"width, {seeds}": float(2 * widths[:, j].mean()),
                            "rise": float(estimates[:, j].mean()),
                        }
                    yield row

    columns = {f"{options.samples} samples, nominal 95 %": ("what", "s"), "mean rise": ("rise", ".4f")}
    for seeds in (1, 2):
        columns |= {
            f"covers, {seeds} seeds": (f"covers, {seeds}", ".1%"),
            f"width, {seeds}": (f"width, {seeds}", ".4f"),
        }
    write_figures(options.output, about, rises=print_table(rows(), columns))
    return 0
