"""Bottlenecks: their equations, their optima, and objectives that never increase."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.helpers import new_programs
from tests.oracles import bottleneck as oracle
from tests.strategies import masses, random_joints

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)


def keys(num):
    return jax.random.split(KEY, num)


def eps(dtype):
    return float(jnp.finfo(dtype).eps)


def symmetric(crossover):
    """The doubly symmetric binary source."""
    return np.array([[1 - crossover, crossover], [crossover, 1 - crossover]], np.float32) / 2


# --- the information bottleneck -----------------------------------------------------------------------------------
#
# One program of six problems serves all tests: smaller alphabets are padded with inputs and classes without mass.


solve_six = jax.vmap(functools.partial(isjax.information_bottleneck, num_codes=7))


def padded(joints, dtype=np.float32):
    """``[6, 6, 3]``."""
    joints = np.asarray(joints)
    return np.pad(joints, [(0, size - have) for size, have in zip((6, 6, 3), joints.shape, strict=True)]).astype(dtype)


def channel_complexity(crossover, beta):
    """I(X;U) of the best symmetric channel on the doubly symmetric binary source: a scalar equation, on a fine grid."""
    w = np.linspace(1e-5, 0.5, 40001)
    behind = crossover * (1 - w) + (1 - crossover) * w
    complexity, relevance = (np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p) for p in (w, behind))
    return complexity[np.argmin(complexity - beta * relevance)]


@pytest.mark.parametrize("crossover", [0.05, 0.1, 0.25, 0.4])
def test_solution_leaves_the_trivial_one_at_the_inverse_square_of_the_correlation(crossover):
    """On the doubly symmetric binary source with ρ = 1 − 2a, between 0.98/ρ² and 1.02/ρ²; above it, on the curve."""
    betas = np.array([0.5, 0.98, 1.02, 1.05, 1.5, 4], np.float32) / (1 - 2 * crossover) ** 2
    found = solve_six(keys(6), padded([symmetric(crossover)] * 6), betas)
    assert found.converged.all()
    np.testing.assert_allclose(found.complexity[:2], 0, atol=1e-9)
    assert (found.complexity[2:] > 0.02).all()
    expected = [channel_complexity(crossover, beta) for beta in betas[2:]]
    np.testing.assert_allclose(found.complexity[2:], expected, rtol=0.02)
    np.testing.assert_allclose(found.complexity[4:], expected[2:], atol=2e-4)


def test_solution_obeys_its_equations(dtype):
    """p(u|x) ∝ p(u) exp(−β D), and its parts are what they are called."""
    joints, betas = random_joints(6, 6, 3).astype(dtype), np.array([1.3, 2, 4, 8, 20, 100], dtype)
    found = solve_six(keys(6), joints, betas)
    assert found.converged.all()
    assert found.encoder.dtype == found.loss.dtype == dtype
    np.testing.assert_allclose(found.encoder.sum(-1), 1, rtol=32 * eps(dtype))
    for i, joint in enumerate(joints):
        encoder = np.asarray(found.encoder[i], np.float64)
        updated = oracle.update(joint, betas[i : i + 1], encoder[None])[0]
        assert np.abs(updated - encoder).sum(-1) @ joint.sum(-1) / 2 < max(2e-6, 16 * eps(dtype) * betas[i])
        decoder = (encoder.T @ joint)[encoder.sum(0) > 0]
        decoder /= decoder.sum(1, keepdims=True)
        np.testing.assert_allclose(found.decoder[i][encoder.sum(0) > 0], decoder, rtol=1e-4, atol=64 * eps(dtype))
    np.testing.assert_allclose(found.relevance + found.loss, oracle.information(joints), atol=32 * eps(dtype))
    expected = [
        oracle.objective(joint, betas[i : i + 1], np.asarray(found.encoder[i : i + 1], np.float64))[0]
        for i, joint in enumerate(joints)
    ]
    np.testing.assert_allclose(found.objective, expected, atol=1e3 * eps(dtype))
    np.testing.assert_allclose(found.complexity - betas * found.relevance, found.objective, atol=1e3 * eps(dtype))
    assert (found.objective <= eps(dtype)).all()


def test_beta_below_one_buys_nothing():
    """I(U;Y) ≤ I(X;U): at β ≤ 1 the encoder with one code is best."""
    found = solve_six(keys(6), random_joints(6, 6, 3).astype("f4"), np.linspace(0.1, 1, 6, dtype="f4"))
    np.testing.assert_allclose(found.complexity, 0, atol=1e-9)
    np.testing.assert_allclose(found.loss, oracle.information(random_joints(6, 6, 3)), atol=1e-6)


def awkward_joints():
    """Inputs and classes without mass, one class only, X and Y independent, tiny masses; fewer inputs than codes."""
    joints = masses(np.random.default_rng(2), (6, 18), np.float32).reshape(6, 6, 3)
    joints[0, :2] = joints[1, :, 0] = joints[2, :, 1:] = 0
    joints[3] = np.float32(1 / 18)
    joints[4, 0] = joints[4, 4] = joints[4, :, 2] = 0
    joints[2, 0, 0] = joints[4, 1, 1] = 1
    return joints / joints.sum((1, 2), keepdims=True)


def make_sense(found, joints):
    assert all(np.isfinite(part).all() for part in found)
    np.testing.assert_allclose(found.loss, oracle.information(joints) - found.relevance, atol=1e-6)
    np.testing.assert_allclose(found.decoder.sum(-1), 1, rtol=1e-6)
    for i in (2, 3):  # nothing to keep
        np.testing.assert_allclose(found.complexity[i], 0, atol=1e-6)
        np.testing.assert_allclose(found.loss[i], 0, atol=1e-6)


@pytest.mark.parametrize("beta", [1.5, 50.0])
def test_empty_rows_columns_and_codes_give_no_nan(beta):
    make_sense(solve_six(keys(6), awkward_joints(), np.full(6, beta, "f4")), awkward_joints())


def test_traced_beta_that_is_not_positive_and_finite_gives_nan():
    betas = np.array([2, 0, -1, np.inf, np.nan, 3], "f4")
    found = solve_six(keys(6), padded([symmetric(0.1)] * 6), betas)
    for part in (found.encoder, found.decoder, found.complexity, found.relevance, found.loss, found.objective):
        wrong = np.isnan(np.asarray(part).reshape(6, -1))
        assert (wrong == np.array([0, 1, 1, 1, 1, 0], bool)[:, None]).all()
    assert found.converged.tolist() == [True, False, False, False, False, True]


def test_objective_never_rises_along_a_run():
    """The objective after 1, 2, … steps: the number of steps may be traced, so all prefixes of a run are one call."""
    joints, betas = random_joints(3, 6, 3, seed=1).astype("f4"), np.array([1.5, 3.0, 30.0], "f4")

    def after(joint, beta, max_steps):
        options = {"num_codes": 4, "num_restarts": 1, "tolerance": 0.0, "max_steps": max_steps}
        return isjax.information_bottleneck(KEY, joint, beta, **options).objective

    cases = [part.ravel() for part in np.meshgrid(np.arange(3), betas, np.arange(1, 40), indexing="ij")]
    objectives = np.asarray(jax.vmap(after)(joints[cases[0]], cases[1], cases[2])).reshape(3, 3, 39)
    assert (np.diff(objectives) <= 4 * eps("float32") * (1 + betas[:, None])).all()
    assert (objectives[..., 0] - objectives[..., -1] > 1e-3).any()


def test_large_beta_gives_a_hard_encoder():
    """At β → ∞ only relevance counts: rows harden, and K codes keep what the best K cells keep, within 2 %."""
    joints = random_joints(5, 6, 2, concentration=2.0).astype("f4")
    f = functools.partial(isjax.information_bottleneck, num_codes=3, num_restarts=32)
    found = jax.vmap(f, (0, 0, None))(keys(5), joints, np.float32(1e4))
    np.testing.assert_allclose(np.max(found.encoder, axis=-1), 1, atol=1e-3)
    best = oracle.information(oracle.joints_uy(joints, oracle.partitions(6, 3))).max(1)
    assert (found.relevance >= 0.98 * best).all()


# --- the curve ----------------------------------------------------------------------------------------------------

BETAS = np.geomspace(1, 60, 24)


@pytest.fixture(scope="module")
def curves():
    joints = np.concatenate([random_joints(3, 8, 3), random_joints(3, 8, 3, concentration=3.0)])
    program = jax.vmap(functools.partial(isjax.bottleneck_curve, num_codes=8, max_steps=4000), (0, 0, None))
    found = program(keys(6), joints.astype(np.float32), BETAS.astype(np.float32))
    backwards = program(keys(6), joints.astype(np.float32), BETAS[::-1].astype(np.float32))
    return joints, found, backwards


def test_curve_is_monotone_and_concave(curves):
    """As β rises so do complexity and relevance, and the chord between neighbours has a slope between their 1/β."""
    _, found, _ = curves
    assert found.converged.all()
    complexity, relevance = np.asarray(found.complexity, np.float64), np.asarray(found.relevance, np.float64)
    rise, run = np.diff(relevance), np.diff(complexity)
    assert (rise >= -1e-5).all()
    assert (run >= -1e-5).all()
    assert (rise <= run / BETAS[:-1] + 1e-5).all()
    assert (rise >= run / BETAS[1:] - 1e-5).all()
    assert (relevance[:, -1] > 0.85 * oracle.information(curves[0])).all()


def test_curve_is_at_least_as_good_as_long_runs_of_plain_updates(curves):
    joints, found, _ = curves
    for joint, objectives in zip(joints, found.objective, strict=True):
        expected = oracle.best_objective(joint, BETAS, 8, num_restarts=6, num_updates=1500)
        assert (objectives <= expected + 1e-5).all()


def test_curve_does_not_depend_on_the_order_of_beta(curves):
    _, found, backwards = curves
    np.testing.assert_allclose(backwards.objective[:, ::-1], found.objective, atol=1e-5)


# --- deterministic encoders ---------------------------------------------------------------------------------------


def solve_deterministic(keys, joints, betas):
    f = functools.partial(isjax.deterministic_information_bottleneck, num_codes=7)
    return jax.vmap(jax.vmap(f, (None, None, 0)), (0, 0, None))(keys, joints, betas)


def test_deterministic_bottleneck_finds_the_best_of_all_encoders():
    joints, betas = random_joints(24, 6, 3), np.array([1.5, 3, 8, 40])
    every = oracle.joints_uy(joints, oracle.partitions(6, 6))
    found = solve_deterministic(keys(24), joints.astype("f4"), betas.astype("f4"))
    assert found.converged.all()
    entropies, relevance = oracle.entropy_of_codes(every), oracle.information(every)
    best = np.min(entropies[..., None] - betas * relevance[..., None], axis=1)
    np.testing.assert_allclose(found.objective, best, atol=4 * eps("float32") * 41)
    assert found.encoder.shape == (24, 4, 6)
    assert jnp.issubdtype(found.encoder.dtype, jnp.integer)


def test_deterministic_bottleneck_of_awkward_joints_and_beta():
    joints, betas = np.tile(awkward_joints(), (4, 1, 1)), np.array([1.5, 50.0, -1.0, np.nan], "f4")
    found = solve_deterministic(keys(24), joints, betas)
    for i in (0, 1):
        make_sense(jax.tree.map(lambda part: part[:6, i], found), awkward_joints())  # noqa: B023
    assert np.isnan(found.objective[:, 2:]).all()
    assert not found.converged[:, 2:].any()


def test_deterministic_objective_never_rises_along_a_run():
    joint = random_joints(1, 12, 3)[0].astype(np.float32)
    f = functools.partial(isjax.deterministic_information_bottleneck, num_codes=6, num_restarts=1)
    after = jax.vmap(lambda max_steps: f(KEY, joint, 8.0, max_steps=max_steps))(np.arange(1, 20))
    assert (np.diff(after.objective) <= 0).all()
    assert after.objective[0] > after.objective[-1]
    assert after.converged[-1]


def test_a_second_call_makes_no_new_program():
    """Nor do another key, joint, β, tolerance and number of steps."""
    first, second = random_joints(2, 3, 2).astype("f4")

    def solve(key, joint, beta, tolerance, max_steps):
        options = {"num_codes": 2, "num_restarts": 2, "max_steps": max_steps}
        isjax.information_bottleneck(key, joint, beta, tolerance=tolerance, **options)
        isjax.bottleneck_curve(key, joint, np.array([beta, 3.0], "f4"), tolerance=tolerance, **options)
        isjax.deterministic_information_bottleneck(key, joint, beta, **options)

    solve(KEY, first, 2.0, 1e-6, 1000)
    other_key = jax.random.key(1)
    with new_programs() as events:
        solve(other_key, second, 5.0, 1e-3, 100)
    assert events == []
