"""The figures."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator

from isjax._shell.style import LOOKS, OTHER_COLOURS, STYLE
from isjax.study.results import best_excess_risk, problems_by_source

__all__ = ["study_figure"]

_LEGEND_WIDTH = 1.8  # inches an entry


def study_figure(study: xr.Dataset) -> Figure:
    """Excess risk against data length, a line for each encoder, and the biased ones' losses as the floors they are.

    A panel for each network (rows) and source (columns), on log axes. Lines are means over seeds of the least excess
    risk along a run, bands reach from the least seed to the greatest.

    Args:
      study: as ``isjax.study.results.to_dataset`` makes it, its problems named ``source / encoder``.

    Returns:
      A figure, on no screen.

    Examples:
      >>> import isjax.study.runner, isjax.study.figure
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.study.runner.run(jax.random.key(1), {"mine / biased": source.problem("biased")}, spec)
      >>> len(isjax.study.figure.study_figure(study).axes)
      1
    """
    risk, loss = best_excess_risk(study), study["encoder_bias"]
    panels = problems_by_source(study)
    networks = [(hidden, size) for hidden in study["hidden"].values for size in study["batch_size"].values]
    with mpl.rc_context(STYLE):
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
    others = iter(OTHER_COLOURS * (1 + len(encoders) // len(OTHER_COLOURS)))
    for encoder, name in encoders.items():
        colour, marker, label = LOOKS.get(encoder) or (next(others), "D", encoder)
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
