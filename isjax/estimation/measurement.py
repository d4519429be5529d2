"""Measurement of a sample: entropies, informations, and what each encoder in it loses, with intervals and tests.

``measure`` runs outside ``jit``: it finds cells and draws permutations and resamples in numpy, which compiles nothing
and needs no alphabet sizes, so a file of any length is measured at once. Intervals by inversion come from the JAX
implementation, estimates and χ² p-values from it in double precision; use the functions of ``isjax.estimation`` under
``jit``, ``vmap`` or an accelerator.
"""

import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import numpy as np

from isjax import _checks
from isjax._display import displayed, displayed_as_call
from isjax._typing import Array, ArrayLike, Int, Key, Real
from isjax.estimation import _cells, _estimates
from isjax.estimation._cells import Cells
from isjax.estimation._draws import bootstrap_limits
from isjax.estimation._sampling import (
    Sample,
    alphabet_size,
    as_codes,
    generator,
    numbered,
    permutation_p_value,
    resampled_losses,
)
from isjax.estimation.inversion import invert, least_num_draws

__all__ = ["EncoderMeasurement", "Estimate", "MeasureSpec", "Measurement", "Method", "measure"]

Method = Literal[
    "inversion", "miller_madow", "jackknife", "grassberger", "chao_shen", "james_stein", "plug_in"
]  # fmt: skip
"""How ``measure`` estimates: by ``isjax.loss_interval``, or by a method of ``isjax.estimate_entropy``."""

_ROWS_A_PAIR = 4  # with fewer rows per pair (x, y) the bias exceeds what corrections and resamples remove
_ROWS_A_CODE, _MANY_CODES = 12, 100  # of more codes with fewer rows each, intervals by inversion lay below the loss
_ASSUMED = 0.15  # half-widths: if more is assumed of pairs that occur once, 10 to 20 % of intervals lay below the loss
_SMALL_COUNT, _SMALL_SHARE = 5, 0.2  # Cochran's rule: of the χ² limit no more than a fifth of expected counts below 5
_NUM_CELLS = 2**21  # pairs (x, y) of all draws together: a larger table has fewer draws,
_FEW_DRAWS = 99  # but no fewer than these
_ROWS_A_CLASS, _ROWS_A_CLASS_OF_THIN_PAIRS = 5, 20  # with fewer, intervals by inversion lay above the information
_MOST_PAIRS = 2**19  # pairs (x, u) times targets: of more the draws would take minutes


@displayed_as_call
@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureSpec:
    """Which columns to measure, and how.

    With ``method="inversion"`` at least 2/(1 − confidence) − 1 draws are made, which is 39 at 95 %.

    Raises:
      ValueError: if a column is named twice, or an option is out of range.

    Source:
      Inversion as in ``isjax.loss_interval``, the other methods as in ``isjax.estimate_entropy``; their intervals as
      in ``isjax.bootstrap``, that of the jackknife by Quenouille (1956) and Tukey (1958).
    """

    target: str
    """Column of the target Y."""
    inputs: tuple[str, ...] = ()
    """Columns whose joint is the input X; all but the target and the encoders if empty."""
    encoders: tuple[str, ...] = ()
    """Columns that are encoders, each a U; on the command line also codes of columns, such as half=age<40."""
    method: Method = "inversion"
    """Estimates and intervals of informations: by inverting the test, or corrected, with a bootstrap interval."""
    base: Real | None = None
    """Base of the logarithm: 2 for bits; nats if not given."""
    confidence: float = 0.95
    """Nominal coverage of the intervals."""
    num_resamples: int = 499
    """Draws or resamples of an interval, at least 2."""
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
        _checks.check_one_of(self.method, "method", get_args(Method))
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
    """By the method of the spec; of entropies Miller and Madow's if that is inversion."""


@displayed()
@dataclasses.dataclass(frozen=True)
class EncoderMeasurement:
    """What one encoder U retains and loses.

    Attributes:
      column: its name.
      symbols: number of codes that occur.
      is_function_of_inputs: whether rows with equal X always have equal U.
      information: I(U;Y).
      information_low: lower end of its interval.
      information_high: upper end of its interval.
      loss: I(X;Y|U).
      low: lower end of the interval of the loss.
      high: upper end of the interval of the loss.
      statistic: G = 2N Î(X;Y|U), in nats.
      degrees_of_freedom: of its χ² limit.
      p_value: of the hypothesis that U is sufficient, from that limit.
      permutation_p_value: the same, from permutations of y within each code.
      smallest_expected_count: the smallest n(x,u) n(y,u)/n(u).
      small_share: share of these that are below 5; if it is above a fifth, ``p_value`` is too small.
      method: how the loss was estimated: as the spec says, unless there are too many symbols for inversion.
    """

    column: str
    symbols: int
    is_function_of_inputs: bool
    information: Estimate
    information_low: float
    information_high: float
    loss: Estimate
    low: float
    high: float
    statistic: float
    degrees_of_freedom: int
    p_value: float
    permutation_p_value: float
    smallest_expected_count: float
    small_share: float
    method: Method


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
      information_low: lower end of its interval.
      information_high: upper end of its interval.
      encoders: one for each encoder.
      low_intervals: the informations whose intervals may be too low, such as I(X;Y).
    """

    spec: MeasureSpec
    rows: int
    target_symbols: int
    input_symbols: int
    entropy_y: Estimate
    entropy_x: Estimate
    information: Estimate
    information_low: float
    information_high: float
    encoders: tuple[EncoderMeasurement, ...]
    low_intervals: tuple[str, ...] = dataclasses.field(repr=False)

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
        """How informations are estimated."""
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
        """What not to trust, and what to do about it: nothing, unless simulations say that it fails."""
        for each in self.encoders:
            if each.symbols == self.rows:
                yield (
                    f"{each.column} is a key, different in each of the {self.rows} rows: what it retains and loses "
                    "cannot be estimated; leave it out"
                )
        pairs = self.input_symbols * self.target_symbols
        wide = [each.column for each in self.encoders if each.method != self.method]
        if wide or (self.method == "inversion" and pairs > _MOST_PAIRS):
            yield (
                f"{self.input_symbols} symbols of X and {self.target_symbols} of Y are too many to invert a test: "
                f"informations{' given ' * bool(wide)}{', '.join(wide)} are Miller and Madow's, which are too large, "
                "and intervals miss; merge symbols, or cut numbers into fewer bins (--bins)"
            )
        if self.method != "inversion" and self.rows < _ROWS_A_PAIR * pairs:
            yield (
                f"{self.rows} rows are few for {self.input_symbols} symbols of X and {self.target_symbols} of Y: below "
                f"{_ROWS_A_PAIR} rows a pair, informations are overestimated by {self.method}, and intervals miss; use "
                "--method inversion"
            )
        tested = [each for each in self.encoders if each.degrees_of_freedom]
        thin = [
            each.column for each in tested if self.rows < _ROWS_A_CODE * each.symbols and each.symbols > _MANY_CODES
        ]
        if thin and self.method == "inversion":
            yield (
                f"{self.rows} rows are few for the codes of {', '.join(thin)}: below {_ROWS_A_CODE} rows a code, "
                "intervals may lie below the loss; merge codes, cut numbers into fewer bins (--bins), or "
                "get more rows"
            )
        if self.method == "inversion" and _too_few_a_class(self.rows, self.target_symbols, pairs):
            yield (
                f"{self.rows} rows are few for the {self.target_symbols} classes of Y: intervals may lie above the "
                "information; merge classes, cut the target into fewer bins (--bins), or get more rows"
            )
        if self.low_intervals:
            yield (
                f"too many symbols occur once: intervals of {', '.join(self.low_intervals)} may be too low; "
                "merge symbols, cut numbers into fewer bins (--bins), or get more rows"
            )
        small = [each.column for each in tested if each.small_share > _SMALL_SHARE]
        if small:
            yield (
                f"expected counts are small (given {', '.join(small)}): p-values from the χ² limit are too small; use "
                "those of permutations"
            )


def _too_few_a_class(rows: int, num_classes: int, num_pairs: int) -> bool:
    """Whether intervals by inversion are too high: few rows for each class of Y, or also for each pair of symbols."""
    are_thin = 2 * rows < num_pairs
    return rows < (_ROWS_A_CLASS_OF_THIN_PAIRS if are_thin else _ROWS_A_CLASS) * num_classes


@runtime_checkable
class _Coded(Protocol):
    """A column that numpy converts to its codes, as those of ``isjax.data.read``."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ...  # noqa: ANN401


def measure(key: Key[Array, ""], columns: Mapping[str, Int[ArrayLike, "n"] | _Coded], spec: MeasureSpec) -> Measurement:
    r"""Measures a sample of a target Y, of an input X that may be several columns, and of encoders of it.

    .. math:: H(Y),\; H(X),\; I(X;Y) \quad\text{and, for each } U, \quad I(U;Y),\; I(X;Y \mid U)

    Alphabets are the symbols that occur. If U is a function of X, I(X;Y|U) = I(X;Y) − I(U;Y) is what it loses;
    otherwise it is what X says about Y beyond U. Estimates and intervals of informations are those of
    ``loss_interval``, with fewer draws, 99 or more, if there are more than 4202 pairs of symbols, and by
    ``"miller_madow"`` if there are more than 2¹⁹; with another method the interval is that of ``bootstrap`` of the
    plug-in, or the jackknife's. The test is that of ``sufficiency_test``. What is said of an encoder does not depend on
    which others there are. It runs outside ``jit``.

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
    generator(key)  # refuses a traced key
    spec = spec.with_inputs(columns)
    names = tuple(dict.fromkeys((*spec.inputs, spec.target, *spec.encoders)))
    codes = as_codes(columns, names)
    _, first, counts = np.unique(numbered(*codes.values()), return_index=True, return_counts=True)
    distinct = {name: column[first] for name, column in codes.items()}
    x, y = numbered(*(distinct[name] for name in spec.inputs)), numbered(distinct[spec.target])
    rows, num_x, num_y = int(counts.sum()), alphabet_size(x), alphabet_size(y)
    if num_y == 1:
        raise ValueError(f"the target {spec.target!r} has the same value in all {rows} rows: it has no information")
    _refuse_keys(distinct, spec, rows, num_x, num_y)
    constant = np.zeros_like(x)
    us = [numbered(distinct[name]) for name in spec.encoders]
    samples = [Sample.of(counts, x, y, u) for u in us]
    of_us = [Sample.of(counts, u, y, constant) for u in us]
    num_draws = max(
        least_num_draws(spec.confidence), min(spec.num_resamples, max(_FEW_DRAWS, _NUM_CELLS // (num_x * num_y)))
    )
    of_x = Sample.of(counts, x, y, constant)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        amounts = pool.submit(lambda: [_amounts_of(sample, spec) for sample in (of_x, *samples, *of_us)])
        p_values = [pool.submit(_permuted, key, sample, spec) for sample in samples]
        of_inputs = _interval(key, of_x, spec, num_draws)  # which compiles for all
        others = pool.map(lambda sample: _interval(key, sample, spec, num_draws), (*samples, *of_us))
        measured = zip((of_x, *samples, *of_us), amounts.result(), (of_inputs, *others), strict=True)
        about_x, *both = (_measured(*each, spec) for each in measured)
    informations = "I(X;Y)", *(f"I(X;Y|{u})" for u in spec.encoders), *(f"I({u};Y)" for u in spec.encoders)
    encoders = []
    for name, u, sample, given_u, of_u, p_value in zip(
        spec.encoders, us, samples, both[: len(us)], both[len(us) :], p_values, strict=True
    ):
        encoders.append(
            EncoderMeasurement(
                column=name,
                symbols=alphabet_size(u),
                is_function_of_inputs=alphabet_size(numbered(x, u)) == num_x,
                information=of_u.amounts.information,
                information_low=of_u.low,
                information_high=of_u.high,
                loss=given_u.amounts.loss,
                low=given_u.low,
                high=given_u.high,
                statistic=given_u.amounts.statistic,
                degrees_of_freedom=sample.freedom,
                p_value=given_u.amounts.p_value,
                permutation_p_value=p_value.result(),
                smallest_expected_count=sample.smallest_expected_count,
                small_share=sample.small_share(_SMALL_COUNT),
                method=_method(sample, spec),
            )
        )
    return Measurement(
        spec=spec,
        rows=rows,
        target_symbols=num_y,
        input_symbols=num_x,
        entropy_y=about_x.amounts.entropy_y,
        entropy_x=about_x.amounts.entropy_x,
        information=about_x.amounts.information,
        information_low=about_x.low,
        information_high=about_x.high,
        encoders=tuple(encoders),
        low_intervals=tuple(name for name, each in zip(informations, (about_x, *both), strict=True) if each.may_be_low),
    )


def _refuse_keys(columns: Mapping[str, np.ndarray], spec: MeasureSpec, rows: int, num_x: int, num_y: int) -> None:
    """Refuses an input or a target that is different in each row."""
    if num_y == rows:
        raise ValueError(
            f"the target {spec.target!r} is different in each of the {rows} rows: nothing can be estimated"
        )
    if num_x < rows:
        return
    keys = [repr(name) for name in spec.inputs if np.unique(columns[name]).size == rows]
    reason = f"{keys[0]} is a key: leave it out" if keys else "name fewer inputs (isjax rank says which columns matter)"
    raise ValueError(
        f"X = {', '.join(spec.inputs)} is different in each of the {rows} rows: nothing can be estimated; {reason}"
    )


class _Ends(NamedTuple):
    """An interval of one information."""

    estimate: float
    low: float
    high: float


class _Measured(NamedTuple):
    """Estimates of one information, and its interval."""

    amounts: "_Amounts"
    low: float
    high: float
    may_be_low: bool


def _method(sample: Sample, spec: MeasureSpec) -> Method:
    """The method of the spec, or Miller and Madow's if there are too many pairs of symbols for inversion."""
    is_wide = sample.num_rows * sample.sizes[1] > _MOST_PAIRS
    return "miller_madow" if spec.method == "inversion" and is_wide else spec.method


def _measured(sample: Sample, amounts: "_Amounts", interval: _Ends, spec: MeasureSpec) -> _Measured:
    """Amounts with an interval; by inversion, its estimate is that of the information."""
    may_be_low = False
    if _method(sample, spec) == "inversion":
        assumed = sample.assumed_share(interval.estimate / _unit(spec)) * interval.estimate
        may_be_low = assumed > _ASSUMED * (interval.high - interval.estimate)
        changed = {
            each: getattr(amounts, each)._replace(corrected=interval.estimate) for each in ("information", "loss")
        }
        amounts = amounts._replace(**changed)
    return _Measured(amounts, interval.low, interval.high, may_be_low)


def _amounts_of(sample: Sample, spec: MeasureSpec) -> "_Amounts":
    method = _method(sample, spec)
    method = "miller_madow" if method == "inversion" else method
    with jax.enable_x64(True):
        cells = sample.partition.cells_of(sample.counts)
        found = _amounts(cells, sample.sizes, _unit(spec), sample.freedom, method=method)
        return jax.tree.map(float, jax.device_get(found))


def _interval(key: Array, sample: Sample, spec: MeasureSpec, num_draws: int) -> _Ends:
    """The interval of I(X;Y|U) of a sample of the three, in the unit of the spec."""
    method = _method(sample, spec)
    if method == "inversion":
        ends = jax.device_get(_inverted(key, *sample.table(), spec.confidence, num_draws=num_draws))
        return _Ends(*(_unit(spec) * float(end) for end in ends))
    if method == "jackknife":
        with jax.enable_x64(True):
            estimate, error = jax.device_get(_jackknife(sample.partition.cells_of(sample.counts)))
        width = statistics.NormalDist().inv_cdf((1 + spec.confidence) / 2) * error
        return _Ends(*(_unit(spec) * float(end) for end in (estimate, estimate - width, estimate + width)))
    (losses,) = resampled_losses(generator(key), sample.counts, [sample.partition], spec.num_resamples)
    observed = _unit(spec) * sample.partition.loss(sample.counts)
    with jax.enable_x64(True):
        low, high = jax.device_get(_limits(observed, _unit(spec) * losses, spec.confidence))
    return _Ends(observed, float(low), float(high))


def _unit(spec: MeasureSpec) -> float:
    """One nat in the unit of the spec."""
    return 1 / math.log(spec.base or math.e)


def _permuted(key: Array, sample: Sample, spec: MeasureSpec) -> float:
    """P-value of the test of sufficiency by permutations."""
    rng = generator(jax.random.fold_in(key, 1))
    return permutation_p_value(rng, sample.counts, sample.partition, sample.freedom, spec.num_permutations)


class _Amounts(NamedTuple):
    """Estimates from the cells of one partition; the first three are of X and Y if the code is constant."""

    entropy_x: Estimate
    entropy_y: Estimate
    information: Estimate
    loss: Estimate
    statistic: float
    p_value: float


_limits = jax.jit(bootstrap_limits)
_jackknife = jax.jit(_estimates.jackknife_loss)
_inverted = jax.jit(invert, static_argnames="num_draws")


@jax.jit(static_argnames="method")
def _amounts(cells: Cells, sizes: tuple[Array, Array, Array], unit: Array, freedom: Array, *, method: str) -> _Amounts:
    """One program for all partitions of a sample."""

    def both(estimate: Callable[..., Any], *arguments: Array | Cells | Sequence[Array]) -> Estimate:
        return Estimate(*(unit * estimate(*arguments, each) for each in ("plug_in", method)))

    statistic = 2 * _cells.plug_in_information(cells)
    of_test: Any = (statistic, _cells.chi2_p_value(statistic, freedom))
    return _Amounts(
        both(_estimates.entropy_of_margin, cells.counts, cells.rows, sizes[0]),
        both(_estimates.entropy_of_margin, cells.counts, cells.columns, sizes[1]),
        both(_estimates.information_of_cells, cells, sizes),
        both(_estimates.loss_of_cells, cells, sizes),
        *of_test,
    )
