"""Bottlenecks and quantizers: their equations, their optima, and that nothing ever rises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax.quantizers import quantizers_up_to
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
#
# One program of six problems serves all tests: smaller alphabets are padded with inputs and classes without mass.


@jax.jit
def solve_six(keys, joints, betas):
    return jax.vmap(functools.partial(isjax.information_bottleneck, num_codes=7))(keys, joints, betas)


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


def test_solution_obeys_itsequations(dtype):
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
    objectives = np.asarray(jax.jit(jax.vmap(after))(joints[cases[0]], cases[1], cases[2])).reshape(3, 3, 39)
    assert (np.diff(objectives) <= 4 * eps("float32") * (1 + betas[:, None])).all()
    assert (objectives[..., 0] - objectives[..., -1] > 1e-3).any()


def test_large_beta_gives_a_hard_encoder():
    """At β → ∞ only relevance counts: rows harden, and K codes keep what the best K cells keep, within 2 %."""
    joints = random_joints(5, 6, 2, concentration=2.0).astype("f4")
    f = functools.partial(isjax.information_bottleneck, num_codes=3, num_restarts=32)
    found = jax.jit(jax.vmap(f, (0, 0, None)))(keys(5), joints, np.float32(1e4))
    np.testing.assert_allclose(np.max(found.encoder, axis=-1), 1, atol=1e-3)
    best = oracle.information(oracle.joints_uy(joints, oracle.partitions(6, 3))).max(1)
    assert (found.relevance >= 0.98 * best).all()


# --- the curve ----------------------------------------------------------------------------------------------------

BETAS = np.geomspace(1, 60, 24)


@pytest.fixture(scope="module")
def curves():
    joints = np.concatenate([random_joints(3, 8, 3), random_joints(3, 8, 3, concentration=3.0)])
    trace = functools.partial(isjax.bottleneck_curve, num_codes=8)
    program = jax.jit(jax.vmap(trace, (0, 0, None)))
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


@jax.jit
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
    codes = np.asarray(jax.jit(functools.partial(isjax.optimal_quantizer, num_codes=7))(joint).codes)
    assert np.ptp(codes) == 6
    assert (np.diff(codes[np.argsort(joint[:, 1] / joint.sum(1))]) >= 0).all()


def test_losses_many_orders_below_the_information_are_told_apart():
    """Posteriors a hundred-thousandth apart, in float32: the cut is where float64 has it, though I is 1e-10."""
    rng = np.random.default_rng(4)
    posterior = 0.5 + np.where(np.arange(64) < 23, 0, 2e-5) + 1e-6 * rng.random(64)
    joint = (np.stack([1 - posterior, posterior], axis=1) / 64).astype(np.float32)
    codes = np.asarray(isjax.optimal_quantizer(joint, num_codes=2).codes)
    np.testing.assert_array_equal(codes, np.arange(64) >= 23)


@jax.jit
def kl_means(keys, joints):
    return jax.vmap(functools.partial(isjax.kl_means_quantizer, num_codes=3))(keys, joints)


def test_kl_means_is_near_exhaustive_search_on_four_classes():
    """Within 2 % of the relevance of the best of all encoders, on each of 100 joints."""
    joints = random_joints(100, 8, 4)
    found = kl_means(keys(100), joints.astype("f4"))
    best = oracle.information(oracle.joints_uy(joints, oracle.partitions(8, 3))).max(1)
    relevance = oracle.information(joints) - found.loss
    assert (relevance >= 0.98 * best).all()
    assert (relevance <= best + 1e-6).all()
    assert not found.is_global.any()


def test_kl_means_agrees_with_the_optimum_of_two_classes():
    """Two of its four classes are empty; inputs without mass and tiny masses among them."""
    joints = masses(np.random.default_rng(5), (100, 16), np.float32).reshape(100, 8, 2)
    best = jax.jit(functools.partial(isjax.optimal_quantizer, num_codes=3))(joints)
    found = kl_means(keys(100), np.pad(joints, [(0, 0), (0, 0), (0, 2)]))
    information = oracle.information(joints)
    assert (found.loss >= best.loss * (1 - 1e-4) - 1e-9).all()
    assert (information - found.loss >= 0.98 * (information - best.loss) - 1e-6).all()


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
    p_x = np.arange(8, dtype="f4")[:, None] / 28
    assert float(isjax.optimal_quantizer(p_x, num_codes=3).loss) == 0
    assert float(isjax.optimal_quantizer(np.pad(p_x, [(0, 0), (1, 0)]), num_codes=3).loss) == 0
    found = kl_means(keys(100), np.tile(np.pad(p_x, [(0, 0), (0, 3)]), (100, 1, 1)))
    np.testing.assert_array_equal(found.loss, 0)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_all_numbers_of_codes_in_one_program(num_classes):
    """From one code, which loses everything, to one for each input: each is that of exhaustive search."""
    joint = random_joints(1, 6, num_classes, seed=6)[0]
    found = jax.jit(functools.partial(quantizers_up_to, num_codes=6))(KEY, joint.astype("f4"))
    for k, lost in enumerate(np.asarray(found.loss), start=1):
        every = oracle.information(oracle.joints_uy(joint[None], oracle.partitions(6, k))[0])
        np.testing.assert_allclose(lost, oracle.information(joint) - every.max(), atol=1e-6)
        assert np.unique(found.codes[k - 1]).size == k
    assert found.is_global.tolist() == ([True] * 6 if num_classes == 2 else [True, *[False] * 4, True])
