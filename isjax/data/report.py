"""What is printed and written of people's data: the table of a measurement, and the tables of quantizers."""

import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from isjax._shell.files import write_atomically
from isjax.estimation.codes import FoundCodes
from isjax.estimation.measurement import Estimate, Measurement
from isjax.estimation.ranking import Ranking

__all__ = ["print_codes", "print_measurement", "print_ranking", "write_codes"]


def print_measurement(found: Measurement, console: Console, *, num_dropped: int = 0) -> None:
    """Prints what X says about Y, and below it what each encoder retains and loses of that.

    Args:
      found: what ``measure`` returns.
      console: where to print.
      num_dropped: number of rows of the file dropped for a missing value.

    Examples:
      >>> import isjax.data.report, jax, numpy as np, rich.console
      >>> spec = isjax.data.MeasureSpec(target="y", inputs=("x",))
      >>> found = isjax.data.measure(jax.random.key(0), {"x": np.arange(4) % 2, "y": np.arange(4) % 2}, spec)
      >>> isjax.data.report.print_measurement(found, rich.console.Console(width=80))  # doctest: +ELLIPSIS
      4 rows, Y = y (2 classes), X = x (2 symbols); in nats, corrected by inversion
      ...
    """
    dropped = f" ({num_dropped} dropped for a missing value)" if num_dropped else ""
    symbols = "1 symbol" if found.input_symbols == 1 else f"{found.input_symbols} symbols"
    inputs = found.inputs[0] if len(found.inputs) == 1 else f"({', '.join(found.inputs)})"
    console.print(
        f"{found.rows} rows{dropped}, Y = {found.target} ({found.target_symbols} classes), X = {inputs} ({symbols}); "
        f"in {found.unit}, corrected by {found.method}",
        highlight=False,
        markup=False,
    )
    interval = f"{100 * found.confidence:g} % interval"
    amounts = _columns(("", "left"), ("plug-in", "right"), ("corrected", "right"), (interval, "right"))
    for name, amount in (("H(Y)", found.entropy_y), ("H(X)", found.entropy_x)):
        amounts.add_row(name, *_both(amount))
    amounts.add_row("I(X;Y)", *_both(found.information), _range(found.information_low, found.information_high))
    console.print(amounts)
    if not found.encoders:
        return
    names = [_short(each.column) + ("" if each.is_function_of_inputs else " *") for each in found.encoders]
    retained = _columns(("U", "left"), *((name, "right") for name in ("codes", "I(U;Y)", "corrected", interval)))
    headings = ("I(X;Y|U)", "corrected", interval, "χ² p", "permuted p")
    lost = _columns(("U", "left"), *((name, "right") for name in headings))
    for name, each in zip(names, found.encoders, strict=True):
        kept = _range(each.information_low, each.information_high)
        retained.add_row(Text(name), str(each.symbols), *_both(each.information), kept)
        lost.add_row(
            Text(name),
            *_both(each.loss),
            _range(each.low, each.high),
            f"{each.p_value:.3g}",
            f"{each.permutation_p_value:.3g}",
        )
    for table in (retained, lost):
        console.print()
        console.print(table)
    if not all(each.is_function_of_inputs for each in found.encoders):
        console.print("* not a function of X: I(X;Y|U) is what X says about Y beyond U", highlight=False)


_LONGEST_NAME = 12  # characters, so that the tables fit into 80


def _short(name: str) -> str:
    """A column's name on one line, its middle left out if it is long."""
    name = " ".join(name.split())
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _columns(*headings: tuple[str, str]) -> Table:
    """A table with these headings, each aligned left or right."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, side in headings:
        table.add_column(heading, no_wrap=True, justify="right" if side == "right" else "left")
    return table


def _amount(value: float) -> str:
    """An amount of information, to four significant digits."""
    return f"{value:.4g}"


def _range(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"


def _both(amount: Estimate) -> tuple[str, str]:
    return _amount(amount.plug_in), _amount(amount.corrected)


def print_ranking(found: Ranking, console: Console, *, num_dropped: int = 0, most: int = 30) -> None:
    """Prints what each column says about the target, and which of them add something to those before.

    Args:
      found: what ``rank`` returns.
      console: where to print.
      num_dropped: number of rows of the file dropped for a missing value.
      most: how many columns are printed.

    Examples:
      >>> import isjax.data.report, jax, numpy as np, rich.console
      >>> columns = {"x": np.arange(40) % 2, "y": np.arange(40) % 2}
      >>> found = isjax.data.rank(jax.random.key(0), columns, isjax.data.RankSpec(target="y"))
      >>> isjax.data.report.print_ranking(found, rich.console.Console(width=80))  # doctest: +ELLIPSIS
      40 rows, Y = y, H(Y) = 0.6931 nats
      ...
    """
    dropped = f" ({num_dropped} dropped for a missing value)" if num_dropped else ""
    about = f"{found.rows} rows{dropped}, Y = {found.target}, H(Y) = {_amount(found.entropy_y)} nats"
    console.print(about, highlight=False, markup=False)
    headings = (("X", "left"), ("symbols", "right"), ("H(X)", "right"), ("I(X;Y)", "right"))
    alone = _columns(*headings, ("95 % interval", "right"), ("p", "right"))
    for each in found.columns[:most]:
        alone.add_row(
            Text(_short(each.column)),
            str(each.symbols),
            _amount(each.entropy),
            _amount(each.information),
            Text(_short(each.note)) if each.note else f"{each.low:.3g} to {each.high:.3g}",
            f"{each.adjusted_p_value:.2g}",
        )
    console.print(alone)
    if len(found.columns) > most:
        console.print(f"and {len(found.columns) - most} more columns", highlight=False)
    console.print()
    if not found.steps:
        console.print("No column says anything about Y that chance does not.", highlight=False)
        return
    steps = _columns(("added", "left"), ("adds", "right"), ("in all", "right"), ("of H(Y)", "right"), ("p", "right"))
    for step in found.steps:
        share = f"{step.total / found.entropy_y:.1%}"
        steps.add_row(
            Text(_short(step.column)), _amount(step.information), _amount(step.total), share, f"{step.p_value:.2g}"
        )
    console.print(steps)
    console.print("No other column adds anything.", highlight=False)


def print_codes(found: FoundCodes, console: Console, *, num_dropped: int = 0) -> None:
    """Prints what the best encoders lose and keep, by their number of codes.

    Args:
      found: what ``find_codes`` returns.
      console: where to print.
      num_dropped: number of rows of the file dropped for a missing value.

    Examples:
      >>> import isjax.data.report, jax, numpy as np, rich.console
      >>> columns = {"x": np.arange(40) % 2, "y": np.arange(40) % 2}
      >>> found = isjax.data.find_codes(jax.random.key(0), columns, target="y", input="x", num_codes=2)
      >>> isjax.data.report.print_codes(found, rich.console.Console(width=80))  # doctest: +ELLIPSIS
      40 rows, X = x (2 symbols), Y = y (2)
      ...
    """
    dropped = f" ({num_dropped} dropped for a missing value)" if num_dropped else ""
    information = found.information

    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    line(
        f"{found.rows} rows{dropped}, X = {found.input} ({found.input_symbols} symbols), Y = {found.target} "
        f"({found.target_symbols})"
    )
    line(
        f"I(X;Y) = {_amount(information.plug_in)} nats, corrected {_amount(information.corrected)}; "
        f"H(Y) = {_amount(found.entropy_y)}"
    )
    for column, symbols in ((found.input, found.input_symbols), (found.target, found.target_symbols)):
        if symbols == 1:
            line(f"{column} is constant: I(X;Y) is zero")
    headings = ("codes K", "loss I(X;Y|U)", "keeps I(U;Y)", "in other rows", "of I(X;Y)", "p")
    table = _columns(*((heading, "right") for heading in headings), ("", "left"))
    says = information.corrected > 0 and found.says_something
    amounts = (np.asarray(found.quantizers.loss).tolist(), found.kept.tolist(), found.p_values.tolist())
    for k, (loss, kept, p_value) in enumerate(zip(*amounts, strict=True)):
        table.add_row(
            str(k + 1),
            _amount(loss),
            _amount(max(information.plug_in - loss, 0.0)),
            _amount(kept),
            f"{min(kept / information.corrected, 1):.1%}" if says else "–",
            f"{p_value:.2g}" if p_value > 1e-99 else "< 1e-99",
            "optimal" if found.quantizers.is_global[k] else "best found",
        )
    console.print(table)
    if not says:
        line("No code says anything in other rows: what they keep here is chance.")
    else:
        line("In other rows: codes found in one half of the rows, measured in the other.")


def write_codes(path: str | os.PathLike[str], found: FoundCodes, labels: tuple[str, ...]) -> Path:
    """Writes the code of each symbol: a row for each symbol, a column ``k=K`` for each number of codes from 2 on.

    Args:
      path: a file ``….csv``.
      found: what ``find_codes`` returns.
      labels: the symbols of X.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.

    Examples:
      >>> import isjax.data.report, jax, numpy as np, tempfile
      >>> columns = {"x": np.arange(40) % 2, "y": np.arange(40) % 2}
      >>> found = isjax.data.find_codes(jax.random.key(0), columns, target="y", input="x", num_codes=2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = isjax.data.report.write_codes(folder + "/codes.csv", found, ("a", "b"))
      ...     print(path.read_text().split())
      ['symbol,probability,k=2', 'a,0.5,0', 'b,0.5,1']
    """
    import polars as pl

    codes = {f"k={k}": of_k for k, of_k in enumerate(np.asarray(found.quantizers.codes), start=1) if k > 1}
    frame = pl.DataFrame({"symbol": labels, "probability": found.p_x, **codes})
    return write_atomically(path, frame.write_csv)
