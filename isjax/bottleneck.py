r"""Encoders of a budget: the information bottleneck, its deterministic kin, and quantizers.

The bottleneck pays for the information that the code U keeps about X, and is paid β for each nat that it keeps about Y:

.. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y)

A quantizer has K codes to spend and nothing else to pay: it minimises the loss I(X;Y|U) over deterministic encoders.
All amounts are in nats, β in nats for a nat.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import (
    information,
    nan_where,
    normalise,
    safe_divide,
    xlogx,
)
from isjax._solvers import code_scores, search, seeded_codes, union_entropy, union_loss, with_best_move
from isjax._typing import Array, ArrayLike, Bool, Float, Int, Key, Real, ScalarFloat, ScalarInt
from isjax.distributions import pushforward_unchecked
from isjax.sufficiency import mutual_information_loss

__all__ = [
    "Bottleneck",
    "bottleneck_curve",
    "deterministic_information_bottleneck",
    "information_bottleneck",
]

_SCREENING_STEPS = 16  # how long every restart runs before the best of them goes on alone
_SCREENING_TOLERANCE = 1e-3
_NUM_ROUNDS, _ROUND_STEPS = 3, 64  # how often solutions pass along a curve, and how long they run each time


class Bottleneck(NamedTuple):
    """An encoder that solves a bottleneck problem, and what it keeps, loses and costs, in nats.

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
    """I(X;U) − β I(U;Y), above zero by no more than rounding: an encoder with one code attains zero."""
    converged: Bool[Array, "*batch"]
    """Whether the iteration came to rest before ``max_steps``."""
    num_steps: Int[Array, "*batch"]
    """How many steps the run that gave this encoder took."""


# --- the information bottleneck -----------------------------------------------------------------------------------
#
# The state is m(u, y) = r(u) s(y | u), which is smaller than the encoder. Given it the best encoder is
# q(u | x) = r(u) exp(β Σ_y p(y | x) log s(y | u)/p(y)) / z(x), and G(m) = −Σ_x p(x) log z(x) is the objective of q
# measured with r and s in the place of q's own marginals, so never below q's objective. The update m ← Σ_x q p(x, y)
# does not raise G (Blahut and Arimoto).


def _update(joint: Array, beta: Array, state: Array) -> tuple[Array, Array, Array]:
    """The updated state, the objective G of the old one, and the encoder between them."""
    scores = code_scores(joint, beta, state)
    top = jnp.max(scores, axis=-1, keepdims=True)
    weights = jnp.exp(scores - top)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    encoder = weights / total
    objective = -jnp.sum(jnp.sum(joint, axis=-1) * (jnp.log(total) + top)[..., 0], axis=-1)
    return _push(joint, encoder), objective, encoder


def _push(joint: Array, encoder: Array) -> Array:
    return jnp.matmul(encoder.T, joint, precision=jax.lax.Precision.HIGHEST)


def _extrapolated(before: Array, between: Array, after: Array) -> Array:
    """Where a sequence of states leads, by squared extrapolation; positive wherever the last state is."""
    first, second = between - before, after - between
    curvature, metric = second - first, safe_divide(jnp.ones_like(between), between, 0)
    squared = safe_divide(jnp.sum(metric * first**2), jnp.sum(metric * curvature**2), 1)
    length = jnp.maximum(jnp.sqrt(squared), 1)
    state = jnp.maximum(before + 2 * length * first + length**2 * curvature, after / 64)
    return state / jnp.sum(state)


class _Run(NamedTuple):
    """An iteration under way."""

    state: Array
    objective: Array
    num_steps: Array
    converged: Array


def _start(joint: Array, encoder: Array) -> _Run:
    infinite = jnp.full((), jnp.inf, joint.dtype)
    return _Run(_push(joint, encoder), infinite, jnp.zeros((), int), jnp.zeros((), bool))


def _descend(joint: Array, beta: Array, run: _Run, tolerance: ArrayLike, max_steps: ArrayLike) -> _Run:
    """Steps until neither the objective nor the encoder moves, or ``max_steps`` are taken.

    A step is two updates, a leap to where they lead, and an update there; the leap is taken back if the objective is
    higher there than after the first update. So the objective does not rise from step to step.
    """
    p_x = jnp.sum(joint, axis=-1, keepdims=True)
    relevant = beta * _information(joint)
    tolerance = _attainable(jnp.asarray(tolerance, joint.dtype), beta)

    def step(run: _Run) -> _Run:
        first, objective, old = _update(joint, beta, run.state)
        second, bar, new = _update(joint, beta, first)
        beyond, reached, _ = _update(joint, beta, _extrapolated(run.state, first, second))
        residual = jnp.sum(p_x * jnp.abs(new - old)) / 2
        change = run.objective - objective
        at_rest = (change <= tolerance * (objective + relevant)) & (residual <= tolerance)
        return _Run(jnp.where(reached <= bar, beyond, second), objective, run.num_steps + 1, at_rest)

    def goes_on(run: _Run) -> Array:
        return ~run.converged & (run.num_steps < max_steps) & ~jnp.isnan(run.objective)

    return jax.lax.while_loop(goes_on, step, run)


def _attainable(tolerance: Array, beta: Array) -> Array:
    """A tolerance that rounding does not keep from being met: exponents are β times divergences."""
    return jnp.maximum(tolerance, 4 * float(jnp.finfo(beta.dtype).eps) * (1 + beta))


def _information(joint: Array) -> Array:
    return information(joint, jnp.sum(joint, axis=-2, keepdims=True))


def _starts(key: Array, joint: Array, num_codes: int, num_restarts: int) -> Array:
    """Encoders to start from, ``[restart, x, u]``: nearly deterministic ones from seeds, and random rows, in turns."""
    key_codes, key_rows = jax.random.split(key)
    codes = jax.vmap(lambda key: seeded_codes(key, joint, num_codes))(jax.random.split(key_codes, num_restarts))
    shape = num_restarts, joint.shape[0], num_codes
    rows = normalise(jax.random.exponential(key_rows, shape, joint.dtype))
    from_seeds = 0.95 * jax.nn.one_hot(codes, num_codes, dtype=joint.dtype) + 0.05 * rows
    is_even = jnp.arange(num_restarts)[:, None, None] % 2 == 0
    return jnp.where(is_even, from_seeds, rows)


def _screened(joint: Array, beta: Array, starts: Array, tolerance: ArrayLike, max_steps: ArrayLike) -> _Run:
    """The best of all restarts after a few steps each."""
    steps, coarse = jnp.minimum(max_steps, _SCREENING_STEPS), jnp.maximum(tolerance, _SCREENING_TOLERANCE)
    runs = jax.vmap(lambda start: _descend(joint, beta, _start(joint, start), coarse, steps))(starts)
    best = jnp.argmin(jnp.where(jnp.isnan(runs.objective), jnp.inf, runs.objective))
    return jax.tree.map(lambda leaf: leaf[best], runs)._replace(converged=jnp.zeros((), bool))


def _solution(joint: Array, beta: Array, run: _Run) -> Bottleneck:
    """What a run came to, or the encoder with one code where that is better."""
    encoder = _update(joint, beta, run.state)[2]
    found = _measured(joint, beta, encoder, encoder.shape[-1], run)
    trivial = _measured(joint, beta, _one_code(encoder), encoder.shape[-1], run)
    better = jax.tree.map(lambda one, other: jnp.where(found.objective < 0, one, other), found, trivial)
    return _nan_unless_positive(beta, better)


def _one_code(encoder: Array) -> Array:
    """The encoder that gives every input the first code."""
    return (
        jnp.zeros_like(encoder)
        if jnp.issubdtype(encoder.dtype, jnp.integer)
        else jnp.zeros_like(encoder).at[:, 0].set(1)
    )


def _measured(joint: Array, beta: Array, encoder: Array, num_codes: int, run: _Run) -> Bottleneck:
    """The parts of a result, each by a sum in which nothing cancels."""
    joint_uy = pushforward_unchecked(joint, encoder, num_codes)
    complexity, relevance = _complexity(joint, encoder, joint_uy), _information(joint_uy)
    loss = mutual_information_loss(joint, encoder, num_codes=num_codes)
    objective = complexity - beta * relevance
    decoder = normalise(joint_uy)
    return Bottleneck(encoder, decoder, complexity, relevance, loss, objective, run.converged, run.num_steps)


def _complexity(joint: Array, encoder: Array, joint_uy: Array) -> Array:
    """I(X;U)."""
    if jnp.issubdtype(encoder.dtype, jnp.integer):
        return 0 - jnp.sum(xlogx(jnp.sum(joint_uy, axis=-1)))
    return _information(jnp.sum(joint, axis=-1, keepdims=True) * encoder)


def _nan_unless_positive(beta: Array, result: Bottleneck) -> Bottleneck:
    """A result whose floats are NaN where a traced β is no positive number."""
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
    r"""Stochastic encoder that keeps what X tells about Y, and little else.

    .. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y), \qquad
              p(u \mid x) \propto p(u)\, e^{-\beta D(p(\cdot \mid x) \| p(\cdot \mid u))}

    Restarts, from nearly deterministic encoders and from random rows in turns, run for a few steps each; the best goes
    on until neither the objective nor the encoder moves. A step is two updates of Blahut and Arimoto and a leap to
    where they lead, kept only if the objective is no higher there: so it never rises from step to step. The problem is
    not convex, so the result is a fixed point, not known to be the least. The encoder with one code,
    whose objective is zero, is always compared. Near the critical β, where solutions leave it, convergence is slow:
    ``converged`` says whether it was reached. Pure: map over β, keys or joints with ``jax.vmap``, and call it under
    ``jax.jit``: eagerly its loops are traced at every call, which takes seconds.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      beta: β > 0, nats of I(X;U) that a nat of I(U;Y) is worth.
      num_codes: size of the code alphabet, static. More codes than inputs are allowed; what the optimum does not need
        is left unused, or shares its posterior with another code.
      num_restarts: how many encoders to start from, static.
      tolerance: the run is at rest when a step changes I(X;U) + β I(X;Y|U) by no more than this share of it, and an
        update the encoder by no more than this in total variation (or by what rounding allows: 4 (1 + β) units of the
        dtype).
      max_steps: after how many steps to stop anyway.

    Returns:
      A ``Bottleneck``, its encoder of shape ``[x, u]``; an input without mass has the row p(u). NaN where a traced
      ``beta`` is not positive and finite.

    Raises:
      TypeError: if ``joint`` does not hold floats, or a number of things is not an integer.
      ValueError: if ``joint`` has not exactly two axes, a concrete ``beta`` is not positive and finite, or a number of
        things is below one.

    Source:
      Tishby, Pereira and Bialek, The information bottleneck method (1999); the extrapolation is that of Varadhan and
      Roland, Simple and globally convergent methods for accelerating the convergence of any EM algorithm (2008).

    Examples:
      >>> joint = jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> solve = jax.jit(information_bottleneck, static_argnames="num_codes")
      >>> found = [solve(jax.random.key(0), joint, beta, num_codes=2) for beta in (1.5, 1.7, 1000.0)]
      >>> [round(float(bottleneck.complexity), 3) for bottleneck in found]
      [0.0, 0.254, 0.693]
    """
    joint, beta = _problem(joint, beta)
    starts = _starts(
        key, joint, _checks.check_integer(num_codes, "num_codes"), _checks.check_integer(num_restarts, "num_restarts")
    )
    _checks.check_steps(max_steps)
    run = _screened(joint, beta, starts, tolerance, max_steps)
    return _solution(joint, beta, _descend(joint, beta, run, tolerance, max_steps))


def bottleneck_curve(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    betas: Float[ArrayLike, "b"],
    *,
    num_codes: int,
    num_restarts: int = 8,
    tolerance: Real | ScalarFloat = 1e-6,
    max_steps: int | ScalarInt = 1000,
) -> Bottleneck:
    r"""The curve of the most relevance I(U;Y) for a complexity I(X;U), at the points of slope 1/β.

    .. math:: \min_{p(u \mid x)} I(X;U) - \beta\, I(U;Y) \quad \text{for each } \beta

    All restarts at all β run together. Then, three times over, each β is solved anew from the solution of the next
    larger one, and takes the best of its own and all others' solutions: so the points lie on the concave hull of all
    that was found, and branches that leave a solution are found from where they are far apart. As with
    ``information_bottleneck``, call it under ``jax.jit``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      betas: β > 0, nats of I(X;U) that a nat of I(U;Y) is worth, shape ``[b]``, in any order.
      num_codes: size of the code alphabet, static; it may exceed the number of inputs.
      num_restarts: how many encoders to start from at each β, static.
      tolerance: when a run is at rest, as in ``information_bottleneck``.
      max_steps: after how many steps at one β to stop anyway.

    Returns:
      A ``Bottleneck`` whose arrays have a leading axis ``[b]``.

    Raises:
      TypeError: if ``joint`` or ``betas`` does not hold floats, or a number of things is not an integer.
      ValueError: if ``joint`` has not exactly two axes or ``betas`` not exactly one, a concrete β is not positive and
        finite, or a number of things is below one.

    Source:
      Tishby, Pereira and Bialek, The information bottleneck method (1999).

    Examples:
      >>> joint = jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> trace = jax.jit(bottleneck_curve, static_argnames="num_codes")
      >>> curve = trace(jax.random.key(0), joint, jnp.array([1.5, 1.7, 1000.0]), num_codes=2)
      >>> [round(float(relevance), 3) for relevance in curve.relevance]
      [0.0, 0.157, 0.368]
    """
    joint, betas = _problem(joint, betas, name="betas", num_axes=1)
    starts = _starts(
        key, joint, _checks.check_integer(num_codes, "num_codes"), _checks.check_integer(num_restarts, "num_restarts")
    )
    _checks.check_steps(max_steps)
    descend = jax.vmap(lambda beta, run, limit: _descend(joint, beta, run, tolerance, jnp.minimum(limit, max_steps)))
    runs = jax.vmap(lambda beta: _screened(joint, beta, starts, tolerance, max_steps))(betas)

    by_beta = jnp.argsort(betas)
    next_larger = jnp.zeros_like(by_beta).at[by_beta].set(jnp.roll(by_beta, -1).at[-1].set(by_beta[-1]))

    def pass_on(_: Array, runs: _Run) -> _Run:
        from_next = runs._replace(
            state=runs.state[next_larger],
            objective=jnp.full_like(runs.objective, jnp.inf),
            converged=jnp.zeros_like(runs.converged),
        )
        both = jax.tree.map(lambda own, other: jnp.concatenate([own, other]), runs, from_next)
        return _best_of_all(joint, betas, descend(jnp.tile(betas, 2), both, both.num_steps + _ROUND_STEPS))

    runs = jax.lax.fori_loop(0, _NUM_ROUNDS, pass_on, runs)
    runs = descend(betas, runs, jnp.full_like(runs.num_steps, jnp.iinfo(runs.num_steps.dtype).max))
    return jax.vmap(lambda beta, run: _solution(joint, beta, run))(betas, runs)


def _best_of_all(joint: Array, betas: Array, runs: _Run) -> _Run:
    """For each β the best of several runs, ``[r]`` of which those numbered b, 2b, … apart are its own."""
    num_betas = betas.shape[0]

    def amounts(beta: Array, state: Array) -> tuple[Array, Array]:
        encoder = _update(joint, beta, state)[2]
        joint_uy = _push(joint, encoder)
        return _complexity(joint, encoder, joint_uy), _information(joint_uy)

    complexity, relevance = jax.vmap(amounts)(jnp.tile(betas, runs.state.shape[0] // num_betas), runs.state)
    objectives = complexity[None] - betas[:, None] * relevance[None]
    is_own = jnp.arange(runs.state.shape[0]) % num_betas == jnp.arange(num_betas)[:, None]
    handicap = jnp.where(is_own, 0, _attainable(jnp.zeros_like(betas), betas)[:, None])
    best = jnp.argmin(objectives + handicap, axis=1)
    is_moved = best % num_betas != jnp.arange(num_betas)
    return _Run(
        runs.state[best],
        jnp.where(is_moved, jnp.inf, runs.objective[best]),
        jnp.where(is_moved, runs.num_steps[:num_betas], runs.num_steps[best]),
        runs.converged[best] & ~is_moved,
    )


def _problem(joint: ArrayLike, beta: ArrayLike, *, name: str = "beta", num_axes: int = 0) -> tuple[Array, Array]:
    """One joint distribution, and β in its dtype."""
    joint = _checks.as_joint(joint)
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
    r"""Deterministic encoder that keeps what X tells about Y, and has little entropy.

    .. math:: \min_{u(x)} H(U) - \beta\, I(U;Y), \qquad
              u(x) = \arg\max_u\, \log p(u) - \beta D(p(\cdot \mid x) \| p(\cdot \mid u))

    A step is an update, or, where that lowers the objective no more, the union of two codes or the move of one input
    that lowers it most: the objective falls at every step, and the run is over when none of the three lowers it.
    Restarts begin from seeds far apart and from random codes, in turns; the best is a local optimum, not known to be
    the least. The encoder with one code, whose objective is zero, is
    always compared. Pure: map over β, keys or joints with ``jax.vmap``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      beta: β > 0, nats of H(U) that a nat of I(U;Y) is worth.
      num_codes: size of the code alphabet, static. More codes than inputs are allowed; the rest is left unused.
      num_restarts: how many encoders to start from, static.
      max_steps: after how many steps to stop anyway.

    Returns:
      A ``Bottleneck`` whose encoder is codes of shape ``[x]``; an input without mass has the code of the most mass. NaN
      where a traced ``beta`` is not positive and finite.

    Raises:
      TypeError: if ``joint`` does not hold floats, or a number of things is not an integer.
      ValueError: if ``joint`` has not exactly two axes, a concrete ``beta`` is not positive and finite, or a number of
        things is below one.

    Source:
      Strouse and Schwab, The deterministic information bottleneck (2017).

    Examples:
      >>> joint = jnp.array([[0.3, 0.0], [0.2, 0.0], [0.0, 0.5]])
      >>> solve = jax.jit(deterministic_information_bottleneck, static_argnames="num_codes")
      >>> found = solve(jax.random.key(0), joint, 2.0, num_codes=3)
      >>> bool(found.encoder[0] == found.encoder[1]), round(float(found.complexity), 3), round(float(found.loss), 3)
      (True, 0.693, 0.0)
    """
    joint, beta = _problem(joint, beta)
    num_codes, num_restarts = (
        _checks.check_integer(num_codes, "num_codes"),
        _checks.check_integer(num_restarts, "num_restarts"),
    )
    _checks.check_steps(max_steps)

    def objective(codes: Array) -> Array:
        joint_uy = pushforward_unchecked(joint, codes, num_codes)
        return _complexity(joint, codes, joint_uy) - beta * _information(joint_uy)

    def cost(one: Array, other: Array) -> Array:
        return beta * union_loss(one, other) - union_entropy(one, other)

    def propose(codes: Array) -> tuple[Array, ...]:
        joint_uy = pushforward_unchecked(joint, codes, num_codes)
        updated = jnp.argmax(code_scores(joint, beta, joint_uy), axis=-1)
        unions = jnp.where(jnp.eye(num_codes, dtype=bool), jnp.inf, cost(joint_uy[:, None], joint_uy[None]))
        kept, dropped = jnp.divmod(jnp.argmin(unions), num_codes)
        united = jnp.where(codes == dropped, kept, codes)
        return updated, united, with_best_move(joint, codes, joint_uy, cost, num_codes)

    key_seeds, key_codes = jax.random.split(key)
    seeded = jax.vmap(lambda key: seeded_codes(key, joint, num_codes))(jax.random.split(key_seeds, num_restarts))
    drawn = jax.random.randint(key_codes, seeded.shape, 0, num_codes)
    starts = jnp.where(jnp.arange(num_restarts)[:, None] % 2 == 0, seeded, drawn)
    runs = jax.vmap(lambda codes: search(codes, objective, propose, max_steps))(starts)
    best = jax.tree.map(lambda leaf: leaf[jnp.argmin(runs.value)], runs)
    codes = jnp.where(best.value < 0, best.codes, _one_code(best.codes))
    run = _Run(joint, best.value, best.num_steps, best.is_stuck)
    return _nan_unless_positive(beta, _measured(joint, beta, codes, num_codes, run))
