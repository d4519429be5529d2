"""The networks: their shapes, their layers, and that empty features change nothing."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("hidden", [(), (8,), (8, 16, 4)])
def test_activations_are_what_the_formula_says(hidden):
    network = isjax.MLP(hidden, num_classes=3)
    x = jax.random.normal(jax.random.key(0), (10, 5))
    params = network.init(jax.random.key(1), x)
    outputs = network.apply(params, x, method=network.activations)
    assert [h.shape for h in outputs] == [(10, width) for width in (*hidden, 3)]
    leaves = params["params"]
    expected = np.asarray(x)
    for i in range(len(hidden)):
        layer = leaves[f"Dense_{i}"]
        expected = np.maximum(expected @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]), 0)
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-4, atol=1e-5)
    logits = expected @ np.asarray(leaves["_Logits_0"]["kernel"]).T + np.asarray(leaves["_Logits_0"]["bias"])
    np.testing.assert_allclose(outputs[-1], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(network.apply(params, x), outputs[-1])


def test_derivatives_of_every_kind_are_those_of_the_formula(x64):
    network = isjax.MLP((8,), num_classes=3)
    x = jax.random.normal(jax.random.key(0), (5, 4))
    params = network.init(jax.random.key(1), x)

    def formula(params, x):
        first, last = params["params"]["Dense_0"], params["params"]["_Logits_0"]
        hidden = jnp.maximum(x @ first["kernel"] + first["bias"], 0)
        return hidden @ last["kernel"].T + last["bias"]

    def of(apply):
        def loss(params, x):
            return jnp.sum(jnp.sin(apply(params, x)))

        along = jax.tree.map(jnp.cos, params)
        gradient = jax.grad(loss, argnums=(0, 1))
        return (
            gradient(params, x),
            jax.jvp(lambda p: apply(p, x), (params,), (along,))[1],
            jax.jvp(lambda p: gradient(p, x), (params,), (along,))[1],
            jax.grad(lambda p: sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient(p, x))))(params),
            jax.vmap(gradient, in_axes=(None, 0))(params, x),  # rows without a batch axis
        )

    chex.assert_trees_all_close(*(jax.jit(lambda f=f: of(f))() for f in (network.apply, formula)), atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_empty_features_and_codes_do_not_change_the_initial_network(hidden):
    network = isjax.MLP(hidden, num_classes=3)
    x = jax.random.rademacher(jax.random.key(0), (6, 4), float)
    padded = jnp.pad(x, ((0, 3), (0, 5)))
    params, of_padded = (network.init(jax.random.key(1), inputs) for inputs in (x, padded))
    np.testing.assert_allclose(network.apply(params, x), network.apply(of_padded, padded)[:6], rtol=1e-5, atol=1e-6)


def test_initial_weights_have_the_variance_of_their_fan_in():
    x = jnp.pad(jnp.ones((2, 100)), ((0, 0), (0, 60)))
    leaves = isjax.MLP((500,), num_classes=200).init(jax.random.key(0), x)["params"]
    assert float(jnp.std(leaves["Dense_0"]["kernel"])) == pytest.approx(100**-0.5, rel=0.02)
    assert float(jnp.std(leaves["_Logits_0"]["kernel"])) == pytest.approx(500**-0.5, rel=0.02)


def test_parameters_have_the_dtype_of_the_inputs(x64):
    for dtype in (jnp.float32, jnp.float64):
        params = isjax.MLP((4, 4), num_classes=2).init(jax.random.key(0), jnp.ones((3, 2), dtype))
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}


def test_the_named_networks_and_widths_given_as_a_list():
    assert [network(4).hidden for network in (isjax.MLP32, isjax.MLP256, isjax.MLP1024)] == [(32,), (256,), (1024,)]
    assert isjax.MLP([8, 4], num_classes=3) == isjax.MLP((8, 4), num_classes=3)
    assert hash(isjax.MLP([8], num_classes=3)) == hash(isjax.MLP((8,), num_classes=3))
