"""The tables of a cross-validation, as they are printed."""

import math
import textwrap

import jax
import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from isjax.cross_validation import CrossValidation
from isjax.study import comparison
from isjax.study.results import label_of_network

__all__ = ["print_comparison"]


def print_comparison(study: xr.Dataset, console: Console, *, reference: str | None = None) -> None:
    """Prints, for each network, the risk of each sample by data length, then what it loses against the reference.

    Args:
      study: of samples.
      console: where to.
      reference: name of the sample to compare with; the one named in the study, or its first, if None.
    """
    found = comparison.cross_validation_of(study)
    reference = reference or str(study.attrs.get("reference", found.samples[0]))
    entropy, num_rows = float(found.target_entropy), found.row_loss.shape[-1]
    about = f"{num_rows} rows, {found.num_classes} classes, H(Y) = {entropy:.3f} nats; "
    about += f"{found.num_folds} folds, means over {len(found.fold)} seeds."
    console.print(textwrap.fill(about, 80), highlight=False)
    if ignorant := comparison.describe_ignorant(study):
        console.print(textwrap.fill(ignorant, 80), highlight=False)
    for i, network in enumerate(found.networks):
        longest = found.length[_order(found)[-1]]
        console.print(f"\n{label_of_network(study, network)}", style="bold", highlight=False, markup=False)
        console.print("held-out cross-entropy in nats, by the number of rows to learn from", highlight=False)
        console.print(_by_length(found, i))
        title = f"\nwith {longest} rows: the rise is over {reference}, with its 95 % interval"
        console.print(title, highlight=False, markup=False)
        console.print(_at_longest(found, i, reference))
        for sentence in _sentences(found, i, reference):
            console.print(textwrap.fill(sentence, 80), style="italic", highlight=False, markup=False)
    seconds = {name: study.attrs.get(f"{name}_seconds") for name in ("compile", "run")}
    if None not in seconds.values():
        console.print(f"\ncompiling took {seconds['compile']:.1f} s, training {seconds['run']:.1f} s", highlight=False)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("encoder", overflow="fold", max_width=24)
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="right")
    return table


def _order(found: CrossValidation) -> np.ndarray:
    return np.argsort(np.asarray(found.length), kind="stable")


def _by_length(found: CrossValidation, network: int) -> Table:
    order = _order(found)
    table = _table(*(str(n) for n in np.asarray(found.length)[order]))
    risk = np.asarray(found.risk)[:, network].mean(-1)[:, order]
    for name, values in zip(found.samples, risk, strict=True):
        table.add_row(escape(name), *map(_number, values.tolist()))
    return table


def _at_longest(found: CrossValidation, network: int, reference: str) -> Table:
    longest = _order(found)[-1]
    rise = jax.device_get(found.rise(reference))
    has_codelength = found.length.size > 1  # of one length it is log |Y|, whatever the sample
    table = _table("accuracy", "rise", "low", "high", *(["codelength nats", "bits"] if has_codelength else []))
    accuracy, length = (np.asarray(part)[:, network] for part in (found.accuracy, found.codelength))
    for i, name in enumerate(found.samples):
        ends = [float(part[i, network, longest]) for part in (rise.estimate, rise.low, rise.high)]
        ends = ["", "", ""] if name == reference else [_number(end) for end in ends]
        nats = float(length[i].mean())
        share = accuracy[i, longest].mean()
        codelength = [_number(nats), _number(nats / math.log(2))] if has_codelength else []
        table.add_row(escape(name), _number(float(share)), *ends, *codelength)
    return table


def _sentences(found: CrossValidation, network: int, reference: str) -> list[str]:
    """What the intervals say."""
    longest, rise = _order(found)[-1], jax.device_get(found.rise(reference))
    sentences = []
    for i, name in enumerate(found.samples):
        low, high = float(rise.low[i, network, longest]), float(rise.high[i, network, longest])
        if name == reference or not np.isfinite(low):
            continue
        if low > 0:
            sentences.append(f"{name} costs these learners {low:.3g} to {high:.3g} nats more than {reference}.")
        elif high < 0:
            sentences.append(f"{name} saves these learners {-high:.3g} to {-low:.3g} nats against {reference}.")
        else:
            sentences.append(f"No difference between {name} and {reference} is seen: {low:.3g} to {high:.3g} nats.")
    for few, many, num_rows in comparison.crossings(found, found.networks[network]):
        sentences.append(f"Until about {num_rows:.0f} rows {few} is better than {many}; with more, {many} is.")
    if found.length.size > 1:
        shorter = _order(found)[-2]
        more = np.asarray(found.risk)[:, network].mean(-1)
        gain = more[:, shorter] - more[:, longest]
        best = int(np.nanargmax(gain)) if np.isfinite(gain).any() else 0
        if gain[best] > 0.01:
            sentences.append(
                f"More rows may help: the cross-entropy of {found.samples[best]} fell by {gain[best]:.3f} nats from "
                f"{found.length[shorter]} to {found.length[longest]} rows."
            )
    return sentences


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
