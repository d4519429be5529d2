"""Does a known structure give a sufficient encoder, and how much information do other encoders lose?

Y depends on a binary string X only up to cyclic shifts, so the orbit of X is a sufficient code: I(X;Y|U) = 0
(arXiv:2405.20452, Definition 2). For any encoder I(X;Y) = I(U;Y) + I(X;Y|U): what a code does not retain about Y is
lost. A hundred other encoders lie on that line: coarser and finer than the orbits, random, and stochastic. Finer ones
lose nothing, nor does the coarsest sufficient encoder, which has as many codes as Y has distinct posteriors.
The null is δ = 0, where X is not informative about Y: every encoder then keeps nothing and loses nothing.

    python examples/sufficient_encoder.py [sufficient_encoder.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax


def encoders_of(key, orbits, num_each):
    """Encoders of four kinds: codes [encoder, x] or rows p(u | x) [encoder, x, u]."""
    num_symbols, num_orbits = orbits.size, int(orbits.max()) + 1
    key_coarser, key_finer, key_random, key_noise, key_rows = jax.random.split(key, 5)
    at_most = jnp.linspace(1, num_orbits, num_each).astype(int)[:, None]
    coarser = jax.random.randint(key_coarser, (num_each, num_orbits), 0, at_most)[:, orbits]
    finer = 2 * orbits + jax.random.bernoulli(key_finer, shape=(num_each, num_symbols))
    anything = jax.random.randint(key_random, (num_each, num_symbols), 0, 3 * at_most)
    # Mixtures of the rows of the orbits with random rows.
    noise = jax.random.uniform(key_noise, (num_each, 1, 1))
    random_rows = jax.random.dirichlet(key_rows, jnp.ones(num_orbits), (num_each, num_symbols))
    stochastic = (1 - noise) * isjax.encoder_kernel(orbits, num_codes=num_orbits) + noise * random_rows
    return {"coarser": coarser, "finer": finer, "random": anything, "stochastic": stochastic}


@jax.jit
def kept_and_lost(joint, encoder):
    """I(U;Y) and I(X;Y|U); the latter is summed directly and not computed as I(X;Y) − I(U;Y)."""
    kept = isjax.mutual_information(isjax.pushforward(joint, encoder))
    return jnp.stack([kept, isjax.mutual_information_loss(joint, encoder)])


def main(path, *, length=8, num_each=25):
    key_source, key_encoders = jax.random.split(jax.random.key(0))
    source, null = (
        isjax.invariant_source(key_source, length=length, num_classes=4, discrimination=discrimination)
        for discrimination in (0.8, 0.0)
    )
    joints = jnp.stack([source.joint, null.joint])[:, None]
    information = float(source.mutual_information)
    minimal = isjax.minimal_sufficient_encoder(source.joint)
    encoders = {"orbits": source.codes[None], "minimal": minimal[None]}
    encoders |= encoders_of(key_encoders, source.codes, num_each)

    # All encoders for the source and for the null: [kept or lost, source, encoder].
    rows = encoders["stochastic"]
    codes = jnp.concatenate([encoder for encoder in encoders.values() if encoder is not rows])
    every = np.concatenate([kept_and_lost(joints, codes), kept_and_lost(joints, rows)], axis=-1)
    ends = np.cumsum([len(encoder) for encoder in encoders.values()])
    points = dict(zip(encoders, np.split(every[:, 0], ends[:-1], axis=-1), strict=True))
    of_null = every[:, 1]

    found = {
        "I(X;Y)": information,
        "loss of the orbits": float(points["orbits"][1, 0]),
        "loss of the minimal sufficient": float(points["minimal"][1, 0]),
        "largest loss of the finer": float(points["finer"][1].max()),
        "least loss of the coarser": float(points["coarser"][1].min()),
        "largest |I(X;Y) − I(U;Y) − I(X;Y|U)|": float(np.abs(every[:, 0].sum(0) - information).max()),
        "null, largest": float(of_null.max()),
    }
    num_orbits, num_posteriors = (int(codes.max()) + 1 for codes in (source.codes, minimal))
    print(f"X: {source.codes.size} symbols, {num_orbits} orbits, {num_posteriors} distinct posteriors")
    for name, value in found.items():
        print(f"{name}: {value:.3g} nats")
    draw(path, points, of_null, information)
    return found


def draw(path, points, of_null, information):
    looks = {"coarser": "o", "random": "s", "stochastic": "^", "finer": "D", "orbits": "o", "minimal": "s"}
    single = {"orbits": (11, "the orbits"), "minimal": (15, "coarsest sufficient")}
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axis = plt.subplots(figsize=(5.4, 3.6))
        axis.plot([0, information], [information, 0], color="black", linewidth=0.8, label="I(U;Y) + I(X;Y|U) = I(X;Y)")
        for kind, marker in looks.items():
            size, label = single.get(kind, (4, f"{points[kind].shape[1]} {kind}"))
            fill = "none" if kind in single else "full"
            axis.plot(*points[kind][::-1], marker, markersize=size, fillstyle=fill, label=label)
        axis.plot(*of_null[::-1], "x", color="black", label="null: δ = 0, all encoders")
        axis.set(xlabel="lost: I(X;Y|U) (nats)", ylabel="kept: I(U;Y) (nats)")
        axis.legend(labelspacing=0.8)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "sufficient_encoder.png"))
