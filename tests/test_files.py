"""Files as people have them: what they hold is read right, or refused in one line that says what to do."""

import contextlib
import gzip
import json
import pathlib

import numpy as np
import polars as pl
import pytest

import isjax.data
from isjax.cli import main as cli
from isjax.cli.common import CommandLineError

FILES = pathlib.Path(__file__).parent / "files"
QUICK = ["--num-resamples", "2", "--num-permutations", "1"]
FORTY = ["--target", "y", "--inputs", "colour"]
OF_FORTY = {"rows": 40, "input_symbols": 3, "entropy_y": 0.673012, "entropy_x": 1.054920, "information": 0.395753}

# The command on each file, and the right plug-in values, by numpy and scipy.
CASES = {
    "01_blank_last_line.csv": (FORTY, OF_FORTY),
    "01_blank_last_line.csv symbol": ([*FORTY, "--missing", "symbol"], OF_FORTY),
    "01_blank_last_line.csv drop": ([*FORTY, "--missing", "drop"], OF_FORTY | {"num_dropped": 0}),
    "02_unused_twin_columns.csv": (FORTY, OF_FORTY),
    "03_semicolons.csv": (FORTY, OF_FORTY),
    "04_tabs.tsv": (FORTY, OF_FORTY),
    "06_latin1.csv": ([*FORTY, "--encoding", "latin-1"], OF_FORTY),
    "08_gzipped.csv.gz": (FORTY, OF_FORTY),
    "09_carriage_returns.csv": (FORTY, OF_FORTY),
    "10_minus_zero.csv": (
        ["--target", "y", "--inputs", "dose", "--bins", "4"],
        {"input_symbols": 3, "entropy_x": 1.039721, "information": 0},
    ),
    "12_na_among_numbers.csv drop": (
        ["--target", "y", "--inputs", "dose", "--bins", "4", "--missing", "drop"],
        {"rows": 54, "num_dropped": 6, "input_symbols": 4, "information": 0.454026},
    ),
    "12_na_among_numbers.csv symbol": (
        ["--target", "y", "--inputs", "dose", "--bins", "4", "--missing", "symbol"],
        {"rows": 60, "input_symbols": 5, "information": 0.435353},
    ),
    "14_whole_ages.csv": (
        ["--target", "y", "--inputs", "age", "--bins", "4"],
        {"input_symbols": 4, "information": 0.097829},
    ),
    "15_leading_zeros.csv": (
        ["--target", "y", "--inputs", "code"],
        {"input_symbols": 4, "information": 0.693147},
    ),
    "17_row_names.csv": (FORTY, OF_FORTY),
    "19_table_of_counts.csv": (
        ["--target", "eye", "--inputs", "hair", "--weights", "count"],
        {"rows": 251, "information": 0.287314},
    ),
    "20_brackets.csv": (["--target", "y", "--inputs", "end [/b]"], {"input_symbols": 2, "information": 0.002167}),
    "23_no_header.csv": (["--target", "1", "--inputs", "2", "--no-header"], {"rows": 36}),
}


def measured(capsys, path, *words):
    cli.main(["measure", str(path), *words, *QUICK, "--json"])
    return json.loads(capsys.readouterr().out)


def agrees(found, expected):
    for name, value in expected.items():
        got = found[name]["plug_in"] if isinstance(found[name], dict) else found[name]
        assert got == pytest.approx(value, abs=2e-6), name


@pytest.mark.parametrize("name", CASES)
def test_the_cases_give_the_right_values(name, capsys):
    words, expected = CASES[name]
    agrees(measured(capsys, FILES / name.split()[0], *words), expected)


# --- second examples of each kind ---------------------------------------------------------------------------------

BODY = [("red", "yes"), ("blue", "no"), ("red", "yes"), ("green", "no"), ("blue", "yes"), ("green", "no")]


def text_of(separator=",", end="\n", header=("colour", "y"), rows=BODY):
    return end.join(separator.join(row) for row in [header, *rows]) + end


SAME = {
    "bars.txt": text_of("|").encode(),
    "tabs.data": text_of("\t").encode(),
    "semicolons.tsv.gz": gzip.compress(text_of(";").encode()),
    "mark.csv": text_of().encode("utf-8-sig"),
    "utf16.csv": text_of().encode("utf-16"),
    "utf16be.csv": b"\xfe\xff" + text_of().encode("utf-16-be"),
    "windows.csv": text_of(end="\r\n").encode(),
    "mac.tsv": text_of("\t", "\r").encode(),
    "blank_lines.csv": text_of(end="\n\n").encode() + b"  \n\n",
    "blank_last_line.csv": text_of().encode() + b"  ",
    "blank_first_line.csv": b"\n" + text_of().encode(),
    "no_last_end.csv": text_of().rstrip().encode(),
    "quoted.csv": text_of(header=('"colour"', '"y"')).replace("red", '"red"').encode(),
    "spaced_names.csv": text_of(header=("colour ", " y")).encode(),
}


@pytest.mark.parametrize("name", SAME)
def test_however_a_text_file_is_written_it_holds_the_same_rows(name, tmp_path):
    (tmp_path / name).write_bytes(SAME[name])
    table = isjax.data.read(tmp_path / name, ["colour", "y"])
    assert table.num_rows == 6
    assert [table["colour"].labels[code] for code in table["colour"].codes] == [row[0] for row in BODY]
    assert table["y"].labels == ("no", "yes")


def test_frames_and_binary_files_hold_the_same_rows(tmp_path):
    frame = pl.DataFrame(BODY, schema=["colour", "y"], orient="row")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.arrow")
    frame.write_ipc(tmp_path / "a.feather")
    frame.with_columns(pl.col("colour").cast(pl.Categorical)).write_parquet(tmp_path / "b.parquet")
    for source in (frame, *sorted(tmp_path.iterdir())):
        assert isjax.data.read(source, ["colour"])["colour"].labels == ("blue", "green", "red")


def test_symbols_are_what_is_written_and_in_natural_order(tmp_path):
    words = ["x10", "x2", "x1", "007", "07", "7", "12E3", "12000", "TRUE", "true", "1.0"]
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{word},1\n" for word in words))
    labels = isjax.data.read(tmp_path / "a.csv", ["a"])["a"].labels
    assert set(labels) == set(words)
    assert [label for label in labels if label.startswith("x")] == ["x1", "x2", "x10"]


def test_two_ways_to_write_a_letter_are_one(tmp_path):
    (tmp_path / "a.csv").write_text("Gro\u0308sse,y\nu\u0308ber,1\n\u00fcber,2\n")
    assert isjax.data.read(tmp_path / "a.csv", ["Gr\u00f6sse"])["Gr\u00f6sse"].labels == ("\u00fcber",)


def test_what_stands_for_missing_is_missing(tmp_path):
    words = ["NA", "N/A", "?", ".", "-", "null", '""', "", "NaN", " NA ", "unknown"]
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{word},1\n" for word in words) + "x,1\n")
    assert isjax.data.read(tmp_path / "a.csv", ["a"], missing="drop").num_dropped == 10
    assert isjax.data.read(tmp_path / "a.csv", ["a"], missing="drop", na=("unknown",)).num_dropped == 11


def test_bins_are_of_every_numeric_input_or_of_those_named(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = zip(rng.integers(0, 90, 300), rng.random(300), rng.integers(0, 7, 300), rng.integers(0, 2, 300), strict=True)
    path = tmp_path / "a.csv"
    path.write_text("age,dose,code,y\n" + "".join(f"{a},{d:.3f},{c},{y}\n" for a, d, c, y in rows))
    words = ["--target", "y", "--inputs", "age", "dose", "--encoders", "code"]
    found = measured(capsys, path, *words, "--bins", "4")
    assert found["input_symbols"] == 16
    assert found["encoders"][0]["symbols"] == 7  # codes are no numbers to cut
    assert measured(capsys, path, *words, "--bins", "age=3,dose=2")["input_symbols"] == 6


def test_weights_are_repeated_rows(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,n\na,0,3\nb,1,0\nb,0,2\n")
    table = isjax.data.read(tmp_path / "a.csv", ["x", "y"], weights="n")
    assert table.num_rows == 5
    assert table["x"].codes.tolist() == [0, 0, 0, 1, 1]


REFUSED = {
    "survey.csv": (b"x,y,w\na,1,0.5\nb,2,1.5\n", ["--weights", "w"], "survey weights are not supported"),
    "negative.csv": (
        b"x,y,w\na,1,-1\nb,2,1\n",
        ["--weights", "w"],
        "weights must not be negative, but column 'w' holds -1",
    ),
    "words.csv": (b"x,y\na,1\nb,2\n", ["--bins", "x=2"], "column 'x' cannot be cut into bins: it holds words"),
    "mixed.csv": (b"x,y\n1.5,1\nlow,2\n2.5,1\n3.5,2\n", ["--bins", "2"], "holds 'low' among numbers; if that means a"),
    "bins.csv": (b"x,y\na,1\nb,2\n", ["--bins", "x=two"], "bins must be a number, or such as age=4,dose=10"),
    "page.csv": (b"<!DOCTYPE html>\n<html></html>\n", [], "is a web page, not a table"),
    "sheet.csv": (b"PK\x03\x04rest", [], "is a zip archive, or a spreadsheet"),
    "ragged.csv": (b"x,y\na,1\n\nb,2,3\n", [], "line 4 has 3 fields, not 2"),
    "latin.csv": ("x,y\n\xfc,1\nb,2\n".encode("latin-1"), [], "give its encoding (--encoding latin-1)"),
    "codec.csv": (b"x,y\na,1\nb,2\n", ["--encoding", "latin-99"], "encoding must be one that Python knows"),
    "blank.csv": (b"\n \n\n", [], "is empty"),
    "missing.csv": (b"x,y\nNA,1\n?,2\n", ["--missing", "drop"], "has no row without a missing value"),
    "separator.csv": (b"x,y\na,1\nb,2\n", ["--separator", "::"], "separator must be one character"),
    "cut.csv.gz": (gzip.compress(b"x,y\na,1\nb,2\n" * 50)[:-12], [], "cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(name, tmp_path, capsys):
    content, words, message = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        cli.main(["measure", str(tmp_path / name), "--target", "y", "--inputs", "x", *words, *QUICK])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_names_with_brackets_are_text(tmp_path, capsys):
    words = ["--target", "y", "--input", "size [mm]", "--num-codes", "2", "--output", str(tmp_path)]
    cli.main(["bottleneck", str(FILES / "20_brackets.csv"), *words])
    assert "X = size [mm] (3 symbols)" in capsys.readouterr().out


def damaged(rng, content):
    """A file with bytes flipped, cut, columns doubled, or encodings mixed."""
    content, kind = bytearray(content), rng.integers(0, 5)
    if kind == 0:
        for at in rng.integers(0, len(content), rng.integers(1, 6)):
            content[at] = rng.integers(0, 256)
    elif kind == 1:
        del content[rng.integers(0, len(content)) :]
    elif kind == 2:
        return b"\n".join(line + b"," + line for line in bytes(content).split(b"\n"))
    elif kind == 3:
        half = rng.integers(0, len(content))
        return bytes(content[:half]) + bytes(content[half:]).decode("latin-1").encode("utf-16-le")
    else:
        at = rng.integers(0, len(content))
        content[at:at] = bytes(rng.choice(list(b'"\n\r\0,;\xff'), 3).astype(np.uint8))
    return bytes(content)


def try_damaged_files(tmp_path, num_files):
    rng, sources = np.random.default_rng(0), sorted(FILES.iterdir())
    pl.DataFrame(BODY, schema=["colour", "y"], orient="row").write_parquet(tmp_path / "a.parquet")
    sources.append(tmp_path / "a.parquet")
    for _ in range(num_files):
        source = sources[rng.integers(0, len(sources))]
        path = tmp_path / f"damaged{''.join(source.suffixes)}"
        path.write_bytes(damaged(rng, source.read_bytes()))
        command = cli._parse(["measure", str(path), "--target", "y", *QUICK, "--json", "--missing", "symbol"])
        with contextlib.suppress(CommandLineError):
            command(cli._console())


def test_a_damaged_file_ends_in_an_answer_or_in_one_error_of_our_own(tmp_path):
    try_damaged_files(tmp_path, 60)  # 500 were tried too


def read_text(tmp_path, text, name="a.csv", **options):
    (tmp_path / name).write_text(text)
    return isjax.data.read(tmp_path / name, ["a", "b"], **options)


def test_a_row_of_empty_fields_is_a_row_with_missing_values(tmp_path):
    table = read_text(tmp_path, "a\tb\n1\t2\n\t\n3\t4\n", "a.tsv", missing="symbol")
    assert table.num_rows == 3
    assert table["a"].labels == ("1", "3", "(missing)")


def test_separators_at_the_ends_of_lines_shift_nothing(tmp_path):
    assert read_text(tmp_path, "a,b\nred,yes,\nblue,no,\n")["a"].labels == ("blue", "red")
    with pytest.raises(ValueError, match="line 3 has 2 fields, not 3"):
        read_text(tmp_path, "a,b\nred,yes,\nblue,no\n")


def test_blank_first_lines_are_counted(tmp_path):
    assert read_text(tmp_path, "  \n\na,b\n1,2\n")["a"].labels == ("1",)
    with pytest.raises(ValueError, match="line 5 has 3 fields, not 2"):
        read_text(tmp_path, "\n\na,b\n1,2\n1,2,3\n")


def test_numbers_of_any_size_are_symbols(tmp_path):
    frame = pl.DataFrame({"a": [1e20, 2.0, 1e20], "b": [1, 2, 3]})
    assert isjax.data.read(frame, ["a"])["a"].labels == ("2", "100000000000000000000")
    long = "7" * 5000
    assert read_text(tmp_path, f"a,b\nx{long},1\nx2,2\n")["a"].labels == ("x2", f"x{long}")


def test_labels_of_bins_differ(tmp_path):
    rows = "".join(f"{1_000_000 + i},1\n" for i in range(90))
    labels = read_text(tmp_path, f"a,b\n{rows}", bins=3)["a"].labels
    assert labels == ("to below 1000029", "1000029 to below 1000059", "1000059 up")


def test_missing_words_are_missing_in_typed_columns_too():
    frame = pl.DataFrame({"a": ["x", "NA", "y"], "b": [1, -99, 2]}).with_columns(pl.col("a").cast(pl.Categorical))
    assert isjax.data.read(frame, ["a"], missing="drop").num_dropped == 1
    assert isjax.data.read(frame, ["b"], missing="drop", na=("-99",)).num_dropped == 1


def test_bins_are_of_the_rows_that_weights_stand_for(tmp_path):
    table = read_text(tmp_path, "a,b,n\n1,0,97\n2,0,1\n3,0,1\n4,0,1\n", bins=2, weights="n")
    assert np.bincount(table["a"].codes).tolist() == [97, 3]
