"""Codes of one column that lose least about another, found in a sample, and what they keep in other rows.

Codes found in a sample fit its chance: of two independent columns they seem to keep much. So codes are also found in
each half of the rows, and what they keep is measured in the other half.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isjax import _checks
from isjax._display import displayed
from isjax._typing import Array, Float, Int, Key
from isjax.bottleneck import Bottleneck, bottleneck_curve
from isjax.estimation._cells import chi2_p_value
from isjax.estimation._sampling import alphabet_size, as_codes, generator
from isjax.estimation.measurement import Estimate
from isjax.quantizers import Quantizer, merged_inputs, quantizers_up_to

__all__ = ["FoundCodes", "find_codes"]

_NUM_CELLS = 256  # of a larger alphabet, for the curve and for KL-means
_MAX_CELLS = 2**26  # of a table of counts
_BETAS = 1.0, 1000.0


@displayed("input_symbols")
@dataclasses.dataclass(frozen=True)
class FoundCodes:
    """Encoders of 1, 2, … K codes, in nats.

    Attributes:
      target: column of Y.
      input: column of X, which is encoded.
      rows: number of samples.
      target_symbols: number of symbols of Y.
      p_x: share of each symbol of X, shape ``[x]``.
      entropy_y: H(Y), of the sample itself.
      information: I(X;Y).
      quantizers: found in all rows; their arrays lead with an axis ``[k]``.
      kept: I(U;Y) of codes found in one half of the rows, measured in the other: corrected by Miller and Madow, and the
        mean of both halves, shape ``[k]``. The codes of all rows keep about as much of new rows, or a little more.
      p_values: of the hypothesis that the codes found in one half say nothing in the other, shape ``[k]``.
      curve: of the information bottleneck, for all rows.
      curve_loss: what X loses where its symbols are merged into cells for the curve.
    """

    target: str
    input: str
    rows: int
    target_symbols: int
    p_x: Float[np.ndarray, "x"]
    entropy_y: float
    information: Estimate
    quantizers: Quantizer
    kept: Float[np.ndarray, "k"]
    p_values: Float[np.ndarray, "k"]
    curve: Bottleneck
    curve_loss: float

    @property
    def input_symbols(self) -> int:
        """Number of symbols of X."""
        return len(self.p_x)

    @property
    def says_something(self) -> bool:
        """Whether the codes keep more in other rows than chance: some p-value, times their number, is below 0.05."""
        return bool(self.p_values.min() * max(len(self.p_values) - 1, 1) < 0.05)


def find_codes(
    key: Key[Array, ""],
    columns: Mapping[str, Any],  # integers [n], or what read returns
    *,
    target: str,
    input: str,
    num_codes: int,
    num_betas: int = 48,
) -> FoundCodes:
    r"""Finds the encoders of a column X, of 1, 2, … K codes, that lose least about a column Y.

    .. math:: \min_{\eta:\, X \to \{1..k\}} \hat I(X;Y \mid \eta(X)) \quad \text{for each } k \le K

    It runs outside ``jit``. Symbols of equal rows p(y|x) are merged first, which loses nothing. For more than two
    classes and a large alphabet, the search begins on 256 cells.

    Args:
      key: a key of ``jax.random.key``, for the halves and for seedings.
      columns: codes of each column, by its name, as for ``isjax.data.measure``: shape ``[n]``.
      target: name of Y.
      input: name of X.
      num_codes: K; at most the number of symbols of X is used.
      num_betas: points of the curve of the information bottleneck, for β from 1 to 1000.

    Returns:
      A ``FoundCodes``.

    Raises:
      ValueError: if a column is absent, there are fewer than two rows, or too many pairs of symbols.

    Source:
      Kurkoski and Yagi (2014) for two classes; Zhang and Kurkoski (2016) for more.

    Examples:
      >>> import isjax.data, jax, numpy as np
      >>> x = np.arange(400) % 4
      >>> found = isjax.data.find_codes(jax.random.key(0), {"x": x, "y": x % 2}, target="y", input="x", num_codes=2)
      >>> found.quantizers.codes[1].tolist(), [round(float(kept), 2) for kept in found.kept]
      ([0, 1, 0, 1], [0.0, 0.69])
    """
    _checks.check_key(key)
    num_codes = _checks.check_integer(num_codes, "num_codes")
    num_betas = _checks.check_integer(num_betas, "num_betas", at_least=2)
    rng, (key_codes, key_curve) = generator(key), jax.random.split(key)
    codes = as_codes(columns, (input, target))
    counts = _counts(codes[input], codes[target], (input, target))
    half = _half_of(rng, counts)
    tables = [_Merged.of(table) for table in (counts, half, counts - half)]
    size = max(8, 1 << (max(len(table.counts) for table in tables) - 1).bit_length())  # alphabets share programs
    num_codes = min(num_codes, len(counts))
    solved = [table.quantizers(key_codes, num_codes, size) for table in tables]
    in_all, in_half, in_other = solved
    crossed = (in_half, counts - half), (in_other, half)
    measured = np.array([[_kept(codes, others) for codes in np.asarray(found.codes)] for found, others in crossed])
    kept, statistics, freedoms = np.moveaxis(measured, -1, 0)
    with jax.enable_x64(True):
        p_values = np.asarray(chi2_p_value(statistics, freedoms))
    curve, curve_loss = _curve(key_curve, tables[0], np.asarray(in_all.codes), num_betas)
    of_all = _information(counts)
    return FoundCodes(
        target=target,
        input=input,
        rows=int(counts.sum()),
        target_symbols=counts.shape[1],
        p_x=counts.sum(axis=1) / counts.sum(),
        entropy_y=_entropy(counts.sum(axis=0)),
        information=of_all,
        quantizers=in_all,
        kept=kept.mean(axis=0),
        p_values=np.minimum(1, 2 * p_values.min(axis=0)),  # two halves
        curve=curve,
        curve_loss=curve_loss,
    )


class _Merged(NamedTuple):
    """A table of counts in which symbols of equal rows p(y|x) are one."""

    counts: Int[np.ndarray, "m y"]
    cells: Int[np.ndarray, "x"]
    """The row of each symbol; −1 for a symbol that does not occur."""

    @classmethod
    def of(cls, counts: np.ndarray) -> "_Merged":
        occurs = counts.any(axis=1)
        reduced = counts[occurs] // np.gcd.reduce(counts[occurs], axis=1, keepdims=True)
        _, numbers = np.unique(reduced, axis=0, return_inverse=True)
        cells = np.full(len(counts), -1)
        cells[occurs] = numbers.reshape(-1)
        return cls(_summed(cells, counts), cells)

    def quantizers(self, key: Array, num_codes: int, size: int) -> Quantizer:
        """The best encoders found, of all symbols; a symbol that does not occur has the code of the most mass."""
        found = quantizers_up_to(
            key, _padded_joint(self.counts, size), num_codes=num_codes, num_restarts=8, num_cells=_NUM_CELLS
        )
        parts = {name: np.array(part) for name, part in found._asdict().items()}
        mass, lossless = self.counts.sum(axis=1), len(self.counts) - 1
        relevance = _information(self.counts).plug_in
        exact = {"codes": np.arange(size), "complexity": _entropy(mass), "relevance": relevance, "loss": 0}
        for name, value in {**exact, "is_global": True}.items():
            parts[name][lossless:] = value
        codes = np.empty((num_codes, len(self.cells)), int)
        for of_all, of_cell in zip(codes, parts["codes"][:, : len(self.counts)], strict=True):
            of_all[:] = np.where(self.cells < 0, np.bincount(of_cell, mass).argmax(), of_cell[self.cells])
            _, first, numbers = np.unique(of_all, return_index=True, return_inverse=True)
            of_all[:] = np.argsort(np.argsort(first))[numbers]  # numbered in the order of their first symbols
        return Quantizer(**{name: jnp.asarray(part) for name, part in {**parts, "codes": codes}.items()})


def _counts(x: np.ndarray, y: np.ndarray, names: tuple[str, str]) -> np.ndarray:
    """Table of counts ``[x, y]``."""
    shape = alphabet_size(x), alphabet_size(y)
    if len(x) < 2:
        raise ValueError("there is one row: codes are found in one half of the rows and measured in the other")
    if math.prod(shape) > _MAX_CELLS:
        raise ValueError(
            f"columns {names[0]!r} and {names[1]!r} have {shape[0]} and {shape[1]} symbols in {len(x)} rows, more than "
            f"{_MAX_CELLS} pairs: is one of them an identifier?"
        )
    return np.bincount(x * shape[1] + y, minlength=math.prod(shape)).reshape(shape)


def _half_of(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Counts of one half of the rows, drawn without replacement."""
    drawn = np.zeros_like(counts)
    occupied = counts > 0
    drawn[occupied] = rng.multivariate_hypergeometric(counts[occupied], int(counts.sum()) // 2, method="marginals")
    return drawn


def _summed(cells: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Counts ``[m, y]`` of the cells from 0 on."""
    order = np.argsort(cells, kind="stable")[np.count_nonzero(cells < 0) :]
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    return np.add.reduceat(counts[order], starts, axis=0)


def _padded_joint(counts: np.ndarray, size: int) -> Array:
    """The empirical distribution, with inputs without mass up to a size."""
    joint = np.pad(counts / counts.sum(), ((0, size - len(counts)), (0, 0)))
    return jnp.asarray(joint, jnp.float32)


def _curve(key: Array, table: _Merged, codes: np.ndarray, num_betas: int) -> tuple[Bottleneck, float]:
    """The curve of the bottleneck from these codes on at most 256 cells, and what the cells lose."""
    size = max(8, 1 << (len(table.counts) - 1).bit_length())
    cells, counts = np.arange(len(table.counts)), table.counts
    if len(counts) > _NUM_CELLS:
        cells = np.asarray(merged_inputs(key, _padded_joint(counts, size), num_cells=_NUM_CELLS))[: len(counts)]
        cells = np.unique(cells, return_inverse=True)[1]
        counts, size = _summed(cells, counts), _NUM_CELLS
    first = np.unique(np.where(table.cells < 0, -1, cells[table.cells]), return_index=True)[1][-len(counts) :]
    starts = np.zeros((len(codes), size), int)
    starts[:, : len(counts)] = codes[:, first]
    betas = jnp.asarray(np.geomspace(*_BETAS, num_betas), jnp.float32)
    lost = _information(table.counts).plug_in - _information(counts).plug_in
    curve = bottleneck_curve(key, _padded_joint(counts, size), betas, num_codes=len(codes), starts=starts)
    return curve, max(lost, 0.0)


def _kept(codes: np.ndarray, counts: np.ndarray) -> tuple[float, float, float]:
    """I(U;Y) of codes in other rows, corrected, and the statistic and the degrees of freedom of its χ² test."""
    table = _summed(codes, counts)
    information, freedom = _information(table), math.prod(np.count_nonzero(table.any(axis=axis)) - 1 for axis in (1, 0))
    return information.corrected, 2 * float(table.sum()) * information.plug_in, float(freedom)


def _entropy(counts: np.ndarray) -> float:
    """Plug-in entropy."""
    shares = counts[counts > 0] / counts.sum()
    return float(0 - np.sum(shares * np.log(shares)))


def _information(counts: np.ndarray) -> Estimate:
    """I(X;Y) of a table, plug-in and corrected by Miller and Madow."""
    num_rows, num_columns = (np.count_nonzero(counts.sum(axis=axis)) for axis in (1, 0))
    plug_in = _entropy(counts.sum(axis=1)) + _entropy(counts.sum(axis=0)) - _entropy(counts)
    excess = num_rows + num_columns - np.count_nonzero(counts) - 1
    return Estimate(max(plug_in, 0.0), float(plug_in + excess / (2 * counts.sum())))
