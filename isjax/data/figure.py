"""The figure of a bottleneck: relevance against complexity."""

import jax
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isjax._shell.style import LOOKS, STYLE, PictureFigure, label
from isjax.estimation.codes import FoundCodes
from isjax.estimation.ranking import Ranking

__all__ = ["bottleneck_figure", "ranking_figure"]


_MOST_DRAWN = 30  # columns


def ranking_figure(found: Ranking) -> Figure:
    """What each column says about the target, and below it what the selected columns add, one after the other.

    Args:
      found: what ``rank`` returns.

    Returns:
      A figure with a canvas of its own, which no window shows.

    Examples:
      >>> import isjax.data.figure, jax, numpy as np
      >>> columns = {"x": np.arange(40) % 2, "y": np.arange(40) % 2}
      >>> found = isjax.data.rank(jax.random.key(0), columns, isjax.data.RankSpec(target="y"))
      >>> isjax.data.figure.ranking_figure(found).axes[0].get_xlabel()
      'I(X;Y) (nats)'
    """
    (colour, marker, _), (other, _, _) = LOOKS["identity"], LOOKS["sufficient"]
    shown, steps = found.columns[:_MOST_DRAWN], found.steps
    heights = [max(len(shown), 2), max(len(steps), 1) + 1]
    with mpl.rc_context(STYLE):
        figure = PictureFigure(figsize=(5.2, 1.2 + 0.17 * sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        alone, added = figure.subplots(2, 1, gridspec_kw={"height_ratios": heights})
        at = np.arange(len(shown))
        amounts, low, high = (np.array([getattr(c, name) for c in shown]) for name in ("information", "low", "high"))
        errors = np.stack([amounts - low, high - amounts])
        alone.errorbar(amounts, at, xerr=errors, fmt=marker, color=colour, elinewidth=1)
        alone.axvline(0, color="0.6", linewidth=0.8)
        alone.set_yticks(at, [label(each.column) for each in shown])
        alone.set(
            xlabel="I(X;Y) (nats)",
            title=f"each column alone; Y = {label(found.target)}",
            ylim=(len(shown) - 0.5, -0.5),
        )
        totals = np.array([step.total for step in steps])
        parts = np.array([step.information for step in steps])
        added.barh(np.arange(len(steps)), parts, left=totals - parts, color=other, height=0.6)
        added.axvline(found.entropy_y, color="0.45", linestyle=(0, (4, 2)), linewidth=1)
        added.set_yticks(np.arange(len(steps)), [label(step.column) for step in steps])
        added.set(xlabel="I(columns so far;Y) (nats); dashed: H(Y)", title="added one after the other")
        added.set(xlim=(0, 1.05 * found.entropy_y), ylim=(max(len(steps), 1) - 0.5, -0.5))
    return figure


def bottleneck_figure(found: FoundCodes) -> Figure:
    """Relevance against complexity: the bottleneck's curve, deterministic encoders, and what they keep in other rows.

    Args:
      found: what ``find_codes`` returns.

    Returns:
      A figure with a canvas of its own, which no window shows.

    Examples:
      >>> import isjax.data.figure, jax, numpy as np
      >>> columns = {"x": np.arange(40) % 2, "y": np.arange(40) % 2}
      >>> found = isjax.data.find_codes(jax.random.key(0), columns, target="y", input="x", num_codes=2)
      >>> isjax.data.figure.bottleneck_figure(found).axes[0].get_xlabel()
      'complexity I(X;U) (nats)'
    """
    information, quantizers, curve = found.information.plug_in, *jax.device_get((found.quantizers, found.curve))
    order = np.argsort(curve.complexity)
    curve = np.stack([curve.complexity, curve.relevance], axis=1, dtype=np.float64)[order]
    points = np.stack([quantizers.complexity, quantizers.relevance], axis=-1, dtype=np.float64)
    (colour, marker, _), (other, _, _), (third, _, _) = (LOOKS[name] for name in ("identity", "biased", "sufficient"))
    with mpl.rc_context(STYLE):
        figure = PictureFigure(figsize=(4.2, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        axis.axhline(information, color="0.45", linestyle=(0, (4, 2)), linewidth=1, label="I(X;Y) in these rows")
        axis.plot([0, *curve[:, 0]], [0, *curve[:, 1]], color=colour, label="information bottleneck")
        axis.plot(*points.T, marker=marker, linestyle="none", color=other, label="best deterministic, K codes")
        axis.plot(
            points[:, 0],
            np.maximum(found.kept, 0),
            marker=marker,
            linestyle="none",
            markerfacecolor="none",
            color=third,
            label="the same, in other rows",
        )
        for k, (x, y) in enumerate(points, start=1):
            axis.annotate(str(k), (x, y), xytext=(3, -3), textcoords="offset points", va="top", fontsize=7, color=other)
        title = f"X = {label(found.input)}, Y = {label(found.target)}"
        axis.set(xlabel="complexity I(X;U) (nats)", ylabel="relevance I(U;Y) (nats)", title=title)
        axis.set_ylim(-0.07 * information, 1.08 * information or 1)
        figure.legend(loc="outside lower center", ncols=2)
    return figure
