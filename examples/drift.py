"""When the distribution drifts, what does a fixed encoder cost, and when should a new one be learned?

The first question that arXiv:2405.20452 leaves open. Y depends on three of six binary inputs, and later on three
others: p_t(x, y) moves from one source to another. The encoder of eight codes that was best at time s loses
I_t(X;Y|U) at every other time t; the losses of all encoders at all times are one batched call, with no training. If
learning a new encoder costs c nats, when is it worth it? Three policies: never; at every step; and when the loss in
excess of a new encoder's, summed since the last update, reaches c (the ski-rental rule). They are compared with the
schedule of least cost in hindsight, found by dynamic programming.
The null is a source that does not drift: the first encoder loses nothing, and the rule never updates it.

    python examples/drift.py [drift.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax


def drifting_joints(key, num_times, *, drifts=True):
    """Distributions [t, x, y] that move from one source to another along a sigmoid, or stay at the first."""
    options = {"num_inputs": 6, "num_relevant": 3, "num_classes": 4, "discrimination": 0.9}
    first, last = (isjax.sparse_source(each, **options).joint for each in jax.random.split(key))
    progress = jax.nn.sigmoid(jnp.linspace(-6, 6, num_times))[:, None, None] if drifts else jnp.zeros((num_times, 1, 1))
    return (1 - progress) * first + progress * last


@jax.jit
def losses_of_every_encoder_at_every_time(key, joints):
    """Loss at time t of the encoder learned at time s, [s, t]."""
    keys = jax.random.split(key, joints.shape[0])
    learn = jax.vmap(lambda key, joint: isjax.kl_means_quantizer(key, joint, num_codes=8, num_restarts=32).codes)
    return isjax.mutual_information_loss(joints, learn(keys, joints)[:, None], num_codes=8)


def ski_rental_times(losses, price):
    """Times of the updates under the ski-rental rule; every policy starts with an encoder learned at time 0."""
    times, excess = [0], 0.0
    for t in range(len(losses)):
        excess += losses[times[-1], t] - losses[t, t]
        if excess >= price and losses[times[-1], t] > losses[t, t]:
            times, excess = [*times, t], 0.0
    return times


def best_in_hindsight(losses, price):
    """The schedule of least cost, by dynamic programming over the time of the last update."""
    num_times = len(losses)
    least, schedule = np.full(num_times + 1, np.inf), [[] for _ in range(num_times + 1)]
    least[0] = -price  # the first encoder is free
    for start in range(num_times):
        costs = least[start] + price + np.cumsum(losses[start, start:])
        for end, cost in enumerate(costs, start + 1):
            if cost < least[end]:
                least[end], schedule[end] = cost, [*schedule[start], start]
    return schedule[num_times]


def along(losses, times):
    """Loss at each time under a schedule."""
    last = np.searchsorted(times, np.arange(len(losses)), side="right") - 1
    return losses[np.asarray(times)[last], np.arange(len(losses))]


def main(path, *, num_times=64, prices=(0.05, 0.2, 0.5, 1, 2, 5, 20), shown=1):
    key_source, key_learn = jax.random.split(jax.random.key(0))
    losses, of_null = (
        np.asarray(
            losses_of_every_encoder_at_every_time(key_learn, drifting_joints(key_source, num_times, drifts=drifts))
        )
        for drifts in (True, False)
    )
    costs = {"never": [], "at every step": [], "by the rule": [], "best in hindsight": []}
    for price in prices:
        schedules = [0], range(num_times), ski_rental_times(losses, price)
        for name, times in zip(costs, (*schedules, best_in_hindsight(losses, price)), strict=True):
            costs[name].append(float(along(losses, list(times)).sum()) + price * (len(times) - 1))
    times = ski_rental_times(losses, shown)

    found = {
        "loss of the first encoder at the end": float(losses[0, -1]),
        "largest loss of a new encoder": float(losses.diagonal().max()),
        "largest cost of the rule over the best": float(
            np.max(np.divide(costs["by the rule"], costs["best in hindsight"]))
        ),
        "updates by the rule": len(times) - 1,
        "null, largest loss": float(of_null.max()),
        "null, updates": len(ski_rental_times(of_null, min(prices))) - 1,
        "costs": costs,
    }
    for name, value in found.items():
        if name != "costs":
            print(f"{name}: {value:.3g}")
    print(f"{'price of an update, nats':24}" + "".join(f"{price:>8g}" for price in prices))
    for name, row in costs.items():
        print(f"{name:24}" + "".join(f"{cost:8.2f}" for cost in row))
    draw(path, losses, of_null, times, shown, prices, costs)
    return found


def draw(path, losses, of_null, times, shown, prices, costs):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (over_time, totals) = plt.subplots(1, 2, figsize=(7.6, 3))
        over_time.plot(losses[0], label="never")
        over_time.plot(losses.diagonal(), label="at every step")
        (line,) = over_time.plot(along(losses, times), label=f"by the rule, c = {shown:g}")
        over_time.plot(times[1:], along(losses, times)[times[1:]], "o", color=line.get_color(), label="updates")
        over_time.plot(of_null[0], "--", color="black", linewidth=0.9, label="null: no drift, never")
        over_time.set(xlabel="time", ylabel="loss I(X;Y|U) (nats)")
        over_time.legend()
        for (name, row), marker in zip(costs.items(), "oos^", strict=True):
            totals.plot(prices, row, marker=marker, label=name, color="black" if "best" in name else None)
        totals.set(
            xscale="log", yscale="log", xlabel="price c of an update (nats)", ylabel="total loss and price (nats)"
        )
        totals.legend()
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "drift.png"))
