"""The figure of a bottleneck: relevance against complexity."""

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isjax._shell.style import LOOKS, STYLE, PictureFigure
from isjax.bottleneck import Bottleneck
from isjax.estimation.ranking import Ranking
from isjax.quantizers import Quantizer

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
        alone.set_yticks(at, [_label(each.column) for each in shown])
        alone.set(
            xlabel="I(X;Y) (nats)",
            title=f"each column alone; Y = {_label(found.target)}",
            ylim=(len(shown) - 0.5, -0.5),
        )
        totals = np.array([step.total for step in steps])
        parts = np.array([step.information for step in steps])
        added.barh(np.arange(len(steps)), parts, left=totals - parts, color=other, height=0.6)
        added.axvline(found.entropy_y, color="0.45", linestyle=(0, (4, 2)), linewidth=1)
        added.set_yticks(np.arange(len(steps)), [_label(step.column) for step in steps])
        added.set(xlabel="I(columns so far;Y) (nats); dashed: H(Y)", title="added one after the other")
        added.set(xlim=(0, 1.05 * found.entropy_y), ylim=(max(len(steps), 1) - 0.5, -0.5))
    return figure


def _label(name: str) -> str:
    """A name as text on one line, which matplotlib would else read as mathematics."""
    name = " ".join(name.split()).replace("$", r"\$")
    return name if len(name) <= 28 else f"{name[:13]}…{name[-14:]}"


def bottleneck_figure(curve: Bottleneck, quantizers: Quantizer, *, information: float, title: str = "") -> Figure:
    """Relevance against complexity: the bottleneck's curve, an upper bound, and deterministic encoders below it.

    Args:
      curve: what ``isjax.bottleneck_curve`` returns.
      quantizers: the best encoders of 1, 2, … codes, along a leading axis ``[k]``.
      information: I(X;Y) in nats, the upper bound of any encoder's relevance.
      title: what X and Y are.

    Returns:
      A figure with a canvas of its own, which no window shows.

    Examples:
      >>> import isjax.data.figure, jax, jax.numpy as jnp
      >>> key, joint = jax.random.key(0), jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> curve = isjax.bottleneck_curve(key, joint, jnp.array([1.7, 5.0]), num_codes=2)
      >>> quantizers = isjax.quantizers.quantizers_up_to(key, joint, num_codes=2)
      >>> figure = isjax.data.figure.bottleneck_figure(curve, quantizers, information=0.368)
      >>> figure.axes[0].get_xlabel()
      'complexity I(X;U) (nats)'
    """
    order = np.argsort(np.asarray(curve.complexity))
    complexity, relevance = (np.asarray(part, np.float64)[order] for part in (curve.complexity, curve.relevance))
    points = np.stack([quantizers.complexity, quantizers.relevance], axis=-1, dtype=np.float64)
    (colour, marker, _), (other, _, _) = LOOKS["identity"], LOOKS["biased"]
    with mpl.rc_context(STYLE):
        figure = PictureFigure(figsize=(4.2, 3.2), layout="constrained")
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
