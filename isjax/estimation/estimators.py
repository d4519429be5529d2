"""The same quantities from samples: estimators with bias correction, a test of sufficiency, bootstrap intervals.

Three variables of a thousand symbols make 10⁹ cells, of which a sample of n occupies at most n: cells are found among
the samples, by sorting where the alphabets are large, and no table of all of them is made.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax.scipy.special import digamma

from isjax import _checks
from isjax._numerics import in_base, nan_where, normalise, safe_divide, xlogx
from isjax._typing import Array, ArrayLike, Float, Int
from isjax.estimation._cells import Cells, occupied_cells, plug_in_information, sum_over
from isjax.informations import mutual_information

__all__ = ["estimate_entropy", "estimate_information_loss", "estimate_mutual_information"]

METHODS = ("plug_in", "miller_madow", "grassberger", "chao_shen", "james_stein")


# --- entropy --------------------------------------------------------------------------------------------------------


def estimate_entropy(
    counts: Int[ArrayLike, "*batch k"], *, method: str, base: float | None = None
) -> Float[Array, "*batch"]:
    r"""Entropy of the distribution that a sample came from, by how often each symbol occurs in it.

    .. math:: \hat H = -\sum_i \hat p_i \log \hat p_i + \text{correction}, \qquad \hat p_i = n_i / N

    The plug-in is too small, by (K − 1)/2N to first order. Methods, with K₊ the number of symbols that occur:

    - ``plug_in``: no correction.
    - ``miller_madow``: + (K₊ − 1)/2N.
    - ``grassberger``: log N − (1/N) Σ nᵢ G(nᵢ), where G(n) = ψ(⌊n/2⌋ + ½) + log 2.
    - ``chao_shen``: −Σ C p̂ log(C p̂) / (1 − (1 − C p̂)^N) with the coverage C = 1 − f₁/N, f₁ symbols seen once (C = 1/N
      where every one is): for many symbols that have not been seen.
    - ``james_stein``: the plug-in of λ/K + (1 − λ) p̂ with the λ of least expected error; K counts all symbols.

    Args:
      counts: how often each symbol occurs, shape ``[..., k]``, integers.
      method: one of those above.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN where the counts are all zero (``james_stein``: log K), or where a traced one is negative.

    Raises:
      TypeError: if ``counts`` does not hold integers.
      ValueError: if it has no axis or no symbol, a concrete count is negative, ``method`` is not one of those above, or
        ``base`` is not greater than 1.

    Source:
      Miller (1955); Grassberger, Entropy estimates from insufficient samplings (2003), equation 35 (its integral in
      closed form); Chao and Shen (2003); Hausser and Strimmer, Entropy inference and the James-Stein estimator (2009).

    Examples:
      >>> counts = jnp.array([4, 2, 1, 1])
      >>> round(float(estimate_entropy(counts, method="plug_in", base=2)), 3)
      1.75
      >>> round(float(estimate_entropy(counts, method="miller_madow")), 3)
      1.401
    """
    _checks.check_one_of(method, "method", METHODS)
    counts = _checks.as_counts(counts, "counts", axes="k")
    nats = entropy_of_counts(counts, method, counts.shape[-1])
    return in_base(nan_where(jnp.any(counts < 0, axis=-1), nats), base)


def entropy_of_counts(counts: Array, method: str, num_symbols: float | Array, shrinkage: Array | None = None) -> Array:
    """Entropy of an alphabet of so many symbols, of which those that are missing in ``counts`` do not occur."""
    n = counts.astype(float)
    total = jnp.sum(n, axis=-1, keepdims=True)
    p = safe_divide(n, total, 0)
    if method == "james_stein":
        weight = _shrinkage(counts, num_symbols) if shrinkage is None else shrinkage
        uniform = weight / num_symbols
        num_missing = num_symbols - jnp.sum(counts > 0, axis=-1).astype(float)
        seen = jnp.where(counts > 0, xlogx(uniform[..., None] + (1 - weight[..., None]) * p), 0)
        return 0 - (jnp.sum(seen, axis=-1) + num_missing * xlogx(uniform))
    if method == "grassberger":
        g = digamma(jnp.where(n > 0, jnp.floor(n / 2), 1) + 0.5) + math.log(2)
        nats = jnp.log(total[..., 0]) - jnp.sum(p * g, axis=-1)
    elif method == "chao_shen":
        seen_once = jnp.sum(counts == 1, axis=-1, keepdims=True).astype(float)
        p = (1 - safe_divide(jnp.where(seen_once == total, total - 1, seen_once), total, 0)) * p
        chance = -jnp.expm1(total * jnp.log1p(-p))
        nats = 0 - jnp.sum(safe_divide(xlogx(p), chance, 0), axis=-1)
    else:
        nats = 0 - jnp.sum(xlogx(p), axis=-1)
        if method == "miller_madow":
            nats = nats + _half_per_sample(jnp.sum(counts > 0, axis=-1) - 1, total[..., 0])
    return nan_where(total[..., 0] == 0, nats)


def _shrinkage(counts: Array, num_symbols: float | Array) -> Array:
    """How far James and Stein's estimator goes towards the uniform distribution: 0 not at all, 1 all the way."""
    n = counts.astype(float)
    total = jnp.sum(n, axis=-1)
    p = safe_divide(n, total[..., None], 0)
    num_missing = num_symbols - jnp.sum(counts > 0, axis=-1).astype(float)
    distance = jnp.sum(jnp.where(counts > 0, (p - 1 / num_symbols) ** 2, 0), axis=-1) + num_missing / num_symbols**2
    weight = safe_divide(jnp.sum(p * (1 - p), axis=-1), (total - 1) * distance, 1)
    return jnp.where(total <= 1, 1, jnp.clip(weight, 0, 1))


def _half_per_sample(excess: Array, total: Array) -> Array:
    """``excess / 2N``: what Miller and Madow add."""
    return safe_divide(excess.astype(float), 2 * total, jnp.nan)


# --- informations ---------------------------------------------------------------------------------------------------


def estimate_mutual_information(
    counts: Int[ArrayLike, "*batch x y"], *, method: str, base: float | None = None
) -> Float[Array, "*batch"]:
    r"""Mutual information of the distribution that a sample came from, by how often each pair occurs in it.

    .. math:: \hat I = \hat H(X) + \hat H(Y) - \hat H(X, Y)

    The plug-in is too large, by (|X| − 1)(|Y| − 1)/2N to first order, and never negative. The corrected ones may be,
    and are not clipped: their mean over many samples is what is nearly right. With ``james_stein`` the joint
    distribution is shrunk, and its information taken. For alphabets too large for a table give the samples to
    ``estimate_information_loss``, with a constant code.

    Args:
      counts: how often each pair occurs, shape ``[..., x, y]``, integers.
      method: as in ``estimate_entropy``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN where the counts are all zero (``james_stein``: 0), or where a traced one is negative.

    Raises:
      TypeError: if ``counts`` does not hold integers.
      ValueError: if it has fewer than two axes or an empty alphabet, a concrete count is negative, ``method`` is not a
        method, or ``base`` is not greater than 1.

    Source:
      As ``estimate_entropy``.

    Examples:
      >>> counts = jnp.array([[8, 2], [2, 8]])
      >>> round(float(estimate_mutual_information(counts, method="plug_in")), 4)
      0.1927
      >>> round(float(estimate_mutual_information(counts, method="miller_madow")), 4)
      0.1677
    """
    _checks.check_one_of(method, "method", METHODS)
    counts = _checks.as_counts(counts, "counts", axes="x y")
    joint, of_x, of_y = counts.reshape(*counts.shape[:-2], -1), jnp.sum(counts, axis=-1), jnp.sum(counts, axis=-2)
    total = jnp.sum(joint, axis=-1)
    if method in ("grassberger", "chao_shen"):
        nats = sum(
            (entropy_of_counts(c, method, c.shape[-1]) for c in (of_x, of_y)),
            -entropy_of_counts(joint, method, joint.shape[-1]),
        )
    else:
        p = normalise(counts.astype(float), axis=(-2, -1))
        if method == "james_stein":
            weight = _shrinkage(joint, joint.shape[-1])[..., None, None]
            p = weight / joint.shape[-1] + (1 - weight) * p
        nats = mutual_information(p)
        if method == "miller_madow":
            k_x, k_y, k_xy = (jnp.sum(c > 0, axis=-1) for c in (of_x, of_y, joint))
            nats = nats + _half_per_sample(k_x + k_y - k_xy - 1, total.astype(float))
    no_sample = (total == 0) & (method != "james_stein")
    return in_base(nan_where(no_sample | jnp.any(counts < 0, axis=(-2, -1)), nats), base)


def estimate_information_loss(
    x: Int[ArrayLike, "*#batch n"],
    y: Int[ArrayLike, "*#batch n"],
    u: Int[ArrayLike, "*#batch n"],
    *,
    shape: tuple[int, int, int],
    method: str,
    base: float | None = None,
) -> Float[Array, "*batch"]:
    r"""Information about Y that is lost when X is replaced by its code U, from samples of the three.

    .. math:: \hat I(X;Y \mid U) = \hat H(X,U) + \hat H(Y,U) - \hat H(X,Y,U) - \hat H(U)

    U need not be a function of X. The plug-in is too large, by Σ_u (r_u − 1)(c_u − 1)/2N to first order, where r_u
    inputs and c_u targets occur with u, and never negative; it is summed without cancellation. The corrected ones may
    be negative and are not clipped. With ``james_stein`` the joint distribution is shrunk over all |X||Y||U| cells,
    those that a code U = η(X) excludes among them. Memory is a multiple of n, whatever the alphabets.

    Args:
      x: symbols of X, shape ``[..., n]``.
      y: symbols of Y, shape ``[..., n]``.
      u: codes, shape ``[..., n]``.
      shape: the alphabet sizes (|X|, |Y|, |U|).
      method: as in ``estimate_entropy``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN where a traced symbol is outside its alphabet.

    Raises:
      TypeError: if a sample does not hold integers.
      ValueError: if the lengths differ, a sample is empty, a concrete symbol is outside its alphabet, ``shape`` has not
        three sizes, ``method`` is not a method, or ``base`` is not greater than 1.

    Source:
      arXiv:2405.20452, Definition 2; the corrections as in ``estimate_entropy``.

    Examples:
      >>> x, y = jnp.arange(400) % 4, jnp.arange(400) % 2
      >>> round(float(estimate_information_loss(x, y, x % 2, shape=(4, 2, 2), method="plug_in", base=2)), 3)
      0.0
      >>> round(float(estimate_information_loss(x, y, x // 2, shape=(4, 2, 2), method="plug_in", base=2)), 3)
      1.0
    """
    _checks.check_one_of(method, "method", METHODS)
    samples, sizes = _samples(x, y, u, shape)

    def loss(x: Array, y: Array, u: Array) -> Array:
        nats = loss_of_cells(occupied_cells(x, y, u, sizes), sizes, method)
        return nan_where(_outside(x, y, u, sizes), nats)

    return in_base(jnp.vectorize(loss, signature="(n),(n),(n)->()")(*samples), base)


def _samples(
    x: ArrayLike, y: ArrayLike, u: ArrayLike, shape: tuple[int, int, int]
) -> tuple[tuple[Array, Array, Array], tuple[int, int, int]]:
    """Samples of X, Y and U, checked, and the sizes of their alphabets."""
    if len(shape) != 3:
        raise ValueError(f"shape must be (|X|, |Y|, |U|), got {shape}")
    num_x, num_y, num_u = (_checks.check_integer(size, "shape") for size in shape)
    sizes = (num_x, num_y, num_u)
    x, y, u = (_checks.as_symbols(s, k, name) for s, k, name in zip((x, y, u), sizes, "xyu", strict=True))
    _checks.check_same_length(x=x, y=y, u=u)
    x, y, u = _checks.align_batches(x=(x, 1), y=(y, 1), u=(u, 1))
    return (x, y, u), sizes


def _outside(x: Array, y: Array, u: Array, sizes: tuple[int, int, int]) -> Array:
    """Whether a traced symbol lies outside its alphabet."""
    return jnp.any(jnp.array([jnp.any((s < 0) | (s >= k)) for s, k in zip((x, y, u), sizes, strict=True)]))


def loss_of_cells(cells: Cells, sizes: Sequence[int | Array], method: str) -> Array:
    """I(X;Y|U) in nats, estimated from the cells; their counts may have been drawn anew."""
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
    return jnp.maximum(nats, 0) if method == "james_stein" else nats  # an information, but for rounding


def entropy_of_margin(counts: Array, labels: Array, num_symbols: Array, method: str) -> Array:
    """Entropy in nats of the labels of cells, as of rows or columns, from the cells' counts."""
    return entropy_of_counts(sum_over(labels, counts), method, num_symbols)


def information_of_cells(cells: Cells, sizes: Sequence[int | Array], method: str) -> Array:
    """I(X;Y) in nats, estimated from cells that all have one code; ``sizes`` are (|X|, |Y|, 1)."""
    certain = jnp.sum(cells.counts)[None]  # H(U) of a constant, which Grassberger's estimate does not give as zero
    return loss_of_cells(cells, sizes, method) + entropy_of_counts(certain, method, 1)
