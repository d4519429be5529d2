"""What the projections refuse, and in which words."""

import numpy as np
import pytest

import isjax
from tests.helpers import refused

JOINT, CODES = np.full((3, 2), 1 / 6, "f4"), np.array([0, 1, 1])
P, F, C = np.full(3, 1 / 3, "f4"), np.zeros((3, 2), "f4"), np.zeros(2, "f4")
HALVES, THIRDS = np.full(2, 1 / 2, "f4"), np.full(3, 1 / 3, "f4")

RIGHT = {
    "sufficient_projection": {"joint": JOINT, "encoder": CODES},
    "information_projection": {"reference": P, "features": F, "moments": C},
    "iterative_proportional_fitting": {"reference": JOINT, "marginals": [THIRDS, HALVES], "axes": [0, (1,)]},
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_refused(name):
    assert getattr(isjax, name)(**RIGHT[name]).converged


SUFFICIENT, MOMENTS, MARGINALS = RIGHT
REFUSED = [
    (
        SUFFICIENT,
        {"joint": JOINT.astype(int)},
        TypeError,
        "joint must hold floating-point probabilities, got dtype int32",
    ),
    (
        SUFFICIENT,
        {"encoder": np.eye(3, dtype="f4")},
        TypeError,
        "encoder must hold integer codes here, got dtype float32",
    ),
    (
        SUFFICIENT,
        {"encoder": CODES[:2]},
        ValueError,
        "encoder has 2 rows, but X has 3 symbols in joint of shape (3, 2)",
    ),
    (SUFFICIENT, {"encoder": CODES + 2}, ValueError, "encoder has code 3, but codes must lie in 0…2"),
    (SUFFICIENT, {"num_codes": 1}, ValueError, "encoder has code 1, but codes must lie in 0…0"),
    (
        SUFFICIENT,
        {"joint": np.stack([JOINT] * 2), "encoder": np.stack([CODES] * 3)},
        ValueError,
        "batch axes must broadcast, got (2,) in joint and (3,) in encoder",
    ),
    (
        MOMENTS,
        {"reference": P.astype(int)},
        TypeError,
        "reference must hold floating-point probabilities, got dtype int32",
    ),
    (MOMENTS, {"features": F.astype(int)}, TypeError, "features must hold floating-point numbers, got dtype int32"),
    (MOMENTS, {"moments": C.astype(int)}, TypeError, "moments must hold floating-point numbers, got dtype int32"),
    (MOMENTS, {"reference": P[0]}, ValueError, "reference must have shape [..., x], got shape ()"),
    (MOMENTS, {"features": P}, ValueError, "features must have shape [..., x, k], got shape (3,)"),
    (MOMENTS, {"features": F[:, :0]}, ValueError, "features has an empty alphabet k: shape (3, 0)"),
    (MOMENTS, {"features": F[:2]}, ValueError, "features has 2 rows, but reference has 3 symbols"),
    (MOMENTS, {"moments": P}, ValueError, "moments has 3 entries, but features has 2 columns"),
    (
        MOMENTS,
        {"reference": np.stack([P] * 2), "moments": np.stack([C] * 3)},
        ValueError,
        "batch axes must broadcast, got (2,) in reference and () in features and (3,) in moments",
    ),
    (MOMENTS, {"max_steps": 0}, ValueError, "max_steps must be at least 1, got 0"),
    (MOMENTS, {"max_steps": 2.0}, TypeError, "max_steps must be an integer, got 2.0"),
    (MOMENTS, {"tolerance": -1.0}, ValueError, "tolerance must be at least 0, got -1.0"),
    (MARGINALS, {"tolerance": np.float32("nan")}, ValueError, "tolerance must be at least 0, got nan"),
    (
        MARGINALS,
        {"reference": JOINT.astype(int)},
        TypeError,
        "reference must hold floating-point probabilities, got dtype",
    ),
    (
        MARGINALS,
        {"marginals": [THIRDS, np.array([1, 0])]},
        TypeError,
        "marginals[1] must hold floating-point probabilities, got dtype int32",
    ),
    (
        MARGINALS,
        {"marginals": [THIRDS, THIRDS]},
        ValueError,
        "marginals[1] has shape (3,), but axes[1]=(1,) of reference have sizes (2,)",
    ),
    (
        MARGINALS,
        {"marginals": [JOINT], "axes": [(1, 0)]},
        ValueError,
        "marginals[0] has shape (3, 2), but axes[0]=(1, 0) of reference have sizes (2, 3)",
    ),
    (MARGINALS, {"axes": [0, 2]}, ValueError, "axes[1]=2 is not an axis of an array of shape (3, 2)"),
    (MARGINALS, {"axes": [(0, -2), 1]}, ValueError, "axes[0] must name each axis once and at least one, got (0, -2)"),
    (MARGINALS, {"axes": [(), 1]}, ValueError, "axes[0] must name each axis once and at least one, got ()"),
    (MARGINALS, {"axes": [0]}, ValueError, "marginals and axes must have one length, at least 1, got 2 and 1"),
    (
        MARGINALS,
        {"marginals": [], "axes": []},
        ValueError,
        "marginals and axes must have one length, at least 1, got 0 and 0",
    ),
    (MARGINALS, {"max_steps": 0}, ValueError, "max_steps must be at least 1, got 0"),
]


@pytest.mark.parametrize(("name", "changed", "error", "message"), REFUSED)
def test_what_is_wrong_is_named(name, changed, error, message):
    refused(error, message, getattr(isjax, name), **RIGHT[name] | changed)
