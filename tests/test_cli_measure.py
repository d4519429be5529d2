"""``isjax measure``, as a person uses it: what it prints, as a table and as JSON, and how it refuses."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from isjax.cli import data
from isjax.cli import main as cli

QUICK = ["--num-resamples", "39", "--num-permutations", "49"]


def frame(rows=300):
    """A weather that tells the mood by its light alone; a share that is continuous, and a number of every row."""
    rng = np.random.default_rng(0)
    weather = rng.choice(["fog", "rain", "snow", "sun"], rows)
    light = np.where(weather == "sun", "bright", "dark")
    mood = np.where(rng.random(rows) < np.where(light == "bright", 0.9, 0.2), "glad", "sad, or tired")
    columns = {"weather": weather, "light": light, "mood": mood, "city": rng.choice(["Oslo", "Rome"], rows)}
    return pl.DataFrame({**columns, "share": rng.normal(size=rows), "row": np.arange(rows), "same": ["x"] * rows})


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    path = tmp_path_factory.mktemp("people") / "people.csv"
    frame().write_csv(path)
    frame().write_parquet(path.with_suffix(".parquet"))
    return path


WORDS = ["--target", "mood", "--inputs", "weather", "--encoders", "light", "city"]


def measure(path, *words):
    cli.main(["measure", str(path), *QUICK, *words])


def as_json(capsys, path, *words):
    measure(path, "--json", *words)
    return json.loads(capsys.readouterr().out)


def test_the_table_tells_what_each_encoder_keeps_and_loses(people, capsys):
    measure(people, *WORDS)
    out, err = capsys.readouterr()
    assert "300 rows, Y = mood (2 classes), X = weather (4 symbols); in nats, corrected by inversion" in out
    assert "city *" in out
    assert "* not a function of X: I(X;Y|U) is what X says about Y beyond U" in out
    assert "…" not in out
    assert err == ""


def test_json_is_all_that_is_printed_and_holds_the_numbers_of_the_table(people, capsys):
    found = as_json(capsys, people, *WORDS)
    measure(people, *WORDS)
    table = capsys.readouterr().out
    rows = [line.split() for line in table.splitlines() if line.strip()]

    def both(amount):
        return [f"{amount[kind]:.4g}" for kind in ("plug_in", "corrected")]

    def ends(of, name=""):
        return [f"{of[name + 'low']:.3g}", "to", f"{of[name + 'high']:.3g}"]

    for name, key in (("H(Y)", "entropy_y"), ("H(X)", "entropy_x")):
        assert [name, *both(found[key])] in rows
    assert ["I(X;Y)", *both(found["information"]), *ends(found, "information_")] in rows
    light = found["encoders"][0]
    tests = [f"{light[key]:.3g}" for key in ("p_value", "permutation_p_value")]
    assert ["light", str(light["symbols"]), *both(light["information"]), *ends(light, "information_")] in rows
    assert ["light", *both(light["loss"]), *ends(light), *tests] in rows
    assert (found["unit"], found["rows"], found["inputs"]) == ("nats", 300, ["weather"])
    assert light["is_function_of_inputs"]


def test_tables_fit_into_80_columns_however_long_the_names(tmp_path, capsys):
    rng, names = np.random.default_rng(0), [f"a column of forty letters number {i:>8}" for i in range(4)]
    x = rng.integers(0, 4, 400)
    columns = dict(zip(names, (x % 2 ^ (rng.random(400) < 0.3), x, x // 2, x % 2), strict=True))
    pl.DataFrame({name: values.astype(str) for name, values in columns.items()}).write_csv(tmp_path / "long.csv")
    target, inputs, *encoders = names
    measure(tmp_path / "long.csv", "--target", target, "--inputs", inputs, "--encoders", *encoders)
    _, *tables = capsys.readouterr().out.splitlines()
    assert max(map(len, tables)) <= 80
    assert [line.split("  ")[0] for line in tables if "…" in line] == 2 * ["a col…mber 2", "a col…mber 3"]


def test_a_sufficient_column_is_found_to_be_one(people, capsys):
    """Light is sufficient of weather for mood; the city, which says nothing, keeps nothing."""
    light, city = as_json(capsys, people, *WORDS)["encoders"]
    assert light["low"] == 0 < light["high"]
    assert light["permutation_p_value"] > 0.1
    assert light["loss"]["corrected"] < 0.02 < 0.1 < city["loss"]["corrected"]
    assert city["permutation_p_value"] == 1 / 50


def test_bits_are_nats_over_log_2(people, capsys):
    nats, bits = as_json(capsys, people, *WORDS), as_json(capsys, people, *WORDS, "--base", "2")
    assert bits["unit"] == "bits"
    for key in ("entropy_y", "entropy_x", "information"):
        assert bits[key]["corrected"] == pytest.approx(nats[key]["corrected"] / math.log(2))
    assert bits["encoders"][0]["high"] == pytest.approx(nats["encoders"][0]["high"] / math.log(2))


def test_formats_say_the_same(people, capsys):
    found, again = (as_json(capsys, path, *WORDS) for path in (people, people.with_suffix(".parquet")))
    assert found.pop("file") != again.pop("file")
    assert found == again


def test_without_inputs_x_is_every_other_column_and_continuous_ones_are_cut(people, tmp_path, capsys):
    frame().drop("row", "same").write_csv(tmp_path / "few.csv")
    words = ["--target", "mood", "--encoders", "light", "--bins", "3"]
    found = as_json(capsys, tmp_path / "few.csv", *words)
    assert found["inputs"] == ["weather", "city", "share"]
    assert found["input_symbols"] == 4 * 2 * 3
    assert found["encoders"][0]["smallest_expected_count"] < 10
    assert len(found["warnings"]) == 1


def test_warnings_are_lines_on_standard_error(people, capsys):
    measure(people, "--target", "weather", "--inputs", "share", "--bins", "60", "--encoders", "mood", "--json")
    out, err = capsys.readouterr()
    assert [f"isjax: {line}" for line in json.loads(out)["warnings"]] == err.splitlines()
    assert "use those of permutations" in err
    measure(people, "--target", "weather", "--inputs", "share", "--bins", "60", "--method", "jackknife")
    (few,) = capsys.readouterr().err.splitlines()
    assert "few for 60 symbols of X and 4 of Y" in few


def test_missing_values_are_left_out_or_a_symbol(tmp_path, capsys):
    frame().with_columns(city=pl.Series([None] * 30 + ["Rome", "Oslo"] * 135)).write_csv(tmp_path / "gaps.csv")
    words = ["--target", "mood", "--inputs", "city"]
    dropped = as_json(capsys, tmp_path / "gaps.csv", *words, "--missing", "drop")
    assert (dropped["rows"], dropped["num_dropped"], dropped["input_symbols"]) == (270, 30, 2)
    assert as_json(capsys, tmp_path / "gaps.csv", *words, "--missing", "symbol")["input_symbols"] == 3
    with pytest.raises(SystemExit):
        measure(tmp_path / "gaps.csv", *words)
    assert "column 'city' misses 30 of 300 values" in capsys.readouterr().err


REFUSED = {
    "--target mod": "has no column 'mod', only 'weather', 'light', 'mood', 'city', 'share', 'row', 'same'",
    "--target mood --inputs shade": "has no column 'shade', only",
    "--target same --inputs city": "the target 'same' has the same value in all 300 rows",
    "--target mood --inputs row": "X = row is different in each of the 300 rows: nothing can be estimated",
    "--target row --inputs city": "the target 'row' is different in each of the 300 rows",
    "--target mood": "column 'share' is continuous (it holds ",
    "--target share --inputs city": "cut it into bins (--bins N), or write its levels as words",
    "--target mood --inputs mood city": "inputs must not contain the target, got 'mood' in both",
    "--target mood --encoders mood": "encoders must not contain the target, got 'mood' in both",
    "--target mood --encoders city city": "encoders must name each column once, got 'city' twice",
    "--target mood --inputs city city": "inputs must name each column once, got 'city' twice",
    "--target mood --encoders weather light city share row same": "there is no column besides the target and the",
    "--target mood --inputs city --bins 1": "bins must be at least 2, got 1",
    "--target mood --inputs city --base 1": "base must be a number greater than 1",
    "--target mood --inputs city --confidence 1": "confidence must lie between 0 and 1, got 1.0",
    "--target mood --inputs city --confidence nan": "confidence must lie between 0 and 1, got nan",
    "--target mood --inputs city --num-resamples 1": "num_resamples must be at least 2, got 1",
    "--target mood --inputs city --num-permutations 0": "num_permutations must be at least 1, got 0",
    "--target mood --inputs city --seed -1": "seed must be at least 0, got -1",
    "--target mood --inputs city --method best": "invalid choice",
    "--inputs city": "--target",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_options_are_refused_in_one_line_with_code_2(people, words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["measure", str(people), *words.split()])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert REFUSED[words] in err
    assert "Traceback" not in err
    assert err.count("isjax: ") == 0 or len(err.splitlines()) == 1
    assert out == ""


FILES = {
    "none.csv": (None, "there is no file"),
    "empty.csv": ("", "is empty"),
    "head.csv": ("a,b\n", "has no rows"),
    "long.csv": ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, not 2"),
    "short.csv": ("a,b\n1,2\n1\n2,2\n", "line 3 has 1 fields, not 2"),
    "twice.csv": ("a,b,a\n1,2,3\n", "has two columns 'a': rename one of them, or name the --inputs"),
    "false.parquet": ("a,b\n1,2\n", "cannot be read"),
    "data.xlsx": ("a,b\n1,2\n", "must end in .csv, .tsv, .txt, .data, .parquet, .arrow, .feather"),
    "folder.csv": (None, "is a folder, not a file"),
    "bytes.csv": (b"a,b\n\xff\xfe,2\n", "is not written in utf-8: byte 0xff at position 4; give its encoding"),
    "nan.csv": ("a,b\nNaN,2\n1.0,3\n2.0,3\n", "column 'a' misses 1 of 3 values"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_refused_in_one_line_with_code_2(name, tmp_path, capsys):
    content, message = FILES[name]
    if name == "folder.csv":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit) as stop:
        cli.main(["measure", str(tmp_path / name), "--target", "b"])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""


LISTED = """
import json, sys
from isjax.cli.main import main
main(sys.argv[1:])
large = ("xarray", "h5netcdf", "h5py", "pandas", "matplotlib", "polars")
print(json.dumps([name for name in large if name in sys.modules]))
"""


def test_from_a_shell_without_what_only_studies_and_figures_need(people):
    words = [sys.executable, "-c", LISTED, "measure", str(people), *WORDS, *QUICK, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False)
    assert done.returncode == 0, done.stderr
    found, loaded = done.stdout.rsplit("\n", 2)[:2]
    assert json.loads(found)["target"] == "mood"
    assert json.loads(loaded) == ["polars"]
    assert done.stderr == ""


def test_a_failure_of_the_work_is_one_line_and_code_1(people, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError("no room for 10 GiB")

    monkeypatch.setattr(data, "measure", fail)
    with pytest.raises(SystemExit) as stop:
        measure(people, *WORDS)
    assert stop.value.code == 1
    assert capsys.readouterr().err == "isjax: MemoryError: no room for 10 GiB\n"
