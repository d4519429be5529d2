"""Estimators of entropy, mutual information and mutual information loss from samples, with bias correction."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from isjax import _checks
from isjax._numerics import in_base, nan_where
from isjax._typing import Array, ArrayLike, Float, Int, Real
from isjax.estimation._cells import Sizes, check_samples, occupied_cells, outside_alphabets
from isjax.estimation._estimates import entropy_of_counts, information_of_counts, loss_of_cells

__all__ = ["METHODS", "Method", "estimate_entropy", "estimate_information_loss", "estimate_mutual_information"]

Method = Literal["plug_in", "miller_madow", "grassberger", "chao_shen", "jackknife", "james_stein"]
"""The bias correction of an estimator: see ``estimate_entropy``."""

METHODS: tuple[Method, ...] = get_args(Method)


def estimate_entropy(
    counts: Int[ArrayLike, "*batch k"], *, method: Method, base: Real | None = None
) -> Float[Array, "*batch"]:
    r"""Entropy of the distribution of a sample, from how often each symbol occurs in it.

    .. math:: \hat H = -\sum_i \hat p_i \log \hat p_i + \text{correction}, \qquad \hat p_i = n_i / N

    The plug-in is too small, by (K − 1)/2N to first order. Methods, with K₊ the number of symbols that occur:

    - ``plug_in``: no correction.
    - ``miller_madow``: + (K₊ − 1)/2N.
    - ``grassberger``: log N − (1/N) Σ nᵢ G(nᵢ), where G(n) = ψ(⌊n/2⌋ + ½) + log 2.
    - ``chao_shen``: −Σ C p̂ log(C p̂) / (1 − (1 − C p̂)^N) with the coverage C = 1 − f₁/N, f₁ symbols seen once (C = 1/N
      if all are): for samples in which many symbols are unseen.
    - ``jackknife``: N Ĥ − (N − 1) H̄₋, with H̄₋ the mean of the plug-ins without one sample, in closed form: removes the
      bias of order 1/N.
    - ``james_stein``: the plug-in of λ/K + (1 − λ) p̂ with the λ of least expected error; K counts all symbols.

    Args:
      counts: how often each symbol occurs, shape ``[..., k]``, integers.
      method: one of those above.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN if the counts are all zero (``james_stein``: log K), or a traced one is negative.

    Raises:
      ValueError: if a concrete count is negative, or ``method`` is not one of those above.

    Source:
      Miller (1955); Grassberger, Entropy estimates from insufficient samplings (2003), equation 35 (its integral in
      closed form); Chao and Shen (2003); Quenouille (1956), the jackknife; Hausser and Strimmer, Entropy inference and
      the James-Stein estimator (2009).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> counts = jnp.array([4, 2, 1, 1])
      >>> round(float(isjax.estimate_entropy(counts, method="plug_in", base=2)), 3)
      1.75
      >>> round(float(isjax.estimate_entropy(counts, method="miller_madow")), 3)
      1.401
    """
    _checks.check_one_of(method, "method", METHODS)
    counts = _checks.as_counts(counts, "counts", axes="k")
    return _entropy(counts, method=method, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("method", "base"))
def _entropy(counts: Array, *, method: str, base: float | None) -> Array:
    nats = entropy_of_counts(counts, method, counts.shape[-1])
    return in_base(nan_where(jnp.any(counts < 0, axis=-1), nats), base)


def estimate_mutual_information(
    counts: Int[ArrayLike, "*batch x y"], *, method: Method, base: Real | None = None
) -> Float[Array, "*batch"]:
    r"""Mutual information of the distribution of a sample, from how often each pair occurs in it.

    .. math:: \hat I = \hat H(X) + \hat H(Y) - \hat H(X, Y)

    The plug-in is too large, by (|X| − 1)(|Y| − 1)/2N to first order, and never negative. Corrected estimates may be
    negative and are not clipped, which would bias their mean. With ``james_stein`` the joint distribution is shrunk,
    and the result is its mutual information. For alphabets too large for a table, pass the samples to
    ``estimate_information_loss`` with a constant code.

    Args:
      counts: how often each pair occurs, shape ``[..., x, y]``, integers.
      method: as in ``estimate_entropy``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN if the counts are all zero (``james_stein``: 0), or a traced one is negative.

    Raises:
      ValueError: if a concrete count is negative, or ``method`` is not a method.

    Source:
      As ``estimate_entropy``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> counts = jnp.array([[8, 2], [2, 8]])
      >>> round(float(isjax.estimate_mutual_information(counts, method="plug_in")), 4)
      0.1927
      >>> round(float(isjax.estimate_mutual_information(counts, method="miller_madow")), 4)
      0.1677
    """
    _checks.check_one_of(method, "method", METHODS)
    counts = _checks.as_counts(counts, "counts", axes="x y")
    return _information(counts, method=method, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("method", "base"))
def _information(counts: Array, *, method: str, base: float | None) -> Array:
    nats = information_of_counts(counts, method)
    return in_base(nan_where(jnp.any(counts < 0, axis=(-2, -1)), nats), base)


def estimate_information_loss(
    x: Int[ArrayLike, "*#batch n"],
    y: Int[ArrayLike, "*#batch n"],
    u: Int[ArrayLike, "*#batch n"],
    *,
    shape: tuple[int, int, int],
    method: Method,
    base: Real | None = None,
) -> Float[Array, "*batch"]:
    r"""Information about Y that is lost when X is replaced by its code U, from samples of the three.

    .. math:: \hat I(X;Y \mid U) = \hat H(X,U) + \hat H(Y,U) - \hat H(X,Y,U) - \hat H(U)

    U need not be a function of X. The plug-in is too large, by Σ_u (r_u − 1)(c_u − 1)/2N to first order, where r_u
    inputs and c_u targets occur with u, and never negative; it is summed without cancellation. Corrected estimates may
    be negative and are not clipped. With ``james_stein`` the joint distribution is shrunk over all |X||Y||U| cells,
    including those that a code U = η(X) rules out. Memory is proportional to n, whatever the alphabets.

    Args:
      x: symbols of X, shape ``[..., n]``.
      y: symbols of Y, shape ``[..., n]``.
      u: codes, shape ``[..., n]``.
      shape: the alphabet sizes (|X|, |Y|, |U|).
      method: as in ``estimate_entropy``.
      base: base of the logarithm; nats if None.

    Returns:
      Shape ``[...]``; NaN if a traced symbol is outside its alphabet.

    Raises:
      ValueError: if the lengths differ, a sample is empty, or ``method`` is not a method.

    Source:
      arXiv:2405.20452, Definition 2; the corrections as in ``estimate_entropy``.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> x, y = jnp.arange(400) % 4, jnp.arange(400) % 2
      >>> options = {"shape": (4, 2, 2), "method": "plug_in", "base": 2}
      >>> [float(isjax.estimate_information_loss(x, y, u, **options)) for u in (x % 2, x // 2)]
      [0.0, 1.0]
    """
    _checks.check_one_of(method, "method", METHODS)
    samples, sizes = check_samples(x, y, u, shape)
    return _loss(*samples, sizes=sizes, method=method, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("sizes", "method", "base"))
def _loss(x: Array, y: Array, u: Array, *, sizes: Sizes, method: str, base: float | None) -> Array:
    def one(x: Array, y: Array, u: Array) -> Array:
        nats = loss_of_cells(occupied_cells(x, y, u, sizes), sizes, method)
        return nan_where(outside_alphabets(x, y, u, sizes), nats)

    samples = _checks.align_batches(x=(x, 1), y=(y, 1), u=(u, 1))
    return in_base(jnp.vectorize(one, signature="(n),(n),(n)->()")(*samples), base)
