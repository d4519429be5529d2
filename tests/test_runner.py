"""A study run block by block is the sweep, with names."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import rich.console
import xarray as xr

import isjax
import isjax.study
from isjax._shell.files import write_atomically
from isjax.study import blocks, checkpoints, report, results, runner
from tests.helpers import refused

SPEC = isjax.SweepSpec(
    hidden=((8,), (6, 5)),
    lengths=(16, 40),
    batch_sizes=(4, 8),
    learning_rates=(0.1, 0.5),
    num_seeds=2,
    num_steps=12,
    num_evals=3,
)
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def problems():
    def source(discrimination):
        key = jax.random.key(0)
        return isjax.sparse_source(key, num_inputs=5, num_relevant=2, num_classes=4, discrimination=discrimination)

    sources = {"sparse": source(0.8), "weak": source(0.4)}
    names = [("sparse", "sufficient"), ("sparse", "biased"), ("weak", "biased")]
    return {(name, encoder): sources[name].problem(encoder) for name, encoder in names}


@pytest.fixture(scope="module")
def study(problems):
    return isjax.study.run(KEY, problems, SPEC)


def test_the_blocks_of_a_study_are_its_sweep(problems, study):
    result = isjax.sweep(KEY, list(problems.values()), SPEC)
    expected = results.to_dataset(result, list(problems), SPEC)
    for name in expected.data_vars:
        np.testing.assert_allclose(study[name], expected[name], atol=1e-6)
    np.testing.assert_array_equal(expected["best_excess_risk"], result.best_excess_risk)
    np.testing.assert_array_equal(expected["excess_risk"], result.excess_risk)
    axes = "problem", "network", "batch_size", "learning_rate", "length", "seed", "evaluation"
    for name in ("excess_risk", "decoder_error", "train_loss"):
        assert study[name].dims == axes
    for name in ("encoder_bias", "conditional_entropy"):
        assert study[name].dims == ("problem",)
    assert study["steps"].dims == ("batch_size", "length", "evaluation")


def test_every_block_is_one_program_and_all_together_are_the_grid(problems):
    parts = blocks.blocks(list(problems.values()), SPEC)
    assert sum(block.num_members for block in parts) == SPEC.num_members * len(problems)
    assert {len(block.spec.hidden) * len(block.spec.batch_sizes) for block in parts} == {1}


def test_long_blocks_are_cut_into_blocks_of_one_kind(problems):
    listed = list(problems.values())[:2]
    for most_steps, num_cells in ((10**9, 1), (2 * 2 * 2 * 12, 2), (2 * 2 * 12, 4), (2 * 12, 8), (1, 8)):
        parts = blocks.blocks(listed, SPEC, most_steps=most_steps)
        assert len(parts) == num_cells * len(blocks.blocks(listed, SPEC))
        assert sum(block.num_members for block in parts) == SPEC.num_members * len(listed)
        assert {block.spec.max_length for block in parts} == {40}
        assert most_steps == 1 or max(block.num_members * 12 for block in parts) <= most_steps
    by_epochs = dataclasses.replace(SPEC, num_steps=None, num_epochs=3)  # 40 samples in batches of 4: 10 steps each
    assert len(blocks.blocks(listed, by_epochs, most_steps=2 * 2 * 2 * 3 * (4 + 10))) == 4


def test_the_numbers_do_not_depend_on_the_cut(problems, study, monkeypatch):
    monkeypatch.setattr(blocks, "MOST_STEPS", 2 * 2 * 12)
    cut = isjax.study.run(KEY, problems, dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,)))
    whole = study.sel(network=["8"], batch_size=[8])
    xr.testing.assert_allclose(cut.drop_vars("width"), whole, rtol=0, atol=1e-5)


def test_arrays_come_to_the_host_when_a_run_begins_and_when_a_block_ends(problems, monkeypatch):
    fetched, fetch = [], jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(type(tree)) or fetch(tree))

    def train(work, *arguments):
        assert {type(leaf) for leaf in jax.tree.leaves((work.problems, work.key.data))} == {np.ndarray}
        part = blocks.train_block(work, *arguments)
        assert {type(array) for array in part.arrays.values()} == {np.ndarray}
        return part

    monkeypatch.setattr(runner, "train_block", train)
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,))
    isjax.study.run(KEY, problems, spec)
    num_blocks = len(blocks.blocks(list(problems.values()), spec))
    key, *others = fetched[1:]
    assert [fetched[0], *others] == [list] + [isjax.SweepResult] * num_blocks
    assert issubclass(key, jax.Array)


def test_names_units_spec_versions_and_timings_travel_with_the_numbers(problems, study):
    assert list(zip(study["source"].values, study["encoder"].values, strict=True)) == list(problems)
    assert study["network"].values.tolist() == ["8", "6,5"]
    assert "width" not in study.coords
    assert study["length"].attrs["units"] == "samples"
    assert all(study[name].attrs["units"] == "nat" for name in study.data_vars if name not in ("steps", "diverged"))
    spec = json.loads(study.attrs["spec"])
    assert isjax.SweepSpec(**spec) == SPEC
    assert json.loads(study.attrs["versions"])["isjax"] == isjax.__version__
    assert study.attrs["compile_seconds"] > 0
    assert study.attrs["run_seconds"] > 0


def test_networks_with_one_hidden_width_have_it_as_a_coordinate(problems):
    spec = isjax.SweepSpec(hidden=((8,), (5, 5)), lengths=(16,), num_seeds=1, num_steps=2, num_evals=1)
    result = isjax.SweepResult(np.zeros(3), np.zeros(3), *[np.zeros((3, 2, 1, 1, 1, 1, 1))] * 3)
    found = results.to_dataset(result, list(problems), spec)
    assert found["width"].dims == ("network",)
    assert found["width"].values.tolist() == [8, 5]
    assert found["width"].dtype.kind == "i"


def test_problems_are_selected_by_source_and_by_encoder_before_and_after_saving(study, tmp_path):
    for found in (study, isjax.study.load(isjax.study.save(study, tmp_path / "study.nc"))):
        biased = found.sel(encoder="biased")
        assert biased["source"].values.tolist() == ["sparse", "weak"]
        np.testing.assert_array_equal(biased["encoder_bias"], study["encoder_bias"][[1, 2]])
        assert found.sel(source="sparse")["encoder"].values.tolist() == ["sufficient", "biased"]
        for one in (found.sel(source="weak", encoder="biased"), biased.sel(source="weak")):
            np.testing.assert_array_equal(one["decoder_error"], study["decoder_error"][2])
        chosen = found.sel(problem=found["encoder"] == "biased")
        np.testing.assert_array_equal(chosen["encoder_bias"], biased["encoder_bias"])
        saved = biased["encoder_bias"] - found["encoder_bias"].sel(encoder="sufficient")  # aligned by source
        assert saved["source"].values.tolist() == ["sparse"]
        with pytest.raises(KeyError):
            found.sel(encoder="identity")


def test_progress_tells_what_is_compiled_and_what_trained(problems, capsys):
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,))
    isjax.study.run(KEY, problems, spec, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["compiling", "training"] * (len(lines) // 2)
    assert len(lines) == 2 * len(blocks.blocks(list(problems.values()), spec))


def test_saved_and_loaded_a_study_is_the_same(study, tmp_path):
    path = isjax.study.save(study, tmp_path / "study.nc")
    xr.testing.assert_identical(isjax.study.load(path), study)
    plain = xr.load_dataset(path)  # nothing but xarray is needed
    del plain.attrs["checksum"]
    xr.testing.assert_identical(plain.set_xindex(("source", "encoder")), study)
    assert [file.name for file in tmp_path.iterdir()] == ["study.nc"]


def test_a_study_of_an_older_format_is_refused_by_its_name(study, tmp_path):
    path = isjax.study.save(study.assign_attrs(format="isjax study 2"), tmp_path / "old.nc")
    message = f"{path} is a study of the format 'isjax study 2', written by an older version: run it again"
    refused(ValueError, message, isjax.study.load, path)


def test_a_failed_write_leaves_what_was_there(study, tmp_path):
    path = isjax.study.save(study, tmp_path / "study.nc")
    before = path.read_bytes()

    def fails(temporary):
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fails)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["study.nc"]


def test_the_best_risk_is_least_along_the_run_at_the_rate_best_in_the_mean(study):
    best = study["best_excess_risk"]
    assert best.dims == ("problem", "network", "batch_size", "length", "seed")
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


def test_positions_by_source_in_a_study_and_in_its_parts(study):
    of_sparse = {"sufficient": 0, "biased": 1}
    assert results.positions_by_source(study) == {"sparse": of_sparse, "weak": {"biased": 2}}
    for part, found in (
        (study.sel(encoder="biased"), {"sparse": {"biased": 0}, "weak": {"biased": 1}}),
        (study.sel(source="sparse"), {"sparse": of_sparse}),
        (study.sel(source="weak", encoder="biased"), {"weak": {"biased": 0}}),
        (study.isel(problem=[2]), {"weak": {"biased": 0}}),
    ):
        whole = results.with_problem_axis(part)
        assert results.positions_by_source(whole) == found
        assert whole["best_excess_risk"].dims == study["best_excess_risk"].dims


def test_runs_that_diverged_are_named_in_the_log_the_table_and_the_figure(problems, caplog, capsys):
    spec = dataclasses.replace(SPEC, hidden=((8,),), batch_sizes=(8,), learning_rates=(1000.0,), num_steps=60)
    with caplog.at_level("WARNING", "isjax"):
        found = isjax.study.run(KEY, problems, spec)
    count = int(found["diverged"].sum())
    assert count
    sentence = f"{count} of {found['diverged'].size} runs diverged; means after the last step leave them out: "
    sentence += f"{count} of MLP 8 at "
    assert [m for m in caplog.messages if m.startswith(sentence + "learning rate 1000")]
    report.print_study(found, rich.console.Console(width=200))
    assert sentence in " ".join(capsys.readouterr().out.split())
    notes = [text.get_text() for text in isjax.study.figure(found).texts]
    assert sentence.partition(":")[0] in notes


def test_a_network_is_traced_once_however_many_blocks_it_has(problems, monkeypatch):
    traced, on_host = [], jax.device_get(list(problems.values()))
    monkeypatch.setattr(runner, "digest_of_computation", lambda spec, *seen: traced.append(spec) or "computation")
    monkeypatch.setattr(blocks, "MOST_STEPS", 1)
    key = blocks.PlainKey.of(KEY)
    plan = runner._plan(key, list(problems), on_host, SPEC)
    assert len(plan.blocks) == len({checkpoints.digest(identity) for identity in plan.identities}) == 3 * 2**4
    assert len(traced) == 2 * len({problem.features.shape for problem in on_host})
    for block, identity in zip(plan.blocks, plan.identities, strict=True):
        digests = [checkpoints.digest_of_problem(on_host[i]) for i in block.problems]
        assert identity == checkpoints.identify(key, digests, block.spec, computation="computation")
