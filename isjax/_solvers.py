"""What the solvers share: local search over deterministic encoders, its starting points and the cost of its moves."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from isjax._numerics import information_terms, log_ratio, rows_or_zero, safe_divide, safe_log, xlogx
from isjax._typing import Array, ArrayLike
from isjax.divergences import jensen_shannon_divergence


def code_scores(joint: Array, beta: Array | float, state: Array, *, with_prior: bool = True) -> Array:
    """``log r(u) − β (D(p(·|x) ‖ s(·|u)) − D(p(·|x) ‖ p_Y))``, minus infinity for a code that is not used."""
    p_y, p_u = jnp.sum(joint, axis=-2)[None], jnp.sum(state, axis=-1)
    decoder = rows_or_zero(state)
    p_y = jnp.broadcast_to(p_y, decoder.shape)
    ratios = log_ratio(decoder, p_y, decoder - p_y)
    ratios = jnp.where((decoder == 0) & (p_y > 0), -float(jnp.finfo(joint.dtype).max) / 4, ratios)
    gains = beta * jnp.matmul(rows_or_zero(joint), ratios.T, precision=jax.lax.Precision.HIGHEST)
    prior = safe_log(p_u) if with_prior else jnp.zeros_like(p_u)
    return jnp.where(p_u > 0, prior, -jnp.inf)[None] + gains


def seeded_codes(key: Array, joint: Array, num_codes: int, num_used: Array | int | None = None) -> Array:
    """Codes of the inputs nearest to seeds, each an input drawn by what is lost by giving it an earlier seed's code.

    Of ``num_codes`` seeds only the first ``num_used``, which may be traced, count.
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


class Search(NamedTuple):
    """A search over deterministic encoders under way."""

    codes: Array
    value: Array
    num_steps: Array
    is_stuck: Array


def search(
    codes: Array,
    value: Callable[[Array], Array],
    propose: Callable[[Array], tuple[Array, ...]],
    max_steps: ArrayLike,
) -> Search:
    """Takes the first of several proposals that has a lower value, until none has or ``max_steps`` are taken."""

    def step(run: Search) -> Search:
        codes, lowest = run.codes, run.value
        for proposal in propose(run.codes):
            proposed = value(proposal)
            is_taken = (lowest == run.value) & (proposed < lowest)
            codes, lowest = jnp.where(is_taken, proposal, codes), jnp.where(is_taken, proposed, lowest)
        return Search(codes, lowest, run.num_steps + 1, ~(lowest < run.value))

    start = Search(codes, value(codes), jnp.zeros((), int), jnp.zeros((), bool))
    return jax.lax.while_loop(lambda run: ~run.is_stuck & (run.num_steps < max_steps), step, start)


def with_best_move(
    joint: Array, codes: Array, joint_uy: Array, cost: Callable[[Array, Array], Array], num_used: Array | int
) -> Array:
    """Codes after the move of one input to another code that lowers the objective most.

    ``cost`` is what the objective rises by when two cells, given by their masses, are made one.
    """
    num_codes = joint_uy.shape[0]
    left_behind = jnp.maximum(joint_uy[codes] - joint, 0)
    rises = cost(joint_uy[None], joint[:, None]) - cost(left_behind, joint)[:, None]
    is_open = ~jax.nn.one_hot(codes, num_codes, dtype=bool) & (jnp.arange(num_codes) < num_used)[None]
    rises = jnp.where(is_open, rises, jnp.inf)
    moved, code = jnp.divmod(jnp.argmin(rises), num_codes)
    return jnp.where(jnp.arange(codes.shape[0]) == moved, code, codes)


def union_loss(one: Array, other: Array) -> Array:
    """Information about Y lost when two cells ``[..., y]``, given by their masses p(cell, y), are made one."""
    weight, other_weight = (jnp.sum(cell, axis=-1, keepdims=True) for cell in (one, other))
    share = safe_divide(weight, weight + other_weight, 0)
    rows, other_rows, mixture = (rows_or_zero(cell) for cell in (one, other, one + other))
    difference = rows - other_rows
    lost = weight * information_terms(rows, mixture, (1 - share) * difference)
    return jnp.sum(lost + other_weight * information_terms(other_rows, mixture, -share * difference), axis=-1)


def union_entropy(one: Array, other: Array) -> Array:
    """Entropy of the code saved when two cells are made one."""
    weight, other_weight = jnp.sum(one, axis=-1), jnp.sum(other, axis=-1)
    return xlogx(weight + other_weight) - xlogx(weight) - xlogx(other_weight)
