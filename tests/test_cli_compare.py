"""``isjax compare``, as a person uses it: what it prints and leaves, and how it refuses."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

import isjax
import isjax.study
from isjax.cli import main as cli
from isjax.study import comparison

QUICK = ["--num-steps", "40", "--hidden", "6", "--num-evals", "4", "--learning-rates", "0.03"]
ENCODERS = ["--encoders", "both=x1,x2", "first=x1", "city"]


def frame(num_rows=150):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 2))
    city = rng.choice(["Oslo", "Rome", "Ulm"], num_rows)
    label = np.where(x[:, 0] + 0.3 * rng.normal(size=num_rows) > 0, "glad", "sad, or tired")
    columns = {"x1": x[:, 0], "x2": x[:, 1], "city": city, "mood": label, "same": 1, "row": np.arange(num_rows)}
    return pl.DataFrame(columns)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    path = tmp_path_factory.mktemp("people") / "people.csv"
    frame().write_csv(path)
    return path


def compare(path, *words, output):
    cli.main(["compare", str(path), "--target", "mood", *QUICK, "--output", str(output), *words])


@pytest.fixture(scope="module")
def done(people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    compare(people, *ENCODERS, output=folder)
    return folder


def test_the_tables_say_what_learners_lose(people, tmp_path, capsys):
    compare(people, *ENCODERS, output=tmp_path)
    out, _ = capsys.readouterr()
    assert "60 networks (3 encoders × 4 × 5 folds) on 2 × cpu" in out
    assert "150 rows, 2 classes, H(Y) = 0.6" in out
    assert "held-out cross-entropy in nats, by the number of rows to learn from" in out
    assert "with 120 rows: the rise is over both, with its 95 % interval" in out
    assert "city costs these learners" in out
    assert f"wrote {tmp_path / 'people-compare.nc'} and {tmp_path / 'people-compare.png'}" in out
    assert max(map(len, out.partition("wrote")[0].splitlines())) <= 80


def test_the_file_holds_the_loss_of_every_row(done):
    study = isjax.study.load(done / "people-compare.nc")
    found = isjax.data.samples(frame(), target="mood", encoders=ENCODERS[1:])
    assert study.row_loss.sel(source="people", encoder="city").sizes["row"] == 150
    assert study.risk.dims == ("problem", "network", "length", "seed")
    np.testing.assert_allclose(study.risk, study.row_loss.mean("row"), rtol=1e-5)
    assert list(study.encoder.values) == list(found)
    again = comparison.cross_validation_of(study)
    assert again.rise("both").estimate.shape == (3, 1, len(study.length))


def test_plot_and_show_read_the_file(done, tmp_path, capsys):
    cli.main(["show", str(done / "people-compare.nc")])
    assert "the rise is over both" in capsys.readouterr().out
    cli.main(["plot", str(done / "people-compare.nc"), "--output", str(tmp_path / "again.png")])
    assert (tmp_path / "again.png").read_bytes() == (done / "people-compare.png").read_bytes()


def test_another_reference_comes_first(people, tmp_path, capsys):
    compare(people, *ENCODERS, "--reference", "first", "--lengths", "40", "--name", "mine", output=tmp_path)
    assert "the rise is over first" in capsys.readouterr().out
    assert isjax.study.load(tmp_path / "mine.nc").encoder.values[0] == "first"


def test_columns_of_one_value_and_dropped_rows_are_told(people, tmp_path, capsys):
    data = frame().with_columns(pl.when(pl.col("row") < 3).then(None).otherwise(pl.col("x1")).alias("x1"))
    data.write_csv(tmp_path / "holes.csv")
    options = ["--missing", "drop", "--lengths", "40", "--num-seeds", "1", "--encoders", "a=x1,same", "b=x2"]
    compare(tmp_path / "holes.csv", *options, output=tmp_path)
    err = capsys.readouterr().err
    assert "left out, since they have one value in all rows: same" in err
    assert "3 rows with a missing value are dropped" in err


def test_an_interrupted_comparison_is_resumed_with_the_same_numbers(people, done, tmp_path, capsys):
    words = ["compare", str(people), "--target", "mood", "--output", str(tmp_path), *ENCODERS]
    words += ["--networks", "6", "tanh:5", "--num-steps", "1000", "--num-evals", "4", "--lengths", "40"]
    process = subprocess.Popen(
        [sys.executable, "-m", "isjax", *words], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    blocks = tmp_path / "people-compare.blocks"
    for _ in range(3000):
        if list(blocks.glob("[!.]*.block")) or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(blocks.glob("[!.]*.block"))
    cli.main([*words, "--resume"])
    whole = tmp_path / "whole"
    whole.mkdir()
    cli.main([*(str(whole) if word == str(tmp_path) else word for word in words)])
    first, second = (isjax.study.load(folder / "people-compare.nc") for folder in (tmp_path, whole))
    np.testing.assert_array_equal(first.row_loss, second.row_loss)
    assert not blocks.exists()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoders", "a=x9"], "the encoder a names 'x9', which no column is or matches"),
        (["--encoders", "a=same"], "the encoder a=same shows nothing"),
        (["--encoders", "x1", "--reference", "x2"], "reference must be one of"),
        (
            ["--encoders", "x1", "--lengths", "500"],
            "lengths must be at most 120, the rows that are not held out of 150 in 5",
        ),
        (["--encoders", "x1", "--lengths", "1"], "lengths must be at least 2"),
        (["--encoders", "x1", "--num-folds", "1"], "num_folds must be at least 2, got 1"),
        (["--encoders", "x1", "--num-folds", "100"], "each class must have a row in each of 100 folds, but"),
        (["--encoders", "x1", "--name", "a/b"], "name must be that of a file"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(people, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as caught:
        compare(people, *words, output=tmp_path)
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_finished_comparison_is_not_overwritten(people, done, capsys):
    before = (done / "people-compare.nc").read_bytes()
    with pytest.raises(SystemExit):
        compare(people, *ENCODERS, output=done)
    assert "exists: give --overwrite" in capsys.readouterr().err
    assert (done / "people-compare.nc").read_bytes() == before


def test_help_fits_eighty_columns():
    environment = {**os.environ, "COLUMNS": "80", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-m", "isjax", "compare", "--help"]
    text = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "An encoder is columns" in text
