"""Marginals, conditionals, images under encoders, samples, and what counts as a distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from jax.sharding import PartitionSpec

import isjax
from tests.helpers import close, jitted
from tests.oracles import information as oracle
from tests.strategies import encoders, joints, masses

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]


@given(joint=joints())
def test_marginals_and_conditionals_make_the_joint_again(joint, dtype):
    joint = joint.astype(dtype)
    p_x, p_y = jitted(isjax.marginal_x)(joint), jitted(isjax.marginal_y)(joint)
    np.testing.assert_allclose(p_x, joint.sum(1), **close(dtype, 4))
    np.testing.assert_allclose(p_y, joint.sum(0), **close(dtype, 4))
    rows, columns = jitted(isjax.conditional_y_given_x)(joint), jitted(isjax.conditional_x_given_y)(joint)
    np.testing.assert_allclose(jnp.sum(rows, axis=1), 1, **close(dtype, 4))
    np.testing.assert_allclose(jnp.sum(columns, axis=0), 1, **close(dtype, 4))
    np.testing.assert_array_equal(np.asarray(rows)[np.asarray(p_x) == 0], 0.25)
    np.testing.assert_array_equal(np.asarray(columns)[:, np.asarray(p_y) == 0], 1 / np.asarray(3, dtype))
    np.testing.assert_allclose(jitted(isjax.joint_distribution)(p_x, rows), joint, **close(dtype, 4))
    np.testing.assert_allclose(jitted(isjax.joint_distribution)(p_y, columns.T), joint.T, **close(dtype, 4))
    independent = jitted(isjax.product_distribution)(p_x, p_y)
    np.testing.assert_allclose(independent, np.outer(p_x, p_y), **close(dtype, 4))
    assert {a.dtype.name for a in (p_x, p_y, rows, columns, independent)} == {dtype}


@given(joint=joints(), encoder=encoders())
def test_pushforward_is_the_sum_over_inputs(joint, encoder, dtype):
    rows = oracle.rows(encoder, 2).astype(dtype)
    expected = rows.T.astype(np.float64) @ joint.astype(dtype)
    of_rows = jitted(isjax.pushforward)(joint.astype(dtype), rows)
    np.testing.assert_allclose(of_rows, expected, **close(dtype, 4))
    if np.issubdtype(encoder.dtype, np.integer):
        of_codes = jitted(isjax.pushforward, num_codes=2)(joint.astype(dtype), encoder)
        np.testing.assert_allclose(of_codes, expected, **close(dtype, 4))
        in_as_many = jitted(isjax.pushforward)(joint.astype(dtype), encoder)
        np.testing.assert_allclose(in_as_many, np.vstack([of_codes, np.zeros((1, 4))]))


def test_gradients_of_conditionals_are_finite_beside_rows_of_tiny_or_no_mass():
    joint = masses(np.random.default_rng(0), (100_000, 6), np.float32).reshape(-1, 2, 3)
    joint[:, 0] *= np.where(np.arange(100_000) % 3 == 0, 0, 1)[:, None]
    for conditional in (isjax.conditional_y_given_x, isjax.conditional_x_given_y):
        assert np.isfinite(jax.jit(conditional)(joint)).all()
        jacobian = np.asarray(jax.jit(jax.vmap(jax.jacrev(lambda j, f=conditional: f(j)[..., :1])))(joint))
        assert np.isfinite(jacobian).all()
    uniform = jax.jacrev(isjax.conditional_y_given_x)(jnp.array([[0.0, 0.0], [0.5, 0.5]]))
    assert not uniform[0].any()


def test_batches_broadcast_and_shard():
    rng = np.random.default_rng(1)
    p_x, channel, p_y = (
        np.asarray(isjax.normalise(rng.random(s, "f4"), axis=-1)) for s in ((4, 1, 3), (2, 3, 5), (5,))
    )
    joint = isjax.joint_distribution(p_x, channel)
    np.testing.assert_allclose(joint, p_x[..., None] * channel)
    np.testing.assert_allclose(isjax.product_distribution(p_x, p_y), p_x[..., None] * p_y)
    codes, rows = rng.integers(0, 2, (4, 2, 3)), isjax.normalise(rng.random((2, 3, 2), "f4"), axis=-1)
    np.testing.assert_allclose(isjax.pushforward(joint, rows), np.einsum("bcxy,cxu->bcuy", joint, rows), rtol=1e-6)
    by_codes = isjax.pushforward(joint, codes, num_codes=2)
    np.testing.assert_allclose(by_codes, np.einsum("bcxy,bcxu->bcuy", joint, np.eye(2)[codes]), rtol=1e-6)
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split = PartitionSpec("batch")
    sharded = jax.shard_map(isjax.pushforward, mesh=mesh, in_specs=split, out_specs=split)
    np.testing.assert_allclose(jax.jit(sharded)(joint, codes)[..., :2, :], by_codes, rtol=1e-6)


# --- samples ------------------------------------------------------------------------------------------------------


def test_empirical_joint_counts_exactly(dtype, transform):
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 3, (2, 1000)), rng.integers(0, 4, (2, 1000))
    counts = np.stack([np.histogram2d(a, b, (3, 4), ((0, 3), (0, 4)))[0] for a, b in zip(x, y, strict=True)])
    empirical = transform(isjax.empirical_joint, static_argnames="shape")
    np.testing.assert_allclose(empirical(x, y, shape=(3, 4)), counts / 1000, **close("float32", 2))
    weights = rng.random(1000).astype(dtype)
    weighted = empirical(x, y, shape=(3, 4), weights=weights)
    assert weighted.dtype == dtype
    for batch in range(2):
        expected = np.zeros((3, 4))
        np.add.at(expected, (x[batch], y[batch]), weights)
        np.testing.assert_allclose(weighted[batch], expected / weights.sum(), **close(dtype))
    of_nothing = empirical(x[0], y[0], shape=(3, 4), weights=np.zeros(1000, dtype))
    np.testing.assert_allclose(of_nothing, 1 / 12, **close(dtype, 2))


def test_empirical_joint_of_many_alike_samples_is_exact():
    """A float32 counter would stop at 2^24."""
    n = 2**24 + 2**10
    x = jnp.zeros(n, int).at[: 2**10].set(1)
    joint = isjax.empirical_joint(x, x, shape=(2, 2))
    np.testing.assert_allclose(joint, [[2**24 / n, 0], [0, 2**10 / n]], rtol=1e-7)


def test_traced_symbol_outside_its_alphabet_gives_nan():
    x, y = np.array([[0, 1], [0, 2]]), np.array([[0, 1], [0, 1]])
    joint = jitted(isjax.empirical_joint, shape=(2, 2))(x, y)
    np.testing.assert_array_equal(np.isnan(joint).all((1, 2)), [False, True])
    assert not np.isnan(joint[0]).any()


def test_shorter_sample_is_a_prefix_of_a_longer_one(dtype):
    joint = masses(np.random.default_rng(3), (60,), dtype).reshape(12, 5)
    key = jax.random.key(4)
    x, y = isjax.sample(key, joint, 4000)
    for n in (0, 7):
        shorter = isjax.sample(key, joint, n)
        np.testing.assert_array_equal(shorter.x, x[:n])
        np.testing.assert_array_equal(shorter.y, y[:n])
    jitted_x, jitted_y = jax.jit(isjax.sample, static_argnums=2)(key, joint, 4000)
    np.testing.assert_array_equal(jitted_x, x)
    np.testing.assert_array_equal(jitted_y, y)
    assert np.issubdtype(x.dtype, np.integer)


def test_frequencies_are_the_distribution_and_no_empty_cell_is_drawn(dtype):
    rng = np.random.default_rng(5)
    joint = rng.dirichlet(np.ones(48)).reshape(8, 6)
    joint[rng.random((8, 6)) < 0.3] = 0
    joint[[0, 3, 7]] = 0  # first, middle and last input without mass
    joint[:, [0, 5]] = 0
    joint = (joint / joint.sum()).astype(dtype)
    n = 400_000
    x, y = jax.jit(isjax.sample, static_argnums=2)(jax.random.key(6), joint, n)
    counts = np.zeros((8, 6))
    np.add.at(counts, (x, y), 1)
    assert counts.sum() == n
    assert not counts[joint == 0].any()
    mass = joint[joint > 0].astype(np.float64)
    assert scipy.stats.chisquare(counts[joint > 0], n * mass / mass.sum()).pvalue > 1e-3


def test_small_cells_of_a_joint_of_2_to_the_18_cells_keep_their_mass():
    """Half the cells hold 3e-8 each: a float32 cumulative sum near one moves in steps of 6e-8."""
    small = np.full((2**17, 1), 3e-8)
    large = np.full((2**17, 1), (1 - small.sum()) / 2**17)
    joint = np.concatenate([large, small]).astype(np.float32)
    n = 2**22
    x, _ = jax.jit(isjax.sample, static_argnums=2)(jax.random.key(7), joint, n)
    counts = np.bincount(x, minlength=2**18)[2**17 :].reshape(64, -1).sum(1)
    expected = n * joint[2**17 :].astype(np.float64).sum() / 64
    assert scipy.stats.chisquare(counts, np.full(64, counts.mean())).pvalue > 1e-3
    assert abs(counts.sum() - 64 * expected) < 4 * np.sqrt(64 * expected)


def test_mass_slightly_above_one_does_not_wrap():
    for excess in (1e-6, 1e-3):
        joint = (np.full((1024, 1), 1 / 1024) * (1 + excess)).astype(np.float32)
        x, _ = jax.jit(isjax.sample, static_argnums=2)(jax.random.key(8), joint, 200_000)
        counts = np.bincount(x, minlength=1024)
        assert counts[:16].sum() < 2 * counts[512:528].sum()
        assert scipy.stats.chisquare(counts[:1000], np.full(1000, counts[:1000].mean())).pvalue > 1e-3


# --- check_distribution -------------------------------------------------------------------------------------------


def test_rounded_distributions_pass_whatever_their_size(dtype):
    rng = np.random.default_rng(9)
    for size in (1, 2, 100, 2**20):
        p = rng.exponential(size=size)
        isjax.check_distribution((p / p.sum()).astype(dtype))
    joint = masses(rng, (10, 12), dtype).reshape(10, 3, 4)
    isjax.check_distribution(joint, axis=(1, 2))
    isjax.check_distribution(joint[0] / joint[0].sum())
    isjax.check_distribution(isjax.conditional_y_given_x(joint), axis=-1)


@pytest.mark.parametrize("off", [1 - 1e-4, 1 + 1e-4, 2.0, 0.0])
def test_sums_that_rounding_does_not_explain_are_refused(off, dtype):
    with pytest.raises(ValueError, match=f"^p sums to {off:g}, not 1: isjax.normalise"):
        isjax.check_distribution(np.full(4, off / 4, dtype))
