"""What bottlenecks, quantizers and tables refuse, and in which words."""

import jax
import numpy as np
import pytest

import isjax
from isjax.data import columns
from tests import helpers

KEY, JOINT = jax.random.key(0), np.full((3, 2), 1 / 6, "f4")
BETAS = np.array([1.0, 2.0], "f4")
WITH_KEY = {
    "information_bottleneck": {"key": KEY, "joint": JOINT, "beta": 2.0, "num_codes": 2},
    "deterministic_information_bottleneck": {"key": KEY, "joint": JOINT, "beta": 2.0, "num_codes": 2},
    "bottleneck_curve": {"key": KEY, "joint": JOINT, "betas": BETAS, "num_codes": 2},
    "kl_means_quantizer": {"key": KEY, "joint": JOINT, "num_codes": 2},
}
WITH_KEY["quantizers_up_to"] = WITH_KEY["kl_means_quantizer"]
RIGHT = {**WITH_KEY, "optimal_quantizer": {"joint": JOINT, "num_codes": 2}}
WITH_BETA = ["information_bottleneck", "deterministic_information_bottleneck"]


def refused(error, message, name, **changed):
    helpers.refused(error, message, getattr(isjax, name), **{**RIGHT[name], **changed})


@pytest.mark.parametrize("name", RIGHT)
def test_joint_and_num_codes(name):
    message = "joint must hold floating-point probabilities, got dtype int32"
    refused(TypeError, message, name, joint=np.zeros((3, 2), "i4"))
    refused(ValueError, "joint must have shape [..., x, y], got shape (2,)", name, joint=JOINT[0])
    refused(ValueError, "joint has an empty alphabet y: shape (3, 0)", name, joint=JOINT[:, :0])
    refused(ValueError, "num_codes must be at least 1, got 0", name, num_codes=0)
    refused(TypeError, "num_codes must be an integer, got 2.0", name, num_codes=2.0)


@pytest.mark.parametrize("name", WITH_KEY)
def test_one_joint_and_numbers_of_things(name):
    message = "joint must have shape [x, y], got shape (2, 3, 2): map over a batch with jax.vmap"
    refused(ValueError, message, name, joint=np.stack([JOINT, JOINT]))
    refused(ValueError, "num_restarts must be at least 1, got 0", name, num_restarts=0)
    refused(ValueError, "max_steps must be at least 1, got 0", name, max_steps=0)
    refused(TypeError, "max_steps must be an integer, got 1.5", name, max_steps=1.5)


@pytest.mark.parametrize("beta", [0.0, -2.0, np.inf, np.nan])
def test_beta_is_positive_and_finite(beta):
    for name in WITH_BETA:
        refused(ValueError, f"beta must be positive and finite, got {beta:g}", name, beta=beta)
    message = f"betas must be positive and finite, got {beta:g}"
    refused(ValueError, message, "bottleneck_curve", betas=np.array([1.0, beta], "f4"))


@pytest.mark.parametrize("name", ["information_bottleneck", "bottleneck_curve"])
def test_tolerance_is_not_negative(name):
    refused(ValueError, "tolerance must be at least 0, got -0.1", name, tolerance=-0.1)


def test_shapes_of_beta():
    message = "beta must have shape (): map over a batch with jax.vmap, got shape (2,)"
    for name in WITH_BETA:
        refused(ValueError, message, name, beta=BETAS)
    refused(ValueError, "betas must have shape [b], got shape ()", "bottleneck_curve", betas=BETAS[0])
    refused(TypeError, "betas must hold floats, got dtype int32", "bottleneck_curve", betas=np.array([1, 2], "i4"))


def test_more_than_two_classes():
    message = "joint has 4 classes in shape (3, 4), but the optimum is known for two: use kl_means_quantizer"
    refused(ValueError, message, "optimal_quantizer", joint=np.full((3, 4), 1 / 12, "f4"))
    message = "joint has 4 classes in shape (3, 4), but the optimum is known for two: rule 'brier' is no squared_error"
    refused(ValueError, message, "optimal_quantizer", joint=np.full((3, 4), 1 / 12, "f4"), rule=isjax.brier_score)
    message = "rule has 3 values, but Y has 4 symbols in joint of shape (3, 4)"
    rule = isjax.squared_error([0, 1, 2])
    refused(ValueError, message, "optimal_quantizer", joint=np.full((3, 4), 1 / 12, "f4"), rule=rule)
    message = "rule must be a ScoringRule, such as isjax.brier_score, got 'squared_error'"
    refused(TypeError, message, "optimal_quantizer", rule="squared_error")


def test_what_becomes_of_a_missing_value():
    message = "missing must be one of 'refuse', 'drop', 'symbol', got 'ignore'"
    with pytest.raises(ValueError, match=message):
        columns.read("data.csv", ["a"], missing="ignore")
