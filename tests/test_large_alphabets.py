"""Sums and draws stay accurate on alphabets of up to 2²⁰ symbols, in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax import distributions
from tests.helpers import jitted

LARGEST = 2**20


def input_distribution(kind, size):
    rng = np.random.default_rng(0)
    p = {
        "uniform": lambda: np.ones(size),
        "heavy": lambda: 1 / np.arange(1, size + 1),
        "shuffled": lambda: rng.permutation(1 / np.arange(1, size + 1)),
    }[kind]()
    return p / p.sum()


def divergence_terms(p, q):
    with np.errstate(all="ignore"):
        return np.where(p > 0, p * np.log(p / q), 0) - p + q


@functools.cache
def case(size, kind, num_codes, spread):
    """A joint in float32 whose posteriors differ within a code by ``spread`` of themselves, and codes."""
    rng = np.random.default_rng(1)
    few = min(num_codes, 16)
    codes = rng.integers(0, few, size) if num_codes <= 16 else np.where(np.arange(size) % 2, 0, np.arange(size))
    rows = rng.dirichlet(np.ones(4), few)[codes % few] * (1 + spread * rng.uniform(-0.5, 0.5, (size, 4)))
    joint = input_distribution(kind, size)[:, None] * rows / rows.sum(1, keepdims=True)
    return joint.astype(np.float32), codes.astype(np.int32)


def exact(joint, codes, num_codes):
    """p(u, y), the loss and its derivative in the joint, in double precision."""
    joint = joint.astype(np.float64)
    p_uy = np.zeros((num_codes, joint.shape[1]))
    np.add.at(p_uy, codes, joint)
    mixture = (p_uy / np.maximum(p_uy.sum(1, keepdims=True), 1e-300))[codes]
    p_x = joint.sum(1, keepdims=True)
    rows = joint / np.maximum(p_x, 1e-300)
    return p_uy, float(np.sum(p_x * divergence_terms(rows, mixture))), np.log(rows / mixture)


@pytest.mark.parametrize("spread", [0, 1e-4, 1])
@pytest.mark.parametrize("num_codes", [1, 16, None])
@pytest.mark.parametrize("kind", ["uniform", "shuffled"])
@pytest.mark.parametrize("size", [2**12, 2**16, LARGEST])
def test_the_loss_has_the_accuracy_of_small_alphabets(size, kind, num_codes, spread):
    num_codes = size if num_codes is None else num_codes
    joint, codes = case(size, kind, num_codes, spread)
    p_uy, loss, slope = exact(joint, codes, num_codes)
    found = isjax.pushforward(joint, codes, num_codes=num_codes)
    np.testing.assert_allclose(found, p_uy, rtol=1e-5)
    by_codes = jitted(isjax.mutual_information_loss, num_codes=num_codes)
    bound = 1e-5 * loss + 1.2e-7 * loss**0.5 + 5e-12
    assert abs(by_codes(joint, codes) - loss) <= bound
    assert isjax.is_sufficient(joint, codes, num_codes=num_codes) == (loss < 2.3e-10)
    np.testing.assert_allclose(jax.jit(jax.grad(by_codes))(joint, codes), slope, atol=2e-5)
    if num_codes <= 16:
        rows = jax.nn.one_hot(codes, num_codes)
        np.testing.assert_allclose(jitted(isjax.pushforward)(joint, rows), p_uy, rtol=1e-5)
        assert abs(jitted(isjax.mutual_information_loss)(joint, rows) - loss) <= bound


@pytest.mark.parametrize("kind", ["uniform", "heavy", "shuffled"])
def test_informations_have_the_accuracy_of_small_alphabets(kind):
    for spread in (0, 1e-4, 1):
        joint, _ = case(LARGEST, kind, 1, spread)
        p_y, information, _ = exact(joint, np.zeros(LARGEST, int), 1)
        bound = 1e-5 * information + 1.2e-7 * information**0.5 + 5e-12
        assert abs(isjax.mutual_information(joint) - information) <= bound
        np.testing.assert_allclose(isjax.marginal_y(joint), p_y[0], rtol=5e-6)
        rows = joint.astype(np.float64) / joint.astype(np.float64).sum(1, keepdims=True)
        entropy = -np.sum(joint * np.log(rows))
        np.testing.assert_allclose(isjax.conditional_entropy(joint), entropy, rtol=1e-5)


def test_the_sufficient_code_of_a_large_sparse_source_is_sufficient():
    source = isjax.sparse_source(jax.random.key(0), num_inputs=18, num_relevant=4, num_classes=4, discrimination=0.8)
    assert isjax.is_sufficient(source.joint, source.codes)
    assert isjax.mutual_information_loss(source.joint, source.codes) < 1e-11
    assert not isjax.is_sufficient(source.joint, source.biased_codes)


def test_float_weights_of_many_alike_samples_are_summed_exactly():
    x = np.zeros(LARGEST, int)
    x[:3] = 1
    joint = isjax.empirical_joint(x, x, shape=(2000, 2), weights=np.full(LARGEST, 0.1, np.float32))
    np.testing.assert_allclose(joint[0, 0], 1 - 3 / LARGEST, rtol=1e-6)
    np.testing.assert_allclose(joint[1, 1], 3 / LARGEST, rtol=1e-5)


# --- sampling -----------------------------------------------------------------------------------------------------


def widths(cumulative):
    """The probabilities that integer cumulative sums give to their symbols."""
    cumulative = np.asarray(cumulative).astype(np.int64)
    return np.diff(cumulative, prepend=0, axis=-1) / cumulative[..., -1:]


def probabilities(masses):
    """The probabilities with which ``sample`` draws each symbol of a large alphabet: of its block, and within it."""
    masses = np.asarray(masses)
    size = int(np.ceil(np.sqrt(masses.size)))
    blocks = np.pad(masses, (0, -masses.size % size)).reshape(-1, size)
    of_block = widths(distributions._cumulative(jnp.sum(blocks, axis=-1)[None]))[0]
    within = widths(distributions._cumulative(jnp.asarray(blocks)))
    return (of_block[:, None] * within).ravel()[: masses.size]


@pytest.mark.parametrize("kind", ["uniform", "heavy", "shuffled"])
def test_every_cell_of_a_large_alphabet_has_its_probability(kind, dtype):
    p = input_distribution(kind, LARGEST).astype(dtype)
    np.testing.assert_allclose(probabilities(p), p / p.sum(dtype=np.float64), rtol=1e-3)


@pytest.mark.parametrize("along_x", [True, False])
@pytest.mark.parametrize("kind", ["uniform", "heavy"])
def test_the_first_the_middle_and_the_last_cells_are_drawn_as_often_as_they_should(kind, along_x):
    size, num_samples = 786_432, 2**21
    p = input_distribution(kind, size).astype(np.float32)
    joint = p[:, None] if along_x else p[None]
    x, y = isjax.sample(jax.random.key(3), joint, num_samples)
    counts = np.bincount(x if along_x else y, minlength=size)
    for cells in (slice(0, 1000), slice(size // 2, size // 2 + 1000), slice(size - 1000, size), slice(size - 10, size)):
        expected = num_samples * float(p[cells].sum(dtype=np.float64))
        assert abs(counts[cells].sum() - expected) < 4.5 * expected**0.5


def test_no_empty_cell_of_a_large_alphabet_is_drawn():
    rng = np.random.default_rng(2)
    p = rng.random(5000) * (rng.random(5000) < 0.3)
    p[:100] = p[-100:] = 0
    joint = np.stack([p, np.roll(p, 2500)])[:, :, None] / (2 * p.sum())
    x, _ = isjax.sample(jax.random.key(4), joint.reshape(-1, 1).astype(np.float32), 100_000)
    assert (joint.reshape(-1)[np.asarray(x)] > 0).all()
    x, y = isjax.sample(jax.random.key(4), joint[..., 0].astype(np.float32), 100_000)
    assert (joint[np.asarray(x), np.asarray(y), 0] > 0).all()


def test_a_joint_that_cannot_be_sampled():
    for wrong, message in (
        ([[0.5, np.nan]], r"joint must be finite, got nan at \[0, 1\]"),
        ([[1.5, -0.5]], r"joint must not be negative, got -0.5 at \[0, 1\]"),
        ([[0.0, 0.0]], "joint sums to 0, not 1"),
    ):
        joint = np.array(wrong, np.float32)
        with pytest.raises(ValueError, match=f"^{message}"):
            isjax.sample(jax.random.key(0), joint, 3)
        x, y = jitted(isjax.sample, num_samples=3)(jax.random.key(0), joint)
        assert x.tolist() == y.tolist() == [-1, -1, -1]


def test_the_high_word_of_a_product_is_exact():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 2**32, (2, 10_000), dtype=np.uint64)
    a[:2], b[:2] = 2**32 - 1, (2**32 - 1, 0)
    found = distributions._multiply_high(jnp.asarray(a, jnp.uint32), jnp.asarray(b, jnp.uint32))
    np.testing.assert_array_equal(np.asarray(found, np.uint64), a * b >> np.uint64(32))
