"""The tables of a study, source by source, as they are printed."""

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from isjax.study import results

__all__ = ["print_study"]

_TARGET = 0.1
"""Excess risk, in nats, for which the tables say how much data it took."""


def print_study(study: xr.Dataset, console: Console) -> None:
    """Prints a table for each source: excess risk by data length, then what each encoder needed and what it loses."""
    risk = study["best_excess_risk"].mean("seed")
    samples = results.samples_to_reach(risk, _TARGET)
    networks = [(str(name), size) for name in study["network"].values for size in study["batch_size"].values]
    console.print(f"Least excess risk over H(Y|X) in nats by data length n, mean over {study.sizes['seed']} seeds;")
    console.print(f"n* is the data length that reaches {_TARGET} nats.")
    for source, encoders in results.positions_by_source(study).items():
        table = Table(title=f"\n{source}", title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        for heading in ("encoder", "loss", "MLP"):
            table.add_column(heading, no_wrap=True, justify="right" if heading == "loss" else "left")
        for heading in (*map(str, study["length"].values), "n*"):
            table.add_column(heading, no_wrap=True, justify="right")
        for encoder, position in encoders.items():
            for network, size in networks:
                of_network, reached = (
                    array.isel(problem=position).sel(network=network, batch_size=size) for array in (risk, samples)
                )
                first = encoder, f"{float(study['encoder_bias'].isel(problem=position)):.3f}"
                table.add_row(
                    *(first if (network, size) == networks[0] else ("", "")),
                    network + (f" B={size}" if study.sizes["batch_size"] > 1 else ""),
                    *(f"{value:.3f}" for value in of_network.to_numpy()),
                    "–" if np.isnan(reached) else f"{float(reached):.0f}",
                )
        console.print(table)
        for finding in _findings(study, risk, samples, encoders):
            console.print(finding, style="italic", highlight=False)
    seconds = {name: study.attrs.get(f"{name}_seconds") for name in ("compile", "run")}
    if None not in seconds.values():
        console.print(f"\ncompiling took {seconds['compile']:.1f} s, training {seconds['run']:.1f} s", highlight=False)


def _findings(study: xr.Dataset, risk: xr.DataArray, samples: xr.DataArray, encoders: dict[str, int]) -> list[str]:
    """Sentences about one source: how much data the sufficient code saves, and what the biased one loses."""
    findings = []
    if {"identity", "sufficient"} <= encoders.keys():
        itself, reached = (samples.isel(problem=encoders[name]).to_numpy() for name in ("identity", "sufficient"))
        both, alone = ~np.isnan(itself) & ~np.isnan(reached), np.isnan(itself) & ~np.isnan(reached)
        if both.any():
            times = _span(itself[both] / reached[both], ".1f")
            findings.append(f"the sufficient U reaches {_TARGET} nats with {times} times less data than X itself")
        if alone.any():
            at = _span(reached[alone], ".0f")
            findings.append(f"the sufficient U reaches {_TARGET} nats at n={at}, X itself at no length")
    if "biased" in encoders:
        loss = float(study["encoder_bias"].isel(problem=encoders["biased"]))
        longest = int(np.argmax(study["length"].values))
        at = f"at n={study['length'].values[longest]}"
        last = risk.isel(problem=encoders["biased"], length=longest).to_numpy()
        if loss > 1e-6:
            times = _span(last / loss, ".3f")
            findings.append(f"the biased U loses {loss:.3f} nats; its excess risk {at} is {times} times that")
        else:
            findings.append(f"the biased U loses nothing here; its excess risk {at} is {_span(last, '.3f')} nats")
    return findings


def _span(values: np.ndarray, form: str) -> str:
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"
