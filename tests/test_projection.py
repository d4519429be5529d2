"""Projections onto sufficient models, moments and marginals: theorems, closed forms, edges and derivatives."""

import functools

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import isjax
from tests.helpers import new_programs
from tests.oracles import information as oracle
from tests.strategies import codes, distributions, joints, kernels, masses

pytestmark = pytest.mark.usefixtures("strict")
theorem = hypothesis.given
SEEDS = st.integers(0, 10**6)


def close(dtype):
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    return {"rtol": tolerance, "atol": tolerance}


def check_derivatives(f, num, reverse):
    """Reverse derivatives of f at zero, and its forward and second ones, against differences of fourth order."""
    every = jax.jit(lambda x: (f(x), jax.jacfwd(f)(x), jax.hessian(f)(x)))
    _, slopes, hessian = every(np.zeros(num))
    for i, (axis, second) in enumerate(zip(np.eye(num), hessian, strict=True)):
        h = 1e-3
        moved = [every(t * h * axis)[:2] for t in (1, -1, 2, -2)]
        value, slope = ((8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in zip(*moved, strict=True))
        np.testing.assert_allclose(reverse[..., i], np.broadcast_to(value, reverse[..., i].shape), rtol=1e-7)
        np.testing.assert_allclose(slopes[i], value, rtol=1e-7)
        np.testing.assert_allclose(second, slope, rtol=1e-6, atol=1e-8)


# --- onto the models for which a code is sufficient ---------------------------------------------------------------


@theorem(joint=joints(), encoder=codes())
def test_the_divergence_to_the_projection_is_the_loss(joint, encoder, dtype):
    joint = np.where(joint < 1e-15, 0, joint).astype(dtype)  # float32 holds the products of what is left
    project = functools.partial(isjax.sufficient_projection, num_codes=2)
    projection = project(joint, encoder)
    chex.assert_type([projection.distribution, projection.divergence], dtype)
    assert projection.converged
    assert projection.num_steps == 0
    loss = oracle.mutual_information_loss(joint, encoder, 2)
    np.testing.assert_allclose(projection.divergence, loss, **close(dtype))
    np.testing.assert_allclose(oracle.kl_divergence(joint, projection.distribution), loss, **close(dtype))
    again = project(projection.distribution, encoder)
    np.testing.assert_allclose(again.distribution, projection.distribution, **close(dtype))
    np.testing.assert_allclose(again.divergence, 0, **close(dtype))


@theorem(joint=joints(), encoder=codes(), p_x=distributions(3), rows=kernels(2, 4))
def test_every_sufficient_model_is_further_by_its_distance_from_the_projection(joint, encoder, p_x, rows, dtype):
    """Pythagoras: D(p‖s) = D(p‖μ) + D(μ‖s), where one side is infinite exactly where the other is."""
    joint, member = joint.astype(dtype), (p_x[:, None] * rows[encoder]).astype(dtype)
    projection = isjax.sufficient_projection(joint, encoder, num_codes=2)
    divergence = float(projection.divergence)
    distance = oracle.kl_divergence(joint, member)
    with_support = np.where(np.asarray(projection.distribution) > 0, 1, 0) * (joint.sum(1, keepdims=True) > 0)
    if np.any((with_support > 0) & (member == 0)):
        assert distance == np.inf
    else:
        # The member's cells are rounded apart from each other, which counts where one of them is nearly none.
        exact = p_x[:, None] * rows[encoder]
        terms = np.where(
            joint > 0, joint * np.abs(np.where(member > 0, exact / np.where(member > 0, member, 1) - 1, 0)), 0
        )
        slack = 4 * np.sum(terms)
        through = divergence + oracle.kl_divergence(projection.distribution, member)
        np.testing.assert_allclose(distance, through, rtol=close(dtype)["rtol"], atol=close(dtype)["atol"] + slack)
    assert distance >= divergence - close(dtype)["atol"]


def test_sufficient_projections_of_batches_and_of_bad_codes(transform):
    rng = np.random.default_rng(0)
    joint, encoder = masses(rng, (2, 1, 12), np.float32).reshape(2, 1, 3, 4), rng.integers(0, 2, (3, 3))
    project = transform(functools.partial(isjax.sufficient_projection, num_codes=2))
    projection = project(joint, encoder)
    chex.assert_shape(projection, [(2, 3, 3, 4), (2, 3), (2, 3), (2, 3)])
    for i, j in np.ndindex(2, 3):
        one = isjax.sufficient_projection(joint[i, 0], encoder[j], num_codes=2)
        chex.assert_trees_all_close(jax.tree.map(lambda a, k=(i, j): a[k], projection), one, rtol=1e-6, atol=1e-7)
    traced = jax.jit(functools.partial(isjax.sufficient_projection, num_codes=2))(joint[0, 0], np.array([0, 1, 2]))
    assert np.isnan(traced.divergence)
    assert np.isnan(traced.distribution).all()


# --- onto moments -------------------------------------------------------------------------------------------------


def problem(seed, smallest=1e-30, num_symbols=6):
    """A reference with zeros and tiny masses, features of which one is redundant, and an s with its support."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_symbols, 3))
    features[:, 2] = features[:, 0] - 2 * features[:, 1] + 1
    reference = masses(rng, (num_symbols,), np.float64, smallest=smallest)
    weights = np.where(reference > 0, rng.random(num_symbols) ** 3 + 1e-2, 0)
    return reference, features, weights / weights.sum()


def tilted(reference, features, multipliers):
    exponents = np.where(reference > 0, features @ multipliers, -np.inf)
    weights = reference * np.exp(exponents - exponents.max())
    return weights / weights.sum()


@theorem(seed=SEEDS)
def test_it_meets_the_moments_and_pythagoras_holds(seed, dtype):
    """D(s‖r) = D(s‖p) + D(p‖r) for an s with the same moments; no mass where r has none."""
    smallest = 1e-6 if dtype == "float32" else 1e-30  # so that p itself does not underflow
    reference, features, s = (a.astype(dtype) for a in problem(seed, smallest))
    moments = (s.astype(np.float64) @ features).astype(dtype)
    p, divergence, converged, num_steps = isjax.information_projection(reference, features, moments)
    chex.assert_type([p, divergence], dtype)
    assert converged
    assert 0 < num_steps < 500
    np.testing.assert_array_equal(p[reference == 0], 0)
    np.testing.assert_allclose(np.float64(p) @ features, moments, **close(dtype))
    np.testing.assert_allclose(divergence, oracle.kl_divergence(p, reference), **close(dtype))
    through = oracle.kl_divergence(s, p) + oracle.kl_divergence(p, reference)
    np.testing.assert_allclose(oracle.kl_divergence(s, reference), through, **close(dtype))
    assert divergence <= oracle.kl_divergence(s, reference) * (1 + 1e-5) + 1e-5


@theorem(seed=SEEDS)
def test_a_member_of_the_exponential_family_is_its_own_projection(seed, dtype):
    """Features in different units, so that the multipliers are too."""
    reference, features, _ = problem(seed)
    units = np.array([1, 1e3, 1e-2])
    member = tilted(reference, features, np.random.default_rng(seed).normal(size=3))
    arrays = (a.astype(dtype) for a in (reference, features * units, member @ features * units))
    projection = isjax.information_projection(*arrays)
    assert projection.converged
    np.testing.assert_allclose(projection.distribution, member, **close(dtype))
    itself = isjax.information_projection(*(a.astype(dtype) for a in (member, features, member @ features)))
    np.testing.assert_allclose(itself.distribution, member, **close(dtype))
    np.testing.assert_allclose(itself.divergence, 0, **close(dtype))


@pytest.mark.parametrize("mean", [1.001, 2.0, 3.5, 4.5, 5.999])
def test_a_loaded_die(mean, dtype):
    """Jaynes's die: p ∝ e^{λ x}, whose λ bisection finds."""
    faces = np.arange(1, 7.0)
    low, high = -40.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if tilted(np.ones(6), faces[:, None], [middle]) @ faces < mean else (low, middle)
    die = np.full(6, 1 / 6, dtype)
    projection = isjax.information_projection(die, faces[:, None].astype(dtype), np.array([mean], dtype))
    np.testing.assert_allclose(projection.distribution, tilted(np.ones(6), faces[:, None], [low]), **close(dtype))


def test_powers_of_one_variable(dtype):
    """Six powers on fifty symbols: features so nearly redundant that multipliers of them would cancel."""
    x = np.linspace(0, 1, 50)
    features = x[:, None] ** np.arange(1, 7)
    s = np.random.default_rng(5).dirichlet(np.full(50, 0.3))
    arrays = [a.astype(dtype) for a in (np.full(50, 1 / 50), features, s @ features)]
    projection = isjax.information_projection(*arrays)
    assert projection.converged
    np.testing.assert_allclose(np.float64(projection.distribution) @ features, s @ features, **close(dtype))
    if dtype == "float64":  # in float32 the rounding of the moments, times large multipliers, is what one sees
        through = oracle.kl_divergence(s, projection.distribution) + float(projection.divergence)
        np.testing.assert_allclose(oracle.kl_divergence(s, arrays[0]), through, **close(dtype))


DIE = np.arange(1, 7.0)
DIE_FEATURES = np.stack([DIE, DIE**2, DIE**2 - 3 * DIE], axis=1)


def test_moments_on_the_boundary_are_met_with_next_to_no_mass_off_the_face(dtype):
    """A vertex, edges, and the same where the reference's zeros make the boundary."""
    on_faces = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0.5, 0.5], [0.7, 0, 0, 0, 0, 0.3], [0, 0, 0.1, 0.9, 0, 0]])
    references = np.stack([np.full(6, 1 / 6)] * 4 + [np.array([0, 0, 0.25, 0.25, 0.25, 0.25])])
    faces = np.concatenate([on_faces, [[0, 0, 0.4, 0, 0, 0.6]]])
    arrays = [a.astype(dtype) for a in (references, DIE_FEATURES, faces @ DIE_FEATURES)]
    projection = isjax.information_projection(*arrays)
    assert projection.converged.all()
    chex.assert_tree_all_finite(projection)
    tolerance = 32 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(projection.distribution, faces, atol=100 * tolerance)
    np.testing.assert_allclose(np.float64(projection.distribution) @ DIE_FEATURES, faces @ DIE_FEATURES, **close(dtype))


def test_moments_of_any_face_are_met(dtype):
    """Where multipliers grow without bound, rounding must not keep the moments from the tolerance."""
    random, arrays = np.random.default_rng(0), []
    for _ in range(200):
        features, on_face = random.normal(size=(30, 3)), np.zeros(30)
        features[:2, 0] = features[:, 0].max() + random.uniform(0.05, 2)  # an edge of the hull
        on_face[:2] = random.dirichlet(np.ones(2))
        arrays.append((random.dirichlet(np.ones(30)), features, on_face @ features))
    arrays = [np.stack(each).astype(dtype) for each in zip(*arrays, strict=True)]
    projection = isjax.information_projection(*arrays)
    assert projection.converged.all()


def test_moments_that_cannot_be_met_are_said_to_be_so(dtype):
    """Outside the hull, outside the hull of the support, against a redundancy, against a constant; nothing is NaN."""
    inside, excluded = DIE_FEATURES.mean(0), np.array([0, 0, 0.25, 0.25, 0.25, 0.25])
    references = np.stack([np.full(6, 1 / 6), np.full(6, 1 / 6), excluded, np.full(6, 1 / 6), np.eye(6)[2]])
    moments = np.stack([[7, 49, 28], [1e6, 0, 0], DIE_FEATURES[0], inside + np.array([0, 0, 1e-2]), inside])
    arrays = [jnp.asarray(a, dtype) for a in (references, DIE_FEATURES, moments)]

    def total(*arrays):
        projection = isjax.information_projection(*arrays)
        return jnp.sum(projection.divergence) + jnp.sum(projection.distribution**2), projection

    gradients, projection = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(*arrays)
    assert not projection.converged.any()
    assert np.max(projection.num_steps) <= 500
    chex.assert_tree_all_finite((projection, gradients))
    np.testing.assert_allclose(np.sum(projection.distribution, axis=-1), 1, **close(dtype))


def test_batches_broadcast_and_a_batch_is_its_members():
    """Eagerly, under vmap and one by one; the same features for all."""
    reference, features, s = zip(*(problem(seed) for seed in range(6)), strict=True)
    reference, features, s = np.stack(reference).astype("f4"), features[0].astype("f4"), np.stack(s).astype("f4")
    moments = s @ features
    batched = isjax.information_projection(reference, features, moments)
    chex.assert_shape(batched, [(6, 6), (6,), (6,), (6,)])
    mapped = jax.vmap(isjax.information_projection, (0, None, 0))(reference, features, moments)
    chex.assert_trees_all_close(mapped, batched, rtol=1e-6, atol=1e-7)
    one = isjax.information_projection(reference[0], features, moments[0])
    chex.assert_trees_all_close(one[:2], jax.tree.map(lambda a: a[0], batched[:2]), rtol=1e-6, atol=1e-6)


def test_a_second_call_makes_no_new_program():
    """Neither do other values, tolerances and numbers of steps, derivatives, nor other marginals."""
    reference, features, s = (a.astype("f4") for a in problem(0))

    def project(share, tolerance, max_steps):
        moments = (share * s + (1 - share) * reference) @ features
        options = {"tolerance": tolerance, "max_steps": max_steps}
        jax.grad(lambda m: isjax.information_projection(reference, features, m, **options).divergence)(moments)

    def fit_once(seed):
        table, s = (a.astype("f4") for a in tables(seed))
        fit(table, marginals(s))

    project(1.0, 1e-3, 100)
    fit_once(0)
    with new_programs() as events:
        project(0.5, 1e-2, 50)
        fit_once(1)
    assert events == []


def test_tolerance_and_max_steps_may_be_traced():
    reference, features, s = (a.astype("f4") for a in problem(1))

    @jax.jit
    def project(tolerance, max_steps):
        options = {"tolerance": tolerance, "max_steps": max_steps}
        return isjax.information_projection(reference, features, s @ features, **options)

    assert 0 < project(1e-1, 500).num_steps < project(1e-6, 500).num_steps
    assert project(1e-6, 2).num_steps == 2
    assert not project(1e-6, 2).converged


@pytest.mark.usefixtures("x64")
def test_derivatives_are_those_of_the_equations_it_meets():
    """Forward, reverse and second derivatives against differences, along directions that can be met."""
    reference, features, s = problem(3)
    reference = np.where(reference > 0, np.maximum(reference, 1e-3), 0)
    reference /= reference.sum()
    assert np.any(reference == 0)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=6)
    dreference = np.where(reference > 0, rng.normal(size=6) * reference, 0)
    dreference -= reference * dreference.sum()
    dfeatures = rng.normal(size=(6, 3))
    dfeatures[:, 2] = dfeatures[:, 0] - 2 * dfeatures[:, 1]
    dmoments = np.array([0.3, -0.2, 0.7])
    directions = dreference, dfeatures, dmoments

    def f(reference, features, moments):
        projection = isjax.information_projection(reference, features, moments)
        return projection.distribution @ weights + projection.divergence**2

    def along(steps):
        moved = (a + steps[i] * d for i, (a, d) in enumerate(zip(arrays, directions, strict=True)))
        return f(*moved)

    arrays = reference, features, s @ features
    stacks = [np.stack([a, a]) for a in arrays]
    gradients = jax.jit(jax.vmap(jax.grad(f, (0, 1, 2))))(*stacks)
    np.testing.assert_array_equal(gradients[0][:, reference == 0], 0)
    reverse = [
        np.sum(np.asarray(g) * d, axis=tuple(range(1, g.ndim))) for g, d in zip(gradients, directions, strict=True)
    ]
    check_derivatives(along, 3, np.array(reverse).T)


@pytest.mark.usefixtures("x64")
def test_the_derivative_of_the_least_divergence_is_the_multiplier():
    """∂D/∂c = λ, and −∂D/∂r = p/r − 1."""
    reference, features = np.array([0.1, 0.2, 0.3, 0.4]), np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.5, 3.0]])
    multipliers = np.array([0.7, -0.4])
    member = tilted(reference, features, multipliers)
    divergence = jax.jit(jax.grad(lambda r, c: isjax.information_projection(r, features, c).divergence, (0, 1)))
    by_reference, by_moments = divergence(reference, member @ features)
    np.testing.assert_allclose(by_moments, multipliers, rtol=1e-12)
    np.testing.assert_allclose(by_reference - by_reference.mean(), (-member / reference) - np.mean(-member / reference))


def test_derivatives_keep_their_digits_where_a_symbol_is_rare(dtype):
    """p(x) = c_0 at the first symbol, whose derivative is one down to a mass of 1e-9, beside moments of order one."""
    reference, features = jnp.full(3, 1 / 3, dtype), jnp.eye(3, 2, dtype=dtype)

    def distribution(rare):
        moments = jnp.stack([rare, jnp.asarray(0.3, dtype)])
        return isjax.information_projection(reference, features, moments).distribution

    slopes = jax.jit(jax.vmap(lambda rare: jax.jvp(distribution, (rare,), (jnp.ones_like(rare),))[1]))
    expected = np.broadcast_to([1.0, 0.0, -1.0], (3, 3))
    np.testing.assert_allclose(slopes(jnp.array([1e-3, 1e-6, 1e-9], dtype)), expected, atol=50 * close(dtype)["atol"])


# --- onto marginals -----------------------------------------------------------------------------------------------

AXES = ((0, 1), (2, 1), 2)


def marginals(s):
    """Of a distribution of three variables, those of ``AXES``."""
    return s.sum(2), s.sum(0).T, s.sum((0, 1))


fit = functools.partial(isjax.iterative_proportional_fitting, axes=AXES)


def tables(seed):
    """A reference with zeros, and an s with its support."""
    rng = np.random.default_rng(seed)
    reference = rng.random((2, 3, 4)) * (rng.random((2, 3, 4)) > 0.15)
    reference[0, 0, 0] = 0
    s = reference * rng.random((2, 3, 4))
    return reference / reference.sum(), s / s.sum()


@theorem(seed=SEEDS)
def test_it_meets_the_marginals_and_pythagoras_holds(seed, dtype):
    reference, s = (a.astype(dtype) for a in tables(seed))
    p, divergence, converged, num_steps = fit(reference, marginals(s), max_steps=10**6)  # one seed in 1000 takes 1e5
    chex.assert_type([p, divergence], dtype)
    assert converged
    assert num_steps > 0
    np.testing.assert_array_equal(p[reference == 0], 0)
    for got, wanted in zip(marginals(np.float64(p)), marginals(s), strict=True):
        np.testing.assert_allclose(got, wanted, **close(dtype))
    through = oracle.kl_divergence(s, p) + float(divergence)
    np.testing.assert_allclose(oracle.kl_divergence(s, reference), through, **close(dtype))


def test_it_is_the_projection_onto_the_indicators_of_the_marginals(dtype):
    """Redundant ones, since each marginal sums to one."""
    cells = np.eye(24).reshape(24, 2, 3, 4)
    features = np.stack([np.concatenate([m.ravel() for m in marginals(cell)]) for cell in cells])
    references, members = zip(*(tables(seed) for seed in range(5)), strict=True)
    moments = np.stack([np.concatenate([m.ravel() for m in marginals(s)]) for s in members])
    flat = [a.astype(dtype) for a in (np.stack(references).reshape(5, 24), features, moments)]
    projection = isjax.information_projection(*flat)
    stacked = [np.stack(m).astype(dtype) for m in zip(*map(marginals, members), strict=True)]
    fitted = jax.jit(jax.vmap(fit))(np.stack(references).astype(dtype), stacked)
    assert projection.converged.all()
    assert fitted.converged.all()
    assert fit(references[0].astype(dtype), [m[0] for m in stacked]).num_steps == fitted.num_steps[0]
    np.testing.assert_allclose(fitted.distribution.reshape(5, 24), projection.distribution, **close(dtype))
    np.testing.assert_allclose(fitted.divergence, projection.divergence, **close(dtype))


def test_two_by_two_keeps_its_odds_ratio_and_a_product_becomes_the_product(dtype):
    fit = functools.partial(isjax.iterative_proportional_fitting, axes=(0, 1))
    rows, columns = np.array([0.3, 0.7], dtype), np.array([0.6, 0.4], dtype)
    p = np.float64(fit(jnp.array([[0.4, 0.1], [0.1, 0.4]], dtype), (rows, columns)).distribution)
    np.testing.assert_allclose(p[0, 0] * p[1, 1] / (p[0, 1] * p[1, 0]), 16, rtol=1e2 * close(dtype)["rtol"])
    a, b, c = np.polynomial.polynomial.polyroots([-16 * 0.3 * 0.6, 0.1 + 16 * 0.9, -15]), 0.3, 0.6
    np.testing.assert_allclose(p[0, 0], a[(a > 0) & (a < min(b, c))], **close(dtype))
    product = fit(jnp.full((2, 2), 0.25, dtype), (rows, columns))
    np.testing.assert_allclose(product.distribution, np.outer(rows, columns), **close(dtype))


def test_marginals_that_cannot_be_met_are_said_to_be_so(dtype):
    """Two that contradict each other, a sum that is not one, and zeros of the reference in the way; nothing is NaN."""
    half, diagonal = np.array([0.5, 0.5]), np.diag([0.5, 0.5])
    references = np.stack([np.full((2, 2), 0.25), np.full((2, 2), 0.25), diagonal, np.array([[0.5, 0.5], [0, 0]])])
    rows, columns = np.stack([half, half, [0.3, 0.7], half]), np.stack([[0.4, 0.4], [1, 1], [0.6, 0.4], half])
    arrays = [jnp.asarray(a, dtype) for a in (references, rows, columns)]

    def total(reference, rows, columns):
        projection = isjax.iterative_proportional_fitting(reference, (rows, columns), (0, 1), max_steps=200)
        return projection.divergence + jnp.sum(projection.distribution**2), projection

    gradients, projection = jax.jit(jax.vmap(jax.grad(total, (0, 1, 2), has_aux=True)))(*arrays)
    assert not projection.converged.any()
    np.testing.assert_array_equal(projection.num_steps, 200)
    chex.assert_tree_all_finite((projection, gradients))


def test_a_marginal_of_zero_empties_its_cells_and_costs_no_step(dtype):
    rows, columns = np.array([0.0, 0.3, 0.7], dtype), np.array([0.6, 0.4], dtype)
    reference = np.full((3, 2), 1 / 6, dtype)
    fitted = isjax.iterative_proportional_fitting(reference, (rows, columns), (0, 1))
    assert fitted.converged
    assert fitted.num_steps == 2
    np.testing.assert_allclose(fitted.distribution, np.outer(rows, columns), **close(dtype))


@pytest.mark.usefixtures("x64")
def test_derivatives_of_the_fit_are_those_of_the_equations_it_meets():
    reference, s = tables(4)
    assert np.any(reference == 0)
    rng = np.random.default_rng(1)
    weights = rng.normal(size=reference.shape)
    dreference, ds = (np.where(reference > 0, rng.normal(size=reference.shape) * a, 0) for a in (reference, s))
    dreference, ds = dreference - reference * dreference.sum(), ds - s * ds.sum()

    def f(reference, marginals):
        projection = fit(reference, marginals)
        return jnp.sum(projection.distribution * weights) + projection.divergence**2

    def along(steps):
        return f(reference + steps[0] * dreference, marginals(s + steps[1] * ds))

    by_reference, by_marginals = jax.jit(jax.grad(f, (0, 1)))(reference, marginals(s))
    np.testing.assert_array_equal(by_reference[reference == 0], 0)
    of_marginals = sum(np.sum(g * d) for g, d in zip(by_marginals, marginals(ds), strict=True))
    check_derivatives(along, 2, np.array([np.sum(by_reference * dreference), of_marginals]))
