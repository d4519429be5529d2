"""Proper scoring rules: definitions, the split of every risk, what sufficiency and the orders of losses say."""

import copy
import functools
import math
import pickle

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import isjax
from tests.cases import RULES
from tests.helpers import close, jitted, new_programs
from tests.oracles import information as information_oracle
from tests.oracles import scoring as oracle
from tests.strategies import codes, distributions, encoders, joints, kernels, masses

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]


def theorem(**strategies):
    """Of five rules in two precisions, so with fewer examples each."""
    return lambda test: hypothesis.settings(max_examples=20)(hypothesis.given(**strategies)(test))


rules = pytest.mark.parametrize("name", RULES)
STRICT = ("log", "brier", "spherical")
UNBOUNDED = 40  # largest square of a difference of the oracle's values, rounded down


@functools.cache
def rule_of(name, dtype):
    return RULES[name](dtype)


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}


def loss(name, joint, encoder, num_codes=2):
    """Jitted, of codes or of rows."""
    rule = rule_of(name, str(joint.dtype))
    if np.issubdtype(np.asarray(encoder).dtype, np.integer):
        return jitted(isjax.scored_loss, num_codes=num_codes)(joint, encoder, rule)
    return jitted(isjax.scored_loss)(joint, encoder.astype(joint.dtype), rule)


# --- entropies and divergences ------------------------------------------------------------------------------------


@rules
@theorem(p=distributions(4))
def test_entropy_is_the_mean_score_of_the_distribution_itself(name, p, dtype):
    rule = rule_of(name, dtype)
    found = jitted(type(rule).entropy)(rule, p.astype(dtype))
    assert found.dtype == dtype
    assert found >= 0
    np.testing.assert_allclose(found, oracle.entropy(name, p.astype(dtype)), **tolerance(dtype))


@rules
@theorem(p=distributions(4), q=distributions(4))
def test_divergence_is_the_mean_score_in_excess_of_the_least(name, p, q, dtype):
    rule, p, q = rule_of(name, dtype), p.astype(dtype), q.astype(dtype)
    found = jitted(type(rule).divergence)(rule, p, q)
    assert found >= 0
    np.testing.assert_allclose(found, oracle.divergence(name, p, q), **tolerance(dtype))
    assert jitted(type(rule).divergence)(rule, p, p) == 0


@rules
def test_divergences_of_near_distributions_do_not_cancel(name):
    """In float32, down to the square of a relative perturbation of 1e-5, against the same inputs in float64."""
    rng, rule = np.random.default_rng(0), rule_of(name, "float32")
    p = rng.dirichlet(np.ones(4), 500).astype(np.float32)
    q = (p * (1 + 1e-5 * rng.uniform(-1, 1, p.shape))).astype(np.float32)
    found = np.asarray(rule.divergence(p, q), np.float64)
    p, q = p.astype(np.float64), q.astype(np.float64)
    exact = {
        "log": lambda: np.array([information_oracle.kl_divergence(a, b) for a, b in zip(p, q, strict=True)]),
        "brier": lambda: np.sum((p - q) ** 2, axis=1),
        "spherical": lambda: (
            np.linalg.norm(p, axis=1)
            / 2
            * np.sum((p / np.linalg.norm(p, axis=1)[:, None] - q / np.linalg.norm(q, axis=1)[:, None]) ** 2, axis=1)
        ),
        "zero_one": lambda: p.max(1) - p[np.arange(500), q.argmax(1)],
        "squared_error": lambda: ((p - q) @ (oracle.VALUES - 0.75)) ** 2,  # the middle of their range
    }[name]()
    assert (found >= 0).all()
    np.testing.assert_allclose(found, exact, rtol=2e-4 if name == "squared_error" else 1e-5, atol=1e-17)


@rules
def test_gradients_of_entropy_and_divergence_are_finite_differences(name, x64):
    """Along directions that sum to zero; at a cell of zero mass they are zero."""
    rng, rule, h = np.random.default_rng(1), rule_of(name, "float64"), 1e-6
    p, q, direction = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4)), rng.normal(size=4)
    p[1], direction[1] = 0, 0
    p, direction = p / p.sum(), direction - np.where(p > 0, direction.sum() / 3, 0)
    for f in (rule.entropy, lambda p: rule.divergence(p, q)):
        slope = jax.grad(f)(p)
        difference = (f(p + h * direction) - f(p - h * direction)) / (2 * h)
        np.testing.assert_allclose(slope @ direction, difference, rtol=1e-6, atol=1e-8)
        assert slope[1] == 0
    direction = direction - direction.mean()
    slope = jax.grad(lambda q: rule.divergence(p, q))(q)
    difference = (rule.divergence(p, q + h * direction) - rule.divergence(p, q - h * direction)) / (2 * h)
    np.testing.assert_allclose(slope @ direction, difference, rtol=1e-6, atol=1e-8)


def test_small_entropies_are_accurate_in_float32():
    """Of a distribution that is nearly certain, whose 1 − max p or 1 − Σ p² would be lost."""
    p = np.float32([1 - 1e-9, 1e-9])
    rules = isjax.brier_score, isjax.spherical_score, isjax.zero_one_score, isjax.squared_error([1, 3])
    np.testing.assert_allclose([rule.entropy(p) for rule in rules], [2e-9, 1e-9, 1e-9, 4e-9], rtol=1e-6)


@rules
def test_entropies_and_divergences_of_100_000_pairs_with_zeros_are_finite_with_their_gradients(name):
    """Down to masses of 1e-37; the logarithmic divergence is infinite where q is zero and p is not."""
    rng, rule = np.random.default_rng(9), rule_of(name, "float32")
    p, q = (masses(rng, (100_000, 4), np.float32) for _ in range(2))
    entropies, slope = jax.jit(jax.vmap(jax.value_and_grad(rule.entropy)))(p)
    divergences, slopes = jax.jit(jax.vmap(jax.value_and_grad(rule.divergence, (0, 1))))(p, q)
    finite = np.isfinite(divergences)
    np.testing.assert_array_equal(~finite, ((p > 0) & (q == 0)).any(1) if name == "log" else False)
    assert np.isfinite(entropies).all()
    assert min(np.min(entropies), np.min(divergences)) >= 0
    for each in (slope, *slopes):
        assert np.isfinite(np.asarray(each)[finite]).all()
    assert not np.asarray(slope)[p == 0].any()
    assert not np.asarray(slopes[0])[p == 0].any()


# --- what an encoder loses ----------------------------------------------------------------------------------------


@rules
@theorem(joint=joints(), encoder=encoders())
def test_loss_is_the_mean_divergence_of_posteriors(name, joint, encoder, dtype):
    joint = joint.astype(dtype)
    encoder = encoder if np.issubdtype(encoder.dtype, np.integer) else encoder.astype(dtype)
    found = loss(name, joint, encoder)
    assert found.dtype == dtype
    assert found >= 0
    np.testing.assert_allclose(found, oracle.loss(name, joint, encoder, 2), **tolerance(dtype))


@pytest.mark.parametrize("name", STRICT)
@pytest.mark.parametrize("scale", [1e-1, 1e-3, 1e-5])
def test_small_losses_are_accurate_in_float32(name, scale):
    """Posteriors of a code that differ by a relative perturbation, whose square is what is lost."""
    rng, codes = np.random.default_rng(10), np.arange(64) // 8
    rows = rng.dirichlet(np.ones(4), 8)[codes] * (1 + scale * rng.uniform(-1, 1, (64, 4)))
    joint = (rng.dirichlet(np.ones(64))[:, None] * rows / rows.sum(1, keepdims=True)).astype(np.float32)
    found = float(isjax.scored_loss(joint, codes, rule_of(name, "float32")))
    with jax.enable_x64(True):
        exact = float(isjax.scored_loss(joint.astype(np.float64), codes, rule_of(name, "float32")))
    assert 1e-2 * scale**2 < exact < scale**2
    assert abs(found - exact) <= 1e-5 * exact + 1.2e-7 * math.sqrt(exact)


@theorem(joint=joints(), encoder=encoders())
def test_of_the_logarithmic_rule_it_is_the_mutual_information_loss(joint, encoder, dtype):
    joint, rows = joint.astype(dtype), jnp.asarray(information_oracle.rows(encoder, 2), dtype)
    assert loss("log", joint, rows) == jitted(isjax.mutual_information_loss)(joint, rows)
    if np.issubdtype(encoder.dtype, np.integer):
        assert loss("log", joint, encoder) == jitted(isjax.mutual_information_loss, num_codes=2)(joint, encoder)


@rules
@theorem(joint=joints(), encoder=encoders(), x=st.permutations(range(3)), y=st.permutations(range(4)))
def test_labels_do_not_matter(name, joint, encoder, x, y, dtype):
    joint, rule = joint.astype(dtype), rule_of(name, dtype)
    rows = jnp.asarray(information_oracle.rows(encoder, 2), dtype)
    if name == "squared_error":  # the values move with their symbols
        rule = isjax.squared_error(oracle.VALUES[list(y)].astype(dtype))
    relabelled = jitted(isjax.scored_loss)(joint[np.ix_(x, y)], rows[jnp.array(x)][:, ::-1], rule)
    np.testing.assert_allclose(loss(name, joint, rows), relabelled, **close(dtype))


@rules
@theorem(joint=joints((4, 4)), first=codes(4, 3), second=encoders(3, 2))
def test_losses_add_along_compositions(name, joint, first, second, dtype):
    """What V = g(U) loses is what U loses of X, and V of U."""
    joint = joint.astype(dtype)
    second = second if np.issubdtype(second.dtype, np.integer) else second.astype(dtype)
    joint_uy = jitted(isjax.pushforward, num_codes=3)(joint, first)
    in_steps = loss(name, joint, first, 3) + loss(name, joint_uy, second)
    np.testing.assert_allclose(loss(name, joint, second[first]), in_steps, **close(dtype, 256))


@rules
@theorem(p_x=distributions(4), rows=kernels(2, 4), encoder=codes(4))
def test_a_sufficient_code_loses_nothing_under_any_rule(name, p_x, rows, encoder, dtype):
    joint = (p_x[:, None] * rows[encoder]).astype(dtype)
    assert loss(name, joint, encoder) <= UNBOUNDED * (close(dtype, 1)["atol"] if name == "zero_one" else 1e-12)


@theorem(joint=joints(), encoder=encoders())
def test_strictly_proper_rules_lose_nothing_if_and_only_if_the_code_is_sufficient(joint, encoder, x64):
    """Each bounds the others: min p(y|u) · I ≤ Brier ≤ 2 I, and Brier/36 ≤ spherical ≤ 4 Brier for four classes."""
    information, brier, spherical = (float(loss(name, joint, encoder)) for name in STRICT)
    joint_uy = information_oracle.rows(encoder, 2).T @ joint
    of_code = joint_uy / np.maximum(joint_uy.sum(1, keepdims=True), 1e-300)
    assert of_code[of_code > 0].min() * information <= brier + 1e-15
    assert brier <= 2 * information + 1e-15
    assert brier / 36 <= spherical + 1e-15
    assert spherical <= 4 * brier + 1e-15


def test_the_zero_one_loss_may_vanish_where_the_code_is_not_sufficient():
    """Both inputs have the same best guess, so merging them costs no error, but information."""
    joint, merged = np.float32([[0.45, 0.05], [0.3, 0.2]]), np.array([0, 0])
    assert isjax.scored_loss(joint, merged, isjax.zero_one_score) == 0
    assert not isjax.is_sufficient(joint, merged)
    assert min(loss(name, joint, merged) for name in STRICT) > 1e-3
    different = np.float32([[0.45, 0.05], [0.2, 0.3]])  # the null: their guesses differ
    np.testing.assert_allclose(isjax.scored_loss(different, merged, isjax.zero_one_score), 0.1, rtol=1e-6)


def test_the_squared_error_is_strict_in_the_mean_alone():
    """One mean and two spreads."""
    joint = np.float32([[0.25, 0.0, 0.25], [0.0, 0.5, 0.0]])
    assert isjax.scored_loss(joint, np.array([0, 0]), isjax.squared_error([-1, 0, 1])) == 0
    assert isjax.scored_loss(joint, np.array([0, 0]), isjax.squared_error([-1, 0.5, 1])) > 0.01
    assert not isjax.is_sufficient(joint, np.array([0, 0]))


@theorem(joint=joints(), encoder=encoders())
def test_orders_of_the_losses(joint, encoder, dtype):
    """Pinsker: Brier ≤ 2 I, squared error ≤ r²/2 · I, zero-one ≤ √(2 I)."""
    joint = joint.astype(dtype)
    information = float(loss("log", joint, encoder))
    slack = close(dtype)["atol"]
    assert loss("brier", joint, encoder) <= 2 * information + slack
    assert loss("squared_error", joint, encoder) <= np.ptp(oracle.VALUES) ** 2 / 2 * information + UNBOUNDED * slack
    assert loss("zero_one", joint, encoder) <= math.sqrt(2 * information) + slack


def test_the_orders_are_attained_up_to_their_constants():
    """Near equal posteriors of a fair coin, Brier/I and squared error/I approach 1 and r²/4: the orders are right."""
    for e in (1e-1, 1e-2):
        joint = np.float32([[0.25 + e / 2, 0.25 - e / 2], [0.25 - e / 2, 0.25 + e / 2]])
        lost = [float(isjax.scored_loss(joint, np.array([0, 0]), rule)) for rule in
            (isjax.log_score, isjax.brier_score, isjax.squared_error([-1, 1]), isjax.zero_one_score)]  # fmt: skip
        np.testing.assert_allclose(np.divide(lost[1:3], lost[0]), [1, 2], rtol=5 * e)
        np.testing.assert_allclose(lost[3] / math.sqrt(2 * lost[0]), 0.5, rtol=5 * e)


# --- risks --------------------------------------------------------------------------------------------------------


@rules
@theorem(joint=joints(), encoder=encoders(), decoder=kernels(2, 4))
def test_every_risk_splits_into_three_parts_none_of_them_negative(name, joint, encoder, decoder, dtype):
    joint, encoder = joint.astype(dtype), jnp.asarray(information_oracle.rows(encoder, 2), dtype)
    log_q = np.log(np.maximum(decoder, 1e-30))
    log_q = (log_q - np.log(np.exp(log_q).sum(1, keepdims=True))).astype(dtype)
    parts = jitted(isjax.risk_decomposition)(joint, log_q, encoder, rule=rule_of(name, dtype))
    assert min(parts) >= 0
    of_x = sum(row.sum() * oracle.entropy(name, row / row.sum()) for row in joint.astype(float) if row.sum() > 0)
    np.testing.assert_allclose(parts.conditional_entropy, of_x, **tolerance(dtype))
    np.testing.assert_allclose(parts.encoder_bias, oracle.loss(name, joint, encoder, 2), **tolerance(dtype))
    expected = oracle.risk(name, joint, np.exp(log_q.astype(float)), encoder, 2)
    scale = {"rtol": 2e-5, "atol": 2e-4} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-11}
    np.testing.assert_allclose(parts.risk, expected, **scale)


@rules
@theorem(joint=joints(), encoder=encoders(), other=kernels(2, 4))
def test_pythagoras(name, joint, encoder, other, dtype):
    """E D(p_X, s_U) = E D(p_X, p_U) + E D(p_U, s_U) for every s of the code alone: p_U is the projection."""
    joint, other = joint.astype(dtype), other.astype(dtype)
    other = (other + 1e-3) / np.sum(other + np.asarray(1e-3, dtype), axis=1, keepdims=True)
    rows, rule = jnp.asarray(information_oracle.rows(encoder, 2), dtype), rule_of(name, dtype)
    joint_uy = jitted(isjax.pushforward)(joint, rows)
    posterior_x, posterior_u = (jitted(isjax.conditional_y_given_x)(each) for each in (joint, joint_uy))
    divergence = jitted(type(rule).divergence)
    p_xu = joint.sum(1)[:, None] * rows
    direct = jnp.sum(p_xu * divergence(rule, posterior_x[:, None], jnp.asarray(other)[None]))
    rest = jnp.sum(joint_uy.sum(1) * divergence(rule, posterior_u, jnp.asarray(other)))
    np.testing.assert_allclose(direct, loss(name, joint, rows) + rest, **close(dtype, 256))


@rules
def test_the_best_decoder_is_the_posterior(name):
    """Its error is zero, and gradient descent on the error finds it, under strictly proper rules."""
    joint, encoder = np.float32(np.random.default_rng(2).dirichlet(np.ones(16)).reshape(4, 4)), np.array([0, 1, 1, 0])
    split = functools.partial(isjax.risk_decomposition, joint, encoder=encoder, rule=rule_of(name, "float32"))
    posterior = isjax.conditional_y_given_x(isjax.pushforward(joint, encoder, num_codes=2))
    assert split(jnp.log(posterior)).decoder_error < 1e-9
    if name not in STRICT:
        return
    step = jax.jit(lambda z: z - 4 * jax.grad(lambda z: split(jax.nn.log_softmax(z)).risk)(z))
    logits = jnp.zeros((2, 4))
    for _ in range(300):
        logits = step(logits)
    np.testing.assert_allclose(jax.nn.softmax(logits), posterior, atol=0.02)


def test_the_zero_one_risk_is_the_error_rate():
    rng = np.random.default_rng(3)
    joint, encoder = np.float32(rng.dirichlet(np.ones(24)).reshape(6, 4)), rng.integers(0, 3, 6)
    logits = rng.normal(size=(3, 4)).astype(np.float32)
    parts = isjax.risk_decomposition(joint, jax.nn.log_softmax(logits), encoder, rule=isjax.zero_one_score)
    error = 1 - joint[np.arange(6), logits.argmax(1)[encoder]].sum()
    np.testing.assert_allclose(parts.risk, error, rtol=1e-6)
    np.testing.assert_allclose(parts.conditional_entropy, 1 - joint.max(1).sum(), rtol=1e-6)


@rules
@pytest.mark.parametrize("kind", ["codes", "rows"])
def test_gradients_are_finite_differences(name, kind, x64):
    rng, rule, h = np.random.default_rng(4), rule_of(name, "float64"), 1e-6
    joint, logits = rng.dirichlet(np.ones(12)).reshape(3, 4), rng.normal(size=(2, 4))
    encoder = np.array([0, 1, 1]) if kind == "codes" else rng.dirichlet(np.ones(2), 3)

    def risk(joint, logits):
        return isjax.risk_decomposition(joint, jax.nn.log_softmax(logits), encoder, rule=rule).risk

    directions = rng.normal(size=joint.shape), rng.normal(size=logits.shape)
    directions = directions[0] - directions[0].mean(), directions[1]
    gradients = jax.jit(jax.grad(risk, (0, 1)))(joint, logits)
    slope = sum(np.sum(g * v) for g, v in zip(gradients, directions, strict=True))
    moved = [risk(joint + t * directions[0], logits + t * directions[1]) for t in (h, -h)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * h), rtol=1e-7)
    for second in jax.tree.leaves(jax.jit(jax.hessian(risk, (0, 1)))(joint, logits)):
        assert np.isfinite(second).all()

    def lost(joint):
        return isjax.scored_loss(joint, encoder, rule)

    slope = np.sum(jax.grad(lost)(joint) * directions[0])
    moved = [lost(joint + t * directions[0]) for t in (h, -h)]
    np.testing.assert_allclose(slope, (moved[0] - moved[1]) / (2 * h), rtol=1e-6)


@rules
def test_100_000_risks_with_zeros_have_no_nan_in_value_or_gradient(name):
    rng, rule = np.random.default_rng(5), rule_of(name, "float32")
    joint = masses(rng, (100_000, 12), np.float32).reshape(-1, 3, 4)
    encoder, decoder = rng.integers(0, 2, (100_000, 3)), masses(rng, (100_000, 2, 4), np.float32)
    log_q = np.log(decoder, where=decoder > 0, out=np.full_like(decoder, -np.inf))

    def risk(joint, log_q, encoder):
        return isjax.risk_decomposition(joint, log_q, encoder, rule=rule).risk

    def of_x_and_encoder(joint, log_q, encoder):
        parts = isjax.risk_decomposition(joint, log_q, encoder, rule=rule)
        return parts.conditional_entropy + parts.encoder_bias

    every = jax.jit(jax.vmap(lambda *a: (jax.value_and_grad(risk, (0, 1))(*a), jax.grad(of_x_and_encoder)(*a))))
    (values, gradients), of_joint = every(joint, log_q, encoder)
    finite = np.isfinite(values)
    assert np.min(values) >= 0
    assert finite.all() or name == "log"
    for gradient in map(np.asarray, gradients):
        assert np.isfinite(gradient[finite]).all()
    assert not np.asarray(of_joint)[joint == 0].any()


def test_the_error_is_nan_where_the_decoder_is():
    joint = jnp.array([[0.5, 0.5], [0.0, 0.0]])
    for name in RULES:
        rule = RULES[name]("float32") if name != "squared_error" else isjax.squared_error([0, 1])
        for cell in range(4):
            broken = jnp.log(jnp.full((2, 2), 0.5)).at[cell // 2, cell % 2].set(jnp.nan)
            assert np.isnan(isjax.risk_decomposition(joint, broken, rule=rule).risk)
        assert np.isnan(rule.divergence(joint[0], jnp.array([jnp.nan, 0.5])))
        assert np.isnan(rule.entropy(jnp.array([jnp.nan, 0.5])))


# --- batches, jit, and what a rule is ------------------------------------------------------------------------------


@rules
def test_batches_broadcast(name):
    rng, rule = np.random.default_rng(6), rule_of(name, "float32")
    joint = masses(rng, (2, 1, 12), np.float32).reshape(2, 1, 3, 4)
    decoder = np.log(masses(rng, (3, 2, 4), np.float32) / 2 + 1 / 8).astype(np.float32)
    for encoder in (rng.integers(0, 2, (3, 3)), masses(rng, (3, 3, 2), np.float32)):
        expected = [[oracle.loss(name, j[0], e, 2) for e in encoder] for j in joint]
        num_codes = 2 if encoder.ndim == 2 else None
        found = isjax.scored_loss(joint, encoder, rule, num_codes=num_codes)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        parts = isjax.risk_decomposition(joint, decoder, encoder, rule=rule)
        assert parts.risk.shape == (2, 3)
        np.testing.assert_allclose(parts.encoder_bias, expected, rtol=1e-5, atol=1e-5)
    p = masses(rng, (5, 1, 4), np.float32)
    assert rule.entropy(p).shape == (5, 1)
    assert rule.divergence(p, p[:, 0]).shape == (5, 5)


@rules
def test_a_rule_is_an_argument_of_a_jitted_function_traced_or_static(name):
    joint, encoder = np.float32(np.random.default_rng(7).dirichlet(np.ones(12)).reshape(3, 4)), np.array([0, 1, 1])
    rule = rule_of(name, "float32")
    expected = isjax.scored_loss(joint, encoder, rule)
    for f in (
        jax.jit(isjax.scored_loss),
        jax.jit(isjax.scored_loss, static_argnames="rule"),
        jax.jit(lambda joint, encoder, rule: isjax.scored_loss(joint, encoder, rule)),
    ):
        np.testing.assert_allclose(f(joint, encoder, rule=rule), expected, rtol=1e-6)
    assert jax.vmap(lambda joint: isjax.scored_loss(joint, encoder, rule))(joint[None]).shape == (1,)


def test_values_may_be_traced_and_have_derivatives():
    joint, encoder = np.float32(np.random.default_rng(8).dirichlet(np.ones(12)).reshape(3, 4)), np.array([0, 1, 1])

    def lost(values):
        return isjax.scored_loss(joint, encoder, isjax.squared_error(values))

    values, h = jnp.asarray(oracle.VALUES, jnp.float32), 1e-2
    slope = jax.jit(jax.grad(lost))(values)
    for i, direction in enumerate(np.eye(4, dtype=np.float32)):
        difference = (lost(values + h * direction) - lost(values - h * direction)) / (2 * h)
        np.testing.assert_allclose(slope[i], difference, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(slope), 0, atol=1e-5)  # a shift of all values changes nothing
    np.testing.assert_allclose(lost(values + 1000), lost(values), rtol=1e-3)


def test_new_values_and_rules_of_one_form_make_no_new_program():
    joint, encoder = jnp.full((3, 2), 1 / 6), jnp.array([0, 1, 1])
    log_decoder = jnp.log(jnp.full((3, 2), 0.5))

    def everything(rule):
        isjax.scored_loss(joint, encoder, rule)
        isjax.risk_decomposition(joint, log_decoder, encoder, rule=rule)
        return rule.entropy(joint[0] * 3), rule.divergence(joint[0] * 3, joint[1] * 3)

    everything(isjax.squared_error(np.array([0.0, 1.0])))
    everything(isjax.brier_score)
    with new_programs() as events:
        everything(isjax.squared_error(np.array([2.0, -3.0])))
        everything(pickle.loads(pickle.dumps(isjax.brier_score)))
    assert events == []


def test_no_two_rules_have_one_structure():
    """Else a program of one could be taken for that of another."""
    structures = [jax.tree.structure(RULES[name]("float32").formulas) for name in RULES]
    assert all(one != other for i, one in enumerate(structures) for other in structures[:i])


def test_rules_are_values():
    named = {rule.name for rule in (isjax.log_score, isjax.brier_score, isjax.spherical_score, isjax.zero_one_score)}
    assert named | {isjax.squared_error([0, 1]).name} == set(RULES)
    assert pickle.loads(pickle.dumps(isjax.brier_score)) == copy.copy(isjax.brier_score) == isjax.brier_score
    assert hash(isjax.brier_score) == hash(copy.deepcopy(isjax.brier_score))
    assert len({isjax.log_score, isjax.brier_score, isjax.log_score}) == 2
    assert [field.shape for field in jax.tree.leaves(isjax.squared_error([0, 1, 2]))] == [(3,)]
