"""Estimators against brute force, the test of sufficiency against every permutation, and both by simulation."""

import functools
import gc
import math
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import isjax
from isjax.estimation import _cells, _draws, intervals
from isjax.estimation.estimators import METHODS
from tests.helpers import equations, jitted
from tests.oracles import estimation as oracle

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)
SHAPE = (20, 2, 2)  # of twenty samples: several tests share a program


def close(dtype):
    """Differences of entropies: some units of rounding of entropies of a few nats."""
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}


def tables(seed, shape, num=60):
    """Counts from none to 10⁵, a third of the cells empty, at least one sample in each table."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.3, 2, 30, 1e5], (num, *(1,) * len(shape)))
    counts = rng.poisson(scale * rng.random((num, *shape))) * (rng.random((num, *shape)) > 1 / 3)
    counts[(slice(None), *(0,) * len(shape))] += counts.reshape(num, -1).sum(-1) == 0
    return counts


def samples(seed, shape, n, num=None):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, size, n if num is None else (num, n)) for size in shape)


# --- entropies and informations -------------------------------------------------------------------------------------


@functools.cache
def by_every_method(f, *_, **options):
    """One program for all the methods; a result for each."""
    return jax.jit(lambda *args: {m: f(*args, method=m, **options) for m in METHODS})


def test_estimates_are_what_the_literature_writes(dtype):
    of_symbols, of_pairs = tables(0, (5,)), tables(1, (3, 4))
    entropies = by_every_method(isjax.estimate_entropy, dtype)(of_symbols)
    informations = by_every_method(isjax.estimate_mutual_information, dtype)(of_pairs)
    for method in METHODS:
        assert entropies[method].dtype == informations[method].dtype == dtype
        tolerance = close(dtype)
        if method == "jackknife":  # the literature's form is a difference of numbers of 10⁶
            tolerance["atol"] = max(tolerance["atol"], 1e-9)
        np.testing.assert_allclose(entropies[method], [oracle.entropy(c, method) for c in of_symbols], **tolerance)
        expected = [oracle.mutual_information(c, method) for c in of_pairs]
        np.testing.assert_allclose(informations[method], expected, **tolerance)


@pytest.mark.parametrize(("shape", "n"), [((3, 4, 2), 40), ((20, 30, 10), 25)], ids=["table", "sorting"])
def test_estimated_loss_is_that_of_the_dense_table(shape, n, dtype):
    x, y, u = samples(2, shape, n, 12)
    u[::2] = x[::2] % shape[2]  # codes that are a function of x, and codes that are not
    losses = by_every_method(isjax.estimate_information_loss, dtype, shape=shape)(x, y, u)
    for method in METHODS:
        expected = [oracle.information_loss(*one, shape, method) for one in zip(x, y, u, strict=True)]
        np.testing.assert_allclose(losses[method], expected, **close(dtype))


def test_eagerly_and_in_bits_too():
    counts, (x, y, u) = tables(1, (3, 4), 1)[0], samples(3, (3, 4, 2), 40)
    in_bits = isjax.estimate_mutual_information(counts, method="miller_madow", base=2)
    expected = oracle.mutual_information(counts, "miller_madow") / math.log(2)
    np.testing.assert_allclose(in_bits, expected, **close("float32"))
    loss = isjax.estimate_information_loss(x, y, u, shape=(3, 4, 2), method="plug_in", base=2)
    expected = oracle.information_loss(x, y, u, (3, 4, 2), "plug_in") / math.log(2)
    np.testing.assert_allclose(loss, expected, **close("float32"))


def test_grassbergers_terms_have_their_closed_form():
    """G(1) = −γ − log 2 and G(2m) = G(2m+1) = G(1) + Σ 2/(2k−1): with one symbol, H = log n − G(n)."""
    g = -np.euler_gamma - math.log(2)
    for n in range(1, 9):
        expected = math.log(n) - (g + sum(2 / (2 * k - 1) for k in range(1, n // 2 + 1)))
        estimate = isjax.estimate_entropy(jnp.array([n, 0]), method="grassberger")
        np.testing.assert_allclose(estimate, expected, rtol=1e-6, atol=1e-6)


def test_corrections_remove_half_or_more_of_the_bias_of_the_plug_in():
    """The mean over all samples of twelve of three symbols, each with its probability."""
    p, n = np.array([0.5, 0.3, 0.2]), 12
    counts = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
    chances = scipy.stats.multinomial.pmf(counts, n, p)
    means = {m: chances @ np.asarray(h) for m, h in by_every_method(isjax.estimate_entropy, "f4")(counts).items()}
    truth = -p @ np.log(p)
    for method in ("miller_madow", "grassberger", "chao_shen"):
        assert abs(means[method] - truth) < 0.5 * (truth - means["plug_in"])


def test_plug_in_is_the_measure_of_the_empirical_distribution():
    x, y, _ = samples(4, (6, 3, 1), 50)
    codes = np.array([0, 1, 0, 1, 2, 2])
    joint = isjax.empirical_joint(x, y, shape=(6, 3))
    counts = np.round(np.asarray(joint) * 50).astype(int)
    loss = jitted(isjax.estimate_information_loss, shape=(6, 3, 3), method="plug_in")(x, y, codes[x])
    np.testing.assert_allclose(loss, isjax.mutual_information_loss(joint, codes, num_codes=3), rtol=1e-5)
    information = isjax.estimate_mutual_information(counts, method="plug_in")
    np.testing.assert_allclose(information, isjax.mutual_information(joint), rtol=1e-5)
    entropy = isjax.estimate_entropy(counts.ravel(), method="plug_in")
    np.testing.assert_allclose(entropy, isjax.entropy(joint.ravel()), rtol=1e-5)


def test_constant_code_loses_all_and_the_input_itself_nothing():
    x, y, _ = samples(5, (4, 3, 1), 60)
    everything = by_every_method(isjax.estimate_information_loss, shape=(4, 3, 1))(x, y, np.zeros(60, int))
    nothing = by_every_method(isjax.estimate_information_loss, shape=(4, 3, 4))(x, y, x)
    counts = oracle.table(x, y, np.zeros(60, int), (4, 3, 1))[:, :, 0]
    for method in METHODS:
        of_constant = oracle.entropy([60], method)  # which is zero, but not by Grassberger's
        information = oracle.mutual_information(counts, method) - of_constant
        np.testing.assert_allclose(everything[method], information, **close("float32"))
        if method != "james_stein":  # which gives mass to codes that are not the input
            np.testing.assert_allclose(nothing[method], 0, atol=1e-5)


def test_plug_in_is_zero_exactly_at_independence_and_never_negative_and_others_may_be():
    x, y = np.repeat(np.arange(3), 21), np.tile(np.repeat(np.arange(3), 7), 3)
    losses = by_every_method(isjax.estimate_information_loss, shape=(3, 3, 1))
    of_product = losses(x[None], y[None], np.zeros((1, 63), int))
    assert of_product["plug_in"] == 0
    np.testing.assert_allclose(of_product["miller_madow"], -4 / (2 * 63), rtol=1e-5)
    assert of_product["grassberger"] < 0
    x, y, u = samples(6, (3, 3, 1), 200, 500)
    many = losses(x, y, u)
    assert (many["plug_in"] >= 0).all()
    assert (many["james_stein"] >= 0).all()
    assert (many["miller_madow"] < 0).any()


def test_small_losses_are_accurate_in_float32():
    """Counts of 10⁷ and a departure of one in a thousand: 10⁻⁷ nats, whose entropies agree in seven digits."""
    counts = np.array([[2_502_000, 2_498_000], [2_498_000, 2_502_000]])
    expected = float(np.sum(counts / 1e7 * np.log(counts / 2.5e6)))
    np.testing.assert_allclose(isjax.estimate_mutual_information(counts, method="plug_in"), expected, rtol=1e-3)


def test_empty_symbols_and_names_do_not_matter():
    """A million symbols each, of which some occur: as if they had been numbered from zero."""
    x, y, u = samples(7, (8, 5, 3), 50)
    names = [np.random.default_rng(i).permutation(2**20)[:8] for i in range(3)]
    renamed = (name[s] for name, s in zip(names, (x, y, u), strict=True))
    losses = by_every_method(isjax.estimate_information_loss, shape=(2**20, 2**20, 2**20))(*renamed)
    for method in METHODS[:-1]:  # James and Stein's counts the symbols that do not occur
        np.testing.assert_allclose(
            losses[method], oracle.information_loss(x, y, u, (8, 5, 3), method), **close("float32")
        )


def test_thousand_symbols_each_never_make_a_dense_array():
    n, shape = 2000, (1000, 1000, 1000)
    measure = functools.partial(isjax.estimate_information_loss, shape=shape, method="plug_in")
    test = functools.partial(isjax.sufficiency_test, shape=shape, num_permutations=4096)
    for f, args in ((measure, ()), (test, (KEY,))):
        jaxpr = jax.make_jaxpr(f)(*args, *samples(9, shape, n))
        sizes = [math.prod(v.aval.shape) for e in equations(jaxpr.jaxpr) for v in e.outvars]
        assert max(sizes) <= 2**21


def test_batches_broadcast():
    x, y, u = samples(10, (3, 4, 2), 20, 3)
    loss = jitted(isjax.estimate_information_loss, shape=(3, 4, 2), method="plug_in")
    values = loss(x[:, None], y[None], u[0])
    assert values.shape == (3, 3)
    np.testing.assert_allclose(values[2, 1], loss(x[2], y[1], u[0]), rtol=1e-5)


def test_no_samples_and_negative_counts_give_nan():
    entropy, information = map(by_every_method, (isjax.estimate_entropy, isjax.estimate_mutual_information))
    of_none = entropy(np.array([[0, 0, 0], [3, -1, 0]])), information(np.array([[[0, 0]] * 2, [[3, -1], [1, 1]]]))
    for method in METHODS:
        nothing = (math.log(3), 0) if method == "james_stein" else (np.nan, np.nan)
        for estimate, expected in zip(of_none, nothing, strict=True):
            np.testing.assert_allclose(estimate[method], [expected, np.nan], rtol=1e-6)


@pytest.mark.parametrize("wrong", range(3))
@pytest.mark.parametrize("symbol", [-1, 20])
def test_traced_symbol_outside_its_alphabet_gives_nan(wrong, symbol):
    xyu = [s.copy() for s in samples(11, SHAPE, 20)]
    xyu[wrong][5] = symbol
    assert np.isnan(jitted(isjax.estimate_information_loss, shape=SHAPE, method="plug_in")(*xyu))
    assert np.isnan(jitted(isjax.sufficiency_test, shape=SHAPE, num_permutations=199)(KEY, *xyu)).all()


# --- draws of cells -------------------------------------------------------------------------------------------------

URNS = [(5, 7, 4), (100, 50, 30), (1000, 100_000, 5000), (40, 60, 90), (20, 20, 1)]
URNS += [(0, 5, 3), (5, 0, 3), (3, 4, 0), (3, 4, 7)]  # of which the outcome is certain


def test_hypergeometric_draws_invert_the_distribution_function(dtype):
    """Of evenly spaced uniform numbers each outcome gets its share, to within one."""
    num = 2**12
    uniform = (np.arange(num) + 0.5).astype(dtype) / num
    draw = jax.jit(jax.vmap(jax.vmap(_draws.hypergeometric, (0, None, None, None)), (None, 0, 0, 0)))
    drawn = np.asarray(draw(uniform, *np.array(URNS).T))
    for (good, bad, num_draws), of_urn in zip(URNS, drawn, strict=True):
        outcomes = np.arange(min(good, num_draws) + 1)
        chances = scipy.stats.hypergeom.pmf(outcomes, good + bad, good, num_draws)
        found = np.bincount(of_urn, minlength=len(outcomes))
        np.testing.assert_allclose(found, num * chances, atol=1.1)


# --- the test of sufficiency ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_x", [3, 300], ids=["drawn by cells", "permuted by sorting"])
def test_p_values_are_those_of_all_permutations(num_x):
    """Seven samples: the permutations' p-value tends to the share of all 7! or fewer that are as large."""
    num, num_permutations = 6, 8192
    x, y, u = samples(12, (3, 3, 2), 7, num)
    x[0], y[0], u[0] = [0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1], 0
    x[1] = u[1]
    test = functools.partial(isjax.sufficiency_test, shape=(num_x, 3, 2), num_permutations=num_permutations)
    result = jax.jit(jax.vmap(test))(jax.random.split(KEY, num), x, y, u)
    for i, one in enumerate(zip(x, y, u, strict=True)):
        expected = oracle.permutation_p_value(*one, (3, 3, 2))
        deviation = math.sqrt(expected * (1 - expected) / num_permutations)
        assert abs(result.permutation_p_value[i] - expected) <= 4 * deviation + 1 / num_permutations
        freedom = int(oracle.degrees_of_freedom(*one, (3, 3, 2)))
        assert result.degrees_of_freedom[i] == freedom
        np.testing.assert_allclose(result.statistic[i], oracle.statistic(*one, (3, 3, 2)), rtol=1e-5, atol=1e-5)
        limit = scipy.stats.chi2.sf(result.statistic[i], freedom) if freedom else 1
        np.testing.assert_allclose(result.p_value[i], limit, rtol=1e-4)


@pytest.mark.parametrize("num_x", [20, 2000], ids=["drawn by cells", "permuted by sorting"])
def test_permutations_that_change_nothing_all_count(num_x):
    """Every input once: all permutations give one statistic, in other orders of its terms."""
    x, y, u = np.arange(20), np.arange(20) % 2, np.arange(20) // 10
    shape = (num_x, *SHAPE[1:])
    result = jitted(isjax.sufficiency_test, shape=shape, num_permutations=199)(KEY, x, y, u)
    assert result.degrees_of_freedom == 18
    assert result.permutation_p_value == 1


def test_no_degrees_of_freedom_give_one():
    x, y, u = samples(13, (2, 2, 2), 20)
    for degenerate in ((x, y, x), (x, y, y), (x, np.zeros_like(y), u)):
        result = jitted(isjax.sufficiency_test, shape=SHAPE, num_permutations=199)(KEY, *degenerate)
        np.testing.assert_array_equal(result, [0, 0, 1, 1])


def test_small_expected_counts_are_warned_of_where_values_are_at_hand():
    x, y = np.tile([0, 0, 1, 1], 5), np.tile([0, 1], 10)
    test = functools.partial(isjax.sufficiency_test, shape=SHAPE, num_permutations=199)
    with pytest.warns(RuntimeWarning, match="the smallest expected count is 5, below 10: p_value"):
        eagerly = test(KEY, x, y, np.zeros_like(x))
    traced = jitted(isjax.sufficiency_test, shape=SHAPE, num_permutations=199)(KEY, x, y, np.zeros_like(x))
    np.testing.assert_allclose(eagerly, traced, rtol=1e-6, atol=1e-6)
    x, y, u = samples(16, (4, 3, 2), 60)
    counts = oracle.table(x, y, u, (4, 3, 2))
    expected = min((s.sum(1)[:, None] * s.sum(0) / s.sum()).min() for s in counts.transpose(2, 0, 1))
    smallest = _cells.smallest_expected_count(_cells.occupied_cells(*map(jnp.asarray, (x, y, u)), (4, 3, 2)))
    np.testing.assert_allclose(smallest, expected, rtol=1e-6)


# Alphabets (8, 4, 3), (16, 4, 4), (32, 8, 4) and (4, 2, 2), in one program: symbols without mass make smaller ones.
ALPHABETS = [(8, 4, 3), (16, 4, 4), (32, 8, 4), (4, 2, 2)]


def padded_models(strength):
    """For each alphabet, uniform X with code x mod |U|, p(y|x) ∝ exp(a(u, y) + ε b(x, y)); and the losses."""
    rng = np.random.default_rng(14)
    joints, codes = np.zeros((len(ALPHABETS), 32, 8), np.float32), np.zeros((len(ALPHABETS), 32), int)
    for joint, code, (num_x, num_y, num_u) in zip(joints, codes, ALPHABETS, strict=True):
        code[:num_x] = np.arange(num_x) % num_u
        logits = rng.normal(size=(num_u, num_y))[code[:num_x]] + strength * rng.normal(size=(num_x, num_y))
        mass = np.exp(logits)
        joint[:num_x, :num_y] = mass / mass.sum(1, keepdims=True) / num_x
    return joints, codes, np.asarray(isjax.mutual_information_loss(joints, codes, num_codes=4))


NUM_TESTS = 128


@jax.jit
def simulated_tests(key, joint, codes):
    def one(key):
        of_sample, of_test = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, 300)
        return isjax.sufficiency_test(of_test, x, y, codes[x], shape=(32, 8, 4), num_permutations=19)

    return jax.lax.map(jax.vmap(one), jax.random.split(key, (NUM_TESTS // 32, 32)))


def rejections(joint, codes, num):
    """Shares of ``num`` batches of tests that reject at 5 %, by permutations and by the limit."""
    results = [simulated_tests(jax.random.key(i), joint, codes) for i in range(num)]
    exact = np.mean([np.asarray(result.permutation_p_value) <= 0.0501 for result in results])
    return exact, np.mean([np.asarray(result.p_value) < 0.05 for result in results])


def test_size_at_the_null_is_nominal_and_power_is_not():
    """Of 512 tests at n = 300, 5 % reject by permutations everywhere; by the limit if expected counts are large."""
    joints, codes, losses = padded_models(0.0)
    np.testing.assert_allclose(losses, 0, atol=1e-7)
    exact, limit = np.transpose([rejections(*model, 4) for model in zip(joints, codes, strict=True)])
    assert 0.035 <= exact.mean() <= 0.065  # three standard deviations of 2048 tests, and of 512
    assert ((exact >= 0.021) & (exact <= 0.079)).all()
    assert 0.021 <= limit[3] <= 0.079
    assert limit[2] > 0.15  # expected counts of one: here the limit's size is several times the nominal one
    joints, codes, losses = padded_models(1.0)
    assert (losses > 0.04).all()
    assert min(rejections(*model, 1)[0] for model in zip(joints, codes, strict=True)) > 0.9


# --- intervals ------------------------------------------------------------------------------------------------------


def test_interval_of_a_mean_is_the_normal_one(dtype):
    rng = np.random.default_rng(15)
    data = {"a": rng.normal(size=(400, 3)).astype(dtype), "b": np.ones(400, int)}

    def mean(data):
        return jnp.mean(data["a"] * data["b"][:, None].astype(dtype), axis=0)

    interval = jax.jit(lambda key, d: isjax.bootstrap(key, mean, d, num_resamples=2000, confidence=0.9))(KEY, data)
    error = data["a"].std(0) / 20
    np.testing.assert_allclose(interval.estimate, data["a"].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose((interval.high + interval.low) / 2, interval.estimate, atol=0.1 * error.max())
    np.testing.assert_allclose((interval.high - interval.low) / 2, 1.645 * error, rtol=0.08)
    assert interval.low.dtype == dtype


def test_intervals_cover_the_loss_at_zero_and_above():
    """Samples of 300 of four inputs, two targets, two codes: nominally 95 %."""
    for strength, least in ((0.0, 0.95), (1.0, 0.9)):
        joints, codes, losses = padded_models(strength)
        covered = np.asarray(covers(KEY, joints[3], codes[3], losses[3]))
        assert covered.mean() >= least
    assert covered.mean() < 1


@jax.jit
def covers(key, joint, codes, loss):
    def one(key):
        of_sample, of_interval = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, 300)
        plug_in = functools.partial(isjax.estimate_information_loss, shape=(4, 2, 2), method="plug_in")
        interval = isjax.bootstrap(of_interval, lambda s: plug_in(*s), (x, y, codes[x]), num_resamples=99)
        return (interval.low <= loss) & (loss <= interval.high)

    return jax.lax.map(one, jax.random.split(key, 200))


def test_a_statistic_is_traced_at_its_first_call_alone_and_is_not_kept_thereafter():
    calls = []

    class Mean:
        __hash__ = None  # pyright: ignore[reportAssignmentType] — as of a dataclass that compares by value

        def __call__(self, data):
            calls.append(data)
            return jnp.mean(data)

    def mean(data):
        calls.append(data)
        return jnp.mean(data)

    data = np.arange(20, dtype=np.float32)
    first = isjax.bootstrap(KEY, mean, data, num_resamples=2)
    num_calls = len(calls)
    again = isjax.bootstrap(KEY, mean, data + 1, num_resamples=2, confidence=0.5)
    assert len(calls) == num_calls > 0
    np.testing.assert_allclose(again.estimate, first.estimate + 1)
    unhashable = isjax.bootstrap(KEY, Mean(), data, num_resamples=2)
    np.testing.assert_allclose(unhashable, first, rtol=1e-6)
    reference = weakref.ref(mean)
    del mean
    calls.clear()
    intervals._core_of.cache_clear()
    gc.collect()
    assert reference() is None


def test_counts_beyond_the_default_integers_are_counts():
    huge = np.array([3 * 10**12, 10**12])
    expected = isjax.entropy(np.array([0.75, 0.25], np.float32))
    np.testing.assert_allclose(isjax.estimate_entropy(huge, method="plug_in"), expected, rtol=1e-6)
