"""Is the excess risk of a learner exactly the information that its encoder loses?

Encoders with losses from zero to I(X;Y), each with MLPs trained on its code: the excess risk over the best predictor
from X at the end of training, against the loss I(X;Y|U). No decoder is below the diagonal, and with more data the
points converge to it (arXiv:2405.20452, Theorem 4). Every risk is exact: there is no test set.
The null is δ = 0, where X is not informative about Y: the same encoders lose nothing, and their risks tend to zero.

    python examples/risk_and_information_loss.py [risk_and_information_loss.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax


def main(path, *, num_encoders=24, lengths=(64, 256, 1024, 4096, 16384), num_inputs=10, num_relevant=4, num_steps=4000):
    def source_of(discrimination):
        key = jax.random.key(0)
        return isjax.sparse_source(
            key, num_inputs=num_inputs, num_relevant=num_relevant, num_classes=4, discrimination=discrimination
        )

    source, null = source_of(0.8), source_of(0.0)
    information = float(source.mutual_information)
    encoders = [isjax.biased_encoder(source, loss=loss) for loss in np.linspace(0, information, num_encoders)]
    problems = [each.problem(codes) for each in (source, null) for codes in encoders]

    # A batch with more samples than there are codes is represented by its counts, so a step costs no more.
    spec = isjax.SweepSpec(
        hidden=((32,),),
        lengths=lengths,
        batch_sizes=(128,),
        learning_rates=(0.5,),
        num_seeds=4,
        num_steps=num_steps,
        num_evals=8,
        schedule="linear",
    )
    result = isjax.sweep(jax.random.key(1), problems, spec)
    # After the last step: [problem, length, seed], then the mean over seeds.
    excess = result.excess_risk[:, 0, 0, 0, :, :, -1]
    excess, of_null = np.asarray(excess.mean(-1)).reshape(2, num_encoders, len(lengths))
    loss = np.asarray(isjax.mutual_information_loss(source.joint, jnp.stack(encoders)))

    difference = excess - loss[:, None]
    found = {
        "least difference": float(difference.min()),
        "largest difference, largest n": float(np.abs(difference[:, -1]).max()),
        "R²": float(1 - np.sum(difference[:, -1] ** 2) / np.sum((excess[:, -1] - excess[:, -1].mean()) ** 2)),
        "null, largest n": float(of_null[:, -1].max()),
    }
    print(f"I(X;Y) = {information:.4f} nats; {num_encoders} encoders, losses from {loss.min():.4f} to {loss.max():.4f}")
    for n, of_length in zip(lengths, difference.T, strict=True):
        print(f"  n = {n:5}: excess risk − loss from {of_length.min():.4f} to {of_length.max():.4f} nats")
    for name, value in found.items():
        print(f"{name}: {value:.5f}")
    draw(path, lengths, loss, excess, of_null)
    return found


def draw(path, lengths, loss, excess, of_null):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (risks, differences) = plt.subplots(1, 2, figsize=(7.2, 3))
        risks.axline((0, 0), slope=1, color="black", linewidth=0.8, label="excess risk = loss")
        for n, of_length, shade in zip(lengths, excess.T, np.linspace(0.25, 1, len(lengths)), strict=True):
            risks.plot(loss, of_length, "o", color=plt.get_cmap("Blues")(shade), label=f"n = {n}")
        risks.plot(loss, of_null[:, -1], "x", color="#D55E00", label=f"null: δ = 0, n = {lengths[-1]}")
        risks.set(xlabel="I(X;Y|U) at δ = 0.8 (nats)", ylabel="excess risk after training (nats)")
        differences.plot(lengths, (excess - loss[:, None]).T, color="#0072B2", linewidth=0.6)
        differences.axhline(0.02, color="black", linestyle="--", linewidth=0.8, label="0.02 nats")
        differences.set(xscale="log", yscale="log", xlabel="n", ylabel="excess risk − I(X;Y|U) (nats)")
        differences.set_xticks(lengths, map(str, lengths))
        differences.minorticks_off()
        differences.legend()
        figure.legend(*risks.get_legend_handles_labels(), loc="outside right center")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    isjax.configure_cpu()
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "risk_and_information_loss.png"))
