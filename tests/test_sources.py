"""The controlled models are what they say: exact ground truth, sufficient codes, biased codes of known loss."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.oracles import information as oracle

CASES = [
    {"num_inputs": 6, "num_relevant": 3, "num_classes": 4, "discrimination": 0.8},
    {"num_inputs": 4, "num_relevant": 4, "num_classes": 3, "discrimination": 0.3},
    {"num_inputs": 5, "num_relevant": 1, "num_classes": 2, "discrimination": 1.0},
    {"num_inputs": 3, "num_relevant": 2, "num_classes": 5, "discrimination": 0.6, "alphabet_size": 3},
]


def labels_of(source):
    """Label of each code, read off the joint distribution."""
    best = np.asarray(source.joint).argmax(axis=1)
    return np.array([best[np.asarray(source.codes) == u][0] for u in range(int(source.codes.max()) + 1)])


def channel_entropy(delta, num_classes):
    """H(Y|X) = h(δ + (1−δ)/C, (1−δ)/C, …)."""
    rest = (1 - delta) / num_classes
    return oracle.entropy([delta + rest] + [rest] * (num_classes - 1))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_closed_forms(case, seed):
    source = isjax.sparse_source(jax.random.key(seed), **case)
    delta, num_classes = case["discrimination"], case["num_classes"]
    num_codes = case.get("alphabet_size", 2) ** case["num_relevant"]
    isjax.check_distribution(source.joint, axis=(-2, -1))
    h = channel_entropy(delta, num_classes)
    p_label = np.bincount(labels_of(source), minlength=num_classes) / num_codes
    h_y = oracle.entropy((1 - delta) / num_classes + delta * p_label)
    assert float(source.conditional_entropy) == pytest.approx(h, rel=1e-5, abs=1e-6)
    assert float(source.target_entropy) == pytest.approx(h_y, rel=1e-5)
    assert float(source.mutual_information) == pytest.approx(h_y - h, rel=1e-5, abs=1e-6)
    assert float(source.input_entropy) == pytest.approx(math.log(source.joint.shape[0]), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_labels_are_balanced(case):
    source = isjax.sparse_source(jax.random.key(7), **case)
    labels = labels_of(source)
    share = labels.size / case["num_classes"]
    assert set(np.bincount(labels, minlength=case["num_classes"])) <= {math.floor(share), math.ceil(share)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_the_sufficient_code_loses_nothing_and_the_biased_one_loses_the_closed_form(case, seed):
    source = isjax.sparse_source(jax.random.key(seed), **case)
    assert isjax.is_sufficient(source.joint, source.codes)
    labels, num_classes, delta = labels_of(source), case["num_classes"], case["discrimination"]
    merged = {int(u): int(b) for u, b in zip(source.codes, source.biased_codes, strict=True)}
    cells = [[labels[u] for u in merged if merged[u] == b] for b in set(merged.values())]
    # Codes are equally likely: I(X;Y|B) is what the mixture of a cell's rows has more entropy than each row.
    rows = (1 - delta) / num_classes + delta * np.eye(num_classes)
    mixtures = [rows[cell].mean(axis=0) for cell in cells]
    weights = [len(cell) / labels.size for cell in cells]
    h = channel_entropy(delta, num_classes)
    loss = sum(w * (oracle.entropy(m) - h) for w, m in zip(weights, mixtures, strict=True))
    assert loss > 0
    assert float(isjax.mutual_information_loss(source.joint, source.biased_codes)) == pytest.approx(loss, rel=1e-5)


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
