"""Does a classifier that sees a code have a cross-entropy higher by what the encoder loses, on real data too?

The least cross-entropy of a classifier that sees U instead of X is higher by I(X;Y|U) (arXiv:2405.20452, Theorem 4).
The data are scikit-learn's digits and three smaller tables. X is one of a few k-means cells, and encoders merge cells:
hand-made codes, learned codes, and the hidden layer of a trained network. A third of the rows is used to learn cells
and encoders. On the other rows the loss is estimated by counting, and logistic regressions on X and on each code are
cross-validated: the rise is the held-out cross-entropy on U minus that on X, row by row.
Loss and rise agree if one lies in the 95 % interval of the other. A bootstrap of their difference is more sensitive:
most rises are slightly below the loss. A regression on X has more parameters to learn than one on U and has a larger
estimation error, which is no loss of the encoder; on the digits, with half of the rows to learn from, the gap grows.
The first null is a code that relabels X: no loss and no rise. The second is a shuffled Y: loss and rise are near zero
for every encoder.

    pip install scikit-learn
    python examples/digits.py [digits.png]
"""

import functools
import pathlib
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder
from threadpoolctl import threadpool_limits

import isjax

SIZES = {"digits": (12, 3), "breast_cancer": (6, 2), "wine": (6, 2), "iris": (6, 2)}  # cells of X, signs of the network


class Network(nn.Module):
    """The signs of a hidden layer and the logits; straight-through gradient of the signs."""

    num_signs: int
    num_classes: int

    @nn.compact
    def __call__(self, inputs):
        h = nn.tanh(nn.Dense(self.num_signs)(inputs))
        signs = h + jax.lax.stop_gradient(jnp.sign(h) - h)
        return signs, nn.Dense(self.num_classes)(nn.relu(nn.Dense(32)(signs)))


@functools.partial(jax.jit, static_argnames=("num_signs", "num_steps", "num_restarts"))
def hidden_codes(key, centres, joint, num_signs, *, num_steps=800, num_restarts=16):
    """Code of each cell's centre in the hidden layer, for the restart with the least risk."""
    network, optimizer = Network(num_signs, joint.shape[1]), optax.adam(0.02)

    def risk(params):
        _, logits = network.apply(params, centres)
        return -jnp.sum(joint * jax.nn.log_softmax(logits))  # pyright: ignore[reportArgumentType]

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(risk)(params), state)
        return (optax.apply_updates(params, updates), state), None

    def train(key):
        params = network.init(key, centres)
        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=num_steps)
        return params, risk(params)

    params, risks = jax.vmap(train)(jax.random.split(key, num_restarts))
    best = jax.tree.map(lambda leaf: leaf[jnp.argmin(risks)], params)
    return isjax.layer_losses(lambda inputs: [network.apply(best, inputs)[0]], centres, joint).codes[0]


def k_means(points, num_codes):
    return KMeans(num_codes, n_init=10, random_state=0).fit(points)  # pyright: ignore[reportArgumentType]


def encoders_of(key, centres, joint, num_signs):
    """Codes of the cells [x], by name, from the cells' centres and from the joint distribution of cell and class."""
    key_means, key_network, key_random, key_relabel = jax.random.split(key, 4)
    num_cells, num_features = centres.shape
    half, third = num_cells // 2, num_cells // 3

    encoders = {
        "relabelled X": jax.random.permutation(key_relabel, num_cells),
        f"mean feature, {third} bins": centres.mean(1).argsort().argsort() * third // num_cells,
        f"half of the features, {half} codes": k_means(centres[:, : num_features // 2], half).labels_,
        f"k-means, {half} codes": k_means(centres, half).labels_,
        f"KL-means, {half} codes": isjax.kl_means_quantizer(key_means, joint, num_codes=half).codes,
        f"hidden layer, {num_signs} signs": hidden_codes(key_network, centres, joint, num_signs),
        f"random, {half} codes": jax.random.randint(key_random, num_cells, 0, half),
        "constant": np.zeros(num_cells, int),
    }
    return {name: np.asarray(codes) for name, codes in encoders.items()}


def regression_for(first, inputs, y):
    """A logistic regression with its penalty chosen by cross-validation on these rows."""
    regression = make_pipeline(first, LogisticRegression(max_iter=1000))
    strengths = {"logisticregression__C": np.geomspace(1e-3, 100, 6)}
    return GridSearchCV(regression, strengths, scoring="neg_log_loss", cv=5).fit(inputs, y).best_estimator_


def held_out(regression, inputs, y, num_folds):
    """Cross-entropy of each row under a regression fitted to the other folds."""
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=0)
    p = np.asarray(cross_val_predict(regression, inputs, y, cv=folds, method="predict_proba"))
    return -np.log(p[np.arange(len(y)), y])


def interval_of_mean(values):
    """Mean of each column and the ends of its 95 % interval, [3, column]."""
    mean, width = values.mean(0), 1.96 * values.std(0, ddof=1) / np.sqrt(len(values))
    return np.stack([mean, mean - width, mean + width])


def lies_in(value, interval, *, slack=1e-5):
    """Whether the value is in the interval, up to the optimizer's error: for a relabelling both are zero."""
    return (interval[1] - slack <= value) & (value <= interval[2] + slack)


@threadpool_limits.wrap(limits=1)  # products this small are slower on several threads
def compare(features, y, num_cells, num_signs, *, num_resamples, num_folds):
    """Loss and rise of every encoder on the rows that were not used to learn it."""
    learn, rest = map(np.asarray, train_test_split(np.arange(len(y)), train_size=1 / 3, random_state=0, stratify=y))
    features = MinMaxScaler().fit(features[learn]).transform(features)
    cells = k_means(features[learn], num_cells)
    x, num_classes = np.asarray(cells.predict(features)), int(y.max()) + 1
    joint = isjax.empirical_joint(x[learn], y[learn], shape=(num_cells, num_classes))
    centres = jnp.asarray(cells.cluster_centers_, joint.dtype)
    encoders = encoders_of(jax.random.key(0), centres, joint, num_signs)
    on_features = regression_for(MinMaxScaler(), features[learn], y[learn])
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    on_codes = regression_for(one_hot, x[learn, None], y[learn])
    features, x, y = features[rest], x[rest], y[rest]
    codes = {name: encoder[x] for name, encoder in encoders.items()}

    # By counting, with Grassberger's correction: many pairs (x, y) occur only once or twice.
    columns = {"Y": y, "X": x} | codes
    spec = isjax.data.MeasureSpec(
        target="Y", inputs=("X",), encoders=tuple(codes), method="grassberger", num_resamples=num_resamples
    )
    measured = isjax.data.measure(jax.random.key(0), columns, spec)
    loss = np.array([(each.loss.corrected, each.low, each.high) for each in measured.encoders]).T
    kept_and_lost = [each.information.plug_in + each.loss.plug_in for each in measured.encoders]

    # By classifiers, with all folds and with two: cross-entropy of each row, [row, encoder].
    def risks_of(num_folds):
        return np.stack([held_out(on_codes, u[:, None], y, num_folds) for u in (x, *codes.values())], axis=1)

    risks = risks_of(num_folds)
    rises, of_half = (each[:, 1:] - each[:, :1] for each in (risks, risks_of(2)))
    rise = interval_of_mean(rises)

    def difference(sample):
        x, y, u, rises = sample
        plug_in = isjax.estimate_information_loss(
            x, y, u.T, shape=(num_cells, num_classes, num_cells), method="plug_in"
        )
        return rises.mean(0) - plug_in

    sample = x, y, np.stack([*codes.values()], axis=1), jnp.asarray(rises, jnp.float32)
    together = isjax.bootstrap(jax.random.key(0), difference, sample, num_resamples=num_resamples)
    return {
        "names": [*codes],
        "rows": len(y),
        "cells": num_cells,
        "classes": num_classes,
        "I(X;Y)": measured.information.corrected,
        "loss": loss,
        "rise": rise,
        "rise − loss": np.stack([rise[0] - loss[0], together.low, together.high]),
        "mean rise − loss": float((rise[0] - loss[0]).mean()),
        "mean rise − loss, two folds": float((of_half.mean(0) - loss[0]).mean()),
        "agree": lies_in(loss[0], rise) | lies_in(rise[0], loss),
        "held-out cross-entropy of X": float(risks[:, 0].mean()),
        "held-out cross-entropy": risks[:, 1:].mean(0),
        "held-out cross-entropy of all features": float(held_out(on_features, features, y, num_folds).mean()),
        "identity, largest gap": float(np.abs(np.array(kept_and_lost) - measured.information.plug_in).max()),
    }


def main(path, *, sizes=SIZES, num_resamples=499, num_folds=10):
    options = {"num_resamples": num_resamples, "num_folds": num_folds}
    found = {}
    for name, size in sizes.items():
        features, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        found[name] = compare(features, y, *size, **options)
        show(name, found[name])
        if "null" not in found:
            shuffled = np.random.default_rng(0).permutation(y)
            found["null"] = compare(features, shuffled, *size, **options)
            show(f"null, {name} with Y shuffled", found["null"])
    draw(path, found, [*sizes])
    return found


def show(name, found):
    rows, cells, classes = (found[size] for size in ("rows", "cells", "classes"))
    print(f"{name}: {rows} rows, {cells} cells, {classes} classes, I(X;Y) = {found['I(X;Y)']:.3f} nats")
    print(f"{'':30}{'held out':>8}{'loss':>10}{'rise':>26}{'rise − loss':>33}")
    for who in ("all features", "X"):
        print(f"{who:30}{found[f'held-out cross-entropy of {who}']:8.3f}")
    for i, encoder in enumerate(found["names"]):
        print(f"{encoder:30}{found['held-out cross-entropy'][i]:8.3f}", end="")
        for part in ("loss", "rise", "rise − loss"):
            print("    {:6.3f} ({:6.3f} to {:6.3f})".format(*(found[part][:, i].round(3) + 0.0)), end="")
        print("  agree" if found["agree"][i] else "  differ")
    few, many = found["mean rise − loss, two folds"], found["mean rise − loss"]
    print(f"mean rise − loss: {many:.3f}, with half of the rows to learn from {few:.3f}")
    print(f"largest |I(X;Y) − I(U;Y) − I(X;Y|U)| of the plug-ins: {found['identity, largest gap']:.1e}\n")


def draw(path, found, tables):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.9))
        colours = [*plt.rcParams["axes.prop_cycle"].by_key()["color"], "0.55"]
        for table, marker in zip(tables, "os^D", strict=False):
            axis = axes[int(table != tables[0])]
            for name, colour, loss, rise in zip(
                found[table]["names"], colours, found[table]["loss"].T, found[table]["rise"].T, strict=True
            ):
                axis.errorbar(
                    loss[0], rise[0], xerr=ends(loss), yerr=ends(rise), fmt=marker, color=colour, elinewidth=0.9
                )
                if axis is axes[0]:
                    axis.plot([], [], "o", color=colour, label=name.partition(",")[0])
            if axis is axes[1]:
                axis.plot([], [], marker, color="0.4", label=table.replace("_", " "))
        null, look = found["null"], {"color": "black", "markersize": 5, "zorder": 4, "label": "null: Y shuffled"}
        axes[0].plot(null["loss"][0], null["rise"][0], "x", **look)
        for axis, title in zip(axes, (tables[0], "smaller tables"), strict=True):
            axis.axline((0, 0), slope=1, color="black", linewidth=0.8, label="rise = loss", zorder=1)
            axis.set(title=title, xlabel="loss I(X;Y|U), by counting (nats)")
        axes[0].set_ylabel("rise in held-out cross-entropy (nats)")
        axes[1].legend(loc="upper left")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(path)
        plt.close(figure)


def ends(interval):
    """Lengths of the two error bars; the estimate need not be the middle of its interval."""
    estimate, low, high = interval
    return [[max(estimate - low, 0)], [max(high - estimate, 0)]]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "digits.png"))
