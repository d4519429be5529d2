"""What an encoder loses: the mutual information loss, sufficiency, layers, and the exact split of a risk.

For U = η(X), the least excess cross-entropy risk of any decoder that sees U alone is I(X;Y|U) (arXiv:2405.20452,
Theorem 4); the encoder is sufficient where that is zero, and then Y = f(W, U) with a noise W (Theorem 1).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import (
    distribution_function,
    divergence_from_log,
    in_base,
    information,
    information_through,
    nan_where,
    normalise,
)
from isjax._typing import Array, ArrayLike, Bool, Encoder, Float, Int, Joint
from isjax.distributions import pushforward_unchecked
from isjax.measures import conditional_entropy

__all__ = [
    "FunctionalRepresentation",
    "RiskDecomposition",
    "functional_representation",
    "is_sufficient",
    "layerwise_loss",
    "mutual_information_loss",
    "risk_decomposition",
]


def mutual_information_loss(
    joint: Joint, encoder: Encoder, *, num_codes: int | None = None, base: float | None = None
) -> Float[Array, "*batch"]:
    r"""Information about Y that is lost when X is replaced by its code U.

    .. math:: I(X;Y \mid U) = \sum_{x,u} p(x)\,\eta(u \mid x)\, D\bigl(p(\cdot \mid x) \,\|\, p(\cdot \mid u)\bigr) \ge
    0

    It is the least excess cross-entropy risk of any decoder that sees U alone, and it is zero if and only if U is
    sufficient for Y. Summed without cancellation: never negative, and accurate in float32 where it is many orders
    smaller than I(X;Y). The derivative in p(x, y) is the mean over u of log(p(y | x)/p(y | u)), that in η(u | x) is
    p(x) D(p(· | x) ‖ p(· | u)); in a cell of zero mass each is taken as zero (the first's limit is minus infinity).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.
      base: base of the logarithm; nats if None.

    Returns:
      The loss, shape ``[...]``; NaN where a traced code lies outside 0 … num_codes − 1.

    Raises:
      TypeError: if ``joint`` does not hold floats, or ``encoder`` neither integers nor floats.
      ValueError: if the encoder's rows are not X's symbols, a concrete code lies outside 0 … num_codes − 1, or ``base``
        is not greater than 1.

    Source:
      arXiv:2405.20452, Theorems 1 and 4.

    Examples:
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> round(float(mutual_information_loss(joint, jnp.array([0, 0, 1]))), 3)
      0.477
    """
    joint, encoder, num_codes = _checks.joint_and_encoder(joint, encoder, num_codes)
    num_axes = 1 if _checks.is_deterministic(encoder) else 2
    joint, encoder = _checks.one_rank(joint=(joint, 2), encoder=(encoder, num_axes))
    p_y_given_u = normalise(pushforward_unchecked(joint, encoder, num_codes))
    if _checks.is_deterministic(encoder):
        p_y_given_code = jnp.take_along_axis(p_y_given_u, encoder[..., None], axis=-2, mode="clip")
        return in_base(information(joint, p_y_given_code), base)
    return in_base(information_through(joint, encoder, p_y_given_u), base)


def is_sufficient(
    joint: Joint, encoder: Encoder, *, num_codes: int | None = None, tolerance: float | None = None
) -> Bool[Array, "*batch"]:
    r"""Whether the code U keeps all that X says about Y.

    .. math:: I(X;Y \mid U) \le \text{tolerance}

    The loss is quadratic in the differences between posteriors, so that joints whose rows are equal up to a rounding
    of relative size r have losses of order r²: the default tolerance is the square of 128 units of the dtype (2.3e-10
    nats in float32, 8e-28 in float64).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats).
      num_codes: size of the code alphabet, for integer codes; as many as X has symbols if None.
      tolerance: the largest loss, in nats, that counts as none.

    Returns:
      Booleans, shape ``[...]``.

    Raises:
      TypeError: if ``joint`` does not hold floats, or ``encoder`` neither integers nor floats.
      ValueError: if the encoder's rows are not X's symbols, or a concrete code lies outside 0 … num_codes − 1.

    Source:
      arXiv:2405.20452, Definition 2 and Theorem 1.

    Examples:
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> bool(is_sufficient(joint, jnp.array([0, 1, 1]))), bool(is_sufficient(joint, jnp.array([0, 0, 1])))
      (True, False)
    """
    loss = mutual_information_loss(joint, encoder, num_codes=num_codes)
    return loss <= (float(128 * jnp.finfo(loss.dtype).eps) ** 2 if tolerance is None else tolerance)


def layerwise_loss(joint: Joint, encoders: Int[ArrayLike, "*#batch layer x"]) -> Float[Array, "*batch layer"]:
    r"""Information about Y that each layer of a chain of encoders loses, in nats.

    .. math:: I(X;Y \mid U_L) = \sum_{l=1}^L I(U_{l-1};Y \mid U_l), \qquad X = U_0 \to U_1 \to \dots \to U_L

    Each term is a loss itself, of the code U_l of U_{l−1}: computed directly, not as a difference, so never negative.

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      encoders: codes of X at each layer, 0 … x − 1, shape ``[..., layer, x]``; each layer's are a function of the codes
        at the layer before. ``compact_codes`` and ``activation_codes`` make codes that are small enough.

    Returns:
      The losses, shape ``[..., layer]``; their sum is the loss of the last layer. NaN at a layer whose traced codes are
      outside the alphabet, or no function of those before.

    Raises:
      TypeError: if ``joint`` does not hold floats, or ``encoders`` not integers: the sum needs deterministic encoders.
      ValueError: if the codes are not of X's symbols, or, where they are concrete, outside 0 … x − 1 or no function of
        the codes at the layer before.

    Source:
      arXiv:2405.20452, Theorem 6.

    Examples:
      >>> joint = jnp.array([[0.25, 0.0], [0.0, 0.25], [0.125, 0.125], [0.125, 0.125]])
      >>> losses = layerwise_loss(joint, jnp.array([[0, 1, 2, 2], [0, 1, 1, 1]]))
      >>> [round(float(loss), 3) for loss in losses]
      [0.0, 0.131]
    """
    encoders = jnp.asarray(encoders)
    _checks.deterministic(encoders, "encoders")
    if encoders.ndim < 2 or encoders.shape[-2] == 0:
        raise ValueError(f"encoders must have shape [..., layer, x], got shape {encoders.shape}")
    joint, encoders, _ = _checks.joint_and_encoder(joint, encoders, None, name="encoders", num_axes=2)
    if _checks.is_concrete(encoders):
        _refuse_broken_chain(encoders)
    joint, encoders = _checks.one_rank(joint=(joint, 2), encoders=(encoders, 2))
    return jnp.vectorize(lambda *one: chain_losses(*one)[0], signature="(x,y),(l,x)->(l)")(joint, encoders)


def chain_losses(
    joint: Float[Array, "x y"], encoders: Int[Array, "layer x"], *, base: float | None = None
) -> tuple[Float[Array, "layer"], Bool[Array, "layer"]]:
    """Each layer's own loss, NaN where its codes are no function of those before, and whether they are."""

    def layer(codes: Array, before: Array) -> tuple[Array, Array]:
        of_code, is_function = _as_function(codes, before)
        joint_before = pushforward_unchecked(joint, before, before.size)
        return nan_where(~is_function, mutual_information_loss(joint_before, of_code, base=base)), is_function

    inputs = jnp.arange(encoders.shape[-1], dtype=encoders.dtype)
    return jax.vmap(layer)(encoders, jnp.concatenate([inputs[None], encoders[:-1]]))


def _as_function(codes: Int[Array, "x"], before: Int[Array, "x"]) -> tuple[Int[Array, "x"], Bool[Array, ""]]:
    """Codes as a function of the codes before, and whether they are one; a code that does not occur goes to 0."""
    of_code = jnp.maximum(jax.ops.segment_max(codes, before, codes.size), 0)
    return of_code, jnp.all(of_code[jnp.clip(before, 0, codes.size - 1)] == codes)


def _refuse_broken_chain(encoders: Int[Array, "*batch layer x"]) -> None:
    with jax.ensure_compile_time_eval():
        is_function = jnp.vectorize(_as_function, signature="(x),(x)->(x),()")(
            encoders[..., 1:, :], encoders[..., :-1, :]
        )[1]
    broken = np.argwhere(~np.asarray(is_function))
    if broken.size:
        layer = int(broken[0, -1]) + 1
        raise ValueError(f"encoders must form a chain, but layer {layer} is no function of layer {layer - 1}")


class FunctionalRepresentation(NamedTuple):
    """Y = outcome[W, U] with a noise W that is independent of U.

    Source:
      arXiv:2405.20452, Theorem 1.
    """

    noise: Float[Array, "*batch w"]
    """Distribution of W."""
    outcome: Int[Array, "*batch w u"]
    """Y as a function of W and U."""


def functional_representation(kernel: Float[ArrayLike, "*batch u y"]) -> FunctionalRepresentation:
    r"""Channel from U to Y as a function of U and of a noise that is independent of U.

    .. math:: p(y \mid u) = \sum_w p(w)\, 1\{f(w, u) = y\}

    The distribution functions of all rows cut [0, 1] into |U|(|Y| − 1) + 1 intervals, some of them empty; W is the
    interval that a uniform number falls into, and f(w, u) the y whose step of row u holds that interval.

    Args:
      kernel: rows p(y | u), shape ``[..., u, y]``.

    Returns:
      ``FunctionalRepresentation(noise, outcome)`` of shapes ``[..., w]`` and ``[..., w, u]`` with
      w = |U|(|Y| − 1) + 1.

    Raises:
      TypeError: if ``kernel`` does not hold floats.
      ValueError: if it has fewer than two axes.

    Source:
      arXiv:2405.20452, Theorem 1.

    Examples:
      >>> noise, outcome = functional_representation(jnp.array([[0.5, 0.5], [0.25, 0.75]]))
      >>> noise.tolist(), outcome.tolist()
      ([0.25, 0.25, 0.5], [[0, 0], [0, 1], [1, 1]])
    """
    kernel = _checks.probabilities(kernel, "kernel", axes="u y")

    def one(kernel: Array) -> tuple[Array, Array]:
        steps = distribution_function(kernel, 1)[:, :-1]
        ends = jnp.sort(jnp.concatenate([steps.ravel(), jnp.ones(1, steps.dtype)]))
        starts = jnp.concatenate([jnp.zeros(1, steps.dtype), ends[:-1]])
        return ends - starts, jnp.sum(steps[None] <= starts[:, None, None], axis=-1).astype(int)

    return FunctionalRepresentation(*jnp.vectorize(one, signature="(u,y)->(w),(w,u)")(kernel))


class RiskDecomposition(NamedTuple):
    """The cross-entropy risk of a decoder of U, in three parts of which none is negative; in the unit of ``base``.

    Source:
      arXiv:2405.20452, Theorem 4.
    """

    conditional_entropy: Float[Array, "*batch"]
    """H(Y|X): what no learner can avoid."""
    encoder_bias: Float[Array, "*batch"]
    """I(X;Y|U): what no decoder of U can avoid."""
    decoder_error: Float[Array, "*batch"]
    """D(p(y|u) ‖ q(y|u)) in the mean over U: what this decoder has not learnt."""

    @property
    def risk(self) -> Float[Array, "*batch"]:
        """The cross-entropy risk E[−log q(Y|U)]."""
        return self.conditional_entropy + self.excess_risk

    @property
    def excess_risk(self) -> Float[Array, "*batch"]:
        """The risk above H(Y|X), that of the best predictor from X."""
        return self.encoder_bias + self.decoder_error


def risk_decomposition(
    joint: Joint,
    log_decoder: Float[ArrayLike, "*#batch u y"],
    encoder: Encoder | None = None,
    *,
    base: float | None = None,
) -> RiskDecomposition:
    r"""Cross-entropy risk of a decoder, split exactly into what X, the encoder and the decoder answer for.

    .. math:: \mathbb E[-\log q(Y \mid U)] = H(Y \mid X) + I(X;Y \mid U) + D(p_{Y|U} \,\|\, q \mid p_U)

    Exact, from the joint distribution: no test set. The decoder error is summed from log-probabilities: infinite where
    log q = −inf at a pair (u, y) with mass, and not where q merely underflows. The risk's derivative in log q is
    p(u) (q − p(y | u)).

    Args:
      joint: distribution of (X, Y), shape ``[..., x, y]``.
      log_decoder: natural logarithms log q(y | u), rows of probabilities that sum to one, shape ``[..., u, y]``.
      encoder: codes ``[..., x]`` (integers) or rows p(u | x) ``[..., x, u]`` (floats); U = X if None.
      base: base of the logarithm in which the parts are given; nats if None.

    Returns:
      ``RiskDecomposition(conditional_entropy, encoder_bias, decoder_error)``, each of shape ``[...]``, with the
      properties ``risk`` and ``excess_risk``.

    Raises:
      TypeError: if ``joint`` or ``log_decoder`` does not hold floats, or ``encoder`` neither integers nor floats.
      ValueError: if the encoder's rows are not X's symbols, the decoder's rows not the codes or its columns not Y's
        symbols, a concrete code lies outside the decoder's rows, or ``base`` is not greater than 1.

    Source:
      arXiv:2405.20452, Theorem 4.

    Examples:
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> parts = risk_decomposition(joint, jnp.log(jnp.array([[0.5, 0.5], [0.5, 0.5]])), jnp.array([0, 1, 1]), base=2)
      >>> [round(float(part), 6) for part in (*parts, parts.risk)]
      [0.0, 0.0, 1.0, 1.0]
    """
    joint = _checks.probabilities(joint, "joint", axes="x y")
    log_q = _checks.probabilities(log_decoder, "log_decoder", axes="u y")
    num_symbols, num_classes = joint.shape[-2:]
    num_codes = log_q.shape[-2]
    if log_q.shape[-1] != num_classes:
        raise ValueError(f"log_decoder has {log_q.shape[-1]} columns, but Y has {num_classes} symbols in joint")
    if encoder is None:
        if num_codes != num_symbols:
            raise ValueError(f"log_decoder has {num_codes} rows, but X has {num_symbols} symbols in joint")
        bias, joint_uy = jnp.zeros(joint.shape[:-2], joint.dtype), joint
    else:
        joint, codes, size = _checks.joint_and_encoder(joint, encoder, _codes_of_decoder(encoder, num_codes))
        if size != num_codes:
            raise ValueError(f"log_decoder has {num_codes} rows, but encoder has {size} codes")
        bias = mutual_information_loss(joint, codes, num_codes=num_codes, base=base)
        joint_uy = pushforward_unchecked(joint, codes, num_codes)
    _checks.batch_shape(joint=(joint_uy, 2), log_decoder=(log_q, 2))
    error = in_base(divergence_from_log(*jnp.broadcast_arrays(joint_uy, log_q)), base)
    return RiskDecomposition(*jnp.broadcast_arrays(conditional_entropy(joint, base=base), bias, error))


def _codes_of_decoder(encoder: ArrayLike, num_codes: int) -> int | None:
    """The size of the code alphabet as the decoder's rows give it; a stochastic encoder has its own."""
    return num_codes if _checks.is_deterministic(jnp.asarray(encoder)) else None
