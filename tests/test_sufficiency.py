"""What an encoder loses, whether it is sufficient, and how a risk splits."""

import functools
import itertools
import math

import chex
import flax.linen as nn
import hypothesis
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies as st

import isjax
from tests.helpers import close, equations, jitted
from tests.oracles import information as oracle
from tests.strategies import codes, distributions, encoders, joints, kernels, masses

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]
theorem = hypothesis.given


def loss(joint, encoder):
    """Jitted, of codes or of rows, with two codes."""
    if np.issubdtype(np.asarray(encoder).dtype, np.integer):
        return jitted(isjax.mutual_information_loss, num_codes=2)(joint, encoder)
    return jitted(isjax.mutual_information_loss)(joint, encoder.astype(joint.dtype))


# --- mutual information loss --------------------------------------------------------------------------------------


@theorem(joint=joints(), encoder=encoders())
def test_loss_is_what_the_code_knows_less(joint, encoder, dtype):
    """I(X;Y) = I(U;Y) + I(X;Y|U), and neither part is negative."""
    joint = joint.astype(dtype)
    rows = jnp.asarray(oracle.rows(encoder, 2), dtype)
    lost, kept = loss(joint, encoder), jitted(isjax.mutual_information)(jitted(isjax.pushforward)(joint, rows))
    assert lost >= 0
    np.testing.assert_allclose(jitted(isjax.mutual_information)(joint), kept + lost, **close(dtype))
    np.testing.assert_allclose(lost, oracle.mutual_information_loss(joint, rows, 2), **close(dtype))


@theorem(joint=joints(), encoder=codes())
def test_codes_are_their_one_hot_rows(joint, encoder, dtype):
    joint, rows = joint.astype(dtype), np.eye(2, dtype=dtype)[encoder]
    np.testing.assert_allclose(loss(joint, encoder), loss(joint, rows), **close(dtype, 4))
    by_codes = jitted(isjax.pushforward, num_codes=2)(joint, encoder)
    np.testing.assert_allclose(by_codes, jitted(isjax.pushforward)(joint, rows), **close(dtype, 4))
    decoder = jnp.log(jnp.full((2, 4), 0.25, dtype))
    split = jitted(isjax.risk_decomposition)
    chex.assert_trees_all_close(split(joint, decoder, encoder), split(joint, decoder, rows), **close(dtype, 4))


@theorem(joint=joints(), permutation=st.permutations(range(3)))
def test_injective_code_loses_nothing_and_a_constant_one_everything(joint, permutation, dtype):
    joint = joint.astype(dtype)
    assert jitted(isjax.mutual_information_loss)(joint, np.array(permutation)) == 0
    assert loss(joint, np.eye(3, dtype=dtype)[np.array(permutation)]) == 0
    everything = jitted(isjax.mutual_information)(joint)
    np.testing.assert_allclose(loss(joint, np.zeros(3, int)), everything, **close(dtype))
    np.testing.assert_allclose(loss(joint, np.full((3, 2), 0.5, dtype)), everything, **close(dtype))


@theorem(joint=joints((4, 3)), first=codes(4, 3), second=encoders(3, 2))
def test_losses_add_along_compositions(joint, first, second, dtype):
    """I(X;Y|V) = I(X;Y|U) + I(U;Y|V) for X → U → V."""
    joint = joint.astype(dtype)
    second = second if np.issubdtype(second.dtype, np.integer) else second.astype(dtype)
    in_steps = jitted(isjax.mutual_information_loss, num_codes=3)(joint, first) + loss(
        jitted(isjax.pushforward, num_codes=3)(joint, first), second
    )
    np.testing.assert_allclose(loss(joint, second[first]), in_steps, **close(dtype))


@theorem(joint=joints(), encoder=kernels(), x=st.permutations(range(3)), y=st.permutations(range(4)))
def test_labels_do_not_matter(joint, encoder, x, y, dtype):
    joint, encoder = joint.astype(dtype), encoder.astype(dtype)
    relabelled = loss(joint[np.ix_(x, y)], encoder[x][:, ::-1])
    np.testing.assert_allclose(loss(joint, encoder), relabelled, **close(dtype))


@theorem(p_x=distributions(4), rows=kernels(2, 3), encoder=codes(4))
def test_loss_is_zero_if_and_only_if_the_code_is_sufficient(p_x, rows, encoder, dtype):
    """Inputs of one code have one posterior; if one of them, with mass, departs from it, the code is not sufficient."""
    joint = (p_x[:, None] * rows[encoder]).astype(dtype)
    is_sufficient = jitted(isjax.is_sufficient, num_codes=2)
    assert is_sufficient(joint, encoder)
    assert loss(joint, encoder) <= close(dtype, 128)["atol"] ** 2
    departing = np.full((2, 4), 1 / 8, dtype)
    departing[0] = [0.13, 0.12, 0.125, 0.125]
    assert not jitted(isjax.is_sufficient, num_codes=1)(departing, np.zeros(2, int))
    assert jitted(isjax.is_sufficient, num_codes=1, tolerance=1e-2)(departing, np.zeros(2, int))


def test_loss_of_a_coordinate_that_matters_has_its_closed_form(dtype):
    """Y is the parity of two fair bits behind a symmetric channel of crossover a: either bit alone knows nothing."""
    for a in (0.0, 0.1, 0.4):
        joint = np.array([[1 - a, a], [a, 1 - a], [a, 1 - a], [1 - a, a]], dtype) / 4
        for kept in ([0], [1], []):
            lost = isjax.mutual_information_loss(joint, isjax.coordinate_encoder((2, 2), kept))
            np.testing.assert_allclose(lost, math.log(2) - oracle.entropy([a, 1 - a]), **close(dtype))
        assert isjax.mutual_information_loss(joint, isjax.coordinate_encoder((2, 2), [0, 1])) == 0


def test_batches_of_joints_and_of_encoders_broadcast():
    rng = np.random.default_rng(1)
    joint, decoder = masses(rng, (2, 1, 12), np.float32).reshape(2, 1, 3, 4), masses(rng, (3, 2, 4), np.float32)
    for encoder in (rng.integers(0, 2, (3, 3)), masses(rng, (3, 3, 2), np.float32)):
        num_codes = 2 if encoder.ndim == 2 else None
        measure = jax.jit(functools.partial(isjax.mutual_information_loss, num_codes=num_codes))
        expected = [[oracle.mutual_information_loss(j[0], e, 2) for e in encoder] for j in joint]
        np.testing.assert_allclose(measure(joint, encoder), expected, **close("float32"))
        np.testing.assert_allclose(measure(joint[0, 0], encoder), expected[0], **close("float32"))
        np.testing.assert_allclose(measure(joint, encoder[0])[:, 0], np.array(expected)[:, 0], **close("float32"))
        parts = jax.jit(isjax.risk_decomposition)(joint, np.log(decoder + 1e-3).astype(np.float32), encoder)
        chex.assert_shape(parts, (2, 3))
        np.testing.assert_allclose(parts.encoder_bias, expected, **close("float32"))


@pytest.mark.parametrize("code", [-1, 2, 5])
def test_traced_code_outside_its_alphabet_gives_nan(code):
    joint, encoder = np.full((2, 2), 0.25, np.float32), np.array([0, code])
    assert np.isnan(loss(joint, encoder))
    assert np.isnan(jitted(isjax.pushforward, num_codes=2)(joint, encoder)).all()
    assert not jitted(isjax.is_sufficient, num_codes=2)(joint, encoder)
    assert np.isnan(jitted(isjax.risk_decomposition)(joint, np.log(joint), encoder).risk)
    in_a_batch = loss(joint, np.array([[0, code], [0, 1]]))
    np.testing.assert_array_equal(np.isnan(in_a_batch), [True, False])


def test_many_inputs_and_codes_never_make_a_dense_array():
    """2^16 inputs, 2^12 codes: no intermediate in value or gradient has an axis for each."""
    num_symbols, num_codes = 2**16, 2**12
    rng = np.random.default_rng(2)
    joint = rng.random((num_symbols, 4)).astype(np.float32)
    joint /= joint.sum()
    encoder = rng.integers(0, num_codes, num_symbols)
    measure = functools.partial(isjax.mutual_information_loss, num_codes=num_codes)
    jaxpr = jax.make_jaxpr(jax.value_and_grad(measure))(joint, encoder)
    sizes = [math.prod(v.aval.shape) for e in equations(jaxpr.jaxpr) for v in e.outvars]
    assert len(sizes) > 50
    assert max(sizes) <= num_symbols * 4
    value, gradient = jax.jit(jax.value_and_grad(measure))(joint, encoder)
    assert np.isfinite(gradient).all()
    joint = joint.astype(np.float64)
    joint_uy = np.zeros((num_codes, 4))
    np.add.at(joint_uy, encoder, joint)
    np.testing.assert_allclose(value, oracle.mutual_information(joint) - oracle.mutual_information(joint_uy), rtol=1e-5)


# --- drift --------------------------------------------------------------------------------------------------------


@theorem(p=joints(), q=joints(), encoder=encoders(), near=st.floats(0, 1))
def test_a_loss_changes_by_no_more_than_the_drift_allows(p, q, encoder, near, dtype):
    p, q = p.astype(dtype), (near * p + (1 - near) * q).astype(dtype)
    distance = jnp.minimum(jitted(isjax.total_variation, axis=(0, 1))(p, q), 1)
    bound = jitted(isjax.drift_bound, num_classes=4)(distance)
    encoder = jnp.asarray(oracle.rows(encoder, 2), dtype)
    assert abs(loss(p, encoder) - loss(q, encoder)) <= bound + close(dtype, 1)["atol"] ** 0.5 / 8
    change = jitted(isjax.conditional_entropy)(p) - jitted(isjax.conditional_entropy)(q)
    assert abs(change) <= bound / 2 + close(dtype, 1)["atol"] ** 0.5 / 8


@pytest.mark.parametrize("num_classes", [2, 3, 8])
def test_half_of_the_drift_bound_is_attained(num_classes, dtype):
    """Y is constant, then equals X with probability τ: a code that says nothing was sufficient, and loses H(Y)."""
    for tau in (1e-3, 0.1, 1 - 1 / num_classes):
        rest = np.full(num_classes - 1, tau / (num_classes - 1))
        after = np.diag([1 - tau, *rest]).astype(dtype)
        before = np.zeros_like(after)
        before[:, 0] = after.sum(1)
        nothing = np.zeros(num_classes, int)
        assert isjax.mutual_information_loss(before, nothing) == 0
        distance = isjax.total_variation(before, after, axis=(0, 1))
        np.testing.assert_allclose(distance, tau, rtol=1e-5)
        bound = isjax.drift_bound(distance, num_classes)
        np.testing.assert_allclose(isjax.mutual_information_loss(after, nothing), bound / 2, rtol=1e-4)


def test_drift_bound_up_to_its_ends(dtype):
    bound = jitted(isjax.drift_bound, num_classes=3)
    distances = jnp.array([0.0, 0.25, 2 / 3, 0.9, 1.0], dtype)
    expected = [2 * (oracle.entropy([1 - t, t]) + t * math.log(2)) for t in (0, 0.25)] + [2 * math.log(3)] * 3
    np.testing.assert_allclose(bound(distances), expected, **close(dtype))
    np.testing.assert_array_equal(isjax.drift_bound(distances, 1), 0)
    assert np.isnan(bound(jnp.array([-0.1, 1.1, np.nan], dtype))).all()
    np.testing.assert_allclose(isjax.drift_bound(distances, 3, base=3)[-1], 2, rtol=1e-6)


# --- layers -------------------------------------------------------------------------------------------------------


@theorem(joint=joints((4, 3)), layers=st.tuples(*[codes(4, 4)] * 3))
def test_losses_of_layers_add_up_to_that_of_the_last(joint, layers, dtype):
    """Theorem 6: I(X;Y|U_L) = Σ I(U_{l−1};Y|U_l), each of them never negative and itself a conditional information."""
    joint, chain = joint.astype(dtype), list(itertools.accumulate(layers, lambda before, after: after[before]))
    losses = jitted(isjax.layerwise_loss)(joint, np.array(chain))
    chex.assert_type(losses, dtype)
    assert (losses >= 0).all()
    total = jitted(isjax.mutual_information_loss)(joint, chain[-1])
    np.testing.assert_allclose(losses.sum(), total, **close(dtype, 8))
    for loss_of_layer, (before, after) in zip(losses, itertools.pairwise([np.arange(4), *chain]), strict=True):
        joint_before, joint_after = (oracle.rows(u, 4).T @ joint.astype(np.float64) for u in (before, after))
        lost = oracle.mutual_information(joint_before) - oracle.mutual_information(joint_after)
        np.testing.assert_allclose(loss_of_layer, lost, **close(dtype))


def test_layers_of_a_batch_broadcast():
    rng = np.random.default_rng(2)
    joint = masses(rng, (3, 1, 12), np.float32).reshape(3, 1, 4, 3)
    chains = np.stack([np.stack([first, second[first]]) for first, second in rng.integers(0, 4, (5, 2, 4))])
    losses = isjax.layerwise_loss(joint, chains)
    assert losses.shape == (3, 5, 2)
    one = isjax.layerwise_loss(joint[1, 0], chains[3])
    np.testing.assert_allclose(losses[1, 3], one, **close("float32"))


def test_traced_layers_that_are_no_chain_are_nan():
    joint = np.full((3, 2), 1 / 6, np.float32)
    layerwise = jitted(isjax.layerwise_loss)
    broken = layerwise(joint, np.array([[0, 0, 1], [0, 1, 1], [0, 1, 1]]))
    np.testing.assert_array_equal(np.isnan(broken), [False, True, False])
    for outside in (-1, 3):
        assert np.isnan(layerwise(joint, np.array([[0, 1, outside], [0, 0, 0]]))).all()


class QuantisedMLP(nn.Module):
    """256 units, then 3 bits, then one: two layers whose forward pass quantises; gradients pass straight through."""

    @nn.compact
    def __call__(self, inputs):
        def bits(x):
            hard = jnp.where(x > 0, 1, -1).astype(x.dtype)
            return hard + jnp.tanh(x) - jax.lax.stop_gradient(jnp.tanh(x))

        hidden = nn.relu(nn.Dense(256)(inputs))
        narrow = bits(nn.Dense(3)(hidden))
        narrower = bits(nn.Dense(1)(nn.relu(nn.Dense(16)(narrow))))
        return [hidden, narrow, narrower, nn.Dense(4)(narrower)]


def test_layers_of_a_trained_network_that_quantises_lose_what_its_last_layer_loses():
    source = isjax.sparse_source(jax.random.key(1), num_inputs=5, num_relevant=3, num_classes=4, discrimination=0.9)
    network, optimizer = QuantisedMLP(), optax.sgd(0.3)
    params = jax.jit(network.init)(jax.random.key(2), source.features)

    def split(params):
        log_decoder = jax.nn.log_softmax(network.apply(params, source.features)[-1])
        return isjax.risk_decomposition(source.joint, log_decoder)

    def step(state, _):
        params, state = state
        updates, state = optimizer.update(jax.grad(lambda params: split(params).risk)(params), state)
        return (optax.apply_updates(params, updates), state), None

    train = jax.jit(lambda params: jax.lax.scan(step, (params, optimizer.init(params)), None, 200)[0][0])
    trained = train(params)
    assert split(trained).risk < split(params).risk - 0.1
    layers = jnp.stack([isjax.activation_codes(a) for a in jax.jit(network.apply)(trained, source.features)])
    assert [len(np.unique(codes)) for codes in layers[:1]] == [32]
    losses = isjax.layerwise_loss(source.joint, layers)
    last = isjax.mutual_information_loss(source.joint, layers[-1])
    np.testing.assert_allclose(losses.sum(), last, rtol=1e-5)
    assert losses[0] == 0  # 256 real numbers tell every input apart
    assert (losses[1:3] > 1e-3).all()  # three bits lose something, and so does one of them
    assert losses[3] == 0
    assert split(trained).decoder_error > last  # no decoder does better than what its code keeps


# --- functional representation ------------------------------------------------------------------------------------


@theorem(kernel=kernels(3, 4))
def test_a_channel_is_a_function_of_its_input_and_an_independent_noise(kernel, dtype):
    """Theorem 1: p(y|u) = Σ_w p(w) 1{f(w, u) = y}, where p(w) does not depend on u."""
    kernel = kernel.astype(dtype)
    noise, outcome = jitted(isjax.functional_representation)(kernel)
    assert noise.shape == (3 * 3 + 1,)
    assert noise.dtype == dtype
    assert (noise >= 0).all()
    np.testing.assert_allclose(noise.sum(), 1, **close(dtype, 2))
    rebuilt = np.einsum("w,wuy->uy", np.float64(noise), np.asarray(outcome)[..., None] == np.arange(4))
    np.testing.assert_allclose(rebuilt, kernel, rtol=0, atol=8 * float(jnp.finfo(dtype).eps))
    assert not rebuilt[kernel == 0].any()


def test_functional_representations_of_a_batch_and_of_one_class():
    kernel = masses(np.random.default_rng(3), (2, 5, 3, 4), np.float32, smallest=1e-6)
    noise, outcome = isjax.functional_representation(kernel)
    assert noise.shape == (2, 5, 10)
    assert outcome.shape == (2, 5, 10, 3)
    one = isjax.functional_representation(kernel[1, 2])
    np.testing.assert_array_equal(outcome[1, 2], one.outcome)
    only = isjax.functional_representation(np.ones((3, 1), np.float32))
    assert (only.noise.tolist(), only.outcome.tolist()) == ([1.0], [[0, 0, 0]])


def test_sampling_the_noise_samples_the_model():
    """Y = f(W, η(X)) with W drawn apart from X has the joint distribution of (X, Y): the null is a W that is not."""
    source = isjax.robust_source(jax.random.key(0), num_classes=3, discrimination=0.7)
    p_y_given_u = isjax.conditional_y_given_x(isjax.pushforward(source.joint, source.codes, num_codes=16))
    noise, outcome = isjax.functional_representation(p_y_given_u)
    key_w, key_x = jax.random.split(jax.random.key(1))
    w = jax.random.choice(key_w, noise.size, (20_000,), p=noise)
    x = jax.random.randint(key_x, (20_000,), 0, 128)
    sampled = isjax.empirical_joint(source.codes[x], outcome[w, source.codes[x]], shape=(16, 3))
    exact = isjax.pushforward(source.joint, source.codes, num_codes=16)
    assert isjax.total_variation(sampled, exact, axis=(0, 1)) < 0.03
    dependent = isjax.empirical_joint(source.codes[x], outcome[x % noise.size, source.codes[x]], shape=(16, 3))
    assert isjax.total_variation(dependent, exact, axis=(0, 1)) > 0.1


# --- risk ---------------------------------------------------------------------------------------------------------


@theorem(joint=joints(), encoder=encoders(), decoder=kernels(2, 4))
def test_risk_splits_into_three_parts_none_of_them_negative(joint, encoder, decoder, dtype):
    joint, log_q = joint.astype(dtype), np.log(np.maximum(decoder, 1e-30)).astype(dtype)
    encoder = encoder if np.issubdtype(encoder.dtype, np.integer) else encoder.astype(dtype)
    parts = jitted(isjax.risk_decomposition)(joint, log_q, encoder)
    chex.assert_type(list(parts), dtype)
    assert min(parts) >= 0
    # The decoder's rows sum to one only to rounding, and the split counts what is missing: Σ q − 1.
    slack = float(oracle.rows(encoder, 2).T @ joint.sum(1) @ (np.exp(np.float64(log_q)).sum(1) - 1))
    direct = oracle.risk(joint, log_q, encoder, 2)
    np.testing.assert_allclose(parts.risk, direct + slack, **close(dtype))
    np.testing.assert_allclose(parts.excess_risk, parts.encoder_bias + parts.decoder_error, rtol=0)
    np.testing.assert_allclose(parts.conditional_entropy, oracle.conditional_entropy(joint), **close(dtype))
    np.testing.assert_allclose(parts.encoder_bias, loss(joint, encoder), **close(dtype, 1))
    in_bits = jitted(isjax.risk_decomposition, base=2)(joint, log_q, encoder)
    chex.assert_trees_all_close(jax.tree.map(lambda a: a * math.log(2), in_bits), parts, **close(dtype))


@theorem(joint=joints(), encoder=encoders())
def test_the_best_decoder_is_the_posterior_and_leaves_the_encoder_bias(joint, encoder, dtype):
    joint = joint.astype(dtype)
    rows = jnp.asarray(oracle.rows(encoder, 2), dtype)
    posterior = jitted(isjax.conditional_y_given_x)(jitted(isjax.pushforward)(joint, rows))
    parts = jitted(isjax.risk_decomposition)(joint, jnp.log(posterior), rows)
    np.testing.assert_allclose(parts.decoder_error, 0, **close(dtype, 4))
    np.testing.assert_allclose(parts.excess_risk, loss(joint, rows), **close(dtype, 4))


@theorem(joint=joints(), decoder=kernels(3, 4))
def test_no_encoder_means_x_itself(joint, decoder, dtype):
    joint, log_q = joint.astype(dtype), np.log(np.maximum(decoder, 1e-30)).astype(dtype)
    itself = jitted(isjax.risk_decomposition)(joint, log_q)
    assert itself.encoder_bias == 0
    chex.assert_trees_all_close(itself, jitted(isjax.risk_decomposition)(joint, log_q, np.arange(3)), **close(dtype))


def test_decoder_error_is_infinite_exactly_where_log_q_is_under_mass(dtype, transform):
    joint = jnp.array([[0.5, 0.0], [0.25, 0.25]], dtype)
    split = transform(isjax.risk_decomposition)
    harmless = split(joint, jnp.array([[0.0, -jnp.inf], [math.log(0.5)] * 2], dtype))
    np.testing.assert_allclose(harmless.decoder_error, 0, atol=close(dtype)["atol"])
    underflow = split(joint, jnp.array([[0.0, -jnp.inf], [0.0, -2000.0]], dtype))
    np.testing.assert_allclose(underflow.decoder_error, 0.5 * (1000 - math.log(2)), rtol=1e-5)
    assert np.exp(np.asarray(-2000.0, dtype)) == 0
    impossible = split(joint, jnp.array([[0.0, -jnp.inf], [0.0, -jnp.inf]], dtype))
    assert impossible.decoder_error == math.inf
    assert impossible.risk == math.inf
    assert impossible.encoder_bias == 0


def test_100_000_risks_with_zeros_have_no_nan_in_value_or_gradient():
    rng = np.random.default_rng(3)
    joint = masses(rng, (100_000, 12), np.float32).reshape(-1, 3, 4)
    encoder, decoder = rng.integers(0, 2, (100_000, 3)), masses(rng, (100_000, 2, 4), np.float32)
    log_q = np.log(decoder, where=decoder > 0, out=np.full_like(decoder, -np.inf))

    def risk(joint, log_q, encoder):
        return isjax.risk_decomposition(joint, log_q, encoder).risk

    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(risk, (0, 1))))(joint, log_q, encoder)
    mass_of_codes = np.einsum("nxu,nxy->nuy", np.eye(2)[encoder], joint.astype(np.float64))
    np.testing.assert_array_equal(np.isinf(values), np.any((mass_of_codes > 0) & (decoder == 0), axis=(1, 2)))
    assert np.min(values) >= 0
    for gradient in map(np.asarray, gradients):
        assert not np.isnan(gradient).any()
        assert np.isfinite(gradient[np.isfinite(values)]).all()
    # Under a softmax, the gradient in log q is what training sees: p(u) (q − p).
    finite = np.isfinite(values)
    expected = mass_of_codes.sum(-1, keepdims=True) * decoder - mass_of_codes
    np.testing.assert_allclose(np.asarray(gradients[1])[finite], expected[finite], atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["codes", "rows"])
def test_gradient_of_the_risk_is_the_finite_difference(kind):
    rng = np.random.default_rng(4)
    joint = rng.dirichlet(np.ones(12)).reshape(3, 4)
    encoder = np.array([0, 1, 1]) if kind == "codes" else rng.dirichlet(np.ones(2), 3)
    logits = rng.normal(size=(2, 4))

    def risk(joint, logits):
        return isjax.risk_decomposition(joint, jax.nn.log_softmax(logits), encoder).risk

    directions = rng.normal(size=joint.shape), rng.normal(size=logits.shape)
    directions = directions[0] - directions[0].mean(), directions[1]
    gradients = jax.jit(jax.grad(risk, (0, 1)))(joint, logits)
    slope = sum(np.sum(g * v) for g, v in zip(gradients, directions, strict=True))
    h = 1e-6
    moved = [jitted(risk)(joint + t * directions[0], logits + t * directions[1]) for t in (h, -h)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * h), rtol=1e-7)
    chex.assert_tree_all_finite(jax.jit(jax.hessian(risk, (0, 1)))(joint, logits))
