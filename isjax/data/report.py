"""What is printed and written of people's data: the table of a measurement, and the tables of quantizers."""

import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from isjax._shell.files import write_atomically
from isjax._typing import Float
from isjax.estimation.measurement import Estimate, Measurement
from isjax.estimation.ranking import Ranking
from isjax.quantizers import Quantizer

__all__ = ["print_measurement", "print_ranking", "quantizer_table", "write_codes"]


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


def quantizer_table(quantizers: Quantizer, information: float) -> Table:
    """Table of the loss and the relevance against the number of codes.

    Args:
      quantizers: the best encoders of 1, 2, … codes, along a leading axis ``[k]``.
      information: I(X;Y) in nats.

    Returns:
      A table of rich's.

    Examples:
      >>> import isjax.data.report, jax, jax.numpy as jnp
      >>> found = isjax.quantizers.quantizers_up_to(jax.random.key(0), jnp.eye(2) / 2, num_codes=2)
      >>> isjax.data.report.quantizer_table(found, 0.6931).row_count
      2
    """
    headings = ("codes K", "loss I(X;Y|U)", "relevance I(U;Y)", "of I(X;Y)")
    table = _columns(*((heading, "right") for heading in headings), ("", "left"))
    losses, are_global = np.asarray(quantizers.loss).tolist(), np.asarray(quantizers.is_global).tolist()
    for k, (loss, is_global) in enumerate(zip(losses, are_global, strict=True), start=1):
        relevance = max(information - loss, 0.0)
        share = f"{relevance / information:.1%}" if information > 0 else "–"
        how = "optimal" if is_global else "best found"
        table.add_row(str(k), _amount(loss), _amount(relevance), share, how)
    return table


def write_codes(
    path: str | os.PathLike[str], labels: tuple[str, ...], p_x: Float[np.ndarray, "x"], quantizers: Quantizer
) -> Path:
    """Writes the code of each symbol: a row for each symbol, a column ``k=K`` for each number of codes from 2 on.

    Args:
      path: a file ``….csv``.
      labels: the symbols of X.
      p_x: distribution of X, shape ``[x]``.
      quantizers: the best encoders of 1, 2, … codes, along a leading axis ``[k]``.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.

    Examples:
      >>> import isjax.data.report, jax, jax.numpy as jnp, numpy as np, tempfile
      >>> joint = jnp.eye(2) / 2
      >>> found = isjax.quantizers.quantizers_up_to(jax.random.key(0), joint, num_codes=2)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = isjax.data.report.write_codes(folder + "/codes.csv", ("a", "b"), np.array([0.5, 0.5]), found)
      ...     print(path.read_text().split())
      ['symbol,probability,k=2', 'a,0.5,0', 'b,0.5,1']
    """
    import polars as pl

    codes = {f"k={k}": of_k for k, of_k in enumerate(np.asarray(quantizers.codes), start=1) if k > 1}
    frame = pl.DataFrame({"symbol": labels, "probability": p_x.astype(np.float64), **codes})
    return write_atomically(path, frame.write_csv)
