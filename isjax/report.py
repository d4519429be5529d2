"""The tables that a person reads: what a study found, source by source, and what a sample says."""

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from isjax import results
from isjax.measurement import Estimate, Measurement

__all__ = ["print_measurement", "print_study"]

_TARGET = 0.1
"""Excess risk, in nats, for which the tables say how much data it took."""


def print_study(study: xr.Dataset, console: Console) -> None:
    """A table for each source: excess risk by data length; below it, what each encoder needed and where it stopped."""
    risk = results.best_excess_risk(study).mean("seed")
    samples = results.samples_to_reach(risk, _TARGET)
    networks = [(hidden, size) for hidden in study["hidden"].values for size in study["batch_size"].values]
    console.print(f"Least excess risk over H(Y|X) in nats by data length n, mean over {study.sizes['seed']} seeds;")
    console.print(f"n* is the data length that reaches {_TARGET} nats.")
    for source, encoders in results.problems_by_source(study).items():
        table = Table(title=f"\n{source}", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        for heading in ("encoder", "loss", "MLP"):
            table.add_column(heading, no_wrap=True, justify="right" if heading == "loss" else "left")
        for heading in (*map(str, study["length"].values), "n*"):
            table.add_column(heading, no_wrap=True, justify="right")
        for encoder, problem in encoders.items():
            for hidden, size in networks:
                at = {"problem": problem, "hidden": hidden, "batch_size": size}
                network = str(hidden) + (f" B={size}" if study.sizes["batch_size"] > 1 else "")
                names = (encoder, f"{float(study['encoder_bias'].sel(problem=problem)):.3f}")
                reached = float(samples.sel(at))
                table.add_row(
                    *(names if (hidden, size) == networks[0] else ("", "")),
                    network,
                    *(f"{float(value):.3f}" for value in risk.sel(at)),
                    "–" if np.isnan(reached) else f"{reached:.0f}",
                )
        console.print(table)
        for fact in _facts(study, risk, samples, encoders):
            console.print(fact, style="italic", highlight=False)
    seconds = {name: study.attrs.get(f"{name}_seconds") for name in ("compile", "run")}
    if None not in seconds.values():
        console.print(f"\ncompiling took {seconds['compile']:.1f} s, training {seconds['run']:.1f} s", highlight=False)


def _facts(study: xr.Dataset, risk: xr.DataArray, samples: xr.DataArray, encoders: dict[str, str]) -> list[str]:
    """What one source shows: how much data the sufficient code saves, and where the biased one stops."""
    facts = []
    if {"identity", "sufficient"} <= encoders.keys():
        itself, reached = (samples.sel(problem=encoders[name]).to_numpy() for name in ("identity", "sufficient"))
        both, alone = ~np.isnan(itself) & ~np.isnan(reached), np.isnan(itself) & ~np.isnan(reached)
        if both.any():
            times = _span(itself[both] / reached[both], ".1f")
            facts.append(f"the sufficient U reaches {_TARGET} nats with {times} times less data than X itself")
        if alone.any():
            at = _span(reached[alone], ".0f")
            facts.append(f"the sufficient U reaches {_TARGET} nats at n={at}, where X itself does at no length")
    if "biased" in encoders:
        loss = float(study["encoder_bias"].sel(problem=encoders["biased"]))
        longest = int(np.argmax(study["length"].values))
        at = f"at n={study['length'].values[longest]}"
        last = risk.sel(problem=encoders["biased"]).isel(length=longest).to_numpy()
        if loss > 1e-6:
            facts.append(
                f"the biased U, which loses {loss:.3f} nats, is {at} at {_span(last / loss, '.3f')} times that"
            )
        else:
            facts.append(f"the biased U loses nothing here, and is {at} at {_span(last, '.3f')} nats")
    return facts


def _span(values: np.ndarray, form: str) -> str:
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"


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
