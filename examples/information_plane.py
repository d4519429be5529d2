"""Does a layer compress its input during training, or is it the bins that do?

The information plane of a network shows I(X;T) against I(T;Y) for the activations T of each layer, along training
(Shwartz-Ziv and Tishby, arXiv:1703.00810). X is 12 bits, all 4096 of which are given to networks of tanh and of ReLU
units, trained on the exact cross-entropy from several seeds. T is a function of X, so that I(X;T) = H(T), and both
coordinates are finite sums. They are computed twice: exactly, where two inputs share a code only if their activations
are equal up to rounding, and after binning the activations, as in the literature.
Binned tanh units have been seen to compress late in training and binned ReLU units not (Saxe et al., ICLR 2018). The
exact plane tells what a layer has lost from what a bin has.
The nulls are the inputs, an injective layer, which stays at (H(X), I(X;Y)), and a Y that is independent of X, of which
no layer has any information.

    python examples/information_plane.py [information_plane.png]
"""

import pathlib
import sys
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import isjax

UNITS = {"tanh": nn.tanh, "ReLU": nn.relu}
CODES = ("exact", "binned")


class Network(nn.Module):
    """The inputs, the outputs of the hidden layers, and the logits."""

    widths: Sequence[int]
    num_classes: int
    units: str

    @nn.compact
    def __call__(self, inputs):
        outputs = [inputs]
        for width in self.widths:
            outputs.append(UNITS[self.units](nn.Dense(width, kernel_init=nn.initializers.he_normal())(outputs[-1])))
        return [*outputs, nn.Dense(self.num_classes)(outputs[-1])]


def params_along_training(key, network, source, *, steps):
    """Parameters at the given steps, stacked, and the excess risk there."""
    optimizer = optax.adam(0.005)
    params = network.init(key, source.features)

    def risk(params):
        return -jnp.sum(source.joint * jax.nn.log_softmax(network.apply(params, source.features)[-1]))

    def step(_, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(risk)(params), state)
        return optax.apply_updates(params, updates), state

    def until_probe(carry, num_steps):
        carry = jax.lax.fori_loop(0, num_steps, step, carry)
        return carry, (carry[0], risk(carry[0]) - source.conditional_entropy)

    return jax.lax.scan(until_probe, (params, optimizer.init(params)), jnp.diff(steps, prepend=0))[1]


def plane(layer, width, joint):
    """I(X;T) and I(T;Y) in bits, exact and binned, and I(T;Y) of a Y that is independent of X."""
    independent = isjax.product_distribution(isjax.marginal_x(joint), isjax.marginal_y(joint))
    points = []
    for codes in (
        isjax.activation_codes(layer),
        isjax.activation_codes(jnp.round(layer / width), tolerance=0.5),
    ):
        joint_ty = isjax.pushforward(joint, codes)
        null = isjax.mutual_information(isjax.pushforward(independent, codes), base=2)
        points.append(
            (isjax.entropy(isjax.marginal_x(joint_ty), base=2), isjax.mutual_information(joint_ty, base=2), null)
        )
    return jnp.array(points)


def main(path, *, num_inputs=12, widths=(10, 7, 5, 3), num_seeds=4, num_steps=1200, num_probes=10, num_bins=30):
    options = {"num_inputs": num_inputs, "num_relevant": 4, "num_classes": 4, "discrimination": 0.9}
    source = isjax.sparse_source(jax.random.key(0), **options)
    steps = np.unique(np.geomspace(1, num_steps, num_probes).round().astype(int))
    steps = np.concatenate([[0], steps])
    information = float(source.mutual_information / jnp.log(2))
    found = {"steps": steps, "I(X;Y)": information, "H(X)": float(source.input_entropy / jnp.log(2))}
    for units in UNITS:
        network = Network(widths, source.joint.shape[1], units)

        @jax.jit
        def trained(keys, network=network):
            params, excess = jax.vmap(lambda key: params_along_training(key, network, source, steps=steps))(keys)
            return jax.vmap(jax.vmap(lambda p: network.apply(p, source.features)[:-1]))(params), excess

        @jax.jit
        def planes(layer, width):  # of one layer, [seed, probe, x, unit]
            flat = layer.reshape(-1, *layer.shape[2:])
            return jax.lax.map(lambda rows: plane(rows, width, source.joint), flat, batch_size=8)

        layers, excess = trained(jax.random.split(jax.random.key(1), num_seeds))
        # bins divide [−1, 1], or the range from 0 to the largest activation of the layer
        ranges = [2.0 if units == "tanh" or not index else float(layer.max()) for index, layer in enumerate(layers)]
        points = [planes(layer, range_ / num_bins) for layer, range_ in zip(layers, ranges, strict=True)]
        shape = (len(layers), num_seeds, len(steps), len(CODES), 3)
        found[units] = np.asarray(jnp.stack(points)).reshape(shape)
        found[f"{units}, excess risk"] = np.asarray(excess)
    found["null, largest"] = max(found[units][..., 2].max() for units in UNITS)
    report(found, widths, num_seeds, num_bins)
    draw(path, found, widths)
    return found


def report(found, widths, num_seeds, num_bins):
    print(f"H(X) = {found['H(X)']:.3f} bits, I(X;Y) = {found['I(X;Y)']:.3f} bits; means over {num_seeds} seeds")
    print(f"hidden layers of {widths} units; {num_bins} bins; at the end of training:")
    for units in UNITS:
        print(f"{units}: excess risk {found[f'{units}, excess risk'][:, -1].mean():.4f} nats")
        for index, kind in enumerate(CODES):
            x_t, t_y, _ = np.moveaxis(found[units][1:, :, :, index].mean(1), -1, 0)  # [layer, probe]
            print(
                f"  {kind:6}: I(X;T) {np.array2string(x_t[:, -1], precision=2)}, "
                f"below its largest value by {np.array2string(x_t.max(1) - x_t[:, -1], precision=2)}; "
                f"I(T;Y) {np.array2string(t_y[:, -1], precision=3)}"
            )
    print(f"null: I(T;Y) of an independent Y is at most {found['null, largest']:.2g} bits")


def draw(path, found, widths):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 2, figsize=(7.8, 6), sharex=True, sharey=True)
        for row, units in zip(axes, UNITS, strict=True):
            for index, (axis, kind) in enumerate(zip(row, CODES, strict=True)):
                for layer, width in enumerate(widths, start=1):
                    x_t, t_y = np.moveaxis(found[units][layer, ..., index, :2].mean(0), -1, 0)
                    line = axis.plot(x_t, t_y, label=f"layer {layer}, {width} units", alpha=0.8)[0]
                    sizes = np.linspace(4, 30, len(x_t))  # later is larger
                    axis.scatter(x_t, t_y, s=sizes, color=line.get_color(), linewidth=0, alpha=0.7)
                axis.plot(found["H(X)"], found["I(X;Y)"], "k*", markersize=9, label="null: the inputs themselves")
                axis.axhline(found["I(X;Y)"], color="0.4", linestyle="--", linewidth=0.8)
                axis.set(title=f"{units}, {kind}")
            row[0].set_ylabel("I(T;Y), bits")
        for axis in axes[1]:
            axis.set_xlabel("I(X;T), bits")
        axes[0, 0].legend(loc="lower left", title="larger dots: later in training", alignment="left")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "information_plane.png"))
