"""The tables that a person reads: what a study found, source by source, and what a sample says."""

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from isjax.study import results

__all__ = ["print_study"]

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
