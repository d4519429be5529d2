"""A study run block by block is the sweep, with names."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

import isjax
from isjax.study import blocks, results, runner

SPEC = isjax.SweepSpec(
    hidden=((8,), (6, 5)),
    lengths=(16, 40),
    batch_sizes=(4, 8),
    learning_rates=(0.1, 0.5),
    num_seeds=2,
    num_steps=12,
    num_evals=3,
)


@pytest.fixture(scope="module")
def problems():
    source = isjax.sparse_source(jax.random.key(0), num_inputs=5, num_relevant=2, num_classes=4, discrimination=0.8)
    return {f"sparse / {encoder}": source.problem(encoder) for encoder in ("sufficient", "biased")}


@pytest.fixture(scope="module")
def study(problems):
    return runner.run(jax.random.key(1), problems, SPEC)


def test_the_blocks_of_a_study_are_its_sweep(problems, study):
    result = jax.jit(isjax.sweep)(jax.random.key(1), list(problems.values()), SPEC)
    expected = results.to_dataset(result, list(problems), SPEC)
    for name in expected.data_vars:
        np.testing.assert_allclose(study[name], expected[name], atol=1e-6)
    assert study["decoder_error"].dims == (
        "problem",
        "hidden",
        "batch_size",
        "learning_rate",
        "length",
        "seed",
        "evaluation",
    )


def test_every_block_is_one_program_and_all_together_are_the_grid(problems):
    parts = runner.blocks(list(problems.values()), SPEC)
    assert sum(block.num_members for block in parts) == SPEC.num_members * len(problems)
    assert {len(block.spec.hidden) * len(block.spec.batch_sizes) for block in parts} == {1}


def test_long_blocks_are_cut_into_blocks_of_one_kind(problems):
    listed = list(problems.values())
    for most_steps, num_cells in ((10**9, 1), (2 * 2 * 2 * 12, 2), (2 * 2 * 12, 4), (2 * 12, 8), (1, 8)):
        parts = runner.blocks(listed, SPEC, most_steps=most_steps)
        assert len(parts) == num_cells * len(runner.blocks(listed, SPEC))
        assert sum(block.num_members for block in parts) == SPEC.num_members * len(problems)
        assert {block.spec.max_length for block in parts} == {40}
        assert most_steps == 1 or max(block.num_members * 12 for block in parts) <= most_steps
    by_epochs = dataclasses.replace(SPEC, num_steps=None, num_epochs=3)  # 40 samples in batches of 4: 10 steps each
    assert len(runner.blocks(listed, by_epochs, most_steps=2 * 2 * 2 * 3 * (4 + 10))) == 4


def test_the_numbers_do_not_depend_on_the_cut(problems, study, monkeypatch):
    monkeypatch.setattr(blocks, "MOST_STEPS", 2 * 2 * 12)
    cut = runner.run(jax.random.key(1), problems, dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,)))
    whole = study.sel(hidden=["8"], batch_size=[8])
    xr.testing.assert_allclose(cut.drop_attrs(), whole.drop_attrs(), rtol=0, atol=1e-5)


def test_names_units_spec_versions_and_timings_travel_with_the_numbers(problems, study):
    assert study["problem"].values.tolist() == list(problems)
    assert study["hidden"].values.tolist() == ["8", "6,5"]
    assert study["length"].attrs["units"] == "samples"
    assert all(study[name].attrs["units"] == "nat" for name in study.data_vars if name != "steps")
    spec = json.loads(study.attrs["spec"])
    assert isjax.SweepSpec(**spec) == SPEC
    assert json.loads(study.attrs["versions"])["isjax"] == isjax.__version__
    assert study.attrs["compile_seconds"] > 0
    assert study.attrs["run_seconds"] > 0


def test_progress_tells_what_is_compiled_and_what_trained(problems, capsys):
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,))
    runner.run(jax.random.key(1), problems, spec, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["compiling", "training"] * (len(lines) // 2)
    assert len(lines) == 2 * len(runner.blocks(list(problems.values()), spec))


def test_saved_and_loaded_a_study_is_the_same(study, tmp_path):
    path = results.save(study, tmp_path / "study.nc")
    xr.testing.assert_identical(results.load(path), study)
    plain = xr.load_dataset(path)  # nothing but xarray is needed
    del plain.attrs["checksum"]
    xr.testing.assert_identical(plain, study)
    assert [file.name for file in tmp_path.iterdir()] == ["study.nc"]


def test_a_failed_write_leaves_what_was_there(study, tmp_path):
    path = results.save(study, tmp_path / "study.nc")
    before = path.read_bytes()

    def fails(beside):
        beside.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        results.write_atomically(path, fails)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["study.nc"]


def test_the_best_risk_is_least_along_the_run_at_the_rate_best_in_the_mean(study):
    best = results.best_excess_risk(study)
    by_hand = study["excess_risk"].values.min(-1)
    mean = by_hand.mean(-1)
    for index in np.ndindex(mean.shape[:3]):
        for n in range(mean.shape[4]):
            rate = mean[(*index, slice(None), n)].argmin()
            np.testing.assert_array_equal(best.values[(*index, n)], by_hand[(*index, rate, n)])


def test_samples_to_reach():
    risk = xr.DataArray(
        [[0.8, 0.4, 0.1], [0.8, 0.7, 0.6], [0.1, 0.05, 0.02]],
        dims=("problem", "length"),
        coords={"length": [10, 20, 80]},
    )
    reached = results.samples_to_reach(risk, 0.2).values
    assert reached[0] == pytest.approx(40)
    assert np.isnan(reached[1])
    assert reached[2] == 10


def test_problems_by_source(study):
    assert results.problems_by_source(study) == {
        "sparse": {name: f"sparse / {name}" for name in ("sufficient", "biased")}
    }
    alone = xr.Dataset(coords={"problem": ["mine"]})
    assert results.problems_by_source(alone) == {"mine": {"mine": "mine"}}
