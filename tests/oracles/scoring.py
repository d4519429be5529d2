"""Proper scoring rules as their definitions read, in float64 numpy. Nothing here is shared with isjax."""

import numpy as np

from tests.oracles.information import joint_xuy

VALUES = np.array([0.0, 1.0, -2.5, 4.0])


def score(name, q, y, values=VALUES):
    """S(q, y)."""
    q = np.asarray(q, np.float64)
    if name == "log":
        return -np.log(q[y]) if q[y] > 0 else np.inf
    if name == "brier":
        return float(np.sum((q - np.eye(len(q))[y]) ** 2))
    if name == "spherical":
        return 1 - q[y] / np.sqrt(np.sum(q**2))
    if name == "zero_one":
        return float(y != np.argmax(q))
    if name == "squared_error":
        return (values[y] - np.sum(q * values[: len(q)])) ** 2
    raise AssertionError(name)


def expected_score(name, p, q, values=VALUES):
    """E_p S(q, Y)."""
    return sum(p[y] * score(name, q, y, values) for y in range(len(p)) if p[y] > 0)


def entropy(name, p, values=VALUES):
    p = np.asarray(p, np.float64)
    return float(expected_score(name, p, p, values))


def divergence(name, p, q, values=VALUES):
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    return float(expected_score(name, p, q, values) - expected_score(name, p, p, values))


def _normalised(mass):
    return mass / mass.sum() if mass.sum() > 0 else np.full(mass.shape, 1 / mass.size)


def loss(name, joint, encoder, num_codes, values=VALUES):
    """Σ p(x, u) D(p(·|x), p(·|u))."""
    p_xuy = joint_xuy(joint, encoder, num_codes)
    of_code = [_normalised(mass) for mass in p_xuy.sum(0)]
    return sum(
        p_xuy[x, u].sum() * divergence(name, _normalised(p_xuy[x, u]), of_code[u], values)
        for x, u in np.ndindex(p_xuy.shape[:2])
        if p_xuy[x, u].sum() > 0
    )


def risk(name, joint, decoder, encoder, num_codes, values=VALUES):
    """E S(q(·|U), Y)."""
    p_uy = joint_xuy(joint, encoder, num_codes).sum(0)
    return sum(expected_score(name, mass, q, values) for mass, q in zip(p_uy, np.asarray(decoder, float), strict=True))
