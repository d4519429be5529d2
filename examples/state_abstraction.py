"""Reinforcement learning: what does planning with codes of the states lose, and does the information loss bound it?

The second question that arXiv:2405.20452 leaves open. A state is a position on a torus of 4 × 4 fields and a weather
that changes slowly and matters for nothing; four actions move, and slip at times; two fields pay. An abstraction is an
encoder U of the state S. What it should keep is Y: the reward and the code of the next state, for each action A. With
uniform weights of states and actions its loss is I(S;Y|U,A). If it is zero, U is a bisimulation: planning with codes is
planning with states. If not, the model of the codes has for each y the mean of p(y | s, a) over the states of a code,
and its best policy loses at most

    V*(s) − V(s) ≤ 2/(1 − γ) · span(r + γ V_U) · max over (s, a) of √(D(p(·|s,a) ‖ p(·|u,a))/2)

by Pinsker's inequality, where V_U is the value in the model; and D is at most |S||A| I(S;Y|U,A). Compared are random
codes, KL-means of the reward alone, and KL-means of the reward and the next code, where the codes and what they must
predict are found in turns. More codes may lose more information, because there is more of the next code to predict.
The null is the bisimulation, the position: it loses no information and no value.

    python examples/state_abstraction.py [state_abstraction.png]
"""

import functools
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import isjax

DISCOUNT = 0.9
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def decision_process(*, side=4, num_weathers=4, slip=0.2, stay=0.9):
    """p(s' | s, a) [a, s, s'], p(reward | s, a) [a, s, r] for rewards 0 and 1, and the position of each state."""
    rows, columns = np.divmod(np.arange(side**2), side)
    moved = np.zeros((len(MOVES), side**2, side**2))
    for a, (down, right) in enumerate(MOVES):
        target = (rows + down) % side * side + (columns + right) % side
        moved[a, np.arange(side**2), target] = 1
    moved = (1 - slip) * moved + slip * moved.mean(0)
    weather = stay * np.eye(num_weathers) + (1 - stay) / num_weathers
    transitions = np.einsum("aij,vw->aivjw", moved, weather).reshape(len(MOVES), side**2 * num_weathers, -1)
    position = np.repeat(np.arange(side**2), num_weathers)
    pays = np.where(position == 0, 0.9, np.where(position == side + 1, 0.4, 0.05))
    rewards = np.broadcast_to(np.stack([1 - pays, pays], axis=-1), (len(MOVES), len(position), 2))
    return jnp.asarray(transitions, jnp.float32), jnp.asarray(rewards, jnp.float32), jnp.asarray(position)


def outcomes(transitions, rewards, codes, num_codes):
    """p(reward, next code | s, a), [a, s, y]: the reward and the next state are independent given s and a."""
    next_code = transitions @ isjax.encoder_kernel(codes, num_codes=num_codes)
    return (rewards[..., :, None] * next_code[..., None, :]).reshape(*transitions.shape[:2], -1)


@functools.partial(jax.jit, static_argnames="num_steps")
def best_values(transitions, expected_rewards, *, num_steps=400):
    """V* and Q* by value iteration, for transitions [a, s, s'] and mean rewards [a, s]."""

    def backup(values):
        return expected_rewards + DISCOUNT * transitions @ values

    values = jax.lax.fori_loop(0, num_steps, lambda _, v: backup(v).max(0), jnp.zeros(transitions.shape[1]))
    return values, backup(values)


@jax.jit
def judge(transitions, rewards, codes):
    """Of one abstraction: the information loss, the largest and the mean value lost, and Pinsker's bound."""
    num_codes = codes.size  # an upper bound, so that one program serves all abstractions
    of_states = outcomes(transitions, rewards, codes, num_codes)
    joints = of_states / codes.size
    of_codes = isjax.conditional_y_given_x(isjax.pushforward(joints, codes, num_codes=num_codes))
    loss = isjax.mutual_information_loss(joints, codes, num_codes=num_codes).mean()
    worst = isjax.kl_divergence(of_states, of_codes[:, codes]).max()

    model = of_codes.reshape(len(MOVES), num_codes, 2, num_codes)
    expected = model[:, :, 1].sum(-1)
    values_of_codes, choices = best_values(model.sum(2), expected)
    policy = choices.argmax(0)[codes]
    states = jnp.arange(codes.size)
    followed, paid = transitions[policy, states], rewards[policy, states, 1]
    values = jnp.linalg.solve(jnp.eye(codes.size) - DISCOUNT * followed, paid)
    best, _ = best_values(transitions, rewards[..., 1])
    used = values_of_codes[codes]
    span = 1 + DISCOUNT * (used.max() - used.min())
    bound = 2 / (1 - DISCOUNT) * span * jnp.sqrt(worst / 2)
    by_loss = 2 / (1 - DISCOUNT) * span * jnp.sqrt(codes.size * len(MOVES) * loss / 2)
    return jnp.stack([loss, (best - values).max(), (best - values).mean(), bound, by_loss])


@functools.partial(jax.jit, static_argnames=("num_codes", "num_turns"))
def learned(key, transitions, rewards, *, num_codes, num_turns=12):
    """Codes by KL-means of (action, reward), then of (action, reward, next code) in turns; all of them, [turn, s]."""
    num_symbols = transitions.shape[1]

    def turn(codes, key):
        y = outcomes(transitions, rewards, codes, num_codes)
        joint = jnp.moveaxis(y, 0, 1).reshape(num_symbols, -1) / (num_symbols * len(MOVES))
        codes = isjax.kl_means_quantizer(key, joint, num_codes=num_codes, num_restarts=16).codes
        return codes, codes

    # With one code for all states, the next code says nothing: the first turn is of the reward alone.
    return jax.lax.scan(turn, jnp.zeros(num_symbols, int), jax.random.split(key, num_turns))[1]


def main(path, *, nums_codes=(2, 4, 8, 12, 16), num_random=24, **options):
    transitions, rewards, position = decision_process(**options)
    of_one = functools.partial(judge, transitions, rewards)
    key_learned, key_random = jax.random.split(jax.random.key(0))

    points = {"position": np.asarray(of_one(position))[None], "reward alone": [], "reward and next code": []}
    for num_codes in nums_codes:
        turns = jax.vmap(of_one)(learned(key_learned, transitions, rewards, num_codes=num_codes))
        points["reward alone"].append(turns[0])
        points["reward and next code"].append(turns[jnp.argmin(turns[:, 0])])
    sizes = jnp.geomspace(2, position.size, num_random).astype(int)
    codes = jax.random.randint(key_random, (num_random, position.size), 0, sizes[:, None])
    points["random"] = jax.vmap(of_one)(codes)
    points = {name: np.asarray(some) for name, some in points.items()}

    values, _ = best_values(transitions, rewards[..., 1])
    every = np.concatenate([some for name, some in points.items() if name != "position"])
    lossy = every[every[:, 0] > 1e-6]
    found = {
        "best value, mean over states": float(values.mean()),
        "largest share of Pinsker's bound": float(np.max(lossy[:, 1] / lossy[:, 3])),
        "largest share of the bound by I(S;Y|U,A)": float(np.max(lossy[:, 1] / lossy[:, 4])),
        "random codes, least mean value lost": float(points["random"][:, 2].min()),
        "null, the position: loss": float(points["position"][0, 0]),
        "null, the position: value lost": float(points["position"][0, 1]),
    }
    for name, value in found.items():
        print(f"{name}: {value:.3g}")
    print(f"{'codes':40}" + "".join(f"{k:>9d}" for k in nums_codes))
    for name in ("reward alone", "reward and next code"):
        units = "nats", "value lost, worst", "value lost, mean"
        for unit, column in zip(units, points[name].T[:3], strict=True):
            print(f"{name:21}{unit:19}" + "".join(f"{value:9.4f}" for value in np.round(column, 4) + 0.0))
    num_positions = int(position.max()) + 1
    nums = dict.fromkeys(points, nums_codes) | {"position": (num_positions,), "random": np.asarray(sizes)}
    draw(path, points, nums)
    return found | points


def draw(path, points, nums_codes):
    looks = {"random": ".", "reward alone": "s", "reward and next code": "o", "position": "*"}
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, (worst, mean) = plt.subplots(1, 2, figsize=(7.6, 3.4))
        for name, marker in looks.items():
            loss, largest, average, bound, _ = points[name].T
            options = {"marker": marker, "linestyle": "none", "label": name, "markersize": 8 if marker != "." else 5}
            [line] = worst.plot(loss, largest, **options)
            worst.plot(loss, bound, "_", color=line.get_color(), markersize=8)
            mean.plot(nums_codes[name], average, **options)
        worst.plot([], [], "_", color="0.4", label="Pinsker's bound")
        worst.set_yscale("symlog", linthresh=1e-2)
        worst.set(xlabel="loss I(S;Y|U,A) (nats)", ylabel="value lost in the worst state", ylim=(-3e-3, None))
        mean.set(xlabel="number of codes", ylabel="value lost, mean over states", xscale="log")
        mean.set_xticks(ticks := [2, 4, 8, 16, 32, 64], [str(tick) for tick in ticks], minor=False)
        mean.minorticks_off()
        figure.legend(*worst.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "state_abstraction.png"))
