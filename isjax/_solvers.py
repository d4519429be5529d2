"""What the solvers share: a bounded loop, and local search over deterministic encoders."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from isjax._checks import Codes
from isjax._numerics import (
    LOG,
    Score,
    information,
    log_ratio,
    parts_of_mixture,
    rows_or_zero,
    safe_divide,
    safe_log,
    xlogx,
)
from isjax._typing import Array, ArrayLike
from isjax.divergences import jensen_shannon_divergence


class Iteration(NamedTuple):
    """The state of an iterative solver."""

    state: PyTree
    value: Array
    """What the iteration decreases."""
    num_steps: Array
    is_done: Array


def start_iteration(state: PyTree, value: Array) -> Iteration:
    """An iteration that has not taken a step."""
    return Iteration(state, value, jnp.zeros((), int), jnp.zeros((), bool))


def iterate(
    step: Callable[[Iteration], tuple[PyTree, Array, Array]], start: Iteration, max_steps: ArrayLike
) -> Iteration:
    """Takes steps until one is the last, the value is NaN, or ``max_steps`` have been taken since the start of the run.

    A step returns the next state, its value, and whether it is the last.
    """

    def continues(run: Iteration) -> Array:
        return ~run.is_done & ~jnp.isnan(run.value) & (run.num_steps < max_steps)

    def counted(run: Iteration) -> Iteration:
        state, value, is_done = step(run)
        return Iteration(state, value, run.num_steps + 1, is_done)

    return jax.lax.while_loop(continues, counted, start)


# --- deterministic encoders ---------------------------------------------------------------------------------------


def relevance(joint_uy: Array, score: Score = LOG) -> Array:
    """I(U;Y), or the mean of D(p(·|u), p_Y) under another rule."""
    return information(joint_uy, jnp.sum(joint_uy, axis=-2, keepdims=True), score)


def code_entropy(joint_uy: Array) -> Array:
    """H(U)."""
    return 0 - jnp.sum(xlogx(jnp.sum(joint_uy, axis=-1)), axis=-1)


def code_logits(joint: Array, beta: Array | float, joint_uy: Array, *, with_prior: bool = True) -> Array:
    """``log p(u) − β (D(p(·|x) ‖ p(·|u)) − D(p(·|x) ‖ p_Y))`` ``[x, u]``, minus infinity for a code without mass.

    Without the prior, log p(u) is left out.
    """
    p_y, p_u = jnp.sum(joint, axis=-2)[None], jnp.sum(joint_uy, axis=-1)
    decoder = rows_or_zero(joint_uy)
    p_y = jnp.broadcast_to(p_y, decoder.shape)
    ratios = log_ratio(decoder, p_y, decoder - p_y)
    ratios = jnp.where((decoder == 0) & (p_y > 0), -float(jnp.finfo(joint.dtype).max) / 4, ratios)
    gains = beta * jnp.matmul(rows_or_zero(joint), ratios.T, precision=jax.lax.Precision.HIGHEST)
    prior = safe_log(p_u) if with_prior else jnp.zeros_like(p_u)
    return jnp.where(p_u > 0, prior, -jnp.inf)[None] + gains


def codes_from_seeds(key: Array, joint: Array, num_codes: int, num_used: Array | int | None = None) -> Array:
    """Codes of the nearest of ``num_codes`` seeds, as in k-means++, with p(x) times the divergence for the distance.

    Each seed is an input drawn with probability proportional to its distance from the nearest earlier seed. Only the
    first ``num_used`` seeds, which may be traced, receive a code.
    """
    num_used = num_codes if num_used is None else num_used
    p_x, rows = jnp.sum(joint, axis=-1), rows_or_zero(joint)

    def add(carry: tuple[Array, Array], numbered: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        (distance, codes), (key, code) = carry, numbered
        seed = jax.random.categorical(key, jnp.where(distance > 0, safe_log(distance), -jnp.inf))
        to_seed = p_x * jensen_shannon_divergence(rows, rows[seed][None])
        nearer = (code == 0) | ((to_seed < distance) & (code < num_used))
        return (jnp.where(nearer, to_seed, distance), jnp.where(nearer, code, codes)), None

    none = p_x, jnp.zeros(p_x.shape, int)
    (_, codes), _ = jax.lax.scan(add, none, (jax.random.split(key, num_codes), jnp.arange(num_codes)))
    return codes


def local_search(
    codes: Array,
    objective: Callable[[Array], Array],
    propose: Callable[[Array], tuple[Array, ...]],
    max_steps: ArrayLike,
) -> Iteration:
    """Takes the first of several proposals that lowers the objective, until none does or ``max_steps`` are taken."""

    def step(run: Iteration) -> tuple[Array, Array, Array]:
        proposals = jnp.stack(propose(run.state))
        # The barrier has XLA compute the values once. Computed again in another fusion, with another rounding, they
        # could select one proposal for the codes and another one for their value.
        values = jax.lax.optimization_barrier(jax.vmap(objective)(proposals))
        is_lower = values < run.value
        first = jnp.argmax(is_lower)
        is_done = ~is_lower[first]
        return (
            jnp.where(is_done, run.state, proposals[first]),
            jnp.where(is_done, run.value, values[first]),
            is_done,
        )

    return iterate(step, start_iteration(codes, objective(codes)), max_steps)


def apply_best_move(
    joint: Array, codes: Codes, merge_cost: Callable[[Array, Array], Array], num_used: Array | int
) -> Array:
    """Codes after the move of one input to another code that lowers the objective most.

    ``merge_cost`` is the increase of the objective when two cells, given by their masses p(cell, y), are merged.
    """
    joint_uy = codes.pushforward(joint)
    remainder = jnp.maximum(joint_uy[codes.array] - joint, 0)
    increases = merge_cost(joint_uy[None], joint[:, None]) - merge_cost(remainder, joint)[:, None]
    is_own = jax.nn.one_hot(codes.array, codes.num_codes, dtype=bool)
    is_used = (jnp.arange(codes.num_codes) < num_used)[None]
    increases = jnp.where(~is_own & is_used, increases, jnp.inf)
    moved, code = jnp.divmod(jnp.argmin(increases), codes.num_codes)
    return jnp.where(jnp.arange(joint.shape[0]) == moved, code, codes.array)


def merge_loss(one: Array, other: Array, score: Score = LOG) -> Array:
    """Decrease of the relevance when two cells ``[..., y]``, given by their masses p(cell, y), are merged."""
    weight, other_weight = (jnp.sum(cell, axis=-1, keepdims=True) for cell in (one, other))
    share = safe_divide(weight, weight + other_weight, 0)
    rows, other_rows, mixture = (rows_or_zero(cell) for cell in (one, other, one + other))
    difference = rows - other_rows
    lost = score.divergence(*parts_of_mixture(rows, mixture, (1 - share) * difference))
    lost_of_other = score.divergence(*parts_of_mixture(other_rows, mixture, -share * difference))
    return weight[..., 0] * lost + other_weight[..., 0] * lost_of_other


def merge_entropy(one: Array, other: Array) -> Array:
    """Decrease of H(U) when two cells are merged."""
    weight, other_weight = jnp.sum(one, axis=-1), jnp.sum(other, axis=-1)
    return xlogx(weight + other_weight) - xlogx(weight) - xlogx(other_weight)
