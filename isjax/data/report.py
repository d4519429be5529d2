"""The table of a measurement."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from isjax.estimation.measurement import Estimate, Measurement

__all__ = ["print_measurement"]


def print_measurement(
    found: Measurement, console: Console, *, num_dropped: int, unit: str, method: str, confidence: float
) -> None:
    """What X says about Y, and below it what each encoder keeps and loses of that."""
    dropped = f" ({num_dropped} with a missing value left out)" if num_dropped else ""
    symbols = "1 symbol" if found.input_symbols == 1 else f"{found.input_symbols} symbols"
    inputs = found.inputs[0] if len(found.inputs) == 1 else f"({', '.join(found.inputs)})"
    console.print(
        f"{found.rows} rows{dropped}, Y = {found.target} ({found.target_symbols} classes), X = {inputs} ({symbols}); "
        f"in {unit}, corrected by {method}",
        highlight=False,
        markup=False,
    )
    amounts = _columns(("", "left"), ("plug-in", "right"), ("corrected", "right"))
    for name, amount in (("H(Y)", found.entropy_y), ("H(X)", found.entropy_x), ("I(X;Y)", found.information)):
        amounts.add_row(name, *_both(amount))
    console.print(amounts)
    if not found.encoders:
        return
    interval = (f"{100 * confidence:g} % interval", "right")
    headings = ("I(U;Y)", "corrected", "I(X;Y|U)", "corrected")
    tests = (("χ² p", "right"), ("permuted p", "right"))
    losses = _columns(("U", "left"), ("codes", "right"), *((name, "right") for name in headings), interval, *tests)
    for each in found.encoders:
        losses.add_row(
            Text(each.column + ("" if each.is_function_of_inputs else " *")),
            str(each.symbols),
            *_both(each.information),
            *_both(each.loss),
            f"{each.low:.6f} to {each.high:.6f}",
            f"{each.p_value:.3g}",
            f"{each.permutation_p_value:.3g}",
        )
    console.print()
    console.print(losses)
    if not all(each.is_function_of_inputs for each in found.encoders):
        console.print("* not a function of X: I(X;Y|U) is what X says beyond U", highlight=False)


def _columns(*headings: tuple[str, str]) -> Table:
    """A table with these headings, each flush left or right."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, side in headings:
        table.add_column(heading, no_wrap=True, justify="right" if side == "right" else "left")
    return table


def _both(amount: Estimate) -> tuple[str, str]:
    return f"{amount.plug_in:.6f}", f"{amount.corrected:.6f}"
