"""Does a learner of a code lose as much more as the encoder does, on real data, and do learned codes lose against X?

The least cross-entropy of a classifier that sees U instead of X is higher by I(X;Y|U) (arXiv:2405.20452, Theorem 4).
The data are scikit-learn's digits and two smaller tables. A third of the rows is used to learn cells, encoders and a
network; the others are cross-validated, and the rise is the held-out cross-entropy on U minus that on X, row by row.
First X is one of a few k-means cells, and encoders merge cells: the loss is estimated by counting, and networks that
see X or its code are compared. Loss and rise agree if one lies in the 95 % interval of the other. Then X is the
features themselves. They are compared with a binning, principal components, random features and layers of the trained
network; and a direct network of X with encoder-decoders, which learn 64 codes and a distribution of Y for each.
A network of X has more parameters to learn than one of U and has a larger estimation error, which is no loss of the
encoder: rises are slightly below losses. The nulls are a code that relabels the cells and the features in another
order, which lose nothing; and a shuffled Y, of which nothing can be lost.

    pip install scikit-learn
    python examples/digits.py [digits.png]
"""

import dataclasses
import functools
import math
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn import datasets
from sklearn.cluster import KMeans

import isjax

SIZES = {"digits": (12, 3), "breast_cancer": (6, 2), "iris": (6, 2)}  # cells of X, units of a layer
SPEC = isjax.SweepSpec(
    hidden=((32,),),
    optimizer=optax.adam,
    learning_rates=(0.01,),
    lengths=(math.inf,),
    num_steps=1000,
    num_seeds=2,
)


@functools.partial(jax.jit, static_argnames=("network", "num_steps"))
def trained(key, network, x, y, *, num_steps=400):
    """Parameters of a network after training on these rows."""
    optimizer = optax.adam(0.01)

    def risk(params):
        return optax.softmax_cross_entropy_with_integer_labels(network.apply(params, x), y).mean()

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(risk)(params), state)
        return (optax.apply_updates(params, updates), state), None

    params = network.init(key, x)
    return jax.lax.scan(step, (params, optimizer.init(params)), length=num_steps)[0][0]


def k_means(points, num_codes):
    return KMeans(num_codes, n_init=10, random_state=0).fit(points)  # pyright: ignore[reportArgumentType]


def encoders_of(rng, features, y, num_cells, num_units):
    """What is learned from rows: a function from rows to cells, codes of the cells, and functions of the features."""
    cells = k_means(features, num_cells)
    centres, half, third = cells.cluster_centers_, num_cells // 2, num_cells // 3
    joint = isjax.empirical_joint(np.asarray(cells.labels_), y, shape=(num_cells, int(y.max()) + 1))
    network = isjax.MLP((16, num_units), joint.shape[1], "tanh")
    params = trained(jax.random.key(0), network, features, y)
    middle, num_features = np.median(features, axis=0), features.shape[1]
    directions = np.linalg.svd(features - features.mean(0), full_matrices=False)[2][:num_units].T
    order, weights = rng.permutation(num_features), rng.normal(size=(num_features, 16))

    def layers(rows):
        return [np.asarray(layer) for layer in network.apply(params, jnp.asarray(rows), method="activations")]

    codes = {
        "X relabelled": rng.permutation(num_cells),
        "bins of the mean feature": centres.mean(1).argsort().argsort() * third // num_cells,
        "k-means of half of the features": k_means(centres[:, : num_features // 2], half).labels_,
        "k-means": k_means(centres, half).labels_,
        "KL-means": isjax.kl_means_quantizer(jax.random.key(0), joint, num_codes=half).codes,
        "signs of the second layer": (layers(centres)[1] > 0) @ 2 ** np.arange(num_units),
        "random codes": rng.integers(half, size=num_cells),
        "constant": np.zeros(num_cells, int),
    }
    functions = {
        "features": lambda rows: rows,
        "features in another order": lambda rows: rows[:, order],
        "two bins of each feature": lambda rows: rows > middle,
        "principal components": lambda rows: rows @ directions,
        "16 random features": lambda rows: np.tanh(rows @ weights),
        "first layer, 16 units": lambda rows: layers(rows)[0],
        "second layer": lambda rows: layers(rows)[1],
        "cells": lambda rows: np.eye(num_cells)[cells.predict(rows)],
    }
    return cells.predict, codes, functions


def compare(features, y, num_cells, num_units, *, spec=SPEC, num_resamples=199):
    """Loss and rise of every encoder on the rows that were not used to learn it."""
    rng, num_classes = np.random.default_rng(0), int(y.max()) + 1
    learn, rest = np.split(rng.permutation(len(y)), [len(y) // 3])
    low, high = features[learn].min(0), features[learn].max(0)
    features = ((features - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    cell_of, encoders, functions = encoders_of(rng, features[learn], y[learn], num_cells, num_units)
    features, y = features[rest], y[rest]

    columns = {name: np.asarray(codes)[cell_of(features)] for name, codes in encoders.items()}
    counted = {"Y": y, "X": cell_of(features)} | columns
    of_counts = isjax.data.MeasureSpec(
        target="Y", inputs=("X",), encoders=tuple(columns), num_resamples=num_resamples, num_permutations=1
    )
    measured = isjax.data.measure(jax.random.key(0), counted, of_counts)

    # The same key gives the same folds and rows to learn from: all comparisons are paired. Columns of zeros change no
    # number, and with similar widths all samples share one program.
    views = {name: function(features) for name, function in functions.items()}
    views |= {name: np.eye(num_cells)[codes] for name, codes in columns.items()}
    width = max(view.shape[1] for view in views.values()) // 4
    padded = {name: np.pad(view, ((0, 0), (0, max(width - view.shape[1], 0)))) for name, view in views.items()}
    samples = {
        name: isjax.Sample(view.astype(np.float32), y)  # pyright: ignore[reportArgumentType]
        for name, view in padded.items()
    }
    networks = {
        f"encoder-decoder, {num_codes} {kind} codes": isjax.EncoderDecoder((32,), num_codes, num_classes, (), kind)
        for num_codes, kind in ((64, "soft"), (64, "hard"))
    }
    of_codes = dataclasses.replace(spec, hidden=(), networks=networks)
    direct = isjax.cross_validate(jax.random.key(1), samples, spec)
    learned = isjax.cross_validate(jax.random.key(1), {"features": samples["features"]}, of_codes)
    # A learner and what it sees are both rows of one comparison.
    parts = "row_loss", "row_accuracy", "validation_loss", "learning_rate", "batch_size", "step"
    joined = {part: jnp.concatenate([getattr(direct, part), getattr(learned, part).swapaxes(0, 1)]) for part in parts}
    found = dataclasses.replace(direct, samples=direct.samples + learned.networks, **joined)

    def rise(reference):
        return dict(zip(found.samples, np.stack(found.rise(reference), 1)[:, :, 0, 0], strict=True))

    kept_and_lost = [each.information.plug_in + each.loss.plug_in for each in measured.encoders]
    return {
        "rows": len(y),
        "classes": num_classes,
        "H(Y)": float(found.target_entropy),
        "I(X;Y)": measured.information.corrected,
        "risk": dict(zip(found.samples, np.asarray(found.risk).mean((1, 2, 3)), strict=True)),
        "loss": {each.column: np.array([each.loss.corrected, each.low, each.high]) for each in measured.encoders},
        "rise over the cells": {name: each for name, each in rise("cells").items() if name in encoders},
        "rise over the features": {name: each for name, each in rise("features").items() if name not in encoders},
        "identity, largest gap": float(np.abs(np.array(kept_and_lost) - measured.information.plug_in).max()),
    }


def agree(loss, rise, *, slack=1e-5):
    """Whether one is in the interval of the other, up to rounding: for a relabelling both are near zero."""
    return any(low - slack <= value <= high + slack for (value, *_), (_, low, high) in ((loss, rise), (rise, loss)))


def main(path, *, sizes=SIZES, **options):
    found = {}
    for table, size in sizes.items():
        features, y = getattr(datasets, f"load_{table}")(return_X_y=True)
        found[table] = compare(features, y, *size, **options)
        show(table, found[table])
        if "null" not in found:
            found["null"] = compare(features, np.random.default_rng(0).permutation(y), *size, **options)
            show(f"null, {table} with Y shuffled", found["null"])
    draw(path, found)
    return found


def show(table, found):
    print("{}: {rows} rows, {classes} classes, H(Y) = {H(Y):.3f}, I(X;Y) = {I(X;Y):.3f} nats".format(table, **found))
    print(f"{'':34}held out{'rise':>26}{'loss by counting':>30}")
    for over in ("rise over the features", "rise over the cells"):
        print(f"{over}:")
        for name in found[over]:
            columns = [each[name] for each in (found[over], found["loss"]) if name in each]
            cells = ["{:8.3f} ({:6.3f} to {:6.3f})".format(*(each.round(3) + 0.0)) for each in columns]
            verdict = ("agree" if agree(*columns) else "differ") if name in found["loss"] else ""
            print(f"  {name:32}{found['risk'][name]:8.3f}  {'    '.join([*cells, verdict])}")
    difference = np.mean([found["rise over the cells"][name][0] - loss[0] for name, loss in found["loss"].items()])
    print(f"mean rise − loss: {difference:.3f}")
    print(f"largest |I(X;Y) − I(U;Y) − I(X;Y|U)| of the plug-ins: {found['identity, largest gap']:.1e}\n")


def draw(path, found):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 4.4), width_ratios=(1, 1.1))
        for i, ((table, of_table), marker) in enumerate(zip(found.items(), "oxs^D", strict=False)):
            look = {"fmt": marker, "elinewidth": 0.9, "color": "black" if table == "null" else f"C{i - (i > 1)}"}
            (loss, xerr), (rise, yerr) = (bars(of_table[part]) for part in ("loss", "rise over the cells"))
            label = "Y shuffled" if table == "null" else table.replace("_", " ")
            left.errorbar(loss, rise, yerr, xerr, label=label, **look)
            rise, xerr = bars(of_table["rise over the features"])
            right.errorbar(rise, np.arange(len(rise)) + 0.16 * (i - 2), xerr=xerr, **look)
        left.axline((0, 0), slope=1, color="black", linewidth=0.8, zorder=1)
        left.set(title="codes of a few cells X", xlabel="loss I(X;Y|U), by counting (nats)")
        left.set_ylabel("rise over the cells (nats)")
        right.axvline(0, color="black", linewidth=0.8, zorder=1)
        right.set(title="representations of the features", xlabel="rise over the features (nats)")
        names = [name.replace(", ", ",\n") for name in next(iter(found.values()))["rise over the features"]]
        right.set_yticks(range(len(names)), names)
        right.invert_yaxis()
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(path)
        plt.close(figure)


def bars(intervals):
    """Estimates, and the lengths of their error bars."""
    estimate, low, high = np.array(list(intervals.values())).T
    return estimate, np.maximum([estimate - low, high - estimate], 0)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "digits.png"))
