"""The figure of a study. It imports matplotlib when it draws, so that ``isjax.study`` is quick to import."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

_LEGEND_WIDTH = 1.8  # inches an entry


def figure(study: "xr.Dataset") -> "Figure":
    """Excess risk against data length, a line for each encoder, and a dashed line at the loss of a biased one.

    A panel for each network (rows) and source (columns), on log axes. Lines are means over seeds of the excess risk
    after the last step, bands extend from the smallest to the largest value over seeds. The thin lines are means of the
    least excess risk along a run, at which one could stop only by knowing the distribution. Runs that diverged are left
    out, and a note says how many there are.

    Args:
      study: as ``isjax.study.run`` returns it, or a part of it by ``sel``.

    Returns:
      A matplotlib figure that is not attached to a window.

    Examples:
      >>> import isjax, jax, isjax.study
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("biased")
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.study.run(jax.random.key(1), {("sparse", "biased"): problem}, spec)
      >>> len(isjax.study.figure(study).axes)
      1
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from isjax._shell.style import STYLE
    from isjax.study.results import describe_diverged, positions_by_source, with_problem_axis

    if not hasattr(study, "data_vars"):
        raise TypeError(
            f"study must be a dataset, as isjax.study.run and isjax.study.load return it, got {type(study).__name__}"
        )
    drawn = with_problem_axis(study)
    sources = positions_by_source(drawn)
    networks = [(str(name), size) for name in drawn["network"].values for size in drawn["batch_size"].values]
    with mpl.rc_context(STYLE):
        made = Figure(figsize=(max(3.4, 1.75 * len(sources) + 0.6), 1.5 * len(networks)))
        FigureCanvasAgg(made)
        axes = made.subplots(len(networks), len(sources), sharex=True, sharey=True, squeeze=False)
        _format(axes[0, 0], drawn)
        handles = {}
        for row, (network, size) in enumerate(networks):
            for column, (source, encoders) in enumerate(sources.items()):
                handles |= _panel(axes[row, column], drawn.sel(network=network, batch_size=size), encoders)
                if row == 0:
                    axes[row, column].set_title(source)
            batch = f", batch {size}" if drawn.sizes["batch_size"] > 1 else ""
            axes[row, 0].set_ylabel(f"MLP {network}{batch}")
        handles["least along a run"] = Line2D([], [], color="0.4", linewidth=0.6)
        _arrange(made, handles, describe_diverged(drawn).partition(":")[0])
    return made


def _panel(axis: "Axes", drawn: "xr.Dataset", encoders: dict[str, int]) -> "dict[str, Artist]":
    """One source and one network: a line and a band for each encoder, a dashed line at its loss if it has one."""
    from isjax._shell.style import LOOKS, OTHER_COLOURS

    handles: dict[str, Artist] = {}
    others = iter(OTHER_COLOURS * (1 + len(encoders) // len(OTHER_COLOURS)))
    length = drawn["length"].to_numpy()
    for encoder, position in encoders.items():
        colour, marker, label = LOOKS.get(encoder) or (next(others), "D", encoder)
        of_seeds, least = (drawn[f"{name}_excess_risk"].isel(problem=position) for name in ("last", "best"))
        (handles[label],) = axis.plot(length, of_seeds.mean("seed"), color=colour, marker=marker, label=label)
        axis.plot(length, least.mean("seed"), color=colour, linewidth=0.6)
        axis.fill_between(length, of_seeds.min("seed"), of_seeds.max("seed"), color=colour, alpha=0.18, linewidth=0)
        loss = float(drawn["encoder_bias"].isel(problem=position))
        if loss > 1e-6:
            line = axis.axhline(loss, color=colour, linestyle=(0, (4, 2)), linewidth=1)
            handles[f"loss I(X;Y|U) of {label}"] = line
    return handles


def _format(axis: "Axes", drawn: "xr.Dataset") -> None:
    """Log axes: a tick at every second length or so, and at decades of nats, divided at 2 and 5 if there are few.

    All panels share them; limits that are set beforehand avoid a search at each line drawn.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator

    lengths, (low, high) = drawn["length"].to_numpy(), _risk_limits(drawn)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlim(lengths.min() / 1.3, lengths.max() * 1.3)
    axis.set_ylim(low, high)
    axis.xaxis.set_major_locator(FixedLocator(lengths[:: max(1, -(-len(lengths) // 4))].tolist()))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 30 * low else (1.0, 2.0, 5.0), numticks=6))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.minorticks_off()  # they would take half of the time


def _risk_limits(drawn: "xr.Dataset") -> tuple[float, float]:
    """Limits of the axis of risks: around all lines, and at most four decades."""
    risk = np.stack([drawn[f"{name}_excess_risk"].to_numpy() for name in ("last", "best")])
    risk, loss = risk[np.isfinite(risk)], drawn["encoder_bias"].to_numpy()
    highest = float(risk.max(initial=0)) or 1.0
    lowest = min([*risk.tolist(), *loss[loss > 1e-6].tolist()], default=highest)
    return max(lowest / 1.3, highest * 1e-4), highest * 1.6


def _arrange(made: "Figure", handles: "dict[str, Artist]", note: str) -> None:
    """Adds a legend above the panels, the labels of the axes, a note if there is one, and space for all.

    The margins, in inches, fit labels of one line. Letting matplotlib compute them would double the time.
    """
    columns = max(1, min(len(handles), int(made.get_figwidth() // _LEGEND_WIDTH)))
    above, below = 0.3 + 0.16 * -(-len(handles) // columns), 0.42
    width, height = made.get_figwidth(), made.get_figheight() + above + below
    left, right, bottom, top = 0.84 / width, 1 - 0.14 / width, below / height, 1 - above / height
    made.set_figheight(height)
    made.subplots_adjust(left, bottom, right, top, wspace=0.06, hspace=0.12)
    made.legend(handles.values(), handles.keys(), loc="upper center", ncols=columns, borderaxespad=0.3)
    if note:
        made.text(left, 0.06 / height, note, fontsize=7, ha="left", va="bottom")
    made.supxlabel("data length n (samples)", fontsize=8, x=(left + right) / 2, y=0.06 / height)
    made.supylabel("excess risk over H(Y|X) (nats)", fontsize=8, x=0.06 / width, y=(bottom + top) / 2)
