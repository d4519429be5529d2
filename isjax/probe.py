"""Information lost by each layer of a network whose activations can be computed."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from isjax import _checks
from isjax._checks import Codes
from isjax._display import displayed
from isjax._numerics import in_base, nan_where
from isjax._typing import Array, ArrayLike, Bool, Float, Int, Real, ScalarFloat
from isjax.encoders import activation_codes
from isjax.sufficiency import layerwise_loss

__all__ = ["LayerLosses", "layer_losses", "module_activations"]


@displayed()
class LayerLosses(NamedTuple):
    """The code of X that each layer of a network induces, and the information about Y that it loses.

    Source:
      arXiv:2405.20452, Theorem 6.
    """

    codes: Int[Array, "layer x"]
    """Codes of the inputs, 0 … num_codes − 1 in order of first appearance."""
    losses: Float[Array, "layer"]
    """I(X;Y|Û_l), the information about Y that the layer's code loses."""
    own_losses: Float[Array, "layer"]
    """I(Û_{l−1};Y|Û_l), the part lost in this layer; NaN where its code is not a function of the previous layer's."""
    num_codes: Int[Array, "layer"]
    """Number of inputs that the layer distinguishes."""
    is_chain: Bool[Array, ""]
    """Whether each code is a function of the previous layer's; then each loss is the sum of own losses up to it."""


def layer_losses(
    activations: Callable[[Array], Sequence[Array]],
    inputs: Float[ArrayLike, "x ..."],
    joint: Float[ArrayLike, "x y"],
    *,
    bin_width: Real | ScalarFloat | None = None,
    base: Real | None = None,
) -> LayerLosses:
    r"""Information about Y that each layer of a network has lost, for a finite set of inputs.

    .. math:: I(X;Y \mid \hat U_l), \qquad \hat U_l = \operatorname{round}(h_l(X) / \text{bin width})

    Activations that are real numbers are usually all different, and lose nothing. With bins of some width the loss is
    that of a decoder of this resolution, and depends on the width. Bins are centred on the multiples of the width, so
    that a network that itself rounds to them is measured exactly.

    Activations that the forward pass quantises form a chain X → U₁ → … → U_L, along which each layer has a loss of its
    own. Activations that are binned afterwards need not form one: see ``is_chain``. Map over parameters saved during
    training with ``jax.vmap``.

    A function that ``module_activations`` returns is compiled with the losses, once for each module and shape. Any
    other function is called as it is.

    Args:
      activations: function from the inputs to every layer's output ``[x, ...]``: that of ``module_activations`` for a
        module of Flax, or any other network's.
      inputs: the network's input for each symbol of X, shape ``[x, ...]``.
      joint: distribution of (X, Y), shape ``[x, y]``.
      bin_width: width of the bins; if None, only activations that are equal up to rounding share a code.
      base: base of the logarithm; nats if None.

    Returns:
      ``LayerLosses(codes, losses, own_losses, num_codes, is_chain)``, with a leading axis of layers. The loss of a
      layer with activations that are not finite is NaN.

    Raises:
      ValueError: if the inputs are not X's symbols, there is no layer, a layer has not a row for each input, or
        ``bin_width`` is not above zero.

    Source:
      arXiv:2405.20452, Theorem 6, for a chain; layer by layer otherwise.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> inputs = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
      >>> joint = jnp.array([[0.25, 0.0], [0.0, 0.25], [0.0, 0.25], [0.25, 0.0]])  # Y is the parity
      >>> network = lambda x: [x @ jnp.array([[2.0], [1.0]]), x[:, :1]]
      >>> result = isjax.layer_losses(network, inputs, joint, base=2)
      >>> result.losses.tolist(), result.num_codes.tolist(), bool(result.is_chain)
      ([0.0, 1.0], [4, 2], True)
    """
    inputs = _checks.as_reals(inputs, "inputs", axes="x")
    joint = _checks.as_joint(joint)
    if inputs.shape[0] != joint.shape[0]:
        raise ValueError(f"inputs has {inputs.shape[0]} rows, but X has {joint.shape[0]} symbols in joint")
    if bin_width is not None and _checks.is_concrete(bin_width) and not np.all(np.asarray(bin_width) > 0):
        raise ValueError(f"bin_width must be above zero, got {bin_width}")
    base = _checks.check_base(base)
    if isinstance(activations, _ModuleActivations) and activations.is_hashable:
        return _module_losses(activations, inputs, joint, bin_width, base=base)
    return _losses(_layers(activations, inputs), joint, bin_width, base=base)


def _layers(activations: Callable[[Array], Sequence[ArrayLike]], inputs: Array) -> list[Array]:
    """The activations of every layer, checked."""
    layers = [_checks.as_reals(layer, "activations", axes="x") for layer in activations(inputs)]
    if not layers or any(layer.shape[0] != inputs.shape[0] for layer in layers):
        got = [layer.shape for layer in layers]
        raise ValueError(f"activations must give arrays of shape [{inputs.shape[0]}, ...], one a layer, got {got}")
    return layers


@jax.jit(inline=True, static_argnames="base")
def _module_losses(
    activations: "_ModuleActivations",
    inputs: Array,
    joint: Array,
    bin_width: float | Array | None,
    *,
    base: float | None,
) -> LayerLosses:
    return _losses(_layers(activations, inputs), joint, bin_width, base=base)


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
    losses = in_base(Codes(codes, joint.shape[0]).loss(joint), base)
    own_losses = in_base(layerwise_loss(joint, codes), base)  # codes are traced here, so that a broken chain gives NaN
    _, is_function = jax.vmap(_checks.factor_through)(codes[1:], codes[:-1])
    return LayerLosses(
        codes,
        nan_where(~is_finite, losses),
        nan_where(~is_finite.at[1:].set(is_finite[1:] & is_finite[:-1]), own_losses),
        jnp.max(codes, axis=-1) + 1,
        jnp.all(is_function),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _ModuleActivations:
    """A function from inputs to outputs of layers: a pytree, so that it is an argument of a jitted function."""

    state: PyTree
    arrays: list[ArrayLike | None]
    """Arrays among the leaves of the module's other arguments."""
    definition: Any = dataclasses.field(metadata={"static": True})
    """A linen module, or the graph definition of an nnx module."""
    outputs: Callable[..., dict[str, Any]] = dataclasses.field(metadata={"static": True})
    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    others: tuple = dataclasses.field(metadata={"static": True})
    """The leaves that are not arrays."""
    structure: Any = dataclasses.field(metadata={"static": True})

    @property
    def is_hashable(self) -> bool:
        """Whether all static parts are, as an argument of a jitted function requires."""
        try:
            hash((self.definition, self.others, self.structure))
        except TypeError:
            return False
        return True

    def __call__(self, inputs: Array) -> list[Array]:
        leaves = (other if array is None else array for array, other in zip(self.arrays, self.others, strict=True))
        found = self.outputs(self.definition, self.state, inputs, jax.tree.unflatten(self.structure, leaves))
        for name in self.names:
            if name not in found:
                raise ValueError(f"module has no layer {name!r}, but {', '.join(found)}")
        return [output for name in self.names for output in _each_call(found[name])]


def module_activations(
    module: Any,  # noqa: ANN401 — flax.nnx is loaded only by those who use it
    layers: Sequence[str],
    state: PyTree | None = None,
    **arguments: Any,  # noqa: ANN401 — the module's own
) -> Callable[[Array], list[Array]]:
    """Function from inputs to the outputs of named layers of a Flax module, for ``layer_losses``.

    A layer is named by its path: ``"Dense_0"``, ``"blocks/1/linear"``; a sown intermediate by its name, such as
    ``"blocks/1/hidden"``; the output of the module itself ``"__call__"``. A layer that is called several times gives as
    many outputs. What follows a layer and is not itself a module, a rectifier for instance, is not in its output: sow
    it, or write the function yourself.

    The module is not changed. The function returned is a pytree whose leaves are the state and the arrays among the
    arguments, so that it can be mapped over states saved during training.

    Args:
      module: a ``flax.linen.Module`` or a ``flax.nnx.Module``, called as ``module(inputs, **arguments)``.
      layers: names of the layers, in the order in which the network applies them.
      state: a linen module's variables; the ``nnx.State`` of an nnx module, or the part of it that differs from the
        module's own.
      arguments: other arguments of the module's call, such as ``train=False``.

    Returns:
      A function from inputs ``[x, ...]`` to a list of outputs, arrays of shape ``[x, ...]``.

    Raises:
      TypeError: if ``module`` is not a module of Flax, or a linen module is given without its variables.
      ValueError: from the function returned, if the module has no layer of a name; the message lists those it has.

    Source:
      The intermediates of Flax: ``linen.Module.apply(capture_intermediates=…)`` and ``nnx.capture``.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> network, inputs = isjax.MLP((8,), num_classes=2), jnp.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
      >>> params = jax.vmap(lambda key: network.init(key, inputs))(jax.random.split(jax.random.key(0), 5))
      >>> joint = jnp.array([[0.5, 0.0], [0.0, 0.25], [0.0, 0.25]])
      >>> def probe(params):
      ...     activations = isjax.module_activations(network, ["Dense_0", "_Logits_0"], params)
      ...     return isjax.layer_losses(activations, inputs, joint, bin_width=0.5)
      >>> jax.vmap(probe)(params).losses.shape
      (5, 2)
    """
    if isinstance(module, nn.Module):
        if state is None:
            raise TypeError("state must hold the variables of a linen module, got None")
        definition, outputs = module, _linen_outputs
    else:
        from flax import nnx  # whoever has such a module has loaded it

        if not isinstance(module, nnx.Module):
            raise TypeError(f"module must be a flax.linen.Module or a flax.nnx.Module, got {type(module).__name__}")
        definition, own = nnx.split(module)
        state, outputs = own if state is None else nnx.merge_state(own, state), _nnx_outputs
    leaves, structure = jax.tree.flatten(arguments)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = [leaf if is_one else None for leaf, is_one in zip(leaves, is_array, strict=True)]
    others = tuple(None if is_one else leaf for leaf, is_one in zip(leaves, is_array, strict=True))
    return _ModuleActivations(state, arrays, definition, outputs, tuple(layers), others, structure)


def _each_call(outputs: Any) -> tuple:  # noqa: ANN401
    """Outputs of one layer, one for each call, unless the module reduces what it sows."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _linen_outputs(module: nn.Module, variables: PyTree, inputs: Array, arguments: Mapping) -> dict[str, Any]:
    _, mutated = module.apply(variables, inputs, capture_intermediates=True, mutable=["intermediates"], **arguments)
    return dict(_named(mutated["intermediates"]))


def _named(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _named(value, (*path, key))
        else:
            yield _name((*path, key)), value


def _name(path: tuple) -> str:
    """A path, without the method if that is the call of a submodule."""
    return "/".join(map(str, path[:-1] if len(path) > 1 and path[-1] == "__call__" else path))


def _nnx_outputs(graph: Any, state: PyTree, inputs: Array, arguments: Mapping) -> dict[str, Any]:  # noqa: ANN401
    from flax import nnx

    module = nnx.merge(graph, state, copy=True)  # capturing changes a module
    _, captured = nnx.capture(module, nnx.Intermediate, method_outputs=nnx.Intermediate)(inputs, **arguments)
    return {_name(path): variable.get_value() for path, variable in nnx.to_flat_state(captured)}
