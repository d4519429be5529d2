"""What an encoder loses: the mutual information loss, sufficiency, layers, and the exact decomposition of a risk.

For U = η(X), the least excess cross-entropy risk of any decoder that sees U alone is I(X;Y|U) (arXiv:2405.20452,
Theorem 4). The encoder is sufficient if and only if that is zero, and then Y = f(W, U) with a noise W that is
independent of U (Theorem 1).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._checks import Codes, Rows
from isjax._display import displayed
from isjax._numerics import (
    Score,
    binary_entropy,
    conditional_entropy,
    decoder_error,
    distribution_function,
    in_base,
    nan_where,
)
from isjax._typing import Array, ArrayLike, Bool, Encoder, Float, Int, Joint, Real
from isjax.scoring import ScoringRule, log_score

__all__ = [
    "FunctionalRepresentation",
    "RiskDecomposition",
    "drift_bound",
    "functional_representation",
    "is_sufficient",
    "layerwise_loss",
    "mutual_information_loss",
    "risk_decomposition",
]


def mutual_information_loss(
    joint: Joint, encoder: Encoder, *, num_codes: int | None = None, base: Real | None = None
) -> Float[Array, "*batch"]:
    r"""Information about Y that is lost when X is replaced by its code U.

    .. math:: I(X;Y \mid U) = \sum_{x,u} p(x)\,\eta(u \mid x)\, D\bigl(p(\cdot \mid x) \,\|\, p(\cdot \mid u)\bigr) \ge
    0

    It is the least excess cross-entropy risk of any decoder that sees U alone, and it is zero if and only if U is
    sufficient for Y. It is summed without cancellation: never negative, and accurate in float32 where it is many orders
    of magnitude smaller than I(X;Y). Its derivative in p(x, y) is the mean over u of log(p(y | x)/p(y | u)), that in
    η(u | x) is p(x) D(p(· | x) ‖ p(· | u)).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.
      base: base of the logarithm; nats if None.

    Returns:
      The loss, shape ``[...]``.

    Source:
      arXiv:2405.20452, Theorems 1 and 4.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> round(float(isjax.mutual_information_loss(joint, jnp.array([0, 0, 1]))), 3)
      0.477
    """
    joint, checked = _checks.as_joint_and_encoder(joint, encoder, num_codes)
    return _loss(joint, checked, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _loss(joint: Array, encoder: Codes | Rows, *, base: float | None) -> Array:
    return in_base(encoder.loss(joint), base)


def is_sufficient(
    joint: Joint, encoder: Encoder, *, num_codes: int | None = None, tolerance: Real | None = None
) -> Bool[Array, "*batch"]:
    r"""Whether the code U keeps all that X says about Y.

    .. math:: I(X;Y \mid U) \le \text{tolerance}

    The loss is quadratic in the differences between posteriors: rows p(· | x) that are equal up to relative rounding
    errors of size r lose about r² nats. The default tolerance is therefore the square of 128 units of rounding (2.3e-10
    nats in float32, 8e-28 in float64).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.
      tolerance: the largest loss, in nats, that counts as zero.

    Returns:
      Booleans, shape ``[...]``.

    Source:
      arXiv:2405.20452, Definition 2 and Theorem 1.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> [bool(isjax.is_sufficient(joint, jnp.array(codes))) for codes in ([0, 1, 1], [0, 0, 1])]
      [True, False]
    """
    joint, checked = _checks.as_joint_and_encoder(joint, encoder, num_codes)
    tolerance = _checks.check_tolerance(tolerance, (128 * float(jnp.finfo(joint.dtype).eps)) ** 2)
    return _is_at_most(joint, checked, tolerance)


@jax.jit(inline=True)
def _is_at_most(joint: Array, encoder: Codes | Rows, tolerance: Array | float) -> Array:
    return encoder.loss(joint) <= tolerance


def drift_bound(
    total_variation: Float[ArrayLike, "*batch"], num_classes: int, *, base: Real | None = None
) -> Float[Array, "*batch"]:
    r"""How much the loss of an encoder can change when the joint distribution moves by a total variation distance τ.

    .. math:: |I_p(X;Y \mid U) - I_q(X;Y \mid U)| \le 2 \bigl(h(\tau) + \tau \log(|Y| - 1)\bigr), \qquad
      \tau \le 1 - 1/|Y|

    h is the binary entropy; beyond 1 − 1/|Y| the bound is 2 log |Y|. It holds for every encoder, deterministic or
    stochastic, and for inputs and codes of any number: one that is sufficient under p loses at most this under q. Half
    of it bounds the change of H(Y|X), and is attained; the other half is for H(Y|U), since codes are no farther apart
    than inputs. A loss is never above log |Y|, so the bound says nothing where it exceeds that.

    Args:
      total_variation: τ, the total variation distance of the two joint distributions of (X, Y), any shape.
      num_classes: |Y|.
      base: base of the logarithm; nats if None.

    Returns:
      The bound, the shape of ``total_variation``; NaN where that is traced and outside [0, 1].

    Source:
      Alhejji and Smith, A tight uniform continuity bound for equivocation (2020).

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> [round(float(isjax.drift_bound(tau, 2, base=2)), 3) for tau in (0.0, 0.01, 0.1, 0.9)]
      [0.0, 0.162, 0.938, 2.0]
    """
    num_classes = _checks.check_integer(num_classes, "num_classes")
    distance = _checks.as_unit_interval(total_variation, "total_variation")
    return _drift_bound(distance, num_classes=num_classes, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames=("num_classes", "base"))
def _drift_bound(distance: Array, *, num_classes: int, base: float | None) -> Array:
    farthest = 1 - 1 / num_classes
    near = jnp.minimum(distance, farthest)
    change = binary_entropy(near) + near * math.log(max(num_classes - 1, 1))
    return in_base(2 * nan_where(~((distance >= 0) & (distance <= 1)), change), base)


def layerwise_loss(joint: Joint, encoders: Int[ArrayLike, "*#batch layer x"]) -> Float[Array, "*batch layer"]:
    r"""Information about Y that each layer of a chain of encoders loses, in nats.

    .. math:: I(X;Y \mid U_L) = \sum_{l=1}^L I(U_{l-1};Y \mid U_l), \qquad X = U_0 \to U_1 \to \dots \to U_L

    Each term is the loss of the code U_l of U_{l−1}, computed directly and not as a difference, so it is never
    negative.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoders: codes of X at each layer, in 0 … x − 1, shape ``[..., layer, x]``; each layer's code is a function of
        the code of the layer before. ``compact_codes`` and ``activation_codes`` give codes in this range.

    Returns:
      The losses, shape ``[..., layer]``; their sum is the loss of the last layer. NaN at a layer whose traced codes are
      out of range, or not a function of those before.

    Raises:
      TypeError: if ``encoders`` does not hold integers: the sum needs deterministic encoders.
      ValueError: if concrete codes of a layer are not a function of those of the layer before.

    Source:
      arXiv:2405.20452, Theorem 6.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.25, 0.0], [0.0, 0.25], [0.125, 0.125], [0.125, 0.125]])
      >>> losses = isjax.layerwise_loss(joint, jnp.array([[0, 1, 2, 2], [0, 1, 1, 1]]))
      >>> [round(float(loss), 3) for loss in losses]
      [0.0, 0.131]
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    _checks.check_integers(encoders, "encoders", "codes")
    num_symbols, shape = joint.shape[-2], np.shape(encoders)
    if len(shape) < 2 or shape[-2] == 0:
        raise ValueError(f"encoders must have shape [..., layer, x], got shape {shape}")
    if shape[-1] != num_symbols:
        raise ValueError(
            f"encoders has {shape[-1]} rows, but X has {num_symbols} symbols in joint of shape {joint.shape}"
        )
    codes = _checks.as_codes(encoders, num_symbols, "encoders")
    _checks.broadcast_batch(joint=(joint, 2), encoders=(codes, 2))
    if _checks.is_concrete(encoders):
        _check_chain(np.asarray(encoders))
    return _chain_losses(joint, codes)


@jax.jit(inline=True)
def _chain_losses(joint: Array, encoders: Array) -> Array:
    def of_chain(joint: Array, encoders: Array) -> Array:
        inputs = jnp.arange(encoders.shape[-1], dtype=encoders.dtype)
        return jax.vmap(of_layer, (None, 0, 0))(joint, encoders, jnp.concatenate([inputs[None], encoders[:-1]]))

    def of_layer(joint: Array, codes: Array, before: Array) -> Array:
        num_codes = codes.size
        code_of_code, is_function = _checks.factor_through(codes, before)
        loss = Codes(code_of_code, num_codes).loss(Codes(before, num_codes).pushforward(joint))
        return nan_where(~is_function, loss)

    joint, encoders = _checks.align_batches(joint=(joint, 2), encoders=(encoders, 2))
    return jnp.vectorize(of_chain, signature="(x,y),(l,x)->(l)")(joint, encoders)


def _check_chain(encoders: np.ndarray) -> None:
    """Refuses layers of which one has two codes for one code of the layer before."""
    order = np.argsort(encoders[..., :-1, :], axis=-1, kind="stable")
    before, after = (np.take_along_axis(a, order, -1) for a in (encoders[..., :-1, :], encoders[..., 1:, :]))
    differs = (np.diff(before) == 0) & (np.diff(after) != 0)
    broken = np.argwhere(differs.any(axis=-1))
    if broken.size:
        layer = int(broken[0, -1]) + 1
        raise ValueError(f"encoders must form a chain, but layer {layer} is not a function of layer {layer - 1}")


@displayed()
class FunctionalRepresentation(NamedTuple):
    """Y = outcome[W, U] with a noise W that is independent of U."""

    noise: Float[Array, "*batch w"]
    """Distribution of W."""
    outcome: Int[Array, "*batch w u"]
    """Y as a function of W and U."""


def functional_representation(kernel: Float[ArrayLike, "*batch u y"]) -> FunctionalRepresentation:
    r"""Channel from U to Y as a function of U and of a noise that is independent of U.

    .. math:: p(y \mid u) = \sum_w p(w)\, 1\{f(w, u) = y\}

    The distribution functions of all rows cut [0, 1] into |U|(|Y| − 1) + 1 intervals, some of them empty. W is the
    interval that a uniform number falls into, and f(w, u) the y whose step of row u contains that interval.

    Args:
      kernel: rows p(y | u), shape ``[..., u, y]``.

    Returns:
      ``FunctionalRepresentation(noise, outcome)`` of shapes ``[..., w]`` and ``[..., w, u]`` with
      w = |U|(|Y| − 1) + 1.

    Source:
      arXiv:2405.20452, Theorem 1.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> noise, outcome = isjax.functional_representation(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
      >>> noise.tolist(), outcome.tolist()
      ([0.25, 0.25, 0.5], [[0, 0], [0, 1], [1, 1]])
    """
    return _functional_representation(_checks.as_probabilities(kernel, "kernel", axes="u y", over=1))


@jax.jit(inline=True)
def _functional_representation(kernel: Array) -> FunctionalRepresentation:
    def one(kernel: Array) -> tuple[Array, Array]:
        steps = distribution_function(kernel, 1)[:, :-1]
        ends = jnp.sort(jnp.concatenate([steps.ravel(), jnp.ones(1, steps.dtype)]))
        starts = jnp.concatenate([jnp.zeros(1, steps.dtype), ends[:-1]])
        return ends - starts, jnp.sum(steps[None] <= starts[:, None, None], axis=-1).astype(int)

    return FunctionalRepresentation(*jnp.vectorize(one, signature="(u,y)->(w),(w,u)")(kernel))


@displayed("excess_risk", "risk")
class RiskDecomposition(NamedTuple):
    """The risk of a decoder of U in three non-negative parts; the cross-entropy is in the unit of ``base``."""

    conditional_entropy: Float[Array, "*batch"]
    """H(Y|X), or the mean of G(p(y|x)) under another rule: the risk of the best predictor from X."""
    encoder_bias: Float[Array, "*batch"]
    """I(X;Y|U), or the mean of D(p(y|x), p(y|u)): the least excess risk of any decoder of U."""
    decoder_error: Float[Array, "*batch"]
    """D(p(y|u), q(y|u)) in the mean over U: what this decoder has not learned."""

    @property
    def risk(self) -> Float[Array, "*batch"]:
        """The risk E[−log q(Y|U)], or E[S(q(·|U), Y)]."""
        return self.conditional_entropy + self.excess_risk

    @property
    def excess_risk(self) -> Float[Array, "*batch"]:
        """The risk minus that of the best predictor from X."""
        return self.encoder_bias + self.decoder_error


def risk_decomposition(
    joint: Joint,
    log_decoder: Float[ArrayLike, "*#batch u y"],
    encoder: Encoder | None = None,
    *,
    base: Real | None = None,
    rule: ScoringRule = log_score,
) -> RiskDecomposition:
    r"""Risk of a decoder, decomposed exactly into the parts due to X, the encoder and the decoder.

    .. math:: \mathbb E[-\log q(Y \mid U)] = H(Y \mid X) + I(X;Y \mid U) + D(p_{Y|U} \,\|\, q \mid p_U)

    It is exact, from the joint distribution: no test set is needed. The decoder error is summed from log-probabilities:
    infinite where log q = −inf at a pair (u, y) with mass, and finite where q merely underflows. The derivative of the
    risk in log q is p(u) (q − p(y | u)).

    Every proper scoring rule splits the risk in this way, with its own entropy G and divergence D. Under
    ``zero_one_score`` the risk is the error rate, of which the encoder's part is what it adds to the least there is.

    .. math:: \mathbb E[S(q_U, Y)] = \mathbb E[G(p_{Y|X})] + \mathbb E[D(p_{Y|X}, p_{Y|U})] + \mathbb E[D(p_{Y|U}, q_U)]

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      log_decoder: natural logarithms log q(y | u) of rows that sum to one, shape ``[..., u, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats); U = X if None.
      base: base of the logarithm in which the parts are given; nats if None. The other rules have no unit.
      rule: the ``ScoringRule``, by which predictions are judged.

    Returns:
      ``RiskDecomposition(conditional_entropy, encoder_bias, decoder_error)``, each of shape ``[...]``, with the
      properties ``risk`` and ``excess_risk``.

    Raises:
      TypeError: if ``rule`` is not a ``ScoringRule``.
      ValueError: if the rule has not as many values as Y has symbols, or ``base`` is given with another rule than
        ``log_score``.

    Source:
      arXiv:2405.20452, Theorem 4; Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation
      (2007), for the other rules.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> uniform = jnp.log(jnp.full((2, 2), 0.5))
      >>> parts = isjax.risk_decomposition(joint, uniform, jnp.array([0, 1, 1]), base=2)
      >>> [round(float(part), 6) for part in (*parts, parts.risk)]
      [0.0, 0.0, 1.0, 1.0]
      >>> parts = isjax.risk_decomposition(joint, uniform, jnp.array([0, 1, 1]), rule=isjax.brier_score)
      >>> [round(float(part), 6) for part in (*parts, parts.risk)]
      [0.0, 0.0, 0.5, 0.5]
    """
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    given_log_decoder, log_decoder = log_decoder, _checks.as_reals(log_decoder, "log_decoder", axes="u y")
    num_codes, num_classes = log_decoder.shape[-2:]
    if num_classes != joint.shape[-1]:
        raise ValueError(f"log_decoder has {num_classes} columns, but Y has {joint.shape[-1]} symbols in joint")
    if encoder is None:
        if num_codes != joint.shape[-2]:
            raise ValueError(f"log_decoder has {num_codes} rows, but X has {joint.shape[-2]} symbols in joint")
        checked = None
    else:
        given = num_codes if _checks.is_deterministic(encoder) else None
        joint, checked = _checks.as_joint_and_encoder(joint, encoder, given)
        if checked.num_codes != num_codes:
            raise ValueError(f"log_decoder has {num_codes} rows, but encoder has {checked.num_codes} codes")
        _checks.broadcast_batch(encoder=(checked.array, checked.num_axes), log_decoder=(log_decoder, 2))
    _checks.broadcast_batch(joint=(joint, 2), log_decoder=(log_decoder, 2))
    _checks.check_log_masses(given_log_decoder, "log_decoder")
    score = _checks.as_score(rule, num_classes, f"Y has {num_classes} symbols in joint of shape {joint.shape}")
    base = _checks.check_base(base)
    if base is not None and rule.name != log_score.name:
        raise ValueError(f"base is the unit of log_score, but rule is {rule.name!r}, which has no unit")
    return _risk_decomposition(joint, log_decoder, checked, score, base=base)


@jax.jit(inline=True, static_argnames="base")
def _risk_decomposition(
    joint: Array, log_decoder: Array, encoder: Codes | Rows | None, score: Score, *, base: float | None
) -> RiskDecomposition:
    bias = jnp.zeros(joint.shape[:-2], joint.dtype) if encoder is None else encoder.loss(joint, score)
    joint_uy = joint if encoder is None else encoder.pushforward(joint)
    aligned = _checks.align_batches(joint=(joint_uy, 2), log_decoder=(log_decoder, 2))
    joint_uy, log_decoder = jnp.broadcast_arrays(*aligned)
    parts = conditional_entropy(joint, score), bias, decoder_error(joint_uy, log_decoder, score)
    batch = jnp.broadcast_shapes(*(part.shape for part in parts))
    return RiskDecomposition(*(in_base(jnp.broadcast_to(part, batch), base) for part in parts))
