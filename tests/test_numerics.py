"""The terms of which divergences are sums: series where they join, zeros, infinities, and derivatives of their own."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isjax import _numerics
from tests.oracles import information as oracle

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("strict")]


def _terms(p, q):
    return np.array([oracle.kl_divergence(a, b) for a, b in zip(p, q, strict=True)])


@pytest.mark.parametrize("p", [1.0, 0.3, 1e-12, 1e-30])
def test_divergence_terms_are_smooth_across_their_series(p, dtype, transform):
    """Ratios from 1/1000 to 1000, close together about the edge of the series at p/q = 2/3 and 3/2."""
    ratios = np.concatenate([np.geomspace(1e-3, 1e3, 400), 1.5 * (1 + np.linspace(-1e-3, 1e-3, 50)),
                             (1 + np.linspace(-1e-3, 1e-3, 50)) / 1.5])  # fmt: skip
    q = (p * ratios).astype(dtype)
    p = np.full_like(q, p)
    eps = float(jnp.finfo(dtype).eps)
    values = np.asarray(transform(_numerics.divergence_terms)(*map(jnp.asarray, (p, q))), np.float64)
    np.testing.assert_allclose(values, _terms(p, q), rtol=max(64 * eps, 1e-10))
    ratio = np.asarray(transform(_numerics.log_ratio)(*map(jnp.asarray, (p, q, p - q))), np.float64)
    np.testing.assert_allclose(ratio, np.log(p.astype(np.float64) / q), rtol=max(8 * eps, 1e-13), atol=0)


def test_divergence_terms_keep_their_relative_accuracy_down_to_rounding(dtype):
    """One unit of rounding apart, the term is a few 1e-15 in float32, and right."""
    eps = float(jnp.finfo(dtype).eps)
    q = np.ones(3, dtype)
    p = q + np.array([eps, 4 * eps, -eps], dtype)
    t = (p - q).astype(np.float64)
    np.testing.assert_allclose(
        _numerics.divergence_terms(jnp.asarray(p), jnp.asarray(q)), t**2 / 2 - t**3 / 6, rtol=4 * eps
    )


def test_zeros_and_infinities_of_the_terms(transform):
    p, q = jnp.array([0.0, 0.0, 0.25, 1.0]), jnp.array([0.0, 0.5, 0.0, 1e-37])
    terms = transform(_numerics.divergence_terms)(p, q)
    np.testing.assert_allclose(terms, [0, 0.5, np.inf, 37 * math.log(10) - 1], rtol=1e-6)
    np.testing.assert_allclose(transform(_numerics.information_terms)(p, q)[:3], [0, 0.5, 0])
    slopes = jax.grad(lambda p, q: jnp.sum(_numerics.divergence_terms(p, q)), (0, 1))(p[:2], q[:2])
    np.testing.assert_array_equal(slopes[0], [0, 0])
    np.testing.assert_array_equal(slopes[1], [0, 1])


@pytest.mark.parametrize("log_q", [-1e-4, -0.3, -0.49, -0.51, -5.0, -80.0, -500.0])
def test_terms_from_log_q_agree_with_those_from_q_and_go_on_where_q_underflows(log_q, dtype, transform):
    p = np.array([1.0, 0.7, 1e-3, 1e-30], dtype)
    log = np.full_like(p, log_q)
    s = np.log(p.astype(np.float64)) - log.astype(np.float64)
    expected = p.astype(np.float64) * (np.expm1(-s) + s)
    values = np.asarray(transform(_numerics.divergence_terms_from_log)(jnp.asarray(p), jnp.asarray(log)))
    near = np.abs(s) < 1e-2
    expected[near] = (p * (s**2 / 2 - s**3 / 6 + s**4 / 24))[near]
    assert (values >= 0).all()
    np.testing.assert_allclose(values, expected, rtol=2e-5 if dtype == "float32" else 1e-9)


def test_log_q_of_minus_infinity_is_infinite_only_under_mass():
    p, log_q = jnp.array([0.0, 0.5, 0.0]), jnp.array([-jnp.inf, -jnp.inf, -1.0])
    np.testing.assert_allclose(_numerics.divergence_terms_from_log(p, log_q), [0, np.inf, math.exp(-1)])


def test_safe_divide_normalise_and_expectation_at_zero():
    numerator, denominator = jnp.array([1.0, 0.0, 1e-37]), jnp.array([0.0, 0.0, 2e-37])
    np.testing.assert_allclose(_numerics.safe_divide(numerator, denominator, 7.0), [7, 7, 0.5])
    _, tangent = jax.jvp(
        lambda n, d: _numerics.safe_divide(n, d, 7.0), (numerator, denominator), (numerator, -denominator)
    )
    np.testing.assert_allclose(tangent, [0, 0, 1])  # d(n/d) = n/d − (n/d)(−1), without 1/d²
    np.testing.assert_allclose(_numerics.normalise(jnp.array([[0.0, 0.0], [1e-37, 3e-37]])), [[0.5, 0.5], [0.25, 0.75]])
    weights, values = jnp.array([0.0, 0.0, 0.5]), jnp.array([jnp.inf, jnp.nan, 4.0])
    assert _numerics.expectation(weights, values) == 2
    assert np.isfinite(jax.grad(_numerics.expectation)(weights, values)).all()


def test_derivatives_do_not_square_the_reciprocals_of_small_masses():
    """1/p² is beyond float32 at 1e-37, p log p and its first two derivatives are not."""
    p = jnp.array(1e-37)
    second_derivative = jax.jit(jax.grad(jax.grad(_numerics.xlogx)))
    first, second = jax.grad(_numerics.xlogx)(p), second_derivative(p)
    np.testing.assert_allclose(first, 1 - 37 * math.log(10), rtol=1e-6)
    np.testing.assert_allclose(second, 1e37, rtol=1e-5)
    of_q = jax.jit(jax.grad(jax.grad(lambda q: _numerics.divergence_terms(p, q))))(p)
    np.testing.assert_allclose(of_q, 1e37, rtol=1e-5)  # p/q²
    assert second_derivative(jnp.array(0.0)) == 0


@pytest.mark.parametrize(("base", "unit"), [(None, 1.0), (2, math.log(2)), (10.0, math.log(10))])
def test_base_names_the_unit(base, unit):
    np.testing.assert_allclose(_numerics.in_base(jnp.array(3.0), base) * unit, 3, rtol=1e-6)
