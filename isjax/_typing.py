"""Array types: one letter per alphabet, the same letter everywhere, batch axes in front."""

import inspect
from types import FunctionType

import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Key, UInt
from jaxtyping import Integer as Int  # signed or not

__all__ = [
    "Array",
    "ArrayLike",
    "Axis",
    "Bool",
    "Encoder",
    "Float",
    "Int",
    "Joint",
    "Key",
    "Real",
    "ScalarFloat",
    "ScalarInt",
    "UInt",
    "shorten_signature",
]

Joint = Float[ArrayLike, "*#batch x y"]
"""A joint distribution of an input X and a target Y."""

Encoder = Int[ArrayLike, "*#batch x"] | Float[ArrayLike, "*#batch x u"]
"""Codes of the input symbols (integers), or rows p(u | x) (floats)."""

Axis = int | np.integer | tuple[int | np.integer, ...]
"""One axis or several."""

Real = float | int
"""A number, not a traced value."""

ScalarFloat = Float[ArrayLike, ""]
ScalarInt = Int[ArrayLike, ""]


def shorten_signature(public: object) -> None:
    """Leaves annotations out of the signature that ``help`` prints: jaxtyping's are longer than what they annotate.

    They stay in ``__annotations__``; shapes are in the docstring. Of a class, its methods and constructor.
    """
    members = vars(public).values() if isinstance(public, type) else [public]
    for member in members:
        function = getattr(member, "__func__", member)  # __new__ is a static method
        if isinstance(function, FunctionType):
            signature = inspect.signature(function)
            bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
            short = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
            function.__signature__ = short  # pyright: ignore[reportFunctionMemberAccess]
