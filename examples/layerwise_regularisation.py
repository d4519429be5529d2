"""Does the exact loss of a layer, added to the objective, help a network that learns from little data?

The layer is soft-quantised: x gives rows p(u | x) over a few codes, and a table q(y | u) decodes them. The objective is
the training cross-entropy plus a weight times the layer's loss I(X;Y|U). Two losses are compared. That of the empirical
joint is available to a learner; by Theorem 4 of arXiv:2405.20452 the cross-entropy already contains it, so the weight
only counts it twice. That of the true joint is an oracle, which shows how much could be gained. Runs with one seed
share data and initial weights. Shown is the exact excess risk relative to plain training, as paired differences with
95 % t-intervals, at several n and for two numbers of steps, since a weight may merely change the speed of training.
The null is δ = 0: no layer loses anything, so there is no encoder bias to reduce.

    python examples/layerwise_regularisation.py [layerwise_regularisation.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy import stats

import isjax

ARMS = {"plain": (0.0, 0.0), "empirical loss": (1.0, 0.0), "oracle: true loss": (0.0, 1.0)}


def network(params, features):
    """Rows p(u | x) of the layer, and log q(y | u) of the decoder."""
    hidden = jnp.tanh(features @ params["hidden"])
    return jax.nn.softmax(hidden @ params["codes"]), jax.nn.log_softmax(params["decoder"])


def learn(key, joint, features, length, weights, num_steps, *, max_length, num_codes, width=16):
    """One run of Adam: true encoder bias and decoder error, and the empirical parts with the cross-entropy."""
    key_data, *keys = jax.random.split(key, 4)
    x, y = isjax.sample(key_data, joint, max_length)
    data = jnp.zeros_like(joint).at[x, y].add(jnp.where(jnp.arange(max_length) < length, 1 / length, 0))
    shapes = {"hidden": (features.shape[1], width), "codes": (width, num_codes), "decoder": (num_codes, joint.shape[1])}
    params = {
        name: jax.random.normal(k, shape) / shape[0] ** 0.5
        for (name, shape), k in zip(shapes.items(), keys, strict=True)
    }
    optimizer = optax.adam(0.02)

    def objective(params):
        kernel, log_decoder = network(params, features)
        of_data = isjax.risk_decomposition(data, log_decoder, kernel)
        true = isjax.mutual_information_loss(joint, kernel)
        return of_data.risk + weights[0] * of_data.encoder_bias + weights[1] * true

    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params), state)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, num_steps, step, (params, optimizer.init(params)))
    kernel, log_decoder = network(params, features)
    parts = isjax.risk_decomposition(joint, log_decoder, kernel)
    of_data = isjax.risk_decomposition(data, log_decoder, kernel)
    cross_entropy = -jnp.sum(data * (kernel @ log_decoder))
    return jnp.stack([parts.encoder_bias, parts.decoder_error, *of_data, cross_entropy])


def interval(differences):
    """Mean over seeds and the half-width of its 95 % t-interval."""
    n = differences.shape[-1]
    return differences.mean(-1), stats.t.ppf(0.975, n - 1) * differences.std(-1, ddof=1) / n**0.5


def main(path, *, lengths=(16, 64, 256), num_inputs=6, num_codes=8, num_seeds=16, num_steps=300):
    @jax.jit
    def train(joint, features, length, steps):
        def run(key, weights):
            return learn(key, joint, features, length, weights, steps, max_length=max(lengths), num_codes=num_codes)

        keys, weights = jax.random.split(jax.random.key(1), num_seeds), jnp.array(list(ARMS.values()))
        return jax.vmap(jax.vmap(run, in_axes=(0, None)), in_axes=(None, 0))(keys, weights)

    found = {}
    cases = ("δ = 0.8", 0.8, 1), ("δ = 0.8, 4 × the steps", 0.8, 4), ("null: δ = 0", 0.0, 1)
    for name, delta, factor in cases:
        source = isjax.sparse_source(
            jax.random.key(0), num_inputs=num_inputs, num_relevant=3, num_classes=4, discrimination=delta
        )
        features = source.problem("identity").features
        runs = [train(source.joint, features, n, factor * num_steps) for n in lengths]
        parts = found[name] = np.moveaxis(np.asarray(runs), -1, 0)  # part, length, arm, seed
        excess = parts[0] + parts[1]
        for i, n in enumerate(lengths):
            print(f"{name}, n = {n}: plain excess {excess[i, 0].mean():.4f}, bias {parts[0, i, 0].mean():.4f} nats")
            for j, arm in list(enumerate(ARMS))[1:]:
                texts = ["{:+.4f} ± {:.4f}".format(*interval(part[i, j] - part[i, 0])) for part in (excess, *parts[:2])]
                print(f"  {arm:18} excess {texts[0]}, bias {texts[1]}, error {texts[2]}")
    draw(path, lengths, found)
    return found


def draw(path, lengths, found):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.1), sharex=True)
        titles = "encoder bias minus plain (nats)", "excess risk minus plain (nats)"
        for axis, title, pick in zip(axes, titles, (lambda p: p[0], lambda p: p[0] + p[1]), strict=True):
            for name, style in zip(found, ("-", ":", "--"), strict=True):
                values = pick(found[name])
                for j, (arm, colour) in enumerate(zip(list(ARMS)[1:], ("#0072B2", "#D55E00"), strict=True), start=1):
                    mean, half = interval(values[:, j] - values[:, 0])
                    at = np.asarray(lengths) * 1.06 ** (j - 1)
                    axis.errorbar(at, mean, half, fmt="o" + style, color=colour, capsize=2, label=f"{arm}, {name}")
            axis.axhline(0, color="black", linewidth=0.8)
            axis.set(xscale="log", xlabel="samples n", title=title)
            axis.set_xticks(lengths, [str(n) for n in lengths])
            axis.minorticks_off()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "layerwise_regularisation.png"))
