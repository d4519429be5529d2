"""Every integer argument takes every integer dtype, and gives what int32 gives: nothing wraps around."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
import isjax.data

pytestmark = pytest.mark.fast

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
JOINT = RNG.dirichlet(np.ones(600)).reshape(200, 3).astype(np.float32)
CODES, SYMBOLS = RNG.integers(0, 100, 200), RNG.integers(0, 100, 500)  # 100 × 100 cells: beyond 8 bits
ROWS = np.eye(100, dtype="f4")
COUNTS = RNG.integers(0, 120, (40, 30))

# A function of one integer array, and the array.
ARGUMENTS = {
    "pushforward": (lambda u: isjax.pushforward(JOINT, u, num_codes=100), CODES),
    "mutual_information_loss": (lambda u: isjax.mutual_information_loss(JOINT, u, num_codes=200), CODES),
    "is_sufficient": (lambda u: isjax.is_sufficient(np.full((200, 2), 1 / 400, "f4"), u), 0 * CODES),
    "layerwise_loss": (lambda u: isjax.layerwise_loss(JOINT, u[None]), CODES),
    "risk_decomposition": (
        lambda u: isjax.risk_decomposition(JOINT, np.log(np.full((100, 3), 1 / 3, "f4")), u).encoder_bias,
        CODES,
    ),
    "scored_loss": (lambda u: isjax.scored_loss(JOINT, u, isjax.brier_score, num_codes=100), CODES),
    "squared_error": (lambda v: isjax.squared_error(v).entropy(np.full(40, 1 / 40, "f4")), COUNTS[:, 0]),
    "sufficient_projection": (lambda u: isjax.sufficient_projection(JOINT, u, num_codes=100).divergence, CODES),
    "encoder_kernel": (lambda u: isjax.encoder_kernel(u, num_codes=100), CODES),
    "compose_encoders, first": (lambda u: isjax.compose_encoders(u, np.arange(100)[::-1].copy()), CODES),
    "compose_encoders, second": (lambda v: isjax.compose_encoders(CODES, v, num_codes=100), np.arange(100)[::-1]),
    "compact_codes": (lambda u: isjax.compact_codes(u).codes, CODES),
    "orbit_encoder": (lambda g: isjax.orbit_encoder(g[None]), np.roll(np.arange(120), 7)),
    "empirical_joint, x": (lambda x: isjax.empirical_joint(x, SYMBOLS, shape=(100, 100)), SYMBOLS),
    "empirical_joint, y": (lambda y: isjax.empirical_joint(SYMBOLS, y, shape=(100, 100)), SYMBOLS),
    "estimate_information_loss": (
        lambda u: isjax.estimate_information_loss(SYMBOLS, SYMBOLS, u, shape=(100, 100, 100), method="plug_in"),
        SYMBOLS,
    ),
    "sufficiency_test": (
        lambda x: isjax.sufficiency_test(KEY, x, SYMBOLS % 3, x, shape=(100, 3, 100), num_permutations=9).statistic,
        SYMBOLS,
    ),
    "estimate_entropy": (lambda n: isjax.estimate_entropy(n, method="miller_madow"), COUNTS[0]),
    "estimate_mutual_information": (lambda n: isjax.estimate_mutual_information(n, method="plug_in"), COUNTS),
    "normalise": (isjax.normalise, COUNTS),
    "Problem.codes": (
        lambda u: (
            isjax.Source(jnp.full((200, 2), 1 / 400), jnp.eye(200), jnp.zeros(200, int), jnp.zeros(200, int))
            .problem(np.unique(u, return_inverse=True)[1].astype(u.dtype))
            .codes
        ),
        CODES,
    ),
    "measure": (
        lambda x: (
            isjax.data.measure(
                KEY, {"x": x, "y": x % 3}, isjax.data.MeasureSpec(target="y", inputs=("x",))
            ).information.plug_in
        ),
        SYMBOLS,
    ),
}


@pytest.mark.filterwarnings("ignore:the smallest expected count")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_integer_argument_takes_every_integer_dtype(name, dtype):
    function, values = ARGUMENTS[name]
    found, expected = function(values.astype(dtype)), function(values.astype("int32"))
    np.testing.assert_array_equal(found, expected)
    if isinstance(found, jax.Array):
        assert np.isfinite(np.asarray(found, float)).all()


def test_examples_that_wrapped_around():
    joint = isjax.empirical_joint(np.int8([2, 2, 0]), np.int8([0, 1, 1]), shape=(3, 100))
    np.testing.assert_allclose(np.asarray(joint)[[2, 2, 0], [0, 1, 1]], 1 / 3, rtol=1e-6)
    assert isjax.is_sufficient(jnp.full((200, 2), 1 / 400), np.zeros(200, np.int8))
    assert isjax.compact_codes(np.array([5, 2**32 + 5, 7])).codes.tolist() == [0, 1, 2]
    for counts in (np.array([[2**31, 5], [7, 2**32]]), np.array([[2**62, 2**61], [0, 2**62]], np.uint64)):
        information = isjax.estimate_mutual_information(counts, method="plug_in")
        assert 0 <= information < np.log(2)
    for wrong in (np.array([0, 2**32]), np.array([0, 2**64 - 1], np.uint64), np.array([0, -(2**40)])):
        with pytest.raises(ValueError, match=r"^x has symbol"):
            isjax.empirical_joint(wrong, np.array([0, 1]), shape=(2, 2))
