"""Codes of one's own are written as expressions of columns."""

import json
import re

import numpy as np
import polars as pl
import pytest

import isjax.data
from isjax.cli import main as cli

pytestmark = pytest.mark.fast

AGES = [20, 29, 30, 41, 55, 60, 38, 70]
SMOKES = ["yes", "no", "no", "yes", "no", "yes", "no", "no"]
REGION = ["east", "north", "south", "east", "west", "west", "north", "2"]
FRAME = pl.DataFrame({"age": AGES, "age+": AGES[::-1], "smokes": SMOKES, "region": REGION, "y": [0, 1] * 4})

CODES = {
    "age<40": ([0, 0, 0, 1, 1, 1, 0, 1], ("below 40", "40 up")),
    "age >= 40": ([0, 0, 0, 1, 1, 1, 0, 1], ("below 40", "40 up")),
    "age<=30": ([0, 0, 0, 1, 1, 1, 1, 1], ("to 30", "30 above")),
    "age>30": ([0, 0, 0, 1, 1, 1, 1, 1], ("to 30", "30 above")),
    "age<30<60": ([0, 0, 1, 1, 1, 2, 1, 2], ("below 30", "below 60", "60 up")),
    "age<6e1<3e1": ([0, 0, 1, 1, 1, 2, 1, 2], ("below 30", "below 60", "60 up")),
    "smokes": ([1, 0, 0, 1, 0, 1, 0, 0], ("no", "yes")),
    "smokes==yes": ([0, 1, 1, 0, 1, 0, 1, 1], ("yes", "other")),
    "region==east, 2": ([0, 1, 1, 0, 1, 1, 1, 0], ("east or 2", "other")),
    "region!=east,2": ([0, 1, 1, 0, 1, 1, 1, 0], ("east or 2", "other")),
    "age:2": ([0, 0, 0, 1, 1, 1, 1, 1], ("to below 38", "38 up")),
    "age+<40": ([1, 0, 1, 1, 1, 0, 0, 0], ("below 40", "40 up")),
    "smokes+age<40": ([2, 0, 0, 3, 1, 3, 0, 1], ("no & below 40", "no & 40 up", "yes & below 40", "yes & 40 up")),
    "age++smokes==yes": (None, None),
}


@pytest.mark.parametrize("text", CODES)
def test_a_code_groups_the_symbols_as_its_expression_says(text):
    column = isjax.data.read(FRAME, ["y"], codes={"code": text})["code"]
    codes, labels = CODES[text]
    if codes is None:  # eight values of "age+", each with one of "smokes"
        assert column.num_symbols == 8
    else:
        assert column.codes.tolist() == codes
        assert column.labels == labels


def test_a_code_may_use_a_code_before_it():
    table = isjax.data.read(FRAME, ["y"], codes={"half": "age<40", "group": "smokes+half"})
    direct = isjax.data.read(FRAME, ["y"], codes={"group": "smokes+age<40"})
    assert list(table) == ["y", "half", "group"]
    assert table["group"].codes.tolist() == direct["group"].codes.tolist()


def test_missing_values_of_a_code_are_refused_dropped_or_a_symbol():
    frame = FRAME.with_columns(age=pl.Series([None, *AGES[1:]]))
    codes = {"half": "age<40", "group": "half+smokes"}
    with pytest.raises(ValueError, match="column 'age' misses 1 of 8 values"):
        isjax.data.read(frame, ["y"], codes=codes)
    assert isjax.data.read(frame, ["y"], codes=codes, missing="drop").num_dropped == 1
    table = isjax.data.read(frame, ["y"], codes=codes, missing="symbol")
    assert table["half"].labels == ("below 40", "40 up", "(missing)")
    assert table["half"].codes.tolist() == [2, 0, 0, 1, 1, 1, 0, 1]
    assert table["group"].labels[-1] == "(missing)"
    assert table["group"].codes[0] == table["group"].num_symbols - 1


REFUSED = {
    "agee<40": "the code c=agee<40 cannot be read at 'e<40': write a column",
    "height<40": "needs a column at 'height<40', but there are only 'age', 'age+'",
    "age<forty": "cannot be read at '<forty'",
    "age<40>50": "cannot be read at '<40>50'",
    "age<40+": "needs a column at ''",
    "": "needs a column at ''",
    "smokes<40": "column 'smokes' cannot be compared with numbers: it holds words; name symbols, as smokes==A",
    "smokes:2": "column 'smokes' cannot be cut into 2 bins",
    "age:1": "must cut 'age' into at least 2 bins, got 1",
    "region==centre": "column 'region' never is 'centre'; it holds 2, east, north, south, west",
}


@pytest.mark.parametrize("text", REFUSED)
def test_an_expression_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(REFUSED[text])):
        isjax.data.read(FRAME, ["y"], codes={"c": text})


def test_a_code_needs_a_name_of_its_own():
    with pytest.raises(ValueError, match="the code age=age<40 needs another name: there is a column 'age'"):
        isjax.data.read(FRAME, ["y"], codes={"age": "age<40"})


def test_measure_takes_codes_and_columns_with_an_equals_sign(tmp_path, capsys):
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, 400)
    frame = pl.DataFrame(
        {"age": age, "a=b": age % 3, "y": (rng.random(400) < np.where(age < 50, 0.2, 0.8)).astype(int)}
    )
    frame.write_csv(tmp_path / "a.csv")
    words = ["--target", "y", "--inputs", "age", "--bins", "age=4", "--encoders", "half=age:2", "a=b", "--json"]
    cli.main(["measure", str(tmp_path / "a.csv"), *words])
    found = json.loads(capsys.readouterr().out)
    assert [each["column"] for each in found["encoders"]] == ["half", "a=b"]
    assert found["encoders"][0]["is_function_of_inputs"]
    assert found["encoders"][0]["loss"]["plug_in"] < 0.05 < found["encoders"][1]["loss"]["plug_in"]
