"""The figure of a cross-validation: held-out cross-entropy against data length, a line for each sample."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from isjax._shell.style import LOOKS, OTHER_COLOURS, STYLE, PictureFigure, label
from isjax.study.results import label_of_network

__all__ = ["comparison_figure"]

_COLOURS = *(colour for colour, _, _ in LOOKS.values()), *OTHER_COLOURS
_MARKERS = "os^Dvp<*>hX"
_WIDTH = 1.96  # standard errors


def comparison_figure(study: xr.Dataset) -> Figure:
    """Held-out cross-entropy against the number of rows to learn from, a line for each sample, H(Y) as the ceiling.

    A panel for each network. Lines are means over rows and seeds, bars 95 % intervals over rows.

    Args:
      study: of samples, as ``isjax.study.run`` returns it.

    Returns:
      A figure with a canvas of its own, which no window shows.

    Examples:
      >>> import isjax, isjax.study, isjax.study.comparison_figure, jax
      >>> x = jax.random.normal(jax.random.key(0), (60, 2))
      >>> sample = isjax.Sample(x, (x[:, 0] > 0).astype(int))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20,), num_seeds=1, num_steps=20)
      >>> study = isjax.study.run(jax.random.key(1), {("mine", "x"): sample}, spec)
      >>> isjax.study.comparison_figure.comparison_figure(study).axes[0].get_ylabel()
      'held-out cross-entropy (nats)'
    """
    networks, names = study["network"].to_numpy(), [_in_legend(name) for name in study["encoder"].to_numpy()]
    sources = ", ".join(dict.fromkeys(map(label, study["source"].to_numpy())))
    order = np.argsort(study["num_rows"].to_numpy(), kind="stable")
    study, num_columns = study.isel(length=order), min(len(names) + 1, 3)
    num_lines = -(-(len(names) + 1) // num_columns)
    with mpl.rc_context(STYLE):
        made = PictureFigure(
            figsize=(0.4 + 3.4 * max(len(networks), 1.2), 2.6 + 0.18 * num_lines), layout="constrained"
        )
        FigureCanvasAgg(made)
        axes = made.subplots(1, len(networks), sharey=True, squeeze=False)[0]
        for axis, network in zip(axes, networks, strict=True):
            _panel(axis, study.sel(network=network), names)
            axis.set_title(f"{sources}: {label_of_network(study, network)}")
        axes[0].set_ylabel("held-out cross-entropy (nats)")
        ceiling = 1.5 * float(study["target_entropy"])
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(min(low, 0) if low < 0.3 * high else low, min(high, max(ceiling, low * 1.5)))
        made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=num_columns)
    return made


def _panel(axis: Axes, study: xr.Dataset, names: list[str]) -> None:
    """One network."""
    num_rows, entropy = study["num_rows"].to_numpy(), float(study["target_entropy"])
    axis.axhline(entropy, color="0.45", linestyle=(0, (4, 2)), linewidth=1, label="H(Y), nothing learned")
    of_rows = study["row_loss"].mean("seed")
    means = of_rows.mean("row").to_numpy()
    errors = _WIDTH * of_rows.std("row", ddof=1).to_numpy() / np.sqrt(study.sizes["row"])
    for i, name in enumerate(names):
        colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
        axis.errorbar(
            num_rows, means[i], yerr=errors[i], elinewidth=0.8, capsize=1.5, color=colour, marker=marker, label=name
        )
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(np.unique(num_rows).tolist()))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    axis.set_xlabel("rows to learn from")


def _in_legend(name: object) -> str:
    """The label of a name; a legend leaves out what begins with _."""
    text = label(name)
    return f" {text}" if text.startswith("_") else text
