"""Every encoder tried, and the plain alternating updates, in float64 numpy. Nothing here is shared with isjax."""

import numpy as np


def partitions(num_symbols, num_codes):
    """Every deterministic encoder of at most so many codes, up to the names of the codes: ``[p, x]``."""
    found = [[]]
    for _ in range(num_symbols):
        found = [[*codes, u] for codes in found for u in range(min(max(codes, default=-1) + 2, num_codes))]
    return np.array(found)


def joints_uy(joints, encoders):
    """p(u, y) of each joint ``[b, x, y]`` under each encoder ``[p, x]``: ``[b, p, u, y]``."""
    return np.einsum("pxu,bxy->bpuy", np.eye(encoders.max() + 1)[encoders], np.asarray(joints, np.float64))


def information(joints):
    """I of each joint ``[..., x, y]``."""
    joints = np.asarray(joints, np.float64)
    independent = joints.sum(-1, keepdims=True) * joints.sum(-2, keepdims=True)
    has_mass = joints > 0
    ratios = np.where(has_mass, joints, 1) / np.where(has_mass, independent, 1)
    return np.sum(joints * np.log(ratios), axis=(-2, -1))


def entropy_of_codes(joints):
    p_u = np.asarray(joints, np.float64).sum(-1)
    return -np.sum(p_u * np.log(np.where(p_u > 0, p_u, 1)), axis=-1)


def update(joint, betas, encoders):
    """p(u | x) ∝ p(u) exp(−β D(p(·|x) ‖ p(·|u))) for encoders ``[b, x, u]`` and a joint without zeros."""
    joint = np.asarray(joint, np.float64)
    rows = joint / joint.sum(1, keepdims=True)
    joint_uy = np.einsum("bxu,xy->buy", encoders, joint)
    p_u = joint_uy.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_decoder = np.log(np.where(p_u[..., None] > 1e-300, joint_uy / p_u[..., None], 1))
        prior = np.where(p_u > 1e-300, np.log(p_u), -np.inf)
    scores = prior[:, None] + betas[:, None, None] * np.einsum("xy,buy->bxu", rows, log_decoder)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def objective(joint, betas, encoders):
    joint = np.asarray(joint, np.float64)
    complexity = information(joint.sum(1)[:, None] * encoders)
    return complexity - betas * information(np.einsum("bxu,xy->buy", encoders, joint))


def best_objective(joint, betas, num_codes, *, num_restarts, num_updates, seed=0):
    """The least of many long runs of plain updates at each β."""
    rng = np.random.default_rng(seed)
    num_symbols = joint.shape[0]
    starts = rng.dirichlet(np.ones(num_codes), (num_restarts, num_symbols))
    starts[::2] = 0.9 * np.eye(num_codes)[rng.integers(0, num_codes, starts[::2].shape[:2])] + 0.1 / num_codes
    encoders = np.tile(starts, (len(betas), 1, 1))
    each = np.repeat(np.asarray(betas, np.float64), num_restarts)
    for _ in range(num_updates):
        encoders = update(joint, each, encoders)
    return objective(joint, each, encoders).reshape(len(betas), num_restarts).min(1)
