"""Bottlenecks and quantizers: their equations, their optima, and that nothing ever rises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.oracles import bottleneck as oracle
from tests.strategies import masses

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)


def keys(num):
    return jax.random.split(KEY, num)


def random_joints(num, num_symbols, num_classes, *, concentration=0.5, seed=0):
    cells = np.random.default_rng(seed).dirichlet(np.full(num_symbols * num_classes, concentration), num)
    return cells.reshape(num, num_symbols, num_classes)


def eps(dtype):
    return float(jnp.finfo(dtype).eps)


def symmetric(crossover):
    """The doubly symmetric binary source."""
    return np.array([[1 - crossover, crossover], [crossover, 1 - crossover]], np.float32) / 2


# --- the information bottleneck -----------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="num_codes")
def solve(key, joint, beta, num_codes=4):
    return isjax.information_bottleneck(key, joint, beta, num_codes=num_codes)


def test_solution_leaves_the_trivial_one_at_the_inverse_square_of_the_correlation():
    """On the doubly symmetric binary source with ρ = 1 − 2a, between 0.98/ρ² and 1.02/ρ²; above it, on the curve."""
    crossovers = np.array([0.05, 0.1, 0.25, 0.4], np.float32)
    joints = np.stack([symmetric(a) for a in crossovers])
    factors = np.array([0.5, 0.98, 1.02, 1.5], np.float32)
    betas = factors / (1 - 2 * crossovers[:, None]) ** 2
    over_betas = jax.vmap(functools.partial(solve, KEY, num_codes=2), (None, 0))
    found = jax.jit(jax.vmap(over_betas))(joints, betas)
    assert found.converged.all()
    np.testing.assert_allclose(found.complexity[:, :2], 0, atol=1e-9)
    assert (found.complexity[:, 2] > 0.02).all()
    assert (found.objective[:, 2:] < 0).all()
    # Above it the encoder is a symmetric channel too, and its crossover w solves a scalar equation.
    for crossover, beta, complexity in zip(crossovers, betas[:, 3], found.complexity[:, 3], strict=True):
        w = np.linspace(1e-4, 0.5, 20001)
        behind = crossover * (1 - w) + (1 - crossover) * w
        h = lambda p: -p * np.log(p) - (1 - p) * np.log(1 - p)  # noqa: E731
        best = np.argmin((np.log(2) - h(w)) - beta * (np.log(2) - h(behind)))
        np.testing.assert_allclose(complexity, np.log(2) - h(w[best]), atol=2e-4)


def test_solution_obeys_its_equations(dtype):
    """p(u|x) ∝ p(u) exp(−β D), and its parts are what they are called."""
    joints, betas = random_joints(6, 6, 3).astype(dtype), np.array([1.3, 2, 4, 8, 20, 100], dtype)
    found = jax.jit(jax.vmap(solve))(keys(6), joints, betas)
    assert found.converged.all()
    assert found.encoder.dtype == found.loss.dtype == dtype
    np.testing.assert_allclose(found.encoder.sum(-1), 1, rtol=32 * eps(dtype))
    for i, joint in enumerate(joints):
        encoder = np.asarray(found.encoder[i], np.float64)
        updated = oracle.update(joint, betas[i : i + 1], encoder[None])[0]
        assert np.abs(updated - encoder).sum(-1) @ joint.sum(-1) / 2 < max(2e-6, 16 * eps(dtype) * betas[i])
        np.testing.assert_allclose(found.decoder[i], isjax.conditional_y_given_x(encoder.T.astype(dtype) @ joint))
    close = {"atol": 16 * eps(dtype)}
    np.testing.assert_allclose(found.relevance + found.loss, oracle.information(joints), **close)
    np.testing.assert_allclose(found.complexity - betas * found.relevance, found.objective, atol=1e3 * eps(dtype))
    expected = [
        oracle.objective(j, b[None], np.asarray(e)[None])[0]
        for j, b, e in zip(joints, betas, found.encoder, strict=True)
    ]
    np.testing.assert_allclose(found.objective, expected, atol=1e3 * eps(dtype))
    assert (found.objective <= 0).all()


def test_objective_never_rises_along_a_run():
    """The objective after 1, 2, … steps: the number of steps may be traced, so all prefixes of a run are one call."""
    joints = random_joints(3, 6, 3, seed=1).astype(np.float32)

    def after(joint, beta, max_steps):
        return isjax.information_bottleneck(
            KEY, joint, beta, num_codes=4, num_restarts=1, tolerance=0.0, max_steps=max_steps
        ).objective

    after = jax.jit(jax.vmap(jax.vmap(jax.vmap(after, (None, None, 0)), (None, 0, None)), (0, None, None)))
    betas = np.array([1.5, 3.0, 30.0], np.float32)
    objectives = np.asarray(after(joints, betas, np.arange(1, 40)))
    assert (np.diff(objectives) <= 4 * eps("float32") * (1 + betas[:, None])).all()
    assert (objectives[..., 0] - objectives[..., -1] > 1e-3).any()


def test_large_beta_gives_the_best_quantizer():
    """At β → ∞ only relevance counts: the encoder hardens, and keeps what the best K cells keep."""
    joints = random_joints(5, 6, 2, concentration=2.0).astype(np.float32)
    found = jax.jit(jax.vmap(lambda joint: solve(KEY, joint, np.float32(3e4), 3)))(joints)
    np.testing.assert_allclose(np.max(found.encoder, axis=-1), 1, atol=1e-3)
    best = isjax.optimal_quantizer(joints, num_codes=3)
    np.testing.assert_allclose(found.loss, best.loss, rtol=1e-3, atol=1e-6)


def test_beta_below_one_buys_nothing():
    """I(U;Y) ≤ I(X;U): at β ≤ 1 the encoder with one code is best."""
    found = jax.jit(jax.vmap(solve, (0, None, 0)))(
        keys(3), random_joints(1, 6, 3)[0].astype("f4"), jnp.array([0.1, 0.5, 1.0])
    )
    np.testing.assert_array_equal(found.complexity, 0)
    np.testing.assert_array_equal(found.encoder[..., 0], 1)
    np.testing.assert_array_equal(found.decoder[:, 1:], 1 / 3)


@pytest.mark.parametrize("name", ["information_bottleneck", "deterministic_information_bottleneck"])
def test_empty_rows_columns_and_codes_give_no_nan(name):
    """Inputs and classes without mass, one class only, X and Y independent, tiny masses, more codes than inputs."""
    joints = masses(np.random.default_rng(2), (6, 15), np.float32).reshape(6, 5, 3)
    joints[0, :2] = joints[1, :, 0] = joints[2, :, 1:] = 0
    joints[3] = np.float32(1 / 15)
    joints[4, 0] = joints[4, 4] = joints[4, :, 2] = 0
    joints[2, 0, 0] = 1
    joints /= joints.sum((1, 2), keepdims=True)
    f = functools.partial(getattr(isjax, name), num_codes=7, num_restarts=4)
    found = jax.jit(jax.vmap(jax.vmap(f, (None, None, 0)), (0, 0, None)))(
        keys(6), joints, np.array([1.5, 50], np.float32)
    )
    assert all(np.isfinite(part).all() for part in found)
    for i in (2, 3):  # nothing to keep
        np.testing.assert_allclose(found.complexity[i], 0, atol=1e-6)
        np.testing.assert_allclose(found.loss[i], 0, atol=1e-6)
    lost = oracle.information(joints)[:, None] - np.asarray(found.relevance)
    np.testing.assert_allclose(found.loss, lost, atol=1e-6)


def test_what_is_done_eagerly_and_under_jit_is_the_same(transform):
    f = transform(functools.partial(isjax.information_bottleneck, num_codes=2, num_restarts=2))
    assert abs(float(f(KEY, symmetric(0.1), 2.0).complexity) - 0.3459) < 1e-3


@pytest.mark.parametrize("beta", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("name", ["information_bottleneck", "deterministic_information_bottleneck"])
def test_traced_beta_that_is_not_positive_gives_nan(name, beta):
    f = jax.jit(functools.partial(getattr(isjax, name), num_codes=2, num_restarts=2, max_steps=20))
    found = f(KEY, symmetric(0.1), beta)
    assert all(np.isnan(part).all() for part in (found.loss, found.relevance, found.objective, found.decoder))
    assert not found.converged


# --- the curve ----------------------------------------------------------------------------------------------------

BETAS = np.geomspace(1, 60, 24)


@pytest.fixture(scope="module")
def curves():
    joints = np.concatenate([random_joints(3, 8, 3), random_joints(3, 8, 3, concentration=3.0)])
    trace = functools.partial(isjax.bottleneck_curve, num_codes=8)
    found = jax.jit(jax.vmap(trace, (0, 0, None)))(keys(6), joints.astype(np.float32), BETAS.astype(np.float32))
    return joints, found


def test_curve_is_monotone_and_concave(curves):
    """As β rises so do complexity and relevance, and the chord between neighbours has a slope between their 1/β."""
    _, found = curves
    assert found.converged.all()
    complexity, relevance = np.asarray(found.complexity, np.float64), np.asarray(found.relevance, np.float64)
    rise, run = np.diff(relevance), np.diff(complexity)
    assert (rise >= -1e-5).all()
    assert (run >= -1e-5).all()
    assert (rise <= run / BETAS[:-1] + 1e-5).all()
    assert (rise >= run / BETAS[1:] - 1e-5).all()
    assert (relevance[:, -1] > 0.9 * oracle.information(curves[0])).all()


def test_curve_is_at_least_as_good_as_long_runs_of_plain_updates(curves):
    joints, found = curves
    for joint, objectives in zip(joints, found.objective, strict=True):
        expected = oracle.best_objective(joint, BETAS, 8, num_restarts=6, num_updates=1500)
        assert (objectives <= expected + 1e-5).all()


def test_curve_does_not_depend_on_the_order_of_beta(curves):
    joint = curves[0][0].astype(np.float32)
    backwards = isjax.bottleneck_curve(keys(6)[0], joint, BETAS[::-1].astype(np.float32), num_codes=8)
    np.testing.assert_allclose(backwards.objective[::-1], curves[1].objective[0], atol=1e-5)


# --- deterministic encoders ---------------------------------------------------------------------------------------


def test_deterministic_bottleneck_finds_the_best_of_all_encoders():
    joints, betas = random_joints(20, 6, 3), np.array([1.5, 3, 8, 40])
    every = oracle.joints_uy(joints, oracle.partitions(6, 6))
    f = functools.partial(isjax.deterministic_information_bottleneck, num_codes=6)
    found = jax.jit(jax.vmap(jax.vmap(f, (None, None, 0)), (0, 0, None)))(
        keys(20), joints.astype(np.float32), betas.astype(np.float32)
    )
    assert found.converged.all()
    entropies, relevance = oracle.entropy_of_codes(every), oracle.information(every)
    best = np.min(entropies[..., None] - betas * relevance[..., None], axis=1)
    np.testing.assert_allclose(found.objective, best, atol=4 * eps("float32") * 41)
    assert found.encoder.shape == (20, 4, 6)
    assert jnp.issubdtype(found.encoder.dtype, jnp.integer)


def test_deterministic_objective_never_rises_along_a_run():
    joint = random_joints(1, 12, 3)[0].astype(np.float32)
    f = functools.partial(isjax.deterministic_information_bottleneck, num_codes=6, num_restarts=1)
    after = jax.jit(jax.vmap(lambda max_steps: f(KEY, joint, 8.0, max_steps=max_steps)))(np.arange(1, 20))
    assert (np.diff(after.objective) <= 0).all()
    assert after.objective[0] > after.objective[-1]
    assert after.converged[-1]


def test_two_class_quantizer_equals_exhaustive_search(dtype):
    """200 joints of 8 inputs; cells and rows without mass and masses down to 1e-20 in half of them."""
    joints = np.concatenate(
        [
            random_joints(100, 8, 2),
            masses(np.random.default_rng(3), (100, 16), np.float64, smallest=1e-20).reshape(100, 8, 2),
        ]
    ).astype(dtype)
    for num_codes in (2, 4):
        found = jax.jit(functools.partial(isjax.optimal_quantizer, num_codes=num_codes))(joints)
        every = oracle.information(oracle.joints_uy(joints, oracle.partitions(8, num_codes)))
        least = oracle.information(joints) - every.max(1)
        np.testing.assert_allclose(found.loss, least, rtol=1e3 * eps(dtype), atol=4 * eps(dtype))
        assert found.is_global.all()
        assert (found.codes < num_codes).all()


def test_cells_of_the_optimum_are_intervals_of_the_posterior():
    joint = random_joints(1, 50, 2)[0].astype(np.float32)
    codes = np.asarray(isjax.optimal_quantizer(joint, num_codes=7).codes)
    assert np.ptp(codes) == 6
    assert (np.diff(codes[np.argsort(joint[:, 1] / joint.sum(1))]) >= 0).all()


def test_losses_many_orders_below_the_information_are_told_apart():
    """Posteriors a hundred-thousandth apart, in float32: the cut is where float64 has it, though I is 1e-10."""
    rng = np.random.default_rng(4)
    posterior = 0.5 + np.where(np.arange(64) < 23, 0, 2e-5) + 1e-6 * rng.random(64)
    joint = (np.stack([1 - posterior, posterior], axis=1) / 64).astype(np.float32)
    codes = np.asarray(isjax.optimal_quantizer(joint, num_codes=2).codes)
    np.testing.assert_array_equal(codes, np.arange(64) >= 23)


def test_kl_means_is_near_exhaustive_search_on_four_classes():
    """Within 2 % of the relevance of the best of all encoders, on each of 100 joints."""
    joints = random_joints(100, 8, 4)
    f = functools.partial(isjax.kl_means_quantizer, num_codes=3)
    found = jax.jit(jax.vmap(f))(keys(100), joints.astype(np.float32))
    best = oracle.information(oracle.joints_uy(joints, oracle.partitions(8, 3))).max(1)
    relevance = oracle.information(joints) - found.loss
    assert (relevance >= 0.98 * best).all()
    assert (relevance <= best + 1e-6).all()
    assert not found.is_global.any()


def test_kl_means_agrees_with_the_optimum_of_two_classes():
    joints = random_joints(20, 30, 2).astype(np.float32)
    f = functools.partial(isjax.kl_means_quantizer, num_codes=4)
    found, best = jax.jit(jax.vmap(f))(keys(20), joints), isjax.optimal_quantizer(joints, num_codes=4)
    assert (found.loss >= best.loss * (1 - 1e-5)).all()
    information = isjax.mutual_information(joints)
    assert (information - found.loss >= 0.98 * (information - best.loss)).all()


@pytest.mark.parametrize("num_codes", [3, 5])
def test_as_many_codes_as_inputs_lose_nothing(num_codes):
    joint = random_joints(1, 3, 2)[0].astype(np.float32)
    for found in (
        isjax.optimal_quantizer(joint, num_codes=num_codes),
        isjax.kl_means_quantizer(KEY, joint, num_codes=num_codes),
    ):
        assert found.codes.tolist() == [0, 1, 2]
        assert float(found.loss) == 0
        assert bool(found.is_global)


def test_quantizers_of_one_class_lose_nothing():
    for joint in (np.full((6, 1), 1 / 6, np.float32), np.pad(np.full((6, 1), 1 / 6, np.float32), ((0, 0), (0, 1)))):
        assert float(isjax.optimal_quantizer(joint, num_codes=3).loss) == 0
        assert float(isjax.kl_means_quantizer(KEY, joint, num_codes=3, num_restarts=2).loss) == 0
