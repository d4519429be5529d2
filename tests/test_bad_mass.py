"""What comes in is checked: masses that are no distribution are refused by name, and NaN gives NaN."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import isjax
from tests.cases import BRANCHES, MEASURES, Case
from tests.helpers import jitted

pytestmark = pytest.mark.fast


def masses_of(case: Case, seed=3):
    """The arrays of one case, in float32, with an empty cell in each distribution."""
    arrays = [a[0].copy() for a in case.draw(seed, 1, smallest=1e-2)]
    for array in arrays:
        if array.dtype.kind == "f":
            cells = array if case.rows and array is arrays[-1] else array.reshape(1, -1)
            cells[..., 0] = 0
            cells /= cells.sum(-1, keepdims=True)
    return arrays


def floats(arrays):
    return [i for i, array in enumerate(arrays) if array.dtype.kind == "f"]


def with_change(arrays, i, change):
    return [change(a.copy()) if j == i else a for j, a in enumerate(arrays)]


# --- NaN in, NaN out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MEASURES, ids=str)
def test_nan_in_any_cell_gives_nan(case):
    arrays = masses_of(case)
    batches = []
    for i in floats(arrays):
        for cell in range(arrays[i].size):
            changed = arrays[i].copy()
            changed.flat[cell] = np.nan
            batches.append([changed if j == i else a for j, a in enumerate(arrays)])
    stacked = [np.stack(a) for a in zip(*batches, strict=True)]
    values = np.asarray(jax.jit(jax.vmap(case.measure))(*stacked)).reshape(len(batches), -1)
    assert np.isnan(values).any(axis=1).all()
    assert np.isnan(case.measure(*batches[-1])).any()  # eagerly, NaN passes the checks


@pytest.mark.parametrize("order", [0, 0.5, 0.9, 1, 2, np.inf])
@pytest.mark.parametrize("entropy", [isjax.renyi_entropy, isjax.tsallis_entropy])
def test_traced_negative_masses_have_no_entropy(entropy, order):
    negative = jnp.array([0.75, 0.5, -0.25])
    assert np.isnan(jitted(entropy, order=order)(negative))


def test_the_parts_of_a_risk_are_nan_where_the_decoder_is():
    joint, log_decoder = jnp.array([[0.5, 0.5], [0.0, 0.0]]), jnp.log(jnp.full((2, 2), 0.5))
    for cell in range(4):
        broken = log_decoder.at[cell // 2, cell % 2].set(jnp.nan)
        assert np.isnan(isjax.risk_decomposition(joint, broken).risk)


def test_nan_has_no_sufficient_encoder_and_is_not_sufficient():
    joint = jnp.array([[0.25, 0.25], [jnp.nan, 0.25]])
    assert not isjax.is_sufficient(joint, jnp.array([0, 0]))
    assert isjax.minimal_sufficient_encoder(joint).tolist() == [-1, -1]


# --- what is no distribution is refused ---------------------------------------------------------------------------


def _negative(a):
    a.flat[0] -= 0.5
    a.flat[1] += 0.5
    return a


BAD = {
    "negative": (_negative, "must not be negative, got -0.[345]"),
    "times 100": (lambda a: 100 * a, "sums to 100"),
    "one per cent above": (lambda a: np.float32(1.01) * a, r"sums to 1\.01"),
    "one per cent below": (lambda a: np.float32(0.99) * a, r"sums to 0\.99"),
    "nothing": (lambda a: 0 * a, "sums to 0"),
    "infinite": (lambda a: a / np.float32(0), "must be finite, got inf"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("case", BRANCHES, ids=str)
def test_every_measure_refuses_every_bad_mass(case, bad):
    change, message = BAD[bad]
    arrays = masses_of(case)
    for i in floats(arrays):
        with np.errstate(all="ignore"):
            broken = with_change(arrays, i, change)
            if bad == "infinite":
                broken[i] = np.nan_to_num(broken[i], nan=0, posinf=np.inf)
        with pytest.raises(ValueError, match=rf"^(p|q|joint|encoder) {message}"):
            case.measure(*broken)
        jax.eval_shape(case.measure, *broken)  # under a trace nothing is checked


JOINT = np.float32([[0.5, 0.0], [0.0, 0.25], [0.125, 0.125]])


def test_messages_say_what_to_do():
    for wrong, message in (
        (JOINT * 200, r"^joint sums to 200, not 1: for counts use isjax.empirical_joint or isjax.normalise$"),
        (JOINT / JOINT.sum(1, keepdims=True), r"^joint sums to 3, not 1: its rows do, .* isjax.joint_distribution"),
        (np.stack([JOINT, JOINT / 2]), r"^joint sums to 0.5 at \[1\], not 1"),
        (JOINT + 1e-3, r"^joint sums to 1.006, not 1"),
    ):
        with pytest.raises(ValueError, match=message):
            isjax.mutual_information(wrong)
    logits = np.float32([[2.0, -1.0], [0.5, 0.5], [1.0, 3.0]])
    with pytest.raises(ValueError, match=r"^encoder must not be negative, got -1 at \[0, 1\]: .*jax.nn.softmax"):
        isjax.is_sufficient(JOINT, logits)
    with pytest.raises(ValueError, match=r"^encoder sums to 1.4 at \[1\], not 1: isjax.normalise\(encoder, axis=-1\)"):
        isjax.mutual_information_loss(JOINT, np.float32([[0.5, 0.5], [0.7, 0.7], [1, 0]]))
    with pytest.raises(ValueError, match=r"^log_decoder must hold log-probabilities, .*jax.nn.log_softmax of logits"):
        isjax.risk_decomposition(JOINT, logits)
    with pytest.raises(ValueError, match=r"^log_decoder must hold log-probabilities, .*jnp.log of probabilities"):
        isjax.risk_decomposition(JOINT, np.full((3, 2), 0.5, "f4"))


REFUSES = {
    "marginal_x": lambda j: isjax.marginal_x(j),
    "conditional_x_given_y": lambda j: isjax.conditional_x_given_y(j),
    "pushforward": lambda j: isjax.pushforward(j, np.array([0, 1, 1])),
    "sample": lambda j: isjax.sample(jax.random.key(0), j, 3),
    "minimal_sufficient_encoder": lambda j: isjax.minimal_sufficient_encoder(j),
    "layerwise_loss": lambda j: isjax.layerwise_loss(j, np.array([[0, 1, 1]])),
    "sufficient_projection": lambda j: isjax.sufficient_projection(j, np.array([0, 1, 1])),
    "optimal_quantizer": lambda j: isjax.optimal_quantizer(j, num_codes=2),
    "kl_means_quantizer": lambda j: isjax.kl_means_quantizer(jax.random.key(0), j, num_codes=2),
    "information_bottleneck": lambda j: isjax.information_bottleneck(jax.random.key(0), j, num_codes=2, beta=2.0),
    "iterative_proportional_fitting": lambda j: isjax.iterative_proportional_fitting(j, [np.full(2, 0.5, "f4")], [1]),
    "Problem in a sweep": lambda j: isjax.sweep(
        jax.random.key(0),
        [isjax.Problem(j, np.arange(3), np.eye(3, dtype="f4"))],
        isjax.SweepSpec(lengths=(8,), num_steps=16),
    ),
}


@pytest.mark.parametrize("name", REFUSES)
def test_everything_that_takes_a_joint_refuses_one_times_3(name):
    with pytest.raises(ValueError, match=r"^(joint|reference) sums to 3, not 1"):
        REFUSES[name](3 * JOINT)
    with pytest.raises(ValueError, match=r"^(joint|reference) must not be negative"):
        REFUSES[name](JOINT - np.float32([[0.5, -0.5], [0.5, -0.5], [0, 0]]))


# --- what is normalised in its own dtype is accepted --------------------------------------------------------------


def _kinds(num_cells):
    rng = np.random.default_rng(4)
    yield np.full(num_cells, 1 / 3)
    yield rng.random(num_cells)
    yield 1 / np.arange(1, num_cells + 1)
    yield np.concatenate([[100.0 * num_cells], np.ones(num_cells - 1)])


@pytest.mark.parametrize("num_cells", [3, 1000, 3 * 2**18, 2**24])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["f4", "bf16"])
def test_masses_normalised_in_their_own_dtype_are_distributions(dtype, num_cells):
    for mass in _kinds(num_cells):
        mass = jnp.asarray(mass, dtype)
        p = mass / jnp.sum(mass)
        more = 1.02 * p
        jax.eval_shape(lambda p=p: isjax.entropy(p))  # the values are at hand, and nothing is computed
        with pytest.raises(ValueError, match="sums to"):
            jax.eval_shape(lambda p=more: isjax.entropy(p))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_per_cent_is_refused_in_every_dtype(dtype):
    with jax.enable_x64(dtype == "float64"):
        for off in (0.99, 1.01):
            with pytest.raises(ValueError, match=r"^p sums to"):
                isjax.entropy(np.full(8, off / 8, dtype))
        isjax.entropy(np.full(3, np.float32(1) / np.float32(3)).astype(dtype))  # widened


# --- normalise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"])
def test_counts_of_any_dtype_are_normalised(dtype):
    counts = np.array([[100, 0], [50, 100]], dtype)
    np.testing.assert_allclose(isjax.normalise(counts), counts / 250, rtol=1e-6)
    np.testing.assert_allclose(isjax.normalise(counts, axis=-1), [[1, 0], [1 / 3, 2 / 3]], rtol=1e-6)
    np.testing.assert_allclose(isjax.normalise(counts, axis=np.int64(0)), [[2 / 3, 0], [1 / 3, 1]], rtol=1e-6)
    if dtype in ("int64", "uint64"):
        np.testing.assert_allclose(isjax.normalise(counts * 2**40), counts / 250, rtol=1e-6)
    isjax.check_distribution(isjax.normalise(counts))


def test_what_cannot_be_normalised():
    for wrong, error, message in (
        ([1, -2], ValueError, "counts_or_mass must be finite and not negative, got -2"),
        ([0.0, np.inf], ValueError, "counts_or_mass must be finite and not negative, got inf"),
        ([0, 0], ValueError, "counts_or_mass has no mass, so it gives no distribution"),
        ([True, False], TypeError, "counts_or_mass must hold integers or floating-point numbers, got dtype bool"),
    ):
        with pytest.raises(error, match=f"^{message}"):
            isjax.normalise(np.array(wrong))
    with pytest.raises(ValueError, match=r"counts_or_mass has no mass at \[1\]"):
        isjax.normalise(np.array([[1, 2], [0, 0]]), axis=-1)
    assert np.isnan(isjax.normalise(np.array([1.0, np.nan]))).all()
    assert jax.jit(isjax.normalise)(jnp.zeros(4)).tolist() == [0.25] * 4
