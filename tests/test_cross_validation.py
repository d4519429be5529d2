"""Cross-validation: no row is learned from where it is held out, samples are compared row by row, and it agrees with
the exact loss where that is known."""

import dataclasses
import functools
import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import isjax
from isjax import cross_validation as cv
from isjax import training
from isjax.sweeps import all_devices

KEY = jax.random.key(3)
SPEC = isjax.SweepSpec(hidden=((6,),), lengths=(20, math.inf), num_seeds=2, num_steps=30, num_evals=4)
NUM_ROWS = 61


@functools.cache
def rows(num_rows=NUM_ROWS, dtype=np.float32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 3)).astype(dtype)
    return x, ((x[:, 0] > 0) + 0 * (x[:, 1] > 0)).astype(int)


def cross_validate(x, y, spec=SPEC, **options):
    return isjax.cross_validate(KEY, {"x": isjax.Sample(x, y)}, spec, **options)


@pytest.fixture(scope="module")
def found():
    x, y = rows()
    samples = {"all": isjax.Sample(x, y), "two": isjax.Sample(x[:, 1:], y), "one": isjax.Sample(x[:, :1], y)}
    return isjax.cross_validate(KEY, samples, SPEC)


# -- folds -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_folds", [2, 5, 7])
@pytest.mark.parametrize("num_rows", [60, 61, 64])
def test_folds_are_equal_in_size_and_in_shares_of_classes(num_rows, num_folds):
    targets = jnp.asarray(np.random.default_rng(1).integers(0, 3, num_rows))
    folds = cv.draw_folds(KEY, targets, num_seeds=3, num_folds=num_folds)
    assert len({np.asarray(fold).tobytes() for fold in folds.fold}) == 3
    for fold in np.asarray(folds.fold):
        assert np.ptp(np.bincount(fold, minlength=num_folds)) <= 1
        for k in range(3):
            assert np.ptp(np.bincount(fold[np.asarray(targets) == k], minlength=num_folds)) <= 1


def test_a_fold_comes_last_in_the_order_that_all_folds_share():
    folds = jax.device_get(cv.draw_folds(KEY, jnp.arange(17) % 2, num_seeds=2, num_folds=4))
    for fold, order, place in zip(*folds, strict=True):
        for k in range(4):
            is_held_out = fold[order[k]] == k
            assert sorted(order[k]) == list(range(17))
            assert (np.diff(is_held_out.astype(int)) >= 0).all()
            others = [[row for row in order[j] if fold[row] not in (0, k)] for j in (0, k)]
            assert others[0] == others[1]
        for row in range(17):
            assert order[fold[row], place[row]] == row


# -- what a learner sees -----------------------------------------------------------------------------------------------


def test_a_row_says_nothing_of_the_others_that_are_held_out_with_it():
    x, y = rows()
    before = cross_validate(jnp.asarray(x), y)
    for row in (0, 7):
        changed = x.copy()
        changed[row] += 3
        after = cross_validate(jnp.asarray(changed), y)
        for seed, fold in enumerate(np.asarray(before.fold)):
            together = (fold == fold[row]) & (np.arange(NUM_ROWS) != row)
            np.testing.assert_array_equal(after.row_loss[..., seed, together], before.row_loss[..., seed, together])
            elsewhere = fold != fold[row]
            assert (
                np.asarray(after.row_loss[..., -1, seed, elsewhere] != before.row_loss[..., -1, seed, elsewhere])
            ).any()


def test_a_learner_of_n_rows_sees_no_others():
    x, y = rows()
    before, folds = cross_validate(jnp.asarray(x), y), cv.draw_folds(KEY, jnp.asarray(y), num_seeds=2, num_folds=5)
    for fold in range(5):
        beyond = np.asarray(folds.order[0, fold, 20:])
        changed = x.copy()
        changed[beyond[np.asarray(folds.fold[0])[beyond] != fold]] += 3
        after, held_out = cross_validate(jnp.asarray(changed), y), np.asarray(folds.fold[0]) == fold
        np.testing.assert_array_equal(after.row_loss[:, :, 0, 0, held_out], before.row_loss[:, :, 0, 0, held_out])
        assert (after.row_loss[:, :, 1, 0, held_out] != before.row_loss[:, :, 1, 0, held_out]).any()


@pytest.mark.parametrize("length", [2, 12, 20, 48])
def test_a_member_is_a_network_stopped_by_a_fifth_of_its_rows(length):
    (x, y), spec = rows(), isjax.SweepSpec(hidden=((6,),), lengths=(length,), num_seeds=2, num_steps=30, num_evals=4)
    found, folds = cross_validate(x, y, spec), cv.draw_folds(KEY, jnp.asarray(y), num_seeds=2, num_folds=5)
    order, held_out = np.asarray(folds.order[1, 3]), np.flatnonzero(np.asarray(folds.fold[1]) == 3)
    first = order[:length]
    split = training.RowSplit(
        np.delete(first, np.s_[1::5]), length - len(first[1::5]), first[1::5], len(first[1::5]), held_out
    )
    key = jax.random.fold_in(jax.random.split(jax.random.fold_in(KEY, 1))[1], 3)
    config = spec.train_config("6", 32)
    learned = training.train_on_rows(
        key,
        jnp.asarray(cv.as_samples({"x": isjax.Sample(x, y)}, spec, num_folds=5).features[0]),
        jnp.asarray(y, jnp.int32),
        split,
        0.1,
        num_classes=2,
        network=isjax.MLP((6,), 2),
        config=config,
    )
    np.testing.assert_allclose(found.row_loss[0, 0, 0, 1, held_out], learned.row_loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.validation_loss[0, 0, 0, 1, 3], learned.validation_loss, rtol=1e-5)
    assert found.step[0, 0, 0, 1, 3] == learned.step


def test_a_learner_is_trained_without_a_fifth_of_its_rows_to_choose_its_step_and_then_with_all():
    x, y = rows()
    spec = isjax.SweepSpec(
        hidden=((),),
        lengths=(math.inf,),
        num_seeds=1,
        num_steps=1,
        num_evals=1,
        batch_sizes=(64,),
        learning_rates=(2.0,),
    )
    found, folds = cross_validate(x, y, spec), cv.draw_folds(KEY, jnp.asarray(y), num_seeds=1, num_folds=5)
    network = isjax.MLP((), 2)

    def after_one_step(fold, rows):
        """Probabilities of each row's class after a step of gradient descent, mixed with one more row; and without."""
        n, frequencies = len(rows), (np.bincount(y[rows], minlength=2) + 1) / (len(rows) + 2)
        given = np.clip(x, x[rows].min(0), x[rows].max(0))
        given = jnp.asarray((given - x[rows].mean(0)) / x[rows].std(0))
        key = jax.random.fold_in(jax.random.split(jax.random.fold_in(KEY, 0))[1], fold)
        params = network.init(jax.random.split(key)[0], jnp.ones((1, 3)))

        def log_q(params):
            return jax.nn.log_softmax(network.apply(params, given))[jnp.arange(NUM_ROWS), y]

        gradient = jax.grad(lambda params: -log_q(params)[rows].mean())(params)
        params = jax.tree.map(lambda p, g: p - 2.0 * g, params, gradient)
        return (n * np.exp(log_q(params)) + frequencies[y]) / (n + 1), frequencies[y]

    for fold in range(5):
        order, held_out = np.asarray(folds.order[0, fold])[:48], np.asarray(folds.fold[0]) == fold
        with_network, without = after_one_step(fold, np.delete(order, np.s_[1::5]))
        losses = [-np.log(q[order[1::5]]).mean() for q in (without, with_network)]
        assert found.step[0, 0, 0, 0, fold] == np.argmin(losses)
        np.testing.assert_allclose(found.validation_loss[0, 0, 0, 0, fold], min(losses), rtol=1e-4)
        with_network, without = after_one_step(fold, order)
        expected = (without, with_network)[np.argmin(losses)]
        np.testing.assert_allclose(
            found.row_loss[0, 0, 0, 0, held_out], -np.log(expected[held_out]), rtol=1e-4, atol=1e-5
        )
    assert (np.asarray(found.step) == 1).sum() >= 3


def test_shifting_and_scaling_a_column_changes_nothing():
    x, y = rows()
    before = cross_validate(x, y)
    for changed in (
        x.astype(float) * [1, 1e-6, 1e6] + [0, 0, 1e9],
        x.astype(float) * 1e-30,
        (x + 5).astype(float) * 1e300,
    ):
        np.testing.assert_allclose(cross_validate(changed, y).row_loss, before.row_loss, rtol=2e-2, atol=1e-3)


def test_a_constant_column_changes_nothing(found):
    x, y = rows()
    wider = np.concatenate([x, np.full((NUM_ROWS, 2), 7.0, np.float32)], axis=1)
    np.testing.assert_allclose(cross_validate(wider, y).row_loss[0], found.row_loss[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axes", [(), ("device",)])
def test_arrays_may_be_distributed_over_devices(axes):
    x, y = rows(60)
    everywhere = NamedSharding(all_devices(), PartitionSpec(*axes))
    distributed = jax.device_put((x, y), everywhere)
    chex.assert_trees_all_close(cross_validate(*distributed), cross_validate(x, y), rtol=1e-4, atol=1e-5)


def test_losses_do_not_depend_on_the_other_samples(found):
    x, y = rows()
    np.testing.assert_allclose(cross_validate(x[:, :1], y).row_loss[0], found.row_loss[2], rtol=1e-4, atol=1e-5)


def test_seeds_divide_and_train_otherwise_and_folds_start_otherwise(found):
    assert (found.fold[0] != found.fold[1]).any()
    assert np.unique(np.asarray(found.validation_loss[0, 0, 0])).size == 10


# -- what is chosen ----------------------------------------------------------------------------------------------------


def test_rates_and_batch_sizes_are_chosen_by_the_validation_rows_of_each_fold():
    x, y = rows()
    grid = {"learning_rates": (1e-6, 0.3, 1.0), "batch_sizes": (4, 16)}
    every = {
        (rate, size): cross_validate(x, y, dataclasses.replace(SPEC, learning_rates=(rate,), batch_sizes=(size,)))
        for rate in grid["learning_rates"]
        for size in grid["batch_sizes"]
    }
    found = cross_validate(x, y, dataclasses.replace(SPEC, **grid))
    losses = np.stack([np.asarray(each.validation_loss) for each in every.values()])
    np.testing.assert_allclose(found.validation_loss, losses.min(0), rtol=1e-4)
    best = losses.argmin(0)
    rates, sizes = (np.array(values)[best] for values in zip(*every, strict=True))
    np.testing.assert_allclose(found.learning_rate, rates, rtol=1e-6)
    np.testing.assert_array_equal(found.batch_size, sizes)
    of_row = np.take_along_axis(best, np.broadcast_to(np.asarray(found.fold), (1, 1, 2, 2, NUM_ROWS)), axis=-1)
    row_losses = np.stack([np.asarray(each.row_loss) for each in every.values()])
    np.testing.assert_allclose(
        found.row_loss, np.take_along_axis(row_losses, of_row[None], axis=0)[0], rtol=1e-3, atol=1e-4
    )


def test_a_learner_that_diverges_predicts_the_frequencies_of_the_classes_of_its_rows():
    x, y = rows()
    options = {"optimizer": functools.partial(optax.sgd, momentum=0.9), "learning_rates": (1e30,)}
    found = cross_validate(x, y, dataclasses.replace(SPEC, **options))
    folds = cv.draw_folds(KEY, jnp.asarray(y), num_seeds=2, num_folds=5)
    assert (np.asarray(found.step) == 0).all()
    order = np.asarray(folds.order[0, 2])[:20]
    p, held_out = (np.bincount(y[order], minlength=2) + 1) / 22, np.flatnonzero(np.asarray(folds.fold[0]) == 2)
    np.testing.assert_allclose(found.row_loss[0, 0, 0, 0, held_out], -np.log(p[y[held_out]]), rtol=1e-5)
    np.testing.assert_array_equal(found.row_accuracy[0, 0, 0, 0, held_out], y[held_out] == p.argmax())


def test_any_network_may_learn_and_one_with_codes_has_the_expected_loss():
    x, y = rows()

    class Network(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return nn.Dense(2)(nn.tanh(nn.Dense(5)(inputs)))

    networks = {"own": Network(), "codes": isjax.EncoderDecoder((5,), 3, 2), "mlp": isjax.MLP32}
    samples = {"all": isjax.Sample(x, y), "two": isjax.Sample(x[:, :2], y)}
    found = isjax.cross_validate(
        KEY, samples, isjax.SweepSpec(networks=networks, lengths=(30,), num_steps=20, num_evals=2)
    )
    assert found.row_loss.shape == (2, 3, 1, 4, NUM_ROWS)
    assert np.isfinite(found.row_loss).all()
    accuracy = np.asarray(found.row_accuracy)
    assert set(np.unique(accuracy[:, [0, 2]])) == {0, 1}
    assert ((accuracy[:, 1] >= 0) & (accuracy[:, 1] <= 1 + 1e-6)).all()


# -- what it says ------------------------------------------------------------------------------------------------------


def test_the_variance_of_a_rise_weighs_what_seeds_do_not_share(found):
    loss = np.asarray(found.row_loss, np.float64)
    rise = found.rise("all", confidence=0.9)
    for i in range(3):
        difference = loss[i, 0, 1] - loss[0, 0, 1]
        mean = difference.mean(0)
        shared = np.clip(np.cov(difference)[0, 1], 0, mean.var(ddof=1))
        width = 1.6448536 * np.sqrt((2.25 * mean.var(ddof=1) - 1.25 * shared) / NUM_ROWS)
        expected = difference.mean() + np.array([0, -width, width])
        np.testing.assert_allclose([part[i, 0, 1] for part in rise], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(rise.estimate[0], 0)
    np.testing.assert_array_equal(rise.high[0], 0)
    np.testing.assert_allclose(found.rise("two").estimate[0], -found.rise("all").estimate[1], atol=1e-6)


def test_one_seed_cannot_tell_what_seeds_share():
    x, y = rows()
    samples = {"all": isjax.Sample(x, y), "two": isjax.Sample(x[:, 1:], y)}
    found = isjax.cross_validate(
        KEY, samples, isjax.SweepSpec(hidden=((6,),), lengths=(20,), num_seeds=1, num_steps=30)
    )
    difference = np.asarray(found.row_loss[1, 0, 0, 0] - found.row_loss[0, 0, 0, 0], np.float64)
    width = 1.959964 * np.sqrt(1.625 * difference.var(ddof=1) / NUM_ROWS)
    rise = found.rise("all")
    np.testing.assert_allclose(rise.high[1, 0, 0] - rise.estimate[1, 0, 0], width, rtol=1e-4)


def test_risk_accuracy_and_codelength_are_means_of_rows(found):
    np.testing.assert_allclose(found.risk, np.asarray(found.row_loss).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, np.asarray(found.row_accuracy).mean(-1), rtol=1e-5)
    assert found.length.tolist() == [20, 48]
    expected = (20 * math.log(2) + 28 * np.asarray(found.risk)[:, :, 0]) / 48
    np.testing.assert_allclose(found.codelength, expected, rtol=1e-5)
    np.testing.assert_allclose(found.codelength_bits, expected / math.log(2), rtol=1e-5)
    p = np.bincount(rows()[1]) / NUM_ROWS
    np.testing.assert_allclose(found.target_entropy, -(p * np.log(p)).sum(), rtol=1e-5)


def test_a_shuffled_target_is_not_predicted():
    x, y = rows(300)
    found = cross_validate(
        x,
        np.random.default_rng(5).permutation(y),
        isjax.SweepSpec(hidden=((6,),), lengths=(math.inf,), num_seeds=2, num_steps=100),
    )
    np.testing.assert_allclose(found.risk.mean(), found.target_entropy, atol=0.1)
    assert (np.asarray(found.step) == 0).sum() >= 2


# -- transformations ---------------------------------------------------------------------------------------------------


def test_it_is_one_function_of_its_arrays(found):
    x, y = rows()

    def risks(key, scale, targets):
        samples = {"all": isjax.Sample(scale * jnp.asarray(x), targets)}
        return isjax.cross_validate(key, samples, SPEC, num_classes=2).row_loss

    traced = jax.jit(risks)(KEY, jnp.float32(1), jnp.asarray(y))
    np.testing.assert_allclose(traced[0], found.row_loss[0], rtol=1e-3, atol=1e-4)
    with pytest.raises(TypeError, match="targets are being traced: give num_classes"):
        jax.jit(lambda y: isjax.cross_validate(KEY, {"x": isjax.Sample(jnp.asarray(x), y)}, SPEC).risk)(jnp.asarray(y))


def test_a_result_is_a_pytree(found):
    doubled = jax.tree.map(lambda a: 2 * a, found)
    chex.assert_trees_all_close(doubled.risk, 2 * found.risk)
    assert doubled.samples == found.samples


def test_float64_stays_float64():
    x, y = rows(dtype=np.float64)
    with jax.enable_x64(True):
        found = cross_validate(x, y)
        assert found.row_loss.dtype == np.float64
        assert (found.risk[:, :, 1] < found.target_entropy).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float16, bool])
def test_features_of_any_dtype_of_numbers_are_the_same_numbers(dtype):
    _, y = rows()
    bits = np.random.default_rng(0).integers(0, 2, (NUM_ROWS, 3))
    np.testing.assert_allclose(
        cross_validate(bits.astype(dtype), y).row_loss, cross_validate(bits.astype(float), y).row_loss
    )


# -- the exact loss ----------------------------------------------------------------------------------------------------


def test_the_rise_is_the_loss_of_a_known_source():
    source = isjax.sparse_source(jax.random.key(0), num_inputs=6, num_relevant=2, num_classes=4, discrimination=0.8)
    x, y = map(np.asarray, isjax.sample(jax.random.key(3), source.joint, 6000))

    def seen(encoder):
        problem = source.problem(encoder)
        return isjax.Sample(np.asarray(problem.features)[np.asarray(problem.codes)[x]], y)

    raw = seen("identity")
    samples = {"X": raw, "sufficient": seen("sufficient"), "biased": seen("biased")}
    samples["relabelled"] = isjax.Sample(-raw.features[:, ::-1], y)
    spec = isjax.SweepSpec(
        hidden=((32,),), lengths=(math.inf,), learning_rates=(0.01,), num_seeds=2, num_steps=1500, optimizer=optax.adam
    )
    rise = isjax.cross_validate(jax.random.key(1), samples, spec).rise("X")
    estimate, low, high = (np.asarray(part)[:, 0, 0] for part in rise)
    loss = float(isjax.mutual_information_loss(source.joint, source.biased_codes))
    assert loss > 0.3
    assert low[2] - 0.02 <= loss <= high[2] + 0.02
    assert estimate[1] <= 0.005
    assert low[3] <= 0 <= high[3]
