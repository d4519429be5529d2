"""Quantizers: deterministic encoders with at most K codes that lose as little information as possible."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes
from isjax._display import displayed
from isjax._numerics import LOG, Score, SquaredError, information, rows_or_zero
from isjax._solvers import (
    Iteration,
    apply_best_move,
    code_entropy,
    code_logits,
    codes_from_seeds,
    local_search,
    merge_loss,
    relevance,
)
from isjax._typing import Array, ArrayLike, Bool, Float, Int, Joint, Key, ScalarInt
from isjax.scoring import ScoringRule, log_score

__all__ = ["Quantizer", "kl_means_quantizer", "merged_inputs", "optimal_quantizer", "quantizers_up_to"]

_MAX_MOVE_CELLS = 2**18  # size of the array of single moves of all restarts that are refined together
_MERGING_STEPS = 8
_MAX_ENUMERATED = 10  # inputs, of which all 2¹⁰ cells are tried
_EQUAL = 64  # rounding errors, by which equal rows may differ: merging them loses their square


@displayed()
class Quantizer(NamedTuple):
    """A deterministic encoder U = η(X) of K codes, and its informations: in nats, unless it is of another rule.

    Source:
      Kurkoski and Yagi, Quantization of binary-input discrete memoryless channels (2014).
    """

    codes: Int[Array, "*batch x"]
    """Code of each input symbol."""
    complexity: Float[Array, "*batch"]
    """H(U), which is I(X;U)."""
    relevance: Float[Array, "*batch"]
    """I(U;Y), or what the code is worth under another scoring rule: the mean of D(p(y|u), p(y))."""
    loss: Float[Array, "*batch"]
    """I(X;Y|U), or the ``scored_loss`` under another rule."""
    is_global: Bool[Array, "*batch"]
    """Whether the encoder is proved to lose least among all with at most K codes."""


def optimal_quantizer(joint: Joint, *, num_codes: int, rule: ScoringRule = log_score) -> Quantizer:
    r"""Deterministic encoder of K codes that loses least, for two classes or the squared error: the global optimum.

    .. math:: \min_{\eta:\, X \to \{1..K\}} I(X;Y \mid \eta(X))

    With two classes the cells of an optimum are intervals in the order of p(y=1 | x), under every proper scoring rule.
    Under the squared error they are intervals in the order of E[v(Y) | x], with any number of classes. Dynamic
    programming over their ends finds them in time O(K |X|²) and memory O(K |X|). The loss of a cell is summed input by
    input from the losses of merges, none of which is negative, and not from differences of prefix sums.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]`` with at most two classes y, unless the rule is a
        ``squared_error``.
      num_codes: K, static. With as many codes as inputs, or more, each input has its own code and nothing is lost.
      rule: the ``ScoringRule`` under which the loss is least.

    Returns:
      A ``Quantizer`` with codes of shape ``[..., x]``, which increase with p(y=1 | x), or with E[v(Y) | x], if they are
      fewer than the inputs; the code of an input without mass is arbitrary.

    Raises:
      TypeError: if ``rule`` is not a ``ScoringRule``.
      ValueError: if there are more than two classes and the rule is not a squared error, or it has not as many values
        as there are classes.

    Source:
      Kurkoski and Yagi, Quantization of binary-input discrete memoryless channels (2014); Burshtein, Della Pietra,
      Kanevsky and Nádas, Minimum impurity partitions (1992), for the other rules; Fisher, On grouping for maximum
      homogeneity (1958), for the squared error.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.05, 0.2], [0.2, 0.05]])
      >>> found = isjax.optimal_quantizer(joint, num_codes=2)
      >>> found.codes.tolist(), round(float(found.loss), 3), round(float(found.relevance), 3)
      ([1, 0, 1, 0], 0.075, 0.368)
      >>> joint = jnp.array([[0.1, 0.1, 0.1], [0.2, 0.0, 0.1], [0.0, 0.1, 0.3]])
      >>> found = isjax.optimal_quantizer(joint, num_codes=2, rule=isjax.squared_error([0, 1, 4]))
      >>> found.codes.tolist(), round(float(found.loss), 4)
      ([0, 0, 1], 0.0167)
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_classes = joint.shape[-1]
    score = _checks.as_score(rule, num_classes, f"Y has {num_classes} symbols in joint of shape {joint.shape}")
    if num_classes > 2 and not isinstance(score, SquaredError):
        other = "use kl_means_quantizer" if rule.name == log_score.name else f"rule {rule.name!r} is no squared_error"
        raise ValueError(
            f"joint has {num_classes} classes in shape {joint.shape}, but the optimum is known for two: {other}"
        )
    return _optimal_quantizer(joint, score, num_codes=num_codes)


@jax.jit(inline=True, static_argnames="num_codes")
def _optimal_quantizer(joint: Array, score: Score, *, num_codes: int) -> Quantizer:
    def best(joint: Array) -> Array:
        return _interval_codes(joint, jnp.array([num_codes]), num_codes, score)[0]

    num_symbols = joint.shape[-2]
    if num_codes >= num_symbols:
        codes = jnp.broadcast_to(jnp.arange(num_symbols), joint.shape[:-1])
    else:
        codes = jnp.vectorize(best, signature="(x,y)->(x)")(joint)
    return _measured(joint, Codes(codes, num_codes), jnp.ones(joint.shape[:-2], bool), score)


def _measured(joint: Array, codes: Codes, is_global: Array, score: Score = LOG) -> Quantizer:
    """An encoder with its informations, each a sum of terms of one sign."""
    joint_uy, loss = codes.pushforward(joint), codes.loss(joint, score)
    informations = code_entropy(joint_uy), relevance(joint_uy, score), loss
    return Quantizer(codes.array, *informations, is_global & ~jnp.isnan(loss))


def _interval_codes(joint: Array, numbers: Array, num_codes: int, score: Score = LOG) -> Array:
    """Codes ``[k, x]`` of the best intervals in the order of p(y=1 | x), for numbers of them up to ``num_codes``.

    Under the squared error, their order is that of E[v(Y) | x].

    ``least[j, k]`` is the least loss of k intervals on the first j inputs. Each step adds an input to every cell that
    begins at or before it, and the loss of that merge to the cell's loss; ``least`` for one input more is the minimum
    over the beginning of the last cell. The cuts are then found from the last to the first, with the losses summed
    again: storing them in the forward pass takes three times as long.
    """
    num_symbols, rows = joint.shape[0], rows_or_zero(joint)
    keys = score.mean(rows)[:, 0] if isinstance(score, SquaredError) else rows[:, -1]
    order, begins = jnp.argsort(keys), jnp.arange(num_symbols)
    joint = joint[order]

    def add(carry: tuple[Array, ...], numbered: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        (cells, losses, least), (i, symbol) = carry, numbered
        has_begun = begins <= i
        losses = losses + jnp.where(has_begun, merge_loss(cells, symbol[None], score), 0)
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
        losses = jax.lax.cumsum(merge_loss(cells, inside, score), reverse=True)
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
    r"""Deterministic encoder of K codes that loses little, for any number of classes: in general a local optimum.

    .. math:: u(x) = \arg\min_u D\bigl(p(\cdot \mid x) \,\|\, p(\cdot \mid u)\bigr)

    Inputs of equal rows p(y|x) are one input first, which loses nothing. If at most ten remain, or at most K, all
    partitions are compared, and the result is the global optimum. If more remain: K-means with the Kullback-Leibler
    divergence for the distance. An update that does not reduce the loss is replaced by the move of one input that
    reduces it most; the search ends when neither does. All restarts begin from seeds drawn as in k-means++ and run in
    parallel; moves are tried for all of them, or for the best few of a large problem. The best result is returned; it
    is not known to be the global optimum. Map over keys or joints with ``jax.vmap``.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_codes: K, static.
      num_restarts: how many seedings to start from, static.
      max_steps: largest number of updates of a run.

    Returns:
      A ``Quantizer`` with codes of shape ``[x]``; the code of an input without mass is arbitrary.

    Source:
      Zhang and Kurkoski, Low-complexity quantization of discrete memoryless channels (2016).

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.05, 0.2], [0.2, 0.05]])
      >>> found = isjax.kl_means_quantizer(jax.random.key(0), joint, num_codes=2)
      >>> found.codes.tolist(), round(float(found.loss), 3), bool(found.is_global)
      ([0, 1, 0, 1], 0.075, True)
    """
    _checks.check_key(key)
    joint = _checks.as_joint(joint)
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_restarts = _checks.check_integer(num_restarts, "num_restarts")
    _checks.check_steps(max_steps)
    return _kl_means_quantizer(key, joint, max_steps, num_codes=num_codes, num_restarts=num_restarts)


@jax.jit(inline=True, static_argnames=("num_codes", "num_restarts"))
def _kl_means_quantizer(
    key: Array, joint: Array, max_steps: ArrayLike, *, num_codes: int, num_restarts: int
) -> Quantizer:
    num_used = min(num_codes, joint.shape[0])
    codes, is_global = _codes_up_to(key, joint, jnp.array([num_used]), max_steps, num_used, num_restarts)
    return _measured(joint, Codes(codes[0], num_codes), is_global[0])


def _codes_up_to(
    key: Array, joint: Array, numbers: Array, max_steps: ArrayLike, num_codes: int, num_restarts: int
) -> tuple[Array, Array]:
    """Codes ``[k, x]``, for numbers of them up to ``num_codes``, and whether they are known to lose least."""
    cells, num_cells = _equal_rows(joint)
    num_enumerated = min(joint.shape[0], _MAX_ENUMERATED)
    merged = jax.ops.segment_sum(joint, cells, joint.shape[0])

    def enumerate_all() -> Array:
        codes = _enumerated_codes(merged[:num_enumerated], numbers, num_codes)
        return codes[:, jnp.minimum(cells, num_enumerated - 1)]

    def search() -> Array:
        def solve(k: Array) -> Array:
            of_k = jax.random.fold_in(key, k)
            return _kl_means_codes(of_k, merged, k, num_codes, num_restarts, max_steps)[cells]

        return jnp.where((numbers >= num_cells)[:, None], cells[None], jax.lax.map(solve, numbers))

    is_global = (numbers == 1) | (numbers >= num_cells)
    if num_enumerated == joint.shape[0]:
        return enumerate_all(), jnp.ones_like(is_global)
    is_small = num_cells <= num_enumerated
    return jax.lax.cond(is_small, enumerate_all, search), is_global | is_small


def _equal_rows(joint: Array) -> tuple[Array, Array]:
    """A number for each input, the same for equal rows p(y|x), in the order of the first of each; and how many.

    Rows are equal up to rounding, and sorted by their products with a generic vector. An input without mass has the
    number of another one.
    """
    rows, numbers = rows_or_zero(joint), jnp.arange(joint.shape[0])
    is_empty = jnp.sum(joint, axis=-1) == 0
    generic = jnp.cos(jnp.arange(joint.shape[1], dtype=joint.dtype))
    order = jnp.lexsort((jnp.sum(rows * generic[None], axis=-1), is_empty))
    later, earlier = rows[order], rows[jnp.roll(order, 1)]
    rounding = _EQUAL * float(jnp.finfo(joint.dtype).eps)
    is_equal = jnp.all(jnp.abs(later - earlier) <= rounding * jnp.maximum(later, earlier), axis=-1)
    is_new = ~(is_equal | is_empty[order]).at[0].set(False)
    groups = jnp.zeros_like(numbers).at[order].set(jnp.cumsum(is_new) - 1)
    first = jax.ops.segment_min(jnp.where(is_empty, numbers.size, numbers), groups, numbers.size)
    return jnp.argsort(jnp.argsort(first))[groups], jnp.sum(is_new)


def _enumerated_codes(joint: Array, numbers: Array, num_codes: int) -> Array:
    """Codes ``[k, x]`` that lose least, for numbers of them up to ``num_codes``, of few inputs.

    ``least[k, s]`` is the least loss of k codes on the set s of inputs, in binary. The cell of the first input of s may
    be any subset t that contains it; the others are then the best k − 1 codes of the rest.
    """
    num_symbols = joint.shape[0]
    sets = np.arange(2**num_symbols)
    contains = jnp.asarray(sets[:, None] >> np.arange(num_symbols) & 1, bool)

    def loss_of_cell(members: Array) -> Array:
        cell = jnp.where(members[:, None], joint, 0)
        return information(cell, rows_or_zero(jnp.sum(cell, axis=0))[None])

    losses = jax.vmap(loss_of_cell)(contains)

    def with_each_cell(least: Array, s: Array) -> Array:
        is_cell = (sets & ~s == 0) & ((sets & s & -s != 0) | (s == 0))
        return jnp.where(is_cell, losses + least[s ^ sets], jnp.inf)

    def add_code(least: Array, _: None) -> tuple[Array, Array]:
        return jax.vmap(lambda s: jnp.min(with_each_cell(least, s)))(sets), least

    _, least = jax.lax.scan(add_code, jnp.where(sets == 0, 0, jnp.inf).astype(joint.dtype), None, length=num_codes)

    def codes(number: Array) -> Array:
        def cut(carry: tuple[Array, Array], code: Array) -> tuple[tuple[Array, Array], None]:
            s, codes = carry
            cell = jnp.argmin(with_each_cell(least[jnp.maximum(number - 1 - code, 0)], s))
            cell = jnp.where(code < number, cell, 0)
            return (s ^ cell, jnp.where(contains[cell], code, codes)), None

        start = jnp.asarray(sets[-1]), jnp.zeros(num_symbols, int)
        return jax.lax.scan(cut, start, jnp.arange(num_codes))[0][1]

    return jax.lax.map(codes, numbers)


def _kl_means(joint: Array, num_codes: int) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """The loss of codes, and their update: to each input the code of the least divergence."""

    def loss(codes: Array) -> Array:
        return information(joint, rows_or_zero(Codes(codes, num_codes).pushforward(joint))[codes])

    def update(codes: Array) -> Array:
        joint_uy = Codes(codes, num_codes).pushforward(joint)
        return jnp.argmax(code_logits(joint, 1, joint_uy, with_prior=False), axis=-1)

    return loss, update


def _kl_means_codes(
    key: Array, joint: Array, num_used: Array | int, num_codes: int, num_restarts: int, max_steps: ArrayLike
) -> Array:
    """Codes below ``num_used``, which may be traced and is no larger than ``num_codes``."""
    loss, update = _kl_means(joint, num_codes)

    def update_or_move(codes: Array) -> tuple[Array, ...]:
        return update(codes), apply_best_move(joint, Codes(codes, num_codes), merge_loss, num_used)

    def start(key: Array) -> Iteration:
        codes = codes_from_seeds(key, joint, num_codes, num_used)
        return local_search(codes, loss, lambda codes: (update(codes),), max_steps)

    runs = jax.vmap(start)(jax.random.split(key, num_restarts))
    num_refined = max(1, min(num_restarts, _MAX_MOVE_CELLS // (joint.size * num_codes)))
    best = runs.state[jax.lax.top_k(-runs.value, num_refined)[1]]
    runs = jax.vmap(lambda codes: local_search(codes, loss, update_or_move, max_steps))(best)
    return runs.state[jnp.argmin(runs.value)]


def merged_inputs(key: Key[Array, ""], joint: Float[ArrayLike, "x y"], *, num_cells: int) -> Int[Array, "x"]:
    """Codes of many cells that lose little, found fast: what a large alphabet may be replaced by.

    Those of equal rows p(y|x), which lose nothing, if they are few enough; else KL-means from one seeding, a few
    updates, and no moves of single inputs.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_cells: number of cells, static; with as many as inputs, or more, each input is a cell.

    Returns:
      The cell of each input, shape ``[x]``.

    Source:
      Zhang and Kurkoski, Low-complexity quantization of discrete memoryless channels (2016).

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.0, 0.25], [0.2, 0.05]])
      >>> cells = isjax.quantizers.merged_inputs(jax.random.key(0), joint, num_cells=3)
      >>> bool(cells[0] == cells[2]), float(isjax.mutual_information_loss(joint, cells, num_codes=3))
      (True, 0.0)
    """
    _checks.check_key(key)
    joint = _checks.as_joint(joint)
    return _merged_inputs(key, joint, num_cells=_checks.check_integer(num_cells, "num_cells"))[0]


@jax.jit(inline=True, static_argnames="num_cells")
def _merged_inputs(key: Array, joint: Array, *, num_cells: int) -> tuple[Array, Array]:
    """The cells, and whether only inputs of equal rows are merged."""
    if num_cells >= joint.shape[0]:
        return jnp.arange(joint.shape[0]), jnp.ones((), bool)
    equal, num_rows = _equal_rows(joint)

    def search() -> Array:
        codes = codes_from_seeds(key, joint, num_cells)
        return _updated(joint, codes, num_cells, _MERGING_STEPS)

    return jax.lax.cond(num_rows <= num_cells, lambda: equal, search), num_rows <= num_cells


def _updated(joint: Array, codes: Array, num_codes: int, max_steps: ArrayLike) -> Array:
    """Codes after updates of KL-means while they reduce the loss."""
    loss, update = _kl_means(joint, num_codes)
    return local_search(codes, loss, lambda codes: (update(codes),), max_steps).state


def quantizers_up_to(
    key: Key[Array, ""],
    joint: Float[ArrayLike, "x y"],
    *,
    num_codes: int,
    num_restarts: int = 16,
    max_steps: int | ScalarInt = 1000,
    num_cells: int | None = None,
) -> Quantizer:
    r"""Deterministic encoders of 1, 2, …, K codes that lose least, in one program.

    .. math:: \min_{\eta:\, X \to \{1..k\}} I(X;Y \mid \eta(X)) \quad \text{for each } k \le K

    For two classes they are those of ``optimal_quantizer``, for more those of ``kl_means_quantizer``. One program for
    all k compiles once; it takes as long as K solutions with K codes. ``is_global`` says of which k it is known that no
    encoder loses less.

    Args:
      key: a key of ``jax.random.key``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      num_codes: K, static; above the number of inputs it is reduced to that, where nothing is lost.
      num_restarts: how many seedings KL-means starts from, static.
      max_steps: largest number of updates of a run of KL-means.
      num_cells: if given, static, and there are more inputs and more than two classes, KL-means runs on as many cells
        of ``merged_inputs`` and then takes updates of all inputs: many times faster for a large alphabet.

    Returns:
      A ``Quantizer`` whose arrays have a leading axis ``[k]`` of length min(K, |X|), for 1, 2, … codes.

    Source:
      Kurkoski and Yagi (2014) for two classes; Zhang and Kurkoski (2016) for more.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> joint = jnp.array([[0.0, 0.25], [0.25, 0.0], [0.05, 0.2], [0.2, 0.05]])
      >>> found = isjax.quantizers_up_to(jax.random.key(0), joint, num_codes=8)
      >>> [round(float(loss), 3) for loss in found.loss]
      [0.443, 0.075, 0.037, 0.0]
    """
    _checks.check_key(key)
    joint = _checks.as_joint(joint)
    num_codes = min(_checks.check_integer(num_codes, "num_codes"), joint.shape[0])
    num_restarts = _checks.check_integer(num_restarts, "num_restarts")
    _checks.check_steps(max_steps)
    num_cells = joint.shape[0] if num_cells is None else _checks.check_integer(num_cells, "num_cells", at_least=1)
    return _quantizers_up_to(
        key, joint, max_steps, num_codes=num_codes, num_restarts=num_restarts, num_cells=max(num_cells, num_codes)
    )


@jax.jit(inline=True, static_argnames=("num_codes", "num_restarts", "num_cells"))
def _quantizers_up_to(
    key: Array, joint: Array, max_steps: ArrayLike, *, num_codes: int, num_restarts: int, num_cells: int
) -> Quantizer:
    numbers = jnp.arange(1, num_codes + 1)
    if joint.shape[1] <= 2:
        codes, is_global = _interval_codes(joint, numbers, num_codes), jnp.ones(num_codes, bool)
    elif num_cells >= joint.shape[0]:
        codes, is_global = _codes_up_to(key, joint, numbers, max_steps, num_codes, num_restarts)
    else:
        cells, loses_nothing = _merged_inputs(key, joint, num_cells=num_cells)
        merged = Codes(cells, num_cells).pushforward(joint)
        codes, is_global = _codes_up_to(key, merged, numbers, max_steps, num_codes, num_restarts)
        codes = jax.lax.map(lambda codes: _updated(joint, codes[cells], num_codes, max_steps), codes)
        is_global = is_global & loses_nothing | (numbers == 1)
    return _measured(joint[None], Codes(codes, num_codes), is_global)
