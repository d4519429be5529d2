"""One training run: its data, its batches, its steps, and the exact decomposition of its risk."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax import training

NETWORK = isjax.MLP((16,), num_classes=4)


@pytest.fixture(scope="module")
def source():
    return isjax.sparse_source(jax.random.key(0), num_inputs=6, num_relevant=3, num_classes=4, discrimination=0.8)


def data_of(problem, length, batch_size=32, max_length=None, seed=0):
    config = isjax.TrainConfig(num_steps=1, num_evals=1, batch_size=batch_size, max_length=max_length or length)
    samples = training.draw(jax.random.key(seed), problem.joint, config.max_length).samples
    return training._Data.of(samples, problem, jnp.asarray(length)), config


@functools.partial(jax.jit, static_argnames="config")
def batch_at(t, problem, data, config):
    batches = training._batches(jax.random.key(0), training._Inputs.of(problem), data, config)
    return batches.at(batches.prepare(t // training._STEPS_PER_DRAW), t)


@pytest.mark.parametrize("encoder", ["identity", "sufficient", "biased"])
def test_the_risk_is_the_sum_of_its_parts_and_none_is_negative(source, encoder):
    problem = source.problem(encoder)
    config = isjax.TrainConfig(num_steps=300, num_evals=7)
    trace = isjax.train(jax.random.key(1), problem, 200, 0.3, network=NETWORK, config=config)
    p, log_q = np.asarray(problem.joint, np.float64), np.asarray(trace.log_decoder, np.float64)
    direct = -np.sum(p * log_q[:, np.asarray(problem.codes)], axis=(-2, -1))
    np.testing.assert_allclose(trace.risk.risk, direct, atol=1e-5)
    assert all((np.asarray(part) >= 0).all() for part in trace.risk)
    loss = isjax.mutual_information_loss(problem.joint, problem.codes)
    np.testing.assert_allclose(trace.risk.encoder_bias, jnp.full(7, loss), atol=1e-6)
    np.testing.assert_allclose(np.exp(log_q).sum(-1), 1, atol=1e-5)


def test_the_train_loss_is_the_cross_entropy_on_the_training_data(source):
    problem = source.problem("sufficient")
    config = isjax.TrainConfig(num_steps=50, num_evals=3)
    trace = isjax.train(jax.random.key(1), problem, 77, 0.3, network=NETWORK, config=config)
    x, y = isjax.sample(jax.random.split(jax.random.key(1), 3)[0], source.joint, 77)
    log_q = np.asarray(trace.log_decoder)[:, np.asarray(problem.codes)[x], y]
    np.testing.assert_allclose(trace.train_loss, -log_q.mean(axis=1), rtol=1e-5)


def test_data_of_length_n_are_a_prefix_of_those_of_length_2n_and_do_not_depend_on_the_encoder(source):
    short, _ = data_of(source.problem("identity"), 50)
    long, _ = data_of(source.problem("identity"), 100)
    padded, _ = data_of(source.problem("identity"), 50, max_length=4096)
    encoded, _ = data_of(source.problem("sufficient"), 100)
    np.testing.assert_array_equal(short.codes, long.codes[:50])
    np.testing.assert_array_equal(short.targets, long.targets[:50])
    np.testing.assert_array_equal(short.codes, padded.codes[:50])
    np.testing.assert_array_equal(source.codes[long.codes], encoded.codes)
    np.testing.assert_array_equal(long.targets, encoded.targets)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 100, 128])
@pytest.mark.parametrize("encoder", ["identity", "biased"])
def test_fixed_batches_partition_the_data_evenly(source, length, encoder):
    problem = source.problem(encoder)  # "identity" goes sample by sample, "biased" by counts
    data, config = data_of(problem, length, max_length=130)
    num_batches = -(-length // 32)
    sizes, total = [], np.zeros((problem.features.shape[0], 4))
    for t in range(num_batches):
        rows, weights = (np.asarray(a, np.float64) for a in batch_at(t, problem, data, config))
        assert weights.sum() == pytest.approx(1, rel=1e-5)
        size = round(1 / weights[weights > 0].min()) if encoder == "identity" else None
        codes = (rows[:, None] == np.asarray(problem.features)[None]).all(-1).argmax(1)
        expected = len(range(length)[t::num_batches])  # how many an even share is
        np.add.at(total, codes, weights * (size or expected))
        sizes.append(size or expected)
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == length
    counts = np.zeros_like(total)
    np.add.at(counts, (np.asarray(data.codes)[:length], np.asarray(data.targets)[:length]), 1)
    np.testing.assert_allclose(total, counts, atol=1e-4)
    for t in range(num_batches):  # the next epoch is the same
        now, later = (batch_at(step, problem, data, config) for step in (t, t + num_batches))
        np.testing.assert_array_equal(now.weights, later.weights)


@pytest.mark.parametrize("sampling", ["fixed", "replacement"])
def test_counts_and_samples_take_the_same_step(source, sampling):
    problem = source.problem("sufficient")
    num_codes = problem.features.shape[0]
    padded = problem._replace(features=jnp.pad(problem.features, ((0, 33 - num_codes), (0, 0))))
    config = isjax.TrainConfig(num_steps=40, num_evals=4, sampling=sampling)
    assert [training._is_counted(training._Inputs.of(p), config.batch_size) for p in (problem, padded)] == [True, False]
    counted, sampled = (
        isjax.train(jax.random.key(3), p, 150, 0.2, network=NETWORK, config=config) for p in (problem, padded)
    )
    sampled = sampled._replace(log_decoder=sampled.log_decoder[:, :num_codes])
    chex.assert_trees_all_close(counted, sampled, atol=1e-5)


def test_replacement_draws_every_sample_and_only_those(source):
    problem = source.problem("identity")
    data, config = data_of(problem, 20, max_length=64)
    config = dataclasses.replace(config, sampling="replacement")
    drawn = np.concatenate([np.asarray(batch_at(t, problem, data, config).rows) for t in range(40)])
    seen = {tuple(row) for row in drawn}
    assert seen == {tuple(row) for row in np.asarray(problem.features)[np.asarray(data.codes)[:20]]}


@pytest.mark.parametrize("sampling", ["fixed", "replacement"])
def test_the_number_of_evaluations_changes_no_step(source, sampling):
    problem = source.problem("sufficient")
    often, seldom = (
        isjax.train(
            jax.random.key(3),
            problem,
            50,
            0.2,
            network=NETWORK,
            config=isjax.TrainConfig(num_steps=150, num_evals=num_evals, batch_size=8, sampling=sampling),
        )
        for num_evals in (40, 1)
    )
    np.testing.assert_allclose(often.log_decoder[-1], seldom.log_decoder[-1], atol=1e-6)


def test_no_two_steps_draw_the_same_batch(source):
    problem = source.problem("identity")
    data, config = data_of(problem, 64)
    config = dataclasses.replace(config, sampling="replacement")
    steps = range(training._STEPS_PER_DRAW - 3, training._STEPS_PER_DRAW + 3)
    assert len({np.asarray(batch_at(t, problem, data, config).rows).tobytes() for t in steps}) == 6


def test_one_step_of_gradient_descent(source):
    problem = source.problem("biased")
    config = isjax.TrainConfig(num_steps=1, num_evals=1, batch_size=4096)
    trace = isjax.train(jax.random.key(5), problem, 60, 0.5, network=NETWORK, config=config)
    key_data, key_init, _ = jax.random.split(jax.random.key(5), 3)
    x, y = isjax.sample(key_data, source.joint, 60)
    params = NETWORK.init(key_init, problem.features)

    def loss(params):
        log_q = jax.nn.log_softmax(NETWORK.apply(params, problem.features[problem.codes[x]]))
        return -jnp.mean(log_q[jnp.arange(60), y])

    params = jax.tree.map(lambda p, g: p - 0.5 * g, params, jax.grad(loss)(params))
    expected = jax.nn.log_softmax(NETWORK.apply(params, problem.features))
    np.testing.assert_allclose(trace.log_decoder[0], expected, atol=1e-5)


@pytest.mark.parametrize(("num_steps", "num_evals"), [(1, 1), (2000, 16), (5, 5), (7, 3), (10**6, 20)])
def test_evaluation_steps_run_from_the_first_to_the_last_each_once(num_steps, num_evals, transform):
    steps = np.asarray(transform(lambda n: training._evaluation_steps(n, num_evals))(jnp.asarray(num_steps)))
    assert steps.shape == (num_evals,)
    assert steps[-1] == num_steps
    assert num_evals == 1 or steps[0] == 1
    assert (np.diff(steps) > 0).all()


def test_epochs_follow_the_length(source):
    config = isjax.TrainConfig(num_epochs=3, num_evals=2, max_length=200)
    problem = source.problem("sufficient")
    for length, last in ((32, 3), (33, 6), (200, 21)):
        trace = isjax.train(jax.random.key(0), problem, length, 0.1, network=NETWORK, config=config)
        assert trace.steps.tolist() == [1, last]
        assert config.total_steps(length, config.batch_size) == last


def test_a_falling_learning_rate_ends_nearer_the_best_decoder(source):
    problem = source.problem("biased")
    finals = {}
    for schedule in ("constant", "linear", "cosine"):
        config = isjax.TrainConfig(num_steps=1500, num_evals=2, schedule=schedule)
        member = jax.vmap(lambda key, c=config: isjax.train(key, problem, 4096, 0.5, network=NETWORK, config=c))
        finals[schedule] = float(member(jax.random.split(jax.random.key(0), 4)).risk.decoder_error[:, -1].mean())
    assert finals["linear"] < 0.5 * finals["constant"]
    assert finals["cosine"] < 0.5 * finals["constant"]


def test_training_is_a_pure_function_that_maps_over_all_its_arrays(source):
    problem = source.problem("sufficient")
    config = isjax.TrainConfig(num_steps=60, num_evals=3, max_length=128)

    def member(key, length, rate):
        return isjax.train(key, problem, length, rate, network=NETWORK, config=config)

    keys, lengths, rates = jax.random.split(jax.random.key(0), 3), jnp.array([32, 64, 128]), jnp.array([0.1, 0.2, 0.3])
    mapped = jax.jit(jax.vmap(member))(keys, lengths, rates)
    for i in range(3):
        alone = member(keys[i], int(lengths[i]), float(rates[i]))
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], mapped), alone, atol=1e-5)


class Counting(isjax.MLP):
    """A network that counts how often it is traced."""

    traces = 0

    def __call__(self, inputs):
        Counting.traces += 1
        return super().__call__(inputs)


def test_a_second_call_traces_nothing(source):
    def calls(max_length, *lengths):
        config = isjax.TrainConfig(num_steps=4, num_evals=2, max_length=max_length)
        for i, length in enumerate(lengths):
            network = Counting((4,), num_classes=4)
            trace = isjax.train(jax.random.key(i), problem, length, 0.1 * (i + 1), network=network, config=config)
            assert trace.log_decoder.shape == (2, 8, 4)
            yield Counting.traces

    problem = source.problem("sufficient")
    first, same, other, bounded, *others = (*calls(None, 50, 50, 60), *calls(80, 60, 50, np.int64(3), jnp.asarray(80)))
    assert 0 < first == same < other < bounded
    assert set(others) == {bounded}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_codes_of_every_integer_type_train_alike(source, dtype):
    problem = source.problem("identity")  # its 64 codes times 4 classes do not fit in 8 bits
    config = isjax.TrainConfig(num_steps=4, num_evals=2)
    expected, narrow = (
        isjax.train(jax.random.key(1), problem._replace(codes=codes), 100, 0.1, network=NETWORK, config=config)
        for codes in (problem.codes, np.asarray(problem.codes).astype(dtype))
    )
    chex.assert_trees_all_equal(expected, narrow)


def test_double_precision_stays_double(x64):
    p_x = np.full(16, 1 / 16)
    options = {"num_inputs": 4, "num_relevant": 2, "num_classes": 4, "discrimination": 0.8}
    problem = isjax.sparse_source(jax.random.key(0), **options, input_distribution=p_x).problem("sufficient")
    config = isjax.TrainConfig(num_steps=20, num_evals=2)
    trace = isjax.train(jax.random.key(0), problem, 64, 0.1, network=NETWORK, config=config)
    assert trace.log_decoder.dtype == trace.risk.decoder_error.dtype == trace.train_loss.dtype == jnp.float64


def test_a_traced_length_outside_its_bound_gives_nan(source):
    config = isjax.TrainConfig(num_steps=5, num_evals=2, max_length=64)
    problem, key = source.problem("sufficient"), jax.random.key(0)
    train = jax.vmap(lambda n: isjax.train(key, problem, n, 0.1, network=NETWORK, config=config))
    trace = train(jnp.array([-5, 0, 1, 64, 65]))
    np.testing.assert_array_equal(np.isnan(trace.risk.risk).all(-1), [True, True, False, False, True])
    np.testing.assert_array_equal(np.isnan(trace.train_loss).any(-1), [True, True, False, False, True])
