"""Does the exact loss of a layer, added to the objective, help a network that learns from little data?

The layer is soft-quantised: x gives rows p(u | x) over a few codes, and a table q(y | u) decodes them; in a deeper
network two more layers of codes follow it. The objective is the training cross-entropy plus a weight times the loss
I(X;Y|U) of each layer. Two losses are compared. That of the empirical joint is available to a learner; by Theorem 4 of
arXiv:2405.20452 the cross-entropy already contains it, so the weight only counts it twice. That of the true joint is an
oracle, which shows how much could be gained. Runs with one seed share data and initial weights. Shown is the exact
excess risk relative to plain training, as paired differences with 95 % t-intervals, at several n, for weights from 0.1
to 10, three kinds of source, two depths, and two numbers of steps, since a weight may merely change the speed of
training. So many intervals find something by chance: Holm's correction says how many differences remain.
The null is δ = 0: no layer loses anything, so there is no encoder bias to reduce.

    python examples/layerwise_regularisation.py [layerwise_regularisation.png]
"""

import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy import stats

import isjax

ARMS = {
    "plain": (0.0, 0.0),
    "empirical loss × 0.1": (0.1, 0.0),
    "empirical loss × 1": (1.0, 0.0),
    "empirical loss × 10": (10.0, 0.0),
    "oracle: true loss × 1": (0.0, 1.0),
}


def network(params, features):
    """Rows p(u | x) of each layer, and log q(y | u) of the decoder of the last."""
    hidden = jnp.tanh(features @ params["hidden"])
    kernels = [jax.nn.softmax(hidden @ params["codes"])]
    for table in params["tables"]:
        kernels.append(kernels[-1] @ jax.nn.softmax(table))
    return kernels, jax.nn.log_softmax(params["decoder"])


def learn(key, joint, features, length, weights, num_steps, *, max_length, num_codes, num_layers, width=16):
    """One run of Adam: true encoder bias and decoder error, and the empirical parts with the cross-entropy."""
    key_data, *keys = jax.random.split(key, 5)
    x, y = isjax.sample(key_data, joint, max_length)
    data = jnp.zeros_like(joint).at[x, y].add(jnp.where(jnp.arange(max_length) < length, 1 / length, 0))
    shapes = {"hidden": (features.shape[1], width), "codes": (width, num_codes), "decoder": (num_codes, joint.shape[1])}
    params = {
        name: jax.random.normal(k, shape) / shape[0] ** 0.5
        for (name, shape), k in zip(shapes.items(), keys[:3], strict=True)
    }
    params["tables"] = 3 * jnp.eye(num_codes) + jax.random.normal(keys[3], (num_layers - 1, num_codes, num_codes))
    optimizer = optax.adam(0.02)

    def objective(params):
        kernels, log_decoder = network(params, features)
        risk = isjax.risk_decomposition(data, log_decoder, kernels[-1]).risk
        losses = [sum(isjax.mutual_information_loss(p, kernel) for kernel in kernels) for p in (data, joint)]
        return risk + weights[0] * losses[0] + weights[1] * losses[1]

    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params), state)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, num_steps, step, (params, optimizer.init(params)))
    (*_, kernel), log_decoder = network(params, features)
    parts = isjax.risk_decomposition(joint, log_decoder, kernel)
    of_data = isjax.risk_decomposition(data, log_decoder, kernel)
    cross_entropy = -jnp.sum(data * (kernel @ log_decoder))
    return jnp.stack([parts.encoder_bias, parts.decoder_error, *of_data, cross_entropy])


def interval(differences):
    """Mean over seeds and the half-width of its 95 % t-interval."""
    n = differences.shape[-1]
    return differences.mean(-1), stats.t.ppf(0.975, n - 1) * differences.std(-1, ddof=1) / n**0.5


def num_below(differences):
    """How many of several paired differences are below zero at 5 %, two-sided: each, and with Holm's correction."""
    flat = differences.reshape(-1, differences.shape[-1])
    mean, error = flat.mean(-1), flat.std(-1, ddof=1) / flat.shape[-1] ** 0.5
    t = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)  # of differences that are all zero
    p = np.sort(2 * stats.t.cdf(t, flat.shape[-1] - 1))  # above one if the mean is above zero
    passed = p <= 0.05 / (len(p) - np.arange(len(p)))
    return int(np.sum(p <= 0.05)), int(np.argmin(passed) if not passed.all() else len(p)), len(p)


def main(path, *, lengths=(16, 64, 256), num_inputs=6, num_codes=8, num_seeds=16, num_steps=300):
    @functools.partial(jax.jit, static_argnames="num_layers")
    def train(joint, features, length, steps, *, num_layers):
        sizes = {"max_length": max(lengths), "num_codes": num_codes, "num_layers": num_layers}

        def run(key, weights):
            return learn(key, joint, features, length, weights, steps, **sizes)

        keys, weights = jax.random.split(jax.random.key(1), num_seeds), jnp.array(list(ARMS.values()))
        return jax.vmap(jax.vmap(run, in_axes=(0, None)), in_axes=(None, 0))(keys, weights)

    key, num_classes, delta = jax.random.key(0), 4, 0.8
    options = {"num_inputs": num_inputs, "num_relevant": 3, "num_classes": num_classes}
    sparse, null = (isjax.sparse_source(key, **options, discrimination=each) for each in (delta, 0.0))
    invariant = isjax.invariant_source(key, length=num_inputs, num_classes=num_classes, discrimination=delta)
    digital = isjax.digital_source(
        key, grid=2 ** (num_inputs // 2), num_cells=8, num_classes=num_classes, discrimination=delta
    )
    cases = {
        "sparse": (sparse, 1, 1),
        "sparse, 4 × the steps": (sparse, 1, 4),
        "sparse, 3 layers": (sparse, 3, 1),
        "invariant": (invariant, 1, 1),
        "digital": (digital, 1, 1),
        "null: sparse, δ = 0": (null, 1, 1),
    }
    found = {}
    for name, (source, num_layers, factor) in cases.items():
        features = source.problem("identity").features
        runs = [train(source.joint, features, n, factor * num_steps, num_layers=num_layers) for n in lengths]
        found[name] = np.moveaxis(np.asarray(runs), -1, 0)  # part, length, arm, seed
    report(found, lengths)
    draw(path, lengths, found)
    return found


def excess_minus_plain(parts):
    """Paired differences of the excess risk, [length, arm, seed], of all arms but the plain one."""
    excess = parts[0] + parts[1]
    return excess[:, 1:] - excess[:, :1]


def report(found, lengths):
    for name, parts in found.items():
        for i, n in enumerate(lengths):
            print(
                f"{name}, n = {n}: plain excess {parts[:2, i, 0].sum(0).mean():.4f}, bias {parts[0, i, 0].mean():.4f}"
            )
            for j, arm in list(enumerate(ARMS))[1:]:
                differences = excess_minus_plain(parts)[i, j - 1], *(part[i, j] - part[i, 0] for part in parts[:2])
                texts = ["{:+.4f} ± {:.4f}".format(*interval(each)) for each in differences]
                print(f"  {arm:21} excess {texts[0]}, bias {texts[1]}, error {texts[2]}")
    of_sources = [excess_minus_plain(parts) for name, parts in found.items() if not name.startswith("null")]
    of_null = [excess_minus_plain(parts) for name, parts in found.items() if name.startswith("null")]
    for name, differences in {"sources": np.stack(of_sources), "null": np.stack(of_null)}.items():
        for arms, chosen in {"empirical": differences[:, :, :-1], "oracle": differences[:, :, -1:]}.items():
            below, after, total = num_below(chosen)
            print(f"{name}, {arms}: {below} of {total} differences below zero at 5 %, {after} after Holm's correction")


def draw(path, lengths, found):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 3, figsize=(7.8, 4.6), sharex=True, sharey=True)
        for axis, (name, parts) in zip(axes.flat, found.items(), strict=True):
            means, halves = interval(excess_minus_plain(parts))
            for j, arm in enumerate(list(ARMS)[1:]):
                at = np.asarray(lengths) * 1.09 ** (j - 1.5)
                axis.errorbar(at, means[:, j], halves[:, j], fmt="o-", capsize=2, color=f"C{j}", label=arm)
            axis.axhline(0, color="black", linewidth=0.8)
            axis.set(xscale="log", title=name)
            axis.set_xticks(lengths, [str(n) for n in lengths])
            axis.minorticks_off()
        for axis in axes[1]:
            axis.set_xlabel("samples n")
        figure.supylabel("excess risk minus that of plain training (nats)", fontsize=9)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "layerwise_regularisation.png"))
