"""Quantizers: their optima and what they lose, against exhaustive search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.cases import RULES
from tests.helpers import new_programs
from tests.oracles import bottleneck as oracle
from tests.strategies import masses, random_joints

pytestmark = pytest.mark.usefixtures("strict")
KEY = jax.random.key(0)


@functools.cache
def exhaustive():
    """100 joints of 8 inputs and two classes, and I(U;Y) of all their encoders with at most three codes.

    Cells and rows without mass and masses down to 1e-20 in half of them.
    """
    tiny = masses(np.random.default_rng(3), (50, 16), np.float64, smallest=1e-20).reshape(50, 8, 2)
    joints = np.concatenate([random_joints(50, 8, 2), tiny])
    return joints, oracle.joints_uy(joints, oracle.partitions(8, 3))


def test_two_class_quantizer_equals_exhaustive_search(dtype):
    eps = float(jnp.finfo(dtype).eps)
    joints, every = exhaustive()
    found = isjax.optimal_quantizer(joints.astype(dtype), num_codes=3)
    relevance = oracle.information(every).max(1)
    np.testing.assert_allclose(found.loss, oracle.information(joints) - relevance, rtol=1e3 * eps, atol=4 * eps)
    np.testing.assert_allclose(found.relevance, relevance, rtol=1e3 * eps, atol=4 * eps)
    assert found.is_global.all()
    assert (found.codes < 3).all()
    p_u = [np.bincount(codes, joint.sum(1), 3) for codes, joint in zip(found.codes, joints, strict=True)]
    np.testing.assert_allclose(found.complexity, oracle.entropy_of_codes(np.stack(p_u)[..., None]), atol=16 * eps)


SCORED = {  # the risk of the best prediction for cells of masses p(u, y), with values v
    "brier": lambda mass, _: mass.sum(-1) - _over_mass((mass**2).sum(-1), mass),
    "spherical": lambda mass, _: mass.sum(-1) - np.sqrt((mass**2).sum(-1)),
    "zero_one": lambda mass, _: mass.sum(-1) - mass.max(-1),
    "squared_error": lambda mass, v: mass @ v**2 - _over_mass((mass @ v) ** 2, mass),
}


def _over_mass(values, mass):
    return values / np.where(mass.sum(-1) > 0, mass.sum(-1), 1)


@pytest.mark.parametrize("name", SCORED)
def test_quantizer_under_a_rule_equals_exhaustive_search(name, dtype):
    """For two classes; under the squared error for three too, in the order of the means and not of a posterior."""
    eps, cells = float(jnp.finfo(dtype).eps), oracle.partitions(7, 3)
    for num_classes, values in {2: [1.0, -1.0], 3: [0.0, 3.0, 1.0]}.items():
        if num_classes > 2 and name != "squared_error":
            continue
        tiny = masses(np.random.default_rng(7), (20, 7 * num_classes), np.float64, smallest=1e-20)
        joints = np.concatenate([random_joints(30, 7, num_classes), tiny.reshape(20, 7, num_classes)])
        values = np.array(values)
        rule = isjax.squared_error(values.astype(dtype)) if name == "squared_error" else RULES[name](dtype)
        found = isjax.optimal_quantizer(joints.astype(dtype), num_codes=3, rule=rule)
        of_every = SCORED[name](oracle.joints_uy(joints, cells), values).sum(-1)
        least = of_every.min(1) - SCORED[name](joints, values).sum(-1)
        whole = SCORED[name](joints.sum(1), values) - SCORED[name](joints, values).sum(-1)
        np.testing.assert_allclose(found.loss, least, rtol=1e3 * eps, atol=64 * eps)
        np.testing.assert_allclose(found.relevance, whole - least, rtol=1e3 * eps, atol=64 * eps)
        assert (found.loss >= 0).all()
        assert found.is_global.all()
        assert (found.codes < 3).all()
        again = isjax.scored_loss(joints.astype(dtype), found.codes, rule, num_codes=3)
        np.testing.assert_allclose(found.loss, again, rtol=16 * eps, atol=eps)


def test_the_best_cells_depend_on_the_rule():
    """Two cells for information keep the certain inputs apart; two for the error rate need only part at one half."""
    joint = np.float32([[0.04, 0.0], [0.27, 0.23], [0.2, 0.26]])
    informed = isjax.optimal_quantizer(joint, num_codes=2).codes.tolist()
    guessing = isjax.optimal_quantizer(joint, num_codes=2, rule=isjax.zero_one_score)
    assert informed == [0, 1, 1]
    assert guessing.codes.tolist() == [0, 0, 1]
    assert guessing.loss == 0


def test_cells_of_the_optimum_are_intervals_of_the_posterior():
    joint = random_joints(1, 50, 2)[0].astype(np.float32)
    codes = np.asarray(isjax.optimal_quantizer(joint, num_codes=7).codes)
    assert np.ptp(codes) == 6
    assert (np.diff(codes[np.argsort(joint[:, 1] / joint.sum(1))]) >= 0).all()


def test_losses_many_orders_below_the_information_are_told_apart():
    """Posteriors a hundred-thousandth apart, in float32: the cut is where float64 has it, though I is 1e-10."""
    rng = np.random.default_rng(4)
    posterior = 0.5 + np.where(np.arange(64) < 23, 0, 2e-5) + 1e-6 * rng.random(64)
    joint = (np.stack([1 - posterior, posterior], axis=1) / 64).astype(np.float32)
    codes = np.asarray(isjax.optimal_quantizer(joint, num_codes=2).codes)
    np.testing.assert_array_equal(codes, np.arange(64) >= 23)


def kl_means(joints):
    quantize = functools.partial(isjax.kl_means_quantizer, num_codes=3)
    return jax.vmap(quantize)(jax.random.split(KEY, len(joints)), joints)


def least_losses(joint, num_codes):
    """The least loss of all encoders with at most so many codes."""
    every = oracle.information(oracle.joints_uy(joint[None], oracle.partitions(len(joint), num_codes))[0])
    return oracle.information(joint) - every.max()


def test_kl_means_is_near_exhaustive_search_on_four_classes():
    """Within 2 % of the relevance of the best encoder, on each of 20 joints of more inputs than are enumerated."""
    joints = random_joints(20, 11, 4)
    found = kl_means(joints.astype("f4"))
    least = [least_losses(joint, 3) for joint in joints]
    assert (oracle.information(joints) - found.loss >= 0.98 * (oracle.information(joints) - least)).all()
    assert (found.loss >= np.array(least) - 1e-6).all()
    assert not found.is_global.any()


def with_equal_rows(seed, num_rows, num_inputs, num_classes):
    """A joint of so many different rows p(y|x) in any order, some of which have zeros, and the row of each input."""
    rng = np.random.default_rng(seed)
    different = rng.dirichlet(np.full(num_classes, 0.5), num_rows)
    different[0, 0] = 0
    of_input = rng.permutation(np.arange(num_inputs) % num_rows)
    joint = different[of_input] * rng.dirichlet(np.ones(num_inputs))[:, None]
    joint[rng.integers(num_inputs)] = 0
    joint = joint / joint.sum()
    return joint, np.stack([joint[of_input == row].sum(0) for row in range(num_rows)]), of_input


@pytest.mark.parametrize(("num_rows", "num_inputs"), [(4, 64), (6, 6), (8, 8), (9, 300)])
def test_few_different_rows_are_enumerated(num_rows, num_inputs, dtype):
    """KL-means alone loses 0.49 where 0.43 is the least, of four rows of 64 inputs: to move one input gains nothing."""
    eps = float(jnp.finfo(dtype).eps)
    for seed in range(3):
        joint, merged, of_input = with_equal_rows(seed, num_rows, num_inputs, 3)
        found = isjax.quantizers_up_to(KEY, joint.astype(dtype), num_codes=4)
        least = [least_losses(merged, k) for k in range(1, 5)]
        np.testing.assert_allclose(found.loss, least, rtol=1e3 * eps, atol=8 * eps)
        assert found.is_global.all()
        one = isjax.kl_means_quantizer(KEY, joint.astype(dtype), num_codes=3, num_restarts=1, max_steps=1)
        np.testing.assert_allclose(one.loss, least[2], rtol=1e3 * eps, atol=8 * eps)
        assert bool(one.is_global)
        occurs = joint.sum(1) > 0
        for codes in (*found.codes, one.codes):
            pairs = {*zip(of_input[occurs].tolist(), np.asarray(codes)[occurs].tolist(), strict=True)}
            assert len(pairs) == np.unique(of_input[occurs]).size


def test_few_different_rows_under_transformations_and_of_many_inputs():
    joints, merged = zip(*(with_equal_rows(seed, 5, 40, 4)[:2] for seed in range(4)), strict=True)
    least = [least_losses(joint, 3) for joint in merged]
    found = jax.jit(kl_means)(np.array(joints, "f4"))
    np.testing.assert_allclose(found.loss, least, atol=1e-6)
    assert found.is_global.all()
    of_cells = isjax.quantizers_up_to(KEY, joints[0].astype("f4"), num_codes=3, num_cells=8)
    np.testing.assert_allclose(of_cells.loss[2], least[0], atol=1e-6)
    assert of_cells.is_global.all()


def test_as_many_codes_as_different_rows_lose_nothing():
    joint = with_equal_rows(0, 12, 60, 3)[0]
    found = isjax.quantizers_up_to(KEY, joint.astype("f4"), num_codes=13)
    assert found.is_global.tolist() == [True, *[False] * 10, True, True]
    np.testing.assert_allclose(found.loss[11:], 0, atol=1e-9)


def test_kl_means_agrees_with_the_optimum_of_two_classes():
    """Two of its four classes are empty; inputs without mass and tiny masses among them."""
    joints = masses(np.random.default_rng(5), (100, 16), np.float32).reshape(100, 8, 2)
    best = isjax.optimal_quantizer(joints, num_codes=3)
    found = kl_means(np.pad(joints, [(0, 0), (0, 0), (0, 2)]))
    information = oracle.information(joints)
    assert (found.loss >= best.loss * (1 - 1e-4) - 1e-9).all()
    assert (information - found.loss >= 0.98 * (information - best.loss) - 1e-6).all()


@pytest.mark.parametrize("num_codes", [3, 5])
def test_as_many_codes_as_inputs_lose_nothing(num_codes):
    joint = random_joints(1, 3, 2)[0].astype(np.float32)
    for found in (
        isjax.optimal_quantizer(joint, num_codes=num_codes),
        isjax.kl_means_quantizer(KEY, joint, num_codes=num_codes),
    ):
        assert found.codes.tolist() == [0, 1, 2]
        assert float(found.loss) == 0
        assert bool(found.is_global)


def test_quantizers_of_one_class_lose_nothing():
    """Of two and four classes all but one are empty, or there is but one."""
    p_x = np.arange(8, dtype="f4")[:, None] / 28
    many = np.tile(p_x, (100, 1, 1))
    assert float(isjax.optimal_quantizer(p_x, num_codes=3).loss) == 0
    np.testing.assert_array_equal(isjax.optimal_quantizer(np.pad(many, [(0, 0), (0, 0), (1, 0)]), num_codes=3).loss, 0)
    np.testing.assert_array_equal(kl_means(np.pad(many, [(0, 0), (0, 0), (0, 3)])).loss, 0)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_all_numbers_of_codes_in_one_program(num_classes):
    """From one code, which loses everything, to one for each input: each is that of exhaustive search."""
    joint = random_joints(1, 6, num_classes, seed=6)[0]
    found = isjax.quantizers_up_to(KEY, joint.astype("f4"), num_codes=9)  # more than inputs
    assert found.loss.shape == (6,)
    for k, lost in enumerate(np.asarray(found.loss), start=1):
        every = oracle.information(oracle.joints_uy(joint[None], oracle.partitions(6, k))[0])
        np.testing.assert_allclose(lost, oracle.information(joint) - every.max(), atol=1e-6)
        assert np.unique(found.codes[k - 1]).size == k
    np.testing.assert_allclose(found.relevance + found.loss, oracle.information(joint), atol=1e-6)
    sizes = [np.bincount(codes, joint.sum(1), 6) for codes in found.codes]
    np.testing.assert_allclose(found.complexity, oracle.entropy_of_codes(np.stack(sizes)[..., None]), atol=1e-6)
    assert found.is_global.all()


def test_a_second_call_makes_no_new_program():
    """Nor do another key, joint and number of steps."""
    first, second = random_joints(2, 4, 2).astype("f4")

    def quantize(key, joint, max_steps):
        isjax.optimal_quantizer(joint, num_codes=2)
        isjax.optimal_quantizer(joint, num_codes=2, rule=isjax.squared_error(joint[0]))
        isjax.kl_means_quantizer(key, joint, num_codes=2, num_restarts=2, max_steps=max_steps)
        isjax.quantizers_up_to(key, joint, num_codes=2, num_restarts=2, max_steps=max_steps)

    quantize(KEY, first, 1000)
    other_key = jax.random.key(1)
    with new_programs() as events:
        quantize(other_key, second, 10)
    assert events == []
