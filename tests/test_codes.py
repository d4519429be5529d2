"""Codes found in samples: merging equal symbols loses nothing, and chance keeps nothing in other rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax.data import find_codes
from isjax.quantizers import merged_inputs, quantizers_up_to

KEY = jax.random.key(0)


def sample(seed, num_rows, num_symbols, num_classes, share):
    """Rows of X uniform, and Y the class x mod num_classes in a share of them, else uniform."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, num_symbols, num_rows)
    drawn = rng.integers(0, num_classes, num_rows)
    return {"x": x, "y": np.where(rng.random(num_rows) < share, x % num_classes, drawn)}


def find(columns, num_codes, **options):
    return find_codes(KEY, columns, target="y", input="x", num_codes=num_codes, **options)


def joint_of(columns):
    counts = np.zeros((columns["x"].max() + 1, columns["y"].max() + 1))
    np.add.at(counts, (columns["x"], columns["y"]), 1)
    return counts / counts.sum()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_codes_are_those_of_the_empirical_distribution(num_classes):
    columns = sample(0, 500, 12, num_classes, 0.5)  # more symbols than are enumerated
    joint = joint_of(columns)
    found = find(columns, 4, num_betas=3)
    best = quantizers_up_to(KEY, joint.astype("f4"), num_codes=4)
    np.testing.assert_allclose(found.quantizers.loss, best.loss, atol=2e-6)
    for k, codes in enumerate(np.asarray(found.quantizers.codes), start=1):
        lost = isjax.mutual_information_loss(joint.astype("f4"), codes, num_codes=k)
        np.testing.assert_allclose(lost, found.quantizers.loss[k - 1], atol=1e-6)
        np.testing.assert_allclose(found.quantizers.relevance[k - 1], found.information.plug_in - lost, atol=2e-6)
    assert found.quantizers.is_global.tolist() == ([True] * 4 if num_classes == 2 else [True, False, False, False])


def test_merging_symbols_of_equal_rows_loses_nothing_and_is_optimal():
    x = np.repeat(np.arange(6), [10, 20, 30, 10, 20, 30])
    y = np.tile(np.arange(10), 12) < np.where(x % 3 == 0, 2, np.where(x % 3 == 1, 5, 9))
    found = find({"x": x, "y": y.astype(int) + (x % 3 == 2)}, 6, num_betas=2)
    assert found.quantizers.codes[2].tolist() == [0, 1, 2, 0, 1, 2]
    assert found.quantizers.loss[2:].tolist() == [0, 0, 0, 0]
    assert found.quantizers.is_global[2:].all()


@pytest.mark.parametrize("seed", range(4))
def test_codes_of_a_coin_keep_nothing_in_other_rows(seed):
    found = find(sample(seed, 900, 280, 2, 0.0), 3, num_betas=2)
    assert found.quantizers.relevance[2] > 0.1
    assert np.abs(found.kept).max() < 0.03
    assert not found.says_something


def test_codes_of_a_dependence_keep_it_in_other_rows():
    columns = sample(1, 20_000, 40, 4, 0.6)
    found = find(columns, 6, num_betas=2)
    assert found.says_something
    assert found.kept[3] > 0.95 * found.information.corrected  # four codes are enough
    assert found.kept[1] < 0.7 * found.information.corrected
    assert found.kept[0] == 0
    assert found.p_values[0] == 1


def test_a_merged_alphabet_loses_as_little_as_the_whole_one():
    columns = sample(2, 60_000, 600, 3, 0.5)
    joint = joint_of(columns).astype("f4")
    whole = quantizers_up_to(KEY, joint, num_codes=4, num_restarts=2)
    merged = quantizers_up_to(KEY, joint, num_codes=4, num_restarts=2, num_cells=32)
    assert (np.asarray(merged.loss) <= 1.02 * np.asarray(whole.loss) + 1e-6).all()
    cells = merged_inputs(KEY, joint, num_cells=64)
    assert isjax.mutual_information_loss(joint, cells, num_codes=64) < 0.03 * isjax.mutual_information(joint)


def test_the_curve_is_no_lower_than_from_random_starts():
    columns = sample(3, 5000, 20, 4, 0.7)
    found = find(columns, 4, num_betas=8)
    betas = jnp.geomspace(1, 1000, 8)
    other = isjax.bottleneck_curve(KEY, joint_of(columns).astype("f4"), betas, num_codes=4)
    assert (np.asarray(found.curve.objective) <= np.asarray(other.objective) + 1e-4 * np.asarray(betas)).all()
    assert found.curve_loss == 0


def test_a_symbol_that_one_half_lacks_has_a_code_and_relabelling_changes_nothing():
    columns = sample(4, 60, 40, 2, 0.9)
    found, order = find(columns, 3, num_betas=2), np.random.default_rng(0).permutation(40)
    other = find({"x": order[columns["x"]], "y": columns["y"]}, 3, num_betas=2)
    assert found.quantizers.codes.min() == 0
    np.testing.assert_allclose(found.quantizers.loss, other.quantizers.loss, atol=1e-6)


REFUSED = {
    "there is one row": ({"x": np.array([0]), "y": np.array([0])}, 2),
    "num_codes must be at least 1, got 0": (sample(0, 20, 3, 2, 0.5), 0),
    "there is no column 'x', only 'y'": ({"y": np.array([0, 1])}, 2),
    "10000 and 10000 symbols in 10000 rows, more than 67108864 pairs: is one": (
        {"x": np.arange(10_000), "y": np.arange(10_000)},
        2,
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_coded_is_refused(message):
    columns, num_codes = REFUSED[message]
    with pytest.raises(ValueError, match=message):
        find(columns, num_codes)
