"""Which layer of a network loses the information about Y during training?

A network whose layers output signs is a chain of codes X → U₁ → U₂ → U₃, and its total loss is the sum of the losses of
its layers: I(X;Y|U₃) = Σ I(U_{l−1};Y|U_l) (arXiv:2405.20452, Theorem 6). The network is trained on the exact
cross-entropy with straight-through gradients, and the loss of every layer is computed at intervals.
The same network without signs is shown for comparison. Its activations are real numbers that distinguish all inputs, so
every loss is zero. Binned activations show what a decoder of that resolution could not recover, but the result depends
on the bin width, and they are no chain: the binned code of a layer is hardly ever a function of that of the layer
before, so the loss cannot be attributed to layers.
The null is an injective layer, the inputs themselves: it loses nothing, in either network, at any time.

    python examples/layers.py [layers.png]
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


class Network(nn.Module):
    """The inputs, the outputs of the hidden layers, and the logits."""

    widths: Sequence[int]
    num_classes: int
    has_signs: bool

    @nn.compact
    def __call__(self, inputs):
        outputs = [inputs]
        for width in self.widths:
            h = nn.tanh(nn.Dense(width)(outputs[-1]))
            outputs.append(h + jax.lax.stop_gradient(jnp.sign(h) - h) if self.has_signs else h)
        return [*outputs, nn.Dense(self.num_classes)(outputs[-1])]


def params_along_training(key, network, source, *, num_probes, steps_per_probe):
    """Parameters at every probe, stacked, and the excess risk there."""
    optimizer = optax.adam(0.01)
    params = network.init(key, source.features)

    def risk(params):
        return -jnp.sum(source.joint * jax.nn.log_softmax(network.apply(params, source.features)[-1]))

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(risk)(params), state)
        return (optax.apply_updates(params, updates), state), None

    def until_probe(carry, _):
        params = carry[0]
        return jax.lax.scan(step, carry, length=steps_per_probe)[0], (params, risk(params) - source.conditional_entropy)

    return jax.lax.scan(until_probe, (params, optimizer.init(params)), length=num_probes)[1]


def main(path, *, num_inputs=8, widths=(7, 5, 3), num_probes=40, steps_per_probe=8, bin_widths=(0.1, 0.5, 1.0)):
    options = {"num_inputs": num_inputs, "num_relevant": 4, "num_classes": 4, "discrimination": 0.9}
    source = isjax.sparse_source(jax.random.key(3), **options)
    found = {"steps": np.arange(num_probes) * steps_per_probe}
    for name, has_signs in (("signs", True), ("real", False)):
        network = Network(widths, source.joint.shape[1], has_signs)

        @jax.jit
        def trained_and_probed(key, network=network, has_signs=has_signs):
            params, excess = params_along_training(
                key, network, source, num_probes=num_probes, steps_per_probe=steps_per_probe
            )

            def losses(params, bin_width):
                def hidden(inputs):
                    return network.apply(params, inputs)[:-1]

                return isjax.layer_losses(hidden, source.features, source.joint, bin_width=bin_width)

            of_widths = (None,) if has_signs else (None, *bin_widths)
            return excess, [jax.vmap(lambda p, width=width: losses(p, width))(params) for width in of_widths]

        excess, probes = trained_and_probed(jax.random.key(0))
        found[f"{name}, excess risk"] = np.asarray(excess)
        for width, probe in zip((None, *bin_widths), probes, strict=False):
            label = name if width is None else f"{name}, bins of {width:g}"
            found[f"{label}, losses"], found[f"{label}, own losses"] = map(np.asarray, (probe.losses, probe.own_losses))
            found[f"{label}, is a chain"] = np.asarray(probe.is_chain)
    signs = found["signs, own losses"]
    print(f"I(X;Y) = {float(source.mutual_information):.3f} nats; layers: the inputs, then widths {widths}")
    print(
        "signs: own losses at the start "
        + np.array2string(signs[0], precision=3)
        + ", at the end "
        + np.array2string(signs[-1], precision=3)
    )
    print(
        f"signs: largest |sum of own losses − loss| = {np.abs(signs.sum(1) - found['signs, losses'][:, -1]).max():.2g}"
    )
    print(f"signs: excess risk {found['signs, excess risk'][-1]:.4f}, of which the layers lose {signs[-1].sum():.4f}")
    print(f"real numbers: largest loss of any layer {found['real, losses'].max():.2g}; at the end, with bins:")
    for width in bin_widths:
        losses, chain = found[f"real, bins of {width:g}, losses"], found[f"real, bins of {width:g}, is a chain"]
        print(
            f"  of {width:g}: "
            + np.array2string(losses[-1], precision=3)
            + f", a chain at {chain.mean():.0%} of the probes"
        )
    draw(path, found, widths, bin_widths)
    return found


def draw(path, found, widths, bin_widths):
    steps = found["steps"]
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (signs, real) = plt.subplots(1, 2, figsize=(7.8, 3.2), sharey=True)
        own = found["signs, own losses"].T
        labels = [f"lost by layer {layer}, {width} signs" for layer, width in enumerate(widths, start=1)]
        signs.stackplot(steps, own[1:], labels=labels, alpha=0.8)
        signs.plot(steps, found["signs, excess risk"], color="black", label="excess risk")
        signs.plot(steps, own[0], "--", color="0.4", label="null: the inputs themselves")
        signs.set(xlabel="step", ylabel="nats", title="layers of signs: a chain", ylim=(-0.03, None))
        signs.legend()
        last = len(widths)
        real.plot(steps, found["real, excess risk"], color="black", label="excess risk")
        real.plot(steps, found["real, losses"][:, last], color="#0072B2", label=f"layer {last}, no bins")
        for width, colour in zip(bin_widths, ("#56B4E9", "#E69F00", "#D55E00"), strict=False):
            real.plot(
                steps,
                found[f"real, bins of {width:g}, losses"][:, last],
                color=colour,
                label=f"layer {last}, bins of {width:g}",
            )
        real.plot(steps, found["real, losses"][:, 0], "--", color="0.4", label="null: the inputs themselves")
        real.set(xlabel="step", title="real numbers, binned afterwards: no chain")
        real.legend()
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "layers.png"))
