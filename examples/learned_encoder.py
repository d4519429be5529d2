"""Learn an encoder by gradient descent, and compare it with the optimal one.

The loss I(X;Y|U) is differentiable in the rows p(u | x) of a stochastic encoder, so Adam can minimise it over their
logits, from many random starts in one vmap. With two classes the least loss of any encoder with K codes is known: that
of the optimal quantizer. KL-means and the end of the information bottleneck curve are shown for comparison.
The null is a shuffled Y, for which no encoder loses anything, learned or not.

    python examples/learned_encoder.py [learned_encoder.png]
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import isjax


def learn(key, joint, *, num_codes, num_steps, learning_rate=0.1):
    """One run of Adam: the loss at each step, and that of the most probable codes of the learned rows."""
    optimizer = optax.adam(learning_rate)
    logits = jax.random.normal(key, (joint.shape[0], num_codes))

    def loss(logits):
        return isjax.mutual_information_loss(joint, jax.nn.softmax(logits))

    def step(carry, _):
        logits, state = carry
        value, gradient = jax.value_and_grad(loss)(logits)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(logits, updates), state), value

    (logits, _), losses = jax.lax.scan(step, (logits, optimizer.init(logits)), length=num_steps)
    codes = jnp.argmax(logits, axis=-1)  # pyright: ignore[reportArgumentType]  (optax types it as a tree)
    hard = isjax.mutual_information_loss(joint, codes, num_codes=num_codes)
    return losses, hard


def main(path, *, num_inputs=64, num_codes=4, num_restarts=64, num_steps=2000):
    key_joint, key_learn, key_means, key_bottleneck = jax.random.split(jax.random.key(0), 4)
    joint = jax.random.dirichlet(key_joint, jnp.ones(2 * num_inputs)).reshape(num_inputs, 2)

    shuffled = isjax.product_distribution(isjax.marginal_x(joint), isjax.marginal_y(joint))

    run = jax.vmap(lambda key, joint: learn(key, joint, num_codes=num_codes, num_steps=num_steps), in_axes=(0, None))
    train, keys = jax.jit(run), jax.random.split(key_learn, num_restarts)
    (losses, hard), (of_null, _) = (train(keys, each) for each in (joint, shuffled))

    betas = jnp.geomspace(1, 1e4, 24)
    curve = isjax.bottleneck_curve(key_bottleneck, joint, betas, num_codes=num_codes)
    others = {
        "optimal quantizer": isjax.optimal_quantizer(joint, num_codes=num_codes).loss,
        "KL-means": isjax.kl_means_quantizer(key_means, joint, num_codes=num_codes).loss,
        "bottleneck, β → ∞": curve.loss[-1],
    }
    found = {"Adam, best restart": hard.min(), "Adam, median restart": jnp.median(hard), "null, largest": of_null.max()}
    found = {name: float(value) for name, value in (others | found).items()}
    print(f"I(X;Y) = {float(isjax.mutual_information(joint)):.6f} nats; loss of {num_codes} codes:")
    for name, value in found.items():
        print(f"  {name:22} {value:.6f}")
    draw(path, np.asarray(losses), others, found["null, largest"])
    return found


def draw(path, losses, others, null):
    with plt.style.context(pathlib.Path(__file__).with_name("isjax.mplstyle")):
        figure, axis = plt.subplots(figsize=(5, 3.2))
        steps = np.arange(1, losses.shape[1] + 1)
        lines = axis.plot(steps, losses.T, color="#0072B2", linewidth=0.6, alpha=0.35)
        lines[0].set_label(f"Adam, {len(losses)} restarts")
        looks = (("#000000", "-"), ("#D55E00", "--"), ("#009E73", ":"))
        for (name, value), (colour, style) in zip(others.items(), looks, strict=True):
            axis.axhline(float(value), color=colour, linestyle=style, label=name)
        axis.plot([], " ", label=f"null: Y shuffled, below {10 ** np.ceil(np.log10(max(null, 1e-30))):.0e}")
        axis.set(xscale="log", yscale="log", xlabel="step", ylabel="loss I(X;Y|U) (nats)")
        axis.legend(loc="upper right")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "learned_encoder.png"))
