"""The figures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator

from isjax.bottleneck import Bottleneck
from isjax.results import best_excess_risk, problems_by_source, write_whole

__all__ = ["bottleneck_figure", "save", "study_figure"]

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.4,
}

# Okabe and Ito's colours, told apart by the colour-blind too, with a marker each for print without colour.
_LOOKS = {
    "identity": ("#0072B2", "o", "X itself"),
    "sufficient": ("#009E73", "s", "sufficient U"),
    "biased": ("#D55E00", "^", "biased U"),
}
_LEGEND_WIDTH = 1.8  # inches an entry
_OTHER_COLOURS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")


def study_figure(study: xr.Dataset) -> Figure:
    """Excess risk against data length, a line for each encoder, and the biased ones' losses as the floors they are.

    A panel for each network (rows) and source (columns), on log axes. Lines are means over seeds of the least excess
    risk along a run, bands reach from the least seed to the greatest.

    Args:
      study: as ``isjax.results.to_dataset`` makes it, its problems named ``source / encoder``.

    Returns:
      A figure, on no screen.

    Examples:
      >>> import isjax.runner, isjax.plotting
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.runner.run(jax.random.key(1), {"mine / biased": source.problem("biased")}, spec)
      >>> len(isjax.plotting.study_figure(study).axes)
      1
    """
    risk, loss = best_excess_risk(study), study["encoder_bias"]
    panels = problems_by_source(study)
    networks = [(hidden, size) for hidden in study["hidden"].values for size in study["batch_size"].values]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(max(3.4, 1.75 * len(panels) + 0.6), 1.5 * len(networks)))
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(networks), len(panels), sharex=True, sharey=True, squeeze=False)
        _format(axes[0, 0], study["length"].to_numpy(), _limits(risk, loss))
        handles = {}
        for row, (hidden, size) in enumerate(networks):
            for column, (source, encoders) in enumerate(panels.items()):
                axis = axes[row, column]
                of_network = risk.sel(hidden=hidden, batch_size=size)
                handles |= _panel(axis, of_network, loss, encoders)
                if row == 0:
                    axis.set_title(source)
            of_batch = f", batch {size}" if study.sizes["batch_size"] > 1 else ""
            axes[row, 0].set_ylabel(f"MLP {hidden or 'linear'}{of_batch}")
        _arrange(figure, handles)
    return figure


def _panel(axis: Axes, risk: xr.DataArray, loss: xr.DataArray, encoders: dict[str, str]) -> dict[str, Artist]:
    """One source and one network: a line and a band for each encoder, a dashed floor where it loses information."""
    handles: dict[str, Artist] = {}
    others = iter(_OTHER_COLOURS * (1 + len(encoders) // len(_OTHER_COLOURS)))
    for encoder, name in encoders.items():
        colour, marker, label = _LOOKS.get(encoder) or (next(others), "D", encoder)
        of_seeds = risk.sel(problem=name)
        length = of_seeds["length"].to_numpy()
        (handles[label],) = axis.plot(length, of_seeds.mean("seed"), color=colour, marker=marker, label=label)
        axis.fill_between(length, of_seeds.min("seed"), of_seeds.max("seed"), color=colour, alpha=0.18, linewidth=0)
        floor = float(loss.sel(problem=name))
        if floor > 1e-6:
            line = axis.axhline(floor, color=colour, linestyle=(0, (4, 2)), linewidth=1)
            handles[f"loss I(X;Y|U) of {label}"] = line
    return handles


def _limits(risk: xr.DataArray, loss: xr.DataArray) -> tuple[float, float]:
    """Where the axis of risks begins and ends: around all lines, and not further down than four decades."""
    lowest, highest = float(risk.min()), float(risk.max()) or 1.0
    floors = [floor for floor in loss.to_numpy().tolist() if floor > 1e-6]
    return max(min([lowest, *floors]) / 1.3, highest * 1e-4), highest * 1.6


def _format(axis: Axes, lengths: np.ndarray, limits: tuple[float, float]) -> None:
    """Log axes: a tick at every second length, written out, and decades of nats, parted at 2 and 5 if there are few.

    All panels share them, so that one stands for all; limits set beforehand spare a search at each line drawn.
    """
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlim(lengths.min() / 1.3, lengths.max() * 1.3)
    axis.set_ylim(*limits)
    axis.xaxis.set_major_locator(FixedLocator(lengths[:: max(1, -(-len(lengths) // 4))].tolist()))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    subs = (1.0,) if limits[1] > 30 * limits[0] else (1.0, 2.0, 5.0)
    axis.yaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.minorticks_off()  # they would take half of the time


def _arrange(figure: Figure, handles: dict[str, Artist]) -> None:
    """Adds a legend above the panels and what their axes are beside them, and the room for these.

    The margins, in inches, fit labels of one line. To have matplotlib find them would take as long as to draw.
    """
    columns = max(1, min(len(handles), int(figure.get_figwidth() // _LEGEND_WIDTH)))
    above, below = 0.3 + 0.16 * -(-len(handles) // columns), 0.42
    width, height = figure.get_figwidth(), figure.get_figheight() + above + below
    left, right, bottom, top = 0.84 / width, 1 - 0.14 / width, below / height, 1 - above / height
    figure.set_figheight(height)
    figure.subplots_adjust(left, bottom, right, top, wspace=0.06, hspace=0.12)
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=columns, borderaxespad=0.3)
    figure.supxlabel("data length n (samples)", fontsize=8, x=(left + right) / 2, y=0.06 / height)
    figure.supylabel("excess risk over H(Y|X) (nats)", fontsize=8, x=0.06 / width, y=(bottom + top) / 2)


def bottleneck_figure(
    curve: Bottleneck, quantizers: Sequence[tuple[float, float]], *, information: float, title: str = ""
) -> Figure:
    """Relevance against complexity: the curve that no encoder passes, and deterministic encoders below it.

    Args:
      curve: as ``isjax.bottleneck_curve`` gives it.
      quantizers: deterministic encoders of 1, 2, … codes, as pairs of H(U) and I(U;Y) in nats, shape ``[k, 2]``.
      information: I(X;Y) in nats, which no encoder exceeds.
      title: what X and Y are.

    Returns:
      A figure, on no screen.

    Examples:
      >>> import isjax.plotting
      >>> joint = jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> trace = jax.jit(bottleneck_curve, static_argnames="num_codes")
      >>> curve = trace(jax.random.key(0), joint, jnp.array([1.7, 5.0]), num_codes=2)
      >>> figure = isjax.plotting.bottleneck_figure(curve, [(0.0, 0.0), (0.693, 0.368)], information=0.368)
      >>> figure.axes[0].get_xlabel()
      'complexity I(X;U) (nats)'
    """
    order = np.argsort(np.asarray(curve.complexity))
    complexity, relevance = (np.asarray(part, np.float64)[order] for part in (curve.complexity, curve.relevance))
    points = np.asarray(quantizers, np.float64).reshape(-1, 2)
    (colour, marker, _), (other, _, _) = _LOOKS["identity"], _LOOKS["biased"]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        axis.axhline(information, color="0.45", linestyle=(0, (4, 2)), linewidth=1, label="I(X;Y)")
        axis.plot([0, *complexity], [0, *relevance], color=colour, label="information bottleneck")
        axis.plot(*points.T, marker=marker, linestyle="none", color=other, label="best deterministic, K codes")
        for k, (x, y) in enumerate(points, start=1):
            axis.annotate(str(k), (x, y), xytext=(3, -3), textcoords="offset points", va="top", fontsize=7, color=other)
        axis.set(xlabel="complexity I(X;U) (nats)", ylabel="relevance I(U;Y) (nats)", title=title)
        axis.set_ylim(-0.07 * information, 1.08 * information or 1)
        axis.legend(loc="lower right")
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure in the format that the path's ending names, beside its place first, then renamed.

    Args:
      figure: to be written.
      path: where to.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.
      ValueError: if the ending is no format of matplotlib's.

    Examples:
      >>> import tempfile, matplotlib.figure, isjax.plotting
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     print(isjax.plotting.save(matplotlib.figure.Figure(), folder + "/figure.png").name)
      figure.png
    """
    return write_whole(path, lambda beside: figure.savefig(beside, dpi=200))
