"""What is refused by the sources, the networks, training and sweeps, and in which words."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax import sweeps
from isjax.study import results, runner
from isjax.study.results import describe_spec
from tests.helpers import refused

SPARSE = {"num_inputs": 4, "num_relevant": 2, "num_classes": 4, "discrimination": 0.8}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"discrimination": 1.2}, ValueError, r"discrimination must lie in \[0, 1\], got 1.2"),
        ({"discrimination": float("nan")}, ValueError, r"discrimination must lie in \[0, 1\], got nan"),
        ({"num_relevant": 5}, ValueError, "num_relevant=5, but there are only num_inputs=4 inputs"),
        ({"num_relevant": 0}, ValueError, "num_relevant must be at least 1, got 0"),
        ({"num_inputs": 2.5}, TypeError, "num_inputs must be an integer, got 2.5"),
        ({"num_inputs": 30}, ValueError, r"must be at most 2\*\*24 symbols, got 2\*\*30"),
        ({"num_classes": 1}, ValueError, "num_classes must be at least 2, got 1"),
        ({"num_classes": 5}, ValueError, "num_classes=5, but there are only 4 codes to label"),
        ({"alphabet_size": 1}, ValueError, "alphabet_size must be at least 2, got 1"),
        ({"input_distribution": np.ones(16)}, ValueError, "input_distribution sums to 16, not 1: isjax.normalise"),
        ({"input_distribution": np.ones(8) / 8}, ValueError, r"input_distribution must have shape \(16,\), got \(8,\)"),
        ({"input_distribution": np.eye(16)[0]}, ValueError, "no labels in 1000 draws"),
    ],
)
def test_sources(changed, error, message):
    with pytest.raises(error, match=message):
        isjax.sparse_source(jax.random.key(0), **SPARSE | changed)


INVARIANT = {"length": 5, "num_classes": 3, "discrimination": 0.8}
DIGITAL = {"grid": 5, "num_cells": 6, "num_classes": 3, "discrimination": 0.8}


@pytest.mark.parametrize(
    ("build", "options", "error", "message"),
    [
        (isjax.invariant_source, INVARIANT | {"length": 0}, ValueError, "length must be at least 1, got 0"),
        (
            isjax.invariant_source,
            INVARIANT | {"length": 25},
            ValueError,
            r"2\*\*length must be at most 2\*\*24",
        ),
        (isjax.invariant_source, INVARIANT | {"group": "dihedral"}, ValueError, "group must be one of 'cyclic', 'symm"),
        (
            isjax.invariant_source,
            INVARIANT | {"num_classes": 9},
            ValueError,
            "num_classes=9, but there are only 8",
        ),
        (
            isjax.robust_source,
            {"num_classes": 17, "discrimination": 0.5},
            ValueError,
            "but there are only 16 codes",
        ),
        (isjax.digital_source, DIGITAL | {"grid": 0}, ValueError, "grid must be at least 1, got 0"),
        (
            isjax.digital_source,
            DIGITAL | {"grid": (2, 2, 2)},
            ValueError,
            r"grid must be one number or \(rows",
        ),
        (isjax.digital_source, DIGITAL | {"grid": 2.5}, TypeError, "grid must be an integer, got 2.5"),
        (
            isjax.digital_source,
            DIGITAL | {"grid": 2**13},
            ValueError,
            r"grid must have at most 2\*\*24 points",
        ),
        (
            isjax.digital_source,
            DIGITAL | {"num_cells": 26},
            ValueError,
            "num_cells=26, but the grid has only 25",
        ),
        (isjax.digital_source, DIGITAL | {"num_cells": 1}, ValueError, "num_cells must be at least 2, got 1"),
    ],
)
def test_other_sources(build, options, error, message):
    with pytest.raises(error, match=message):
        build(jax.random.key(0), **options)


@pytest.mark.parametrize("loss", [-0.1, float("nan"), float("inf")])
def test_biased_encoders(loss):
    source = isjax.sparse_source(jax.random.key(0), **SPARSE)
    with pytest.raises(ValueError, match=f"loss must be at least 0 and finite, got {loss}"):
        isjax.biased_encoder(source, loss=loss)


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        ("best", ValueError, 'encoder must be "identity", "sufficient", "biased" or codes, got "best"'),
        (np.arange(8), ValueError, "encoder has 8 rows, but X has 16 symbols in joint of shape"),
        (np.zeros((2, 16), int), ValueError, r"encoder must have shape \(16,\), a code for each symbol of X, got"),
        (np.eye(16), TypeError, "encoder must hold integer codes here, got dtype float"),
        (np.zeros(16), ValueError, r"encoder of floats must have shape \[..., x, u\], got shape \(16,\)"),
        (np.full(16, 16), ValueError, "encoder has code 16, but codes must lie in 0…15"),
        (np.full(16, 1), ValueError, "encoder must use every code 0…1, got none for code 0"),
    ],
)
def test_problems(encoder, error, message):
    source = isjax.sparse_source(jax.random.key(0), **SPARSE)
    with pytest.raises(error, match=message):
        source.problem(encoder)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "give one of num_steps and num_epochs, got neither"),
        ({"num_steps": 20, "num_epochs": 2}, ValueError, "give one of num_steps and num_epochs, got both"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1, got 0"),
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_steps": 20, "num_evals": 21}, ValueError, "num_evals=21, but there are only num_steps=20 steps"),
        ({"num_steps": 20, "num_evals": 0}, ValueError, "num_evals must be at least 1, got 0"),
        ({"num_steps": 20.0}, TypeError, "num_steps must be an integer, got 20.0"),
        (
            {"num_steps": 20, "sampling": "once"},
            ValueError,
            "sampling must be one of 'fixed', 'replacement', got 'once'",
        ),
        ({"num_steps": 20, "schedule": "step"}, ValueError, "schedule must be one of 'constant', 'linear', 'cosine'"),
    ],
)
@pytest.mark.parametrize("config", [isjax.TrainConfig, isjax.SweepSpec])
def test_configurations(config, options, error, message):
    with pytest.raises(error, match=message):
        config(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lengths": (32, 0)}, ValueError, "lengths must be at least 1, got 0"),
        ({"lengths": ()}, ValueError, "lengths must name at least one value, got none"),
        ({"lengths": (32.5,)}, TypeError, "lengths must be an integer, got 32.5"),
        ({"lengths": 64}, TypeError, r"lengths must be a sequence, such as \(32, 64\), got 64"),
        ({"lengths": "64"}, TypeError, r"lengths must be a sequence, such as \(32, 64\), got '64'"),
        ({"lengths": (32, 64), "max_length": 63}, ValueError, "lengths must be at most max_length=63, got 64"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1, got 0"),
        ({"chunk_size": 0}, ValueError, "chunk_size must be at least 1, got 0"),
        ({"batch_sizes": (0,)}, ValueError, "batch_sizes must be at least 1, got 0"),
        ({"batch_sizes": 32}, TypeError, r"batch_sizes must be a sequence, such as \(32,\), got 32"),
        ({"batch_sizes": ()}, ValueError, "batch_sizes must name at least one value"),
        (
            {"rules": "brier"},
            TypeError,
            "rules must be a sequence, such as .'log', .*, got 'brier'",
        ),
        ({"rules": ()}, ValueError, "rules must name at least one value, got none"),
        (
            {"rules": ("mse",)},
            ValueError,
            "rules must hold names of scoring rules, log, brier, spherical, zero_one, ",
        ),
        ({"rules": (["log"],)}, TypeError, r"rules must hold names of scoring rules, .*, got \['log'\]"),
        ({"rules": (isjax.squared_error,)}, TypeError, "rules must hold names of scoring rules, .*, got <function"),
        ({"learning_rates": (0.0,)}, ValueError, "learning_rates must be positive and finite, got 0"),
        ({"learning_rates": (float("inf"),)}, ValueError, "learning_rates must be positive and finite, got inf"),
        ({"learning_rates": (0.1, float("nan"))}, ValueError, "learning_rates must be positive and finite, got nan"),
        ({"learning_rates": 0.1}, TypeError, r"learning_rates must be a sequence, such as \(0.1,\), got 0.1"),
        ({"learning_rates": ("a",)}, TypeError, r"learning_rates must hold numbers, got \('a',\)"),
        (
            {"hidden": (32,)},
            TypeError,
            r"hidden must hold a sequence of widths for each network, such as \(\(32,\),\), got 32",
        ),
        ({"hidden": 32}, TypeError, r"hidden must be a sequence, such as \(\(32,\), \(64, 64\)\), got 32"),
        ({"hidden": ((32.5,),)}, TypeError, "hidden must be an integer, got 32.5"),
        ({"hidden": ((32, 0),)}, ValueError, "hidden must be at least 1, got 0"),
        ({"hidden": ()}, ValueError, "hidden must name at least one value"),
        ({"num_seeds": 0}, ValueError, "num_seeds must be at least 1, got 0"),
    ],
)
def test_specs(options, error, message):
    with pytest.raises(error, match=message):
        isjax.SweepSpec(**{"num_steps": 20} | options)


def test_specs_of_arrays():
    options = {"lengths": jnp.array([4, 5]), "learning_rates": np.array([1.0, 2.0]), "hidden": [np.array([8])]}
    given = isjax.SweepSpec(**options, batch_sizes=np.array([3]), num_steps=20)
    expected = isjax.SweepSpec(
        lengths=(4, 5), learning_rates=(1.0, 2.0), hidden=((8,),), batch_sizes=(3,), num_steps=20
    )
    assert given == expected
    assert json.dumps(describe_spec(given)) == json.dumps(describe_spec(expected))


def test_networks():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        isjax.MLP((4,), num_classes=0)


def train(problem, length=5, max_length=None, network=None):
    config = isjax.TrainConfig(num_steps=2, num_evals=1, max_length=max_length)
    return isjax.train(jax.random.key(0), problem, length, 0.1, network=network or isjax.MLP32(4), config=config)


@pytest.fixture(scope="module")
def problem():
    return isjax.sparse_source(jax.random.key(0), **SPARSE).problem("biased")


@pytest.mark.parametrize(
    ("length", "max_length", "error", "message"),
    [
        (0, None, ValueError, "length must lie in 1…1, got 0"),
        (33, 32, ValueError, "length must lie in 1…32, got 33"),
        (-1, 32, ValueError, "length must lie in 1…32, got -1"),
        (8.0, None, TypeError, "length must be an integer, got 8.0"),
    ],
)
def test_lengths(problem, length, max_length, error, message):
    refused(error, message, train, problem, length, max_length)


def test_a_traced_length_without_a_bound(problem):
    refused(
        TypeError,
        "length is being traced: give TrainConfig a max_length",
        jax.eval_shape,
        lambda n: train(problem, n),
        jnp.asarray(3),
    )


def test_a_network_that_cannot_be_static(problem):
    class Network(nn.Module):
        widths: list

        def __call__(self, inputs):
            return inputs

    refused(TypeError, "network must be hashable, with tuples in place of lists", train, problem, network=Network([1]))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"codes": np.full(16, 40)}, ValueError, "codes has code 40, but codes must lie in 0…1"),
        ({"codes": np.zeros(16)}, TypeError, "codes must hold integer codes, got dtype float"),
        ({"codes": np.zeros(8, int)}, ValueError, "codes must have shape (16,), one for each symbol of X, got (8,)"),
        ({"features": np.zeros((4, 2), int)}, TypeError, "features must hold floating-point numbers, got dtype int"),
        ({"features": np.zeros((2, 4, 2))}, ValueError, "features must have shape [u, d], got shape (2, 4, 2)"),
        ({"joint": np.zeros((2, 16, 4))}, ValueError, "joint must have shape [x, y], got shape (2, 16, 4)"),
    ],
)
def test_problems_that_are_inconsistent(problem, changed, error, message):
    wrong = problem._replace(**changed)
    refused(error, message, train, wrong)
    refused(error, message, isjax.sweep, jax.random.key(0), [wrong], isjax.SweepSpec(num_steps=20))


def test_what_is_not_a_problem(problem):
    refused(TypeError, "problem must be a Problem, got dict", train, {"a": problem})
    spec, key = isjax.SweepSpec(num_steps=20), jax.random.key(0)
    for wrong, message in (
        (problem, "problems must be a sequence of Problem, such as [problem], got Problem"),
        ({"a": problem}, "problems must be a sequence of Problem, such as [problem], got dict"),
        ([problem, problem.joint], "problems must be a sequence of Problem, got ArrayImpl at position 1"),
    ):
        refused(TypeError, message, isjax.sweep, key, wrong, spec)
        refused(TypeError, message, sweeps.compile_sweep, key, wrong, spec)


def test_an_empty_study():
    spec = isjax.SweepSpec(num_steps=20)
    for run in (lambda: isjax.sweep(jax.random.key(0), [], spec), lambda: runner.run(jax.random.key(0), {}, spec)):
        with pytest.raises(ValueError, match="problems must hold at least one problem, got none"):
            run()


def test_names_and_problems_that_differ_in_number():
    result = isjax.SweepResult(jnp.zeros(1), jnp.zeros(1), *(jnp.zeros((1,) * 7) for _ in range(3)))
    with pytest.raises(ValueError, match="there are 1 problems, but 2 names"):
        results.to_dataset(result, ["a", "b"], isjax.SweepSpec(hidden=((8,),), num_steps=20))


def test_a_cpu_that_has_started_cannot_be_configured():
    jax.devices()
    with pytest.raises(RuntimeError):
        isjax.configure_cpu(3)
    with pytest.raises(ValueError, match="num_devices must be at least 1, got 0"):
        isjax.configure_cpu(0)
