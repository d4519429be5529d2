"""Intervals by inverting the test: against a brute force, as theorems, and by simulation."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import isjax
from isjax.estimation import _tilting
from isjax.estimation.inversion import invert, least_num_draws
from tests.helpers import new_programs, refused

KEY = jax.random.key(0)
SHAPE, NUM = (6, 3, 2), 60
OPTIONS = {"shape": SHAPE, "num_draws": 99}
interval_of = functools.partial(isjax.loss_interval, **OPTIONS)


def sample(seed, strength=1.0, num=NUM):
    """X uniform over six symbols, of which the code is the parity."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 3))[np.arange(6) % 2] + strength * rng.normal(size=(6, 3))
    x = rng.integers(0, 6, num)
    y = (scipy.special.softmax(logits, axis=1).cumsum(1)[x, :-1] < rng.random((num, 1))).sum(1)
    return x, y, x % 2


def table_of(x, y, u):
    """Counts of the pairs (x, u) that occur, and their codes."""
    counts = np.zeros((12, 3), np.float32)
    np.add.at(counts, (6 * u + x, y), 1)
    return counts, np.repeat([0, 1], 6)


# --- a brute force in numpy -----------------------------------------------------------------------------------------


def likeliest(counts, means):
    """The concentration of Dirichlet-multinomial rows, by scipy's masses over the grid of the docstring."""
    grid = 64 * 2 ** -np.linspace(0, 10, 31)

    def log_likelihood(a):
        return sum(
            scipy.stats.dirichlet_multinomial.logpmf(row[mean > 0].astype(int), a * mean[mean > 0], int(row.sum()))
            for row, mean in zip(counts, means, strict=True)
        )

    return grid[np.argmax([log_likelihood(a) for a in grid])]


def family(counts, codes):
    """Rows n(x), their log r and p̃, of the rows that occur."""
    of_codes = np.stack([counts[codes == u].sum(0) for u in range(2)])
    of_all = counts.sum(0) / counts.sum()
    b = likeliest(of_codes, [of_all, of_all])
    base = ((of_codes + b * of_all) / (of_codes.sum(1, keepdims=True) + b))[codes]
    a = likeliest(counts, base) / 3
    logs = np.log((counts + a * base) / ((counts.sum(1, keepdims=True) + a) * base))
    return base, logs


def plug_in(counts, codes):
    """Loss of tables ``[..., row, y]``."""
    xlogx = scipy.special.xlogy(counts, counts)
    of_codes = np.stack([counts[..., codes == u, :].sum(-2) for u in range(2)], -2)
    total, of_row = counts.sum((-2, -1)), counts.sum(-1)
    cells = xlogx.sum((-2, -1)) - scipy.special.xlogy(of_row, of_row).sum(-1)
    margins = scipy.special.xlogy(of_codes, of_codes).sum((-2, -1))
    of_code = of_codes.sum(-1)
    return (cells - margins + scipy.special.xlogy(of_code, of_code).sum(-1)) / total


def exact(t, counts, codes, base, logs):
    """L(t), by entropies and the definition of χ²."""
    rows, totals = base * np.exp(t * logs), counts.sum(1)
    rows /= rows.sum(1, keepdims=True)
    total, loss, squares = totals.sum(), 0.0, 0.0
    for u in range(2):
        share = totals[codes == u] / totals[codes == u].sum()
        mixture = share @ rows[codes == u]
        divergences = (rows[codes == u] * np.log(rows[codes == u] / mixture)).sum(1)
        loss += totals[codes == u] @ divergences / total
        squares += share @ ((rows[codes == u] - mixture) ** 2 / mixture).sum(1)
    return loss + squares / (2 * total), rows


def test_the_interval_is_that_of_a_brute_force():
    """Its limits, in L(t), are where a test by 4000 draws of numpy's multinomial is at its level, to its own error."""
    x, y, u = sample(1)
    counts, codes = table_of(x, y, u)
    occurs = counts.sum(1) > 0
    counts, codes = counts[occurs].astype(float), codes[occurs]
    base, logs = family(counts, codes)
    table = _tilting.Table.of(jnp.asarray(counts, jnp.float32), jnp.asarray(codes))
    interval = isjax.loss_interval(KEY, x, y, u, shape=SHAPE, num_draws=1999)
    of_table = jax.jit(lambda t: _tilting.exact_loss(t, table, _tilting.log_ratios(table))[0])
    rng, observed = np.random.default_rng(0), plug_in(counts, codes)
    tilts = np.linspace(0, 12, 61)
    losses, means, shares_above, shares_below = [], [], [], []
    for t in tilts:
        loss, rows = exact(t, counts, codes, base, logs)
        drawn = np.stack([rng.multinomial(int(n), row, 4000) for n, row in zip(counts.sum(1), rows, strict=True)], 1)
        drawn = plug_in(drawn, codes)
        losses.append(loss)
        means.append(drawn.mean())
        shares_above.append((drawn >= observed - 1e-9).mean())
        shares_below.append((drawn <= observed + 1e-9).mean())
        np.testing.assert_allclose(of_table(jnp.float32(t)), loss if t else 0, rtol=1e-4, atol=1e-6)
    losses[0] = 0
    np.testing.assert_allclose(interval.estimate, np.interp(observed, means, losses), atol=0.012)
    low, high = np.interp(0.025, shares_above, losses), np.interp(-0.025, -np.array(shares_below), losses)
    if low == 0:
        assert interval.low == 0
    assert 0 <= float(low - interval.low) < 0.03  # wider by what n(x) adds
    assert 0 <= float(interval.high - high) < 0.03


# --- theorems -------------------------------------------------------------------------------------------------------


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, 0, None, None))
def at_zero(key, counts, codes, confidence):
    """The interval, and the p-value of the test at t = 0, from the same draws."""
    table = _tilting.Table.of(counts, codes)
    drawn = _tilting.drawn_losses(
        jax.random.split(key, 1)[0], table, _tilting.log_ratios(table), jnp.zeros(12, counts.dtype), 99
    )
    observed = _tilting.observed_loss(table)
    p_value = (1 + jnp.sum(drawn[0] >= observed - 1e-4)) / 100
    return invert(key, counts, codes, confidence, 99), p_value


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_the_lower_end_is_zero_just_where_the_test_does_not_reject(confidence):
    tables = [table_of(*sample(seed, strength)) for seed in range(40) for strength in (0.0, 0.6)]
    counts = jnp.stack([jnp.asarray(counts) for counts, _ in tables])
    interval, p_value = at_zero(jax.random.split(KEY, 80), counts, jnp.asarray(tables[0][1]), confidence)
    rejected = np.asarray(p_value) <= (1 - confidence) / 2 + 1e-6
    np.testing.assert_array_equal(np.asarray(interval.low) > 0, rejected)
    assert 0 < rejected.sum() < 80
    assert (interval.low <= interval.estimate).all()
    assert (interval.estimate <= interval.high).all()


def test_names_of_symbols_change_nothing():
    x, y, u = sample(2)
    expected = interval_of(KEY, x, y, u)
    rng = np.random.default_rng(0)
    for _ in range(3):
        renamed = (rng.permutation(size)[s] for s, size in zip((x, y, u), SHAPE, strict=True))
        np.testing.assert_allclose(interval_of(KEY, *renamed), expected, rtol=1e-4, atol=1e-6)
    order = rng.permutation(NUM)
    np.testing.assert_allclose(interval_of(KEY, x[order], y[order], u[order]), expected, rtol=1e-5)


def test_symbols_that_do_not_occur_change_nothing():
    x, y, u = sample(3)
    larger = isjax.loss_interval(KEY, 5 * x, 2 * y, 7 * u, shape=(30, 6, 14), num_draws=99)
    np.testing.assert_allclose(larger, interval_of(KEY, x, y, u), rtol=1e-4, atol=1e-6)


def test_a_constant_code_gives_the_information_and_the_input_as_its_code_nothing():
    x, y, _ = sample(4, 2.0)
    whole = interval_of(KEY, x, y, np.zeros_like(x))
    plug_in = isjax.estimate_information_loss(x, y, np.zeros_like(x), shape=SHAPE, method="plug_in")
    assert 0 < whole.low < whole.estimate < plug_in  # which is too large
    nothing = isjax.loss_interval(KEY, x, y, x, shape=(6, 3, 6), num_draws=99)
    np.testing.assert_allclose(nothing, 0, atol=1e-12)


def test_a_code_need_not_be_a_function_of_the_input():
    x, y, _ = sample(5)
    u = np.random.default_rng(0).integers(0, 2, NUM)
    interval = interval_of(KEY, x, y, u)
    assert 0 <= interval.low <= interval.estimate <= interval.high


def test_a_table_without_any_dependence_still_has_an_upper_end():
    x, y = np.repeat([0, 1], 20), np.tile([0, 1], 20)
    interval = isjax.loss_interval(KEY, x, y, np.zeros_like(x), shape=(2, 2, 1), num_draws=99)
    assert interval.low == interval.estimate == 0
    assert 0.01 < interval.high < 0.3


def test_small_losses_of_large_samples_are_resolved():
    """Ten million samples and 3.2 × 10⁻⁷ nats, in float32: N Î is 3.2, its mean under the model 0.5 more than N L."""
    counts = jnp.array([[2_502_000, 2_498_000], [2_498_000, 2_502_000]], jnp.float32)
    interval = jax.jit(invert, static_argnums=4)(KEY, counts, jnp.zeros(2, int), 0.95, 499)
    np.testing.assert_allclose(interval.estimate, 2.7e-7, rtol=0.1)
    np.testing.assert_allclose(interval.high, (math.sqrt(3.2) + 1.96 / math.sqrt(2)) ** 2 / 1e7, rtol=0.15)
    assert 0 < interval.low < 5e-8


def test_a_certain_target_has_a_loss_up_to_its_entropy():
    x = np.arange(200) % 4
    interval = isjax.loss_interval(KEY, x, x % 2, x // 2, shape=(4, 2, 2), num_draws=99)
    assert 0.55 < interval.low < interval.estimate < math.log(2) + 0.02
    assert interval.high >= math.log(2) - 1e-3


def test_in_double_precision_as_in_single(dtype):
    interval = interval_of(KEY, *sample(6))
    assert {end.dtype.name for end in interval} == {dtype}
    with jax.enable_x64(dtype == "float32"):  # the other one, whose draws differ
        other = interval_of(KEY, *sample(6))
    np.testing.assert_allclose(interval, other, atol=0.05)


def test_a_batch_is_a_loop():
    batch = [np.stack(parts) for parts in zip(*(sample(seed) for seed in range(3)), strict=True)]
    keys = jax.random.split(KEY, 3)
    mapped = jax.vmap(interval_of)(keys, *batch)
    for i in range(3):
        one = interval_of(keys[i], *(part[i] for part in batch))
        np.testing.assert_allclose([end[i] for end in mapped], one, rtol=1e-4, atol=1e-6)


def test_a_second_call_compiles_nothing():
    interval_of(KEY, *sample(7))
    with new_programs() as events:
        jax.block_until_ready(interval_of(jax.random.key(1), *sample(8), confidence=0.9))
    assert not [event for event in events if event.startswith("/jax/core/compile/")]


def test_traced_symbols_outside_their_alphabets_give_nan():
    x, y, u = sample(9)
    assert np.isnan(jax.jit(interval_of)(KEY, np.where(x == 1, 6, x), y, u)).all()


def test_too_few_draws_are_refused():
    x, y, u = sample(10)
    message = "num_draws must be at least 39, got 38"
    refused(ValueError, message, isjax.loss_interval, KEY, x, y, u, shape=SHAPE, num_draws=38)
    assert [least_num_draws(c) for c in (0.5, 0.9, 0.95, 0.99)] == [3, 19, 39, 199]


# --- draws ----------------------------------------------------------------------------------------------------------

BINOMIALS = [(0, 0.3), (1, 0.5), (5, 0.0), (5, 1.0), (20, 0.1), (40, 0.6), (1000, 0.004), (1000, 0.98), (100, 0.3)]


def test_binomials_invert_the_distribution_function(dtype):
    """Of evenly spaced uniform numbers each outcome gets its share, or nearly so if drawn by the expansion."""
    num = 2**14
    uniform = (np.arange(num) + 0.5).astype(dtype) / num
    for trials, share in BINOMIALS:
        drawn = jax.jit(_tilting.binomial)(uniform, jnp.full(num, trials, dtype), jnp.full(num, share, dtype))
        found = np.bincount(np.asarray(drawn).astype(int), minlength=trials + 1) / num
        chances = scipy.stats.binom.pmf(np.arange(trials + 1), trials, share)
        assert np.abs(found - chances).sum() / 2 < (2e-3 if trials * share * (1 - share) > 6 else 3e-4)
        assert (np.diff(drawn) >= 0).all()


@pytest.mark.parametrize("total", [30, 200], ids=["sample by sample", "cell by cell"])
def test_rows_are_multinomial(total):
    """Means and covariances of 4000 draws, to four of their standard errors."""
    rows = np.array([[0.5, 0.3, 0.15, 0.05], [0.02, 0.9, 0.04, 0.04]], np.float32)
    draw = _tilting._drawn_by_sample if total <= 64 else _tilting._drawn_by_cell
    drawn = np.asarray(jax.jit(draw, static_argnums=3)(KEY, jnp.asarray(rows), jnp.float32(total), 4000))
    assert (drawn.sum(0) == total).all()
    assert (drawn >= 0).all()
    for i, row in enumerate(rows):
        deviation = np.sqrt(total * row * (1 - row))
        np.testing.assert_allclose(drawn[:, i].mean(-1), total * row, atol=(4 * deviation / math.sqrt(4000)).max())
        covariance = total * (np.diag(row) - np.outer(row, row))
        np.testing.assert_allclose(np.cov(drawn[:, i]), covariance, atol=4 * (deviation**2).max() / math.sqrt(2000))


# --- coverage -------------------------------------------------------------------------------------------------------


@functools.cache
def simulated(strength, num=120):
    """Intervals of 60 samples each of (6, 3, 2), and the loss."""
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(2, 3))[np.arange(6) % 2] + strength * rng.normal(size=(6, 3))
    joint = jnp.asarray(scipy.special.softmax(logits, axis=1) / 6, jnp.float32)

    def one(key):
        of_sample, of_interval = jax.random.split(key)
        x, y = isjax.sample(of_sample, joint, NUM)
        return interval_of(of_interval, x, y, x % 2)

    intervals = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(5), num))
    loss = float(isjax.mutual_information_loss(joint, np.arange(6) % 2, num_codes=2))
    return jax.device_get(intervals), loss


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_intervals_cover_and_estimates_are_right_on_average(strength):
    """Ten rows an input: at least 0.95 − 3 √(0.95 · 0.05/120) of 120 intervals cover."""
    intervals, loss = simulated(strength)
    covered = (intervals.low <= loss + 1e-6) & (loss <= intervals.high + 1e-6)
    assert covered.mean() >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 120)
    if strength:
        assert abs(intervals.estimate.mean() - loss) < 3.5 * intervals.estimate.std() / math.sqrt(120)
        assert intervals.high.mean() - intervals.low.mean() < 0.45
    else:
        assert 0.4 < (intervals.estimate == 0).mean() < 0.75
