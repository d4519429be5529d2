"""Does a layer compress its input during training, or is it the bins that do?

The information plane of a network shows I(X;T) against I(T;Y) for the activations T of each layer, along training
(Shwartz-Ziv and Tishby, arXiv:1703.00810). X is 12 bits, given to networks of tanh and of ReLU units that are trained
on batches of 256 inputs from fifty seeds, in one call. T is a function of X, so that I(X;T) = H(T), and both
coordinates are finite sums over all 4096 inputs. They are computed twice: exactly, where two inputs share a code only
if their activations are equal up to rounding, and after binning the activations, as in the literature.
Binned tanh units have been seen to compress late in training and binned ReLU units not (Saxe et al., ICLR 2018). The
compression of a layer is how much I(X;T) falls from its largest value along training to its last. What of it is left
in the exact plane is the layer's, the rest is the bins'.
The nulls are the inputs, an injective layer, which stays at (H(X), I(X;Y)), and a Y that is independent of X, of which
no layer has any information.

    python examples/information_plane.py [information_plane.png]
"""

import functools
import pathlib
import sys
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from scipy import stats

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


def params_along_training(key, network, source, *, steps, batch_size=256):
    """Parameters at the given steps, stacked; each step sees p(y | x) of other random inputs."""
    optimizer = optax.adam(0.005)
    key_init, key_batches = jax.random.split(key)
    params, p_y_given_x = network.init(key_init, source.features), isjax.conditional_y_given_x(source.joint)

    def risk(params, x):
        logits = network.apply(params, source.features[x])[-1]
        return jnp.mean(optax.softmax_cross_entropy(logits, p_y_given_x[x]))

    def step(i, carry):
        params, state = carry
        x = jax.random.randint(jax.random.fold_in(key_batches, i), (batch_size,), 0, len(p_y_given_x))
        updates, state = optimizer.update(jax.grad(risk)(params, x), state)
        return optax.apply_updates(params, updates), state

    def until_probe(carry, bounds):
        carry = jax.lax.fori_loop(bounds[0], bounds[1], step, carry)
        return carry, carry[0]

    bounds = jnp.stack([jnp.concatenate([steps[:1], steps[:-1]]), steps], axis=1)
    return jax.lax.scan(until_probe, (params, optimizer.init(params)), bounds)[1]


def codes_of_rows(cells):
    """The same code for equal rows of integers, found by sorting two random sums of each row."""
    numbers = jax.random.bits(jax.random.key(0), (2, 1, cells.shape[-1]), jnp.uint32)
    sums = jnp.sum(cells.astype(jnp.uint32) * numbers, axis=-1)
    order = jnp.lexsort(tuple(sums))
    is_new = jnp.any(jnp.diff(sums[:, order]) != 0, axis=0)
    return jnp.zeros(len(cells), int).at[order[1:]].set(jnp.cumsum(is_new))


def plane(layer, width, joint):
    """I(X;T) and I(T;Y) in bits, exact and binned, and I(T;Y) of a Y that is independent of X: [kind, coordinate]."""
    independent = isjax.product_distribution(isjax.marginal_x(joint), isjax.marginal_y(joint))
    rounding = 256 * jnp.finfo(layer.dtype).eps * 2 ** jnp.ceil(jnp.log2(jnp.max(jnp.abs(layer)) + 1e-30))

    def of_cells(cell):
        codes = codes_of_rows(jnp.round(layer / cell).astype(int))
        joint_ty, null = (isjax.pushforward(p, codes) for p in (joint, independent))
        x_t, t_y = isjax.entropy(isjax.marginal_x(joint_ty), base=2), isjax.mutual_information(joint_ty, base=2)
        return jnp.array([x_t, t_y, isjax.mutual_information(null, base=2)])

    return jax.lax.map(of_cells, jnp.array([rounding, width]))


@functools.partial(jax.jit, static_argnames=("network", "num_bins", "mesh"))
def planes_of_seeds(keys, source, steps, *, network, num_bins, mesh):
    """The points of all layers, [seed, probe, layer, kind, coordinate], and excess risks [seed, probe]."""

    def of_seed(key):
        params = params_along_training(key, network, source, steps=steps)
        *layers, logits = jax.vmap(lambda each: network.apply(each, source.features))(params)
        excess = -jnp.sum(source.joint * jax.nn.log_softmax(logits), axis=(-2, -1)) - source.conditional_entropy
        # bins divide [-1, 1], or the range from 0 to the largest activation of the layer along training
        ranges = [2.0 if network.units == "tanh" or not i else jnp.max(layer) for i, layer in enumerate(layers)]
        widths = [jnp.maximum(range_, 1e-6) / num_bins for range_ in ranges]

        def of_probe(layers):
            return jnp.stack([plane(layer, width, source.joint) for layer, width in zip(layers, widths, strict=True)])

        return jax.lax.map(of_probe, layers), excess

    def of_device(keys):
        return jax.lax.map(of_seed, keys)

    along = PartitionSpec(mesh.axis_names)
    return jax.shard_map(of_device, mesh=mesh, in_specs=along, out_specs=along, check_vma=False)(keys)


def main(path, *, num_inputs=12, widths=(10, 7, 5, 3), num_seeds=50, num_steps=1200, num_probes=8, num_bins=30):
    options = {"num_inputs": num_inputs, "num_relevant": 4, "num_classes": 4, "discrimination": 0.9}
    source = isjax.sparse_source(jax.random.key(0), **options)
    steps = np.concatenate([[0], np.unique(np.geomspace(1, num_steps, num_probes).round().astype(int))])
    information = float(source.mutual_information / jnp.log(2))
    found = {"steps": steps, "I(X;Y)": information, "H(X)": float(source.input_entropy / jnp.log(2))}
    num_devices = max(n for n in range(1, jax.device_count() + 1) if num_seeds % n == 0)
    mesh = Mesh(np.asarray(jax.devices()[:num_devices]), ("seed",))
    keys = jax.random.split(jax.random.key(1), num_seeds)
    for units in UNITS:
        network = Network(widths, source.joint.shape[1], units)
        points, excess = planes_of_seeds(
            keys, source, jnp.asarray(steps), network=network, num_bins=num_bins, mesh=mesh
        )
        found[units] = np.moveaxis(np.asarray(points), 2, 0)  # [layer, seed, probe, kind, coordinate]
        found[f"{units}, excess risk"] = np.asarray(excess)
    found["null, largest"] = max(found[units][..., 2].max() for units in UNITS)
    report(found, widths, num_seeds, num_bins)
    draw(path, found, widths)
    return found


def compression(points):
    """How much I(X;T) is below its largest value along training in the end, [layer, seed, kind]."""
    x_t = points[..., 0]
    return x_t.max(2) - x_t[:, :, -1]


def interval(values):
    """Mean over seeds and the half-width of its 95 % t-interval, in words."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.2f} ± {half:.2f}"


def report(found, widths, num_seeds, num_bins):
    print(f"H(X) = {found['H(X)']:.3f} bits, I(X;Y) = {found['I(X;Y)']:.3f} bits; means over {num_seeds} seeds")
    print(f"hidden layers of {widths} units; {num_bins} bins; after {found['steps'][-1]} steps:")
    for units in UNITS:
        excess, compressed = found[f"{units}, excess risk"][:, -1], compression(found[units])
        print(f"{units}: excess risk {excess.mean():.4f} nats, median {np.median(excess):.4f}")
        for layer, width in enumerate(widths, start=1):
            for index, kind in enumerate(CODES):
                x_t, t_y, _ = found[units][layer, :, -1, index].T
                print(
                    f"  {width:2} units, {kind:6}: I(X;T) {interval(x_t)}, I(T;Y) {t_y.mean():.3f}, "
                    f"compression {interval(compressed[layer, :, index])}"
                )
        exact, binned = compressed[1:].mean((0, 1))
        print(f"  of all layers, {exact:.2f} of {binned:.2f} bits of compression are exact: {exact / binned:.2f}")
    print(f"null: I(T;Y) of an independent Y is at most {found['null, largest']:.2g} bits; ", end="")
    print(f"compression of the inputs at most {max(compression(found[units])[0].max() for units in UNITS):.2g}")


def draw(path, found, widths):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 3, figsize=(8.4, 5.4), width_ratios=(1, 1, 0.8))
        for row, units in zip(axes, UNITS, strict=True):
            for index, (axis, kind) in enumerate(zip(row, CODES, strict=False)):
                for layer, width in enumerate(widths, start=1):
                    x_t, t_y = np.moveaxis(found[units][layer, ..., index, :2].mean(0), -1, 0)
                    line = axis.plot(x_t, t_y, label=f"layer {layer}, {width} units", alpha=0.8)[0]
                    sizes = np.linspace(4, 30, len(x_t))  # later is larger
                    axis.scatter(x_t, t_y, s=sizes, color=line.get_color(), linewidth=0, alpha=0.7)
                axis.plot(found["H(X)"], found["I(X;Y)"], "k*", markersize=9, label="null: the inputs themselves")
                axis.axhline(found["I(X;Y)"], color="0.4", linestyle="--", linewidth=0.8)
                axis.set(title=f"{units}, {kind}", xlim=(0, found["H(X)"] * 1.05), ylim=(0, found["I(X;Y)"] * 1.08))
            row[0].set_ylabel("I(T;Y), bits")
            compressed = compression(found[units])
            for index, kind in enumerate(CODES):
                mean, spread = compressed[1:, :, index].mean(1), compressed[1:, :, index].std(1, ddof=1)
                at = np.arange(1, len(widths) + 1) + 0.2 * index - 0.1
                row[2].errorbar(at, mean, spread, fmt="o", color=("#000000", "#E69F00")[index], capsize=2, label=kind)
            row[2].axhline(0, color="0.4", linewidth=0.8)
            row[2].set_xticks(range(1, len(widths) + 1))
            row[2].set(title=f"{units}, compression", ylabel="bits, mean ± sd over seeds")
        for axis, label in zip(axes[1], ("I(X;T), bits", "I(X;T), bits", "layer"), strict=True):
            axis.set_xlabel(label)
        axes[0, 2].legend()
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=5, columnspacing=1, fontsize=7.5)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    isjax.configure_cpu()
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "information_plane.png"))
