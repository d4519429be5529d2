"""What each layer of a network loses, of any network that can be asked for its activations."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import nan_where
from isjax._typing import Array, ArrayLike, Bool, Float, Int, ScalarFloat
from isjax.encoders import activation_codes
from isjax.sufficiency import mutual_information_loss

__all__ = ["LayerLosses", "layer_losses"]


class LayerLosses(NamedTuple):
    """The code that each layer of a network makes of X, and what it loses about Y.

    Source:
      arXiv:2405.20452, Theorem 6.
    """

    codes: Int[Array, "layer x"]
    """Codes of the inputs, 0 … num_codes − 1 in order of first appearance."""
    losses: Float[Array, "layer"]
    """I(X;Y|Û_l), the information about Y that the layer's code has lost."""
    num_codes: Int[Array, "layer"]
    """How many inputs the layer tells apart."""
    is_chain: Bool[Array, ""]
    """Whether each layer's code is a function of that before: if so, losses never fall from layer to layer."""


def layer_losses(
    activations: Callable[[Array], Sequence[Array]],
    inputs: Float[ArrayLike, "x ..."],
    joint: Float[ArrayLike, "x y"],
    *,
    bin_width: float | ScalarFloat | None = None,
    base: float | None = None,
) -> LayerLosses:
    r"""Information about Y that each layer of a network has lost, for a finite set of inputs.

    .. math:: I(X;Y \mid \hat U_l), \qquad \hat U_l = \operatorname{round}(h_l(X) / \text{bin width})

    A layer of real numbers usually tells all inputs apart, and loses nothing: it is with bins of some width that one
    sees what a decoder of that resolution could not recover, and the width is then part of the answer. Bins are centred
    on the multiples of the width, so that a network that itself rounds to them is probed without error.

    Activations that the forward pass quantises make a chain X → U₁ → … → U_L, of which ``layerwise_loss`` of the codes
    gives each layer's own share; activations that are put into bins afterwards need not, and ``is_chain`` tells. It is
    a function of arrays: map it over the parameters saved along training with ``jax.vmap``.

    Args:
      activations: a function from the inputs to every layer's output ``[x, ...]``, such as
        ``lambda inputs: network.apply(params, inputs, method=network.activations)``, or any other network's.
      inputs: what the network sees of each symbol of X, shape ``[x, ...]``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      bin_width: the bins' width; if None, only activations that are equal up to rounding share a code.
      base: base of the logarithm; nats if None.

    Returns:
      ``LayerLosses(codes, losses, num_codes, is_chain)``, with a leading axis of layers. The loss of a layer with
      activations that are not finite is NaN.

    Raises:
      TypeError: if ``inputs``, ``joint`` or a layer's activations do not hold floats.
      ValueError: if the inputs are not X's symbols, there is no layer, a layer has not a row for each input,
        ``bin_width`` is a number not above zero, or ``base`` is not greater than 1.

    Source:
      arXiv:2405.20452, Theorem 6, for a chain; layer by layer otherwise.

    Examples:
      >>> inputs = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
      >>> joint = jnp.array([[0.25, 0.0], [0.0, 0.25], [0.0, 0.25], [0.25, 0.0]])  # Y is the parity
      >>> result = layer_losses(lambda x: [x @ jnp.array([[2.0], [1.0]]), x[:, :1]], inputs, joint, base=2)
      >>> result.losses.tolist(), result.num_codes.tolist(), bool(result.is_chain)
      ([0.0, 1.0], [4, 2], True)
    """
    inputs = _checks.probabilities(inputs, "inputs", axes="x", what="features")
    joint = _checks.probabilities(joint, "joint", axes="x y")
    num_symbols = joint.shape[0]
    if joint.ndim != 2:
        raise ValueError(f"joint must have shape [x, y], got shape {joint.shape}: map over a batch with jax.vmap")
    if inputs.shape[0] != num_symbols:
        raise ValueError(f"inputs has {inputs.shape[0]} rows, but X has {num_symbols} symbols in joint")
    if bin_width is not None and _checks.is_concrete(bin_width) and not np.all(np.asarray(bin_width) > 0):
        raise ValueError(f"bin_width must be above zero, got {bin_width}")
    layers = [_checks.probabilities(h, "activations", axes="x", what="activations") for h in activations(inputs)]
    if not layers or any(h.shape[0] != num_symbols for h in layers):
        raise ValueError(
            f"activations must give arrays of shape [{num_symbols}, ...], one a layer, got {[h.shape for h in layers]}"
        )
    codes = jnp.stack([_codes(h.reshape(num_symbols, -1), bin_width) for h in layers])
    not_finite = jnp.stack([~jnp.all(jnp.isfinite(h)) for h in layers])
    losses = nan_where(not_finite, mutual_information_loss(joint, codes, base=base))
    is_chain = jnp.all(jax.vmap(_is_function_of)(codes[1:], codes[:-1]))
    return LayerLosses(codes, losses, jnp.max(codes, axis=-1) + 1, is_chain)


def _codes(activations: Float[Array, "x d"], bin_width: float | ScalarFloat | None) -> Int[Array, "x"]:
    if bin_width is None:
        return activation_codes(activations)
    return activation_codes(jnp.round(activations / jnp.asarray(bin_width, activations.dtype)), tolerance=0.5)


def _is_function_of(codes: Int[Array, "x"], before: Int[Array, "x"]) -> Bool[Array, ""]:
    """Whether inputs that share a code before share one now."""
    return jnp.all(jax.ops.segment_max(codes, before, codes.size)[before] == codes)
