"""Which columns matter: those that do are found, and nothing where nothing is."""

import json

import jax
import numpy as np
import polars as pl
import pytest

import isjax.data
from isjax.cli import main as cli
from isjax.estimation import ranking
from tests.helpers import exit_of, refused

pytestmark = pytest.mark.fast

SPEC = isjax.data.RankSpec(target="y")


def made_up(seed, *, shuffle=False, rows=2000, num_columns=30):
    """c0 … c3 matter, c4 is a copy of c0, c5 says something given c0, the others are noise."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2 + np.arange(num_columns) % 2, (rows, num_columns))
    x[:, :6] = rng.integers(0, 2, (rows, 6))
    x[:, 4] = x[:, 0]
    sign = 2 * x[:, 0] - 1
    logit = -1.5 + 1.5 * x[:, 0] + 1.2 * (x[:, 1] + x[:, 2] - x[:, 3]) + 2.4 * sign * (x[:, 5] - 0.5)
    y = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    columns = {f"c{i}": x[:, i] for i in range(num_columns)}
    return columns | {"y": rng.permutation(y) if shuffle else y}


@pytest.mark.parametrize("seed", range(3))  # of 20, all were found
def test_the_columns_that_matter_are_found_and_no_others(seed):
    found = isjax.data.rank(jax.random.key(seed), made_up(seed), SPEC)
    assert {step.column for step in found.steps} == {"c0", "c1", "c2", "c3", "c5"}
    assert {each.column: each.note for each in found.columns if each.note} == {"c4": "same as c0"}
    assert found.steps[-1].total == pytest.approx(sum(step.information for step in found.steps))
    alone = {each.column: each for each in found.columns}
    assert alone["c0"].adjusted_p_value < 0.05 < alone["c20"].adjusted_p_value
    assert alone["c0"].low < alone["c0"].information < alone["c0"].high


@pytest.mark.parametrize("seed", range(3))  # of 20, nothing was found in any
def test_nothing_is_found_in_shuffled_targets(seed):
    assert isjax.data.rank(jax.random.key(seed), made_up(seed, shuffle=True), SPEC).steps == ()


def test_keys_and_constants_are_said_to_be_such_and_not_added():
    columns = {"key": np.arange(60), "one": np.zeros(60, int), "x": np.arange(60) % 2, "y": np.arange(60) % 2}
    found = isjax.data.rank(jax.random.key(0), columns, SPEC)
    assert {each.column: each.note for each in found.columns} == {
        "key": "different in each row",
        "one": "constant",
        "x": "",
    }
    assert [step.column for step in found.steps] == ["x"]
    assert {each.column: each.p_value for each in found.columns}["key"] == 1


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do():
    adjusted = ranking._benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(adjusted, [0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_informations_are_those_of_permuted_targets():
    columns, rng = made_up(0, rows=200), np.random.default_rng(0)
    x = {name: columns[name] for name in ("c0", "c7")}
    strata, y = columns["c1"], columns["y"]
    informations = ranking._Informations(x, strata, y)
    for permuted in ranking._shuffled(rng, y, strata, 5):
        assert all(sorted(permuted[strata == s]) == sorted(y[strata == s]) for s in (0, 1))
        for value, column in zip(informations(permuted), x.values(), strict=True):
            joint = isjax.normalise(np.stack([np.bincount(2 * column + permuted, (strata == s), 6) for s in (0, 1)]))
            expected = isjax.conditional_mutual_information(np.moveaxis(np.asarray(joint).reshape(2, 3, 2), 0, -1))
            assert value == pytest.approx(float(expected), abs=1e-6)


def test_bad_specs():
    refused(
        ValueError,
        "columns must not contain the target, got 'y' in both",
        isjax.data.RankSpec,
        target="y",
        columns=("y",),
    )
    refused(ValueError, "level must lie between 0 and 1, got 2", isjax.data.RankSpec, target="y", level=2)
    constant = {"x": np.arange(4), "y": np.zeros(4, int)}
    message = "the target 'y' has the same value in all 4 rows"
    refused(ValueError, message, isjax.data.rank, jax.random.key(0), constant, SPEC)


def test_the_command_prints_draws_and_gives_json(tmp_path, capsys):
    columns = made_up(0) | {"a column of forty letters number 1 [/b] $": np.random.default_rng(1).random(2000)}
    pl.DataFrame(columns).write_csv(tmp_path / "made.csv")
    words = ["rank", str(tmp_path / "made.csv"), "--target", "y", "--output", str(tmp_path)]
    cli.main(words)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert "No other column adds anything." in out
    assert (tmp_path / "made-rank.png").read_bytes().startswith(b"\x89PNG")
    cli.main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["columns"]) == 31
    assert {step["column"] for step in found["steps"]} == {"c0", "c1", "c2", "c3", "c5"}


def test_the_command_refuses_two_columns_of_one_name(tmp_path, capsys):
    (tmp_path / "twice.csv").write_text("a,y,a\n1,2,3\n2,1,3\n")
    code, err = exit_of(["rank", str(tmp_path / "twice.csv"), "--target", "y"], capsys)
    assert code == 2
    assert "has two columns 'a': rename one of them, or name the --columns" in err
