"""How do discrimination, sparsity, width, data length, batch size and learning rate affect the excess risk?

The numerical study of arXiv:2405.20452. Sources of eight binary inputs, of which k are relevant (sparsity k/8); the
discrimination δ sets how well the sufficient code predicts the class. MLPs of 32, 256 and 1024 hidden units, several
data lengths, batch sizes, learning rates and seeds: one call trains them all with SGD on the cross-entropy. The figure
shows the least excess risk along a run, at the batch size and learning rate with the lowest mean over seeds. The
encoder bias is the same at every data length and width, and grows with δ. More data or width reduces only the decoder
error, which is smaller for the sufficient code than for X itself, the more so the fewer inputs are relevant.
The null is δ = 0: there is nothing to learn or lose, and the excess risk of every encoder goes to zero.

    python examples/discrimination_and_sparsity.py [discrimination_and_sparsity.png]
"""

import pathlib
import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import isjax

ENCODERS = ("identity", "sufficient", "biased")


def best_parts(result):
    """Encoder bias and decoder error, [part, problem, width, length], at the best evaluation, batch size and rate."""
    excess = np.asarray(result.best_excess_risk).mean(-1).min(2)  # over seeds, then over batch sizes
    bias = np.broadcast_to(np.asarray(result.encoder_bias)[:, None, None], excess.shape)
    return np.stack([bias, excess - bias])


def main(
    path,
    *,
    num_inputs=8,
    nums_relevant=(2, 4),
    discriminations=(0.5, 0.8, 0.0),
    widths=(32, 256, 1024),
    lengths=(32, 128, 512, 2048, 8192),
    batch_sizes=(32, 128),
    num_steps=800,
):
    sources = {
        (k, delta): isjax.sparse_source(
            jax.random.key(k), num_inputs=num_inputs, num_relevant=k, num_classes=4, discrimination=delta
        )
        for k in nums_relevant
        for delta in discriminations
    }
    problems = [source.problem(encoder) for source in sources.values() for encoder in ENCODERS]
    spec = isjax.SweepSpec(
        hidden=[(width,) for width in widths],
        lengths=lengths,
        batch_sizes=batch_sizes,
        learning_rates=(0.03, 0.2),
        num_seeds=2,
        num_steps=num_steps,
        num_evals=12,
        schedule="linear",
    )
    result = isjax.sweep(jax.random.key(0), problems, spec)
    parts = best_parts(result)
    parts = parts.reshape(2, len(sources), len(ENCODERS), len(widths), len(lengths))

    found = dict(zip(sources, np.moveaxis(parts, 1, 0), strict=True))  # [part, encoder, width, length] of each source
    print(f"{spec.num_members * len(problems)} networks; encoder bias + decoder error (nats) at n =")
    print(" " * 36 + "".join(f"{n:>15}" for n in lengths))
    for (k, delta), of_source in found.items():
        for i, encoder in enumerate(ENCODERS):
            for j, width in enumerate(widths):
                cells = "".join(f"{bias:8.3f} +{error:5.3f}" for bias, error in of_source[:, i, j].T)
                print(f"k = {k}, δ = {delta:<4}{encoder:>11}, MLP {width:<5}{cells}")
    draw(path, widths, lengths, found)
    return found


def draw(path, widths, lengths, found):
    shown = [name for name in found if name[1] > 0]
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axes = plt.subplots(
            len(widths),
            len(shown),
            figsize=(2 * len(shown), 1.5 * len(widths) + 0.7),
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for column, (k, delta) in enumerate(shown):
            of_source, of_null = found[k, delta], found[k, 0.0]
            for row, width in enumerate(widths):
                axis = axes[row, column]
                labels = "biased U: encoder bias", "biased U: decoder error"
                axis.stackplot(lengths, of_source[:, 2, row], labels=labels, colors=("#D55E00", "#E69F00"), alpha=0.7)
                for i, (label, colour) in enumerate(
                    (("X itself: decoder error", "#0072B2"), ("sufficient U: decoder error", "#009E73"))
                ):
                    axis.plot(lengths, of_source[:, i, row].sum(0), color=colour, marker="o", label=label)
                axis.plot(
                    lengths,
                    of_null[:, :, row].sum(0).max(0),
                    "--",
                    color="black",
                    linewidth=0.9,
                    label="null: δ = 0, worst encoder",
                )
                axis.set(xscale="log", xlim=(lengths[0], lengths[-1]))
                axis.set_xticks(lengths[::2], map(str, lengths[::2]))
                axis.minorticks_off()
                if column == 0:
                    axis.set_ylabel(f"MLP {width}")
            axes[0, column].set_title(f"k = {k}, δ = {delta}")
        axes[0, 0].set_ylim(0, 1.05 * max(found[name].sum(0).max() for name in shown))
        figure.supxlabel("data length n", fontsize=9)
        figure.supylabel("excess risk (nats)", fontsize=9)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    isjax.configure_cpu()
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "discrimination_and_sparsity.png"))
