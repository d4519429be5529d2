"""Estimates of entropy and information from counts: the formulas behind ``estimators`` and ``measurement``."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax.scipy.special import digamma

from isjax._numerics import nan_where, normalise, safe_divide, xlogx
from isjax._typing import Array
from isjax.estimation._cells import Cells, plug_in_information, sum_over
from isjax.informations import mutual_information


def entropy_of_counts(counts: Array, method: str, num_symbols: float | Array, shrinkage: Array | None = None) -> Array:
    """Entropy of an alphabet of ``num_symbols``; those without an entry in ``counts`` have count 0."""
    n = counts.astype(float)
    total = jnp.sum(n, axis=-1, keepdims=True)
    p = safe_divide(n, total, 0)
    if method == "james_stein":
        weight = _shrinkage(counts, num_symbols) if shrinkage is None else shrinkage
        uniform = weight / num_symbols
        num_unseen = num_symbols - jnp.sum(counts > 0, axis=-1).astype(float)
        seen = jnp.where(counts > 0, xlogx(uniform[..., None] + (1 - weight[..., None]) * p), 0)
        return 0 - (jnp.sum(seen, axis=-1) + num_unseen * xlogx(uniform))
    if method == "grassberger":
        g = digamma(jnp.where(n > 0, jnp.floor(n / 2), 1) + 0.5) + math.log(2)
        nats = jnp.log(total[..., 0]) - jnp.sum(p * g, axis=-1)
    elif method == "jackknife":
        nats = _pseudo_log(total[..., 0]) - jnp.sum(p * _pseudo_log(n), axis=-1)
    elif method == "chao_shen":
        seen_once = jnp.sum(counts == 1, axis=-1, keepdims=True).astype(float)
        p = (1 - safe_divide(jnp.where(seen_once == total, total - 1, seen_once), total, 0)) * p
        seen_at_all = -jnp.expm1(total * jnp.log1p(-p))  # the probability of it, in N samples
        nats = 0 - jnp.sum(safe_divide(xlogx(p), seen_at_all, 0), axis=-1)
    else:
        nats = 0 - jnp.sum(xlogx(p), axis=-1)
        if method == "miller_madow":
            nats = nats + _half_per_sample(jnp.sum(counts > 0, axis=-1) - 1, total[..., 0])
    return nan_where(total[..., 0] == 0, nats)


def _shrinkage(counts: Array, num_symbols: float | Array) -> Array:
    """Weight of the uniform distribution in James and Stein's estimate, from 0 to 1."""
    n = counts.astype(float)
    total = jnp.sum(n, axis=-1)
    p = safe_divide(n, total[..., None], 0)
    num_unseen = num_symbols - jnp.sum(counts > 0, axis=-1).astype(float)
    distance = jnp.sum(jnp.where(counts > 0, (p - 1 / num_symbols) ** 2, 0), axis=-1) + num_unseen / num_symbols**2
    weight = safe_divide(jnp.sum(p * (1 - p), axis=-1), (total - 1) * distance, 1)
    return jnp.where(total <= 1, 1, jnp.clip(weight, 0, 1))


def _half_per_sample(excess: Array, total: Array) -> Array:
    """``excess / 2N``: the Miller-Madow correction."""
    return safe_divide(excess.astype(float), 2 * total, jnp.nan)


def _pseudo_log(counts: Array) -> Array:
    """``n log n − (n − 1) log(n − 1)``, and 0 of none: what one sample adds to Σ n log n."""
    n = jnp.maximum(counts, 1)
    return jnp.log(n) - (n - 1) * jnp.log1p(-1 / jnp.maximum(n, 2))


def jackknife_loss(cells: Cells) -> tuple[Array, Array]:
    """The delete-one jackknife of I(X;Y|U), and its standard error.

    Without a sample of the cell (x, y, u) the plug-in loss is θ₋; its pseudo-value is N θ − (N − 1) θ₋ =
    δ(n(x,y,u)) − δ(n(x,u)) − δ(n(y,u)) + δ(n(u)), δ(n) = n log n − (n − 1) log(n − 1).
    """
    counts = cells.counts.astype(float)
    of_row, of_column, of_code = (sum_over(labels, counts)[labels] for labels in cells[1:])
    pseudo_values = (_pseudo_log(counts) - _pseudo_log(of_row)) - (_pseudo_log(of_column) - _pseudo_log(of_code))
    total = jnp.sum(counts)
    mean = jnp.sum(counts * pseudo_values) / total
    variance = safe_divide(jnp.sum(counts * (pseudo_values - mean) ** 2), total * (total - 1), jnp.nan)
    return mean, jnp.sqrt(variance)


def information_of_counts(counts: Array, method: str) -> Array:
    """I(X;Y) in nats from a table of counts ``[..., x, y]``."""
    joint, of_x, of_y = counts.reshape(*counts.shape[:-2], -1), jnp.sum(counts, axis=-1), jnp.sum(counts, axis=-2)
    total = jnp.sum(joint, axis=-1)
    if method in ("grassberger", "chao_shen", "jackknife"):
        of_pairs = entropy_of_counts(joint, method, joint.shape[-1])
        return sum((entropy_of_counts(c, method, c.shape[-1]) for c in (of_x, of_y)), -of_pairs)
    p = normalise(counts, axis=(-2, -1))
    if method == "james_stein":
        weight = _shrinkage(joint, joint.shape[-1])[..., None, None]
        return mutual_information(weight / joint.shape[-1] + (1 - weight) * p)
    nats = mutual_information(p)
    if method == "miller_madow":
        k_x, k_y, k_xy = (jnp.sum(c > 0, axis=-1) for c in (of_x, of_y, joint))
        nats = nats + _half_per_sample(k_x + k_y - k_xy - 1, total)
    return nan_where(total == 0, nats)


def loss_of_cells(cells: Cells, sizes: Sequence[int | Array], method: str) -> Array:
    """I(X;Y|U) in nats from cells, whose counts may be those of a resample."""
    total = jnp.sum(cells.counts).astype(float)
    of_row, of_column, of_code = (sum_over(labels, cells.counts) for labels in cells[1:])
    num_x, num_y, num_u = (jnp.asarray(size, float) for size in sizes)
    if method in ("plug_in", "miller_madow"):
        nats = safe_divide(plug_in_information(cells), total, jnp.nan)
        if method == "miller_madow":
            k_xu, k_yu, k_u, k_xyu = (jnp.sum(c > 0) for c in (of_row, of_column, of_code, cells.counts))
            nats = nats + _half_per_sample(k_xu + k_yu - k_u - k_xyu, total)
        return nats
    weight = _shrinkage(cells.counts, num_x * num_y * num_u) if method == "james_stein" else None
    h_xu = entropy_of_counts(of_row, method, num_x * num_u, weight)
    h_yu = entropy_of_counts(of_column, method, num_y * num_u, weight)
    h_xyu = entropy_of_counts(cells.counts, method, num_x * num_y * num_u, weight)
    h_u = entropy_of_counts(of_code, method, num_u, weight)
    nats = (h_xu - h_u) - (h_xyu - h_yu)
    return jnp.maximum(nats, 0) if method == "james_stein" else nats  # of one distribution: negative by rounding alone


def entropy_of_margin(counts: Array, labels: Array, num_symbols: Array, method: str) -> Array:
    """Entropy in nats of the labels (rows, columns) of cells."""
    return entropy_of_counts(sum_over(labels, counts), method, num_symbols)


def information_of_cells(cells: Cells, sizes: Sequence[int | Array], method: str) -> Array:
    """I(X;Y) in nats from cells that share one code; ``sizes`` are (|X|, |Y|, 1)."""
    constant = jnp.sum(cells.counts)[None]  # Grassberger's estimate of its entropy is not zero
    return loss_of_cells(cells, sizes, method) + entropy_of_counts(constant, method, 1)
