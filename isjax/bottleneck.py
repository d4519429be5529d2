r"""Encoders under a rate or cardinality constraint: the information bottleneck and its deterministic variant.

The bottleneck minimises the information that the code U retains about X, less β times what it retains about Y:

.. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y)

All amounts are in nats; β is in nats per nat.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes, Rows
from isjax._display import displayed
from isjax._numerics import nan_where, normalise, safe_divide
from isjax._solvers import (
    Iteration,
    apply_best_move,
    code_entropy,
    code_logits,
    codes_from_seeds,
    iterate,
    local_search,
    merge_entropy,
    merge_loss,
    relevance,
    start_iteration,
)
from isjax._typing import Array, ArrayLike, Bool, Float, Int, Key, Real, ScalarFloat, ScalarInt

__all__ = [
    "Bottleneck",
    "bottleneck_curve",
    "deterministic_information_bottleneck",
    "information_bottleneck",
]

_SCREENING_STEPS = 16  # number of steps of every restart, of which only the best is continued
_SCREENING_TOLERANCE = 1e-3
_NUM_ROUNDS, _ROUND_STEPS = 3, 64  # exchanges of solutions along a curve, and the steps of each


@displayed()
class Bottleneck(NamedTuple):
    """A solution of a bottleneck problem: the encoder, the decoder, and their informations in nats.

    Source:
      Tishby, Pereira and Bialek, The information bottleneck method (1999).
    """

    encoder: Float[Array, "*batch x u"] | Int[Array, "*batch x"]
    """Rows p(u | x) ``[..., x, u]`` (floats), or codes ``[..., x]`` (integers) of the deterministic bottleneck."""
    decoder: Float[Array, "*batch u y"]
    """Rows p(y | u), uniform for a code that is not used."""
    complexity: Float[Array, "*batch"]
    """I(X;U), which is H(U) for a deterministic encoder."""
    relevance: Float[Array, "*batch"]
    """I(U;Y)."""
    loss: Float[Array, "*batch"]
    """I(X;Y|U)."""
    objective: Float[Array, "*batch"]
    """I(X;U) − β I(U;Y), at most zero up to rounding, since an encoder with one code attains zero."""
    converged: Bool[Array, "*batch"]
    """Whether the iteration met its tolerance within ``max_steps``."""
    num_steps: Int[Array, "*batch"]
    """Number of steps of the run that gave this encoder."""


# --- the information bottleneck -----------------------------------------------------------------------------------
#
# The state is m(u, y) = r(u) s(y | u), which is smaller than the encoder. Given it the best encoder is
# q(u | x) = r(u) exp(β Σ_y p(y | x) log s(y | u)/p(y)) / z(x), and G(m) = −Σ_x p(x) log z(x) is the objective of q
# evaluated with r and s in place of q's own marginals, so never below q's objective. The update m ← Σ_x q p(x, y) does
# not increase G (Blahut and Arimoto).


def _update(joint: Array, beta: Array, state: Array) -> tuple[Array, Array, Array]:
    """The updated state, the objective G of the old one, and the encoder between them."""
    logits = code_logits(joint, beta, state)
    top = jnp.max(logits, axis=-1, keepdims=True)
    weights = jnp.exp(logits - top)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    encoder = weights / total
    objective = -jnp.sum(jnp.sum(joint, axis=-1) * (jnp.log(total) + top)[..., 0], axis=-1)
    return _push(joint, encoder), objective, encoder


def _push(joint: Array, encoder: Array) -> Array:
    return jnp.matmul(encoder.T, joint, precision=jax.lax.Precision.HIGHEST)


def _extrapolate(before: Array, between: Array, after: Array) -> Array:
    """The SQUAREM extrapolation of three successive states; positive wherever the last state is."""
    first, second = between - before, after - between
    curvature, metric = second - first, safe_divide(jnp.ones_like(between), between, 0)
    squared = safe_divide(jnp.sum(metric * first**2), jnp.sum(metric * curvature**2), 1)
    length = jnp.maximum(jnp.sqrt(squared), 1)
    state = jnp.maximum(before + 2 * length * first + length**2 * curvature, after / 64)
    return state / jnp.sum(state)


def _start(joint: Array, encoder: Array) -> Iteration:
    return start_iteration(_push(joint, encoder), jnp.full((), jnp.inf, joint.dtype))


def _descend(joint: Array, beta: Array, run: Iteration, tolerance: ArrayLike, max_steps: ArrayLike) -> Iteration:
    """Steps until the objective and the encoder change by no more than the tolerance, or ``max_steps`` are taken.

    A step is two updates, an extrapolation from them, and an update of that; the extrapolation is rejected if its
    objective is higher than that after the first update. So the objective does not increase from step to step.
    """
    p_x = jnp.sum(joint, axis=-1, keepdims=True)
    relevant = beta * relevance(joint)
    tolerance = _attainable(jnp.asarray(tolerance, joint.dtype), beta)

    def step(run: Iteration) -> tuple[Array, Array, Array]:
        first, objective, old = _update(joint, beta, run.state)
        second, bound, new = _update(joint, beta, first)
        extrapolated, reached, _ = _update(joint, beta, _extrapolate(run.state, first, second))
        residual = jnp.sum(p_x * jnp.abs(new - old)) / 2
        change = run.value - objective
        has_converged = (change <= tolerance * (objective + relevant)) & (residual <= tolerance)
        return jnp.where(reached <= bound, extrapolated, second), objective, has_converged

    return iterate(step, run, max_steps)


def _attainable(tolerance: Array, beta: Array) -> Array:
    """The tolerance, or what rounding allows if that is larger: exponents are β times divergences."""
    return jnp.maximum(tolerance, 4 * float(jnp.finfo(beta.dtype).eps) * (1 + beta))


def _starts(key: Array, joint: Array, num_codes: int, num_restarts: int) -> Array:
    """Initial encoders ``[restart, x, u]``: alternately nearly deterministic ones from seeds, and random rows."""
    key_codes, key_rows = jax.random.split(key)
    codes = jax.vmap(lambda key: codes_from_seeds(key, joint, num_codes))(jax.random.split(key_codes, num_restarts))
    shape = num_restarts, joint.shape[0], num_codes
    rows = normalise(jax.random.exponential(key_rows, shape, joint.dtype))
    from_seeds = 0.95 * jax.nn.one_hot(codes, num_codes, dtype=joint.dtype) + 0.05 * rows
    is_even = jnp.arange(num_restarts)[:, None, None] % 2 == 0
    return jnp.where(is_even, from_seeds, rows)


def _screen(joint: Array, beta: Array, starts: Array, tolerance: ArrayLike, max_steps: ArrayLike) -> Iteration:
    """The best of all restarts after a few steps each."""
    steps, coarse = jnp.minimum(max_steps, _SCREENING_STEPS), jnp.maximum(tolerance, _SCREENING_TOLERANCE)
    runs = jax.vmap(lambda start: _descend(joint, beta, _start(joint, start), coarse, steps))(starts)
    best = jnp.argmin(jnp.where(jnp.isnan(runs.value), jnp.inf, runs.value))
    return jax.tree.map(lambda leaf: leaf[best], runs)._replace(is_done=jnp.zeros((), bool))


def _solution(joint: Array, beta: Array, run: Iteration) -> Bottleneck:
    """The result of a run, or the encoder with one code where that is better."""
    encoder = _update(joint, beta, run.state)[2]
    one_code = jnp.zeros_like(encoder).at[:, 0].set(1)
    found, trivial = (_measured(joint, beta, Rows(e), run.is_done, run.num_steps) for e in (encoder, one_code))
    better = jax.tree.map(lambda one, other: jnp.where(found.objective < 0, one, other), found, trivial)
    return _nan_unless_positive(beta, better)


def _measured(joint: Array, beta: Array, encoder: Codes | Rows, converged: Array, num_steps: Array) -> Bottleneck:
    """A result with its informations, each a sum of terms of one sign."""
    joint_uy = encoder.pushforward(joint)
    complexity, relevant = _complexity(joint, encoder), relevance(joint_uy)
    return Bottleneck(
        encoder.array,
        normalise(joint_uy),
        complexity,
        relevant,
        encoder.loss(joint),
        complexity - beta * relevant,
        converged,
        num_steps,
    )


def _complexity(joint: Array, encoder: Codes | Rows) -> Array:
    """I(X;U)."""
    if isinstance(encoder, Codes):
        return code_entropy(encoder.pushforward(joint))
    return relevance(jnp.sum(joint, axis=-1, keepdims=True) * encoder.array)


def _nan_unless_positive(beta: Array, result: Bottleneck) -> Bottleneck:
    """A result whose floats are NaN where a traced β is not positive and finite."""
    wrong = ~(beta > 0) | jnp.isinf(beta)
    floats = {k: nan_where(wrong, v) for k, v in result._asdict().items() if jnp.issubdtype(v.dtype, jnp.floating)}
    return result._replace(**floats, converged=result.converged & ~wrong)


def information_bottleneck(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    beta: Real | ScalarFloat,
    *,
    num_codes: int,
    num_restarts: int = 8,
    tolerance: Real | ScalarFloat = 1e-6,
    max_steps: int | ScalarInt = 1000,
) -> Bottleneck:
    r"""Stochastic encoder that retains little about X for how much it retains about Y.

    .. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y), \qquad
              p(u \mid x) \propto p(u)\, e^{-\beta D(p(\cdot \mid x) \| p(\cdot \mid u))}

    Restarts, alternately from nearly deterministic encoders and from random rows, run for a few steps each; the best is
    continued until it converges. A step is two updates of Blahut and Arimoto and one SQUAREM extrapolation, accepted
    only if the objective does not increase. The problem is not convex: the result is a fixed point, not known to be the
    global optimum, and is compared with the encoder with one code, whose objective is zero. Convergence is slow near
    the critical β at which solutions leave that encoder. Map over β, keys or joints with ``jax.vmap``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      beta: β > 0, the weight of I(U;Y) against I(X;U).
      num_codes: size of the code alphabet, static. More codes than inputs are allowed; codes that the optimum does not
        need are unused, or have the posterior of another code.
      num_restarts: number of initial encoders, static.
      tolerance: the run has converged when a step reduces I(X;U) + β I(X;Y|U) by at most this share of it, and an
        update changes the encoder by at most this in total variation; no less than 4 (1 + β) units of rounding.
      max_steps: largest number of steps.

    Returns:
      A ``Bottleneck`` with an encoder of shape ``[x, u]``; an input without mass has the row p(u). NaN where a traced
      ``beta`` is not positive and finite.

    Raises:
      ValueError: if a concrete ``beta`` is not positive and finite.

    Source:
      Tishby, Pereira and Bialek, The information bottleneck method (1999); the extrapolation is that of Varadhan and
      Roland, Simple and globally convergent methods for accelerating the convergence of any EM algorithm (2008).

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> key, joint = jax.random.key(0), jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> found = [isjax.information_bottleneck(key, joint, beta, num_codes=2) for beta in (1.5, 1.7, 1000.0)]
      >>> [round(float(bottleneck.complexity), 3) for bottleneck in found]
      [0.0, 0.254, 0.693]
    """
    _checks.check_key(key)
    joint, beta = _as_problem(joint, beta)
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_restarts = _checks.check_integer(num_restarts, "num_restarts")
    _checks.check_traceable_tolerance(tolerance)
    _checks.check_steps(max_steps)
    return _information_bottleneck(
        key, joint, beta, tolerance, max_steps, num_codes=num_codes, num_restarts=num_restarts
    )


@jax.jit(inline=True, static_argnames=("num_codes", "num_restarts"))
def _information_bottleneck(
    key: Array,
    joint: Array,
    beta: Array,
    tolerance: ArrayLike,
    max_steps: ArrayLike,
    *,
    num_codes: int,
    num_restarts: int,
) -> Bottleneck:
    run = _screen(joint, beta, _starts(key, joint, num_codes, num_restarts), tolerance, max_steps)
    return _solution(joint, beta, _descend(joint, beta, run, tolerance, max_steps))


def bottleneck_curve(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    betas: Float[ArrayLike, "b"],
    *,
    num_codes: int,
    num_restarts: int = 8,
    starts: Int[ArrayLike, "r x"] | None = None,
    tolerance: Real | ScalarFloat = 1e-6,
    max_steps: int | ScalarInt = 1000,
) -> Bottleneck:
    r"""The curve of the largest relevance I(U;Y) for a complexity I(X;U), at the points of slope 1/β.

    .. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y) \quad \text{for each } \beta

    All restarts at all β run in parallel. Then, three times, each β is solved again from the solution of the next
    larger one, and takes the best of its own and all other solutions. So the points lie on the concave hull of all
    solutions found, and a branch that bifurcates from another is reached from a β at which the two are far apart.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      betas: β > 0, the weights of I(U;Y) against I(X;U), shape ``[b]``, in any order.
      num_codes: size of the code alphabet, static; it may exceed the number of inputs.
      num_restarts: number of initial encoders at each β, static.
      starts: codes to start from at each β instead, in 0 … num_codes − 1, shape ``[r, x]``; such as those of
        ``quantizers_up_to``.
      tolerance: when a run has converged, as in ``information_bottleneck``.
      max_steps: largest number of steps at each β.

    Returns:
      A ``Bottleneck`` whose arrays have a leading axis ``[b]``.

    Raises:
      ValueError: if a concrete β is not positive and finite.

    Source:
      Tishby, Pereira and Bialek, The information bottleneck method (1999).

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> joint, betas = jnp.array([[0.45, 0.05], [0.05, 0.45]]), jnp.array([1.5, 1.7, 1000.0])
      >>> curve = isjax.bottleneck_curve(jax.random.key(0), joint, betas, num_codes=2)
      >>> [round(float(relevance), 3) for relevance in curve.relevance]
      [0.0, 0.157, 0.368]
    """
    _checks.check_key(key)
    joint, betas = _as_problem(joint, betas, name="betas", num_axes=1)
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_restarts = _checks.check_integer(num_restarts, "num_restarts")
    _checks.check_traceable_tolerance(tolerance)
    _checks.check_steps(max_steps)
    if starts is not None:
        starts = _checks.as_codes(starts, num_codes, "starts")
        if starts.shape != (max(len(starts), 1), joint.shape[0]):
            raise ValueError(f"starts must have shape [r, {joint.shape[0]}], r at least 1, got shape {starts.shape}")
    return _bottleneck_curve(
        key, joint, betas, starts, tolerance, max_steps, num_codes=num_codes, num_restarts=num_restarts
    )


@jax.jit(inline=True, static_argnames=("num_codes", "num_restarts"))
def _bottleneck_curve(
    key: Array,
    joint: Array,
    betas: Array,
    starts: Array | None,
    tolerance: ArrayLike,
    max_steps: ArrayLike,
    *,
    num_codes: int,
    num_restarts: int,
) -> Bottleneck:
    if starts is None:
        encoders = _starts(key, joint, num_codes, num_restarts)
    else:
        encoders = 0.95 * jax.nn.one_hot(starts, num_codes, dtype=joint.dtype) + 0.05 / num_codes
    descend = jax.vmap(lambda beta, run, limit: _descend(joint, beta, run, tolerance, jnp.minimum(limit, max_steps)))
    runs = jax.vmap(lambda beta: _screen(joint, beta, encoders, tolerance, max_steps))(betas)

    by_beta = jnp.argsort(betas)
    next_larger = jnp.zeros_like(by_beta).at[by_beta].set(jnp.roll(by_beta, -1).at[-1].set(by_beta[-1]))

    def exchange(_: Array, runs: Iteration) -> Iteration:
        from_next = runs._replace(
            state=runs.state[next_larger],
            value=jnp.full_like(runs.value, jnp.inf),
            is_done=jnp.zeros_like(runs.is_done),
        )
        both = jax.tree.map(lambda own, other: jnp.concatenate([own, other]), runs, from_next)
        return _best_of_all(joint, betas, descend(jnp.tile(betas, 2), both, both.num_steps + _ROUND_STEPS))

    runs = jax.lax.fori_loop(0, _NUM_ROUNDS, exchange, runs)
    runs = descend(betas, runs, jnp.full_like(runs.num_steps, jnp.iinfo(runs.num_steps.dtype).max))
    return jax.vmap(lambda beta, run: _solution(joint, beta, run))(betas, runs)


def _best_of_all(joint: Array, betas: Array, runs: Iteration) -> Iteration:
    """For each of b values of β the best of several runs ``[r]``; its own are b apart, beginning with its index."""
    num_betas = betas.shape[0]

    def amounts(beta: Array, state: Array) -> tuple[Array, Array]:
        encoder = _update(joint, beta, state)[2]
        return _complexity(joint, Rows(encoder)), relevance(_push(joint, encoder))

    complexity, relevant = jax.vmap(amounts)(jnp.tile(betas, runs.state.shape[0] // num_betas), runs.state)
    objectives = complexity[None] - betas[:, None] * relevant[None]
    is_own = (jnp.arange(runs.state.shape[0]) % num_betas)[None] == jnp.arange(num_betas)[:, None]
    penalty = jnp.where(is_own, 0, _attainable(jnp.zeros_like(betas), betas)[:, None])
    best = jnp.argmin(objectives + penalty, axis=1)
    is_moved = best % num_betas != jnp.arange(num_betas)
    return Iteration(
        runs.state[best],
        jnp.where(is_moved, jnp.inf, runs.value[best]),
        jnp.where(is_moved, runs.num_steps[:num_betas], runs.num_steps[best]),
        runs.is_done[best] & ~is_moved,
    )


def _as_problem(joint: ArrayLike, beta: ArrayLike, *, name: str = "beta", num_axes: int = 0) -> tuple[Array, Array]:
    """One joint distribution, and β in its dtype."""
    joint = _checks.as_joint(joint)
    _checks.check_numbers(beta, name)
    array = jnp.asarray(beta, None if num_axes else joint.dtype)
    if num_axes and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must hold floats, got dtype {array.dtype}")
    if array.ndim != num_axes:
        needed = "shape [b]" if num_axes else "shape (): map over a batch with jax.vmap"
        raise ValueError(f"{name} must have {needed}, got shape {array.shape}")
    if _checks.is_concrete(array):
        _checks.check_positive(np.asarray(array), name)
    return joint, array.astype(joint.dtype)


def deterministic_information_bottleneck(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    beta: Real | ScalarFloat,
    *,
    num_codes: int,
    num_restarts: int = 16,
    max_steps: int | ScalarInt = 1000,
) -> Bottleneck:
    r"""Deterministic encoder of small entropy for how much it retains about Y.

    .. math:: \min_{u(x)} H(U) - \beta\, I(U;Y), \qquad
              u(x) = \arg\max_u\, \log p(u) - \beta D(p(\cdot \mid x) \| p(\cdot \mid u))

    A step is an update; where that does not lower the objective, the merge of two codes that lowers it most; and where
    that does not either, such a move of one input. So the objective decreases at every step, and the run ends at a
    local optimum with respect to all three. Restarts begin alternately from seeds drawn as in k-means++ and from random
    codes; the best result is returned, or the encoder with one code, whose objective is zero. It is not known to be the
    global optimum. Map over β, keys or joints with ``jax.vmap``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      beta: β > 0, the weight of I(U;Y) against H(U).
      num_codes: size of the code alphabet, static. More codes than inputs are allowed; the rest is unused.
      num_restarts: number of initial encoders, static.
      max_steps: largest number of steps.

    Returns:
      A ``Bottleneck`` whose encoder is codes of shape ``[x]``; an input without mass has the code of the most mass. NaN
      where a traced ``beta`` is not positive and finite.

    Raises:
      ValueError: if a concrete ``beta`` is not positive and finite.

    Source:
      Strouse and Schwab, The deterministic information bottleneck (2017).

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> joint = jnp.array([[0.3, 0.0], [0.2, 0.0], [0.0, 0.5]])
      >>> found = isjax.deterministic_information_bottleneck(jax.random.key(0), joint, 2.0, num_codes=3)
      >>> bool(found.encoder[0] == found.encoder[1]), round(float(found.complexity), 3), round(float(found.loss), 3)
      (True, 0.693, 0.0)
    """
    _checks.check_key(key)
    joint, beta = _as_problem(joint, beta)
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_restarts = _checks.check_integer(num_restarts, "num_restarts")
    _checks.check_steps(max_steps)
    return _deterministic_bottleneck(key, joint, beta, max_steps, num_codes=num_codes, num_restarts=num_restarts)


@jax.jit(inline=True, static_argnames=("num_codes", "num_restarts"))
def _deterministic_bottleneck(
    key: Array, joint: Array, beta: Array, max_steps: ArrayLike, *, num_codes: int, num_restarts: int
) -> Bottleneck:
    def objective(codes: Array) -> Array:
        joint_uy = Codes(codes, num_codes).pushforward(joint)
        return code_entropy(joint_uy) - beta * relevance(joint_uy)

    def merge_cost(one: Array, other: Array) -> Array:
        return beta * merge_loss(one, other) - merge_entropy(one, other)

    def propose(codes: Array) -> tuple[Array, ...]:
        joint_uy = Codes(codes, num_codes).pushforward(joint)
        updated = jnp.argmax(code_logits(joint, beta, joint_uy), axis=-1)
        costs = jnp.where(jnp.eye(num_codes, dtype=bool), jnp.inf, merge_cost(joint_uy[:, None], joint_uy[None]))
        kept, dropped = jnp.divmod(jnp.argmin(costs), num_codes)
        merged = jnp.where(codes == dropped, kept, codes)
        return updated, merged, apply_best_move(joint, Codes(codes, num_codes), merge_cost, num_codes)

    key_seeds, key_codes = jax.random.split(key)
    seeded = jax.vmap(lambda key: codes_from_seeds(key, joint, num_codes))(jax.random.split(key_seeds, num_restarts))
    drawn = jax.random.randint(key_codes, seeded.shape, 0, num_codes)
    starts = jnp.where(jnp.arange(num_restarts)[:, None] % 2 == 0, seeded, drawn)
    runs = jax.vmap(lambda codes: local_search(codes, objective, propose, max_steps))(starts)
    best = jax.tree.map(lambda leaf: leaf[jnp.argmin(runs.value)], runs)
    codes = jnp.where(best.value < 0, best.state, jnp.zeros_like(best.state))
    return _nan_unless_positive(beta, _measured(joint, beta, Codes(codes, num_codes), best.is_done, best.num_steps))
