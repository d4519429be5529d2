"""What cross-validation refuses, and in which words."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
import isjax.study

KEY = jax.random.key(0)
X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
SPEC = isjax.SweepSpec(hidden=((4,),), lengths=(8,), num_seeds=1, num_steps=4, num_evals=2)


def refused(error, message, f, *args, **options):
    with pytest.raises(error, match=message):
        f(*args, **options)


def with_one(value):
    changed = X.copy()
    changed[4, 1] = value
    return changed


@pytest.mark.parametrize(
    ("features", "targets", "error", "message"),
    [
        (X, np.zeros(20, int), ValueError, "targets of 'x' must have at least two classes, got one: there is nothing"),
        (X, np.minimum(Y + 2 * (np.arange(20) == 3), 2), ValueError, "class 2 has 1 rows: merge it with another, drop"),
        (X, 2 * Y, ValueError, "class 1 has no row: isjax.encode_labels numbers the classes that occur"),
        (X, Y - 1, ValueError, r"targets of 'x' must be classes 0…y−1, got -1…0: isjax.encode_labels turns labels"),
        (X, np.where(Y, "a", "b"), TypeError, "targets of 'x' must be an array of integer classes 0…y−1"),
        (X, Y.astype(float), TypeError, "targets of 'x' must hold integer classes 0…y−1, got dtype float"),
        (X, Y[:, None], ValueError, r"targets of 'x' must have shape \[n\], one class a row, got shape \(20, 1\)"),
        (X, np.zeros(0, int), ValueError, "targets of 'x' must have at least one row, got none"),
        (
            X[:, 0],
            Y,
            ValueError,
            r"features of 'x' must have shape \[n, d\], got shape \(20,\): give features\[:, None\]",
        ),
        (X.reshape(20, 3, 1), Y, ValueError, r"got shape \(20, 3, 1\): reshape the rest to one axis"),
        (X[:19], Y, ValueError, r"features of 'x' must have shape \[20, d\], a row for each target.*got \(19, 3\)"),
        (X[:, :0], Y, ValueError, r"at least one column, got \(20, 0\)"),
        (with_one(np.nan), Y, ValueError, "features of 'x' must be finite, got nan in row 4, column 1: drop such rows"),
        (jnp.asarray(with_one(np.inf)), Y, ValueError, "features of 'x' must be finite, got inf in row 4, column 1"),
        (X.astype(str), Y, TypeError, "features of 'x' must hold real numbers, got dtype <U"),
        (X * 1j, Y, TypeError, "features of 'x' must hold real numbers, got dtype complex"),
    ],
)
def test_samples(features, targets, error, message):
    refused(error, message, isjax.cross_validate, KEY, {"x": isjax.Sample(features, targets)}, SPEC)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ({}, ValueError, "samples must hold at least one Sample, got none"),
        ([isjax.Sample(X, Y)], TypeError, "samples must map names to Samples, such as {'raw': sample}, got list"),
        ({"x": (X, Y)}, TypeError, "samples must hold an isjax.Sample for 'x', such as isjax.Sample.*got tuple"),
        (
            {"x": isjax.Sample(X, Y), "u": isjax.Sample(X, 1 - Y)},
            ValueError,
            "samples must have the same targets, row by row, but 'u' has others than 'x'",
        ),
        (
            {"x": isjax.Sample(X, Y), "u": isjax.Sample(X[:18], Y[:18])},
            ValueError,
            "samples must have the same targets, row by row, but 'u' has others than 'x'",
        ),
    ],
)
def test_mappings_of_samples(samples, error, message):
    refused(error, message, isjax.cross_validate, KEY, samples, SPEC)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lengths": (17,)}, "lengths must be at most 16, the rows that are not held out of 20 in 5 folds, got 17"),
        ({"lengths": (1, 8)}, "lengths must be at least 2, a row to train on and one to choose by, got 1"),
        (
            {"networks": {"a": isjax.MLP((4,), 3)}, "hidden": ()},
            r"network must give logits of shape \[n, y\] = \(20, 2\)",
        ),
    ],
)
def test_grids(changed, message):
    spec = dataclasses.replace(SPEC, **changed)
    refused(ValueError, message, isjax.cross_validate, KEY, {"x": isjax.Sample(X, Y)}, spec)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_folds": 1}, ValueError, "num_folds must be at least 2, got 1"),
        ({"num_folds": 2.5}, TypeError, "num_folds must be an integer, got 2.5"),
        ({"num_folds": 12}, ValueError, "each class must have a row in each of 12 folds, but class 0 has 10 rows"),
        ({"num_classes": 1}, ValueError, "num_classes must be at least 2, got 1"),
        ({"num_classes": 3}, ValueError, "class 2 has no row"),
    ],
)
def test_options(options, error, message):
    refused(error, message, isjax.cross_validate, KEY, {"x": isjax.Sample(X, Y)}, SPEC, **options)


def test_a_reference_that_is_no_sample():
    found = isjax.cross_validate(KEY, {"x": isjax.Sample(X, Y)}, SPEC)
    refused(ValueError, "reference must be one of", found.rise, "u")
    refused(ValueError, "confidence must lie", found.rise, "x", confidence=1.0)


def test_studies_of_samples():
    sample, problem = isjax.Sample(X, Y), isjax.Problem(np.eye(2) / 2, np.arange(2), np.eye(2))
    both = {("a", "b"): sample, ("a", "c"): problem}
    refused(
        TypeError,
        "problems must hold isjax.Problem or isjax.Sample, got both: run two studies",
        isjax.study.run,
        KEY,
        both,
        SPEC,
    )
    spec = dataclasses.replace(SPEC, lengths=(17, math.inf))
    refused(ValueError, "lengths must be at most 16", isjax.study.run, KEY, {("a", "b"): sample}, spec)
