"""Encoders U = η(X) of a finite alphabet: integers for a deterministic one, rows p(u | x) for a stochastic one."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._typing import Array, Int

__all__ = ["coordinate_encoder"]


def coordinate_encoder(alphabet_sizes: Sequence[int], kept: Sequence[int]) -> Int[Array, "x"]:
    r"""Encoder that keeps some coordinates of a vector and drops the rest.

    .. math:: \eta(x_1, \dots, x_d) = (x_i)_{i \in \text{kept}}

    X is the product alphabet in C order, the last coordinate running fastest, and so is U.

    Args:
      alphabet_sizes: how many values each coordinate has.
      kept: which coordinates are kept, in the order in which the code lists them.

    Returns:
      Codes, shape ``[x]`` with x = ∏ alphabet_sizes, in 0 … ∏ kept sizes − 1.

    Raises:
      TypeError: if a size or a coordinate is not an integer.
      ValueError: if there is no coordinate, a size is below one, or ``kept`` names a coordinate twice or one that is
        not there.

    Source:
      arXiv:2405.20452, the sparse model of the numerical study.

    Examples:
      >>> coordinate_encoder([2, 2, 2], kept=[0, 2]).tolist()
      [0, 1, 0, 1, 2, 3, 2, 3]
    """
    sizes = [_checks.count(size, "alphabet_sizes") for size in alphabet_sizes]
    kept = [_checks.count(i, "kept", at_least=0) for i in kept]
    if not sizes:
        raise ValueError("alphabet_sizes must name at least one coordinate, got none")
    outside = [i for i in kept if i >= len(sizes)]
    if outside or len(set(kept)) < len(kept):
        raise ValueError(f"kept must name coordinates 0…{len(sizes) - 1}, each once, got {kept}")
    coordinates = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    kept_sizes = [sizes[i] for i in kept]
    codes = (
        np.ravel_multi_index([coordinates[i] for i in kept], kept_sizes) if kept else np.zeros(math.prod(sizes), int)
    )
    return jnp.asarray(codes, int)
