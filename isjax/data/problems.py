"""What a file says, taken as the truth: problems whose distribution is the empirical one of its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from isjax.estimation._sampling import alphabet_size, as_codes, numbered
from isjax.sources import Problem

__all__ = ["problems"]

_MOST_CELLS = 2**24  # of a joint distribution


def problems(
    columns: Mapping[str, Any], *, target: str, inputs: Sequence[str], encoders: Sequence[str] = ()
) -> dict[str, Problem]:
    """Problems of learning a column from others, directly and through codes of them, for ``isjax.sweep``.

    X is the combination of the inputs, and its distribution with the target Y the empirical one. Networks see X as
    one-hot symbols of each input side by side (±1 for two symbols), and a code as its one-hot symbol.

    Args:
      columns: codes of each column, by its name: integers of shape ``[n]``, or what ``isjax.data.read`` returns.
      target: name of Y.
      inputs: names of the columns of X.
      encoders: names of columns that are codes of X.

    Returns:
      Problems by the name of the encoder; ``"identity"``, X itself, comes first.

    Raises:
      ValueError: if a column is absent, Y has one class, an encoder is not a function of the inputs, or there are too
        many pairs of symbols.

    Source:
      arXiv:2405.20452, Definition 2, of the empirical distribution.

    Examples:
      >>> import isjax.data, numpy as np
      >>> x = np.arange(400) % 4
      >>> found = isjax.data.problems({"x": x, "y": x % 2, "half": x // 2}, target="y", inputs=["x"], encoders=["half"])
      >>> found["identity"].features.shape, found["half"].codes.tolist()
      ((4, 4), [0, 0, 1, 1])
    """
    if not inputs:
        raise ValueError("inputs must name at least one column, got none")
    codes = as_codes(columns, tuple(dict.fromkeys((*inputs, target, *encoders))))
    symbols = {name: numbered(codes[name]) for name in codes}
    x, y = numbered(*(symbols[name] for name in inputs)), symbols[target]
    shape = alphabet_size(x), alphabet_size(y)
    if shape[1] == 1:
        raise ValueError(f"the target {target!r} has the same value in all {len(y)} rows: there is nothing to learn")
    if shape[0] * shape[1] > _MOST_CELLS:
        raise ValueError(
            f"the inputs and the target have {shape[0]} and {shape[1]} symbols in {len(y)} rows, more than "
            f"{_MOST_CELLS} pairs: name fewer inputs, or cut them into bins"
        )
    counts = np.bincount(x * shape[1] + y, minlength=shape[0] * shape[1]).reshape(shape)
    joint = (counts / len(y)).astype(np.float32)
    first = np.unique(x, return_index=True)[1]
    seen = np.concatenate([_one_hot(symbols[name][first], symbols[name]) for name in inputs], axis=1)
    made = {"identity": _problem(joint, np.arange(shape[0]), seen)}
    for name in encoders:
        code = symbols[name]
        if (code[first][x] != code).any():
            row = int(np.flatnonzero(code[first][x] != code)[0])
            raise ValueError(
                f"the encoder {name!r} is not a function of the inputs: row {row + 1} has another code than an earlier "
                "row of equal inputs; name its columns among the inputs"
            )
        made[name] = _problem(joint, code[first], _one_hot(np.arange(alphabet_size(code)), code))
    return made


def _problem(*arrays: np.ndarray) -> Problem:
    return Problem(*map(jnp.asarray, arrays))


def _one_hot(symbols: np.ndarray, of_rows: np.ndarray) -> np.ndarray:
    """One-hot symbols ``[x, k]`` of an alphabet; one column of ±1 for two symbols."""
    num_symbols = alphabet_size(of_rows)
    if num_symbols == 2:
        return (2 * symbols[:, None] - 1).astype(np.float32)
    return np.eye(num_symbols, dtype=np.float32)[symbols]
