"""When the distribution drifts, what does a fixed encoder cost, and when should a new one be learned?

The first question that arXiv:2405.20452 leaves open. Y depends on three of six binary inputs, and later on three
others: p_t(x, y) moves from one source to another. The encoder of eight codes that was best at time s loses
I_t(X;Y|U) at every other time t. It cannot lose more than what it lost at s plus ``isjax.drift_bound`` of the total
variation between p_s and p_t.

If learning a new encoder costs c nats, when is it worth it? Whoever knows p_t sums what the encoder in use loses in
excess of a new one, and learns anew when the sum reaches c (the ski-rental rule). Whoever does not watches a window of
the last samples: half of it teaches a candidate, the other half says how much more the candidate retains,
I(U_new;Y) − I(U_old;Y), with a bootstrap interval. Where the interval lies above zero the estimate is added to the sum.
The window looks back, so during a drift it sees less than what is lost by now. Both start with the same encoder, and
are compared with learning never and at every step, and with the schedule of least cost in hindsight, found by dynamic
programming. Costs are exact: the loss under p_t of the encoder in use, and c for each new one.
The null is a source that does not drift: the first encoder loses nothing, and neither rule replaces it.

    python examples/drift.py [drift.png]
"""

import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax

NUM_CLASSES, NUM_CODES = 4, 8


def drifting_joints(key, num_times, *, drifts=True):
    """Distributions [t, x, y] that move from one source to another along a ramp, or stay at the first."""
    options = {"num_inputs": 6, "num_relevant": 3, "num_classes": NUM_CLASSES, "discrimination": 0.9}
    first, last = (isjax.sparse_source(each, **options).joint for each in jax.random.split(key))
    ramp = jnp.clip(jnp.linspace(-0.5, 1.5, num_times), 0, 1) if drifts else jnp.zeros(num_times)
    progress = ramp[:, None, None]
    return (1 - progress) * first + progress * last


@jax.jit
def best_encoders(key, joints):
    """The encoder learned at each time, [s, x]."""
    keys = jax.random.split(key, joints.shape[0])
    learn = functools.partial(isjax.kl_means_quantizer, num_codes=NUM_CODES, num_restarts=32)
    return jax.vmap(lambda key, joint: learn(key, joint).codes)(keys, joints)


def losses_of(encoders, joints):
    """Loss at time t of the encoder learned at time s, [s, t]."""
    return isjax.mutual_information_loss(joints, encoders[:, None], num_codes=NUM_CODES)


def retained(samples):
    """I(U_s;Y) of the codes of each encoder, [s], less that of the last of them."""
    codes, y = samples
    joint_of = functools.partial(isjax.empirical_joint, shape=(NUM_CODES, NUM_CLASSES))
    informations = isjax.mutual_information(jax.vmap(joint_of, (1, None))(codes, y))
    return informations[-1] - informations


@functools.partial(jax.jit, static_argnames=("per_step", "num_steps", "num_resamples"))
def watch(key, joints, first, *, per_step, num_steps, num_resamples):
    """What windows of ``num_steps`` steps say: encoders learned from half of each, and intervals from the other half.

    The intervals ``[s, t]`` are for what encoder s loses in excess of encoder t under the window at time t. The
    encoder of time 0 is ``first``, which is in use already.
    """
    key_samples, key_learn, key_bootstrap = jax.random.split(key, 3)
    num_times, num_symbols, _ = joints.shape
    steps = jnp.maximum(jnp.arange(1 - num_steps, num_times), 0)  # before time 0, the source stood still
    draw = functools.partial(isjax.sample, num_samples=per_step)
    stream = jax.vmap(draw)(jax.random.split(key_samples, len(steps)), joints[steps])
    windows = jnp.arange(num_times)[:, None] + jnp.arange(num_steps)
    x, y = (samples[windows].reshape(num_times, -1) for samples in stream)
    counted = isjax.empirical_joint(x[:, ::2], y[:, ::2], shape=(num_symbols, NUM_CLASSES))
    encoders = best_encoders(key_learn, counted).at[0].set(first)

    def intervals(numbered):
        t, key, x, y = numbered
        every = jnp.concatenate([encoders, encoders[t][None]])
        interval = isjax.bootstrap(key, retained, (every.T[x], y), num_resamples=num_resamples)
        return jnp.stack(interval)[:, :-1]

    keys = jax.random.split(key_bootstrap, num_times)
    found = jax.lax.map(intervals, (jnp.arange(num_times), keys, x[:, 1::2], y[:, 1::2]))
    return encoders, jnp.moveaxis(found, 0, -1), joints[steps][windows].mean(axis=1)


def ski_rental_times(excess, price):
    """Times of the updates when the excess, [s, t], is summed; every policy starts with an encoder of time 0."""
    times, total = [0], 0.0
    for t in range(len(excess)):
        total += excess[times[-1], t]
        if total >= price and excess[times[-1], t] > 0:
            times, total = [*times, t], 0.0
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


def in_use(matrix, times):
    """The entry [s, t] of the encoder s that a schedule uses at each time t."""
    last = np.searchsorted(times, np.arange(matrix.shape[-1]), side="right") - 1
    return matrix[..., np.asarray(times)[last], np.arange(matrix.shape[-1])]


def study(key, joints, **window):
    """Exact losses [s, t] of the encoders of one who knows p_t and of one who watches, and what the latter sees."""
    key_learn, key_watch = jax.random.split(key)
    known = best_encoders(key_learn, joints)
    losses = losses_of(known, joints)
    encoders, intervals, of_windows = watch(key_watch, joints, known[0], **window)
    losses_in_windows = losses_of(encoders, of_windows)
    truth = losses_in_windows - losses_in_windows.diagonal()
    return tuple(map(np.asarray, (losses, losses_of(encoders, joints), intervals, truth)))


def evidence(intervals):
    """The estimated excess where the interval lies above zero, and zero elsewhere."""
    estimate, low, _ = intervals
    return np.where(low > 0, estimate, 0)


def main(path, *, num_times=64, prices=(0.05, 0.2, 0.5, 1, 2, 5, 20), shown=1, per_step=500, num_steps=8):
    key_source, key = jax.random.split(jax.random.key(0))
    window = {"per_step": per_step, "num_steps": num_steps, "num_resamples": 99}
    joints, still = (drifting_joints(key_source, num_times, drifts=drifts) for drifts in (True, False))
    losses, watched, intervals, truth = study(key, joints, **window)
    null, null_watched, null_intervals, null_truth = study(key, still, **window)
    known = losses - losses.diagonal()

    schedules = {
        "never": lambda _: (losses, [0]),
        "at every step": lambda _: (losses, range(num_times)),
        "rule, p known": lambda price: (losses, ski_rental_times(known, price)),
        "rule, window": lambda price: (watched, ski_rental_times(evidence(intervals), price)),
        "best in hindsight": lambda price: (losses, best_in_hindsight(losses, price)),
    }
    costs = {name: [] for name in schedules}
    for price in prices:
        for name, schedule in schedules.items():
            of_encoders, times = schedule(price)
            costs[name].append(float(in_use(of_encoders, list(times)).sum()) + price * (len(times) - 1))
    best = np.asarray(costs["best in hindsight"])

    later = np.triu(np.ones((num_times, num_times), bool), 1)
    distance = isjax.total_variation(joints[0], joints, axis=(-2, -1))
    bound = np.asarray(isjax.drift_bound(jnp.minimum(distance, 1), NUM_CLASSES))
    changes = np.abs(losses[0] - losses[0, 0])
    found = {
        "loss of the first encoder at the end": float(losses[0, -1]),
        "largest loss of a new encoder": float(losses.diagonal().max()),
        "largest loss of one learned from a window": float(watched.diagonal().max()),
        "largest share of the drift bound": float(np.max(changes / np.maximum(bound, 1e-6))),
        "intervals that cover, drift": float(np.mean((intervals[1] <= truth) & (truth <= intervals[2]), where=later)),
        "intervals that cover, null": float(
            np.mean((null_intervals[1] <= null_truth) & (null_truth <= null_intervals[2]), where=later)
        ),
        "largest cost over the best, p known": float(np.max(costs["rule, p known"] / best)),
        "largest cost over the best, window": float(np.max(costs["rule, window"] / best)),
        "updates, p known": len(ski_rental_times(known, shown)) - 1,
        "updates, window": len(ski_rental_times(evidence(intervals), shown)) - 1,
        "null, largest loss, p known": float(null.max()),
        "null, largest loss, window": float(null_watched.max()),
        "null, updates, p known": len(ski_rental_times(null - null.diagonal(), min(prices))) - 1,
        "null, updates, window": len(ski_rental_times(evidence(null_intervals), min(prices))) - 1,
        "costs": costs,
    }
    for name, value in found.items():
        if name != "costs":
            print(f"{name}: {value:.3g}")
    print(f"{'price of an update, nats':24}" + "".join(f"{price:>8g}" for price in prices))
    for name, row in costs.items():
        print(f"{name:24}" + "".join(f"{cost:8.2f}" for cost in row))
    seen = ski_rental_times(evidence(intervals), shown)
    draw(path, in_use(intervals, seen), in_use(watched - watched.diagonal(), seen), seen, shown, prices, costs)
    return found


def draw(path, seen, truth, times, shown, prices, costs):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (over_time, totals) = plt.subplots(1, 2, figsize=(7.6, 3.2))
        steps = np.arange(len(truth))
        over_time.axhline(0, color="0.6", linewidth=0.8)
        over_time.fill_between(steps, seen[1], seen[2], alpha=0.3, label="window: 95 % interval")
        over_time.plot(steps, seen[0], label="window: estimate")
        over_time.plot(steps, truth, color="black", label="exact, at that time")
        over_time.plot(times[1:], np.zeros(len(times) - 1), "v", color="black", label=f"new encoder, c = {shown:g}")
        over_time.set(xlabel="time", ylabel="excess loss of the encoder in use (nats)")
        over_time.set_ylim(top=1.25 * max(truth.max(), seen[2].max()))  # room for the legend
        over_time.legend()
        for (name, row), marker in zip(costs.items(), "oosD^", strict=True):
            totals.plot(prices, row, marker=marker, label=name, color="black" if "best" in name else None)
        totals.set(
            xscale="log", yscale="log", xlabel="price c of an update (nats)", ylabel="total loss and price (nats)"
        )
        totals.legend()
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "drift.png"))
