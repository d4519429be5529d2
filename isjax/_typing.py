"""Array types: one letter per alphabet, the same letter everywhere, batch axes in front."""

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
