"""Brute force in float64 numpy: every quantity as its definition reads. Nothing here is shared with isjax."""

import itertools

import numpy as np


def entropy(p):
    p = np.ravel(np.asarray(p, np.float64))
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


def renyi_entropy(p, order):
    p = np.ravel(np.asarray(p, np.float64))
    p = p[p > 0]
    if order == 1:
        return entropy(p)
    if order == np.inf:
        return float(-np.log(p.max()))
    return float(np.log(np.sum(p**order)) / (1 - order))


def tsallis_entropy(p, order):
    p = np.ravel(np.asarray(p, np.float64))
    p = p[p > 0]
    if order == 1:
        return entropy(p)
    return float((1 - np.sum(p**order)) / (order - 1)) if order < np.inf else 0.0


def kl_divergence(p, q):
    """As Σ q φ((p − q)/q): float32 inputs do not sum to one, so Σ p log(p/q) is not the number to compare with."""
    p, q = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(q, np.float64))
    if np.any((q == 0) & (p > 0)):
        return np.inf
    p, q = p[q > 0], q[q > 0]
    t = (p - q) / q
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(p > 0, p * np.log(p / q), 0) - p + q
    t = np.where(np.abs(t) < 1e-2, t, 0)
    near = q * (t**2 / 2 - t**3 / 6 + t**4 / 12 - t**5 / 20 + t**6 / 30)
    return float(np.sum(np.where(t != 0, near, far)))


def cross_entropy(p, q):
    p, q = np.ravel(np.asarray(p, np.float64)), np.ravel(np.asarray(q, np.float64))
    with np.errstate(divide="ignore"):
        return float(-np.sum(p[p > 0] * np.log(q[p > 0])))


def jensen_shannon_divergence(p, q, weight=0.5):
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    mixture = weight * p + (1 - weight) * q
    with_weight = ((weight, p), (1 - weight, q))
    return sum(w * kl_divergence(each, mixture) for w, each in with_weight if w > 0)


def renyi_divergence(p, q, order):
    p, q = np.ravel(np.asarray(p, np.float64)), np.ravel(np.asarray(q, np.float64))
    if order == 1:
        return kl_divergence(p, q)
    p, q = p[p > 0], q[p > 0]
    with np.errstate(divide="ignore"):
        if order == np.inf:
            return float(np.max(np.log(p / q)))
        return float(np.log(np.sum(p**order * q ** (1 - order))) / (order - 1))


def total_variation(p, q):
    return float(np.abs(np.asarray(p, np.float64) - np.asarray(q, np.float64)).sum() / 2)


def rows(encoder, num_codes):
    """p(u | x) of codes or of rows."""
    encoder = np.asarray(encoder)
    return np.eye(num_codes)[encoder] if encoder.dtype.kind in "iu" else encoder.astype(np.float64)


def joint_xuy(joint, encoder, num_codes):
    """p(x, u, y), the dense thing."""
    return np.asarray(joint, np.float64)[:, None, :] * rows(encoder, num_codes)[:, :, None]


def conditional_entropy(joint):
    """H(Y|X) of [x, y]."""
    joint = np.asarray(joint, np.float64)
    return sum(row.sum() * entropy(row / row.sum()) for row in joint if row.sum() > 0)


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


def pointwise_mutual_information(joint):
    joint = np.asarray(joint, np.float64)
    p_x, p_y = joint.sum(1), joint.sum(0)
    result = np.zeros(joint.shape)
    for x, y in np.ndindex(joint.shape):
        if joint[x, y] > 0:
            result[x, y] = np.log(joint[x, y] / p_x[x] / p_y[y])
        elif p_x[x] > 0 and p_y[y] > 0:
            result[x, y] = -np.inf
    return result


def mutual_information_loss(joint, encoder, num_codes):
    """I(X;Y|U)."""
    return conditional_mutual_information(joint_xuy(joint, encoder, num_codes).transpose(0, 2, 1))


def risk(joint, log_decoder, encoder, num_codes):
    """E[−log q(Y|U)]."""
    p_xuy = joint_xuy(joint, encoder, num_codes)
    log_q = np.broadcast_to(np.asarray(log_decoder, np.float64), p_xuy.shape)
    return float(-np.sum(p_xuy[p_xuy > 0] * log_q[p_xuy > 0]))


def marginal_entropy(joint, axes):
    """H(X_S) of a joint whose every axis is a variable."""
    joint = np.asarray(joint, np.float64)
    return entropy(joint.sum(axis=tuple(i for i in range(joint.ndim) if i not in axes)))


def subsets(num_variables):
    """All non-empty sets of variables."""
    sizes = range(1, num_variables + 1)
    return itertools.chain.from_iterable(itertools.combinations(range(num_variables), size) for size in sizes)


def total_correlation(joint):
    return sum(marginal_entropy(joint, (i,)) for i in range(joint.ndim)) - entropy(joint)


def dual_total_correlation(joint):
    rest = [tuple(j for j in range(joint.ndim) if j != i) for i in range(joint.ndim)]
    return entropy(joint) - sum(entropy(joint) - marginal_entropy(joint, axes) for axes in rest)


def co_information(joint):
    return sum(-((-1) ** len(axes)) * marginal_entropy(joint, axes) for axes in subsets(joint.ndim))


def o_information(joint):
    return total_correlation(joint) - dual_total_correlation(joint)
