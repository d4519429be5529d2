"""What layers lose: by networks of every kind, against codes that are known."""

import functools

import flax.linen
import flax.nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax

KEY = jax.random.key(0)
SOURCE = isjax.sparse_source(KEY, num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8)
LOST = isjax.mutual_information(SOURCE.joint)  # all there is


def test_layers_that_keep_known_coordinates_lose_what_their_encoders_lose():
    """Layers of all coordinates, of two, of one, and of none: a chain, whose own losses add up."""

    def network(x):
        return [x @ jnp.diag(jnp.arange(1.0, 5)), x[:, 1:3], jnp.tanh(x[:, 2:3]), 0 * x[:, :1] + 7]

    kept = [(0, 1, 2, 3), (1, 2), (2,), ()]
    result = jax.jit(functools.partial(isjax.layer_losses, network))(SOURCE.features, SOURCE.joint)
    encoders = [isjax.coordinate_encoder((2,) * 4, kept_) for kept_ in kept]
    expected = [isjax.mutual_information_loss(SOURCE.joint, encoder) for encoder in encoders]
    np.testing.assert_allclose(result.losses, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(result.num_codes, [16, 4, 2, 1])
    np.testing.assert_array_equal(result.codes, [isjax.compact_codes(encoder).codes for encoder in encoders])
    assert result.is_chain
    own = isjax.layerwise_loss(SOURCE.joint, result.codes)
    np.testing.assert_allclose(np.cumsum(own), result.losses, rtol=1e-4, atol=1e-6)
    assert result.losses[-1] == pytest.approx(float(LOST), rel=1e-5)


def test_codes_that_are_no_function_of_those_before_are_no_chain():
    probe = jax.jit(functools.partial(isjax.layer_losses, lambda x: [x[:, :1], x[:, 1:]]))
    assert not probe(SOURCE.features, SOURCE.joint).is_chain


def test_networks_of_every_kind_are_probed_alike():
    """A linen module of ours, a linen module's intermediates, an nnx module and plain numpy: one network."""
    x, width = SOURCE.features, 0.5
    network = isjax.MLP((6, 5), num_classes=2)
    params = network.init(KEY, x)
    activations = functools.partial(network.apply, params, method=network.activations)
    ours = isjax.layer_losses(activations, x, SOURCE.joint, bin_width=width)
    assert ours.codes.shape == (3, 16)

    kernels = [np.asarray(params["params"][f"Dense_{i}"]["kernel"]) for i in range(2)]
    kernels.append(np.asarray(params["params"]["_Logits_0"]["kernel"]).T)

    def plain(inputs):
        h, outputs = np.asarray(inputs), []
        for kernel in kernels:
            h = np.maximum(h @ kernel, 0) if kernel.shape[1] != 2 else h @ kernel
            outputs.append(h)
        return outputs

    class Linen(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, inputs):
            for i, kernel in enumerate(kernels):
                inputs = flax.linen.Dense(kernel.shape[1], name=f"Dense_{i}")(inputs)
                inputs = flax.linen.relu(inputs) if i < 2 else inputs
                self.sow("intermediates", "h", inputs)
            return inputs

    def linen(inputs):
        leaves = {f"Dense_{i}": {"kernel": k, "bias": np.zeros(k.shape[1], "f4")} for i, k in enumerate(kernels)}
        return Linen().apply({"params": leaves}, inputs, mutable="intermediates")[1]["intermediates"]["h"]

    class Nnx(flax.nnx.Module):
        def __init__(self):
            sizes = [k.shape for k in kernels]
            self.layers = flax.nnx.List([flax.nnx.Linear(i, o, rngs=flax.nnx.Rngs(0)) for i, o in sizes])
            for layer, kernel in zip(self.layers, kernels, strict=True):
                layer.kernel[...] = jnp.asarray(kernel)

        def activations(self, inputs):
            first = flax.nnx.relu(self.layers[0](inputs))
            second = flax.nnx.relu(self.layers[1](first))
            return [first, second, self.layers[2](second)]

    for activations in (plain, linen, Nnx().activations):
        theirs = isjax.layer_losses(activations, x, SOURCE.joint, bin_width=width)
        np.testing.assert_array_equal(theirs.codes, ours.codes)
        np.testing.assert_allclose(theirs.losses, ours.losses, rtol=1e-6)


def test_wider_bins_tell_fewer_inputs_apart_until_all_is_lost_and_none_loses_nothing():
    network = isjax.MLP((32,), num_classes=2)
    params = network.init(KEY, SOURCE.features)
    activations = functools.partial(network.apply, params, method=network.activations)
    probe = functools.partial(isjax.layer_losses, activations, SOURCE.features, SOURCE.joint)
    np.testing.assert_array_equal(jax.jit(probe)().losses, 0)
    losses = jax.jit(jax.vmap(lambda width: probe(bin_width=width)))(jnp.array([1e-4, 1.0, 100.0])).losses
    np.testing.assert_allclose(losses[0], 0, atol=1e-7)
    np.testing.assert_allclose(losses[-1], LOST, rtol=1e-5)
    assert (losses[1] <= LOST + 1e-6).all()


def test_bins_are_centred_on_the_multiples_of_their_width():
    """What is rounded to a grid, give or take rounding, is told apart exactly."""
    x = jnp.array([[-0.3], [-0.29], [0.0], [1e-7], [0.3], [0.6]])
    joint = jnp.full((6, 2), 1 / 12)
    assert isjax.layer_losses(lambda h: [h], x, joint, bin_width=0.3).codes.tolist() == [[0, 0, 1, 1, 2, 3]]


def test_a_target_without_information_is_never_lost():
    """The null: Y independent of X."""
    joint = isjax.product_distribution(isjax.marginal_x(SOURCE.joint), jnp.array([0.5, 0.5]))
    losses = jax.jit(functools.partial(isjax.layer_losses, lambda x: [x[:, :1], 0 * x]))(SOURCE.features, joint).losses
    np.testing.assert_allclose(losses, 0, atol=1e-7)


def test_along_training_by_vmap():
    """Parameters at several times are a leading axis: as one at a time."""
    network = isjax.MLP((8,), num_classes=2)
    initial = network.init(KEY, SOURCE.features)
    along = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, 0 * leaf]), initial)

    @jax.jit
    def probe(params):
        activations = functools.partial(network.apply, params, method=network.activations)
        return isjax.layer_losses(activations, SOURCE.features, SOURCE.joint, bin_width=1.0)

    losses = jax.vmap(probe)(along).losses
    assert losses.shape == (3, 2)
    np.testing.assert_allclose(losses[0], probe(initial).losses, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(losses[2], LOST, rtol=1e-5)


def test_activations_that_are_not_finite_give_nan():
    probe = jax.jit(functools.partial(isjax.layer_losses, lambda x: [x, x / 0 * 0, x]))
    losses = probe(SOURCE.features, SOURCE.joint).losses
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])
