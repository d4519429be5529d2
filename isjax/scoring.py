r"""Proper scoring rules: what an encoder costs when predictions are judged by another loss than the cross-entropy.

A rule charges S(q, y) for the prediction q where y occurs, and is proper if no prediction is charged less in the mean
than the distribution itself. Its entropy and its divergence are

.. math:: G(p) = \mathbb E_p[S(p, Y)], \qquad D(p, q) = \mathbb E_p[S(q, Y) - S(p, Y)] \ge 0,

and the risk of a decoder q of a code U = η(X) splits as the cross-entropy does (arXiv:2405.20452, Theorem 4):

.. math:: \mathbb E[S(q_U, Y)] = \mathbb E[G(p_{Y|X})] + \mathbb E[D(p_{Y|X}, p_{Y|U})] + \mathbb E[D(p_{Y|U}, q_U)]
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from isjax import _checks, _numerics
from isjax._checks import Codes, Rows
from isjax._display import displayed
from isjax._numerics import BrierScore, LogScore, Score, SphericalScore, SquaredError, ZeroOneScore, nan_where
from isjax._typing import Array, ArrayLike, Encoder, Float, Int, Joint

__all__ = [
    "RULES",
    "ScoringRule",
    "brier_score",
    "log_score",
    "scored_loss",
    "spherical_score",
    "squared_error",
    "zero_one_score",
]


@displayed("name")
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScoringRule:
    r"""A proper scoring rule: what a prediction of Y is charged.

    A rule is a pytree, so that it may be an argument of a jitted function, and hashable, so that it may be a static
    one.

    | rule                | S(q, y)                | G(p)                      | D(p, q)                         |
    |---------------------|------------------------|---------------------------|---------------------------------|
    | ``log_score``       | −log q(y)              | H(p), Shannon's entropy   | D(p ‖ q), the relative entropy  |
    | ``brier_score``     | Σ_z (q(z) − 1{z = y})² | 1 − Σ p²                  | Σ (p − q)²                      |
    | ``spherical_score`` | 1 − q(y)/‖q‖           | 1 − ‖p‖                   | ‖p‖ (1 − cos θ), θ from p to q  |
    | ``zero_one_score``  | 1{y ≠ argmax q}        | 1 − max p                 | max p − p(argmax q)             |
    | ``squared_error``   | (v(y) − E_q v)²        | Var_p(v)                  | (E_p v − E_q v)²                |

    The first three are *strictly* proper: D(p, q) = 0 only if p = q. The fourth is strict in the best guess alone, the
    fifth in the mean.

    Source:
      Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation (2007).
    """

    formulas: Score
    """The formulas of the rule; those of the squared error hold the values."""

    @property
    def name(self) -> str:
        """What the rule is called: ``"log"``, ``"brier"``, ``"spherical"``, ``"zero_one"`` or ``"squared_error"``."""
        return self.formulas.name

    def entropy(self, p: Float[ArrayLike, "*batch y"]) -> Float[Array, "*batch"]:
        r"""Least mean score of a prediction of Y.

        .. math:: G(p) = \min_q \mathbb E_p[S(q, Y)] = \mathbb E_p[S(p, Y)]

        The derivative is S(p, y); at a cell of zero mass it is taken as zero.

        Args:
          p: distributions of Y, shape ``[..., y]``.

        Returns:
          The entropy, shape ``[...]``; in nats for the logarithmic rule, which is the only one with a unit.

        Examples:
          >>> import isjax, jax.numpy as jnp
          >>> float(isjax.brier_score.entropy(jnp.array([0.5, 0.25, 0.25, 0.0])))
          0.625
        """
        p = _checks.as_probabilities(p, "p", axes="y", over=1)
        score = _checks.as_score(self, p.shape[-1], f"Y has {p.shape[-1]} symbols in p of shape {p.shape}")
        return _entropy(score, p)

    def divergence(self, p: Float[ArrayLike, "*#batch y"], q: Float[ArrayLike, "*#batch y"]) -> Float[Array, "*batch"]:
        r"""Mean score of the prediction q of a Y with distribution p, in excess of the least.

        .. math:: D(p, q) = \mathbb E_p[S(q, Y) - S(p, Y)] \ge 0

        It is computed from the difference p − q, without cancellation. The derivative in p is S(q, y) − S(p, y); at a
        cell of zero mass it is taken as zero.

        Args:
          p: distributions of Y, shape ``[..., y]``.
          q: predictions of Y, shape ``[..., y]``; batch axes broadcast.

        Returns:
          The divergence, shape ``[...]``.

        Examples:
          >>> import isjax, jax.numpy as jnp
          >>> p, q = jnp.array([0.75, 0.25]), jnp.array([0.25, 0.75])
          >>> [float(rule.divergence(p, q)) for rule in (isjax.brier_score, isjax.zero_one_score)]
          [0.5, 0.5]
        """
        given = {"p": p, "q": q}
        p, q = (_checks.as_probabilities(values, name, axes="y", over=0) for name, values in given.items())
        _checks.check_same_alphabet(p, q, -1)
        for name, values in given.items():
            _checks.check_masses(values, name, (-1,))
        score = _checks.as_score(self, p.shape[-1], f"Y has {p.shape[-1]} symbols in p of shape {p.shape}")
        return _divergence(score, p, q)


@jax.jit(inline=True)
def _entropy(score: Score, p: Array) -> Array:
    return _numerics.score_entropy(score, p)


@jax.jit(inline=True)
def _divergence(score: Score, p: Array, q: Array) -> Array:
    divergence = _numerics.score_divergence(score, *jnp.broadcast_arrays(p, q))
    return nan_where(jnp.any(jnp.isnan(q), axis=-1), divergence)


log_score = ScoringRule(LogScore())
"""The logarithmic rule, S(q, y) = −log q(y), in nats: its risk is the cross-entropy, its loss is I(X;Y|U)."""

brier_score = ScoringRule(BrierScore())
"""The Brier rule, S(q, y) = Σ_z (q(z) − 1{z = y})²: its loss is the mean squared distance of posteriors."""

spherical_score = ScoringRule(SphericalScore())
"""The spherical rule, S(q, y) = 1 − q(y)/‖q‖: its divergence is ‖p‖ (1 − cos θ), with the angle θ from p to q."""

zero_one_score = ScoringRule(ZeroOneScore())
"""The zero-one rule, S(q, y) = 1{y ≠ argmax q}: its risk is the error rate of the most probable guess, its loss what
the encoder adds to that of the best classifier. Of several most probable symbols the first is guessed."""


RULES = {rule.name: rule for rule in (log_score, brier_score, spherical_score, zero_one_score)}
"""The rules that need no values, by their names."""


def squared_error(values: Float[ArrayLike, "y"] | Int[ArrayLike, "y"] | Sequence[float]) -> ScoringRule:
    r"""Squared error of the mean of a number that Y stands for.

    .. math:: S(q, y) = (v(y) - \mathbb E_q v)^2

    Its entropy is the variance of v(Y), its divergence the squared difference of the means, its loss
    E(E[v(Y) | X] − E[v(Y) | U])²: what regression on U has in excess of regression on X.

    Args:
      values: v(y), the number for each symbol of Y, shape ``[y]``.

    Returns:
      The ``ScoringRule``.

    Raises:
      TypeError: if ``values`` does not hold numbers.
      ValueError: if ``values`` has not one axis, or holds a concrete number that is not finite.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> rule = isjax.squared_error([0, 1, 4])
      >>> p, q = jnp.array([0.5, 0.0, 0.5]), jnp.array([0.5, 0.5, 0.0])
      >>> float(rule.entropy(p)), float(rule.divergence(p, q))
      (4.0, 2.25)
    """
    return ScoringRule(SquaredError(values=_checks.as_values(values)))


def scored_loss(
    joint: Joint, encoder: Encoder, rule: ScoringRule, *, num_codes: int | None = None
) -> Float[Array, "*batch"]:
    r"""Least excess risk of any decoder that sees the code U instead of X, under a proper scoring rule.

    .. math:: \sum_{x,u} p(x)\,\eta(u \mid x)\, D\bigl(p(\cdot \mid x),\, p(\cdot \mid u)\bigr) \ge 0

    With ``log_score`` it is the mutual information loss I(X;Y|U). Under every strictly proper rule it is zero if and
    only if U is sufficient: sufficiency does not depend on the rule. Under the zero-one rule it may be zero where U is
    not sufficient, and under the squared error it is zero if and only if U keeps E[v(Y) | X]. Orders, by Pinsker's
    inequality:

    - ``brier_score``: at most 2 I(X;Y|U);
    - ``squared_error``: at most r²/2 · I(X;Y|U), for values in an interval of length r;
    - ``zero_one_score``: at most √(2 I(X;Y|U)).

    It is summed without cancellation, and is never negative. Its derivative in p(x, y) is the mean over u of
    S(p(· | u), y) − S(p(· | x), y), that in η(u | x) is p(x) D(p(· | x), p(· | u)).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      rule: a ``ScoringRule``.
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.

    Returns:
      The loss, shape ``[...]``; in nats for the logarithmic rule.

    Raises:
      TypeError: if ``rule`` is not a ``ScoringRule``.
      ValueError: if the rule has not as many values as Y has symbols.

    Source:
      Gneiting and Raftery (2007); arXiv:2405.20452, Theorem 4, for the logarithmic rule.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint, codes = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]]), jnp.array([0, 0, 1])
      >>> [round(float(isjax.scored_loss(joint, codes, rule)), 3) for rule in (isjax.log_score, isjax.brier_score)]
      [0.477, 0.333]
      >>> round(float(isjax.scored_loss(joint, codes, isjax.zero_one_score)), 3)
      0.25
    """
    joint, checked = _checks.as_joint_and_encoder(joint, encoder, num_codes)
    of = f"Y has {joint.shape[-1]} symbols in joint of shape {joint.shape}"
    return _scored_loss(joint, checked, _checks.as_score(rule, joint.shape[-1], of))


@jax.jit(inline=True)
def _scored_loss(joint: Array, encoder: Codes | Rows, score: Score) -> Array:
    return encoder.loss(joint, score)
