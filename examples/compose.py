"""The measures inside other JAX code: as an objective in a Flax training loop, under vmap and under shard_map.

A Flax network maps each x to a distribution over codes, p(u | x). It is trained with optax in an ordinary loop. The
objective, I(X;U) / β − I(U;Y), is two calls of this library, differentiable and exact: no variational bound and no
sampling. One vmap trains several networks for each β. The best of them reach the information bottleneck curve, which
isjax computes by the Blahut-Arimoto iteration and which no encoder exceeds. Then the loss of many encoders is computed
in a loop, under vmap, as a batch and under shard_map over devices, with equal results.
The null is a shuffled Y: no code is informative, and the trained code carries no information at any β.

    python examples/compose.py [compose.png]
"""

import pathlib
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

import isjax


class Encoder(nn.Module):
    """Logits of p(u | x)."""

    num_codes: int

    @nn.compact
    def __call__(self, features):
        return nn.Dense(self.num_codes)(nn.gelu(nn.Dense(128)(features)))


def train(key, beta, joint, features, *, num_codes, num_steps):
    """Trains one network on I(X;U) / β − I(U;Y); returns I(X;U) and I(U;Y) of the trained code."""
    network, optimizer = Encoder(num_codes), optax.adam(1e-2)
    params = network.init(key, features)

    def complexity_and_relevance(params):
        rows = jax.nn.softmax(jnp.asarray(network.apply(params, features)))
        p_x = isjax.marginal_x(joint)
        complexity = isjax.mutual_information(isjax.joint_distribution(p_x, rows))
        return complexity, isjax.mutual_information(isjax.pushforward(joint, rows))

    def objective(params):
        complexity, relevance = complexity_and_relevance(params)
        return complexity / beta - relevance

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params), state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=num_steps)
    return jnp.stack(complexity_and_relevance(params))


def losses_in_four_ways(joint, encoders):
    """I(X;Y|U) of encoders [e, x]: in a loop, under vmap, as a batch, and split over devices."""

    def loss(codes):
        return isjax.mutual_information_loss(joint, codes)

    mesh = Mesh(np.asarray(jax.devices()), ("device",))
    along = PartitionSpec("device")
    return {
        "loop": jnp.stack([loss(codes) for codes in encoders]),
        "vmap": jax.vmap(loss)(encoders),
        "batch": loss(encoders),
        "shard_map": jax.jit(jax.shard_map(jax.vmap(loss), mesh=mesh, in_specs=along, out_specs=along))(encoders),
    }


def main(path, *, num_inputs=6, num_betas=12, num_restarts=4, num_codes=8, num_steps=1500, num_encoders=256):
    keys = dict(zip(("source", "train", "curve", "encoders"), jax.random.split(jax.random.key(0), 4), strict=True))
    options = {"num_inputs": num_inputs, "num_relevant": 3, "num_classes": 4, "discrimination": 0.8}
    source = isjax.sparse_source(keys["source"], **options)
    betas = jnp.geomspace(1.4, 4, num_betas)
    shuffled = isjax.product_distribution(isjax.marginal_x(source.joint), isjax.marginal_y(source.joint))

    def of_beta(key, beta, joint):
        return train(key, beta, joint, source.features, num_codes=num_codes, num_steps=num_steps)

    def best_of(keys, beta, joint):
        runs = jax.vmap(of_beta, in_axes=(0, None, None))(keys, beta, joint)
        return runs[jnp.argmin(runs[:, 0] / beta - runs[:, 1])]

    of_joints = jax.vmap(jax.vmap(best_of, in_axes=(0, 0, None)), in_axes=(None, None, 0))
    restarts = jax.random.split(keys["train"], (num_betas, num_restarts))
    learnt, of_null = np.asarray(jax.jit(of_joints)(restarts, betas, jnp.stack([source.joint, shuffled])))
    curve = isjax.bottleneck_curve(keys["curve"], source.joint, betas, num_codes=num_codes)
    best = np.asarray(curve.complexity / betas - curve.relevance)
    objective = learnt[:, 0] / np.asarray(betas) - learnt[:, 1]

    draws = jax.random.split(keys["encoders"], num_encoders)
    encoders = jax.vmap(lambda key: isjax.random_encoder(key, source.joint.shape[0], num_codes))(draws)
    losses = losses_in_four_ways(source.joint, encoders)
    found = {
        "I(X;Y)": float(source.mutual_information),
        "objective above the curve's, at most": float((objective - best).max()),
        "objective below the curve's, at most": float((best - objective).max()),
        "null, most information in the code": float(of_null.max()),
        "largest difference between the four": float(
            max(jnp.abs(each - losses["loop"]).max() for each in losses.values())
        ),
        "devices": jax.device_count(),
    }
    for name, value in found.items():
        print(f"{name}: {value:.3g}")
    draw(path, learnt, of_null, curve, found["I(X;Y)"])
    return found


def draw(path, learnt, of_null, curve, information):
    order = np.argsort(np.asarray(curve.complexity))
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axis = plt.subplots(figsize=(5, 3.4))
        axis.axhline(information, color="0.5", linestyle="--", linewidth=0.9, label="I(X;Y)")
        axis.plot(
            np.asarray(curve.complexity)[order], np.asarray(curve.relevance)[order], label="information bottleneck"
        )
        axis.plot(*learnt.T, "o", color="#D55E00", label="Flax and optax, for each β")
        axis.plot(*of_null.T, "x", color="black", label="null: Y shuffled, every β")
        axis.set(xlabel="complexity I(X;U) (nats)", ylabel="relevance I(U;Y) (nats)")
        axis.legend(loc="lower right")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    isjax.configure_cpu()
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "compose.png"))
