"""People's files: what becomes of their columns, and what is refused and why."""

import csv
import re

import jax
import numpy as np
import polars as pl
import pytest

import isjax.data
from isjax.data import columns, report

pytestmark = pytest.mark.fast

ROWS = [("cat", 4, 1.0, True), ("bird", 2, 2.0, False), ("cat", 10, 2.0, True), ("ant", 4, 1.0, False)]


@pytest.fixture(params=["csv", "parquet"])
def write(request, tmp_path):
    """Writes a frame in either format."""

    def to_file(frame):
        path = tmp_path / f"data.{request.param}"
        frame.write_csv(path) if request.param == "csv" else frame.write_parquet(path)
        return path

    return to_file


def frame(**changed):
    columns = zip(("kind", "legs", "whole", "truth"), zip(*ROWS, strict=True), strict=True)
    return pl.DataFrame({**{name: list(values) for name, values in columns}, **changed})


def test_words_numbers_and_truth_values_are_symbols(write):
    path = write(frame())
    table = columns.read(path, ["kind", "legs", "whole", "truth"])
    assert table.num_rows == 4
    assert table.num_dropped == 0
    expected = {
        "kind": ([2, 1, 2, 0], ("ant", "bird", "cat")),
        "legs": ([1, 0, 2, 1], ("2", "4", "10")),  # by size, not by letter
        "whole": ([0, 1, 1, 0], ("1", "2") if path.suffix == ".parquet" else ("1.0", "2.0")),  # as written
        "truth": ([1, 0, 1, 0], ("false", "true")),
    }
    for name, (codes, labels) in expected.items():
        assert table.columns[name].codes.tolist() == codes
        assert table.columns[name].labels == labels
        assert table.columns[name].num_symbols == len(labels)
        assert table.columns[name].codes.dtype == np.int32


@pytest.mark.parametrize("column", ["kind", "legs", "whole"])
def test_missing_values_are_refused_dropped_or_a_symbol(write, column):
    values = frame()[column].to_list()
    path = write(frame(**{column: [values[0], None, *values[2:]]}))
    with pytest.raises(ValueError, match=f"^column '{column}' misses 1 of 4 values: drop those rows"):
        columns.read(path, [column, "truth"])
    dropped = columns.read(path, [column, "truth"], missing="drop")
    assert (dropped.num_rows, dropped.num_dropped) == (3, 1)
    assert dropped.columns["truth"].codes.tolist() == [1, 1, 0]
    kept = columns.read(path, [column, "truth"], missing="symbol").columns[column]
    assert kept.labels == (*dropped.columns[column].labels, "(missing)")
    assert kept.codes[1] == kept.num_symbols - 1
    assert columns.read(path, ["truth"]).num_rows == 4  # other columns are not looked at


def test_not_a_number_is_missing(tmp_path):
    frame(whole=[1.0, float("nan"), 2.0, 2.0]).write_parquet(tmp_path / "data.parquet")
    assert columns.read(tmp_path / "data.parquet", ["whole"], missing="drop").num_dropped == 1


def test_an_empty_field_is_missing_quoted_or_not(tmp_path):
    (tmp_path / "data.csv").write_text('a,b\n"",1\n,1\nx,2\n')
    assert columns.read(tmp_path / "data.csv", ["a"], missing="drop").num_dropped == 2


def test_a_column_of_nothing_but_missing_values_is_constant(write):
    column = columns.read(write(frame(kind=[None] * 4)), ["kind"], missing="symbol").columns["kind"]
    assert column.labels == ("(missing)",)
    assert column.codes.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [0.5, 1.0, 1.0, 2.0],
            "column 'kind' is continuous (it holds 0.5): leave it out, cut it into bins (--bins N), or write",
        ),
        ([1e300, 1.0, 1.0, float("inf")], "column 'kind' is continuous (it holds"),
        ([[1], [1, 2], [1], [2]], "column 'kind' holds List(Int64), not symbols"),
    ],
)
def test_what_is_not_categorical_is_refused(tmp_path, values, message):
    frame(kind=values).write_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        columns.read(tmp_path / "data.parquet", ["kind"])


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "data.xls").write_text("a\n1\n")
    (tmp_path / "data.parquet").write_text("no parquet")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("a,b\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "missing.csv").write_text("a,b\n1,\n2,\n")
    for name, error, message in (
        ("none.csv", FileNotFoundError, "there is no file"),
        ("data.xls", ValueError, "must end in .csv, .tsv, .txt, .data, .parquet"),
        ("data.parquet", ValueError, "cannot be read"),
        ("empty.csv", ValueError, "empty.csv is empty"),
        ("ragged.csv", ValueError, "cannot be read"),
        ("head.csv", ValueError, "has no rows"),
        ("missing.csv", ValueError, "has no row without a missing value in b"),
    ):
        with pytest.raises(error, match=message):
            columns.read(tmp_path / name, ["b"], missing="drop")
    with pytest.raises(ValueError, match="has no column 'c', only 'a', 'b'"):
        columns.read(tmp_path / "head.csv", ["a", "c"])


def test_codes_are_written_symbol_by_symbol(tmp_path):
    counts = np.array([[3, 0], [0, 3], [2, 0], [1, 1]])
    x, y = (np.repeat(part.reshape(-1), counts.reshape(-1)) for part in np.indices(counts.shape))
    found = isjax.data.find_codes(jax.random.key(0), {"x": x, "y": y}, target="y", input="x", num_codes=9, num_betas=2)
    report.write_codes(tmp_path / "codes.csv", found, ("a", "b,c", "d", "e"))
    rows = list(csv.DictReader((tmp_path / "codes.csv").read_text().splitlines()))
    assert [row["symbol"] for row in rows] == ["a", "b,c", "d", "e"]
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.3, 0.3, 0.2, 0.2])
    assert [row["k=3"] for row in rows] == ["0", "1", "0", "2"]
    assert [row["k=4"] for row in rows] == ["0", "1", "0", "2"]  # symbols of equal rows stay together


def test_a_table_is_a_mapping_of_columns_that_numpy_reads_as_codes(write):
    table = isjax.data.read(write(frame()), ["kind", "legs"])
    assert list(table) == ["kind", "legs"]
    assert len(table) == 2
    assert table["legs"] is table.columns["legs"]
    assert np.asarray(table["kind"]).tolist() == [2, 1, 2, 0]
    assert np.asarray(table["kind"], np.int64).dtype == np.int64


def test_bins_of_a_continuous_column_have_equal_counts_and_keep_the_order(write):
    values = np.random.default_rng(0).normal(size=120)
    column = columns.read(write(pl.DataFrame({"a": values})), ["a"], bins=4).columns["a"]
    assert np.bincount(column.codes).tolist() == [29, 30, 30, 31]  # the quantile itself begins the next bin
    assert (np.diff(column.codes[np.argsort(values)]) >= 0).all()
    assert column.labels[0].startswith("to below -0.")
    assert column.labels[-1].endswith(" up")


def test_bins_leave_levels_ties_and_other_columns_as_they_are(write):
    ties = [0.0] * 90 + [i + 0.5 for i in range(30)]
    frame = pl.DataFrame({"levels": [0.5, 1.0, 2.5] * 40, "ties": ties, "whole": [*range(60)] * 2})
    path = write(frame)
    table = columns.read(path, ["levels", "ties", "whole"], bins=4, uncut=["whole", "ties"])
    assert table.columns["levels"].labels == ("0.5", "1.0", "2.5")
    assert table.columns["ties"].labels == ("to below 0.5", "0.5 up")  # three quarters are zero
    assert np.bincount(table.columns["ties"].codes).tolist() == [90, 30]
    assert table.columns["whole"].num_symbols == 60
    assert columns.read(path, ["whole"], bins=4).columns["whole"].num_symbols == 4
    assert columns.read(path, ["whole", "ties"], bins={"ties": 4}).columns["whole"].num_symbols == 60


def test_a_missing_value_is_in_no_bin(write):
    path = write(pl.DataFrame({"a": [None, *(i + 0.5 for i in range(9))], "b": [1] * 10}))
    column = columns.read(path, ["a"], missing="symbol", bins=3).columns["a"]
    assert column.codes.tolist() == [3, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert column.labels[-1] == "(missing)"
    with pytest.raises(ValueError, match="bins must be at least 2, got 1"):
        columns.read(path, ["a"], missing="drop", bins=1)
