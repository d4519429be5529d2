"""Encoders of a finite alphabet: their two forms, composition, symmetry, and the coarsest that loses nothing."""

import itertools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import isjax
from tests.helpers import close, jitted
from tests.oracles import information as oracle
from tests.strategies import codes, encoders, masses

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]
theorem = hypothesis.given


def partition(codes):
    """What an encoder tells apart, whatever it calls it: each symbol beside the first of its cell."""
    codes = np.asarray(codes)
    return [int(np.argmax(codes == code)) for code in codes]


# --- two forms, and composition -----------------------------------------------------------------------------------


@theorem(codes(5, 3))
def test_kernel_of_codes_is_one_hot_and_rows_are_their_own(encoder):
    kernel = isjax.encoder_kernel(encoder, num_codes=3)
    np.testing.assert_array_equal(kernel, np.eye(3)[encoder])
    np.testing.assert_array_equal(isjax.encoder_kernel(kernel, num_codes=3), kernel)


def test_kernel_of_a_traced_code_outside_its_alphabet_is_nan():
    kernels = jitted(isjax.encoder_kernel, num_codes=2)(np.array([[0, 2], [1, 0]]))
    np.testing.assert_array_equal(np.isnan(kernels), [[[True] * 2] * 2, [[False] * 2] * 2])


@theorem(first=encoders(5, 3), second=encoders(3, 2))
def test_composition_is_the_product_of_kernels(first, second, dtype):
    first, second = (a.astype(dtype) if np.issubdtype(a.dtype, np.floating) else a for a in (first, second))
    composed = jitted(isjax.compose_encoders, num_codes=2 if second.ndim == 1 else None)(first, second)
    assert jnp.issubdtype(composed.dtype, jnp.integer) == (first.ndim == second.ndim == 1)
    kernel = isjax.encoder_kernel(composed, num_codes=2)
    np.testing.assert_allclose(kernel, oracle.rows(first, 3) @ oracle.rows(second, 2), **close(dtype, 4))


def test_compositions_broadcast_and_default_to_as_many_codes_as_symbols():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 3, (2, 1, 5)), rng.integers(0, 3, (4, 3))
    composed = isjax.compose_encoders(first, second)
    assert composed.shape == (2, 4, 5)
    for i, j in np.ndindex(2, 4):
        np.testing.assert_array_equal(composed[i, j], second[j][first[i, 0]])
    rows = isjax.compose_encoders(np.eye(3, dtype=np.float32)[first], second)
    np.testing.assert_array_equal(rows, isjax.encoder_kernel(composed, num_codes=3))


def test_a_traced_code_that_leaves_its_alphabet_is_never_plausible():
    """Codes become −1, rows NaN: either way the loss is NaN."""
    compose = jitted(isjax.compose_encoders, num_codes=2)
    assert compose(np.array([0, 3, 1]), np.array([0, 1])).tolist() == [0, -1, 1]
    assert compose(np.array([0, 0, 1]), np.array([5, 1])).tolist() == [-1, -1, 1]
    rows = jitted(isjax.compose_encoders)(np.array([0, 2, 1]), np.full((2, 2), 0.5, np.float32))
    assert np.isnan(rows).all()
    joint = np.full((3, 2), 1 / 6, np.float32)
    assert np.isnan(jitted(isjax.mutual_information_loss)(joint, compose(np.array([0, 3, 1]), np.array([0, 1]))))


@theorem(st.lists(st.integers(-3, 9), min_size=6, max_size=6))
def test_compact_codes_are_in_order_of_first_appearance(codes):
    compact, num_codes = jitted(isjax.compact_codes)(np.array(codes))
    first_seen = list(dict.fromkeys(codes))
    assert compact.tolist() == [first_seen.index(code) for code in codes]
    assert num_codes == len(first_seen)
    again, same = jitted(isjax.compact_codes)(compact)
    np.testing.assert_array_equal(again, compact)
    assert same == num_codes


def test_codes_that_the_default_integer_type_cannot_hold_stay_distinct():
    codes = np.array([[2**32 + 7, 7, 2**63, 7], [0, 2**32, 0, 2**33]], np.uint64)
    compact, num_codes = isjax.compact_codes(codes)
    assert compact.tolist() == [[0, 1, 2, 1], [0, 1, 0, 2]]
    assert num_codes.tolist() == [3, 3]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_symbols_of_any_integer_type_are_counted(dtype):
    """100 · 2 + 1 is beyond int8."""
    x, y = np.array([100, 100, 3], dtype), np.array([1, 1, 0], dtype)
    joint = np.zeros((101, 2))
    joint[100, 1], joint[3, 0] = 2 / 3, 1 / 3
    np.testing.assert_allclose(isjax.empirical_joint(x, y, shape=(101, 2)), joint, rtol=1e-6)
    np.testing.assert_allclose(jitted(isjax.empirical_joint, shape=(101, 2))(x, y), joint, rtol=1e-6)


def test_compact_codes_of_a_batch():
    compact, num_codes = isjax.compact_codes(np.array([[[7, 3, 7]], [[1, 1, 1]]]))
    assert compact.tolist() == [[[0, 1, 0]], [[0, 0, 0]]]
    assert num_codes.tolist() == [[2], [1]]


# --- structured alphabets -----------------------------------------------------------------------------------------


@st.composite
def coordinates(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    kept = draw(st.permutations(range(len(sizes))))[: draw(st.integers(0, len(sizes)))]
    return sizes, kept


@theorem(coordinates())
def test_coordinate_encoder_lists_what_it_keeps_in_c_order(sizes_and_kept):
    sizes, kept = sizes_and_kept
    codes = np.asarray(isjax.coordinate_encoder(sizes, kept))
    vectors = list(np.ndindex(*sizes))
    kept_vectors = list(np.ndindex(*(sizes[i] for i in kept)))
    assert codes.shape == (len(vectors),)
    assert [kept_vectors[code] for code in codes] == [tuple(v[i] for i in kept) for v in vectors]


def test_keeping_all_is_the_identity_and_nothing_is_constant():
    np.testing.assert_array_equal(isjax.coordinate_encoder((2, 3, 2), (0, 1, 2)), np.arange(12))
    np.testing.assert_array_equal(isjax.coordinate_encoder((2, 3, 2), ()), np.zeros(12))
    assert np.issubdtype(isjax.coordinate_encoder((2,), ()).dtype, np.integer)


@theorem(st.lists(st.permutations(range(7)), min_size=2, max_size=2))
def test_orbits_are_those_of_the_group_that_the_rows_generate(generators):
    group, frontier = {tuple(range(7))}, {tuple(range(7))}
    while frontier:  # every product of generators
        frontier = {tuple(g[i] for i in h) for h in frontier for g in generators} - group
        group |= frontier
    orbits = [min(h[x] for h in group) for x in range(7)]
    found = jitted(isjax.orbit_encoder)(np.array(generators))
    assert partition(found) == partition(orbits)
    assert found.tolist() == isjax.compact_codes(found).codes.tolist()


@pytest.mark.parametrize("length", [1, 2, 6])
def test_necklaces_are_counted_by_burnside(length):
    rotated = np.moveaxis(np.arange(2**length).reshape((2,) * length), 0, -1).ravel()
    num_necklaces = sum(2 ** math.gcd(i, length) for i in range(length)) // length
    assert int(isjax.orbit_encoder(rotated[None]).max()) + 1 == num_necklaces


def test_orbits_of_one_long_cycle_and_of_no_generator():
    order = np.random.default_rng(0).permutation(2**14)
    cycle = np.empty_like(order)
    cycle[order] = np.roll(order, 1)
    assert not np.asarray(jitted(isjax.orbit_encoder)(cycle[None])).any()
    np.testing.assert_array_equal(isjax.orbit_encoder(np.zeros((0, 4), int)), np.arange(4))


def test_a_traced_row_that_is_no_permutation_has_no_orbits():
    assert jitted(isjax.orbit_encoder)(np.array([[0, 0, 1]])).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("num_symbols", "num_codes"), [(7, 3), (4, 4), (5, 1)])
def test_random_encoder_deals_the_symbols_out(num_symbols, num_codes):
    draw = jax.vmap(lambda key: isjax.random_encoder(key, num_symbols, num_codes))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 200)))
    counts = np.stack([np.bincount(codes, minlength=num_codes) for codes in drawn])
    assert set(counts.ravel()) <= {num_symbols // num_codes, -(-num_symbols // num_codes)}
    together = np.mean(drawn[:, :, None] == drawn[:, None, :], axis=0)[np.triu_indices(num_symbols, 1)]
    share = np.mean(np.sum(counts * (counts - 1), axis=1)) / (num_symbols * (num_symbols - 1))
    np.testing.assert_allclose(together, share, atol=0.15)  # any two symbols share a code as often as any other two


# --- minimal sufficiency ------------------------------------------------------------------------------------------


def posteriors_of_classes(rng, num_symbols, num_classes, dtype):
    """A joint distribution whose posteriors are some of few rows, up to rounding, and which row each symbol has."""
    rows, of_symbol = (
        masses(rng, (num_classes, 3), np.float64, smallest=1e-3),
        rng.integers(0, num_classes, num_symbols),
    )
    p_x = masses(rng, (num_symbols,), np.float64, smallest=1e-6)
    p_x, rows = p_x / p_x.sum(), rows / rows.sum(1, keepdims=True)
    return (p_x.astype(dtype)[:, None] * rows.astype(dtype)[of_symbol]), of_symbol, rows


@pytest.mark.parametrize("seed", range(20))
def test_minimal_sufficient_encoder_tells_apart_what_differs_and_nothing_else(seed, dtype):
    joint, of_symbol, rows = posteriors_of_classes(np.random.default_rng(seed), 40, 6, dtype)
    found = np.asarray(jitted(isjax.minimal_sufficient_encoder)(joint))
    has_mass = joint.sum(1) > 0
    same_row = (np.abs(rows[:, None] - rows).sum(-1) < 1e-9)[of_symbol][:, of_symbol]
    same_code = found[:, None] == found
    np.testing.assert_array_equal(same_code[np.ix_(has_mass, has_mass)], same_row[np.ix_(has_mass, has_mass)])
    assert (found[~has_mass] == found[has_mass][0]).all()
    assert found.tolist() == isjax.compact_codes(found).codes.tolist()
    assert isjax.is_sufficient(joint, found)


@pytest.mark.parametrize("seed", range(10))
def test_every_sufficient_encoder_refines_the_minimal_one(seed):
    """And merging any two of its codes loses information."""
    joint, of_symbol, _ = posteriors_of_classes(np.random.default_rng(seed), 12, 4, np.float32)
    minimal = jitted(isjax.minimal_sufficient_encoder)(joint)
    loss = jitted(isjax.mutual_information_loss)
    assert len({(int(a), int(b)) for a, b, p in zip(of_symbol, minimal, joint.sum(1), strict=True) if p > 0}) <= 4
    for kept, merged in itertools.combinations(range(int(minimal.max()) + 1), 2):
        assert loss(joint, jnp.where(minimal == merged, kept, minimal)) > 1e-12


def test_codes_of_a_continuum_never_join_what_is_further_apart_than_the_tolerance(dtype):
    """Posteriors so dense that each is nearly the next: no cell may be wider than was asked for, and few are cut."""
    heads = np.sort(np.random.default_rng(0).random(3000)).astype(dtype)
    joint = np.stack([heads, 1 - heads], axis=1) / 3000
    for tolerance in (1e-2, 1e-4):
        found = np.asarray(isjax.minimal_sufficient_encoder(joint.astype(dtype), tolerance=tolerance))
        widths = [np.ptp(heads[found == code].astype(np.float64)) for code in np.unique(found)]
        assert max(widths) <= tolerance * (1 + 1e-5)
        apart = np.diff(heads.astype(np.float64)) > tolerance
        assert (np.diff(found) != 0)[apart].all()
    assert int(isjax.minimal_sufficient_encoder(joint.astype(dtype), tolerance=2.0).max()) == 0
    dense = np.linspace(0, 1, 3000, dtype=dtype)  # each equal to the next, as the tolerance sees it
    found = np.asarray(isjax.minimal_sufficient_encoder(np.stack([dense, 1 - dense], 1) / 3000, tolerance=0.1))
    assert 5 <= len(np.unique(found)) <= 40
    assert max(np.ptp(dense[found == code]) for code in np.unique(found)) <= 0.1 + 1e-5


def test_minimal_sufficient_encoder_of_no_information_and_of_a_batch():
    batch = np.stack([np.eye(3, 4) / 3, np.full((3, 4), 1 / 12), np.zeros((3, 4))]).astype(np.float32)
    assert jitted(isjax.minimal_sufficient_encoder)(batch).tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("tolerance", [None, 0.0, 0.1])
def test_infinite_activations_equal_themselves_only_and_nan_nothing(tolerance):
    inf, nan = np.inf, np.nan
    for values, expected in (
        ([inf, 0, 1], [0, 1, 2]),
        ([0, inf, inf, -inf, 0, -inf], [0, 1, 1, 2, 0, 2]),
        ([-inf, -inf, inf], [0, 0, 1]),
        ([nan, nan, 1, 1], [0, 1, 2, 2]),
        ([inf, inf], [0, 0]),
    ):
        codes = isjax.activation_codes(np.float32(values)[:, None], tolerance=tolerance)
        assert codes.tolist() == expected


def test_activation_codes_are_those_of_rows_equal_up_to_rounding(dtype):
    rng = np.random.default_rng(1)
    levels = rng.integers(-2, 3, (50, 4))
    rounding = 1 + 4 * float(jnp.finfo(dtype).eps) * rng.uniform(-1, 1, levels.shape)
    found = jitted(isjax.activation_codes)((100.0 * levels * rounding).astype(dtype))
    _, exact = np.unique(levels, axis=0, return_inverse=True)
    assert partition(found) == partition(exact.ravel())
    assert not np.asarray(isjax.activation_codes(np.zeros((5, 2), dtype))).any()


def test_activations_further_apart_than_the_tolerance_never_share_a_code():
    values = np.random.default_rng(2).random((2000, 1)).astype(np.float32)
    found = np.asarray(isjax.activation_codes(values, tolerance=0.05))
    assert max(np.ptp(values[found == code]) for code in np.unique(found)) <= 0.05
    assert len(np.unique(found)) < 60
    assert len(np.unique(isjax.activation_codes(values, tolerance=0.0))) == len(np.unique(values))
