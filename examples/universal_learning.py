"""How fast may an encoder grow with the data for learning to be universal?

The excess risk tends to zero if and only if both of its parts do: the loss I(X;Y|U_n) of the encoder, and the error of
a decoder learned from n samples (arXiv:2405.20452). Here Y depends on fourteen bits of X, on each less than on the one
before, jointly with all those before it. U_n is the first m(n) bits; the decoder counts and adds one half (Krichevsky
and Trofimov). The risk is decomposed exactly for all m and n in one jitted call; a schedule m(n) is a path through
them. With m fixed, the encoder bias stays. With m = log₂ n there is one sample per code, and the decoder error stays.
With m = ½ log₂ n both vanish.
The null is a shuffled Y: no schedule has a bias, and the slowest is the best.

    python examples/universal_learning.py [universal_learning.png]
"""

import math
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax

SCHEDULES = {
    "too slow: m = 2": lambda n: 2,
    "m = ½ log₂ n": lambda n: int(math.log2(n) / 2),
    "too fast: m = log₂ n": lambda n: int(math.log2(n)),
}


def graded_joint(key, num_bits, num_classes, decay=0.8):
    """p(x, y) in which each bit of X, given the earlier ones, changes the logits of Y less than the one before."""
    symbols, logits = jnp.arange(2**num_bits), jnp.zeros((2**num_bits, num_classes))
    for bit, key_bit in enumerate(jax.random.split(key, num_bits), start=1):
        moves = jax.random.normal(key_bit, (2**bit, num_classes))
        logits += 1.5 * decay**bit * moves[symbols >> (num_bits - bit)]
    return jax.nn.softmax(logits) / 2**num_bits


@jax.jit
def split_of_every_size(key, joint, num_kept, lengths):
    """Encoder bias and decoder error, [part, m, n], of an encoder that keeps m bits and a decoder of n samples."""
    num_symbols = joint.shape[0]
    x, y = isjax.sample(key, joint, num_symbols)

    def split(kept, length):
        codes = jnp.arange(num_symbols) >> (round(math.log2(num_symbols)) - kept)
        weights = (jnp.arange(num_symbols) < length).astype(joint.dtype)
        counts = jnp.zeros_like(joint).at[codes[x], y].add(weights) + 0.5
        log_decoder = jnp.log(counts / counts.sum(-1, keepdims=True))
        parts = isjax.risk_decomposition(joint, log_decoder, codes)
        return jnp.stack([parts.encoder_bias, parts.decoder_error])

    of_kept = jax.lax.map(lambda m: jax.lax.map(lambda n: split(m, n), lengths), num_kept)
    return jnp.moveaxis(of_kept, -1, 0)


def main(path, *, num_bits=14, num_classes=4, num_seeds=4):
    key_joint, key_samples = jax.random.split(jax.random.key(0))
    joint = graded_joint(key_joint, num_bits, num_classes)
    shuffled = isjax.product_distribution(isjax.marginal_x(joint), isjax.marginal_y(joint))
    num_kept, lengths = np.arange(num_bits + 1), 2 ** np.arange(4, num_bits + 1)

    def of(joint):
        keys = jax.random.split(key_samples, num_seeds)
        return np.mean(
            [split_of_every_size(key, joint, jnp.asarray(num_kept), jnp.asarray(lengths)) for key in keys], axis=0
        )

    every, of_null = of(joint), of(shuffled)
    found = {}
    print(f"I(X;Y) = {float(isjax.mutual_information(joint)):.3f} nats; encoder bias + decoder error at n =")
    print(" " * 22 + "".join(f"{n:>15}" for n in lengths[::2]))
    for name, schedule in SCHEDULES.items():
        path_of = np.array([schedule(n) for n in lengths]), np.arange(len(lengths))
        found[name] = every[:, *path_of]
        found[f"null, {name}"] = of_null[:, *path_of]
        print(f"{name:22}" + "".join(f"{bias:8.3f} +{error:5.3f}" for bias, error in found[name][:, ::2].T))
    draw(path, lengths, found)
    return found


def draw(path, lengths, found):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(1, len(SCHEDULES), figsize=(7.6, 3.1), sharey=True)
        for axis, name in zip(axes, SCHEDULES, strict=True):
            labels = "encoder bias I(X;Y|U)", "decoder error"
            axis.stackplot(lengths, found[name], labels=labels, colors=("#D55E00", "#56B4E9"), alpha=0.8)
            axis.plot(
                lengths,
                found[f"null, {name}"].sum(0),
                "--",
                color="black",
                linewidth=0.9,
                label="null: Y shuffled, both",
            )
            axis.set(xscale="log", xlabel="samples n", title=name, ylim=(0, None), xlim=(lengths[0], lengths[-1]))
        axes[0].set_ylabel("excess risk (nats)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "universal_learning.png"))
