"""Flax networks from the features of a code to the logits of Y, with or without a code of their own between."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from isjax import _checks
from isjax._typing import Array, Float

__all__ = ["MLP", "MLP32", "MLP256", "MLP1024", "Decoded", "EncoderDecoder", "Network", "as_network", "check_network"]

Network = nn.Module | Callable[[int], nn.Module]
"""A Flax module, or a function of the number of classes that gives one, such as ``isjax.MLP32``."""

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    name: getattr(nn, name) for name in ("relu", "tanh", "gelu", "silu", "elu", "leaky_relu", "sigmoid", "softplus")
}


class MLP(nn.Module):
    r"""Multilayer perceptron, by default with rectified linear units.

    .. math:: h_l = \sigma(W_l h_{l-1} + b_l), \qquad \text{logits} = W h_L + b

    Parameters have the dtype of the inputs. Initial weights are truncated normals of variance 1/fan-in, initial biases
    zero. Features that are zero in all rows of the inputs of ``init`` do not count in the first fan-in. With all codes
    as these inputs, a problem that is padded with zero features has the same initial network, and the same training.

    Attributes:
      hidden: width of each hidden layer; none gives a linear classifier.
      num_classes: number of logits.
      activation: σ: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``, ``"elu"``, ``"leaky_relu"``, ``"sigmoid"`` or
        ``"softplus"``.

    Source:
      arXiv:2405.20452, the numerical study; LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), for the initial
      weights.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> network = isjax.MLP((32, 16), num_classes=4)
      >>> params = network.init(jax.random.key(0), jnp.ones((8, 3)))
      >>> network.apply(params, jnp.ones((8, 3))).shape
      (8, 4)
      >>> [h.shape for h in network.apply(params, jnp.ones((8, 3)), method=network.activations)]
      [(8, 32), (8, 16), (8, 4)]
    """

    hidden: Sequence[int]
    num_classes: int
    activation: str = "relu"

    def __post_init__(self) -> None:
        self.hidden = _checks.as_widths(self.hidden)
        _checks.check_integer(self.num_classes, "num_classes")
        _checks.check_one_of(self.activation, "activation", tuple(_ACTIVATIONS))
        super().__post_init__()

    def __call__(self, inputs: Float[Array, "*n d"]) -> Float[Array, "*n y"]:
        """Logits of Y, shape ``[..., y]``."""
        return self.activations(inputs)[-1]

    @nn.compact
    def activations(self, inputs: Float[Array, "*n d"]) -> list[Float[Array, "*n _"]]:
        """The output of every layer: of the hidden layers after the activation, then the logits."""
        initializer = _initializer_of_used_features(inputs)
        outputs = []
        for width in self.hidden:
            layer = nn.Dense(width, kernel_init=initializer, param_dtype=inputs.dtype, dot_general=_dot_general)
            inputs = _ACTIVATIONS[self.activation](layer(inputs))
            initializer = _truncated_normals
            outputs.append(inputs)
        return [*outputs, _Logits(self.num_classes, initializer)(inputs)]


class Decoded(NamedTuple):
    """What a network with a code V of its own gives; any pair of such arrays will do."""

    rows: Float[Array, "*n v"]
    """The code of each input: rows r(v | u), which sum to one."""
    logits: Float[Array, "v y"]
    """Logits of Y for each code."""


class EncoderDecoder(nn.Module):
    r"""An encoder with K codes, and a decoder of them, which learn together.

    .. math:: r(v \mid u) = \operatorname{softmax}_v(\text{encoder}(u)), \qquad
              q(y \mid v) = \operatorname{softmax}_y(\text{decoder}(v))

    A soft code is random: its objective is the expected cross-entropy −Σ w(u,y) Σ_v r(v|u) log q(y|v), the risk of a
    decoder that sees V. (−log Σ_v r q would be another model, a mixture without a code.) A hard code is the likeliest
    v, and has the gradient of the softmax.

    Attributes:
      hidden: width of each hidden layer of the encoder.
      num_codes: K, the number of codes.
      num_classes: number of logits.
      decoder_hidden: width of each hidden layer of the decoder; without, it is a table of logits.
      quantisation: ``"soft"`` or ``"hard"``.
      activation: as of ``MLP``.

    Source:
      arXiv:2405.20452, Theorem 6: I(X;Y|V) = I(X;Y|U) + I(U;Y|V); Bengio, Léonard and Courville, Estimating or
      propagating gradients through stochastic neurons (2013), for the gradient of a hard code.

    Examples:
      >>> import isjax, jax, jax.numpy as jnp
      >>> network = isjax.EncoderDecoder((32,), num_codes=8, num_classes=4, quantisation="hard")
      >>> params = network.init(jax.random.key(0), jnp.ones((16, 3)))
      >>> rows, logits = network.apply(params, jnp.ones((16, 3)))
      >>> rows.shape, logits.shape, float(rows.max())
      ((16, 8), (8, 4), 1.0)
    """

    hidden: Sequence[int]
    num_codes: int
    num_classes: int
    decoder_hidden: Sequence[int] = ()
    quantisation: str = "soft"
    activation: str = "relu"

    def __post_init__(self) -> None:
        self.hidden = _checks.as_widths(self.hidden)
        self.decoder_hidden = _checks.as_widths(self.decoder_hidden)
        _checks.check_integer(self.num_codes, "num_codes")
        _checks.check_integer(self.num_classes, "num_classes")
        _checks.check_one_of(self.quantisation, "quantisation", ("soft", "hard"))
        _checks.check_one_of(self.activation, "activation", tuple(_ACTIVATIONS))
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: Float[Array, "*n d"]) -> Decoded:
        """The code of each input, shape ``[..., v]``, and the logits of each code, shape ``[v, y]``."""
        soft = nn.softmax(MLP(self.hidden, self.num_codes, self.activation, name="encoder")(inputs))
        if self.decoder_hidden:
            decoder = MLP(self.decoder_hidden, self.num_classes, self.activation, name="decoder")
            logits = decoder(jnp.eye(self.num_codes, dtype=inputs.dtype))
        else:
            shape = self.num_codes, self.num_classes
            logits = self.param("decoder", _truncated_normals, shape, inputs.dtype)
        if self.quantisation == "soft":
            return Decoded(soft, logits)
        hard = jax.nn.one_hot(jnp.argmax(soft, axis=-1), self.num_codes, dtype=inputs.dtype)
        return Decoded(hard + (soft - jax.lax.stop_gradient(soft)), logits)


class _Logits(nn.Module):
    """A linear layer whose kernel is stored as ``[y, h]``: contiguous along the hidden units.

    With the layout ``[h, y]`` of ``nn.Dense`` a step of SGD with 1024 hidden units takes more than twice as long on a
    CPU.
    """

    num_classes: int
    initializer: nn.initializers.Initializer

    @nn.compact
    def __call__(self, inputs: Float[Array, "*n h"]) -> Float[Array, "*n y"]:
        def rows(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
            return self.initializer(key, shape[::-1], dtype).T

        kernel = self.param("kernel", rows, (self.num_classes, inputs.shape[-1]), inputs.dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.num_classes,), inputs.dtype)
        return _product_with_rows(inputs, kernel) + bias


# The gradient of a weight matrix is a product with a transposed left factor, for which XLA's CPU kernels are half as
# fast as for others. These derivatives transpose the narrower factor beforehand: a step of SGD on one core then takes
# 33.6 µs instead of 41.1 with 1024 hidden units, and 10.5 instead of 12.5 with 256.


@jax.custom_jvp
def _product(inputs: Float[Array, "*n d"], kernel: Float[Array, "d h"]) -> Float[Array, "*n h"]:
    return inputs @ kernel


@_product.defjvp
def _product_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (inputs, kernel), (d_inputs, d_kernel) = primals, tangents
    columns = jax.lax.optimization_barrier(jnp.moveaxis(inputs, -1, 0))
    return inputs @ kernel, d_inputs @ kernel + jnp.tensordot(columns, d_kernel, axes=(0, 0))


@jax.custom_jvp
def _product_with_rows(inputs: Float[Array, "*n h"], kernel: Float[Array, "y h"]) -> Float[Array, "*n y"]:
    return inputs @ kernel.T


@_product_with_rows.defjvp
def _product_with_rows_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (inputs, kernel), (d_inputs, d_kernel) = primals, tangents
    columns = jax.lax.optimization_barrier(jnp.tensordot(d_kernel, inputs, axes=(-1, -1)))
    return inputs @ kernel.T, d_inputs @ kernel.T + jnp.moveaxis(columns, 0, -1)


def _dot_general(inputs: Array, kernel: Array, *_: Any, **__: Any) -> Array:  # noqa: ANN401  (as flax calls it)
    return _product(inputs, kernel)


def _initializer_of_used_features(inputs: Float[Array, "*n d"]) -> nn.initializers.Initializer:
    """Truncated normals of variance 1/fan-in, where features that are zero in all rows do not count in the fan-in."""
    num_used = jnp.maximum(jnp.sum(jnp.any(inputs != 0, axis=tuple(range(inputs.ndim - 1)))), 1)

    def initializer(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return _truncated_normals(key, shape, dtype) * jnp.sqrt(shape[0] / num_used).astype(dtype)

    return initializer


def _truncated_normals(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """The numbers of ``nn.initializers.lecun_normal()`` for a shape [fan-in, fan-out].

    They are drawn along one axis: on a CPU XLA unrolls loops over short ones, and takes two to six times as long to
    compile them.
    """
    numbers = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype).reshape(shape)
    deviation = jnp.sqrt(jnp.asarray(1 / shape[0], dtype)) / jnp.asarray(_DEVIATION, dtype)
    return numbers * deviation


_DEVIATION = 0.87962566103423978  # of a standard normal that is truncated to −2…2


def MLP32(num_classes: int) -> MLP:
    """``MLP((32,), num_classes)``, the narrow network of arXiv:2405.20452."""
    return MLP((32,), num_classes)


def MLP256(num_classes: int) -> MLP:
    """``MLP((256,), num_classes)``, the medium network of arXiv:2405.20452."""
    return MLP((256,), num_classes)


def MLP1024(num_classes: int) -> MLP:
    """``MLP((1024,), num_classes)``, the wide network of arXiv:2405.20452."""
    return MLP((1024,), num_classes)


def as_network(network: Network, num_classes: int) -> nn.Module:
    """A module for a number of classes.

    Args:
      network: a Flax module, or a function of the number of classes that gives one.
      num_classes: number of classes of Y.

    Returns:
      The module.

    Raises:
      TypeError: if it is neither.

    Examples:
      >>> import isjax
      >>> isjax.networks.as_network(isjax.MLP32, 4)
      MLP(
          # attributes
          hidden = (32,)
          num_classes = 4
          activation = 'relu'
      )
    """
    such_as = "such as isjax.MLP((32,), num_classes=4)"
    made = network
    if callable(network) and not _is_instance_of_flax(network):
        try:
            made = network(num_classes)
        except TypeError as error:
            if isinstance(network, type):
                what = f"got the class {network.__name__}: give an instance"
                raise TypeError(f"network must be a Flax linen module, {such_as}, {what}") from None
            raise TypeError(
                f"network must be a Flax linen module, {such_as}, or a function of the number of classes: {error}"
            ) from None
    if not isinstance(made, nn.Module):
        raise TypeError(f"network must be a Flax linen module, {such_as}, got {_described(made)}")
    try:
        hash(made)
    except TypeError as error:
        raise TypeError(f"network must be hashable, with tuples in place of lists: {error}") from None
    return made


def _is_instance_of_flax(network: object) -> bool:
    """Whether it is a module of linen or of nnx; a class of modules is none."""
    return not isinstance(network, type) and any(of.__module__.startswith("flax.") for of in type(network).__mro__)


def _described(network: object) -> str:
    """What a wrong network is, and what to do about it."""
    is_nnx = any(of.__module__.startswith("flax.nnx") for of in type(network).__mro__)
    return f"{type(network).__name__}" + (": flax.nnx.bridge.ToLinen makes one of an nnx module" if is_nnx else "")


def check_network(network: nn.Module, features: Any, num_classes: int) -> int | None:  # noqa: ANN401
    """Refuses a network that a sweep cannot train; nothing is computed.

    Args:
      network: a Flax module.
      features: what it sees, shape ``[n, d]``, or its shape and dtype.
      num_classes: number of classes of Y.

    Returns:
      The number of its own codes; None if it gives logits.

    Raises:
      ValueError: if its output has another shape, it has no parameters or other variables than those, or it draws
        random numbers in its call, as dropout does.

    Examples:
      >>> import isjax, jax.numpy as jnp
      >>> isjax.networks.check_network(isjax.EncoderDecoder((8,), 5, 2), jnp.ones((6, 3)), 2)
      5
    """
    features = jax.ShapeDtypeStruct(features.shape, features.dtype)
    name, key = type(network).__name__, jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    try:
        variables = jax.eval_shape(network.init, key, features)
        others = [collection for collection in variables if collection != "params"]
        if others:
            raise ValueError(
                f"network {name} has the variables {others[0]!r} beside its parameters, as batch statistics are, which "
                "change what it computes: only parameters are trained"
            )
        if not jax.tree.leaves(variables):
            raise ValueError(f"network {name} has no parameters: there is nothing to train")
        output = jax.eval_shape(network.apply, variables, features)
    except flax.errors.InvalidRngError:
        raise ValueError(
            f"network {name} draws random numbers in its call, as dropout does: a decoder must be a function of its "
            "input, so set deterministic=True or leave that layer out"
        ) from None
    num_inputs = features.shape[0]
    if isinstance(output, tuple | list) and len(output) == 2:
        (rows, logits), needed = (jnp.shape(part) for part in output), f"rows [n, v] and logits [v, y={num_classes}]"
        if len(rows) == 2 and rows[0] == num_inputs and logits == (rows[1], num_classes):
            return rows[1]
        raise ValueError(f"network {name} must give {needed} for n={num_inputs} inputs, got shapes {rows} and {logits}")
    if getattr(output, "shape", None) != (num_inputs, num_classes):
        raise ValueError(
            f"network must give logits of shape [n, y] = {(num_inputs, num_classes)}, one for each class of Y in "
            f"joint, got {_shapes(output)} from {name}; one with a code gives rows [n, v] and logits [v, y]"
        )
    return None


def _shapes(output: object) -> str:
    return ", ".join(f"shape {jnp.shape(leaf)}" for leaf in jax.tree.leaves(output)) or repr(output)
