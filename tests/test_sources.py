"""The controlled models are what they say: exact ground truth, sufficient codes, biased codes of known loss."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.oracles import information as oracle


@dataclasses.dataclass(frozen=True)
class Case:
    """A source with its arguments, and how many codes it has."""

    build: functools.partial
    num_codes: int
    num_classes: int
    discrimination: float

    @functools.cache  # noqa: B019 — the cases are constants
    def __call__(self, seed):
        return self.build(jax.random.key(seed), num_classes=self.num_classes, discrimination=self.discrimination)

    def __str__(self):
        return f"{self.build.func.__name__}-{self.num_codes}-{self.num_classes}"


CASES = [
    Case(functools.partial(isjax.sparse_source, num_inputs=6, num_relevant=3), 8, 4, 0.8),
    Case(functools.partial(isjax.sparse_source, num_inputs=4, num_relevant=4), 16, 3, 0.3),
    Case(functools.partial(isjax.sparse_source, num_inputs=5, num_relevant=1), 2, 2, 1.0),
    Case(functools.partial(isjax.sparse_source, num_inputs=3, num_relevant=2, alphabet_size=3), 9, 5, 0.6),
    Case(functools.partial(isjax.invariant_source, length=6), 14, 4, 0.7),
    Case(functools.partial(isjax.invariant_source, length=5, group="symmetric"), 6, 3, 0.9),
    Case(functools.partial(isjax.robust_source), 16, 4, 0.8),
    Case(functools.partial(isjax.digital_source, grid=(5, 8), num_cells=7), 7, 3, 0.5),
]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def labels_of(source):
    """Label of each code, read off the joint distribution."""
    best = np.asarray(source.joint).argmax(axis=1)
    return np.array([best[np.asarray(source.codes) == u][0] for u in range(int(source.codes.max()) + 1)])


def channel_entropy(delta, num_classes):
    """H(Y|X) = h(δ + (1−δ)/C, (1−δ)/C, …)."""
    rest = (1 - delta) / num_classes
    return oracle.entropy([delta + rest] + [rest] * (num_classes - 1))


@cases
@pytest.mark.parametrize("seed", range(2))
def test_closed_forms(case, seed):
    """H(Y|X), H(Y) and I(X;Y) from the labels alone; the sufficient code loses nothing, the biased its closed form."""
    source = case(seed)
    delta, num_classes, codes = case.discrimination, case.num_classes, np.asarray(source.codes)
    isjax.check_distribution(source.joint, axis=(-2, -1))
    assert sorted(set(codes.tolist())) == list(range(case.num_codes))
    h, labels = channel_entropy(delta, num_classes), labels_of(source)
    p_u = np.bincount(codes) / codes.size
    p_label = np.bincount(labels, p_u, minlength=num_classes)
    h_y = oracle.entropy((1 - delta) / num_classes + delta * p_label)
    assert float(source.conditional_entropy) == pytest.approx(h, rel=1e-5, abs=1e-6)
    assert float(source.target_entropy) == pytest.approx(h_y, rel=1e-5)
    assert float(source.mutual_information) == pytest.approx(h_y - h, rel=1e-5, abs=1e-6)
    assert float(source.input_entropy) == pytest.approx(math.log(source.joint.shape[0]), rel=1e-5)

    share = labels.size / num_classes
    assert set(np.bincount(labels, minlength=num_classes)) <= {math.floor(share), math.ceil(share)}

    assert isjax.is_sufficient(source.joint, source.codes)
    biased = np.asarray(source.biased_codes)
    assert all(len(set(biased[codes == u])) == 1 for u in range(case.num_codes))  # it coarsens the sufficient code
    rows = (1 - delta) / num_classes + delta * np.eye(num_classes)[labels]
    cells = [biased[codes == u][0] for u in range(case.num_codes)]
    weights = np.bincount(cells, p_u)
    mixtures = [np.average(rows, axis=0, weights=p_u * (np.array(cells) == b)) for b in range(len(weights))]
    loss = sum(w * (oracle.entropy(m) - h) for w, m in zip(weights, mixtures, strict=True))
    assert loss > 0
    assert float(isjax.mutual_information_loss(source.joint, source.biased_codes)) == pytest.approx(loss, rel=1e-5)


@cases
def test_every_learner_sees_its_codes_apart(case):
    source = case(0)
    for encoder in ("identity", "sufficient", "biased"):
        joint, codes, features = source.problem(encoder)
        np.testing.assert_array_equal(joint, source.joint)
        assert len(np.unique(np.asarray(features), axis=0)) == int(codes.max()) + 1 == features.shape[0]


def test_orbits_do_not_see_shifts_and_the_symmetric_group_sees_the_number_of_ones():
    options = {"length": 6, "num_classes": 3, "discrimination": 0.7}
    codes = np.asarray(isjax.invariant_source(jax.random.key(0), **options).codes).reshape((2,) * 6)
    np.testing.assert_array_equal(np.moveaxis(codes, 0, -1), codes)
    assert codes[1, 1, 0, 0, 0, 0] != codes[1, 0, 1, 0, 0, 0]
    codes = np.asarray(isjax.invariant_source(jax.random.key(0), **options, group="symmetric").codes)
    ones = np.array([bin(x).count("1") for x in range(64)])
    assert len({(a, b) for a, b in zip(codes, ones, strict=True)}) == 7


def test_robust_code_survives_any_one_flipped_bit():
    source = isjax.robust_source(jax.random.key(0), num_classes=4, discrimination=0.7)
    codes = np.asarray(source.codes)
    assert (np.bincount(codes) == 8).all()
    codewords = [x for x in range(128) if all(codes[x] == codes[x ^ (1 << i)] for i in range(7))]
    assert len(codewords) == 16
    assert min(bin(a ^ b).count("1") for a, b in itertools.combinations(codewords, 2)) == 3


def test_digital_cells_are_those_of_the_nearest_centre():
    """Some choice of centres, one in each cell, has every point nearest to that of its cell, the first of several."""
    source = isjax.digital_source(jax.random.key(1), grid=(4, 5), num_cells=3, num_classes=2, discrimination=0.7)
    codes, points = np.asarray(source.codes), np.stack(np.unravel_index(np.arange(20), (4, 5)), 1)
    squared = np.sum((points[:, None] - points) ** 2, -1)
    choices = itertools.product(*(np.flatnonzero(codes == u) for u in range(3)))
    assert any((np.argmin(squared[:, list(choice)], axis=1) == codes).all() for choice in choices)
    np.testing.assert_array_equal(source.features.sum(1), np.full(20, 2))  # one row and one column


@pytest.mark.parametrize("case", [CASES[3], CASES[5], CASES[6]], ids=str)
def test_biased_encoder_has_the_nearest_loss_that_it_finds(case):
    source = case(0)
    everything = float(source.mutual_information)
    for wanted in (0.0, 0.05, 0.2, 0.5 * everything, 10.0):
        codes = isjax.biased_encoder(source, loss=wanted)
        found = float(isjax.mutual_information_loss(source.joint, codes))
        assert abs(found - min(wanted, everything)) <= (0.013 if case.num_codes > 8 else 0.03)
        np.testing.assert_array_equal(codes, isjax.biased_encoder(source, loss=wanted))
        assert source.problem(codes).features.shape[0] == int(codes.max()) + 1
    assert int(isjax.biased_encoder(source, loss=10.0).max()) == 0


def test_biased_encoder_of_few_codes_is_the_nearest_of_all_partitions():
    source = CASES[5](0)  # six codes: 203 partitions
    codes = np.asarray(source.codes)
    partitions = {tuple(map(list(dict.fromkeys(p)).index, p)) for p in itertools.product(range(6), repeat=6)}
    joint = np.asarray(source.joint, np.float64)
    losses = [oracle.mutual_information_loss(joint, np.array(p)[codes], 6) for p in partitions]
    assert len(losses) == 203  # the sixth Bell number
    for wanted in (0.03, 0.11, 0.4):
        found = oracle.mutual_information_loss(joint, np.asarray(isjax.biased_encoder(source, loss=wanted)), 6)
        assert abs(found - wanted) == pytest.approx(np.min(np.abs(np.array(losses) - wanted)), abs=1e-6)


def test_without_discrimination_nothing_is_lost():
    source = isjax.sparse_source(jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=4, discrimination=0.0)
    assert float(source.mutual_information) < 1e-12
    assert isjax.is_sufficient(source.joint, source.biased_codes)


def test_other_discriminations_share_code_and_labels():
    sources = [
        isjax.sparse_source(jax.random.key(3), num_inputs=5, num_relevant=3, num_classes=4, discrimination=delta)
        for delta in (0.4, 0.9)
    ]
    np.testing.assert_array_equal(sources[0].codes, sources[1].codes)
    np.testing.assert_array_equal(labels_of(sources[0]), labels_of(sources[1]))


def test_the_input_distribution_is_the_one_given():
    p_x = np.asarray(jax.random.dirichlet(jax.random.key(1), jnp.ones(16)))
    options = {"num_inputs": 4, "num_relevant": 2, "num_classes": 3, "discrimination": 0.7}
    source = isjax.sparse_source(jax.random.key(0), **options, input_distribution=p_x)
    np.testing.assert_allclose(isjax.marginal_x(source.joint), p_x, rtol=1e-5)
    assert isjax.is_sufficient(source.joint, source.codes)


def test_features_tell_codes_apart_and_are_the_relevant_coordinates():
    source = isjax.sparse_source(jax.random.key(2), num_inputs=5, num_relevant=3, num_classes=4, discrimination=0.5)
    for encoder, columns in (("identity", 5), ("sufficient", 3), ("biased", 2)):
        joint, codes, features = source.problem(encoder)
        np.testing.assert_array_equal(joint, source.joint)
        assert features.shape == (2**columns, columns)
        assert len(np.unique(np.asarray(features), axis=0)) == 2**columns
        assert set(np.unique(features)) == {-1.0, 1.0}
    joint, codes, features = source.problem("sufficient")
    whole = np.asarray(source.features)
    seen = np.asarray(features)[np.asarray(codes)]  # each of its columns is one of X's own
    assert all(any(np.array_equal(seen[:, j], whole[:, i]) for i in range(5)) for j in range(3))


def test_codes_of_ones_own_are_seen_through_one_of_their_symbols():
    source = isjax.sparse_source(jax.random.key(2), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.5)
    codes = np.array([0, 1, 1, 2, 2, 2, 0, 0])
    features = np.asarray(source.problem(codes).features)
    members = [{tuple(row) for row in np.asarray(source.features)[codes == u]} for u in range(3)]
    assert all(tuple(row) in rows for row, rows in zip(features, members, strict=True))
    assert source.problem(np.zeros(8, int)).features.shape == (1, 1)


def test_every_pair_of_relevant_and_dropped_coordinates_is_drawn():
    seen = set()
    for seed in range(60):
        key = jax.random.key(seed)
        source = isjax.sparse_source(key, num_inputs=3, num_relevant=2, num_classes=2, discrimination=1.0)
        keeps = {
            pair
            for pair in itertools.combinations(range(3), 2)
            if np.array_equal(isjax.coordinate_encoder((2, 2, 2), pair), source.codes)
        }
        dropped = [i for i in range(3) if np.array_equal(isjax.coordinate_encoder((2, 2, 2), [i]), source.biased_codes)]
        seen |= {(*keeps, i) for i in dropped}
    assert len(seen) == 6


def test_double_precision(x64):
    p_x = np.full(16, 1 / 16)
    options = {"num_inputs": 4, "num_relevant": 2, "num_classes": 3, "discrimination": 0.7}
    source = isjax.sparse_source(jax.random.key(0), **options, input_distribution=p_x)
    assert source.joint.dtype == source.features.dtype == jnp.float64
    assert float(source.conditional_entropy) == pytest.approx(channel_entropy(0.7, 3), rel=1e-13)
