"""A sample measured: against brute force over dense tables, and draws against their exact means."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import isjax
from isjax.data import Column, MeasureSpec, Table, measure
from isjax.estimation import _sampling
from isjax.estimation.estimators import METHODS
from isjax.estimation.inversion import loss_interval
from tests.helpers import ROOT, refused
from tests.oracles import estimation as oracle

pytestmark = pytest.mark.fast

NUM = 400
FEW = {"num_resamples": 60, "num_permutations": 99}
KEY = jax.random.key(0)
SPEC = MeasureSpec(target="y", inputs=("x",), encoders=("half", "parity", "other"), **FEW)
DRAWS = {"drawn": _sampling.drawn_sums, "shuffled": _sampling.shuffled_sums}


@functools.cache
def columns():
    """Y depends on half = x // 2 alone; parity loses of it; other is not a function of x."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 6, NUM)
    y = (x // 2 + (rng.random(NUM) < 0.4) * rng.integers(1, 3, NUM)) % 3
    return {"x": x, "y": y, "half": x // 2, "parity": x % 2, "other": rng.integers(0, 4, NUM)}


@functools.cache
def measured(method="inversion", base=None, seed=0):
    return measure(jax.random.key(seed), columns(), dataclasses.replace(SPEC, method=method, base=base))


@pytest.mark.parametrize("method", METHODS)
def test_sparse_estimates_are_those_of_dense_tables(method):
    found, sample = measured(method), columns()
    x, y = sample["x"], sample["y"]
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    for kind, way in (("plug_in", "plug_in"), ("corrected", method)):
        close(getattr(found.entropy_y, kind), oracle.entropy(np.bincount(y), way))
        close(getattr(found.entropy_x, kind), oracle.entropy(np.bincount(x), way))
        for one, size in zip(found.encoders, (3, 2, 4), strict=True):
            u = sample[one.column]
            counts = oracle.table(u, y, np.zeros(NUM, int), (size, 3, 1))[:, :, 0]
            close(getattr(one.information, kind), oracle.mutual_information(counts, way))
            close(getattr(one.loss, kind), oracle.information_loss(x, y, u, (6, 3, size), way))
        counts = oracle.table(x, y, np.zeros(NUM, int), (6, 3, 1))[:, :, 0]
        close(getattr(found.information, kind), oracle.mutual_information(counts, way))


def test_the_statistic_is_twice_the_loss_of_all_rows_and_its_limit_chi_squared():
    for one, freedom in zip(measured().encoders, (6, 8, 40), strict=True):
        np.testing.assert_allclose(one.statistic, 2 * NUM * one.loss.plug_in, rtol=1e-12)
        assert one.degrees_of_freedom == freedom  # Σ_u (r_u − 1)(c_u − 1), where all that can occur does
        np.testing.assert_allclose(one.p_value, scipy.stats.chi2.sf(one.statistic, freedom), rtol=1e-9)


def test_a_sufficient_encoder_loses_nothing_and_a_coarser_one_something():
    half, parity, _ = measured().encoders
    assert half.low == 0 < half.high
    assert half.loss.corrected < 0.02
    assert half.permutation_p_value > 0.05 < half.p_value
    assert parity.low > 0.05
    assert parity.permutation_p_value == 1 / 100
    assert parity.p_value < 1e-6


def test_what_a_function_of_x_keeps_and_loses_add_up():
    """I(X;Y) = I(U;Y) + I(X;Y|U) of the sample itself; what is no function of X is told apart."""
    half, parity, other = measured().encoders
    for one in (half, parity):
        assert one.is_function_of_inputs
        np.testing.assert_allclose(one.information.plug_in + one.loss.plug_in, measured().information.plug_in)
    assert not other.is_function_of_inputs


def test_the_base_is_a_unit():
    bits, nats = measured(base=2), measured()
    for a, b in ((bits.entropy_x, nats.entropy_x), (bits.information, nats.information)):
        np.testing.assert_allclose(np.array(a) * math.log(2), b, rtol=1e-12)
    for a, b in zip(bits.encoders, nats.encoders, strict=True):
        np.testing.assert_allclose(np.array([*a.loss, a.low, a.high]) * math.log(2), [*b.loss, b.low, b.high])
        assert (a.statistic, a.p_value) == (b.statistic, b.p_value)
        assert a.permutation_p_value == b.permutation_p_value


def test_other_names_of_the_symbols_and_the_input_in_parts_change_nothing():
    sample, rng = columns(), np.random.default_rng(1)
    renamed = {name: 7 * rng.permutation(9)[codes] for name, codes in sample.items()}
    parts = {**renamed, "left": sample["x"] // 3, "right": sample["x"] % 3}
    found = measure(KEY, parts, dataclasses.replace(SPEC, inputs=("right", "left")))
    assert (found.input_symbols, found.target_symbols) == (6, 3)
    np.testing.assert_allclose(found.information, measured().information, rtol=1e-12)
    for one, before in zip(found.encoders, measured().encoders, strict=True):
        np.testing.assert_allclose(one.loss, before.loss, rtol=1e-5, atol=1e-6)
        assert (one.symbols, one.degrees_of_freedom) == (before.symbols, before.degrees_of_freedom)
        np.testing.assert_allclose([one.low, one.high], [before.low, before.high], rtol=1e-5)


@pytest.mark.parametrize("method", ["inversion", "jackknife", "miller_madow"])
def test_what_is_said_of_an_encoder_does_not_depend_on_the_others(method):
    of_all = measured(method).encoders
    for i, name in enumerate(("half", "parity", "other")):
        (alone,) = measure(KEY, columns(), dataclasses.replace(SPEC, method=method, encoders=(name,))).encoders
        assert alone == of_all[i]
    backwards = measure(KEY, columns(), dataclasses.replace(SPEC, method=method, encoders=("other", "half", "parity")))
    assert backwards.encoders == (of_all[2], *of_all[:2])


def test_the_interval_is_that_of_loss_interval():
    """Of the losses, of I(X;Y) with a constant code, and of I(U;Y)."""
    sample, found = columns(), measured()
    constant = np.zeros(NUM, int)
    wanted = [(found.information_low, found.information_high, "x", constant, (6, 3, 1))]
    wanted += [(one.low, one.high, "x", sample[one.column], (6, 3, one.symbols)) for one in found.encoders]
    wanted += [(o.information_low, o.information_high, o.column, constant, (o.symbols, 3, 1)) for o in found.encoders]
    for low, high, x, u, shape in wanted:
        interval = loss_interval(KEY, sample[x], sample["y"], u, shape=shape, num_draws=60)
        np.testing.assert_allclose([low, high], [interval.low, interval.high], rtol=1e-5)


def test_the_jackknife_leaves_out_each_row():
    sample, (half, _, _) = columns(), measured("jackknife").encoders
    parts = [sample[name] for name in ("x", "y", "half")]
    whole = oracle.information_loss(*parts, (6, 3, 3), "plug_in")
    rests = [oracle.information_loss(*(np.delete(s, i) for s in parts), (6, 3, 3), "plug_in") for i in range(NUM)]
    pseudo_values = NUM * whole - (NUM - 1) * np.array(rests)
    np.testing.assert_allclose(half.loss.corrected, pseudo_values.mean(), rtol=1e-9)
    width = scipy.stats.norm.ppf(0.975) * pseudo_values.std(ddof=1) / math.sqrt(NUM)
    ends = [half.loss.corrected - width, half.loss.corrected + width]
    np.testing.assert_allclose([half.low, half.high], ends, rtol=1e-8)


def test_a_rare_symbol_and_ample_rows_warn_of_nothing(tmp_path):
    """A table made with a loss of 0.0066 nats, in which one symbol occurs once."""
    path = ROOT / "tests" / "files" / "25_one_rare_symbol.csv"
    spec = MeasureSpec(target="y", inputs=("x",), encoders=("u",))
    found = measure(KEY, isjax.data.read(path, ("x", "y", "u")), spec)
    assert found.encoders[0].low < 0.0066 < found.encoders[0].high
    assert list(found.warnings()) == []


def test_a_key_is_called_one():
    keyed = {**columns(), "id": np.arange(NUM)}
    spec = MeasureSpec(target="y", inputs=("x",), encoders=("id",), **FEW)
    assert "id is a key, different in each of the 400 rows" in "".join(measure(KEY, keyed, spec).warnings())
    spec = dataclasses.replace(spec, inputs=("x", "id"), encoders=())
    refused(ValueError, "X = x, id is different in each of the 400 rows: nothing can be estimated; 'id' is a key",
            measure, KEY, keyed, spec)  # fmt: skip


def test_the_key_decides_the_draws_and_nothing_else():
    again, other = measured.__wrapped__(), measured(seed=1)
    assert again == measured()
    assert other.encoders[1].low != measured().encoders[1].low
    assert other.encoders[1].loss.plug_in == measured().encoders[1].loss.plug_in


def partition():
    x, y, u = (columns()[name] for name in ("x", "y", "parity"))
    _, first, counts = np.unique(_sampling.numbered(x, y, u), return_index=True, return_counts=True)
    return counts, _sampling.Partition.of(x[first], y[first], u[first]), (x, y, u)


@pytest.mark.parametrize("way", DRAWS)
def test_permuted_tables_have_hypergeometric_cells(way):
    """The mean of Σ c log c is the sum of the cells' own means, each of which is a sum over one hypergeometric mass."""
    counts, parts, (x, y, u) = partition()
    exact = 0.0
    for code in range(2):
        of_x, of_y = np.bincount(x[u == code]), np.bincount(y[u == code])
        for row in of_x:
            for column in of_y:
                c = np.arange(of_y.sum() + 1)
                exact += scipy.stats.hypergeom.pmf(c, of_y.sum(), column, row) @ scipy.special.xlogy(c, c)
    drawn = DRAWS[way](np.random.default_rng(0), counts, parts, 3000)
    assert abs(drawn.mean() - exact) < 4 * drawn.std() / math.sqrt(3000)


@pytest.mark.parametrize("rows_a_cell", [0, 10**9], ids=["cell by cell", "row by row"])
def test_resamples_are_those_of_rows(monkeypatch, rows_a_cell):
    monkeypatch.setattr(_sampling, "ROWS_A_CELL", rows_a_cell)
    counts, parts, sample = partition()
    found = _sampling.resampled_losses(np.random.default_rng(0), counts, [parts], 1500)[0]
    rng = np.random.default_rng(1)
    rows = (rng.integers(0, NUM, NUM) for _ in range(1500))
    naive = [oracle.information_loss(*(s[i] for s in sample), (6, 3, 2), "plug_in") for i in rows]
    assert scipy.stats.ks_2samp(found, naive).pvalue > 0.01
    np.testing.assert_allclose(parts.loss(counts), oracle.information_loss(*sample, (6, 3, 2), "plug_in"), rtol=1e-12)


def test_combinations_are_numbered_in_order_however_large_their_product():
    rng = np.random.default_rng(0)
    several = rng.choice(rng.integers(0, 2**40, 5), (3, 50))
    expected = np.unique(several, axis=1, return_inverse=True)[1].ravel()
    np.testing.assert_array_equal(_sampling.numbered(*several), expected)


def test_a_thousand_symbols_each_are_measured_and_warned_of():
    """10⁹ cells, of which 3000 samples occupy 3000."""
    rng = np.random.default_rng(0)
    sample = {name: np.repeat(rng.integers(0, 1000, 1500), 2) for name in "xyu"}
    spec = MeasureSpec(target="y", inputs=("x",), encoders=("u",), num_resamples=2, num_permutations=9)
    found = measure(KEY, sample, spec)
    assert found.encoders[0].statistic >= 0
    assert found.encoders[0].method == "miller_madow"
    wide, thin, classes, small = found.warnings()
    assert "classes of Y" in classes
    assert wide.endswith(
        "are too many to invert a test: informations given u are Miller and Madow's, which are too large, and "
        "intervals miss; merge symbols, or cut numbers into fewer bins (--bins)"
    )
    assert thin.startswith("3000 rows are few for the codes of u: below 12 rows a code")
    assert small.startswith("expected counts are small (given u): p-values from the χ² limit are too small")
    few, _ = measure(KEY, sample, dataclasses.replace(spec, method="miller_madow")).warnings()
    assert "use --method inversion" in few


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(NUM, int)}, "the target 'y' has the same value in all 400 rows"),
        ({"y": np.arange(NUM)}, "the target 'y' is different in each of the 400 rows"),
        ({"x": np.arange(NUM)}, "X = x is different in each of the 400 rows"),
    ],
)
def test_a_sample_that_says_nothing_is_refused(change, message):
    refused(ValueError, message, measure, KEY, {**columns(), **change}, MeasureSpec(target="y", inputs=("x",)))


def test_without_inputs_x_is_every_other_column():
    spec = dataclasses.replace(SPEC, inputs=())
    others = {**columns(), "left": columns()["x"] // 3}  # a function of x
    found = measure(KEY, {name: others[name] for name in ("x", "left", "y", "half", "parity", "other")}, spec)
    assert found.inputs == ("x", "left")
    assert found.information == measured().information
    assert found.encoders == measured().encoders
    refused(ValueError, "there is no column besides the target and the encoders", spec.with_inputs, ["y", "half"])


def test_columns_of_every_integer_type_and_of_a_file_are_measured_alike():
    kinds = {"x": "uint64", "y": "int8", "half": "uint8", "parity": "int64"}
    typed = {name: codes.astype(kinds.get(name, "int32")) for name, codes in columns().items()}
    typed["x"] = typed["x"] + np.uint64(2**63)
    assert measure(KEY, typed, SPEC) == measured()
    on_device = {name: jnp.asarray(codes) for name, codes in columns().items()}
    assert measure(KEY, on_device, SPEC) == measured()
    table = Table({name: Column(codes, tuple("abcdef")) for name, codes in columns().items()}, NUM, 0)
    assert measure(KEY, table, SPEC) == measured()


def test_a_measurement_says_what_it_is_of():
    found = measured("chao_shen", 2)
    assert (found.unit, found.method, found.confidence) == ("bits", "chao_shen", 0.95)
    assert (found.target, found.inputs, found.spec.num_permutations) == ("y", ("x",), 99)
    as_dict = found.to_dict()
    assert [each["column"] for each in as_dict["encoders"]] == ["half", "parity", "other"]
    assert as_dict["num_resamples"] == 60


@pytest.mark.parametrize(
    ("error", "change", "message"),
    [
        (TypeError, {"x": np.zeros(NUM)}, "column 'x' must hold integer codes, got dtype float64"),
        (TypeError, {"x": np.array(["a"] * NUM)}, "column 'x' must hold integer codes, got dtype <U1"),
        (ValueError, {"x": np.zeros((NUM, 1), int)}, "column 'x' must have shape [n] with n at least 1, got shape"),
        (ValueError, {"half": np.full(NUM, -1)}, "column 'half' must not have negative codes, got -1"),
        (ValueError, {"y": np.arange(3)}, "samples must have one length, got 400 in x, 3 in y"),
    ],
)
def test_columns_that_are_not_codes_are_refused(error, change, message):
    raw = getattr(measure, "__wrapped__", measure)  # the import hook of the tests would speak first
    refused(error, message, raw, KEY, {**columns(), **change}, SPEC)


def test_absent_columns_and_traced_keys_are_refused():
    refused(
        ValueError, "there is no column 'z', only 'x', 'y', 'half'", measure, KEY, columns(), MeasureSpec(target="z")
    )
    refused(TypeError, "key is being traced", jax.jit(lambda key: measure(key, columns(), SPEC)), KEY)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (ValueError, {"inputs": ("x", "y")}, "inputs must not contain the target, got 'y' in both"),
        (ValueError, {"encoders": ("half", "half")}, "encoders must name each column once, got 'half' twice"),
        (ValueError, {"base": 1}, "base must be a number greater than 1"),
        (ValueError, {"confidence": 1.0}, "confidence must lie between 0 and 1, got 1.0"),
        (ValueError, {"num_resamples": 1}, "num_resamples must be at least 2, got 1"),
        (ValueError, {"num_permutations": 0}, "num_permutations must be at least 1, got 0"),
    ],
)
def test_a_spec_out_of_range_is_refused(error, options, message):
    refused(error, message, MeasureSpec, target="y", **options)


@pytest.mark.parametrize(("num_x", "num", "is_low"), [(512, 1000, True), (64, 1000, False)])
def test_intervals_that_rest_on_symbols_seen_once_are_warned_of(num_x, num, is_low):
    """With p(x) ∝ 1/x and 512 symbols, 138 of 1000 rows are alone: 79 % of intervals cover 0.1 nats."""
    rng = np.random.default_rng(3)
    x = rng.choice(num_x, num, p=1 / np.arange(1, num_x + 1) / np.sum(1 / np.arange(1, num_x + 1)))
    mass = np.exp(rng.normal(size=(num_x, 4)) * 0.5)
    y = (rng.random((num, 1)) > (mass / mass.sum(1, keepdims=True)).cumsum(1)[x, :3]).sum(1)
    spec = MeasureSpec(target="y", inputs=("x",), encoders=("u",), num_resamples=99, num_permutations=9)
    found = measure(KEY, {"x": x, "y": y, "u": x % 16}, spec)
    assert found.low_intervals == (("I(X;Y)", "I(X;Y|u)") if is_low else ())
    warned = [each for each in found.warnings() if each.startswith("too many symbols occur once: intervals of I(X;Y)")]
    assert len(warned) == is_low


@pytest.mark.parametrize(("num_classes", "is_told"), [(209, True), (100, True), (50, False), (20, False)])
def test_many_classes_of_few_rows_are_told(num_classes, is_told):
    """Where simulated intervals lie above the information, and not where they cover."""
    rng = np.random.default_rng(0)
    columns = {
        "x": rng.integers(0, 4, 442),
        "y": np.append(np.arange(num_classes), rng.integers(0, num_classes, 442 - num_classes)),
    }
    found = isjax.data.measure(jax.random.key(0), columns, isjax.data.MeasureSpec(target="y", inputs=("x",)))
    assert any("classes of Y: intervals may lie above" in warning for warning in found.warnings()) == is_told
