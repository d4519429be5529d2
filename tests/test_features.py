"""Columns of files as features: what encoders name, and what columns of each kind become."""

import datetime

import numpy as np
import polars as pl
import pytest

import isjax
import isjax.data

pytestmark = pytest.mark.fast

NUM_ROWS = 24


def frame():
    rng = np.random.default_rng(0)
    columns = {f"p{i}": rng.normal(size=NUM_ROWS) for i in range(4)}
    return pl.DataFrame(
        {
            **columns,
            "age": np.arange(NUM_ROWS) + 20,
            "city": np.array(["Oslo", "Rome", "Ulm"])[np.arange(NUM_ROWS) % 3],
            "smokes": np.array(["yes", "no"])[np.arange(NUM_ROWS) % 2],
            "emb_a": rng.normal(size=NUM_ROWS),
            "emb_b": rng.normal(size=NUM_ROWS),
            "same": ["x"] * NUM_ROWS,
            "kind": np.array(["cat", "dog"])[np.arange(NUM_ROWS) // 2 % 2],
            "price": rng.normal(size=NUM_ROWS),
            "name": [f"row {i}" for i in range(NUM_ROWS)],
        }
    )


def samples(*encoders, data=None, target="kind", **options):
    return isjax.data.samples(frame() if data is None else data, target=target, encoders=list(encoders), **options)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("raw=age", ("age",)),
        ("raw=p0..p2", ("p0", "p1", "p2")),
        ("raw=p*", ("p0", "p1", "p2", "p3", "price")),
        ("raw=p?,age", ("p0", "p1", "p2", "p3", "age")),
        ("raw= p0 , p0 ,p1", ("p0", "p1")),
        ("raw=emb_*,city", ("emb_a", "emb_b", "city=Oslo", "city=Rome", "city=Ulm")),
        ("raw=age<30", ("age<30=30 up",)),
        ("raw=age<30<40", ("age<30<40=below 30", "age<30<40=below 40", "age<30<40=40 up")),
        ("raw=age:3,smokes", ("age:3=to below 27", "age:3=27 to below 35", "age:3=35 up", "smokes=yes")),
        ("raw=city==Oslo,Rome,age", ("city==Oslo,Rome=other", "age")),
    ],
)
def test_an_encoder_names_columns_ranges_patterns_and_codes(text, names):
    found = samples(text)
    assert found.features["raw"] == names
    assert found["raw"].features.shape == (NUM_ROWS, len(names))


def test_an_expression_without_a_name_is_its_name():
    assert list(samples("age", "p0..p1", "age<30")) == ["age", "p0..p1", "age<30"]
    assert samples("age<30")["age<30"].features[:12, 0].tolist() == [-1.0] * 10 + [1.0] * 2


def test_numbers_stay_numbers_and_words_become_one_hot():
    found = samples("n=age", "w=city", "b=smokes")
    np.testing.assert_array_equal(found["n"].features[:, 0], np.arange(NUM_ROWS) + 20)
    np.testing.assert_array_equal(found["w"].features, np.eye(3)[np.arange(NUM_ROWS) % 3])
    np.testing.assert_array_equal(found["b"].features[:, 0], np.where(np.arange(NUM_ROWS) % 2, -1, 1))


def test_a_text_file_and_a_typed_file_give_the_same_samples(tmp_path):
    frame().write_csv(tmp_path / "t.csv")
    frame().write_parquet(tmp_path / "t.parquet")
    encoders = ["a=p0..p3,age", "b=city,smokes,age:3"]
    text, typed = (samples(*encoders, data=tmp_path / f"t.{ending}") for ending in ("csv", "parquet"))
    assert text.classes == typed.classes == ("cat", "dog")
    for name in "ab":
        np.testing.assert_array_equal(text[name].features, typed[name].features)
        np.testing.assert_array_equal(text[name].targets, typed[name].targets)


def test_dates_and_truth_values_are_features():
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(NUM_ROWS)]
    data = frame().with_columns(pl.Series("day", days), pl.Series("is", np.arange(NUM_ROWS) % 2 == 0))
    found = samples("d=day", "t=is", data=data)
    np.testing.assert_array_equal(np.diff(found["d"].features[:, 0]), 1)
    assert set(found["t"].features[:, 0]) == {-1.0, 1.0}


@pytest.mark.parametrize(("target", "classes"), [("price:3", 3), ("age<30", 2), ("city==Oslo", 2), ("city", 3)])
def test_a_target_is_a_column_or_a_code_of_one(target, classes):
    found = samples("p0", target=target)
    assert len(found.classes) == classes == found["p0"].targets.max() + 1


# -- missing values ----------------------------------------------------------------------------------------------------


def with_holes():
    data = frame().with_columns(
        pl.when(pl.col("age") == 22).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(pl.col("age") == 25).then(None).otherwise(pl.col("city")).alias("city"),
    )
    return data.with_columns(pl.when(pl.col("p0") > 1).then(float("nan")).otherwise(pl.col("p1")).alias("p1"))


def test_missing_values_are_refused_dropped_or_marked():
    with pytest.raises(ValueError, match="column 'age' misses 1 of 24 values"):
        samples("raw=age,city", data=with_holes())
    dropped = samples("raw=age,city", data=with_holes(), missing="drop")
    assert (dropped.num_rows, dropped.num_dropped) == (22, 2)
    marked = samples("raw=age,city", data=with_holes(), missing="symbol")
    assert marked.features["raw"] == ("age", "age is missing", "city=Oslo", "city=Rome", "city=Ulm", "city=(missing)")
    values = marked["raw"].features
    assert values[2].tolist() == [np.delete(np.arange(24) + 20, 2).mean(), 1.0, 0.0, 0.0, 1.0, 0.0]
    assert values[5, -1] == 1.0
    assert np.isfinite(samples("p1", data=with_holes(), missing="symbol")["p1"].features).all()


def test_every_encoder_has_the_rows_that_all_of_them_keep():
    found = samples("a=age", "c=city", "s=smokes", data=with_holes(), missing="drop")
    assert {sample.features.shape[0] for sample in found.values()} == {22}
    assert {sample.targets.tobytes() for sample in found.values()} == {found["a"].targets.tobytes()}


def test_words_for_missing_values_may_be_added(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{'unknown' if i == 3 else i},{i % 2}\n" for i in range(12)))
    with pytest.raises(ValueError, match=r"column 'x' holds 'unknown' among numbers.*--na unknown"):
        samples("x", data=path, target="y")
    assert samples("x", data=path, target="y", na=["unknown"], missing="drop").num_rows == 11


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_arrays_are_encoders_as_a_whole(tmp_path):
    rng = np.random.default_rng(0)
    images, hidden, label = rng.random((10, 4, 3)), rng.random((10, 5)), np.arange(10) % 2
    np.savez(
        tmp_path / "t.npz", images=images, hidden=hidden, label=label, words=np.array(["no", "yes"])[label], scale=3.0
    )
    found = samples("pixels=images", "some=hidden.0,hidden.3", "w=words", data=tmp_path / "t.npz", target="label")
    np.testing.assert_array_equal(found["pixels"].features, images.reshape(10, 12))
    np.testing.assert_array_equal(found["some"].features, hidden[:, [0, 3]])
    assert found["w"].features[:, 0].tolist() == [-1.0, 1.0] * 5


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (["raw=x*"], r"the encoder raw names 'x\*', which no column is or matches.*there are 'p0', 'p1'"),
        (["raw="], "the encoder raw names no column: write columns separated by commas"),
        (["raw=age,"], "the encoder raw names '', which no column"),
        (["raw=p3..p0"], "the range p3..p0 ends before it starts"),
        (["raw=same"], "the encoder raw=same shows nothing: same have one value in all rows"),
        (["raw=name"], "column 'name' has 24 words in 24 rows: a learner cannot use words that occur once"),
        (["raw=age", "raw=city"], "encoders must have different names, got 'raw' twice"),
        ([], "encoders must name at least one encoder"),
        (["raw=city:3"], "column 'city' cannot be cut into 3 bins: it holds words"),
    ],
)
def test_what_is_no_encoder_is_refused(encoders, message):
    with pytest.raises(ValueError, match=message):
        samples(*encoders)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("price", "the target 'price' is continuous: cut it into bins, such as price:4"),
        ("name", "the target 'name' is different in each of the 24 rows"),
        ("nowhere", "the target must be a column, or a code of one such as age:4, got 'nowhere'; there are 'p0'"),
    ],
)
def test_what_is_no_target_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        samples("age", target=target)


def test_infinite_numbers_are_refused():
    data = frame().with_columns(pl.when(pl.col("age") == 22).then(float("inf")).otherwise(pl.col("p0")).alias("p0"))
    with pytest.raises(ValueError, match=r"column 'p0' must be finite, got inf in row 3"):
        samples("p0", data=data)


def test_a_constant_column_is_left_out_and_named():
    found = samples("raw=age,same")
    assert found.features["raw"] == ("age",)
    assert found.constant == ("same",)


@pytest.mark.parametrize("encoder", ["all=*", "age..label", "age,label"])
def test_an_encoder_that_shows_the_target_is_refused(encoder):
    data = frame().select("age", "p0", "city").with_columns(pl.Series("label", ["no", "yes"] * 12))
    with pytest.raises(ValueError, match="shows the target's column 'label'"):
        samples(encoder, data=data, target="label")


def test_arrays_of_different_lengths_are_refused_where_both_are_needed(tmp_path):
    np.savez(tmp_path / "t.npz", a=np.arange(10.0), b=np.arange(9.0), y=np.arange(9) % 2)
    with pytest.raises(ValueError, match="y has 9, a has 10"):
        samples("a", data=tmp_path / "t.npz", target="y")
    assert samples("b", data=tmp_path / "t.npz", target="y")["b"].features.shape == (9, 1)


def test_files_that_hold_no_arrays_are_refused(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"PK no")
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        samples("x", data=tmp_path / "t.npz")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        samples("x", data=tmp_path / "u.npz")


def test_it_is_shown_in_a_few_lines():
    assert repr(samples("raw=age,city", "p0")) == "Samples of 24 rows, 2 classes\n  raw: 4 features\n  p0: 1 features"
