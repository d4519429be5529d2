"""What does the code of a network that learns its own encoder lose, and is that its code's fault or its decoder's?

Encoder-decoders of K codes learn from X itself, ten binary inputs of which three matter, so that eight codes of the
right kind lose nothing (arXiv:2405.20452, Theorem 6: I(X;Y|V) = I(X;Y|U) + I(U;Y|V), here with U = X). The excess risk
of each is split exactly into what its code V loses and what its decoder has not learned: by the number of codes, soft
or hard, and by optimiser, with few data and with many. With few data more codes raise the decoder's error; with many,
nearly all of the excess risk is what the code lost, a local optimum, and Adam with more codes than needed finds none.
What the codes keep is compared with the information bottleneck's curve, which no code exceeds. The null is a source of
discrimination zero, of which no code can lose anything.

    python examples/learned_codes.py [learned_codes.png]
"""

import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import isjax

OPTIMIZERS = {
    "SGD": (optax.sgd, 0.5),
    "momentum": (functools.partial(optax.sgd, momentum=0.9), 0.1),
    "Adam": (optax.adam, 0.01),
}
KINDS = {"SGD": ("soft",), "momentum": ("soft",), "Adam": ("soft", "hard")}


def source_of(discrimination, num_inputs):
    options = {"num_inputs": num_inputs, "num_relevant": 3, "num_classes": 4}
    return isjax.sparse_source(jax.random.key(0), **options, discrimination=discrimination)


def sweep_of(problem, name, numbers, **options):
    """Code loss and decoder error after the last step, [kind, K, length, seed]."""
    (optimizer, rate), kinds = OPTIMIZERS[name], KINDS[name]
    networks = {f"{kind} {k}": isjax.EncoderDecoder((32,), k, 4, quantisation=kind) for kind in kinds for k in numbers}
    spec = isjax.SweepSpec(networks=networks, optimizer=optimizer, learning_rates=(rate,), num_evals=2, **options)
    result = isjax.sweep(jax.random.key(1), [problem], spec)
    parts = [np.asarray(part)[0, :, 0, 0, :, :, -1] for part in (result.code_loss, result.decoder_error)]
    return [part.reshape(len(kinds), len(numbers), *part.shape[1:]) for part in parts]


def kept_by_codes(problem, information, num_codes, lengths, num_seeds, num_steps):
    """Complexity I(X;V) and relevance I(V;Y) of trained soft codes, [point]."""
    config = isjax.TrainConfig(num_steps=num_steps, num_evals=1, optimizer=optax.adam, max_length=max(lengths))
    network = isjax.EncoderDecoder((32,), num_codes, 4)
    p_x = isjax.marginal_x(problem.joint)

    @jax.jit
    @jax.vmap
    def point(key, length):
        trace = isjax.train(key, problem, length, 0.01, network=network, config=config)
        joint_xv = isjax.joint_distribution(p_x, jnp.asarray(trace.code)[-1])
        return jnp.stack([isjax.mutual_information(joint_xv), information - trace.code_loss[-1]])

    keys = jnp.tile(jax.random.split(jax.random.key(2), num_seeds), len(lengths))
    return np.asarray(point(keys, jnp.repeat(jnp.array(lengths), num_seeds)))


def main(path, *, num_inputs=10, numbers=(2, 4, 8, 32), lengths=(64, 4096), num_seeds=4, num_steps=4000):
    problem = source_of(0.8, num_inputs).problem("identity")
    options = {"lengths": lengths, "num_seeds": num_seeds, "num_steps": num_steps}
    parts = {name: sweep_of(problem, name, numbers, **options) for name in OPTIMIZERS}
    information = float(isjax.mutual_information(problem.joint))
    betas = jnp.geomspace(1, 200, 40)
    curve = isjax.bottleneck_curve(jax.random.key(3), _of_codes(num_inputs), betas, num_codes=8)
    points = kept_by_codes(problem, information, 8, lengths, num_seeds, num_steps)
    null = sweep_of(source_of(0.0, num_inputs).problem("identity"), "SGD", numbers[:1], **options)[0]

    found = {"I(X;Y)": information, "null, largest code loss": float(null.max())}
    for name, (lost, error) in parts.items():
        for i, kind in enumerate(KINDS[name]):
            for k in (1, len(numbers) - 1):
                label = f"{name}, {kind}, {numbers[k]} codes, n={lengths[-1]}"
                found[f"{label}: code loss"] = float(lost[i, k, -1].mean())
                found[f"{label}: decoder error"] = float(error[i, k, -1].mean())
    share = np.mean([lost[..., -1, :].mean() / (lost + error)[..., -1, :].mean() for lost, error in parts.values()])
    few = np.mean([lost[..., 0, :].mean() / (lost + error)[..., 0, :].mean() for lost, error in parts.values()])
    found[f"share of the code in the excess risk, n={lengths[-1]}"] = float(share)
    found[f"share of the code in the excess risk, n={lengths[0]}"] = float(few)
    found["least of parts"] = min(float(part.min()) for of_optimizer in parts.values() for part in of_optimizer)
    found["largest excess over the bottleneck's curve"] = float(np.max(_above(curve, points)))
    for name, value in found.items():
        print(f"{name}: {value:.3g}")
    draw(path, parts, numbers, lengths, curve, points, information)
    return {name: float(value) for name, value in found.items()}


def _of_codes(num_inputs):
    """The joint distribution of the sufficient code and Y, which has the same curve as that of X and Y."""
    problem = source_of(0.8, num_inputs).problem("sufficient")
    return isjax.pushforward(problem.joint, problem.codes, num_codes=len(problem.features))


def _above(curve, points):
    """How much more each point keeps than the curve allows for its complexity."""
    complexity, relevance = (np.concatenate([[0.0], np.sort(part)]) for part in (curve.complexity, curve.relevance))
    return points[:, 1] - np.interp(points[:, 0], complexity, relevance)


def draw(path, parts, numbers, lengths, curve, points, information):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 3, figsize=(7.8, 5.2))
        at = np.arange(len(numbers))
        for row, length in enumerate(lengths):
            top = max((lost + error)[:, :, row].mean(-1).max() for lost, error in parts.values())
            for axis, name in zip(axes[row, :2], ("SGD", "Adam"), strict=True):
                lost, error = parts[name]
                for i, kind in enumerate(KINDS[name]):
                    x = at + 0.4 * i - 0.2 * (len(KINDS[name]) - 1)
                    of_code, of_decoder = lost[i, :, row].mean(-1), error[i, :, row].mean(-1)
                    hatch = {"hatch": "////", "edgecolor": "white", "linewidth": 0} if kind == "hard" else {}
                    axis.bar(x, of_code, 0.36, color="C1", label=f"code loss, {kind}", **hatch)
                    axis.bar(x, of_decoder, 0.36, of_code, color="0.6", label=f"decoder error, {kind}", **hatch)
                axis.set(title=f"{name}, n = {length}", ylim=(0, 1.05 * top), xlabel="codes K")
                axis.set_xticks(at, map(str, numbers))
            axes[row, 0].set_ylabel("excess risk (nats)")
        by_optimizer, plane = axes[:, 2]
        for name, (lost, _) in parts.items():
            by_optimizer.plot(at, lost[0, :, -1].mean(-1), marker="o", label=name)
        by_optimizer.set(
            title=f"soft codes, n = {lengths[-1]}", xlabel="codes K", ylabel="code loss (nats)", ylim=(0, None)
        )
        by_optimizer.set_xticks(at, map(str, numbers))
        by_optimizer.legend()
        plane.plot(np.sort(curve.complexity), np.sort(curve.relevance), color="C0", label="bottleneck")
        size = len(points) // len(lengths)
        for i, length in enumerate(lengths):
            of_length = points[i * size : (i + 1) * size]
            plane.plot(*of_length.T, marker="os"[i % 2], linestyle="none", label=f"learned, n = {length}")
        plane.axhline(information, color="0.5", linestyle="--", linewidth=0.9)
        plane.set(title="8 soft codes, Adam", xlabel="I(X;V) (nats)", ylabel="I(V;Y) (nats)", ylim=(0, None))
        plane.legend(loc="lower right")
        figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "learned_codes.png"))
