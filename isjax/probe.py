"""What each layer of a network loses, of any network that can be asked for its activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._numerics import in_base, nan_where
from isjax._typing import Array, ArrayLike, Bool, Float, Int, ScalarFloat
from isjax.encoders import activation_codes
from isjax.sufficiency import layerwise_loss, mutual_information_loss

__all__ = ["LayerLosses", "layer_losses", "module_activations"]


class LayerLosses(NamedTuple):
    """The code that each layer of a network makes of X, and what it loses about Y.

    Source:
      arXiv:2405.20452, Theorem 6.
    """

    codes: Int[Array, "layer x"]
    """Codes of the inputs, 0 … num_codes − 1 in order of first appearance."""
    losses: Float[Array, "layer"]
    """I(X;Y|Û_l), the information about Y that the layer's code has lost."""
    own_losses: Float[Array, "layer"]
    """I(Û_{l−1};Y|Û_l), what of it was there a layer before; NaN where the code is no function of that before."""
    num_codes: Int[Array, "layer"]
    """How many inputs the layer tells apart."""
    is_chain: Bool[Array, ""]
    """Whether each layer's code is a function of that before: if so, each loss is the sum of the own ones up to it."""


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

    Activations that the forward pass quantises make a chain X → U₁ → … → U_L, along which each layer has a loss of its
    own; activations that are put into bins afterwards need not, and ``is_chain`` tells. It is a function of arrays: map
    it over the parameters saved along training with ``jax.vmap``.

    Args:
      activations: a function from the inputs to every layer's output ``[x, ...]``: that of ``module_activations`` for a
        module of Flax, or any other network's.
      inputs: what the network sees of each symbol of X, shape ``[x, ...]``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      bin_width: the bins' width; if None, only activations that are equal up to rounding share a code.
      base: base of the logarithm; nats if None.

    Returns:
      ``LayerLosses(codes, losses, own_losses, num_codes, is_chain)``, with a leading axis of layers. The loss of a
      layer with activations that are not finite is NaN.

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
    inputs = _checks.as_reals(inputs, "inputs", axes="x")
    joint = _checks.as_probabilities(joint, "joint", axes="x y")
    num_symbols = joint.shape[0]
    if joint.ndim != 2:
        raise ValueError(f"joint must have shape [x, y], got shape {joint.shape}: map over a batch with jax.vmap")
    if inputs.shape[0] != num_symbols:
        raise ValueError(f"inputs has {inputs.shape[0]} rows, but X has {num_symbols} symbols in joint")
    if bin_width is not None and _checks.is_concrete(bin_width) and not np.all(np.asarray(bin_width) > 0):
        raise ValueError(f"bin_width must be above zero, got {bin_width}")
    layers = [_checks.as_reals(h, "activations", axes="x") for h in activations(inputs)]
    if not layers or any(h.shape[0] != num_symbols for h in layers):
        raise ValueError(
            f"activations must give arrays of shape [{num_symbols}, ...], one a layer, got {[h.shape for h in layers]}"
        )
    return _losses(layers, joint, bin_width, base=_checks.check_base(base))


@jax.jit(inline=True, static_argnames="base")
def _losses(
    layers: Sequence[Array], joint: Array, bin_width: float | Array | None, *, base: float | None
) -> LayerLosses:
    def codes_of(layer: Array) -> Array:
        rows = layer.reshape(layer.shape[0], -1)
        if bin_width is None:
            return activation_codes(rows)
        return activation_codes(jnp.round(rows / jnp.asarray(bin_width, rows.dtype)), tolerance=0.5)

    codes = jnp.stack([codes_of(layer) for layer in layers])
    is_finite = jnp.stack([jnp.all(jnp.isfinite(layer)) for layer in layers])
    losses = mutual_information_loss(joint, codes, base=base)
    own_losses = in_base(layerwise_loss(joint, codes), base)  # traced here, so that a broken chain gives NaN
    _, is_function = jax.vmap(_checks.factor_through)(codes[1:], codes[:-1])
    return LayerLosses(
        codes,
        nan_where(~is_finite, losses),
        nan_where(~is_finite.at[1:].set(is_finite[1:] & is_finite[:-1]), own_losses),
        jnp.max(codes, axis=-1) + 1,
        jnp.all(is_function),
    )


def module_activations(
    module: Any,  # noqa: ANN401 — flax.nnx is loaded only by those who use it
    layers: Sequence[str],
    state: Any = None,  # noqa: ANN401 — a pytree
    **arguments: Any,  # noqa: ANN401 — the module's own
) -> Callable[[Array], list[Array]]:
    """Function from inputs to the outputs of the layers of a Flax module that one names, for ``layer_losses``.

    A layer is named by its path: ``"Dense_0"``, ``"blocks/1/linear"``; what a module sows as an intermediate, by its
    name, such as ``"blocks/1/hidden"``; and the output of the module itself ``"__call__"``. A layer that is called more
    than once counts as so many. What follows a layer and is not itself a module, a rectifier for instance, is not in
    its output: sow it, or write the function yourself.

    The module is not changed. States are pytrees, so that the probe of one maps over a stack of those saved along
    training.

    Args:
      module: a ``flax.linen.Module`` or a ``flax.nnx.Module``, called as ``module(inputs, **arguments)``.
      layers: names of the layers, in the order in which the network passes them.
      state: a linen module's variables; the ``nnx.State`` of an nnx module, or that part of it which differs from the
        module's own.
      arguments: what the module's call takes beside the inputs, such as ``train=False``.

    Returns:
      A function from inputs ``[x, ...]`` to a list of outputs, arrays of shape ``[x, ...]``.

    Raises:
      TypeError: if ``module`` is not a module of Flax, or a linen module is given without its variables.
      ValueError: from the function returned, if the module has no layer of a name; the message lists those it has.

    Source:
      The intermediates of Flax: ``linen.Module.apply(capture_intermediates=…)`` and ``nnx.capture``.

    Examples:
      >>> network, inputs = MLP((8,), num_classes=2), jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
      >>> along = jax.vmap(lambda key: network.init(key, inputs))(jax.random.split(jax.random.key(0), 5))
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> def probe(params):
      ...     activations = module_activations(network, ["Dense_0", "_Logits_0"], params)
      ...     return layer_losses(activations, inputs, joint, bin_width=0.5)
      >>> jax.vmap(probe)(along).losses.shape
      (5, 2)
    """
    if isinstance(module, nn.Module):
        if state is None:
            raise TypeError("state must hold the variables of a linen module, got None")
        outputs = _linen_outputs
    else:
        from flax import nnx  # whoever has such a module has loaded it

        if not isinstance(module, nnx.Module):
            raise TypeError(f"module must be a flax.linen.Module or a flax.nnx.Module, got {type(module).__name__}")
        outputs = _nnx_outputs

    def activations(inputs: Array) -> list[Array]:
        found = outputs(module, state, inputs, arguments)
        for name in layers:
            if name not in found:
                raise ValueError(f"module has no layer {name!r}, but {', '.join(found)}")
        return [output for name in layers for output in _each_call(found[name])]

    return activations


def _each_call(outputs: Any) -> tuple:  # noqa: ANN401
    """Outputs of one layer: a tuple, unless what was sown was reduced by a function of the module's own."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _linen_outputs(module: Any, variables: Any, inputs: Array, arguments: Mapping) -> dict[str, Any]:  # noqa: ANN401
    _, mutated = module.apply(variables, inputs, capture_intermediates=True, mutable=["intermediates"], **arguments)
    return dict(_named(mutated["intermediates"]))


def _named(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _named(value, (*path, key))
        else:
            yield _name((*path, key)), value


def _name(path: tuple) -> str:
    """A path, without the method if that is the call of a module inside."""
    return "/".join(map(str, path[:-1] if len(path) > 1 and path[-1] == "__call__" else path))


def _nnx_outputs(module: Any, state: Any, inputs: Array, arguments: Mapping) -> dict[str, Any]:  # noqa: ANN401
    from flax import nnx

    graph, own = nnx.split(module)
    state = own if state is None else nnx.merge_state(own, state)
    copy = nnx.merge(graph, state, copy=True)  # capturing changes a module
    _, captured = nnx.capture(copy, nnx.Intermediate, method_outputs=nnx.Intermediate)(inputs, **arguments)
    return {_name(path): variable.get_value() for path, variable in nnx.to_flat_state(captured)}
