"""Quantizers: deterministic encoders with K codes that lose least information."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from isjax import _checks
from isjax._numerics import information, rows_or_zero
from isjax._solvers import Search, code_scores, search, seeded_codes, union_loss, with_best_move
from isjax._typing import Array, ArrayLike, Bool, Float, Int, Joint, Key, ScalarInt
from isjax.distributions import pushforward_unchecked
from isjax.sufficiency import mutual_information_loss

__all__ = ["Quantizer", "kl_means_quantizer", "optimal_quantizer"]

_REFINED_CELLS = 2**18  # numbers that the single moves of all restarts may take together


class Quantizer(NamedTuple):
    """A deterministic encoder of K codes, and what it loses, in nats.

    Source:
      Kurkoski and Yagi, Quantization of binary-input discrete memoryless channels (2014).
    """

    codes: Int[Array, "*batch x"]
    """Code of each input symbol."""
    loss: Float[Array, "*batch"]
    """I(X;Y|U) in nats."""
    is_global: Bool[Array, "*batch"]
    """Whether no encoder with as many codes is known to lose less: proved, not observed."""


def optimal_quantizer(joint: Joint, *, num_codes: int) -> Quantizer:
    r"""Deterministic encoder of K codes that loses least, for two classes: the global optimum.

    .. math:: \min_{u : X \to \{1..K\}} I(X;Y \mid U)

    With two classes the cells of an optimum are intervals in the order of p(y=1 | x), so dynamic programming over
    where they end finds it, in time K |X|² and memory K |X|. What a cell loses is summed input by input, from losses
    of unions of which none is negative, not from differences of prefix sums.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]`` with at most two classes y.
      num_codes: K, static. As many codes as inputs, or more, are allowed: then each input has its own and nothing is
        lost.

    Returns:
      A ``Quantizer`` with codes of shape ``[..., x]``, which rise with p(y=1 | x) if they are fewer than the inputs; an
      input without mass has some code.

    Raises:
      TypeError: if ``joint`` does not hold floats, or ``num_codes`` is not an integer.
      ValueError: if there are more than two classes, or ``num_codes`` is below one.

    Source:
      Kurkoski and Yagi, Quantization of binary-input discrete memoryless channels (2014).

    Examples:
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.05, 0.2], [0.2, 0.05]])
      >>> found = optimal_quantizer(joint, num_codes=2)
      >>> found.codes.tolist(), round(float(found.loss), 3)
      ([1, 0, 1, 0], 0.075)
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_symbols, num_classes = joint.shape[-2:]
    if num_classes > 2:
        raise ValueError(
            f"joint has {num_classes} classes in shape {joint.shape}, but the optimum is known for two: "
            "use kl_means_quantizer"
        )
    if num_codes >= num_symbols:
        codes = jnp.broadcast_to(jnp.arange(num_symbols), joint.shape[:-1])
    else:
        numbers = jnp.array([num_codes])
        codes = jnp.vectorize(lambda joint: _interval_codes(joint, numbers, num_codes)[0], signature="(x,y)->(x)")(
            joint
        )
    loss = mutual_information_loss(joint, codes, num_codes=num_codes)
    return Quantizer(codes, loss, jnp.ones(loss.shape, bool))


def _interval_codes(joint: Array, numbers: Array, num_codes: int) -> Array:
    """Codes ``[k, x]`` of the best intervals in the order of p(y=1 | x), for numbers of them up to ``num_codes``.

    ``least[j, k]`` is the least that k intervals lose on the first j inputs. Each step adds an input to every cell that
    begins at or before it, and to the cell's loss what the union loses; then ``least`` of one input more is the best
    over where the last cell begins. The cuts are found from the last to the first, with the losses summed anew: to
    remember them all on the way takes three times as long.
    """
    num_symbols = joint.shape[0]
    order, begins = jnp.argsort(rows_or_zero(joint)[:, -1]), jnp.arange(num_symbols)
    joint = joint[order]

    def add(carry: tuple[Array, ...], numbered: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        (cells, losses, least), (i, symbol) = carry, numbered
        has_begun = begins <= i
        losses = losses + jnp.where(has_begun, union_loss(cells, symbol[None]), 0)
        cells = cells + jnp.where(has_begun[:, None], symbol[None], 0)
        best = jnp.min(least + jnp.where(has_begun, losses, jnp.inf)[:, None], axis=0)
        one_more = jnp.concatenate([jnp.full(1, jnp.inf, joint.dtype), best[:-1]])
        return (cells, losses, least.at[i + 1].set(one_more, mode="drop")), None

    least = jnp.full((num_symbols, num_codes), jnp.inf, joint.dtype).at[0, 0].set(0)
    start = jnp.zeros_like(joint), jnp.zeros(num_symbols, joint.dtype), least
    (_, _, least), _ = jax.lax.scan(add, start, (begins, joint))

    def cut(end: Array, k: Array) -> Array:
        inside = jnp.where((begins < end)[:, None], joint, 0)
        to_the_right = jnp.roll(inside, -1, axis=0).at[-1].set(0)
        cells = jax.lax.cumsum(to_the_right, reverse=True)
        losses = jax.lax.cumsum(union_loss(cells, inside), reverse=True)
        return jnp.argmin(jnp.where(begins < end, least[:, k] + losses, jnp.inf))

    def codes(number: Array) -> Array:
        def last(end: Array, k: Array) -> tuple[Array, Array]:
            begin = jnp.where(k < number, cut(end, k), end)
            return begin, begin

        _, cuts = jax.lax.scan(last, jnp.asarray(num_symbols), jnp.arange(num_codes), reverse=True)
        ranks = jnp.searchsorted(cuts, begins, side="right") - 1
        return jnp.zeros(num_symbols, int).at[order].set(ranks.astype(int))

    return jax.lax.map(codes, numbers)


def kl_means_quantizer(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    *,
    num_codes: int,
    num_restarts: int = 16,
    max_steps: int | ScalarInt = 1000,
) -> Quantizer:
    r"""Deterministic encoder of K codes that loses little, for any number of classes: a local optimum.

    .. math:: u(x) = \arg\min_u D\bigl(p(\cdot \mid x) \,\|\, p(\cdot \mid u)\bigr)

    K-means with the Kullback-Leibler divergence for the distance: each update loses less than the one before. Where it
    loses no less, the move of one input that loses least is tried, and updates go on from there. Restarts begin from
    seeds far apart and run together; the moves are tried on all of them, or on the best few of a large problem. The
    best is returned, which is not known to be global. Pure: map over keys or joints with ``jax.vmap``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_codes: K, static. As many codes as inputs, or more, are allowed: then each input has its own, nothing is lost,
        and that is global.
      num_restarts: how many seedings to start from, static.
      max_steps: after how many updates to stop anyway.

    Returns:
      A ``Quantizer`` with codes of shape ``[x]``; an input without mass has some code.

    Raises:
      TypeError: if ``joint`` does not hold floats, or a number of things is not an integer.
      ValueError: if ``joint`` has not exactly two axes, or a number of things is below one.

    Source:
      Zhang and Kurkoski, Low-complexity quantization of discrete memoryless channels (2016).

    Examples:
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.05, 0.2], [0.2, 0.05]])
      >>> found = jax.jit(kl_means_quantizer, static_argnames="num_codes")(jax.random.key(0), joint, num_codes=2)
      >>> bool(found.codes[0] == found.codes[2]), round(float(found.loss), 3), bool(found.is_global)
      (True, 0.075, False)
    """
    joint = _checks.as_joint(joint)
    num_codes, num_restarts = (
        _checks.check_integer(num_codes, "num_codes"),
        _checks.check_integer(num_restarts, "num_restarts"),
    )
    _checks.check_steps(max_steps)
    num_symbols = joint.shape[0]
    if num_codes == 1 or num_codes >= num_symbols:
        codes = jnp.arange(num_symbols) if num_codes > 1 else jnp.zeros(num_symbols, int)
        return Quantizer(codes, mutual_information_loss(joint, codes, num_codes=num_codes), jnp.ones((), bool))

    codes = _kl_means_codes(key, joint, num_codes, num_codes, num_restarts, max_steps)
    return Quantizer(codes, mutual_information_loss(joint, codes, num_codes=num_codes), jnp.zeros((), bool))


def _kl_means_codes(
    key: Array, joint: Array, num_used: Array | int, num_codes: int, num_restarts: int, max_steps: ArrayLike
) -> Array:
    """Codes below ``num_used``, which may be traced and is no larger than ``num_codes``."""

    def lost(codes: Array) -> Array:
        return information(joint, rows_or_zero(pushforward_unchecked(joint, codes, num_codes))[codes])

    def updated(codes: Array) -> Array:
        joint_uy = pushforward_unchecked(joint, codes, num_codes)
        return jnp.argmax(code_scores(joint, 1, joint_uy, with_prior=False), axis=-1)

    def refined(codes: Array) -> tuple[Array, ...]:
        joint_uy = pushforward_unchecked(joint, codes, num_codes)
        return updated(codes), with_best_move(joint, codes, joint_uy, union_loss, num_used)

    def first(key: Array) -> Search:
        start = seeded_codes(key, joint, num_codes, num_used)
        return search(start, lost, lambda codes: (updated(codes),), max_steps)

    runs = jax.vmap(first)(jax.random.split(key, num_restarts))
    num_refined = max(1, min(num_restarts, _REFINED_CELLS // (joint.size * num_codes)))
    best = runs.codes[jax.lax.top_k(-runs.value, num_refined)[1]]
    runs = jax.vmap(lambda codes: search(codes, lost, refined, max_steps))(best)
    return runs.codes[jnp.argmin(runs.value)]


def quantizers_up_to(
    key: Key[Array, ""], joint: Float[ArrayLike, "x y"], *, num_codes: int, num_restarts: int = 16
) -> Quantizer:
    """The encoders of 1, 2, … K codes that lose least, in one program: ``optimal_quantizer`` or ``kl_means_quantizer``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_codes: K, static, at most the number of inputs.
      num_restarts: how many seedings KL-means starts from, static.

    Returns:
      A ``Quantizer`` with a leading axis ``[k]``.

    Raises:
      TypeError: if ``joint`` does not hold floats, or a number of things is not an integer.
      ValueError: if ``joint`` has not exactly two axes, or ``num_codes`` is below one or above the number of inputs.
    """
    joint = _checks.as_joint(joint)
    num_codes, num_symbols = _checks.check_integer(num_codes, "num_codes"), joint.shape[0]
    if num_codes > num_symbols:
        raise ValueError(f"num_codes={num_codes}, but X has {num_symbols} symbols in joint of shape {joint.shape}")
    numbers = jnp.arange(1, num_codes + 1)
    if joint.shape[1] <= 2:
        codes, is_global = _interval_codes(joint, numbers, num_codes), jnp.ones(num_codes, bool)
    else:
        solve = lambda k: _kl_means_codes(jax.random.fold_in(key, k), joint, k, num_codes, num_restarts, 1000)  # noqa: E731
        codes = jax.lax.map(solve, numbers)
        is_global = (numbers == 1) | (numbers == num_symbols)
        codes = jnp.where((numbers == num_symbols)[:, None], jnp.arange(num_symbols)[None], codes)
    return Quantizer(codes, mutual_information_loss(joint[None], codes, num_codes=num_codes), is_global)
