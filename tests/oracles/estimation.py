"""Estimators as the literature writes them, cell by cell in float64, and every permutation of a small sample."""

import itertools

import numpy as np
from scipy.special import digamma

from tests.oracles import information


def entropy(counts, method):
    n = np.ravel(np.asarray(counts, np.float64))
    total, seen = n.sum(), n[n > 0]
    if method == "plug_in":
        return information.entropy(n / total)
    if method == "miller_madow":
        return information.entropy(n / total) + (len(seen) - 1) / (2 * total)
    if method == "grassberger":
        g = digamma(seen) + (-1) ** seen * (digamma((seen + 1) / 2) - digamma(seen / 2)) / 2
        return float(np.log(total) - np.sum(seen * g) / total)
    if method == "jackknife":
        left_out = [(n - (np.arange(n.size) == i)) / max(total - 1, 1) for i in np.flatnonzero(n)]
        of_rest = np.array([information.entropy(p) for p in left_out])
        return total * information.entropy(n / total) - (total - 1) * (seen / total) @ of_rest
    if method == "chao_shen":
        singletons = np.sum(n == 1) if np.sum(n == 1) < total else total - 1
        p = (1 - singletons / total) * seen / total
        return float(-np.sum(p * np.log(p) / (1 - (1 - p) ** total)))
    return information.entropy(shrunk(n))


def shrunk(counts):
    """James and Stein's estimate of the distribution."""
    n = np.asarray(counts, np.float64)
    total, k = n.sum(), n.size
    p = n / total if total > 0 else np.full(n.shape, 1 / k)
    distance = np.sum((1 / k - p) ** 2)
    weight = 1.0 if total <= 1 or distance == 0 else (1 - np.sum(p**2)) / ((total - 1) * distance)
    weight = min(max(weight, 0), 1)
    return weight / k + (1 - weight) * p


def mutual_information(counts, method):
    counts = np.asarray(counts)
    if method == "james_stein":
        return information.mutual_information(shrunk(counts))
    parts = (counts.sum(1), counts.sum(0), counts)
    h_x, h_y, h_xy = (entropy(part, method) for part in parts)
    return h_x + h_y - h_xy


def table(x, y, u, shape):
    """Counts ``[x, y, u]``, the dense thing."""
    counts = np.zeros(shape, int)
    np.add.at(counts, (x, y, u), 1)
    return counts


def information_loss(x, y, u, shape, method):
    counts = table(x, y, u, shape)
    if method == "james_stein":
        return information.conditional_mutual_information(shrunk(counts))
    parts = (counts.sum(1), counts.sum(0), counts, counts.sum((0, 1)))
    h_xu, h_yu, h_xyu, h_u = (entropy(part, method) for part in parts)
    return h_xu + h_yu - h_xyu - h_u


def statistic(x, y, u, shape):
    return 2 * len(x) * information.conditional_mutual_information(table(x, y, u, shape) / len(x))


def degrees_of_freedom(x, y, u, shape):
    counts = table(x, y, u, shape)
    occupied = [((slab.sum(1) > 0).sum(), (slab.sum(0) > 0).sum()) for slab in counts.transpose(2, 0, 1) if slab.any()]
    return sum((r - 1) * (c - 1) for r, c in occupied)


def permutation_p_value(x, y, u, shape):
    """Share of all permutations of y within each u whose statistic is at least that of the sample."""
    within = [np.flatnonzero(u == code) for code in np.unique(u)]
    observed = statistic(x, y, u, shape)
    num_as_large = num = 0
    for orders in itertools.product(*(itertools.permutations(index) for index in within)):
        permuted = y.copy()
        for index, order in zip(within, orders, strict=True):
            permuted[index] = y[list(order)]
        num += 1
        num_as_large += statistic(x, permuted, u, shape) >= observed - 1e-9
    return num_as_large / num
