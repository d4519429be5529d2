"""A sweep trains all members of a grid: the numbers of ``train``, one call, no retracing, every device."""

import dataclasses
import functools
import json
import math
import pickle
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import isjax
from isjax import sweeps, training

SPEC = isjax.SweepSpec(
    hidden=((160,), (6, 5)),
    lengths=(16, 100),
    batch_sizes=(8, 32),
    learning_rates=(0.1, 0.3),
    num_seeds=3,
    num_steps=40,
    num_evals=4,
)
NARROW = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(32,), num_seeds=5)
MOMENTUM = functools.partial(optax.sgd, momentum=0.9)
SMALL = dataclasses.replace(SPEC, hidden=((4,),), batch_sizes=(8,), num_steps=5)


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
    return isjax.sweep(jax.random.key(1), problems, SPEC)


def test_the_axes_are_those_of_the_grid(result):
    assert isjax.sweeps.AXES == ("problem", "network", "batch_size", "learning_rate", "length", "seed", "evaluation")
    assert {a.shape for a in (result.decoder_error, result.train_loss, result.steps)} == {(6, 2, 2, 2, 2, 3, 4)}
    assert result.conditional_entropy.shape == result.encoder_bias.shape == (6,)
    assert result.steps[..., -1].min() == result.steps[..., -1].max() == 40


def test_bias_and_entropy_are_those_of_the_problem_and_no_part_is_negative(problems, result):
    loss = [isjax.mutual_information_loss(problem.joint, problem.codes) for problem in problems]
    np.testing.assert_allclose(result.encoder_bias, loss, atol=1e-6)
    entropy = [isjax.conditional_entropy(problem.joint) for problem in problems]
    np.testing.assert_allclose(result.conditional_entropy, entropy, rtol=1e-5)
    assert all((np.asarray(part) >= 0).all() for part in jax.tree.leaves(result))
    assert np.isfinite(result.risk).all()


def test_derived_risks_are_those_of_their_definitions():
    """The best rate is the one whose least excess risk is least in the mean over seeds; NaN is left out."""
    random, shape = np.random.default_rng(0), (2, 3, 2, 4, 2, 5, 6)
    error = random.exponential(size=shape)
    error[random.random(shape) < 0.2] = np.nan  # a run that diverged
    entropy, bias = np.array([0.3, 0.4]), np.array([0.1, 0.0])
    lost = random.exponential(size=shape)
    result = isjax.SweepResult(entropy, bias, error, error, np.ones(shape, int), code_loss=lost)
    best = np.empty((2, 3, 2, 2, 5))
    for p in range(2):
        np.testing.assert_allclose(result.excess_risk[p], bias[p] + lost[p] + error[p], rtol=1e-6)
        np.testing.assert_allclose(result.risk[p], entropy[p] + bias[p] + lost[p] + error[p], rtol=1e-6)
        for n, b, i in np.ndindex(3, 2, 2):
            runs = bias[p] + np.nanmin((lost + error)[p, n, b, :, i], axis=-1)
            best[p, n, b, i] = min(runs, key=lambda seeds: np.nanmean(seeds))
    np.testing.assert_allclose(result.best_excess_risk, best, rtol=1e-6)


@pytest.mark.parametrize("member", [(0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 2), (5, 0, 1, 0, 1, 1)])
def test_a_member_is_one_training_run(problems, result, member):
    p, w, b, r, n, s = member
    config = isjax.TrainConfig(batch_size=SPEC.batch_sizes[b], num_steps=40, num_evals=4)
    network = isjax.MLP(SPEC.hidden[w], num_classes=4)
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
    alone = isjax.sweep(jax.random.key(1), [problems[4]], part)
    inside = jax.tree.map(lambda a: a[4:5, :1, 1:2, :, 1:2, :2] if a.ndim > 1 else a[4:5], result)
    chex.assert_trees_all_close(alone, inside, atol=1e-5)


def test_nothing_is_traced_when_only_values_change_and_the_new_values_are_used(problems, monkeypatch):
    traces, sweep_group = [], sweeps._sweep_group
    monkeypatch.setattr(sweeps, "_sweep_group", lambda *args: traces.append(1) or sweep_group(*args))
    problems = problems[1:3]  # a program with padding in it
    first = isjax.sweep(jax.random.key(0), problems, SMALL)
    assert len(traces) == 1
    monkeypatch.setattr(sweeps, "draw", None)  # the samples are drawn by the same program
    for changed, same in (({"lengths": (50, 100)}, slice(1, 2)), ({"learning_rates": (0.01, 0.02)}, slice(0, 0))):
        other = isjax.sweep(jax.random.key(0), problems, dataclasses.replace(SMALL, **changed))
        assert not np.allclose(first.decoder_error, other.decoder_error)
        kept, moved = (result.decoder_error[:, :, :, :, same] for result in (first, other))
        np.testing.assert_allclose(kept, moved, atol=1e-5)
    assert not np.allclose(isjax.sweep(jax.random.key(5), problems, SMALL).decoder_error, first.decoder_error)
    isjax.sweep(jax.random.key(0), problems_of(0.6, seed=9)[1:3], SMALL)
    chex.assert_trees_all_equal(first, isjax.sweep(jax.random.key(0), tuple(problems), SMALL))
    assert len(traces) == 1
    monkeypatch.setattr(sweeps, "draw", training.draw)
    isjax.sweep(jax.random.key(0), problems, dataclasses.replace(SMALL, lengths=(50, 120)))  # a longer longest length
    assert len(traces) == 2


def test_a_sweep_is_the_same_under_the_callers_jit_and_compiled_apart(problems, monkeypatch):
    of_one = problems[1:2]
    eager = isjax.sweep(jax.random.key(0), of_one, SMALL)
    jitted = jax.jit(isjax.sweep)(jax.random.key(0), of_one, SMALL)
    apart = sweeps.compile_sweep(jax.random.key(0), of_one, SMALL)()
    chex.assert_trees_all_close(eager, jitted, atol=1e-6)
    chex.assert_trees_all_equal(eager, apart)
    monkeypatch.setattr(sweeps, "_MOST_SAMPLES", 0)  # each member draws its own
    chex.assert_trees_all_close(eager, isjax.sweep(jax.random.key(0), of_one, SMALL), atol=1e-6)


def test_parts_of_a_grid_share_a_program_and_give_its_numbers(problems, monkeypatch):
    traces, sweep_group = [], sweeps._sweep_group
    monkeypatch.setattr(sweeps, "_sweep_group", lambda *args: traces.append(1) or sweep_group(*args))
    key, of_one = jax.random.key(0), problems[1:2]
    whole = isjax.sweep(key, of_one, SMALL)
    traces.clear()
    for rate, length in np.ndindex(2, 2):
        part = SMALL.part(learning_rates=[rate], lengths=[length])
        assert (part.learning_rates, part.lengths) == ((SMALL.learning_rates[rate],), (SMALL.lengths[length],))
        inside = whole.decoder_error[:, :, :, rate : rate + 1, length : length + 1]
        np.testing.assert_allclose(isjax.sweep(key, of_one, part).decoder_error, inside, atol=1e-6)
    assert len(traces) == 1


@pytest.fixture(scope="module")
def narrow(problems):
    """On both devices, in chunks of the size that is chosen."""
    return isjax.sweep(jax.random.key(1), problems[1:3], NARROW)


def test_devices_share_the_members_and_change_no_number(problems, narrow):
    assert jax.device_count() == 2
    mesh = Mesh(np.asarray(jax.devices()[:1]), ("device",))
    one = isjax.sweep(jax.random.key(1), problems[1:3], NARROW, mesh=mesh)
    chex.assert_trees_all_close(jax.device_get(one), jax.device_get(narrow), atol=1e-6)


def test_the_size_of_chunks_changes_no_number(problems, narrow):
    given = isjax.sweep(jax.random.key(1), problems[1:3], dataclasses.replace(NARROW, chunk_size=7))
    chex.assert_trees_all_close(given, narrow, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"hidden": ((256,),), "num_evals": 1}, {"hidden": ((16, 16),), "num_evals": 16, "lengths": (2048,)}]
)
def test_the_memory_of_a_member_is_that_of_the_compiled_program(problems, changes):
    spec = dataclasses.replace(NARROW, **{"lengths": (100,), "learning_rates": (0.1,), **changes})
    problem, network = problems[0], isjax.MLP(spec.hidden[0], num_classes=4)
    mesh = Mesh(np.asarray(jax.devices()[:1]), ("device",))

    def memory(num_members):
        wide = dataclasses.replace(spec, num_seeds=num_members, chunk_size=num_members)
        program = isjax.sweeps.compile_sweep(jax.random.key(0), [problem], wide, mesh=mesh)
        return program.func.memory_analysis().temp_size_in_bytes

    estimate = sweeps._bytes_of_member(network, jax.tree.map(lambda a: a[None], problem), spec)
    assert 0.5 < estimate / ((memory(96) - memory(32)) / 64) < 2.5


NOT_THERE = jax.errors.JaxRuntimeError("MemoryStats is only supported for addressable PjRt devices.")


def accelerator(*memory):
    """A device that tells its memory, or not, or is not there."""
    return mock.Mock(spec=jax.Device, platform="gpu", memory_stats=mock.Mock(side_effect=memory))


@pytest.mark.parametrize(
    ("memory", "num_bytes"),
    [({"bytes_limit": 2**33}, 2**31), ({"bytes_in_use": 5}, 2**32), (None, 2**32), (NOT_THERE, 2**32)],
)
def test_an_accelerator_trains_as_many_members_at_once_as_fit_into_a_quarter_of_its_memory(
    problems, memory, num_bytes, monkeypatch
):
    network, problem = isjax.MLP((256,), num_classes=4), jax.tree.map(lambda a: a[None], problems[0])
    estimate = sweeps._bytes_of_member(network, problem, NARROW)
    assert sweeps._best_chunk_size(accelerator(memory), network, problem, NARROW) == num_bytes // estimate
    monkeypatch.setattr(jax, "process_count", lambda: 2)  # all processes must choose alike
    assert sweeps._best_chunk_size(accelerator(memory), network, problem, NARROW) == 2**32 // estimate
    small = accelerator({"bytes_limit": 4})
    monkeypatch.undo()
    assert sweeps._best_chunk_size(small, network, problem, NARROW) == 1


@pytest.mark.parametrize("grid", [(1, 1, 1, 1), (3, 2, 5, 4), (2, 1, 3, 7), (1, 3, 8, 1)])
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("num_devices", [1, 2, 3])
@pytest.mark.parametrize("may_mix", [True, False])
def test_chunks_hold_every_member_once_and_devices_have_equal_shares(grid, size, num_devices, may_mix):
    chunks, position = sweeps._divide(grid, size, num_devices, may_mix=may_mix)
    problem, rate, length, seed = (np.asarray(a) for a in chunks)
    is_mixed = length.ndim == 2
    assert may_mix or not is_mixed
    length = length if is_mixed else np.broadcast_to(length[:, None], seed.shape)
    assert len(seed) % num_devices == 0
    assert seed.shape[1] <= size
    assert len(np.unique(position)) == position.size == np.prod(grid)
    flat = [a.ravel()[position] for a in (problem, rate, length, seed)]
    for found, expected in zip(flat, np.indices(grid), strict=True):
        np.testing.assert_array_equal(found, expected)
    is_padding = (length == grid[2]).all(axis=1)
    np.testing.assert_array_equal(is_padding, (length == grid[2]).any(axis=1))
    work = [int((~of_device).sum()) for of_device in is_padding.reshape(num_devices, -1)]
    assert max(work) - min(work) <= 1
    held = np.zeros(seed.size, bool)
    held[position.ravel()] = True
    np.testing.assert_array_equal(held.reshape(seed.shape).any(axis=1), ~is_padding)  # none trains repeats alone


@pytest.mark.parametrize("num_seeds", [1, 7, 8, 15, 16])
@pytest.mark.parametrize("num_lengths", [1, 2, 8])
def test_no_device_is_idle_where_lengths_may_be_mixed(num_seeds, num_lengths):
    chunks, _ = sweeps._divide((1, 1, num_lengths, num_seeds), 16, 4, may_mix=True)
    length = np.asarray(chunks.length).reshape(4, -1)
    busy = (length < num_lengths).any(axis=1).sum()
    assert busy == min(4, num_lengths * num_seeds)


@pytest.mark.parametrize("options", [{}, {"sampling": "replacement", "optimizer": MOMENTUM}])
def test_few_seeds_are_trained_together_with_all_lengths(problems, options):
    """In chunks of one length or of several, with more devices than chunks or fewer, each member is the same run."""
    lengths = (3, math.inf, 20, 100)
    spec = dataclasses.replace(SMALL, hidden=((8,),), lengths=lengths, learning_rates=(0.1,), num_seeds=2, **options)
    key = jax.random.key(0)
    found = {size: isjax.sweep(key, problems[:2], dataclasses.replace(spec, chunk_size=size)) for size in (2, 5, 100)}
    chex.assert_trees_all_close(found[2], found[5], atol=1e-5)
    chex.assert_trees_all_close(found[2], found[100], atol=1e-5)
    config = spec.train_config("8", 8)
    for i, s in ((0, 1), (1, 0), (3, 1)):
        network, length = isjax.MLP((8,), num_classes=4), lengths[i]
        trace = isjax.train(jax.random.fold_in(key, s), problems[1], length, 0.1, network=network, config=config)
        np.testing.assert_allclose(found[100].train_loss[1, 0, 0, 0, i, s], trace.train_loss, atol=1e-5)


def test_samples_of_any_generator_are_those_of_train(problems):
    key, spec = jax.random.key(0, impl="rbg"), dataclasses.replace(SMALL, chunk_size=1)
    found = isjax.sweep(key, problems[1:2], spec).train_loss[0, 0, 0, 0, 1, 2]
    network, config = isjax.MLP((4,), num_classes=4), spec.train_config("4", 8)
    trace = isjax.train(jax.random.fold_in(key, 2), problems[1], 100, 0.1, network=network, config=config)
    np.testing.assert_allclose(found, trace.train_loss, atol=1e-6)


def test_with_epochs_the_trip_count_follows_the_length(problems):
    spec = isjax.SweepSpec(hidden=((8,),), lengths=(10, 64, 100), num_seeds=1, num_epochs=5, num_evals=2)
    steps = isjax.sweep(jax.random.key(0), problems[:1], spec).steps
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
    assert jax.tree.unflatten(structure, leaves) == dataclasses.replace(SPEC, max_length=100)
    assert hash(SPEC) == hash(dataclasses.replace(SPEC))
    assert dataclasses.replace(SPEC, lengths=(7,)).longest == 7
    assert dataclasses.replace(SPEC, max_length=128).longest == 128
    assert pickle.loads(pickle.dumps(SPEC)) == SPEC


def test_the_fields_of_a_spec_are_tuples_of_python_numbers_whatever_sequences_are_given():
    options = {"num_steps": 20, "num_seeds": 2}
    expected = isjax.SweepSpec(
        hidden=((8,), ()), lengths=(4, 5), batch_sizes=(3,), learning_rates=(1.0, 2.0), **options
    )
    of_lists = isjax.SweepSpec(hidden=[[8], []], lengths=[4, 5], batch_sizes=[3], learning_rates=[1, 2], **options)
    assert expected == of_lists
    fields = {name: value for name, value in dataclasses.asdict(of_lists).items() if name != "optimizer"}
    assert isjax.SweepSpec(**json.loads(json.dumps(fields))) == expected


@pytest.mark.parametrize(
    ("hidden", "names", "widths"),
    [
        (((32,), (64, 64)), ("32", "64,64"), (32, 64)),
        (((32,), (64, 32)), ("32", "64,32"), None),
        (((), (8,)), ("linear", "8"), None),
    ],
)
def test_names_and_widths_of_networks(hidden, names, widths):
    spec = isjax.SweepSpec(hidden=hidden, num_steps=20)
    assert spec.network_names == names
    assert spec.widths == widths


def test_the_null_without_discrimination_nothing_is_to_be_seen():
    spec = isjax.SweepSpec(hidden=((32,),), lengths=(256, 8192), num_seeds=4, num_steps=1500, schedule="linear")
    result = isjax.sweep(jax.random.key(0), problems_of(0.0), spec)
    assert float(result.encoder_bias.max()) < 1e-9
    short, long = np.asarray(result.best_excess_risk).mean(-1)[:, 0, 0].T
    assert (long < 0.01).all()
    assert (long < short).all()


def test_the_study_the_biased_encoder_stops_at_its_loss_and_the_sufficient_one_learns_from_less():
    spec = isjax.SweepSpec(hidden=((32,),), lengths=(128, 512, 4096), num_seeds=4, num_steps=2000, schedule="linear")
    source = isjax.sparse_source(jax.random.key(3), num_inputs=10, num_relevant=3, num_classes=4, discrimination=0.8)
    made = [source.problem(encoder) for encoder in ("identity", "sufficient", "biased")]
    result = isjax.sweep(jax.random.key(0), made, spec)
    identity, sufficient, biased = np.asarray(result.best_excess_risk).mean(-1)[:, 0, 0]
    loss = float(result.encoder_bias[2])
    assert loss <= biased[-1] <= 1.15 * loss
    assert sufficient[0] < 0.1 < identity[1]  # a quarter of the data
    assert sufficient[-1] < 0.05 * loss


# --- runs that diverge --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wild():
    """Two learning rates, of which one is far too large."""
    spec = dataclasses.replace(NARROW, learning_rates=(0.1, 1000.0), num_steps=60)
    return isjax.sweep(jax.random.key(2), problems_of(0.8)[:2], spec)


def test_runs_that_diverge_are_told_from_those_that_overfit(wild):
    assert wild.diverged.shape == wild.decoder_error.shape[:-1]
    assert not wild.diverged[:, :, :, 0].any()
    assert wild.diverged[:, :, :, 1].any()
    lost = wild.diverged & np.isfinite(wild.excess_risk[..., -1])
    assert (wild.train_loss[..., -1][lost] > wild.uniform_risk.max()).all()


def test_the_last_risk_is_that_of_the_last_step_at_the_best_rate_and_leaves_out_what_diverged(wild):
    np.testing.assert_allclose(wild.last_excess_risk, wild.excess_risk[:, :, :, 0, ..., -1], rtol=1e-6)
    only_wild = jax.tree.map(lambda part: part[:, :, :, 1:] if part.ndim > 1 else part, wild)
    kept = ~only_wild.diverged[:, :, :, 0]
    np.testing.assert_array_equal(np.isfinite(only_wild.last_excess_risk), kept)
    assert (wild.best_excess_risk <= wild.last_excess_risk + 1e-6).all()


def test_no_run_of_an_ordinary_grid_diverges(result):
    assert not result.diverged.any()


def test_a_run_that_has_not_learned_yet_has_not_diverged():
    """Of a target that is nearly always the same of 64 classes, a fresh network knows nothing."""
    p_y = np.full(64, 1e-3, np.float32)
    p_y[0] = 1 - p_y[1:].sum()
    joint = np.tile(p_y / 4, (4, 1)).astype(np.float32)
    problem = isjax.Problem(jnp.asarray(joint), jnp.arange(4), jnp.eye(4))
    spec = dataclasses.replace(NARROW, learning_rates=(1e-6,), num_steps=20)
    assert not isjax.sweep(jax.random.key(4), [problem], spec).diverged.any()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_codes_of_every_integer_dtype_train_alike(dtype):
    joint, codes, features = problems_of(0.8)[1]
    spec = dataclasses.replace(NARROW, hidden=((4,),), batch_sizes=(256,), num_seeds=1, num_steps=20, lengths=(100,))
    one, other = (
        isjax.sweep(jax.random.key(3), [isjax.Problem(joint, np.asarray(codes).astype(kind), features)], spec)
        for kind in (dtype, "int32")
    )
    np.testing.assert_array_equal(one.decoder_error, other.decoder_error)
