"""Is learning a decoder the same as projecting the truth onto the models for which the encoder is sufficient?

A decoder q(y | u) defines a model m = p(x) q(y | η(x)), for which η is sufficient. Among all such models the nearest to
the truth is μ = p(x) p(y | u), with D(p ‖ μ) = I(X;Y|U) (arXiv:2405.20452, Theorem 5), and every m satisfies the
Pythagorean identity D(p ‖ m) = D(p ‖ μ) + D(μ ‖ m). So SGD on the cross-entropy must move the learned model towards μ,
which is verified here at every evaluation of its run. This requires a decoder that can express p(y | u): a linear one,
with a code whose bits are informative only jointly, stops before.
The null is δ = 0, where the biased encoder loses nothing and the learned model tends to the truth itself.

    python examples/projection.py [projection.png]
"""

import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax


@functools.partial(jax.jit, static_argnames=("length", "network", "config"))
def distances_along_runs(keys, source, problem, nearest, *, length, network, config):
    """D(p ‖ m) and D(μ ‖ m), [seed, evaluation], of the learned models m, and the evaluation steps."""

    def run(key):
        trace = isjax.train(key, problem, length, 0.5, network=network, config=config)
        decoders = jnp.exp(trace.log_decoder)[:, problem.codes]  # [evaluation, x, y]
        learned = isjax.joint_distribution(isjax.marginal_x(source.joint), decoders)
        from_truth, from_nearest = (isjax.kl_divergence(p, learned, axis=(-2, -1)) for p in (source.joint, nearest))
        return from_truth, from_nearest, trace.steps

    return jax.vmap(run)(keys)


def main(path, *, num_inputs=8, length=16384, num_steps=4000, num_seeds=8):
    options = {"num_inputs": num_inputs, "num_relevant": 3, "num_classes": 4}
    source, null = (isjax.sparse_source(jax.random.key(0), **options, discrimination=delta) for delta in (0.8, 0.0))
    cases = {
        "sufficient U": (source, source.codes, (32,)),
        "biased U": (source, source.biased_codes, (32,)),
        "sufficient U, linear decoder": (source, source.codes, ()),
        "null: biased U, δ = 0": (null, null.biased_codes, (32,)),
    }
    config = isjax.TrainConfig(batch_size=256, num_steps=num_steps, num_evals=24, schedule="linear")
    keys, found = jax.random.split(jax.random.key(1), num_seeds), {}
    for name, (of_case, codes, hidden) in cases.items():
        nearest = isjax.sufficient_projection(of_case.joint, codes)
        network = isjax.MLP(hidden, num_classes=of_case.joint.shape[1])
        problem, options = of_case.problem(codes), {"length": length, "network": network, "config": config}
        runs = distances_along_runs(keys, of_case, problem, nearest.distribution, **options)
        from_truth, from_nearest, steps = map(np.asarray, runs)
        divergence = float(nearest.divergence)
        found[name] = {
            "D(p‖μ)": divergence,
            "I(X;Y|U)": float(isjax.mutual_information_loss(of_case.joint, codes)),
            "D(p‖m), first": float(from_truth[:, 0].mean()),
            "D(p‖m), last": float(from_truth[:, -1].mean()),
            "D(μ‖m), last": float(from_nearest[:, -1].mean()),
            "Pythagoras, largest gap": float(np.abs(from_truth - divergence - from_nearest).max()),
            "along": (steps[0], from_truth.mean(0), from_nearest.mean(0)),
        }
        print(f"{name}: " + ", ".join(f"{key} = {value:.3g}" for key, value in found[name].items() if key != "along"))
    draw(path, found)
    return found


def draw(path, found):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (of_truth, of_nearest) = plt.subplots(1, 2, figsize=(7.4, 3))
        for (name, of_case), marker in zip(found.items(), "osdx", strict=True):
            steps, from_truth, from_nearest = of_case["along"]
            (line,) = of_truth.plot(steps, from_truth, marker=marker, label=name)
            of_truth.axhline(of_case["D(p‖μ)"], color=line.get_color(), linestyle="--", linewidth=0.9)
            of_nearest.plot(steps, from_nearest, marker=marker, label=name)
        of_truth.axhline(np.nan, color="0.4", linestyle="--", linewidth=0.9, label="D(p ‖ μ) = I(X;Y|U)")
        of_truth.set(xscale="log", xlabel="step", ylabel="D(p ‖ learned model) (nats)", ylim=(-0.03, None))
        of_nearest.set(xscale="log", yscale="log", xlabel="step", ylabel="D(μ ‖ learned model) (nats)")
        of_truth.legend()
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "projection.png"))
