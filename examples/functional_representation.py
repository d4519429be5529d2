"""Is every model with a sufficient encoder a function of the code and of noise that is independent of X?

If U = η(X) is sufficient for Y, then Y = f(W, U) for some noise W independent of X (arXiv:2405.20452, Theorem 1). On
finite alphabets f and W are explicit: the steps of all distribution functions p(· | u) cut [0, 1] into intervals, W is
the interval that contains a uniform number, and f(W, u) is the y whose step contains it. Here W and X are drawn
independently and the empirical distribution of (X, f(W, U)) is compared with p(x, y): it is as close as samples of p
itself. If the encoder is not sufficient, the construction gives the nearest model for which it is; their divergence is
I(X;Y|U).
The null is δ = 0, where the biased encoder loses nothing and does as well as the sufficient one.

    python examples/functional_representation.py [functional_representation.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax


def representation(source, codes):
    """W and f for the code of an encoder."""
    num_codes = int(codes.max()) + 1
    channel = isjax.conditional_y_given_x(isjax.pushforward(source.joint, codes, num_codes=num_codes))
    return isjax.functional_representation(channel)


def law(source, codes, model):
    """The exact distribution of (X, f(W, η(X)))."""
    num_classes = source.joint.shape[1]
    rows = jnp.einsum("w,wuy->uy", model.noise, jax.nn.one_hot(model.outcome, num_classes))
    return isjax.joint_distribution(isjax.marginal_x(source.joint), rows[codes])


def distance_of_samples(key, source, codes, model, lengths):
    """Total variation between p(x, y) and the first n samples of X and Y = f(W, η(X)), for each n."""
    key_x, key_w = jax.random.split(key)
    x = jax.random.categorical(key_x, jnp.log(isjax.marginal_x(source.joint)), shape=(max(lengths),))
    w = jax.random.categorical(key_w, jnp.log(model.noise), shape=(max(lengths),))
    return distances(source, x, model.outcome[w, codes[x]], lengths)


def distances(source, x, y, lengths):
    empirical = jnp.stack([isjax.empirical_joint(x[:n], y[:n], shape=source.joint.shape) for n in lengths])
    return np.asarray(isjax.total_variation(empirical, source.joint, axis=(-2, -1)))


def main(path, *, lengths=(10**3, 10**4, 10**5, 10**6), num_inputs=6):
    options = {"num_inputs": num_inputs, "num_relevant": 3, "num_classes": 4}
    source, null = (isjax.sparse_source(jax.random.key(0), **options, discrimination=delta) for delta in (0.6, 0.0))
    cases = {
        "sufficient U": (source, source.codes),
        "biased U": (source, source.biased_codes),
        "null: biased U, δ = 0": (null, null.biased_codes),
    }
    key, key_direct = jax.random.split(jax.random.key(1))
    far, found = {}, {}
    for name, (of_case, codes) in cases.items():
        model = representation(of_case, codes)
        exact = law(of_case, codes, model)
        found[f"{name}: D(p ‖ law of f(W, U))"] = float(isjax.kl_divergence(of_case.joint, exact, axis=(-2, -1)))
        found[f"{name}: I(X;Y|U)"] = float(isjax.mutual_information_loss(of_case.joint, codes))
        far[name] = distance_of_samples(key, of_case, codes, model, lengths)
    far["samples of p itself"] = distances(source, *isjax.sample(key_direct, source.joint, max(lengths)), lengths)
    for name, value in found.items():
        print(f"{name} = {value:.3g} nats")
    print(f"{'total variation from p at n =':32}" + "".join(f"{n:>10}" for n in lengths))
    for name, row in far.items():
        print(f"{name:32}" + "".join(f"{distance:10.4f}" for distance in row))
    draw(path, lengths, far, representation(source, source.codes))
    return found | {"far": far}


def draw(path, lengths, far, model):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (distance, function) = plt.subplots(1, 2, figsize=(7.6, 3.2))
        looks = {"sufficient U": "o-", "biased U": "^-", "null: biased U, δ = 0": "x--", "samples of p itself": "k:"}
        for name, look in looks.items():
            distance.plot(lengths, far[name], look, label=name)
        distance.set(
            xscale="log", yscale="log", xlabel="samples of X, W and Y = f(W, U)", ylabel="total variation from p(x, y)"
        )
        distance.legend()
        held = np.asarray(model.noise) > 0
        edges = np.append(0, np.cumsum(np.asarray(model.noise)[held]))
        classes = np.asarray(model.outcome)[held].T
        function.grid(visible=False)
        colours = plt.get_cmap("viridis", classes.max() + 1)
        mesh = function.pcolormesh(
            edges, np.arange(len(classes) + 1) - 0.5, classes, cmap=colours, vmin=-0.5, vmax=classes.max() + 0.5
        )
        figure.colorbar(mesh, ax=function, label="y = f(w, u)", ticks=range(classes.max() + 1))
        function.set(xlabel="w: an interval of [0, 1]", ylabel="u", title="f, for the sufficient U")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "functional_representation.png"))
