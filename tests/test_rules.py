"""A sweep under other scoring rules: the split of every risk is the definition's, and the training is the same."""

import dataclasses
import logging
import pickle

import jax
import numpy as np
import pytest
import rich.console
import xarray as xr

import isjax
import isjax.study
from isjax import sweeps
from isjax.scoring import RULES
from isjax.study import blocks, checkpoints, report, results
from tests.helpers import refused
from tests.oracles import scoring as oracle

VALUES = oracle.VALUES
EVERY = (*RULES, isjax.squared_error(VALUES))
NAMES = (*RULES, "squared_error")
KEY = jax.random.key(1)
MLP = isjax.MLP((6,), 4)
SPEC = isjax.SweepSpec(
    networks={
        "mlp": MLP,
        "soft": isjax.EncoderDecoder((6,), 3, 4),
        "hard": isjax.EncoderDecoder((6,), 3, 4, quantisation="hard"),
    },
    rules=EVERY,
    lengths=(16, 100),
    learning_rates=(0.3,),
    num_seeds=2,
    num_steps=30,
    num_evals=3,
)


def problem_of(encoder="biased", discrimination=0.8):
    """A problem of which some inputs never occur."""
    key = jax.random.key(0)
    source = isjax.sparse_source(key, num_inputs=4, num_relevant=3, num_classes=4, discrimination=discrimination)
    joint = source.joint.at[::5].set(0)
    return source.problem(encoder)._replace(joint=joint / joint.sum())


@pytest.fixture(scope="module")
def result():
    return isjax.sweep(KEY, [problem_of("biased"), problem_of("sufficient")], SPEC)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_each_part_is_that_of_the_definition(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        problem = jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, problem_of())
        problem = problem._replace(joint=problem.joint / problem.joint.sum())
        result = isjax.sweep(KEY, [problem], SPEC)
        assert result.under("brier").decoder_error.dtype == dtype
        joint, codes = np.asarray(problem.joint, float), np.asarray(problem.codes)
        num_codes = len(problem.features)
        for i, (network_name, network) in enumerate(SPEC.networks.items()):
            config = SPEC.train_config(network_name, 32)
            key = jax.random.fold_in(KEY, 1)
            trace = isjax.train(key, problem, 100, SPEC.learning_rates[0], network=network, config=config)
            code = None if trace.code is None else np.asarray(trace.code, float)[-1][codes]
            decoder = np.exp(np.asarray(trace.log_decoder, float)[-1])
            encoder, size = (codes, num_codes) if code is None else (code, code.shape[1])
            for name in NAMES:
                parts = result.under(name)
                member = (0, i, 0, 0, 1, 1, -1)
                rule_risk = oracle.risk(name, joint, decoder, encoder, size)
                entropy = oracle.risk(name, joint, joint / np.maximum(joint.sum(1), 1e-99)[:, None], np.arange(16), 16)
                bias, lost = (oracle.loss(name, joint, *of) for of in ((codes, num_codes), (encoder, size)))
                assert float(parts.risk[member]) == pytest.approx(rule_risk, rel=tolerance, abs=tolerance)
                assert float(parts.conditional_entropy[0]) == pytest.approx(entropy, rel=tolerance, abs=tolerance)
                assert float(parts.encoder_bias[0]) == pytest.approx(bias, rel=tolerance, abs=tolerance)
                assert float(parts.code_loss[member]) == pytest.approx(lost - bias, rel=tolerance, abs=tolerance)
                error = rule_risk - entropy - lost
                assert float(parts.decoder_error[member]) == pytest.approx(error, rel=tolerance, abs=tolerance)


def test_no_part_is_negative_and_the_shapes_are_those_of_the_grid(result):
    assert set(result.scores) == {*NAMES} - {"log"}
    for name in NAMES:
        parts = result.under(name)
        assert parts.conditional_entropy.shape == parts.encoder_bias.shape == (2,)
        assert parts.code_loss.shape == parts.decoder_error.shape == parts.risk.shape == (2, 3, 1, 1, 2, 2, 3)
        assert all((np.asarray(part) >= 0).all() for part in parts)
        assert (np.asarray(parts.code_loss[:, 0]) == 0).all()  # an MLP has no code of its own
        assert parts.encoder_bias[0] > 1e-3
        assert parts.encoder_bias[1] < 1e-9  # the sufficient code loses nothing under any rule


def test_the_logarithmic_rule_is_the_result_itself_and_no_rule_changes_the_training(result):
    alone = isjax.sweep(
        KEY, [problem_of("biased"), problem_of("sufficient")], dataclasses.replace(SPEC, rules=("log",))
    )
    for name in ("conditional_entropy", "encoder_bias", "code_loss", "decoder_error", "train_loss", "steps"):
        np.testing.assert_array_equal(getattr(result, name), getattr(alone, name))
    np.testing.assert_array_equal(result.under("log").risk, alone.risk)
    np.testing.assert_array_equal(alone._replace(code_loss=None).under("log").code_loss, 0)
    assert alone.scores == {}


def test_accuracy_is_how_often_the_most_probable_class_is_right(result):
    problem = problem_of("biased")
    config, network = SPEC.train_config("mlp", 32), MLP
    trace = isjax.train(jax.random.fold_in(KEY, 0), problem, 16, 0.3, network=network, config=config)
    guesses = np.argmax(trace.log_decoder, -1)[:, problem.codes]
    right = [sum(problem.joint[x, guess] for x, guess in enumerate(of_evaluation)) for of_evaluation in guesses]
    np.testing.assert_allclose(result.accuracy[0, 0, 0, 0, 0, 0], right, rtol=1e-5)


def test_a_rule_that_was_not_computed_is_refused_by_name(result):
    alone = result._replace(scores=None)
    message = "rule must be one that the sweep computed, 'log', got 'zero_one': give it in rules"
    refused(ValueError, message, lambda: alone.accuracy)
    refused(ValueError, "rule must be one that the sweep computed, 'log', 'brier'", result.under, "briar")


@pytest.mark.fast
def test_rules_that_are_none_are_refused():
    names = "log, brier, spherical, zero_one, or an isjax.ScoringRule"
    for message, rules in (
        ("rules must name at least one value, got none", ()),
        (f"rules must hold names of scoring rules, {names}, got 'Brier'", ("Brier",)),
        (
            "rules must hold each rule once, such as ('log', 'brier', 'zero_one'), got log twice",
            ("log",) * 2,
        ),
        ("rules must hold each rule once", ("brier", isjax.brier_score)),
        ("rules must hold each rule once", (isjax.squared_error([0, 1]), isjax.squared_error([0, 2]))),
    ):
        refused(ValueError, message, isjax.SweepSpec, num_steps=20, rules=rules)
    spec = isjax.SweepSpec(num_steps=20, rules=(isjax.squared_error([0, 1]),))
    for call in (
        isjax.sweep,
        sweeps.compile_sweep,
        lambda *args: isjax.study.run(args[0], {("a", "b"): args[1][0]}, spec),
    ):
        refused(ValueError, "rule has 2 values, but Y has 4 symbols in problem 0", call, KEY, [problem_of()], spec)


@pytest.mark.fast
def test_a_rule_given_by_name_or_as_it_is_is_the_same():
    spec = isjax.SweepSpec(num_steps=20, rules=["log", isjax.brier_score])
    assert spec == isjax.SweepSpec(num_steps=20, rules=("log", "brier"))
    assert spec.rule_names == ("log", "brier")
    assert hash(spec) == hash(dataclasses.replace(spec))
    assert pickle.loads(pickle.dumps(SPEC)).rule_names == SPEC.rule_names
    assert jax.tree.unflatten(jax.tree.structure(spec), jax.tree.leaves(spec)).rules == spec.rules


def test_the_null_without_discrimination_no_rule_sees_a_bias_and_no_guess_is_better_than_another():
    spec = isjax.SweepSpec(hidden=((8,),), rules=EVERY, lengths=(2048,), num_seeds=2, num_steps=200, num_evals=2)
    source = isjax.sparse_source(jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=4, discrimination=0.0)
    result = isjax.sweep(KEY, [source.problem("biased")], spec)
    for name in NAMES:
        assert result.under(name).encoder_bias[0] < 1e-9
        assert (result.under(name).decoder_error[..., -1] < 0.03).all()
    np.testing.assert_allclose(result.accuracy, 0.25, rtol=1e-5)


def test_a_run_that_diverged_has_no_risk_under_any_rule():
    spec = dataclasses.replace(SPEC, learning_rates=(1e30,), networks={"mlp": MLP})
    result = isjax.sweep(KEY, [problem_of()], spec)
    assert result.diverged.any()
    lost = ~np.isfinite(np.asarray(result.risk[..., -1]))
    assert lost.any()
    for name in ("brier", "zero_one", "spherical", "squared_error"):
        assert np.isnan(np.asarray(result.under(name).risk[..., -1])[lost]).all()


def test_nothing_is_compiled_anew_for_the_same_rules(monkeypatch):
    traces, sweep_group = [], sweeps._sweep_group
    monkeypatch.setattr(sweeps, "_sweep_group", lambda *args: traces.append(1) or sweep_group(*args))
    spec = isjax.SweepSpec(hidden=((5,),), rules=EVERY, lengths=(16,), num_steps=4, num_evals=2)
    for rate in (0.1, 0.2):
        isjax.sweep(KEY, [problem_of()], dataclasses.replace(spec, learning_rates=(rate,)))
    assert len(traces) == 1


# --- studies ------------------------------------------------------------------------------------------------------

PROBLEMS = {("mine", "biased"): problem_of("biased"), ("mine", "sufficient"): problem_of("sufficient")}


@pytest.fixture(scope="module")
def study():
    return isjax.study.run(KEY, PROBLEMS, SPEC)


def test_a_study_has_the_split_under_each_rule_by_its_name(study, tmp_path):
    result = isjax.sweep(KEY, list(PROBLEMS.values()), SPEC)
    assert study["rule"].values.tolist() == list(NAMES)
    axes = "problem", "network", "batch_size", "learning_rate", "length", "seed", "evaluation"
    for name in NAMES:
        for part in ("conditional_entropy", "encoder_bias", "code_loss", "decoder_error", "risk"):
            values = study[f"scored_{part}"].sel(rule=name)
            assert values.dims == (axes if values.ndim > 1 else ("problem",))
            np.testing.assert_allclose(values, getattr(result.under(name), part), atol=1e-6)
    np.testing.assert_array_equal(study["scored_decoder_error"].sel(rule="log"), study["decoder_error"])
    np.testing.assert_allclose(study["accuracy"], 1 - study["scored_risk"].sel(rule="zero_one"), atol=1e-6)
    loaded = isjax.study.load(isjax.study.save(study, tmp_path / "study.nc"))
    xr.testing.assert_identical(loaded, study)
    assert loaded.sel(source="mine", encoder="biased")["accuracy"].dims == axes[1:]


def test_a_study_under_the_logarithmic_rule_alone_is_what_it_was(study):
    alone = isjax.study.run(KEY, PROBLEMS, dataclasses.replace(SPEC, rules=("log",)))
    assert "rule" not in alone.dims
    assert not [name for name in alone.data_vars if name == "accuracy" or name.startswith("scored")]
    expected = study[[*alone.data_vars]]
    xr.testing.assert_identical(alone.drop_attrs(deep=False), expected.drop_attrs(deep=False))


def test_rules_belong_to_what_identifies_a_block():
    key = blocks.PlainKey.of(KEY)
    of_rules = [
        ("log",),
        ("log", "brier"),
        ("log", isjax.squared_error([0.0, 1.0])),
        ("log", isjax.squared_error([0.0, 2.0])),
    ]
    specs = [isjax.SweepSpec(num_steps=20, rules=rules) for rules in of_rules]
    digests = [checkpoints.digest(checkpoints.identify(key, [], spec)) for spec in specs]
    assert len(set(digests)) == 4
    again = isjax.SweepSpec(num_steps=20, rules=("log", isjax.squared_error(np.array([0.0, 2.0]))))
    assert checkpoints.digest(checkpoints.identify(key, [], again)) == digests[3]


def test_a_study_is_resumed_under_its_own_rules_and_not_under_others(study, tmp_path, monkeypatch, caplog):
    path = tmp_path / "study.nc"
    with monkeypatch.context() as patch:
        patch.setattr(results, "save", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(blocks.RunError):
            isjax.study.run(KEY, PROBLEMS, SPEC, output=path)
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "compile_sweep", None)
        resumed = isjax.study.run(KEY, PROBLEMS, SPEC, output=path, resume=True)
    xr.testing.assert_identical(resumed.drop_attrs(deep=False), study.drop_attrs(deep=False))
    caplog.set_level(logging.INFO, "isjax")
    other = dataclasses.replace(SPEC, rules=("log", "brier"), networks={"mlp": MLP})
    with pytest.raises(FileExistsError, match="has another spec, key, problems or versions"):
        isjax.study.run(KEY, PROBLEMS, other, output=path, resume=True)
    found = isjax.study.run(KEY, PROBLEMS, other, output=path, resume=True, overwrite=True)
    assert found["rule"].values.tolist() == ["log", "brier"]


def test_the_tables_print_the_accuracy_and_the_risk_under_the_other_rules(study, capsys):
    report.print_study(study, rich.console.Console(width=200))
    out = capsys.readouterr().out
    assert "\naccuracy " in out
    accuracy = study["accuracy"].sel(encoder="biased", network="soft", length=100)[..., -1].mean("seed").item()
    assert f"{accuracy:.3f}" in out
    best = 1 - study["scored_conditional_entropy"] - study["scored_encoder_bias"]
    assert f"biased     {best.sel(encoder='biased', rule='zero_one').item():.3f} mlp" in out
    for name in ("brier", "spherical", "squared_error"):
        assert f"\n{name} risk " in out
    assert max(map(len, out.splitlines())) <= 80
    alone = study[[name for name in study.data_vars if name != "accuracy" and not name.startswith("scored")]]
    report.print_study(alone, rich.console.Console(width=200))
    assert "\naccuracy" not in capsys.readouterr().out


def test_the_accuracy_in_the_table_is_that_at_the_rate_of_least_risk():
    """Although another rate has a higher one, and leaves out runs that diverged."""
    axes = "problem", "network", "batch_size", "learning_rate", "length", "seed", "evaluation"
    excess, risk = np.zeros((1, 1, 1, 2, 1, 2, 1)), np.zeros((1, 1, 1, 2, 1, 2, 1, 1))
    excess[0, 0, 0, :, 0, :, 0] = [[0.3, 0.3], [0.1, 9.0]]
    risk[0, 0, 0, :, 0, :, 0, 0] = [[0.2, 0.2], [0.4, 0.9]]
    diverged = np.zeros(excess.shape[:-1], bool)
    diverged[0, 0, 0, 1, 0, 1] = True
    found = xr.Dataset(
        {
            "excess_risk": (axes, excess),
            "scored_risk": ((*axes, "rule"), risk),
            "diverged": (axes[:-1], diverged),
        },
        {"rule": ["zero_one"], "learning_rate": [0.1, 0.2]},
    )
    assert results.last_risks(found).item() == pytest.approx(0.4)


def test_the_command_line_takes_rules_and_prints_accuracy_unless_told_otherwise(tmp_path, capsys):
    from isjax.cli import main as cli

    words = "sweep --hidden 8 --lengths 16 --num-seeds 1 --num-steps 20 --num-evals 2 --num-inputs 4 --num-relevant 2"
    words = [*words.split(), "--discriminations", "0.8", "--output", str(tmp_path), "--quiet"]
    cli.main(words)
    cli.main([*words, "--name", "other", "--rules", "log", "brier"])
    cli.main(["show", str(tmp_path / "study.nc")])
    out = capsys.readouterr().out
    assert out.count("\naccuracy ") == 1
    assert isjax.study.load(tmp_path / "study.nc")["rule"].values.tolist() == ["log", "zero_one"]
    assert isjax.study.load(tmp_path / "other.nc")["rule"].values.tolist() == ["log", "brier"]
    cli.main(["show", str(tmp_path / "other.nc")])
    assert "\nbrier risk " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*words, "--rules", "accuracy"])
    assert "rules must hold names of scoring rules" in capsys.readouterr().err
