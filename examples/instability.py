"""Is training unstable if the decoder cannot approximate p(y | u)?

The summary of arXiv:2405.20452 names instability as a sign of such a decoder. Here it is measured, as the share of the
steps of gradient descent at which the exact risk rises, and as the standard deviation over seeds of the risk after the
last step. U is 6 bits and p(y | u) needs all of them jointly. Decoders from a linear one to 32 hidden units have
approximation errors from 0.7 nats to zero: the least error that each reaches with data without end. All are trained at
the same learning rates, on the distribution itself (exact gradients), and on 32 fresh samples in each step.
A narrow decoder may be unstable because it is narrow. So each has a null of its own: the same runs, on a distribution
whose p(y | u) is the best approximation by that decoder, its logits multiplied by a number such that I(U;Y) is the
same. The decoder can represent it, by larger weights of its last layer. In a second null, δ = 0, p(y | u) is uniform,
and every decoder can represent it.

    python examples/instability.py [instability.png]
"""

import functools
import math
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy import stats

import isjax

DECODERS = {"linear": (), "2": (2,), "4": (4,), "8": (8,), "32": (32,)}
CASES = "p(y|u)", "null: representable", "null: δ = 0"
ROUNDING = 1e-6  # nats, by which a risk may rise in single precision


@functools.partial(jax.jit, static_argnames=("network", "num_steps", "num_seeds"))
def best_approximation(problem, *, network, num_steps, num_seeds):
    """The least decoder error of a network that sees the distribution itself, and its log q(y | u)."""
    batch_size = problem.features.shape[0]
    config = isjax.TrainConfig(batch_size=batch_size, num_steps=num_steps, num_evals=1, optimizer=optax.adam)

    def run(key):
        trace = isjax.train(key, problem, math.inf, 0.03, network=network, config=config)
        return trace.risk.decoder_error[-1], trace.log_decoder[-1]

    errors, decoders = jax.vmap(run)(jax.random.split(jax.random.key(1), num_seeds))
    return jnp.min(errors), decoders[jnp.argmin(errors)]


@jax.jit
def representable(problem, log_decoder):
    """A problem whose p(y | u) is that of the decoder with its logits multiplied, and I(U;Y) as before."""
    p_u, information = isjax.marginal_x(problem.joint), isjax.mutual_information(problem.joint)

    def of_scale(log_scale):
        return isjax.joint_distribution(p_u, jax.nn.softmax(jnp.exp(log_scale) * log_decoder))

    def bisect(_, bounds):
        middle = jnp.mean(bounds)
        is_less = isjax.mutual_information(of_scale(middle)) < information
        return jnp.where(is_less, bounds.at[0].set(middle), bounds.at[1].set(middle))

    return problem._replace(joint=of_scale(jax.lax.fori_loop(0, 40, bisect, jnp.array([0.0, 8.0]))[0]))


def main(
    path, *, decoders=tuple(DECODERS), num_inputs=6, rates=(0.1, 0.5, 2.0), num_steps=300, num_seeds=12, fit_steps=2000
):
    options = {"num_inputs": num_inputs, "num_relevant": num_inputs, "num_classes": 4}
    problem, uniform = (
        isjax.sparse_source(jax.random.key(0), **options, discrimination=delta).problem("identity")
        for delta in (0.8, 0.0)
    )
    num_codes = problem.features.shape[0]
    found = {"approximation error": {}, "rises": {}, "spread": {}, "information": {}}
    for name in decoders:
        network = isjax.MLP(DECODERS[name], num_classes=4)
        error, log_decoder = best_approximation(problem, network=network, num_steps=fit_steps, num_seeds=4)
        other = representable(problem, log_decoder)
        spec = isjax.SweepSpec(
            networks={name: network},
            lengths=(math.inf,),
            batch_sizes=(num_codes, 32 * num_codes // 64),
            learning_rates=rates,
            num_seeds=num_seeds,
            num_steps=num_steps,
            num_evals=num_steps,  # every step
            schedule="constant",
        )
        result = isjax.sweep(jax.random.key(2), [problem, other, uniform], spec)
        risk = np.asarray(result.decoder_error)[:, 0, :, :, 0]  # [case, batch size, rate, seed, step]
        found["approximation error"][name] = float(error)
        found["rises"][name] = (np.diff(risk, axis=-1) > ROUNDING).mean(-1)  # [case, batch size, rate, seed]
        found["spread"][name] = risk[..., -1].std(-1, ddof=1)
        found["information"][name] = [float(isjax.mutual_information(each.joint)) for each in (problem, other)]
    report(found, rates)
    draw(path, found, rates)
    return found


def interval(differences):
    """Mean over seeds and the half-width of its 95 % t-interval."""
    n = differences.shape[-1]
    return differences.mean(-1), stats.t.ppf(0.975, n - 1) * differences.std(-1, ddof=1) / n**0.5


def report(found, rates):
    above, larger = {}, {}
    for name, error in found["approximation error"].items():
        rises, spread = found["rises"][name], found["spread"][name]
        information = "I(U;Y) {:.4f}, in the null {:.4f}".format(*found["information"][name])
        print(f"decoder {name}: approximation error {error:.4f} nats; {information}")
        for b, batch in enumerate(("exact gradients", "fresh samples")):
            means, halves = interval(rises[0, b] - rises[1, b])
            above.setdefault(batch, []).extend(means > halves)
            larger.setdefault(batch, []).extend(spread[0, b] > spread[1, b])
            for r, rate in enumerate(rates):
                share, spreads = (
                    ", ".join(f"{value:.3f}" for value in values[:, b, r]) for values in (rises.mean(-1), spread)
                )
                print(
                    f"  {batch}, rate {rate:g}: share of rising steps {share} "
                    f"(minus null {means[r]:+.3f} ± {halves[r]:.3f}); spread {spreads}"
                )
    for batch in above:
        print(
            f"{batch}: of {len(above[batch])} settings the share of rising steps is above the null in "
            f"{sum(above[batch])}, by 95 % intervals; the spread is larger than in the null in {sum(larger[batch])}"
        )


def draw(path, found, rates):
    errors = found["approximation error"]
    at = np.arange(len(errors))
    styles = {"linestyle": "-", "marker": "o"}, {"linestyle": "--", "marker": "x"}, {"linestyle": ":", "marker": "."}
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(2, 2, figsize=(7.8, 5.6), sharex=True, sharey="row")
        for row, (measure, label) in enumerate(
            {"rises": "share of steps with a rising risk", "spread": "spread of the last risk (nats)"}.items()
        ):
            for b, title in enumerate(("exact gradients", "32 fresh samples in each step")):
                axis = axes[row, b]
                values = np.stack([found[measure][name] for name in errors])  # [decoder, case, batch size, rate, …]
                values = values.mean(-1) if measure == "rises" else values
                for r, rate in enumerate(rates):
                    for case, style in enumerate(styles):
                        axis.plot(
                            at, values[:, case, b, r], color=f"C{r}", label=f"rate {rate:g}: {CASES[case]}", **style
                        )
                if row == 0:
                    axis.set_title(title)
            axes[row, 0].set_ylabel(label)
        for axis in axes[1]:
            axis.set_xticks(at, [f"{name}\n{error:.3f}" for name, error in errors.items()])
            axis.set_xlabel("hidden units, and approximation error (nats)")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    isjax.configure_cpu()
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "instability.png"))
