"""Measurement of a sample: entropies, informations, and what each encoder in it loses, with intervals and tests.

``measure`` runs outside ``jit``: it finds cells and draws permutations and resamples in numpy, which compiles nothing
and needs no alphabet sizes, so a file of any length is measured at once. Estimates and χ² p-values come from the JAX
implementation in double precision; use the functions of ``isjax.estimation`` under ``jit``, ``vmap`` or an accelerator.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from isjax import _checks
from isjax._display import displayed, displayed_as_call
from isjax._typing import Array, ArrayLike, Int, Key, Real
from isjax.estimation import _cells, _estimates
from isjax.estimation._cells import SMALL_COUNT, Cells
from isjax.estimation._draws import bootstrap_limits
from isjax.estimation._sampling import (
    Partition,
    alphabet_size,
    as_codes,
    generator,
    numbered,
    permutation_p_value,
    resampled_losses,
)
from isjax.estimation.estimators import METHODS, Method

__all__ = ["EncoderMeasurement", "Estimate", "MeasureSpec", "Measurement", "measure"]

_ROWS_A_PAIR = 4  # with fewer rows per pair (x, y) the bias exceeds what corrections and resamples remove
_SMALL_FOR_INTERVALS = 1  # smallest expected count below which intervals have been seen to miss (``bootstrap``)


@displayed_as_call
@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureSpec:
    """Which columns to measure, and how.

    Raises:
      ValueError: if a column is named twice, or an option is out of range.

    Source:
      The method as in ``isjax.estimate_entropy``; the intervals as in ``isjax.bootstrap``.
    """

    target: str
    """Column of the target Y."""
    inputs: tuple[str, ...] = ()
    """Columns whose joint is the input X; all but the target and the encoders if empty."""
    encoders: tuple[str, ...] = ()
    """Columns that are encoders, each a U; on the command line also codes of columns, such as half=age<40."""
    method: Method = "miller_madow"
    """Bias correction of the estimates."""
    base: Real | None = None
    """Base of the logarithm: 2 for bits; nats if not given."""
    confidence: float = 0.95
    """Nominal coverage of the intervals of the losses."""
    num_resamples: int = 499
    """Resamples of the bootstrap, at least 2."""
    num_permutations: int = 499
    """Permutations of the test; the smallest p-value is 1/(1 + num_permutations)."""

    def __post_init__(self) -> None:
        """Checks the columns' names and the options."""
        for name in ("inputs", "encoders"):
            columns = getattr(self, name)
            if isinstance(columns, str):
                raise TypeError(f"{name} must be a tuple of column names, got {columns!r}")
            if self.target in columns:
                raise ValueError(f"{name} must not contain the target, got {self.target!r} in both")
            repeated = [column for i, column in enumerate(columns) if column in columns[:i]]
            if repeated:
                raise ValueError(f"{name} must name each column once, got {repeated[0]!r} twice")
        _checks.check_one_of(self.method, "method", METHODS)
        _checks.check_base(self.base)
        _checks.check_open_unit_interval(self.confidence, "confidence")
        _checks.check_integer(self.num_resamples, "num_resamples", at_least=2)
        _checks.check_integer(self.num_permutations, "num_permutations")

    @property
    def unit(self) -> str:
        """The unit of the informations."""
        return {None: "nats", 2: "bits"}.get(self.base, f"logarithms to the base {self.base}")

    def with_inputs(self, names: Iterable[str]) -> "MeasureSpec":
        """This spec with its inputs named: of these columns, all but the target and the encoders if it has none."""
        if self.inputs:
            return self
        others = tuple(name for name in names if name not in (self.target, *self.encoders))
        if not others:
            raise ValueError("there is no column besides the target and the encoders: X needs one")
        return dataclasses.replace(self, inputs=others)


@displayed()
class Estimate(NamedTuple):
    """An entropy or information, estimated in two ways."""

    plug_in: float
    """Of the sample itself."""
    corrected: float
    """With the bias correction of the spec."""


@displayed()
@dataclasses.dataclass(frozen=True)
class EncoderMeasurement:
    """What one encoder U retains and loses.

    Attributes:
      column: its name.
      symbols: number of codes that occur.
      is_function_of_inputs: whether rows with equal X always have equal U.
      information: I(U;Y).
      loss: I(X;Y|U).
      low: lower end of the bootstrap interval of the loss.
      high: its upper end.
      statistic: G = 2N Î(X;Y|U), in nats.
      degrees_of_freedom: of its χ² limit.
      p_value: of the hypothesis that U is sufficient, from that limit.
      permutation_p_value: the same, from permutations of y within each code.
      smallest_expected_count: the smallest n(x,u) n(y,u)/n(u); if it is small, ``p_value`` is too small.
    """

    column: str
    symbols: int
    is_function_of_inputs: bool
    information: Estimate
    loss: Estimate
    low: float
    high: float
    statistic: float
    degrees_of_freedom: int
    p_value: float
    permutation_p_value: float
    smallest_expected_count: float


@displayed("losses")
@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a sample says about a target Y, inputs X and encoders U.

    Attributes:
      spec: what was measured and how, with its inputs named.
      rows: number of samples.
      target_symbols: number of classes that occur.
      input_symbols: number of combinations of the inputs that occur.
      entropy_y: H(Y).
      entropy_x: H(X).
      information: I(X;Y).
      encoders: one for each encoder.
    """

    spec: MeasureSpec
    rows: int
    target_symbols: int
    input_symbols: int
    entropy_y: Estimate
    entropy_x: Estimate
    information: Estimate
    encoders: tuple[EncoderMeasurement, ...]

    @property
    def target(self) -> str:
        """Column of Y."""
        return self.spec.target

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns whose joint is X."""
        return self.spec.inputs

    @property
    def losses(self) -> dict[str, float]:
        """The corrected loss of each encoder, by its column."""
        return {each.column: each.loss.corrected for each in self.encoders}

    @property
    def unit(self) -> str:
        """Unit of the entropies and informations."""
        return self.spec.unit

    @property
    def method(self) -> Method:
        """Bias correction of the estimates."""
        return self.spec.method

    @property
    def confidence(self) -> float:
        """Nominal coverage of the intervals."""
        return self.spec.confidence

    def to_dict(self) -> dict[str, Any]:
        """Numbers and strings, as JSON takes them: the spec's fields, the unit, the results and the warnings."""

        def plain(value: object) -> object:
            if isinstance(value, Estimate):
                return value._asdict()
            if isinstance(value, EncoderMeasurement):
                return {name: plain(part) for name, part in vars(value).items()}
            return [plain(part) for part in value] if isinstance(value, tuple) else value

        results = {name: value for name, value in vars(self).items() if name != "spec"}
        fields = {"unit": self.unit, **vars(self.spec), **results}
        return {name: plain(value) for name, value in fields.items()} | {"warnings": [*self.warnings()]}

    def warnings(self) -> Iterator[str]:
        """What not to trust, if the sample is small for its alphabets."""
        pairs = self.input_symbols * self.target_symbols
        if self.rows < _ROWS_A_PAIR * pairs:
            yield (
                f"{self.rows} rows are few for {self.input_symbols} symbols of X and {self.target_symbols} of Y: below "
                f"{_ROWS_A_PAIR} rows a pair, informations are overestimated"
            )
        counts = {each.column: each.smallest_expected_count for each in self.encoders if each.degrees_of_freedom}
        small = {name: count for name, count in counts.items() if count < SMALL_COUNT}
        if small:
            least = min(small.values())
            intervals = "intervals may miss, and " if least < _SMALL_FOR_INTERVALS else ""
            yield (
                f"the smallest expected count is {least:.2g} (given {', '.join(small)}): {intervals}p-values from the "
                "χ² limit are too small; use those of permutations"
            )


@runtime_checkable
class _Coded(Protocol):
    """A column that numpy converts to its codes, as those of ``isjax.data.read``."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ...  # noqa: ANN401


def measure(key: Key[Array, ""], columns: Mapping[str, Int[ArrayLike, "n"] | _Coded], spec: MeasureSpec) -> Measurement:
    r"""Measures a sample of a target Y, of an input X that may be several columns, and of encoders of it.

    .. math:: H(Y),\; H(X),\; I(X;Y) \quad\text{and, for each } U, \quad I(U;Y),\; I(X;Y \mid U)

    Alphabets are the symbols that occur. If U is a function of X, I(X;Y|U) = I(X;Y) − I(U;Y) is what it loses;
    otherwise it is what X says about Y beyond U. The interval is that of ``bootstrap`` of the plug-in loss; all
    encoders share their resamples. The test is that of ``sufficiency_test``. It runs outside ``jit``.

    Args:
      key: a key of ``jax.random.key``, for the resamples and permutations.
      columns: codes of each column, by its name: integers of any type, shape ``[n]``, not negative; what
        ``isjax.data.read`` returns, or a mapping of arrays.
      spec: which columns are Y, X and U, and the options.

    Returns:
      A ``Measurement``.

    Raises:
      ValueError: if a column is absent or of another length, X has no column, the target has one class, or X or Y is
        different in each row.

    Source:
      arXiv:2405.20452, Definition 2; the estimators as in ``isjax.estimation``.

    Examples:
      >>> import isjax.data, jax, numpy as np
      >>> x = np.arange(400) % 4
      >>> columns = {"x": x, "y": x % 2, "half": x // 2}
      >>> spec = isjax.data.MeasureSpec(target="y", inputs=("x",), encoders=("half",), base=2)
      >>> found = isjax.data.measure(jax.random.key(0), columns, spec)
      >>> found.information.plug_in, found.encoders[0].loss.plug_in, found.encoders[0].permutation_p_value
      (1.0, 1.0, 0.002)
    """
    _checks.check_key(key)
    if not isinstance(spec, MeasureSpec):
        raise TypeError(f"spec must be a MeasureSpec, such as MeasureSpec(target='y', inputs=('x',)), got {spec!r}")
    of_resampling, *of_permuting = generator(key).spawn(1 + len(spec.encoders))
    spec = spec.with_inputs(columns)
    names = tuple(dict.fromkeys((*spec.inputs, spec.target, *spec.encoders)))
    codes = as_codes(columns, names)
    _, first, counts = np.unique(numbered(*codes.values()), return_index=True, return_counts=True)
    distinct = {name: column[first] for name, column in codes.items()}
    x, y = numbered(*(distinct[name] for name in spec.inputs)), numbered(distinct[spec.target])
    rows, num_x, num_y = int(counts.sum()), alphabet_size(x), alphabet_size(y)
    if num_y == 1:
        raise ValueError(f"the target {spec.target!r} has the same value in all {rows} rows: it has no information")
    for what, number in ((f"X = {', '.join(spec.inputs)}", num_x), (f"the target {spec.target!r}", num_y)):
        if number == rows:
            raise ValueError(
                f"{what} is different in each of the {rows} rows: nothing can be estimated; name fewer inputs "
                "(isjax rank says which columns matter)"
            )
    us = [numbered(distinct[name]) for name in spec.encoders]
    constant = np.zeros_like(x)
    partitions = [Partition.of(x, y, u) for u in us]
    resampled = resampled_losses(of_resampling, counts, partitions, spec.num_resamples)
    unit = 1 / math.log(spec.base or math.e)
    with jax.enable_x64(True):

        def amounts(partition: Partition, *sizes: int) -> _Amounts:
            estimated = _amounts(partition.cells_of(counts), sizes, unit, method=spec.method)
            return jax.tree.map(float, jax.device_get(estimated))

        of_x, measured = amounts(Partition.of(x, y, constant), num_x, num_y, 1), []
        for name, u, partition, losses, rng in zip(spec.encoders, us, partitions, resampled, of_permuting, strict=True):
            num_u = alphabet_size(u)
            of_u = amounts(Partition.of(u, y, constant), num_u, num_y, 1)
            given_u = amounts(partition, num_x, num_y, num_u)
            low, high = jax.device_get(_limits(given_u.loss.plug_in, unit * losses, spec.confidence))
            measured.append(
                EncoderMeasurement(
                    column=name,
                    symbols=num_u,
                    is_function_of_inputs=alphabet_size(numbered(x, u)) == num_x,
                    information=of_u.information,
                    loss=given_u.loss,
                    low=float(low),
                    high=float(high),
                    statistic=given_u.statistic,
                    degrees_of_freedom=round(given_u.freedom),
                    p_value=given_u.p_value,
                    permutation_p_value=permutation_p_value(
                        rng, counts, partition, given_u.freedom, spec.num_permutations
                    ),
                    smallest_expected_count=given_u.smallest_expected_count,
                )
            )
    return Measurement(
        spec=spec,
        rows=rows,
        target_symbols=num_y,
        input_symbols=num_x,
        entropy_y=of_x.entropy_y,
        entropy_x=of_x.entropy_x,
        information=of_x.information,
        encoders=tuple(measured),
    )


class _Amounts(NamedTuple):
    """Estimates from the cells of one partition; the first three are of X and Y if the code is constant."""

    entropy_x: Estimate
    entropy_y: Estimate
    information: Estimate
    loss: Estimate
    statistic: float
    freedom: float
    p_value: float
    smallest_expected_count: float


_limits = jax.jit(bootstrap_limits)


@jax.jit(static_argnames="method")
def _amounts(cells: Cells, sizes: tuple[Array, Array, Array], unit: Array, *, method: str) -> _Amounts:
    """One program for all partitions of a sample."""

    def both(estimate: Callable[..., Any], *arguments: Array | Cells | Sequence[Array]) -> Estimate:
        return Estimate(*(unit * estimate(*arguments, each) for each in ("plug_in", method)))

    of_test: Any = (*_cells.likelihood_ratio(cells), _cells.smallest_expected_count(cells))
    return _Amounts(
        both(_estimates.entropy_of_margin, cells.counts, cells.rows, sizes[0]),
        both(_estimates.entropy_of_margin, cells.counts, cells.columns, sizes[1]),
        both(_estimates.information_of_cells, cells, sizes),
        both(_estimates.loss_of_cells, cells, sizes),
        *of_test,
    )
