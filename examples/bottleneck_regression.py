"""Is the encoder that keeps the most information also good for regression, where the loss is the squared error?

The second question that arXiv:2405.20452 leaves open. Y takes sixteen values on a line, and p(y | x) is bell-shaped. An
encoder loses I(X;Y|U) nats; regression on U has a squared error that exceeds that of regression on X by
E(E[Y|X] − E[Y|U])². A sufficient U costs neither, and if Y lies in an interval of length r, the excess squared error is
at most r²/2 times I(X;Y|U) (Pinsker's inequality, for each x and u). Three families of encoders are compared: K codes
with the least information loss (KL-means), K codes with the least squared error (intervals of E[Y|X], by the dynamic
programming of ``optimal_quantizer``), and the information bottleneck along β. Where X changes only the mean of Y, both
losses go to zero together. Where it also changes the spread, intervals of the mean still lose information after their
excess squared error has vanished: to estimate p(y | x), a risk or a quantile, one needs the information; to estimate
the mean, less is enough.
The null is a shuffled Y, for which every encoder loses nothing of either.

    python examples/bottleneck_regression.py [bottleneck_regression.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax

VALUES = np.linspace(-1, 1, 16)
SQUARED_ERROR = isjax.squared_error(VALUES)


def bells(num_means, spreads):
    """p(x, y) for uniform x = (mean, spread) and bell-shaped p(y | x)."""
    means, spreads = (a.ravel()[:, None] for a in np.meshgrid(np.linspace(-0.8, 0.8, num_means), spreads))
    rows = jax.nn.softmax(jnp.asarray(-((VALUES - means) ** 2) / (2 * spreads**2)))
    return rows / len(rows)


def prices_of(key, joint, nums_codes, betas):
    """Information loss in nats and excess squared error, [encoder, 2], for each family of encoders."""
    key_means, key_curve = jax.random.split(key)
    informed = isjax.quantizers_up_to(key_means, joint, num_codes=max(nums_codes)).codes[np.subtract(nums_codes, 1)]
    cells = [isjax.optimal_quantizer(joint, num_codes=k, rule=SQUARED_ERROR).codes for k in nums_codes]
    curve = isjax.bottleneck_curve(key_curve, joint, betas, num_codes=max(nums_codes), num_restarts=2)
    families = {"KL-means": informed, "cells of the mean": jnp.stack(cells), "bottleneck": curve.encoder}

    def prices(encoder):
        return jnp.stack([isjax.scored_loss(joint, encoder, rule) for rule in (isjax.log_score, SQUARED_ERROR)])

    return {name: np.asarray(jax.vmap(prices)(encoders)) for name, encoders in families.items()}


def main(path, *, num_means=12, num_spreads=4, nums_codes=(1, 2, 3, 4, 6, 8, 12), num_betas=24):
    joints = {
        "X moves the mean alone": bells(num_means * num_spreads, [0.2]),
        "X moves mean and spread": bells(num_means, np.geomspace(0.08, 0.5, num_spreads)),
    }
    found, every = {}, {}
    betas, bound = jnp.geomspace(1.5, 300, num_betas), (VALUES[-1] - VALUES[0]) ** 2 / 2
    for name, joint in joints.items():
        every[name] = prices_of(jax.random.key(0), joint, nums_codes, betas)
        print(f"{name}: I(X;Y) = {float(isjax.mutual_information(joint)):.3f} nats")
        print(f"{'codes':20}" + "".join(f"{k:>9d}" for k in nums_codes))
        for family in ("KL-means", "cells of the mean"):
            for unit, column in zip(("nats", "squared error"), every[name][family].T, strict=True):
                print(f"{family[:8]:8} {unit:13}" + "".join(f"{price:9.5f}" for price in column))
        found[name] = every[name]
    shuffled = isjax.product_distribution(
        *(f(joints["X moves mean and spread"]) for f in (isjax.marginal_x, isjax.marginal_y))
    )
    of_null = prices_of(jax.random.key(0), shuffled, nums_codes, betas)
    points = np.concatenate([family for families in every.values() for family in families.values()])
    found["largest share of the bound"] = float(np.max(points[:, 1] / np.maximum(bound * points[:, 0], 1e-12)))
    found["null, largest price"] = float(max(np.abs(family).max() for family in of_null.values()))
    for name in ("largest share of the bound", "null, largest price"):
        print(f"{name}: {found[name]:.3g}")
    draw(path, every, of_null, bound)
    return found


def draw(path, every, of_null, bound):
    looks = {"KL-means": "o", "cells of the mean": "s", "bottleneck": "-"}
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), sharex=True, sharey=True)
        for axis, (title, families) in zip(axes, every.items(), strict=True):
            nats = np.append(0, np.geomspace(1e-3, max(family[:, 0].max() for family in families.values()), 200))
            axis.plot(nats, bound * nats, color="0.6", linestyle="--", linewidth=0.9, label="bound r²/2 · I(X;Y|U)")
            for name, look in looks.items():
                size, fill = (8, "none") if look == "o" else (4, "full")
                axis.plot(*families[name].T, look, label=name, markersize=size, fillstyle=fill)
            axis.plot(*of_null["KL-means"].T, "x", color="black", label="null: Y shuffled")
            axis.set(xscale="symlog", yscale="symlog", title=title, xlabel="loss I(X;Y|U) (nats)")
            axis.set_xscale("symlog", linthresh=1e-2)
            axis.set_yscale("symlog", linthresh=1e-3)
            axis.set(xlim=(-2e-3, None), ylim=(-2e-4, None))
            axis.minorticks_off()
        axes[0].set_ylabel("excess squared error")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, columnspacing=1)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "bottleneck_regression.png"))
