"""Argument checks, and how an error reads.

Shapes, dtypes and options are always checked. Values are checked where they are concrete, that is outside ``jit`` and
``vmap``; under a trace an invalid code gives NaN instead of an error, never a plausible number.

``as_…`` functions return the argument in the form that the library computes with, ``check_…`` functions raise or return
a Python number.
"""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeGuard

import jax
import jax.core
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from isjax._numerics import (
    LOG,
    Score,
    information,
    information_through,
    nan_where,
    normalise,
    sum_by_label,
    sum_of_products,
)
from isjax._typing import Array, ArrayLike, Axis, Bool, Float, Int

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


def as_probabilities(p: ArrayLike, name: str, *, axes: str = "", over: int | None = None) -> Array:
    """Distributions as an array of floats whose last axes are those that ``axes`` names, such as ``"x y"``.

    Concrete masses that are negative, or do not sum to one over the last ``over`` axes (all that are named if None),
    are refused, unless ``over`` is 0. NaN passes: NaN in, NaN out.
    """
    array = _as_floats(p, name, axes, "probabilities")
    if num_axes := len(axes.split()) if over is None else over:
        check_masses(p, name, tuple(range(-num_axes, 0)))
    return array


def as_distribution(p: ArrayLike, name: str, axis: Axis | None) -> tuple[Array, tuple[int, ...]]:
    """Distributions over ``axis`` (None: all), checked as by ``as_probabilities``, and the axes, from the end."""
    array = _as_floats(p, name, "", "probabilities")
    axes = tuple(range(-array.ndim, 0)) if axis is None else resolve_axes(axis, array, "axis")
    check_masses(p, name, axes)
    return array, axes


def as_mass(values: ArrayLike, name: str) -> Array:
    """Counts or masses as an array of floats; negative and infinite ones are refused where they are concrete."""
    if (dtype := _dtype_of(values)) is None:
        raise TypeError(f"{name} must be an array of counts or masses, got {_described(values)}")
    if not jnp.issubdtype(dtype, jnp.integer) and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must hold integers or floating-point numbers, got dtype {dtype}")
    array = jnp.asarray(values, float) if jnp.issubdtype(dtype, jnp.integer) else jnp.asarray(values)
    if (concrete := _values_at_hand(values)) is not None:
        concrete = np.asarray(concrete)
        wrong = concrete[(concrete < 0) | np.isinf(concrete)]
        if wrong.size:
            raise ValueError(f"{name} must be finite and not negative, got {wrong[0]:g}")
    return array


def check_some_mass(mass: ArrayLike, name: str, axes: tuple[int, ...]) -> None:
    """Refuses concrete masses that are all zero over ``axes``."""
    if (concrete := _values_at_hand(mass)) is not None:
        empty = np.max(np.asarray(concrete), axis=axes, initial=0) == 0
        if np.any(empty) or not concrete.size:
            where = _at(np.argwhere(empty)[0]) if np.any(empty) else ""
            raise ValueError(f"{name} has no mass{where}, so it gives no distribution")


def check_no_nan(p: ArrayLike, name: str) -> None:
    """Refuses a concrete NaN."""
    if (concrete := _values_at_hand(p)) is not None and np.isnan(values := np.asarray(concrete)).any():
        index = tuple(np.argwhere(np.isnan(values))[0])
        raise ValueError(f"{name} must be finite, got nan{_at(index)}")


def as_unit_interval(p: ArrayLike, name: str) -> Array:
    """Probabilities of single events as an array of floats; refused outside [0, 1] where they are concrete."""
    array = _as_floats(p, name, "", "probabilities")
    if (concrete := _values_at_hand(p)) is not None:
        values = np.asarray(concrete)
        outside = values[(values < 0) | (values > 1)]
        if outside.size:
            raise ValueError(f"{name} must lie in [0, 1], got {outside[0]:g}")
    return array


def check_log_masses(values: ArrayLike, name: str) -> None:
    """Refuses concrete numbers that are not the logarithms of distributions over the last axis; NaN passes."""
    if (log := _values_at_hand(values)) is None:
        return
    with jax.ensure_compile_time_eval():
        masses = np.exp(log) if isinstance(log, np.ndarray) else jnp.exp(log)
    _, sums = _least_and_sums(masses, (-1,))
    off = np.where(np.isnan(sums), 0, np.abs(sums - 1))
    if np.any(off > max(mass_tolerance(log.dtype), 8 * float(jnp.finfo(log.dtype).eps))):
        index = np.unravel_index(np.argmax(off), off.shape)
        raise ValueError(
            f"{name} must hold log-probabilities, but exp({name}) sums to {sums[index]:.6g}{_at(index)}, not 1: "
            "take jax.nn.log_softmax of logits, jnp.log of probabilities"
        )


def mass_tolerance(dtype: Any) -> float:  # noqa: ANN401  (jax has no type for what it takes as a dtype)
    """How far from one the sum of a distribution of this dtype may be.

    Dividing by a sum in the same dtype leaves at most 3e-7 in float32 and 0.007 in bfloat16, for 2²⁴ cells too. Masses
    that were computed in float32 and then widened are accepted as well, and one per cent is refused in every dtype.
    """
    return min(max(float(jnp.finfo(dtype).eps) ** 0.5, 1e-6), 0.009)


def _values_at_hand(values: ArrayLike) -> Array | np.ndarray | None:
    """The array, if this process can read its values: it is not being traced, and on no other host."""
    if not isinstance(values, jax.Array):
        return np.asarray(values)
    return values if is_concrete(values) and values.is_fully_addressable else None


def check_masses(p: ArrayLike, name: str, axes: tuple[int, ...], tolerance: float | None = None) -> None:
    """Refuses concrete masses that are negative, or do not sum to one over ``axes``; NaN passes."""
    if (concrete := _values_at_hand(p)) is None:
        return
    least, sums = _least_and_sums(concrete, axes)
    tolerance = mass_tolerance(concrete.dtype) if tolerance is None else tolerance
    if least >= 0 and np.all(np.abs(sums - 1) <= tolerance):
        return
    values = np.asarray(concrete).astype(np.float64)
    if np.any(values < 0):
        index = np.unravel_index(np.argmin(np.where(np.isnan(values), np.inf, values)), values.shape)
        raise ValueError(
            f"{name} must not be negative, got {values[index]:.6g}{_at(index)}: logits become probabilities by "
            "jax.nn.softmax"
        )
    if np.any(np.isinf(values)):
        raise ValueError(f"{name} must be finite, got inf{_at(np.argwhere(np.isinf(values))[0])}")
    off = np.where(np.isnan(sums), 0, np.abs(sums - 1))
    if np.any(off > tolerance):
        index = np.unravel_index(np.argmax(off), off.shape)
        digits = 6 if off[index] > 1e-5 else 10
        raise ValueError(f"{name} sums to {sums[index]:.{digits}g}{_at(index)}, not 1: {_remedy(values, name, axes)}")


_ON_HOST = 2**16  # masses; more of an array of JAX are summed by a compiled program, where they lie


def _least_and_sums(p: Array | np.ndarray, axes: tuple[int, ...]) -> Any:  # noqa: ANN401  (numpy's scalars or arrays)
    """The least mass, and the sums over ``axes``."""
    if isinstance(p, np.ndarray) or (p.size < _ON_HOST and all(device.platform == "cpu" for device in p.devices())):
        values = np.asarray(p)
        return values.min(initial=np.inf), values.sum(axis=axes, dtype=np.float64)
    with jax.ensure_compile_time_eval():  # a concrete array may be met while something else is traced
        return jax.device_get(_device_least_and_sums(p, axes=axes))


@jax.jit(static_argnames="axes")
def _device_least_and_sums(p: Array, *, axes: tuple[int, ...]) -> tuple[Array, Array]:
    return jnp.min(p), jnp.sum(p, axis=axes, dtype=p.dtype if p.dtype.itemsize >= 4 else jnp.float32)


def _at(index: Sequence[Any] | np.ndarray) -> str:
    return f" at [{', '.join(map(str, index))}]" if len(index) else ""


def _remedy(values: np.ndarray, name: str, axes: tuple[int, ...]) -> str:
    """What to do about masses that do not sum to one."""
    if len(axes) > 1 and np.allclose(values.sum(axis=-1), 1, atol=1e-3):
        return "its rows do, as p(y|x) does; isjax.joint_distribution multiplies them by a distribution of X"
    if len(axes) > 1:
        return "for counts use isjax.empirical_joint or isjax.normalise"
    over = f", axis={', '.join(map(str, axes))}" if values.ndim > 1 else ""
    return f"isjax.normalise({name}{over}) divides by the sum"


def as_reals(values: ArrayLike, name: str, *, axes: str = "") -> Array:
    """Real numbers that are not probabilities (features, moments, logarithms), as ``as_probabilities``."""
    return _as_floats(values, name, axes, "numbers")


def _as_floats(values: ArrayLike, name: str, axes: str, what: str) -> Array:
    check_floating(values, name, what)
    array = jnp.asarray(values)
    names = axes.split()
    if array.ndim < len(names):
        raise ValueError(f"{name} must have shape [..., {', '.join(names)}], got shape {array.shape}")
    for size, axis in zip(array.shape[array.ndim - len(names) :], names, strict=True):
        if size == 0:
            raise ValueError(f"{name} has an empty alphabet {axis}: shape {array.shape}")
    return array


def as_joint(joint: ArrayLike) -> Array:
    """One joint distribution of (X, Y), without batch axes."""
    array = as_probabilities(joint, "joint", axes="x y", over=0)
    if array.ndim != 2:
        raise ValueError(f"joint must have shape [x, y], got shape {array.shape}: map over a batch with jax.vmap")
    check_masses(joint, "joint", (-2, -1))
    return array


def check_same_alphabet(p: Array, q: Array, axis: Axis) -> None:
    """Refuses two distributions whose alphabets, the axes ``axis``, differ."""
    axes_p, axes_q = resolve_axes(axis, p, "axis"), resolve_axes(axis, q, "axis")
    if axes_p != axes_q:
        raise ValueError(
            f"axis={axis} means different axes of p, shape {p.shape}, and q, shape {q.shape}: count from the end"
        )
    sizes_p, sizes_q = (tuple(a.shape[i] for i in axes_p) for a in (p, q))
    if sizes_p != sizes_q:
        raise ValueError(f"p and q must share an alphabet, got sizes {sizes_p} in p and {sizes_q} in q")
    batch_p, batch_q = (tuple(n for i, n in enumerate(a.shape, -a.ndim) if i not in axes_p) for a in (p, q))
    _broadcast_shapes(p=batch_p, q=batch_q)


def broadcast_batch(**arrays: tuple[Array, int]) -> tuple[int, ...]:
    """The common batch shape of arrays, each given with its number of alphabet axes, which come last."""
    return _broadcast_shapes(**{name: a.shape[: a.ndim - num_axes] for name, (a, num_axes) in arrays.items()})


def _broadcast_shapes(**batches: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*batches.values())
    except ValueError:
        got = " and ".join(f"{shape} in {name}" for name, shape in batches.items())
        raise ValueError(f"batch axes must broadcast, got {got}") from None


def align_batches(**arrays: tuple[Array, int]) -> list[Array]:
    """Arrays, each given with its number of alphabet axes, expanded to the same number of batch axes."""
    num_axes = len(broadcast_batch(**arrays))
    return [jnp.expand_dims(a, tuple(range(num_axes - a.ndim + alphabets))) for a, alphabets in arrays.values()]


def resolve_axes(axis: Axis, array: Array | np.ndarray, name: str) -> tuple[int, ...]:
    """The axes in ``axis``, counted from the end; refuses axes that do not exist or are named twice."""
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in axes):
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {axis!r}")
    axes = tuple(int(i) for i in axes)
    outside = [i for i in axes if not -array.ndim <= i < array.ndim]
    if outside:
        raise ValueError(f"{name}={axis} is not an axis of an array of shape {array.shape}")
    negative = tuple(i - array.ndim if i >= 0 else i for i in axes)
    if len(set(negative)) < len(negative) or not negative:
        raise ValueError(f"{name} must name each axis once and at least one, got {axis}")
    return negative


def check_key(key: Any) -> None:  # noqa: ANN401
    """Refuses anything but one key of ``jax.random.key``."""
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.ndim:
            raise TypeError(
                f"key must be a key of jax.random.key, got keys of shape {key.shape}: map over them with jax.vmap"
            )
        return
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        raise TypeError(f"key must be a key of jax.random.key, got {key}: use jax.random.key({key})")
    if isinstance(key, np.ndarray | jax.Array):
        raise TypeError(
            f"key must be a key of jax.random.key, got an array of dtype {key.dtype} and shape {key.shape}: use "
            "jax.random.key(seed), or jax.random.wrap_key_data for an old key"
        )
    raise TypeError(f"key must be a key of jax.random.key, got {_described(key)}: use jax.random.key(0)")


def is_infinite(length: object) -> bool:
    """Whether a data length is ``math.inf``; a traced one is not."""
    return isinstance(length, float | np.floating) and bool(length == math.inf)


def check_integer(value: int, name: str, *, at_least: int = 1) -> int:
    """An integer that is at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def as_sequence(values: object, name: str, *, such_as: str) -> tuple[Any, ...]:
    """The values of a sequence, or of an array with one axis, that is not empty."""
    if not is_sequence(values):
        raise TypeError(f"{name} must be a sequence, such as {such_as}, got {values!r}")
    if not len(values):
        raise ValueError(f"{name} must name at least one value, got none")
    return tuple(np.asarray(values)) if isinstance(values, jax.Array) else tuple(values)


def is_sequence(values: object) -> TypeGuard[Sequence[Any]]:
    """Whether these are several values: a sequence that is not a string, or an array with axes."""
    if isinstance(values, np.ndarray | jax.Array):
        return values.ndim > 0
    return isinstance(values, Sequence) and not isinstance(values, str)


def as_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Widths of the hidden layers of a network."""
    if not is_sequence(widths):
        raise TypeError(f"hidden must be a sequence of widths, such as (32,), got {widths!r}")
    return tuple(check_integer(width, "hidden") for width in widths)


def as_problem_arrays(joint: ArrayLike, codes: ArrayLike, features: ArrayLike) -> tuple[Array, Array, Array]:
    """The arrays of a problem, checked against each other; the codes in the default integer type."""
    joint, features = as_joint(joint), as_reals(features, "features", axes="u d")
    if features.ndim != 2:
        raise ValueError(f"features must have shape [u, d], got shape {features.shape}")
    if np.shape(codes) != joint.shape[:1]:
        raise ValueError(f"codes must have shape {joint.shape[:1]}, one for each symbol of X, got {np.shape(codes)}")
    return joint, as_codes(codes, features.shape[0], "codes"), features


def check_steps(max_steps: int | ArrayLike) -> None:
    """Refuses a maximal number of steps that is not an integer of at least 1, unless it is a JAX array."""
    if not isinstance(max_steps, jax.Array):
        check_integer(max_steps, "max_steps")  # pyright: ignore[reportArgumentType]


def check_tolerance(value: float | None, default: float) -> float:
    """A tolerance: a number that is at least zero."""
    if value is None:
        return default
    if not is_concrete(value):
        raise TypeError("tolerance is being traced, but it must be a number")
    if not _is_number(value):
        raise TypeError(f"tolerance must be a number, got {value!r}")
    if not value >= 0:
        raise ValueError(f"tolerance must be at least 0, got {value}")
    return float(value)


def check_traceable_tolerance(value: ArrayLike | None) -> None:
    """Refuses a concrete tolerance that is below zero."""
    dtype = _dtype_of(0.0 if value is None else value)
    if dtype is None or not jnp.issubdtype(dtype, jnp.number):
        raise TypeError(f"tolerance must be a number, got {value!r}")
    if value is not None and is_concrete(value) and not np.all(np.asarray(value) >= 0):
        raise ValueError(f"tolerance must be at least 0, got {value}")


def _is_number(value: object) -> TypeGuard[float]:
    """Whether this is one concrete number."""
    if isinstance(value, np.ndarray | jax.Array):
        return value.ndim == 0 and is_concrete(value) and jnp.issubdtype(value.dtype, jnp.number)
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def check_order(value: float) -> float:
    """The order of an entropy or a divergence: a number that is at least zero."""
    if not is_concrete(value):
        raise TypeError("order is being traced, but it chooses a formula: give a number")
    if not _is_number(value):
        raise TypeError(f"order must be a number, got {value!r}")
    if not value >= 0:
        raise ValueError(f"order must be at least 0, got {value}")
    return float(value)


def check_base(base: float | None) -> float | None:
    """The base of a logarithm: a number greater than 1, or None for nats."""
    if base is None:
        return None
    if not _is_number(base) or not math.isfinite(base) or not base > 1:
        raise ValueError(f"base must be a number greater than 1 (None for nats, 2 for bits), got {base!r}")
    return float(base)


def check_unit_interval(value: float, name: str) -> float:
    """A number in [0, 1]."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return float(value)


def check_open_unit_interval(value: float, name: str) -> float:
    """A number in (0, 1)."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number between 0 and 1, got {value!r}")
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)


def check_positive(values: np.ndarray, name: str) -> None:
    """Refuses numbers that are not positive and finite."""
    wrong = values[~((values > 0) & np.isfinite(values))]
    if wrong.size:
        raise ValueError(f"{name} must be positive and finite, got {wrong[0]:g}")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """A deterministic encoder, checked: the code of each symbol of X, in the default integer type."""

    array: Int[Array, "*batch x"]
    num_codes: int = dataclasses.field(metadata={"static": True})

    num_axes = 1

    def pushforward(self, joint: Float[Array, "*#batch x y"]) -> Float[Array, "*#batch u y"]:
        """``p(u, y) = Σ_x p(x, y) 1{η(x) = u}``; NaN throughout an encoder with a code outside its alphabet."""

        def one(joint: Array, codes: Array) -> Array:
            outside = jnp.any((codes < 0) | (codes >= self.num_codes))
            return nan_where(outside, sum_by_label(joint, codes, self.num_codes))

        joint, codes = align_batches(joint=(joint, 2), encoder=(self.array, 1))
        return jnp.vectorize(one, signature="(x,y),(x)->(u,y)")(joint, codes)

    def select(self, rows: Float[Array, "*#batch u y"]) -> Float[Array, "*#batch x y"]:
        """``rows[η(x)]`` for each symbol x."""
        rows, codes = align_batches(rows=(rows, 2), encoder=(self.array, 1))
        return jnp.take_along_axis(rows, codes[..., None], axis=-2, mode="clip")

    def kernel(self) -> Float[Array, "*batch x u"]:
        """Rows p(u | x); NaN throughout an encoder with a code outside its alphabet."""
        outside = jnp.any((self.array < 0) | (self.array >= self.num_codes), axis=-1)
        return nan_where(outside[..., None, None], jax.nn.one_hot(self.array, self.num_codes, dtype=float))

    def loss(self, joint: Float[Array, "*#batch x y"], score: Score = LOG) -> Float[Array, "*#batch"]:
        """The mean of D(p(·|x), p(·|u)) under a scoring rule: ``I(X;Y|U)`` in nats under the logarithmic one."""
        p_y_given_code = self.select(normalise(self.pushforward(joint)))
        joint, p_y_given_code = align_batches(joint=(joint, 2), codes=(p_y_given_code, 2))
        return information(joint, p_y_given_code, score)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """A stochastic encoder, checked: rows p(u | x)."""

    array: Float[Array, "*batch x u"]

    num_axes = 2

    @property
    def num_codes(self) -> int:
        """Size of the code alphabet."""
        return self.array.shape[-1]

    def kernel(self) -> Float[Array, "*batch x u"]:
        """The rows."""
        return self.array

    def pushforward(self, joint: Float[Array, "*#batch x y"]) -> Float[Array, "*#batch u y"]:
        """``p(u, y) = Σ_x p(x, y) η(u|x)``."""
        joint, rows = align_batches(joint=(joint, 2), encoder=(self.array, 2))
        return sum_of_products(rows, joint)

    def loss(self, joint: Float[Array, "*#batch x y"], score: Score = LOG) -> Float[Array, "*#batch"]:
        """The mean of D(p(·|x), p(·|u)) under a scoring rule: ``I(X;Y|U)`` in nats under the logarithmic one."""
        joint, rows = align_batches(joint=(joint, 2), encoder=(self.array, 2))
        return information_through(joint, rows, normalise(self.pushforward(joint)), score)


def as_score(rule: Any, num_classes: int, of: str) -> Score:  # noqa: ANN401  (its class is in a later layer)
    """The formulas of a scoring rule, checked against the number of classes."""
    score = getattr(rule, "formulas", None)
    if not isinstance(score, Score):
        example = "isjax.squared_error(values)" if callable(rule) else "isjax.brier_score"
        raise TypeError(f"rule must be a ScoringRule, such as {example}, got {_described(rule)}")
    if score.num_classes not in (None, num_classes):
        raise ValueError(f"rule has {score.num_classes} values, but {of}")
    return score


def as_values(values: ArrayLike | Sequence[float]) -> Array:
    """Values of the symbols of Y as floats, shape ``[y]``; they are finite where they are concrete."""
    dtype = _dtype_of(values)
    if dtype is None or not (jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)):
        raise TypeError(f"values must be an array of numbers, one for each symbol of Y, got {_described(values)}")
    if np.ndim(values) != 1 or not np.size(values):
        raise ValueError(f"values must have shape [y], one for each symbol of Y, got shape {np.shape(values)}")
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    if (concrete := _values_at_hand(values)) is not None and not np.isfinite(known := np.asarray(concrete)).all():
        index = tuple(np.argwhere(~np.isfinite(known))[0])
        raise ValueError(f"values must be finite, got {known[index]}{_at(index)}")
    array = jnp.asarray(values)
    return array if jnp.issubdtype(dtype, jnp.floating) else array.astype(float)


def is_deterministic(encoder: ArrayLike) -> bool:
    """Whether an encoder is given by codes (integers) rather than by rows."""
    dtype = _dtype_of(encoder)
    return dtype is not None and jnp.issubdtype(dtype, jnp.integer)


def as_encoder(
    encoder: ArrayLike,
    num_codes: int | None,
    *,
    name: str = "encoder",
    num_symbols: int | None = None,
    of: str = "",
) -> Codes | Rows:
    """An encoder from integer codes ``[..., x]`` or floating-point rows ``[..., x, u]``.

    Args:
      encoder: codes or rows.
      num_codes: what the caller gave; for codes, as many as there are symbols if None.
      name: the argument's name.
      num_symbols: how many symbols there must be; any number if None.
      of: for the message, where that number comes from.
    """
    if (dtype := _dtype_of(encoder)) is None:
        raise TypeError(
            f"{name} must hold integer codes or floating-point rows, got {_described(encoder)}: isjax.encode_labels "
            "turns labels into codes"
        )
    encoder = encoder if hasattr(encoder, "dtype") else np.asarray(encoder)
    shape = np.shape(encoder)
    is_codes = is_deterministic(encoder)
    if not is_codes and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must hold integer codes or floating-point rows, got dtype {dtype}")
    num_axes = 1 if is_codes else 2
    if len(shape) < num_axes:
        needed = f"{name} must have shape [..., x]" if is_codes else f"{name} of floats must have shape [..., x, u]"
        raise ValueError(f"{needed}, got shape {shape}")
    if num_symbols is not None and shape[-num_axes] != num_symbols:
        raise ValueError(f"{name} has {shape[-num_axes]} rows, but {of}")
    if not is_codes:
        if num_codes is not None and num_codes != shape[-1]:
            raise ValueError(f"num_codes={num_codes}, but {name} has rows over {shape[-1]} codes")
        return Rows(as_probabilities(encoder, name, axes="x u", over=1))
    size = shape[-1] if num_codes is None else check_integer(num_codes, "num_codes")
    return Codes(as_codes(encoder, size, name), size)


def as_codes(codes: ArrayLike, num_codes: int, name: str) -> Array:
    """Integer codes in the default integer type; outside 0 … num_codes − 1 they are refused where they are concrete."""
    check_integers(codes, name, "codes")
    if is_concrete(codes):
        values = np.asarray(codes)
        outside = values[(values < 0) | (values >= num_codes)]
        if outside.size:
            raise ValueError(f"{name} has code {outside[0]}, but codes must lie in 0…{num_codes - 1}")
    return jnp.asarray(codes, int)


def as_labels(values: ArrayLike, name: str) -> ArrayLike:
    """Integers of which only equality matters: replaced by their ranks if jax's integers cannot hold them."""
    check_integers(values, name, "codes")
    if isinstance(values, jax.Array):
        return values
    values = np.asarray(values)
    narrow = values.astype(jax.dtypes.canonicalize_dtype(values.dtype))
    if np.array_equal(narrow, values):
        return narrow
    return np.unique(values, return_inverse=True)[1].reshape(values.shape)


def _dtype_of(values: object) -> Any:  # noqa: ANN401
    """The dtype of an array or of nested lists of numbers; None for anything that JAX cannot compute with."""
    if isinstance(values, jax.Array):
        return None if jnp.issubdtype(values.dtype, jax.dtypes.extended) else values.dtype
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except Exception:  # whatever a stranger's __array__ raises, or lists of unequal lengths
        return None
    if array.dtype.kind not in "biufcV" or array.dtype.names:
        return None
    try:
        return jnp.result_type(values) if hasattr(values, "dtype") else jnp.result_type(array)
    except TypeError:
        return None


def _described(values: object) -> str:
    """What a wrong argument is, in a few words."""
    if isinstance(values, str | int | float | None):
        return repr(values)
    kind = f"{type(values).__name__}"
    if isinstance(values, np.ndarray | jax.Array):
        return f"an array of dtype {values.dtype}"
    first = next((v for v in values if isinstance(v, str)), None) if isinstance(values, Sequence) else None
    return f"a {kind} of strings, such as {first!r}" if first is not None else f"a {kind}"


def check_floating(values: ArrayLike, name: str, what: str) -> None:
    """Refuses an array that does not hold floats."""
    dtype = _dtype_of(values)
    if dtype is None:
        raise TypeError(f"{name} must be an array of floating-point {what}, got {_described(values)}")
    if jnp.issubdtype(dtype, jnp.integer) and what == "probabilities":
        raise TypeError(
            f"{name} must hold floating-point probabilities, got dtype {dtype}: for counts use isjax.normalise"
        )
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name} must hold floating-point {what}, got dtype {dtype}")


def check_integers(values: ArrayLike, name: str, what: str) -> None:
    """Refuses an array that does not hold integers."""
    dtype = _dtype_of(values)
    if dtype is None:
        raise TypeError(
            f"{name} must be an array of integer {what}, got {_described(values)}: isjax.encode_labels turns "
            "labels into integers"
        )
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{name} must hold integer {what}, got dtype {dtype}")


def as_joint_and_encoder(joint: ArrayLike, encoder: ArrayLike, num_codes: int | None) -> tuple[Array, Codes | Rows]:
    """A joint distribution of (X, Y) and an encoder of X, checked against each other."""
    array = as_probabilities(joint, "joint", axes="x y")
    of = f"X has {array.shape[-2]} symbols in joint of shape {array.shape}"
    checked = as_encoder(encoder, num_codes, num_symbols=array.shape[-2], of=of)
    broadcast_batch(joint=(array, 2), encoder=(checked.array, checked.num_axes))
    return array, checked


def as_joint_and_codes(joint: ArrayLike, encoder: ArrayLike, num_codes: int | None) -> tuple[Array, Codes]:
    """``as_joint_and_encoder`` where the encoder must be deterministic."""
    joint, checked = as_joint_and_encoder(joint, encoder, num_codes)
    if not isinstance(checked, Codes):
        raise TypeError(f"encoder must hold integer codes here, got dtype {checked.array.dtype}")
    return joint, checked


def factor_through(codes: Int[Array, "x"], before: Int[Array, "x"]) -> tuple[Int[Array, "x"], Bool[Array, ""]]:
    """The map from earlier codes to codes, both in 0 … x − 1, and whether there is one; unused codes map to 0."""
    code_of_code = jnp.maximum(jax.ops.segment_max(codes, before, codes.size), 0)
    return code_of_code, jnp.all(code_of_code[jnp.clip(before, 0, codes.size - 1)] == codes)


def as_symbols(values: ArrayLike, alphabet_size: int, name: str) -> Array:
    """Samples of symbols ``[..., n]`` in the default integer type; outside their alphabet they are refused if concrete.

    Under a trace they are cast all the same, and a symbol that does not fit becomes negative.
    """
    check_integers(values, name, "symbols")
    shape = np.shape(values)
    if not shape or shape[-1] == 0:
        raise ValueError(f"{name} must have shape [..., n] with n at least 1, got shape {shape}")
    if is_concrete(values):
        concrete = np.asarray(values)
        outside = concrete[(concrete < 0) | (concrete >= alphabet_size)]
        if outside.size:
            raise ValueError(f"{name} has symbol {outside[0]}, but its alphabet is 0…{alphabet_size - 1}")
    return jnp.asarray(values, int)


def as_sizes(shape: object, of: str) -> tuple[int, ...]:
    """Alphabet sizes, one for each of those that ``of`` names, such as ``"(|X|, |Y|)"``."""
    if not is_sequence(shape) or len(shape) != of.count("|") // 2:
        raise (ValueError if is_sequence(shape) else TypeError)(f"shape must be {of}, got {shape!r}")
    return tuple(check_integer(size, "shape") for size in shape)


def check_numbers(values: ArrayLike, name: str) -> None:
    """Refuses what is not a real number, or an array of them."""
    dtype = _dtype_of(values)
    if dtype is None or not (jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)):
        raise TypeError(f"{name} must be a number, got {_described(values)}")


def check_learning_rate(rate: ArrayLike) -> None:
    """Refuses a learning rate that is not one number, or is concrete and not positive and finite."""
    dtype = _dtype_of(rate)
    if dtype is None or not jnp.issubdtype(dtype, jnp.number) or np.ndim(rate):
        raise TypeError(f"learning_rate must be one number, got {_described(rate)}")
    if is_concrete(rate):
        check_positive(np.asarray(rate, np.float64), "learning_rate")


def check_num_cells(sizes: tuple[int, ...], name: str) -> None:
    """Refuses alphabet sizes whose product exceeds the default integer type, which indexes the cells."""
    dtype = jax.dtypes.canonicalize_dtype(int)
    if math.prod(sizes) > jnp.iinfo(dtype).max:
        raise ValueError(f"{name}={sizes} has {math.prod(sizes)} cells, more than {dtype} can index")


def as_counts(values: ArrayLike, name: str, *, axes: str) -> Array:
    """Counts ``[..., k]`` or ``[..., x, y]`` as floats: integers, not negative where they are concrete."""
    if (dtype := _dtype_of(values)) is None:
        raise TypeError(f"{name} must be an array of integers, how often each symbol occurs, got {_described(values)}")
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"{name} must hold integers, how often each symbol occurs, got dtype {dtype}")
    shape = np.shape(values)
    num_axes = len(axes.split())
    if len(shape) < num_axes or 0 in shape[len(shape) - num_axes :]:
        needed = ", ".join(axes.split())
        raise ValueError(f"{name} must have shape [..., {needed}], no alphabet empty, got shape {shape}")
    if is_concrete(values):
        values = np.asarray(values)
        negative = values[values < 0]
        if negative.size:
            raise ValueError(f"{name} must not be negative, got {negative[0]}")
    return jnp.asarray(values, float)


def count_samples(data: object, name: str) -> int:
    """The common length of the arrays of a pytree along their first axis."""
    leaves = jax.tree.leaves(data)
    if not leaves or any(jnp.ndim(leaf) == 0 for leaf in leaves):
        raise ValueError(f"{name} must hold arrays of shape [n, ...], got {[jnp.shape(leaf) for leaf in leaves]}")
    lengths = {jnp.shape(leaf)[0] for leaf in leaves}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"{name} must hold arrays of one length, at least 1, got lengths {sorted(lengths)}")
    return lengths.pop()


def check_same_length(**samples: Array | np.ndarray) -> None:
    """Refuses samples whose last axes differ."""
    lengths = {name: array.shape[-1] for name, array in samples.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "samples must have one length, got " + ", ".join(f"{n} in {name}" for name, n in lengths.items())
        )


def check_no_batch(*samples: Array) -> None:
    """Refuses samples that have batch axes."""
    batched = [sample.shape for sample in samples if sample.ndim > 1]
    if batched:
        raise ValueError(f"samples must have shape [n], got {batched[0]}: map over a batch with jax.vmap")


def check_one_of(value: str, name: str, allowed: tuple[str, ...]) -> None:
    """Refuses a value that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_exactly_one(**counts: int | None) -> None:
    """Refuses both or neither of two counts; the one that is given must be at least 1."""
    given = {name: value for name, value in counts.items() if value is not None}
    if len(given) != 1:
        got = "both" if given else "neither"
        example = f", such as {next(iter(counts))}=2000" if not given else ""
        raise ValueError(f"give one of {' and '.join(counts)}, got {got}{example}")
    for name, value in given.items():
        check_integer(value, name)
