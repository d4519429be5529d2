"""The figure of a study. It imports matplotlib when it draws, so that ``isjax.study`` is quick to import."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure", "parts_figure"]

_LEGEND_WIDTH = 1.8  # inches an entry


def figure(study: "xr.Dataset") -> "Figure":
    """Excess risk against data length, a line for each encoder, and a dashed line at the loss of a biased one.

    A panel for each network (rows) and source (columns), on log axes. Lines are means over seeds of the excess risk
    after the last step, bands extend from the smallest to the largest value over seeds. The thin lines are means of the
    least excess risk along a run, at which one could stop only by knowing the distribution. Runs that diverged are left
    out, and a note says how many there are. Of a study of samples, what ``isjax.study.comparison_figure`` draws.

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
    from matplotlib.lines import Line2D

    from isjax._shell.style import STYLE, PictureFigure
    from isjax.study.comparison import is_comparison
    from isjax.study.comparison_figure import comparison_figure
    from isjax.study.results import describe_diverged, label_of_network, positions_by_source, with_problem_axis

    if not hasattr(study, "data_vars"):
        raise TypeError(
            f"study must be a dataset, as isjax.study.run and isjax.study.load return it, got {type(study).__name__}"
        )
    if is_comparison(study):
        return comparison_figure(study)
    drawn = with_problem_axis(study)
    sources = positions_by_source(drawn)
    networks = [(str(name), size) for name in drawn["network"].values for size in drawn["batch_size"].values]
    with mpl.rc_context(STYLE):
        made = PictureFigure(figsize=(max(3.4, 1.75 * len(sources) + 0.6), 1.5 * len(networks)))
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
            axes[row, 0].set_ylabel(f"{label_of_network(study, network)}{batch}")
        handles["least along a run"] = Line2D([], [], color="0.4", linewidth=0.6)
        _arrange(made, handles, describe_diverged(drawn).partition(":")[0])
    return made


def _panel(axis: "Axes", drawn: "xr.Dataset", encoders: dict[str, int]) -> "dict[str, Artist]":
    """One source and one network: a line and a band for each encoder, a dashed line at its loss if it has one."""
    from isjax._shell.style import LOOKS, OTHER_COLOURS

    handles: dict[str, Artist] = {}
    others = iter(OTHER_COLOURS * (1 + len(encoders) // len(OTHER_COLOURS)))
    is_finite = np.isfinite(drawn["length"].to_numpy())
    length = drawn["length"].to_numpy()[is_finite]
    for encoder, position in encoders.items():
        colour, marker, label = LOOKS.get(encoder) or (next(others), "D", encoder)
        all_lengths, least = (drawn[f"{name}_excess_risk"].isel(problem=position) for name in ("last", "best"))
        of_seeds, least = (array.isel(length=is_finite) for array in (all_lengths, least))
        (handles[label],) = axis.plot(length, of_seeds.mean("seed"), color=colour, marker=marker, label=label)
        axis.plot(length, least.mean("seed"), color=colour, linewidth=0.6)
        axis.fill_between(length, of_seeds.min("seed"), of_seeds.max("seed"), color=colour, alpha=0.18, linewidth=0)
        for at_infinity in all_lengths.isel(length=~is_finite).mean("seed").to_numpy():
            line = axis.axhline(at_infinity, color=colour, linestyle=(0, (1, 1.5)), linewidth=1)
            handles["data without end (n = ∞)"] = line
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
    lengths = lengths[np.isfinite(lengths)] if np.isfinite(lengths).any() else np.ones(1)
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


_PARTS = (
    ("encoder_bias", "#0072b2", "loss I(X;Y|U) of the encoder"),
    ("code_loss", "#e69f00", "loss I(U;Y|V) of the network's code"),
    ("decoder_error", "#999999", "decoder error"),
)


def parts_figure(study: "xr.Dataset") -> "Figure":
    """Where excess risk comes from: stacked areas of encoder bias, code loss and decoder error, means over seeds.

    A row for each network, two panels for each problem: along training at the longest data, and by data length after
    the last step. The dashed line is the least loss that as many codes can have, and the bias; no code falls below it.
    The learning rate is the one of the least mean excess risk after the last step. Runs that diverged are left out.

    Args:
      study: as ``isjax.study.run`` returns it, or a part of it by ``sel``.

    Returns:
      A matplotlib figure that is not attached to a window.

    Examples:
      >>> import isjax, jax, isjax.study
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("identity")
      >>> spec = isjax.SweepSpec(
      ...     networks={"code": isjax.EncoderDecoder((8,), 2, 2)}, lengths=(16, 32), num_steps=10, num_evals=2
      ... )
      >>> study = isjax.study.run(jax.random.key(1), {("sparse", "identity"): problem}, spec)
      >>> len(isjax.study.parts_figure(study).axes)
      2
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from isjax._shell.style import STYLE, PictureFigure
    from isjax.study.results import label_of_network, parts_of_risk

    study = study.reset_index("problem")
    parts = parts_of_risk(study).isel(batch_size=0).assign(steps=study["steps"].isel(batch_size=0))
    parts = parts.assign(floor=study["encoder_bias"] + study.get("least_code_loss", np.nan))
    names = list(zip(study["source"].values.tolist(), study["encoder"].values.tolist(), strict=True))
    num_networks = study.sizes["network"]
    with mpl.rc_context(STYLE):
        made = PictureFigure(figsize=(max(3.6, 2.9 * len(names)), 1.5 * num_networks + 1.1), layout="constrained")
        FigureCanvasAgg(made)
        axes = made.subplots(num_networks, 2 * len(names), sharey="row", squeeze=False)
        for row, network in enumerate(study["network"].values):
            highest = 0.0
            for column, (source, encoder) in enumerate(names):
                pair = axes[row, 2 * column : 2 * column + 2]
                highest = max(highest, _stack_parts(pair, parts.isel(problem=column).sel(network=network)))
                if row == 0:
                    pair[0].set_title(f"{source}, {encoder}", loc="left")
                if row == num_networks - 1:
                    pair[0].set_xlabel("step")
                    pair[1].set_xlabel("data length n")
            axes[row, 0].set_ylabel(label_of_network(study, network))
            axes[row, 0].set_ylim(0, 1.03 * highest or 1)
        handles = {label: h for axis in axes.flat for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        made.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=1 if len(names) < 2 else 2)
        made.supylabel("excess risk over H(Y|X) (nats)", fontsize=8)
    return made


def _stack_parts(pair: "np.ndarray", parts: "xr.Dataset") -> float:
    """One network and problem: along training, and by data length. Returns the highest excess risk."""
    from matplotlib.ticker import FuncFormatter

    highest = 0.0
    lengths = parts["length"].to_numpy()
    is_finite = np.isfinite(lengths) if np.isfinite(lengths).any() else np.ones(len(lengths), bool)
    along = parts.isel(length=is_finite).isel(length=int(np.argmax(lengths[is_finite])))
    by_length = parts.isel(evaluation=-1, length=is_finite)
    for axis, x, of_axis in (
        (pair[0], along["steps"].to_numpy(), along),
        (pair[1], by_length["length"].to_numpy(), by_length),
    ):
        bottom = np.zeros(len(x))
        for name, colour, label in _PARTS:
            top = bottom + np.broadcast_to(of_axis[name].to_numpy(), bottom.shape)
            axis.fill_between(x, bottom, top, color=colour, linewidth=0, label=label)
            bottom = top
        highest = max(highest, float(np.nanmax(bottom, initial=0)))
        if np.isfinite(of_axis["floor"]):
            label = "bias and least loss of as many codes"
            axis.axhline(float(of_axis["floor"]), color="black", linestyle=(0, (4, 2)), linewidth=1, label=label)
        axis.set_xscale("log", base=10 if axis is pair[0] else 2)
        axis.set_xlim(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.minorticks_off()
    return highest
