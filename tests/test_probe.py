"""What layers lose: by networks of every kind, against codes that are known."""

import functools

import flax.linen
import flax.nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import isjax
from tests.helpers import new_programs

KEY = jax.random.key(0)
SOURCE = isjax.sparse_source(KEY, num_inputs=4, num_relevant=2, num_classes=2, discrimination=0.8)
LOST = isjax.mutual_information(SOURCE.joint)  # all there is


def test_layers_that_keep_known_coordinates_lose_what_their_encoders_lose():
    """Layers of all coordinates, of two, of one, and of none: a chain, whose own losses add up."""

    def network(x):
        return [x @ jnp.diag(jnp.arange(1.0, 5)), x[:, 1:3], jnp.tanh(x[:, 2:3]), 0 * x[:, :1] + 7]

    kept = [(0, 1, 2, 3), (1, 2), (2,), ()]
    result = isjax.layer_losses(network, SOURCE.features, SOURCE.joint)
    encoders = [isjax.coordinate_encoder((2,) * 4, kept_) for kept_ in kept]
    expected = [isjax.mutual_information_loss(SOURCE.joint, encoder) for encoder in encoders]
    np.testing.assert_allclose(result.losses, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(result.num_codes, [16, 4, 2, 1])
    np.testing.assert_array_equal(result.codes, [isjax.compact_codes(encoder).codes for encoder in encoders])
    assert result.is_chain
    np.testing.assert_allclose(result.own_losses, isjax.layerwise_loss(SOURCE.joint, result.codes), rtol=1e-6)
    np.testing.assert_allclose(np.cumsum(result.own_losses), result.losses, rtol=1e-4, atol=1e-6)
    assert result.losses[-1] == pytest.approx(float(LOST), rel=1e-5)


def test_codes_that_are_no_function_of_those_before_are_no_chain():
    result = isjax.layer_losses(lambda x: [x[:, :1], x[:, 1:]], SOURCE.features, SOURCE.joint)
    assert not result.is_chain
    np.testing.assert_array_equal(np.isnan(result.own_losses), [False, True])
    assert np.isfinite(result.losses).all()


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

    leaves = {f"Dense_{i}": {"kernel": k, "bias": np.zeros(k.shape[1], "f4")} for i, k in enumerate(kernels)}
    linen = isjax.module_activations(Linen(), ["h"], {"params": leaves})

    class Block(flax.nnx.Module):
        def __init__(self, kernel, function):
            self.linear = flax.nnx.Linear(*kernel.shape, rngs=flax.nnx.Rngs(0))
            self.linear.kernel[...] = jnp.asarray(kernel)
            self.function = function

        def __call__(self, inputs):
            return self.function(self.linear(inputs))

    class Nnx(flax.nnx.Module):
        def __init__(self):
            self.hidden = flax.nnx.List([Block(kernel, flax.nnx.relu) for kernel in kernels[:2]])
            self.after = Block(kernels[2], lambda h: h)

        def __call__(self, inputs):
            for layer in (*self.hidden, self.after):
                inputs = layer(inputs)
            return inputs

    nnx = isjax.module_activations(Nnx(), ["hidden/0", "hidden/1", "after/linear"])
    for activations in (plain, linen, nnx):
        theirs = isjax.layer_losses(activations, x, SOURCE.joint, bin_width=width)
        np.testing.assert_array_equal(theirs.codes, ours.codes)
        np.testing.assert_allclose(theirs.losses, ours.losses, rtol=1e-6)


class Scaled(flax.linen.Module):
    """Two layers, the first of which is scaled by an argument of the call."""

    @flax.linen.compact
    def __call__(self, inputs, *, scales, train=True):
        return flax.linen.Dense(2)(inputs) * scales[0], flax.linen.Dense(1)(inputs)


def test_a_second_probe_of_a_module_makes_no_new_program():
    """Of other parameters and arrays, linen and nnx; and it loses what the layers as a plain function lose."""
    network, x, joint = Scaled(), SOURCE.features, SOURCE.joint
    params = network.init(KEY, x, scales=[1.0])
    graph, state = flax.nnx.split(OfSigns(0))

    def probe(factor):
        scaled = jax.tree.map(lambda leaf: np.float32(factor) * np.asarray(leaf), (params, state))
        scales = np.full(1, factor, "f4")
        linen = isjax.module_activations(network, ["Dense_0", "Dense_1"], scaled[0], scales=scales, train=False)
        nnx = isjax.module_activations(flax.nnx.merge(graph, scaled[1]), ["before", "signs"])
        return [(layers, isjax.layer_losses(layers, x, joint, bin_width=0.3)) for layers in (linen, nnx)]

    probe(1.0)
    with new_programs() as events:
        found = probe(0.5)
    assert events == []
    for layers, losses in found:
        plain = isjax.layer_losses(lambda x: layers(x), x, joint, bin_width=0.3)  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, losses, plain)


class Unhashable(flax.linen.Module):
    """A layer of a constant that is not hashable."""

    kernel: np.ndarray

    def __call__(self, inputs):
        self.sow("intermediates", "product", inputs @ self.kernel)


def test_a_module_that_is_not_hashable_is_called_as_it_is():
    x, kernel = SOURCE.features, np.eye(4, 2, dtype="f4")
    layers = isjax.module_activations(Unhashable(kernel), ["product"], {})
    found = isjax.layer_losses(layers, x, SOURCE.joint)
    expected = isjax.mutual_information_loss(SOURCE.joint, isjax.coordinate_encoder((2,) * 4, (0, 1)))
    np.testing.assert_allclose(found.losses, [expected], rtol=1e-6)


class Noisy(flax.linen.Module):
    """A layer that is called twice, and two ways to call."""

    @flax.linen.compact
    def __call__(self, inputs, *, train):
        layer = flax.linen.Dense(inputs.shape[1], name="layer")
        inputs = layer(layer(inputs))
        self.sow("intermediates", "sum", inputs, reduce_fn=jnp.add, init_fn=lambda: 0.0)
        return flax.linen.Dropout(0.5, deterministic=not train)(inputs)


def test_layers_of_a_module_are_what_flax_captures():
    """By their names, a layer as often as it is called; with what else the module's call takes."""
    network, x = Noisy(), SOURCE.features
    variables = network.init(KEY, x, train=False)
    layer = flax.linen.Dense(4).bind({"params": variables["params"]["layer"]})
    names = ["layer", "sum", "Dropout_0", "__call__"]
    found = isjax.module_activations(network, names, variables, train=False)(x)
    expected = [layer(x), *[layer(layer(x))] * 4]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"^module has no layer 'Dense_0', but layer, sum, Dropout_0, __call__$"):
        isjax.module_activations(network, ["Dense_0"], variables, train=False)(x)


class Signs(flax.nnx.Module):
    """Signs of the inputs; gradients are those of tanh."""

    def __call__(self, inputs):
        smooth = flax.nnx.tanh(inputs)
        return smooth + jax.lax.stop_gradient(jnp.where(inputs > 0, 1.0, -1.0) - smooth)


class OfSigns(flax.nnx.Module):
    """A network whose forward pass quantises: a linear layer of three units, their signs, and a linear decoder."""

    def __init__(self, key):
        rngs = flax.nnx.Rngs(key)
        self.before, self.signs = flax.nnx.Linear(4, 3, rngs=rngs), Signs()
        self.decoder = flax.nnx.Linear(7, 2, rngs=rngs)

    def __call__(self, inputs):
        a, b, c = jnp.split(self.signs(self.before(inputs)), 3, axis=1)
        return self.decoder(jnp.concatenate([a, b, c, a * b, b * c, a * c, a * b * c], axis=1))


def test_at_no_time_of_training_is_a_network_better_than_its_layers_allow():
    """Theorem 4 along training: an excess risk is never below what a layer before has lost; training closes the gap."""
    network, optimizer = OfSigns(12), optax.adam(0.03)
    graph, initial = flax.nnx.split(network)

    def parts(state):
        log_decoder = jax.nn.log_softmax(flax.nnx.merge(graph, state)(SOURCE.features))
        return isjax.risk_decomposition(SOURCE.joint, log_decoder)

    @jax.jit
    def trained():
        def step(carry, _):
            state, memory = carry
            updates, memory = optimizer.update(jax.grad(lambda state: parts(state).risk)(state), memory)
            return (optax.apply_updates(state, updates), memory), state

        return jax.lax.scan(step, (initial, optimizer.init(initial)), length=200)[1]

    checkpoints = jax.tree.map(lambda leaf: leaf[::25], trained())
    layers = ["before", "signs", "decoder"]

    def probe(state):
        return isjax.layer_losses(isjax.module_activations(network, layers, state), SOURCE.features, SOURCE.joint)

    along, excess = jax.jit(jax.vmap(lambda state: (probe(state), parts(state).excess_risk)))(checkpoints)
    assert along.losses.shape == (8, 3)
    assert along.is_chain.all()
    np.testing.assert_allclose(np.cumsum(along.own_losses, axis=1), along.losses, rtol=1e-4, atol=1e-6)
    assert (excess[:, None] >= along.losses - 1e-6).all()
    np.testing.assert_array_equal(along.losses[:, 0], 0)  # real numbers tell all inputs apart
    assert along.losses[0, 1] > 0.1 > along.losses[-1, 1]
    assert excess[-1] - along.losses[-1, 1] < 0.02 < excess[0] - along.losses[0, 1]


def test_a_module_that_is_probed_stays_as_it_was():
    """One that counts its calls, in one program with an array of the module's own and with part of its state."""

    class Counter(flax.nnx.Module):
        def __init__(self):
            self.calls, self.scale = flax.nnx.BatchStat(jnp.array(0.0)), flax.nnx.Param(jnp.array(2.0))

        def __call__(self, inputs):
            self.calls[...] += 1
            return self.scale[...] * inputs + self.calls[...]

    network, x = Counter(), SOURCE.features

    @jax.jit
    def outputs(params):
        states = (None, params)
        return [isjax.module_activations(network, ["__call__"], state)(x)[0] for state in states]

    params = jax.tree.map(lambda leaf: 3 * leaf, flax.nnx.state(network, flax.nnx.Param))
    np.testing.assert_allclose(outputs(params), [2 * x + 1, 6 * x + 1])
    assert (network.calls[...], network.scale[...]) == (0, 2)
    np.testing.assert_allclose(network(x), 2 * x + 1)


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
    losses = isjax.layer_losses(lambda x: [x[:, :1], 0 * x[:, 1:]], SOURCE.features, joint).losses
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
    result = isjax.layer_losses(lambda x: [x, x / 0 * 0, x], SOURCE.features, SOURCE.joint)
    np.testing.assert_array_equal(np.isnan(result.losses), [False, True, False])
    np.testing.assert_array_equal(np.isnan(result.own_losses), [False, True, True])
