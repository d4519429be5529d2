"""How results are shown: a few lines with shapes and the numbers one looks for, as text and as an HTML table."""

import contextlib
import dataclasses
import functools
import html
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

_Class = TypeVar("_Class", bound=type)

_SHOWN = 6  # numbers of an array; a longer one is shown by its shape and range
_READ = 2**16  # numbers that are read to find the range
_WIDTH = 60  # characters of a value
_LINE = 100  # characters of a call


def displayed(*derived: str) -> Callable[[_Class], _Class]:
    """Shows instances of a ``NamedTuple`` or dataclass by its fields, then the properties ``derived``.

    These are shown only where all arrays are concrete, since they compute. Equality, hashing, pickling and the pytree
    stay as they are.
    """

    def decorate(cls: _Class) -> _Class:
        def as_html(self: Any) -> str:  # noqa: ANN401
            return _as_html(type(self).__name__, _rows(self, derived))

        return _with(cls, lambda self: _as_text(type(self).__name__, _rows(self, derived)), as_html)

    return decorate


def displayed_as_call(cls: _Class) -> _Class:
    """Shows instances of a dataclass of options as the call that makes them, without the options left at defaults."""

    def text(self: Any) -> str:  # noqa: ANN401
        given = [(field.name, getattr(self, field.name), field.default) for field in dataclasses.fields(self)]
        changed = [f"{name}={_option(value)}" for name, value, default in given if not _is(value, default)]
        line = f"{type(self).__name__}({', '.join(changed)})"
        return line if len(line) <= _LINE else f"{type(self).__name__}(\n    " + ",\n    ".join(changed) + ",\n)"

    return _with(cls, text, lambda self: f"<code>{html.escape(text(self))}</code>")


def _with(cls: _Class, text: Callable[[Any], str], as_html: Callable[[Any], str]) -> _Class:
    """The class, with these displays; it may be a ``NamedTuple``, which inherits from nothing else."""
    for name, method in (("__repr__", text), ("_repr_html_", as_html)):
        setattr(cls, name, method)
    return cls


def _option(value: object) -> str:
    """An option, as it is written; in a call that is being traced, its shapes."""
    leaves = jax.tree.leaves(value)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return f"({', '.join(map(describe, leaves))})"
    return as_text(value)


def as_text(value: object) -> str:
    """An option on one line, without addresses: a function by its name, a Flax module by its fields."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {as_text(part)}" for name, part in value.items()) + "}"
    if isinstance(value, functools.partial):
        keywords = (f"{name}={as_text(part)}" for name, part in value.keywords.items())
        return f"partial({', '.join([*map(as_text, (value.func, *value.args)), *keywords])})"
    if isinstance(value, type | types.FunctionType):
        return f"{value.__module__.partition('.')[0]}.{value.__qualname__}"
    if dataclasses.is_dataclass(value) and hasattr(value, "apply"):  # a module of Flax
        fields = [field for field in dataclasses.fields(value) if field.name not in ("parent", "name")]
        given = [(field.name, getattr(value, field.name), field.default) for field in fields]
        text = ", ".join(f"{name}={as_text(part)}" for name, part, default in given if not _is(part, default))
        return f"{type(value).__name__}({text})"
    return repr(value)


def _is(value: object, default: object) -> bool:
    """Whether an option has its default value; options may be traced."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        return False
    try:
        return type(value) is type(default) and bool(value == default)
    except ValueError:  # arrays of options, as of stacked specs
        return False


def _rows(instance: Any, derived: tuple[str, ...]) -> list[tuple[str, str]]:  # noqa: ANN401
    fields = getattr(instance, "_fields", None) or [each.name for each in dataclasses.fields(instance) if each.repr]
    values = {name: getattr(instance, name) for name in fields}
    if all(_is_concrete(leaf) for leaf in jax.tree.leaves(list(values.values())) if hasattr(leaf, "dtype")):
        for name in derived:
            with contextlib.suppress(AttributeError, TypeError, ValueError):  # fields may hold anything
                values[name] = getattr(instance, name)
    return [(name, _shortened(describe(value))) for name, value in values.items()]


def _is_concrete(leaf: object) -> bool:
    if isinstance(leaf, jax.core.Tracer) or not isinstance(leaf, jax.Array):
        return isinstance(leaf, np.ndarray | np.generic | bool | int | float)
    return not leaf.is_deleted() and leaf.is_fully_addressable


def describe(value: object) -> str:
    """A value in less than a line."""
    if isinstance(value, np.ndarray | np.generic | float | jax.Array):
        return _describe_array(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _shape_of(value)
    fields: dict[str, Any] = getattr(value, "_asdict", lambda: value if isinstance(value, dict) else {})()
    if fields and all(not isinstance(part, tuple) and np.ndim(part) == 0 for part in fields.values()):
        return ", ".join(f"{name} {describe(part)}" for name, part in fields.items())
    if isinstance(value, dict) and fields:
        return "{" + ", ".join(f"{name!r}: …" for name in value) + "}"
    if fields:
        return f"{type(value).__name__}(…)"
    if isinstance(value, list | tuple) and value and (len(value) > _SHOWN or dataclasses.is_dataclass(value[0])):
        return f"{len(value)} × {type(value[0]).__name__}"
    return repr(value)


def _shape_of(array: Any) -> str:  # noqa: ANN401
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _describe_array(array: Any) -> str:  # noqa: ANN401
    """The numbers of a short array; of a longer one its shape and range."""
    kinds = jnp.integer, jnp.floating, jnp.bool_
    is_number = isinstance(array, float) or any(jnp.issubdtype(array.dtype, kind) for kind in kinds)
    if not is_number or not _is_concrete(array) or np.size(array) > _READ:
        return _shape_of(array)
    values = np.asarray(array)
    if values.ndim == 0:
        return _number(values)
    if values.ndim == 1 and values.size <= _SHOWN:
        return f"[{', '.join(map(_number, values))}]"
    return _shape_of(values) + _range_of(values)


def _range_of(values: np.ndarray) -> str:
    if values.dtype.kind == "b":
        return f", {np.count_nonzero(values)} true"
    if values.dtype.kind in "iu":
        return f", {values.min()} … {values.max()}" if values.size else ""
    values = values.astype(np.float64)  # bfloat16 too
    is_nan = np.isnan(values)
    known = values[~is_nan]
    extent = f", {_number(known.min())} … {_number(known.max())}" if known.size else ""
    return extent + (f", {np.count_nonzero(is_nan)} nan" if is_nan.any() else "")


def _number(value: Any) -> str:  # noqa: ANN401
    value = np.asarray(value)
    return str(value) if value.dtype.kind in "biuSU" else f"{float(value):.4g}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _as_text(title: str, rows: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"  {name:{width}}  {value}" for name, value in rows)])


def _as_html(title: str, rows: list[tuple[str, str]]) -> str:
    left = "style='text-align:left'"
    cells = "".join(
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(value)}</td></tr>" for name, value in rows
    )
    return f"<table><caption {left}>{html.escape(title)}</caption>{cells}</table>"
