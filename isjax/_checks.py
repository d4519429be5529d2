"""What is checked, and how an error reads.

Static facts (rank, alphabet sizes, dtype) are checked always. Facts about values are checked where values are at hand,
that is outside ``jit`` and ``vmap``; under a trace a mistake becomes NaN instead, never a plausible number.
"""

import warnings

import jax
import jax.core
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from isjax._typing import Array, ArrayLike

KNOWN_BAD_JAXLIB = {
    "0.10.2": "returns wrong numbers on a CPU, silently (jax-ml/jax#39103)",
    "0.11.0": "crashes on a CPU in fused reductions (jax-ml/jax#39257)",
}


def warn_of_known_bad_jaxlib(version: str = jaxlib.version.__version__) -> None:
    """Warns where the installed jaxlib is one that computes wrongly."""
    if version in KNOWN_BAD_JAXLIB:
        warnings.warn(
            f"jaxlib {version} {KNOWN_BAD_JAXLIB[version]}: install jaxlib 0.10.1, or a later release than these",
            RuntimeWarning,
            stacklevel=3,
        )


def is_concrete(*arrays: object) -> bool:
    """Whether the values are at hand: none of ``arrays`` is being traced."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))


def probabilities(p: ArrayLike, name: str, *, axes: str = "", what: str = "probabilities") -> Array:
    """``p`` as an array of floats with at least as many axes as ``axes`` names, such as ``"x y"``."""
    array = jnp.asarray(p)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must hold floating-point {what}, got dtype {array.dtype}")
    num_axes = len(axes.split())
    if array.ndim < num_axes:
        needed = ", ".join(axes.split())
        raise ValueError(f"{name} must have shape [..., {needed}], got shape {array.shape}")
    for size, axis in zip(array.shape[array.ndim - num_axes :], axes.split(), strict=True):
        if size == 0:
            raise ValueError(f"{name} has an empty alphabet {axis}: shape {array.shape}")
    return array


def same_alphabet(p: Array, q: Array, axis: int | tuple[int, ...]) -> None:
    """Refuses two distributions whose alphabets, the axes ``axis``, differ."""
    axes_p, axes_q = valid_axes(axis, p, "axis"), valid_axes(axis, q, "axis")
    if axes_p != axes_q:
        raise ValueError(
            f"axis={axis} is not one axis of p, shape {p.shape}, and q, shape {q.shape}: count from the end"
        )
    sizes_p, sizes_q = (tuple(a.shape[i] for i in axes_p) for a in (p, q))
    if sizes_p != sizes_q:
        raise ValueError(f"p and q must share an alphabet, got sizes {sizes_p} in p and {sizes_q} in q")
    batch_p, batch_q = (jnp.moveaxis(a, axes_p, range(-len(axes_p), 0)) for a in (p, q))
    batch_shape(p=(batch_p, len(axes_p)), q=(batch_q, len(axes_p)))


def batch_shape(**arrays: tuple[Array, int]) -> tuple[int, ...]:
    """The common batch shape of arrays, each given with how many of its last axes are alphabets."""
    batches = {name: array.shape[: array.ndim - num_axes] for name, (array, num_axes) in arrays.items()}
    try:
        return jnp.broadcast_shapes(*batches.values())
    except ValueError:
        got = " and ".join(f"{shape} in {name}" for name, shape in batches.items())
        raise ValueError(f"batch axes must broadcast, got {got}") from None


def one_rank(**arrays: tuple[Array, int]) -> list[Array]:
    """Arrays, each given with how many of its last axes are alphabets, with as many batch axes as the one with most."""
    num_axes = len(batch_shape(**arrays))
    return [jnp.expand_dims(a, tuple(range(num_axes - a.ndim + alphabets))) for a, alphabets in arrays.values()]


def valid_axes(axis: int | tuple[int, ...], array: Array, name: str) -> tuple[int, ...]:
    """The axes that ``axis`` names, counted from the end, each of them there and named once."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    outside = [i for i in axes if not -array.ndim <= i < array.ndim]
    if outside:
        raise ValueError(f"{name}={axis} is not an axis of an array of shape {array.shape}")
    negative = tuple(i - array.ndim if i >= 0 else i for i in axes)
    if len(set(negative)) < len(negative) or not negative:
        raise ValueError(f"{name} must name each axis once and at least one, got {axis}")
    return negative


def count(value: int, name: str, *, at_least: int = 1) -> int:
    """A number of things: an integer, ``at_least`` so many."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def tolerance(value: float | None, default: float) -> float:
    """A tolerance: a number, not below zero."""
    if value is None:
        return default
    if not is_concrete(value):
        raise TypeError("tolerance is being traced, but it must be a number")
    if not value >= 0:
        raise ValueError(f"tolerance must be at least 0, got {value}")
    return float(value)


def order(value: float) -> float:
    """The order of an entropy or a divergence: a number, not below zero."""
    if not is_concrete(value):
        raise TypeError("order is being traced, but it chooses a formula: give a number")
    if not value >= 0:
        raise ValueError(f"order must be at least 0, got {value}")
    return float(value)


def unit_interval(value: float, name: str) -> float:
    """A number in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return float(value)


def inside_unit_interval(value: float, name: str) -> float:
    """A number between 0 and 1, and neither of them."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)


def positive(values: np.ndarray, name: str) -> None:
    """Refuses concrete numbers that are not positive and finite."""
    wrong = values[~((values > 0) & np.isfinite(values))]
    if wrong.size:
        raise ValueError(f"{name} must be positive and finite, got {wrong[0]:g}")


def any_encoder(encoder: ArrayLike, num_codes: int | None, *, name: str = "encoder") -> tuple[Array, int]:
    """An encoder of any symbols as an array, and the size of its code alphabet.

    Args:
      encoder: codes ``[..., x]`` (integers) or rows ``[..., x, u]`` (floats).
      num_codes: what the caller gave; for codes it may be left out.
      name: the argument's name.
    """
    array = jnp.asarray(encoder)
    if is_deterministic(array):
        if array.ndim < 1:
            raise ValueError(f"{name} must have shape [..., x], got shape {array.shape}")
        num_codes = array.shape[-1] if num_codes is None else count(num_codes, "num_codes")
        if is_concrete(array) and array.size:
            codes_in_range(np.asarray(array), num_codes, name)
        return array, num_codes
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must hold integer codes or floating-point rows, got dtype {array.dtype}")
    if array.ndim < 2:
        raise ValueError(f"{name} of floats must have shape [..., x, u], got shape {array.shape}")
    if num_codes is not None and num_codes != array.shape[-1]:
        raise ValueError(f"num_codes={num_codes}, but {name} has rows over {array.shape[-1]} codes")
    return array, array.shape[-1]


def encoder(
    encoder: ArrayLike, num_codes: int | None, *, num_symbols: int, of: str, name: str = "encoder"
) -> tuple[Array, int]:
    """``any_encoder`` of ``num_symbols`` symbols; ``of`` says, for the message, where those come from."""
    array = jnp.asarray(encoder)
    axis = -1 if is_deterministic(array) else -2
    if array.ndim >= -axis and array.shape[axis] != num_symbols and jnp.issubdtype(array.dtype, jnp.number):
        raise ValueError(f"{name} has {array.shape[axis]} rows, but {of}")
    return any_encoder(array, num_codes, name=name)


def codes_in_range(codes: np.ndarray, num_codes: int, name: str) -> None:
    """Refuses concrete codes outside 0 … num_codes − 1."""
    outside = codes[(codes < 0) | (codes >= num_codes)]
    if outside.size:
        raise ValueError(f"{name} has code {outside[0]}, but codes must lie in 0…{num_codes - 1}")


def joint_and_encoder(
    joint: ArrayLike, codes: ArrayLike, num_codes: int | None, *, name: str = "encoder", num_axes: int | None = None
) -> tuple[Array, Array, int]:
    """A joint distribution of (X, Y) and an encoder of X, or several along an axis, checked against each other."""
    joint = probabilities(joint, "joint", axes="x y")
    array, num_codes = encoder(
        codes,
        num_codes,
        num_symbols=joint.shape[-2],
        of=f"X has {joint.shape[-2]} symbols in joint of shape {joint.shape}",
        name=name,
    )
    batch_shape(**{"joint": (joint, 2), name: (array, num_axes or (1 if is_deterministic(array) else 2))})
    return joint, array, num_codes


def is_deterministic(encoder: Array) -> bool:
    """Whether an encoder is given by codes rather than by rows of probabilities."""
    return jnp.issubdtype(encoder.dtype, jnp.integer)


def symbols(values: ArrayLike, alphabet_size: int, name: str) -> Array:
    """A sample of symbols ``[..., n]``: integers, inside their alphabet where they are concrete."""
    array = jnp.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must hold integer symbols, got dtype {array.dtype}")
    if array.ndim < 1 or array.shape[-1] == 0:
        raise ValueError(f"{name} must have shape [..., n] with n at least 1, got shape {array.shape}")
    if is_concrete(array):
        concrete = np.asarray(array)
        outside = concrete[(concrete < 0) | (concrete >= alphabet_size)]
        if outside.size:
            raise ValueError(f"{name} has symbol {outside[0]}, but its alphabet is 0…{alphabet_size - 1}")
    return array


def counts(values: ArrayLike, name: str, *, axes: str) -> Array:
    """Counts ``[..., k]`` or ``[..., x, y]``: integers, not negative where they are concrete."""
    array = jnp.asarray(values)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must hold integers, how often each symbol occurs, got dtype {array.dtype}")
    num_axes = len(axes.split())
    if array.ndim < num_axes or 0 in array.shape[array.ndim - num_axes :]:
        needed = ", ".join(axes.split())
        raise ValueError(f"{name} must have shape [..., {needed}], no alphabet empty, got shape {array.shape}")
    if is_concrete(array):
        negative = np.asarray(array)[np.asarray(array) < 0]
        if negative.size:
            raise ValueError(f"{name} must not be negative, got {negative[0]}")
    return array


def num_samples(data: object, name: str) -> int:
    """The common length of the arrays of a pytree along their first axis."""
    leaves = jax.tree.leaves(data)
    if not leaves or any(jnp.ndim(leaf) == 0 for leaf in leaves):
        raise ValueError(f"{name} must hold arrays of shape [n, ...], got {[jnp.shape(leaf) for leaf in leaves]}")
    lengths = {jnp.shape(leaf)[0] for leaf in leaves}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"{name} must hold arrays of one length, at least 1, got lengths {sorted(lengths)}")
    return lengths.pop()


def same_length(**samples: Array) -> None:
    """Refuses samples whose last axes differ."""
    lengths = {name: array.shape[-1] for name, array in samples.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "samples must have one length, got " + ", ".join(f"{n} in {name}" for name, n in lengths.items())
        )


def deterministic(encoder: Array, name: str) -> Array:
    """An encoder given by codes; one given by rows is refused."""
    if not is_deterministic(encoder):
        raise TypeError(f"{name} must hold integer codes here, got dtype {encoder.dtype}")
    return encoder


def one_of(value: str, name: str, allowed: tuple[str, ...]) -> None:
    """Refuses a word that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def one_of_two(**counts: int | None) -> None:
    """Refuses both or neither of two numbers of things; the one that is given is at least 1."""
    given = {name: value for name, value in counts.items() if value is not None}
    if len(given) != 1:
        got = "both" if given else "neither"
        raise ValueError(f"give one of {' and '.join(counts)}, got {got}")
    for name, value in given.items():
        count(value, name)
