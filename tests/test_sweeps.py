"""A sweep is all of its members at once: same numbers, one call, no retracing, every device."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

import isjax
from isjax import sweeps

sweep = jax.jit(isjax.sweep, static_argnames="mesh")

SPEC = isjax.SweepSpec(
    hidden=((8,), (160,), (6, 5)),
    lengths=(16, 100),
    batch_sizes=(8, 32),
    learning_rates=(0.1, 0.3),
    num_seeds=3,
    num_steps=40,
    num_evals=4,
)


def source_of(discrimination, seed=0):
    key = jax.random.key(seed)
    return isjax.sparse_source(key, num_inputs=6, num_relevant=3, num_classes=4, discrimination=discrimination)


def problems_of(discrimination, seed=0):
    source = source_of(discrimination, seed)
    return [source.problem(encoder) for encoder in ("identity", "sufficient", "biased")]


@pytest.fixture(scope="module")
def problems():
    return problems_of(0.8) + problems_of(0.4)


@pytest.fixture(scope="module")
def result(problems):
    return sweep(jax.random.key(1), problems, SPEC)


def test_the_axes_are_those_of_the_grid(result):
    chex.assert_tree_shape_prefix(result, (6, 3, 2, 2, 2, 3, 4))
    assert result.steps[..., -1].min() == result.steps[..., -1].max() == 40
    np.testing.assert_array_equal(result.risk, result.conditional_entropy + result.excess_risk)


def test_bias_and_entropy_are_those_of_the_problem_and_no_part_is_negative(problems, result):
    for i, problem in enumerate(problems):
        loss = isjax.mutual_information_loss(problem.joint, problem.codes)
        np.testing.assert_allclose(result.encoder_bias[i], jnp.full(result.steps.shape[1:], loss), atol=1e-6)
        h = isjax.conditional_entropy(problem.joint)
        np.testing.assert_allclose(result.conditional_entropy[i], jnp.full(result.steps.shape[1:], h), rtol=1e-5)
    assert all((np.asarray(part) >= 0).all() for part in result)
    assert np.isfinite(result.risk).all()


@pytest.mark.parametrize("member", [(0, 0, 0, 0, 0, 0), (1, 0, 1, 1, 1, 2), (2, 1, 0, 1, 0, 1), (5, 2, 1, 0, 1, 2)])
def test_a_member_is_one_training_run(problems, result, member):
    p, w, b, r, n, s = member
    config = isjax.TrainConfig(batch_size=SPEC.batch_sizes[b], num_steps=40, num_evals=4)
    network = isjax.MLP(tuple(SPEC.hidden[w]), num_classes=4)
    key = jax.random.fold_in(jax.random.key(1), s)
    trace = isjax.train(key, problems[p], SPEC.lengths[n], SPEC.learning_rates[r], network=network, config=config)
    np.testing.assert_allclose(result.decoder_error[member], trace.risk.decoder_error, atol=1e-5)
    np.testing.assert_allclose(result.train_loss[member], trace.train_loss, atol=1e-5)
    np.testing.assert_array_equal(result.steps[member], trace.steps)
    joint, codes = (np.asarray(a) for a in problems[p][:2])
    direct = -np.sum(joint * np.asarray(trace.log_decoder)[:, codes], axis=(-2, -1))
    np.testing.assert_allclose(result.risk[member], direct, atol=1e-5)


def test_a_members_numbers_do_not_depend_on_its_grid(problems, result):
    part = dataclasses.replace(SPEC, hidden=((160,),), lengths=(100,), batch_sizes=(32,), num_seeds=2)
    alone = sweep(jax.random.key(1), [problems[4]], part)
    inside = jax.tree.map(lambda a: a[4:5, 1:2, 1:2, :, 1:2, :2], result)
    chex.assert_trees_all_close(alone, inside, atol=1e-5)


def test_nothing_retraces_when_only_values_change(problems):
    traces = []

    @jax.jit
    def counted(key, problems, spec):
        traces.append(1)
        return isjax.sweep(key, problems, spec)

    spec = dataclasses.replace(SPEC, hidden=((4,),), batch_sizes=(8,), num_steps=5)
    first = counted(jax.random.key(0), problems, spec)
    other = dataclasses.replace(spec, lengths=(50, 100), learning_rates=(0.01, 0.02))
    counted(jax.random.key(0), problems, other)
    counted(jax.random.key(5), problems, spec)
    counted(jax.random.key(0), problems_of(0.6, seed=9) + problems_of(0.1, seed=8), spec)
    again = counted(jax.random.key(0), problems, spec)
    assert len(traces) == 1
    chex.assert_trees_all_equal(first, again)
    counted(jax.random.key(0), problems, dataclasses.replace(spec, lengths=(50, 120)))  # a longer longest length
    assert len(traces) == 2


def test_values_that_change_without_retracing_are_heeded(problems):
    spec = dataclasses.replace(SPEC, hidden=((4,),), batch_sizes=(8,), num_steps=5)
    for changed in (
        dataclasses.replace(spec, lengths=(50, 100), learning_rates=(0.1, 0.3)),
        dataclasses.replace(spec, learning_rates=(0.01, 0.02)),
    ):
        kept, moved = (sweep(jax.random.key(0), problems, s) for s in (spec, changed))
        assert not np.allclose(kept.decoder_error, moved.decoder_error)
        same = slice(1, 2) if changed.lengths != spec.lengths else slice(0, 0)
        np.testing.assert_allclose(
            kept.decoder_error[:, :, :, :, same], moved.decoder_error[:, :, :, :, same], atol=1e-5
        )


def test_devices_share_the_members_and_change_no_number(problems):
    assert jax.device_count() == 2
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(32,), num_seeds=5)
    one, two = (
        sweep(jax.random.key(1), problems, spec, mesh=Mesh(np.asarray(jax.devices()[:n]), ("device",))) for n in (1, 2)
    )
    chex.assert_trees_all_close(jax.device_get(one), jax.device_get(two), atol=1e-6)


def test_the_size_of_chunks_changes_no_number(problems):
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(32,))
    chosen, given = (sweep(jax.random.key(1), problems, dataclasses.replace(spec, chunk_size=n)) for n in (None, 7))
    chex.assert_trees_all_close(chosen, given, atol=1e-6)
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        dataclasses.replace(spec, chunk_size=0)


@pytest.mark.parametrize("grid", [(1, 1, 1, 1), (3, 2, 5, 4), (2, 1, 3, 7), (1, 3, 8, 1)])
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_chunks_hold_every_member_once_and_one_length_each(grid, size, num_devices):
    chunks, position = sweeps._share_out(grid, size, num_devices)
    length, problem, rate, seed = (np.asarray(a) for a in chunks)
    assert length.size % num_devices == 0
    assert len(np.unique(position)) == position.size == np.prod(grid)
    flat = [a.ravel()[position] for a in (problem, rate, np.broadcast_to(length[:, None], seed.shape), seed)]
    for found, expected in zip(flat, np.indices(grid), strict=True):
        np.testing.assert_array_equal(found, expected)
    work = [int((part < grid[2]).sum()) for part in length.reshape(num_devices, -1)]
    assert max(work) - min(work) <= 1
    padding = seed.size - np.prod(grid) - (length == grid[2]).sum() * seed.shape[1]
    assert padding < grid[2] * -(-grid[0] * grid[1] * grid[3] // seed.shape[1])


def test_with_epochs_the_trip_count_follows_the_length(problems):
    spec = isjax.SweepSpec(hidden=((8,),), lengths=(10, 64, 100), num_seeds=1, num_epochs=5, num_evals=2)
    steps = sweep(jax.random.key(0), problems[:1], spec).steps
    assert steps[0, 0, 0, 0, :, 0, -1].tolist() == [5, 10, 20]


def test_problems_are_grouped_only_where_a_program_can_serve_them_all():
    shapes = [(16, 4), (8, 3), (4, 2), (3, 2), (64, 6), (40, 6)]
    made = [isjax.Problem(jnp.full((64, 4), 1 / 256), jnp.arange(64) % u, jnp.ones((u, d))) for u, d in shapes]
    assert sweeps.problem_groups(made, (32,)) == [[4, 5], [0, 1, 2], [3]]
    assert sweeps.problem_groups(made, (1,)) == [[0, 4, 5], [1, 2, 3]]
    other = made[0]._replace(joint=jnp.full((64, 2), 1 / 128))
    assert sweeps.problem_groups([made[0], other], (32,)) == [[0], [1]]


def test_the_spec_is_a_tree_of_lengths_and_learning_rates():
    leaves, structure = jax.tree.flatten(SPEC)
    assert leaves == [16, 100, 0.1, 0.3]
    assert jax.tree.unflatten(structure, leaves) == SPEC
    assert hash(SPEC) == hash(dataclasses.replace(SPEC))
    assert dataclasses.replace(SPEC, lengths=(7,)).max_length == 7
    assert isjax.SweepSpec(hidden=[[8]], lengths=[4, 5], num_steps=20).lengths == (4, 5)


def test_the_null_without_discrimination_nothing_is_to_be_seen():
    spec = isjax.SweepSpec(hidden=((32,),), lengths=(256, 8192), num_seeds=4, num_steps=1500, schedule="linear")
    result = sweep(jax.random.key(0), problems_of(0.0), spec)
    assert float(result.encoder_bias.max()) < 1e-9
    short, long = np.asarray(result.excess_risk).min(-1).mean(-1)[:, 0, 0, 0].T
    assert (long < 0.01).all()
    assert (long < short).all()


def test_the_study_the_biased_encoder_stops_at_its_loss_and_the_sufficient_one_learns_from_less():
    spec = isjax.SweepSpec(hidden=((32,),), lengths=(128, 512, 4096), num_seeds=4, num_steps=2000, schedule="linear")
    source = isjax.sparse_source(jax.random.key(3), num_inputs=10, num_relevant=3, num_classes=4, discrimination=0.8)
    made = [source.problem(encoder) for encoder in ("identity", "sufficient", "biased")]
    result = sweep(jax.random.key(0), made, spec)
    identity, sufficient, biased = np.asarray(result.excess_risk).min(-1).mean(-1)[:, 0, 0, 0]
    loss = float(result.encoder_bias[2].max())
    assert loss <= biased[-1] <= 1.15 * loss
    assert sufficient[0] < 0.1 < identity[1]  # a quarter of the data
    assert sufficient[-1] < 0.05 * loss
