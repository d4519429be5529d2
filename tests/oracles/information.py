"""Brute force in float64 numpy: every quantity as its definition reads, cell by cell. Nothing here is shared with isjax."""

import itertools

import numpy as np


def entropy(p):
    return float(-sum(value * np.log(value) for value in np.ravel(np.asarray(p, np.float64)) if value > 0))


def kl_divergence(p, q):
    """As Σ q φ((p − q)/q): what THEORY asks float32 to be compared with, since its inputs do not sum to one exactly."""
    total = 0.0
    for a, b in zip(np.ravel(np.asarray(p, np.float64)), np.ravel(np.asarray(q, np.float64)), strict=True):
        if b == 0:
            total += np.inf if a > 0 else 0.0
        elif a == 0:
            total += b
        else:
            t = (a - b) / b
            total += b * ((1 + t) * np.log1p(t) - t if abs(t) > 1e-3 else t**2 / 2 - t**3 / 6 + t**4 / 12 - t**5 / 20)
    return total


def rows(encoder, num_codes):
    """p(u | x) of codes or of rows."""
    encoder = np.asarray(encoder)
    return np.eye(num_codes)[encoder] if encoder.dtype.kind in "iu" else encoder.astype(np.float64)


def joint_xuy(joint, encoder, num_codes):
    """p(x, u, y), the dense thing."""
    return np.asarray(joint, np.float64)[:, None, :] * rows(encoder, num_codes)[:, :, None]


def conditional_mutual_information(joint):
    """I(X;Y|Z) of [x, y, z]."""
    joint = np.asarray(joint, np.float64)
    total = 0.0
    for z in range(joint.shape[2]):
        p_z = joint[:, :, z].sum()
        if p_z > 0:
            given = joint[:, :, z] / p_z
            total += p_z * kl_divergence(given, given.sum(1, keepdims=True) * given.sum(0, keepdims=True))
    return total


def mutual_information(joint):
    return conditional_mutual_information(np.asarray(joint)[:, :, None])


def mutual_information_loss(joint, encoder, num_codes):
    """I(X;Y|U)."""
    return conditional_mutual_information(joint_xuy(joint, encoder, num_codes).transpose(0, 2, 1))


def marginal_entropy(joint, axes):
    """H(X_S) of a joint whose every axis is a variable."""
    joint = np.asarray(joint, np.float64)
    return entropy(joint.sum(axis=tuple(i for i in range(joint.ndim) if i not in axes)))


def subsets(num_variables):
    """All non-empty sets of variables."""
    sizes = range(1, num_variables + 1)
    return itertools.chain.from_iterable(itertools.combinations(range(num_variables), size) for size in sizes)
