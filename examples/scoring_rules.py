"""Does an encoder that loses no information lose nothing under other losses than the cross-entropy?

Every proper scoring rule splits a risk as the cross-entropy is split in arXiv:2405.20452, Theorem 4: the least risk of
all predictors from X, what the encoder adds to it, and what its decoder has not learned. Encoders of three kinds are
compared by what they lose under the logarithmic, the Brier and the zero-one rule and the squared error: random codes,
codes of the best guess, which keep argmax p(y | x) and nothing else, and codes of the mean of a number that Y stands
for. Strictly proper rules lose nothing only if U is sufficient; codes of the best guess lose nothing under the zero-one
rule, codes of the mean nothing under the squared error, and both lose information. Pinsker's inequality bounds each by
the information. Then a decoder that counts n samples is judged by all rules: the encoder's part stays, whatever n.
The null is a shuffled Y, for which every encoder loses nothing under every rule.

    python examples/scoring_rules.py [scoring_rules.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax

VALUES = np.array([0.0, 1.0, 2.0, 4.0])
RULES = isjax.log_score, isjax.brier_score, isjax.zero_one_score, isjax.squared_error(VALUES)
BOUNDS = {
    "brier": lambda nats: 2 * nats,
    "zero_one": lambda nats: np.sqrt(2 * nats),
    "squared_error": lambda nats: np.ptp(VALUES) ** 2 / 2 * nats,
}
SUFFICIENT = "sufficient"


def graded_joint(key, *, num_posteriors=24, num_repeats=4):
    """p(x, y) of which each posterior belongs to several inputs, and the code of the posterior, which is sufficient.

    Each posterior of the second half has the mean of one of the first.
    """
    key_rows, key_x = jax.random.split(key)
    rows = jax.random.dirichlet(key_rows, 0.6 * jnp.ones(VALUES.size), (num_posteriors,))
    inwards = jnp.array([-1.0, 2.0, -1.0, 0.0])  # from the values 0 and 2 to 1, which leaves the mean
    moved = 0.9 * jnp.minimum(rows[:, 0], rows[:, 2])[:, None]
    rows = jnp.concatenate([rows, rows + moved * inwards])
    codes = jnp.repeat(jnp.arange(len(rows)), num_repeats)
    p_x = jax.random.dirichlet(key_x, 4 * jnp.ones(codes.size))
    return isjax.joint_distribution(p_x, rows[codes]), codes


def encoders_of(key, joint, codes, num_random):
    """Codes [encoder, x] of each kind."""
    num_symbols, posterior = len(joint), isjax.conditional_y_given_x(joint)
    sizes = jnp.geomspace(1, num_symbols, num_random).astype(int)[:, None]
    mean = np.round(np.asarray(posterior) @ VALUES, 4)
    return {
        "random": jax.random.randint(key, (num_random, num_symbols), 0, sizes),
        SUFFICIENT: codes[None],
        "of the best guess": jnp.argmax(posterior, axis=-1)[None],
        "of the mean": jnp.asarray(np.unique(mean, return_inverse=True)[1])[None],
    }


@jax.jit
def losses_of(joint, encoders):
    """What each encoder loses under each rule, [rule, encoder]."""
    return jnp.stack([isjax.scored_loss(joint, encoders, rule) for rule in RULES])


def counting(key, joint, encoder, length, num_codes):
    """Rows log q(y | u) of a decoder that counts samples, with half a count more in each cell."""
    x, y = isjax.sample(key, joint, length)
    counted = isjax.empirical_joint(encoder[x], y, shape=(num_codes, VALUES.size))
    return jnp.log(isjax.normalise(length * counted + 0.5, axis=-1))


def splits_of(key, joint, encoder, lengths, num_seeds):
    """The three parts of each risk, [rule, length, part], in the mean over seeds; their largest gap to the risk."""
    num_codes, parts, gap = int(encoder.max()) + 1, [], 0.0
    joint_uy = np.asarray(isjax.pushforward(joint, encoder, num_codes=num_codes), np.float64)
    for length in lengths:
        keys = jax.random.split(jax.random.fold_in(key, length), num_seeds)
        log_q = jax.vmap(lambda key, n=length: counting(key, joint, encoder, n, num_codes))(keys)
        splits = [isjax.risk_decomposition(joint, log_q, encoder, rule=rule) for rule in RULES]
        q = np.exp(np.asarray(log_q, np.float64))
        errors = 1 - np.take_along_axis(joint_uy[None], q.argmax(-1)[..., None], -1).sum((-2, -1))
        squares = np.sum(joint_uy * (VALUES - (q @ VALUES)[..., None]) ** 2, axis=(-2, -1))
        gap = max(gap, np.abs(splits[2].risk - errors).max(), np.abs(splits[3].risk - squares).max())
        parts.append([[float(part.mean()) for part in split] for split in splits])
    return np.moveaxis(np.array(parts), 1, 0), gap


def main(path, *, num_random=200, lengths=(16, 64, 256, 1024, 4096, 16384), num_seeds=20):
    key_joint, key_encoders, key_samples = jax.random.split(jax.random.key(0), 3)
    joint, codes = graded_joint(key_joint)
    shuffled = isjax.product_distribution(isjax.marginal_x(joint), isjax.marginal_y(joint))
    encoders = encoders_of(key_encoders, joint, codes, num_random)
    points = {kind: np.asarray(losses_of(joint, some)) for kind, some in encoders.items()}
    every = np.concatenate(list(points.values()), axis=-1)
    guess = encoders["of the best guess"][0]
    parts, gap = splits_of(key_samples, joint, guess, lengths, num_seeds)

    names = [rule.name for rule in RULES]
    found = {f"{name}, {kind} codes": points[kind][i, 0] for kind in list(encoders)[1:] for i, name in enumerate(names)}
    for i, name in enumerate(names[1:], 1):
        found[f"{name}, largest share of its bound"] = np.max(every[i] / np.maximum(BOUNDS[name](every[0]), 1e-9))
    found["largest gap between a risk and its parts"] = gap
    found["null, largest loss"] = max(float(losses_of(shuffled, some).max()) for some in encoders.values())
    for name, value in found.items():
        print(f"{name}: {value:.3g}")
    print(f"{'n, codes of the best guess':34}" + "".join(f"{n:>9}" for n in lengths))
    for name, of_rule in zip(names, parts, strict=True):
        for part, row in zip(("least risk", "encoder", "decoder"), of_rule.T, strict=True):
            print(f"{name:14} {part:19}" + "".join(f"{value:9.4f}" for value in row))
    draw(path, points, dict(zip(names, parts, strict=True)), lengths)
    return {name: float(value) for name, value in found.items()} | {"parts": parts}


def draw(path, points, parts, lengths):
    looks = {"random": ".", SUFFICIENT: "*", "of the best guess": "s", "of the mean": "D"}
    titles = {"brier": "Brier", "zero_one": "zero-one", "squared_error": "squared error"}
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 2, figsize=(7.6, 5.6))
        axes = axes.ravel()
        nats = np.linspace(0, 1.05 * points["random"][0].max(), 200)
        for axis, (row, (name, title)) in zip(axes[:3], enumerate(titles.items(), 1), strict=True):
            for kind, marker in looks.items():
                size = 4 if kind == "random" else 7
                axis.plot(points[kind][0], points[kind][row], marker, markersize=size, linestyle="none", label=kind)
            axis.plot(nats, BOUNDS[name](nats), color="0.5", linestyle="--", linewidth=0.9, label="Pinsker's bound")
            top = 1.4 * points["random"][row].max()
            axis.set(title=title, xlabel="loss I(X;Y|U) (nats)", ylim=(-0.05 * top, top))
            axis.set_ylabel("loss under the rule")
        least, encoder, decoder = parts["brier"].T
        axes[3].stackplot(
            lengths, least, encoder, decoder, colors=["0.8", "C3", "C0"], labels=["least risk", "encoder", "decoder"]
        )
        axes[3].set(title="codes of the best guess", xscale="log", xlabel="samples n", ylabel="Brier risk")
        axes[3].set(xlim=(lengths[0], lengths[-1]), ylim=(0.8 * least[0], None))
        axes[3].legend(loc="upper right")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "scoring_rules.png"))
