"""The tables of a study, source by source, as they are printed."""

import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from isjax.study import results
from isjax.study.comparison import is_comparison
from isjax.study.comparison_report import print_comparison

__all__ = ["print_study"]

_TARGET = 0.1
"""Excess risk, in nats, for which the tables say how much data it took."""


def print_study(study: xr.Dataset, console: Console) -> None:
    """Prints tables for each source: excess risk by data length, then what each encoder needed and what it loses.

    Below it the accuracy, and the risk under other scoring rules, if the study has them.
    """
    if is_comparison(study):
        print_comparison(study, console)
        return
    risk, least = (study[name].mean("seed") for name in ("last_excess_risk", "best_excess_risk"))
    needed, needed_least = (results.samples_to_reach(mean, _TARGET) for mean in (risk, least))
    console.print("Excess risk over H(Y|X) in nats after the last step, by data length n,")
    console.print(f"mean over {study.sizes['seed']} seeds; n* is the length that reaches {_TARGET} nats.")
    if "rule" in study.dims:
        console.print("Accuracies and other risks likewise; best, least: of the best decoder of U.")
    if diverged := results.describe_diverged(study):
        console.print(textwrap.fill(diverged, 80), style="bold", highlight=False)
    for source, encoders in results.positions_by_source(study).items():
        console.print(_by_length(study, encoders, source, risk, {"loss": study["encoder_bias"]}, needed))
        for title, values, beside in _under_other_rules(study):
            console.print(_by_length(study, encoders, title, values, beside))
        if (parts := _parts(study, encoders)) is not None:
            console.print(parts)
        findings = _savings(needed, encoders, "after the last step")
        findings += _savings(needed_least, encoders, "at the least risk along a run")
        findings += [_loss_of_biased(study, risk, encoders["biased"])] if "biased" in encoders else []
        for finding in findings:
            console.print(textwrap.fill(finding, 80), style="italic", highlight=False)
    seconds = {name: study.attrs.get(f"{name}_seconds") for name in ("compile", "run")}
    if None not in seconds.values():
        console.print(f"\ncompiling took {seconds['compile']:.1f} s, training {seconds['run']:.1f} s", highlight=False)


def _by_length(
    study: xr.Dataset,
    encoders: dict[str, int],
    title: str,
    values: xr.DataArray,
    of_encoder: dict[str, xr.DataArray],
    needed: xr.DataArray | None = None,
) -> Table:
    """A row for each encoder and network: values of the encoder, then those by data length, then the length needed."""
    style = "italic" if needed is None else "bold"
    table = Table(title=f"\n{title}", title_justify="left", title_style=style, box=None, padding=(0, 1, 0, 0))
    for heading in ("encoder", *of_encoder, "network" if results.label_of_network(study, "") == "" else "MLP"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in of_encoder else "left")
    for heading in (*map(_length, study["length"].values), *([] if needed is None else ["n*"])):
        table.add_column(heading, no_wrap=True, justify="right")
    networks = list(itertools.product(study["network"].values, study["batch_size"].values))
    for encoder, position in encoders.items():
        first = [encoder, *(f"{float(column.isel(problem=position)):.3f}" for column in of_encoder.values())]
        for i, (network, size) in enumerate(networks):
            chosen = {"network": network, "batch_size": size}
            by_length = values.isel(problem=position).sel(chosen).to_numpy()
            reached = [] if needed is None else [float(needed.isel(problem=position).sel(chosen))]
            table.add_row(
                *(first if i == 0 else [""] * len(first)),
                str(network) + (f" B={size}" if study.sizes["batch_size"] > 1 else ""),
                *("–" if np.isnan(value) else f"{value:.3f}" for value in by_length),
                *("–" if np.isnan(value) else f"{value:.0f}" for value in reached),
            )
    return table


def _under_other_rules(study: xr.Dataset) -> Iterator[tuple[str, xr.DataArray, dict[str, xr.DataArray]]]:
    """The accuracy, and the risk under each scoring rule but the logarithmic one: a title, the values, what is best."""
    if "rule" not in study.dims:
        return
    risks, best = results.last_risks(study), study["scored_conditional_entropy"] + study["scored_encoder_bias"]
    names = study["rule"].to_numpy().tolist()
    if "zero_one" in names:
        yield "accuracy", 1 - risks.sel(rule="zero_one"), {"best": 1 - best.sel(rule="zero_one")}
    for rule in names:
        if rule not in ("log", "zero_one"):
            yield f"{rule} risk", risks.sel(rule=rule), {"least": best.sel(rule=rule)}


def _length(length: Any) -> str:  # noqa: ANN401
    return "∞" if np.isinf(length) else f"{int(length)}"


def _parts(study: xr.Dataset, encoders: dict[str, int]) -> Table | None:
    """Where the excess risk of the longest data comes from, if networks have codes or some data have no end."""
    lengths = study["length"].to_numpy()
    has_codes, has_infinite, finite = "least_code_loss" in study, np.isinf(lengths).any(), lengths[np.isfinite(lengths)]
    if not (has_codes or has_infinite):
        return None
    longest = finite.max() if finite.size else np.inf
    parts = results.parts_of_risk(study).isel(evaluation=-1)
    columns = {"bias": parts["encoder_bias"]}
    if has_codes:
        columns |= {"code loss": parts["code_loss"].sel(length=longest), "least": study["least_code_loss"]}
    columns["decoder error"] = parts["decoder_error"].sel(length=longest)
    if has_infinite and finite.size:
        columns["approximation"] = parts["decoder_error"].sel(length=np.inf)
        columns["estimation"] = columns["decoder error"] - columns["approximation"]
    table = Table(title=f"\nparts at n={_length(longest)}", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for i, heading in enumerate(("encoder", "network", *columns)):
        table.add_column(heading, no_wrap=True, justify="right" if i > 1 else "left")
    for (encoder, position), network, size in itertools.product(
        encoders.items(), study["network"].values, study["batch_size"].values
    ):
        chosen = {"network": network, "batch_size": size}
        values = [
            float(column.isel(problem=position).sel({name: chosen[name] for name in chosen if name in column.dims}))
            for column in columns.values()
        ]
        table.add_row(encoder, str(network), *("–" if np.isnan(value) else f"{value:.3f}" for value in values))
    return table


def _savings(needed: xr.DataArray, encoders: dict[str, int], when: str) -> list[str]:
    """Sentences about how much data the sufficient code of one source saves."""
    if not {"identity", "sufficient"} <= encoders.keys():
        return []
    itself, reached = (needed.isel(problem=encoders[name]).to_numpy() for name in ("identity", "sufficient"))
    both, alone = ~np.isnan(itself) & ~np.isnan(reached), np.isnan(itself) & ~np.isnan(reached)
    findings = []
    if both.any():
        times = _span(itself[both] / reached[both], ".1f")
        findings.append(f"{when}, the sufficient U needs {times} times less data than X itself")
    if alone.any():
        at = _span(reached[alone], ".0f")
        findings.append(f"{when}, the sufficient U needs n={at}; X itself reaches {_TARGET} at no length")
    return findings


def _loss_of_biased(study: xr.Dataset, risk: xr.DataArray, position: int) -> str:
    """A sentence about what the biased code of one source loses."""
    loss, longest = float(study["encoder_bias"].isel(problem=position)), int(np.argmax(study["length"].values))
    at, last = (
        f"at n={_length(study['length'].values[longest])}",
        risk.isel(problem=position, length=longest).to_numpy(),
    )
    if loss > 1e-6:
        return f"the biased U loses {loss:.3f} nats; its excess risk {at} is {_span(last / loss, '.3f')} times that"
    return f"the biased U loses nothing here; its excess risk {at} is {_span(last, '.3f')} nats"


def _span(values: np.ndarray, form: str) -> str:
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"
