"""Entropies, divergences and informations: definitions, theorems, float32 accuracy, derivatives up to the boundary."""

import functools
import itertools
import math
import re

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

import isjax
from tests.cases import BRANCHES, MEASURES, ONE_OF_EACH, Case
from tests.helpers import close, jitted
from tests.oracles import information as oracle
from tests.strategies import distributions, joints, kernels, masses

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]
measures = pytest.mark.parametrize("case", MEASURES, ids=str)
branches = pytest.mark.parametrize("case", BRANCHES, ids=str)
one_of_each = pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
WITH_BATCH = [case for case in ONE_OF_EACH if len(case.shapes[0]) < 3 or case.name.startswith("conditional")]


def each(case: Case, arrays):
    """The brute force of every case of a batch."""
    return np.stack([case.brute_force(*one) for one in zip(*arrays, strict=True)])


def floats(arrays):
    return tuple(i for i, a in enumerate(arrays) if np.issubdtype(a.dtype, np.floating))


# --- definitions ---------------------------------------------------------------------------------------------------


@measures
def test_equals_its_definition_cell_by_cell(case, dtype):
    arrays = case.draw(1, 60, dtype)
    values = jax.jit(jax.vmap(case.measure))(*arrays)
    chex.assert_type(values, dtype)
    np.testing.assert_allclose(values, each(case, arrays), **close(dtype))


@one_of_each
def test_eagerly_too_and_of_numpy_arrays(case):
    one = [a[:1] for a in case.draw(2, 1)]
    np.testing.assert_allclose(case.measure(*(a[0] for a in one)), each(case, one)[0], **close("float32"))


@pytest.mark.parametrize("case", WITH_BATCH, ids=str)
def test_leading_axes_are_a_batch_and_broadcast(case):
    arrays = [a.reshape(3, 2, *a.shape[1:]) for a in case.draw(3, 6)]
    lead = [arrays, [arrays[0], arrays[-1][0]], [arrays[0][0, 0], arrays[-1]], [arrays[0][:, :1], arrays[-1][:1]]]
    for batched in lead if len(arrays) > 1 else lead[:1]:
        ndims = [a.ndim - b.ndim + 2 for a, b in zip(batched, arrays, strict=True)]
        batch = np.broadcast_shapes(*(a.shape[:n] for a, n in zip(batched, ndims, strict=True)))
        full = [np.broadcast_to(a, (*batch, *a.shape[n:])) for a, n in zip(batched, ndims, strict=True)]
        expected = each(case, [a.reshape(-1, *a.shape[2:]) for a in full])
        values = np.asarray(jax.jit(case.measure)(*batched))
        np.testing.assert_allclose(values.reshape(expected.shape), expected, **close("float32"))
        assert values.shape[:2] == batch


@branches
def test_every_intermediate_has_the_dtype_of_the_inputs(case, dtype):
    arrays = case.draw(4, 1, dtype)
    other = "float32" if dtype == "float64" else "float64"
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(jax.grad(lambda *a: jnp.sum(case.measure(*a))))(*(a[0] for a in arrays))
    assert not re.search(rf"f{other[-2:]}\[\d", str(jaxpr))  # scalars without a dtype of their own aside
    assert [v.aval.dtype for v in jaxpr.jaxpr.outvars] == [dtype]


def test_under_shard_map():
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    arrays, split = [case.draw(5, 4) for case in ONE_OF_EACH], PartitionSpec("batch")

    def every_measure(arrays):
        return [jax.vmap(case.measure)(*some) for case, some in zip(ONE_OF_EACH, arrays, strict=True)]

    sharded = jax.jit(jax.shard_map(every_measure, mesh=mesh, in_specs=split, out_specs=split))(arrays)
    for case, values, some in zip(ONE_OF_EACH, sharded, arrays, strict=True):
        assert len(values.sharding.device_set) == 2
        np.testing.assert_allclose(values, each(case, some), **close("float32"))


# --- zeros, infinities, derivatives -------------------------------------------------------------------------------


@branches
def test_100_000_cases_with_zeros_and_masses_down_to_1e_37(case):
    """None negative, no NaN in value or gradient, infinite only where the mathematics is, gradient finite elsewhere."""
    arrays = case.draw(6, 100_000)
    argnums = floats(arrays)

    def value_and_gradients(*one):
        return case.measure(*one), *jax.grad(lambda *a: jnp.sum(case.measure(*a)), argnums)(*one)

    values, *gradients = map(np.asarray, jax.jit(jax.vmap(value_and_gradients))(*arrays))
    assert not np.isnan(values).any()
    assert case.is_signed or values.min() >= 0
    if case.infinite is None:
        assert np.isfinite(values).all()
    else:
        some = slice(0, 5000)
        expected = [case.infinite(*one) for one in zip(*(a[some] for a in arrays), strict=True)]
        np.testing.assert_array_equal(np.isinf(values[some]), expected)
        assert np.any(expected)
    finite = np.isfinite(values).reshape(len(values), -1).all(1)
    for gradient in gradients:
        assert not np.isnan(gradient).any()
        assert np.isfinite(gradient[finite]).all()
    if case.name not in ("total_variation", "pointwise_mutual_information"):
        empty = arrays[0][finite] == 0
        assert empty.any()
        assert not gradients[0][finite][empty].any()  # a cell of zero mass contributes derivative zero


@one_of_each
def test_jvp_and_hessian_are_finite_where_the_value_is(case):
    arrays = case.draw(7, 500, smallest=case.hessian_down_to)
    values = np.asarray(jax.jit(jax.vmap(case.measure))(*arrays))
    finite = np.isfinite(values).reshape(len(values), -1).all(1)
    arrays = [a[finite] for a in arrays]
    argnums, total = floats(arrays), lambda *a: jnp.sum(case.measure(*a))
    for second in jax.tree.leaves(jax.jit(jax.vmap(jax.hessian(total, argnums)))(*arrays)):
        assert np.isfinite(second).all()
    tangents = [a / 2 if np.issubdtype(a.dtype, np.floating) else np.zeros(a.shape, jax.dtypes.float0) for a in arrays]
    _, derivative = jax.jit(jax.vmap(lambda a, t: jax.jvp(total, a, t)))(arrays, tangents)
    assert np.isfinite(derivative).all()


@branches
@pytest.mark.usefixtures("x64")
def test_gradient_and_hessian_are_the_finite_differences(case):
    """Along directions that sum to zero and leave the cells without mass empty."""
    arrays = case.draw(8, 400, np.float64, smallest=1e-2)
    rng, argnums, h = np.random.default_rng(9), floats(arrays), 1e-5
    directions = [np.zeros_like(a) for a in arrays]
    for i in argnums:
        flat = arrays[i].reshape(*(arrays[i].shape if case.rows and i else (len(arrays[i]), -1)))
        support = flat > 0
        v = rng.normal(size=flat.shape) * support * np.where(support, flat, 1)
        v -= support * v.sum(-1, keepdims=True) / support.sum(-1, keepdims=True)
        v = np.where(support.sum(-1, keepdims=True) > 1, v, 0)
        v *= np.min(np.where(v != 0, flat / np.maximum(np.abs(v), 1e-300), 1), axis=-1, keepdims=True)
        directions[i] = v.reshape(arrays[i].shape)

    def total(arrays):
        return jnp.sum(case.measure(*arrays))

    def line(t, arrays, directions):
        """The value, and its derivative along the direction, from the gradient."""
        at = tuple(a + t * v if i in argnums else a for i, (a, v) in enumerate(zip(arrays, directions, strict=True)))
        value, gradients = jax.value_and_grad(lambda *a: total(a), argnums)(*at)
        return value, sum(jnp.sum(g * directions[i]) for g, i in zip(gradients, argnums, strict=True))

    def everything(arrays, directions):
        values, slopes = jax.vmap(line, (0, None, None))(jnp.array([-h, 0.0, h]), arrays, directions)
        return values, slopes, jax.grad(lambda t: line(t, arrays, directions)[1])(0.0)

    values, slopes, curvature = map(np.asarray, jax.jit(jax.vmap(everything))(tuple(arrays), tuple(directions)))
    finite = np.isfinite(values).all(1)
    assert finite.sum() >= 5
    values, slopes, curvature = values[finite], slopes[finite], curvature[finite]
    np.testing.assert_allclose(slopes[:, 1], (values[:, 2] - values[:, 0]) / (2 * h), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(curvature, (slopes[:, 2] - slopes[:, 0]) / (2 * h), rtol=1e-5, atol=1e-6)


def test_binary_entropy_up_to_its_ends(dtype):
    p = jnp.array([0.0, 1e-30, 0.25, 0.5, 1.0], dtype)
    expected = [oracle.entropy([v, 1 - v]) for v in np.asarray(p, np.float64)]
    np.testing.assert_allclose(isjax.binary_entropy(p), expected, **close(dtype, 4))
    slopes = jax.vmap(jax.grad(isjax.binary_entropy))(p)
    np.testing.assert_allclose(slopes, [1, 30 * math.log(10), math.log(3), 0, -1], **close(dtype, 16))
    outside = jnp.array([-0.1, 1.1], dtype)
    assert np.isnan(jitted(isjax.binary_entropy)(outside)).all()
    with pytest.raises(ValueError, match=r"^p must lie in \[0, 1\], got -0.1$"):
        isjax.binary_entropy(outside)


# --- float32 ------------------------------------------------------------------------------------------------------

SIZES = ((2, 2), (3, 5), (64, 16))
SCALES = 10.0 ** -np.arange(0, 6, 0.5)  # of a relative perturbation; amounts of information are of its square


def _near(rng, p, scale):
    """``p`` with every cell perturbed, in float32."""
    q = p * (1 + scale * rng.uniform(-1, 1, (8, *p.shape[1:])))
    return (q / q.sum(tuple(range(1, q.ndim)), keepdims=True)).astype(np.float32)


def _independent(rng, *sizes):
    """Independent variables, 8 times."""
    factors = [rng.dirichlet(np.full(size, 2.0), 8) for size in sizes]
    return functools.reduce(lambda joint, p: joint[..., None] * p.reshape(8, *[1] * (joint.ndim - 1), -1), factors)


def _check_informations(measure, brute_force, cases, transform):
    smallest, largest = np.inf, 0
    for arrays in cases:
        values = np.asarray(transform(measure)(*arrays), np.float64)
        exact = np.stack([brute_force(*one) for one in zip(*arrays, strict=True)])
        assert (values >= 0).all()
        bound = 1e-5 * exact + 1.2e-7 * np.sqrt(exact) + 1.2e-7**2  # the last is what rounding alone amounts to
        assert (np.abs(values - exact) <= bound).all(), (values, exact)
        smallest, largest = min(smallest, exact.min()), max(largest, exact.max())
    assert smallest < 1e-11
    assert largest > 1e-2


@pytest.mark.parametrize("name", ["kl_divergence", "jensen_shannon_divergence"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_divergences_in_float32(name, sizes, transform):
    """Relative error 1e-5 for values down to 1e-8, and 1e-3 down to 5e-11."""
    rng, f, seen = np.random.default_rng(11), transform(getattr(isjax, name)), []
    for scale in SCALES:
        p = rng.dirichlet(np.full(math.prod(sizes), 1.0), 8)
        p, q = _near(rng, p, 0), _near(rng, p, scale)
        values = np.asarray(f(p, q), np.float64)
        exact = np.array([getattr(oracle, name)(a, b) for a, b in zip(p, q, strict=True)])
        assert (values >= 0).all()
        bound = np.where(exact >= 1e-8, 1e-5, np.where(exact >= 5e-11, 1e-3, np.inf))
        assert (np.abs(values - exact) <= bound * exact).all(), (values, exact)
        seen.extend(exact)
    assert sum(1e-11 < v < 1e-9 for v in seen) > 4
    assert max(seen) > 1e-2


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_mutual_information_in_float32(sizes, transform):
    rng = np.random.default_rng(12)
    cases = ([_near(rng, _independent(rng, *sizes), scale)] for scale in SCALES)
    _check_informations(isjax.mutual_information, oracle.mutual_information, cases, transform)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_conditional_mutual_information_in_float32(sizes, transform):
    rng = np.random.default_rng(13)
    cases = ([_near(rng, _independent(rng, *sizes, 3), scale)] for scale in SCALES)
    _check_informations(isjax.conditional_mutual_information, oracle.conditional_mutual_information, cases, transform)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["codes", "rows"])
def test_mutual_information_loss_in_float32(sizes, kind, transform):
    """Near-sufficient encoders: of codes whose posteriors differ, or of rows that mix inputs with like posteriors."""
    rng, num_codes = np.random.default_rng(14), 2

    def case(scale):
        if kind == "rows":
            kernel = rng.dirichlet(np.ones(num_codes), (8, sizes[0])).astype(np.float32)
            return [_near(rng, _independent(rng, *sizes), scale), kernel]
        codes = rng.integers(0, num_codes, (8, sizes[0]))
        codes[:, :2] = 0  # at least one code has two symbols
        posteriors = rng.dirichlet(np.full(sizes[1], 2.0), (8, num_codes))
        p_x = rng.dirichlet(np.full(sizes[0], 2.0), 8)
        return [_near(rng, p_x[..., None] * np.take_along_axis(posteriors, codes[..., None], 1), scale), codes]

    _check_informations(
        functools.partial(isjax.mutual_information_loss, num_codes=num_codes if kind == "codes" else None),
        functools.partial(oracle.mutual_information_loss, num_codes=num_codes),
        map(case, SCALES),
        transform,
    )


def test_entropy_of_a_million_cells_in_float32(transform):
    p = np.random.default_rng(15).exponential(size=2**20)
    p = (p / p.sum()).astype(np.float32)
    np.testing.assert_allclose(transform(isjax.entropy)(p), oracle.entropy(p), rtol=1e-6)


@pytest.mark.parametrize("order", [0.01, 0.99, 0.999, 1.001])
def test_renyi_gradient_overflows_only_where_the_derivative_is_beyond_float32(order):
    rng = np.random.default_rng(10)
    p, q = (masses(rng, (100_000, 4), np.float32) for _ in range(2))
    gradient = jax.jit(jax.vmap(jax.value_and_grad(lambda p, q: isjax.renyi_divergence(p, q, order), (0, 1))))
    value, slopes = gradient(p, q)
    slopes, has_value = np.stack(slopes, 1), np.isfinite(value)
    assert not np.isnan(slopes).any()
    p, q = p.astype(np.float64), q.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where((p > 0) & (q > 0), p**order * q ** (1 - order), 0)
        share = share / share.sum(-1, keepdims=True)
        exact = np.stack([order / (order - 1) * share / p, -share / q], 1)
    beyond = np.abs(np.where(share[:, None] > 0, exact, 0)) > 0.99 * np.finfo(np.float32).max
    assert not (~np.isfinite(slopes) & ~beyond)[has_value].any()


@pytest.mark.parametrize("order", [1 - 1e-3, 1 + 1e-6, 0.5, 2.0, 10.0])
def test_renyi_divergence_is_accurate_near_equality_and_near_order_one(order, transform):
    """D_a ≈ a D for distributions close to one another."""
    rng = np.random.default_rng(16)
    p = rng.dirichlet(np.ones(16), 8)
    p, q = _near(rng, p, 0), _near(rng, p, 1e-4)
    exact = [order * oracle.kl_divergence(a, b) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(transform(isjax.renyi_divergence, static_argnums=2)(p, q, order), exact, rtol=2e-3)


# --- theorems -----------------------------------------------------------------------------------------------------

theorem = hypothesis.given
JOINTS, TRIPLES = joints((3, 4)), joints((2, 3, 2))
ORDERS = (0, 1e-3, 0.5, 1 - 1e-4, 1, 1 + 1e-4, 2, 100, math.inf)


@theorem(joint=JOINTS)
def test_chain_rules_of_entropy(joint, dtype):
    joint = joint.astype(dtype)
    h = jitted(isjax.entropy)
    h_xy, h_x, h_y = jitted(isjax.entropy, axis=(-2, -1))(joint), h(joint.sum(1)), h(joint.sum(0))
    h_y_given_x, i = jitted(isjax.conditional_entropy)(joint), jitted(isjax.mutual_information)(joint)
    np.testing.assert_allclose(h_xy, h_x + h_y_given_x, **close(dtype))
    np.testing.assert_allclose(h_y, i + h_y_given_x, **close(dtype))
    np.testing.assert_allclose(h_x + h_y, i + h_xy, **close(dtype))
    assert 0 <= h_y_given_x <= h_y + close(dtype)["atol"]
    assert h_x <= math.log(3) + close(dtype)["atol"]


@theorem(p=JOINTS, q=JOINTS)
def test_chain_rule_of_divergence_and_data_processing(p, q, dtype):
    p, q, kl = p.astype(dtype), q.astype(dtype), jitted(isjax.kl_divergence)
    together, marginal = jitted(isjax.kl_divergence, axis=(-2, -1))(p, q), kl(p.sum(1), q.sum(1))
    rows = jitted(isjax.kl_divergence)(*map(jitted(isjax.conditional_y_given_x), (p, q)))
    in_support = p.sum(1) > 0
    np.testing.assert_allclose(
        together, marginal + (p.sum(1) * np.where(in_support, rows, 0))[in_support].sum(), **close(dtype)
    )
    assert marginal <= together * (1 + close(dtype)["rtol"]) + close(dtype)["atol"]


@theorem(joint=TRIPLES)
def test_chain_rules_of_information(joint, dtype):
    """I(X;Y,Z) = I(X;Z) + I(X;Y|Z), and the informations of many variables in terms of those of two."""
    joint = joint.astype(dtype)
    mi, cmi = jitted(isjax.mutual_information), jitted(isjax.conditional_mutual_information)
    i_xz, i_xy_z = mi(joint.sum(1)), cmi(joint)
    np.testing.assert_allclose(mi(joint.reshape(2, 6)), i_xz + i_xy_z, **close(dtype))
    np.testing.assert_allclose(jitted(isjax.co_information)(joint), mi(joint.sum(2)) - i_xy_z, **close(dtype))
    tc, dtc = jitted(isjax.total_correlation)(joint), jitted(isjax.dual_total_correlation)(joint)
    np.testing.assert_allclose(tc, mi(joint.sum(2)) + mi(joint.reshape(6, 2)), **close(dtype))
    np.testing.assert_allclose(tc - dtc, jitted(isjax.o_information)(joint), **close(dtype))
    np.testing.assert_allclose(jitted(isjax.o_information)(joint), jitted(isjax.co_information)(joint), **close(dtype))
    for measure in (isjax.total_correlation, isjax.dual_total_correlation, isjax.o_information):
        two = jitted(measure)(joint.sum(2))
        np.testing.assert_allclose(two, 0 if measure is isjax.o_information else mi(joint.sum(2)), **close(dtype))


@theorem(joint=JOINTS, encoder=kernels(), x=st.permutations(range(3)), y=st.permutations(range(4)))
def test_mutual_information_is_symmetric_and_labels_do_not_matter(joint, encoder, x, y, dtype):
    joint, mi = joint.astype(dtype), jitted(isjax.mutual_information)
    np.testing.assert_allclose(mi(joint), mi(joint.T), **close(dtype))
    np.testing.assert_allclose(mi(joint), mi(joint[np.ix_(x, y)]), **close(dtype))
    coded = jitted(isjax.pushforward)(joint, encoder.astype(dtype))
    assert mi(coded) <= mi(joint) + close(dtype)["atol"]  # data processing
    pointwise = np.asarray(jitted(isjax.pointwise_mutual_information)(joint))
    np.testing.assert_allclose(np.sum(joint[joint > 0] * pointwise[joint > 0]), mi(joint), **close(dtype))


def _jensen_shannon(p, q, w):
    return isjax.jensen_shannon_divergence(p, q, weight=w)


@theorem(p=distributions(), q=distributions(), weight=st.floats(0, 1))
def test_divergences_bound_one_another(p, q, weight, dtype):
    p, q, atol = p.astype(dtype), q.astype(dtype), close(dtype)["atol"]
    kl, tv = jitted(isjax.kl_divergence)(p, q), jitted(isjax.total_variation)(p, q)
    assert 2 * tv**2 <= kl + atol  # Pinsker
    assert 0 <= tv <= 1 + atol
    js, w = jitted(_jensen_shannon), np.asarray(weight, dtype)
    h = oracle.entropy([w, 1 - w])
    assert 0 <= js(p, q, w) <= h * float(tv) + atol  # Lin's bound
    np.testing.assert_allclose(js(p, q, w), js(q, p, 1 - w), **close(dtype))
    np.testing.assert_allclose(
        js(p, q, w),
        jitted(isjax.mutual_information)(np.stack([w * p, (1 - w) * q]).astype(dtype)),
        **close(dtype),
    )
    np.testing.assert_allclose(jitted(isjax.cross_entropy)(p, q), kl + jitted(isjax.entropy)(p), **close(dtype))


def _of_all_orders(p, q):
    return (
        jnp.stack([isjax.renyi_entropy(p, order) for order in ORDERS]),
        jnp.stack([isjax.renyi_divergence(p, q, order) for order in ORDERS]),
        jnp.stack([isjax.tsallis_entropy(p, order) for order in ORDERS]),
    )


@theorem(p=distributions(), q=distributions())
def test_orders_are_monotone_and_continuous_at_their_limits(p, q, dtype):
    p, q, atol = p.astype(dtype), q.astype(dtype), close(dtype, 512)["atol"]
    entropies, divergences, tsallis = map(np.ravel, jitted(_of_all_orders)(p, q))
    assert all(a >= b - atol * (1 + abs(a)) for a, b in itertools.pairwise(entropies))
    assert all(a <= b + atol * (1 + abs(a)) for a, b in itertools.pairwise(divergences) if b < math.inf)
    np.testing.assert_allclose(entropies[3:6], entropies[4], atol=1e-2)
    np.testing.assert_allclose(entropies[-2], entropies[-1], rtol=0.05, atol=1e-6)
    np.testing.assert_allclose(tsallis[3:6], entropies[4], atol=1e-2)
    assert tsallis[0] == np.sum(p > 0) - 1
    assert tsallis[-1] == 0


def test_renyi_closed_forms(dtype):
    uniform, half = np.full(8, 1 / 8, dtype), np.array([0.25] * 4 + [0.0] * 4, dtype)
    entropies, divergences, _ = jitted(_of_all_orders)(half, uniform)
    np.testing.assert_allclose(entropies, math.log(4), **close(dtype))
    np.testing.assert_allclose(divergences, math.log(2), **close(dtype))
    _, divergences, _ = jitted(_of_all_orders)(uniform, half)
    expected = [math.log(2) * order / (1 - order) if order < 1 else math.inf for order in ORDERS]
    np.testing.assert_allclose(divergences, expected, **close(dtype))


def test_closed_forms(dtype):
    for a in (0.0, 1e-3, 0.1, 0.5):
        binary_symmetric = jnp.array([[1 - a, a], [a, 1 - a]], dtype) / 2
        expected = math.log(2) - oracle.entropy([a, 1 - a])
        np.testing.assert_allclose(jitted(isjax.mutual_information)(binary_symmetric), expected, **close(dtype))
    xor = np.zeros((2, 2, 2), dtype)
    giant = xor.copy()
    xor[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]] = 0.25
    giant[0, 0, 0] = giant[1, 1, 1] = 0.5
    expected = {
        "total_correlation": (1, 2), "dual_total_correlation": (2, 1), "co_information": (-1, 1),
        "o_information": (-1, 1), "conditional_mutual_information": (1, 0),
    }  # fmt: skip
    for name, (of_xor, of_giant) in expected.items():
        measure = jitted(getattr(isjax, name), base=2)
        np.testing.assert_allclose([measure(xor), measure(giant)], [of_xor, of_giant], **close(dtype))
    apart = jnp.array([0.5, 0.5, 0, 0], dtype), jnp.array([0, 0, 0.25, 0.75], dtype)
    for w in (0.0, 0.1, 0.5, 1.0):
        js = isjax.jensen_shannon_divergence(*apart, weight=w)
        np.testing.assert_allclose(js, oracle.entropy([w, 1 - w]), **close(dtype))
    assert isjax.total_variation(*apart) == 1
    assert isjax.kl_divergence(*apart) == math.inf


@pytest.mark.parametrize("num_variables", [2, 3, 4])
def test_informations_of_many_variables(num_variables, dtype):
    joint = masses(np.random.default_rng(17), (2**num_variables,), dtype).reshape([2] * num_variables)
    for name in ("total_correlation", "dual_total_correlation", "co_information", "o_information"):
        np.testing.assert_allclose(jitted(getattr(isjax, name))(joint), getattr(oracle, name)(joint), **close(dtype))


def test_ratio_too_large_for_a_float_is_no_infinity(dtype):
    tiny = float(jnp.finfo(dtype).tiny) * 1.7
    p, q = jnp.array([0.5, 0.5], dtype), jnp.array([1, tiny], dtype)
    np.testing.assert_allclose(isjax.kl_divergence(p, q), oracle.kl_divergence(p, q), **close(dtype))


# --- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "num", "options"),
    [
        ("entropy", 1, {}), ("renyi_entropy", 1, {"order": 0.5}), ("tsallis_entropy", 1, {"order": 2}),
        ("cross_entropy", 2, {}), ("kl_divergence", 2, {}), ("jensen_shannon_divergence", 2, {"weight": 0.25}),
        ("renyi_divergence", 2, {"order": 2}), ("renyi_divergence", 2, {"order": 0.5}), ("total_variation", 2, {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("axis", [0, (0, -1), (2, 0, 1)])
def test_axis_may_be_any_and_several(name, num, options, axis):
    arrays = [np.random.default_rng(18 + i).random((2, 3, 4)).astype(np.float32) + 0.1 for i in range(num)]
    arrays = [a / a.sum(axis, keepdims=True) for a in arrays]
    axes = tuple(i % 3 for i in (axis if isinstance(axis, tuple) else (axis,)))
    rest = tuple(i for i in range(3) if i not in axes)
    flat = [a.transpose(*rest, *axes).reshape(*(a.shape[i] for i in rest), -1) for a in arrays]
    values = np.asarray(jax.jit(functools.partial(getattr(isjax, name), **options, axis=axis))(*arrays))
    for index in np.ndindex(*flat[0].shape[:-1]):
        expected = getattr(oracle, name)(*(a[index] for a in flat), **options)
        np.testing.assert_allclose(values[index], expected, rtol=1e-5, atol=1e-6)
    assert values.shape == flat[0].shape[:-1]


UNITLESS = ("tsallis_entropy", "total_variation", "scored_loss")


@pytest.mark.parametrize("case", [c for c in ONE_OF_EACH if c.name.split("-")[0] not in UNITLESS], ids=str)
def test_base_is_the_unit(case):
    """Bits and bans are nats over log 2 and log 10."""
    name, _, value = case.name.partition("-")
    options = {"renyi_entropy": "order", "renyi_divergence": "order", "jensen_shannon_divergence": "weight"}
    given = {options[name]: float(value)} if name in options else {"num_codes": case.num_codes or None}
    given = given if name in options or case.num_codes else {}
    measure = getattr(isjax, name)
    in_units = jax.jit(lambda *one: [measure(*one, **given, base=base) for base in (None, 2, 10, 2.5)])
    nats, *others = in_units(*(a[0] for a in case.draw(19, 1)))
    for base, amount in zip((2, 10, 2.5), others, strict=True):
        np.testing.assert_allclose(amount * math.log(base), nats, rtol=1e-6)


@theorem(p=st.floats(0, 1))
def test_binary_entropy_is_the_entropy_of_a_coin(p, dtype):
    p = np.asarray(p, dtype)
    expected = oracle.entropy([p, 1 - np.float64(p)])
    np.testing.assert_allclose(jitted(isjax.binary_entropy)(p), expected, **close(dtype))
    np.testing.assert_allclose(jitted(isjax.binary_entropy, base=2)(p), expected / math.log(2), **close(dtype))
