"""A file's columns taken as the truth: problems whose loss is that of the empirical distribution."""

import math

import jax
import numpy as np
import pytest

import isjax
import isjax.data
import isjax.study
from isjax.cli import main as cli

RNG = np.random.default_rng(0)
AGE = RNG.integers(0, 5, 400)
SMOKES = RNG.integers(0, 2, 400)
COLUMNS = {
    "age": AGE,
    "smokes": SMOKES,
    "half": (AGE >= 2).astype(int),
    "y": (RNG.random(400) < 0.2 + 0.5 * (AGE >= 2)).astype(int),
    "same": np.zeros(400, int),
}


def problems_of(**options):
    return isjax.data.problems(COLUMNS, **({"target": "y", "inputs": ["age", "smokes"]} | options))


def test_the_loss_of_a_code_is_that_of_the_columns():
    found = problems_of(encoders=["half"])
    assert list(found) == ["identity", "half"]
    spec = isjax.data.MeasureSpec(target="y", inputs=("age", "smokes"), encoders=("half",))
    measured = isjax.data.measure(jax.random.key(0), COLUMNS, spec)
    joint, codes, features = found["half"]
    lost = isjax.mutual_information_loss(joint, codes, num_codes=len(features))
    np.testing.assert_allclose(lost, measured.encoders[0].loss.plug_in, atol=1e-6)
    np.testing.assert_allclose(isjax.mutual_information(joint), measured.information.plug_in, atol=1e-6)


def test_networks_see_symbols_side_by_side_and_two_symbols_as_signs():
    identity, half = problems_of(encoders=["half"]).values()
    assert identity.features.shape == (10, 6)
    np.testing.assert_array_equal(identity.features[:, :5], np.repeat(np.eye(5), 2, axis=0))
    np.testing.assert_array_equal(identity.features[:, 5], np.tile([-1, 1], 5))
    np.testing.assert_array_equal(half.features, [[-1], [1]])


REFUSED = {
    "there is no column 'height', only 'age'": {"inputs": ["height"]},
    "inputs must name at least one column, got none": {"inputs": []},
    "the target 'same' has the same value in all 400 rows": {"target": "same"},
    "the encoder 'smokes' is not a function of the inputs: row ": {"inputs": ["age"], "encoders": ["smokes"]},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_poses_no_problem_is_refused(message):
    with pytest.raises(ValueError, match=message):
        problems_of(**REFUSED[message])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.csv"
    rows = zip(*(COLUMNS[name].tolist() for name in ("age", "smokes", "y")), strict=True)
    path.write_text("age,smokes,y\n" + "".join(f"{a},{s},{y}\n" for a, s, y in rows))
    return path


GRID = "--num-seeds 1 --num-steps 20 --num-evals 2 --learning-rates 0.05 --no-keep-programs --quiet".split()


def test_a_sweep_of_a_file_with_networks_of_both_kinds(file, tmp_path):
    source = ["file", "--file", str(file), "--target", "y", "--inputs", "age", "smokes"]
    words = [
        "--encoders",
        "half=age>=2",
        "--networks",
        "4",
        "hard:4/2",
        "--optimizer",
        "adam",
        "--lengths",
        "16",
        "inf",
    ]
    cli.main(["sweep", *source, *words, *GRID, "--output", str(tmp_path)])
    study = isjax.study.load(tmp_path / "study.nc")
    assert study["encoder"].values.tolist() == ["identity", "half"]
    assert study["source"].values.tolist() == ["people", "people"]
    assert study["network"].values.tolist() == ["4", "hard:4/2"]
    assert study["length"].values.tolist() == [16, math.inf]
    assert (tmp_path / "study-parts.png").read_bytes().startswith(b"\x89PNG")
    loss = problems_of(encoders=["half"])["half"]
    expected = isjax.mutual_information_loss(loss.joint, loss.codes, num_codes=2)
    np.testing.assert_allclose(study["encoder_bias"].sel(encoder="half").item(), expected, atol=1e-6)


SWEEP_REFUSED = {
    "sweep --networks foo": "the network foo cannot be read: write 32, 256,256, linear, tanh:32",
    "sweep --networks 32/x": "the network 32/x cannot be read",
    "sweep --networks 8 8": "networks must name each network once, got 8 twice",
    "sweep --networks 8 --hidden 4": "give one of hidden and networks",
    "sweep --optimizer rmsprop": "invalid choice",
    "sweep --lengths inf --num-epochs 2": "lengths must be finite for num_epochs",
    "sweep --encoders best": "encoders must be",
    "sweep file --file nowhere.csv --target y --inputs x": "nowhere.csv",
}


@pytest.mark.parametrize("words", SWEEP_REFUSED)
def test_a_sweep_that_cannot_be_is_refused_with_code_2(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*words.split(), "--output", str(tmp_path / "out")])
    assert stop.value.code == 2
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert SWEEP_REFUSED[words] in err
    assert "Traceback" not in err
