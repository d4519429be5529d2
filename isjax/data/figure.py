"""The figure of a bottleneck: relevance against complexity."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isjax._shell.style import LOOKS, STYLE
from isjax.bottleneck import Bottleneck

__all__ = ["bottleneck_figure"]


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
      >>> import isjax.study.figure
      >>> joint = jnp.array([[0.45, 0.05], [0.05, 0.45]])
      >>> trace = jax.jit(bottleneck_curve, static_argnames="num_codes")
      >>> curve = trace(jax.random.key(0), joint, jnp.array([1.7, 5.0]), num_codes=2)
      >>> figure = isjax.study.figure.bottleneck_figure(curve, [(0.0, 0.0), (0.693, 0.368)], information=0.368)
      >>> figure.axes[0].get_xlabel()
      'complexity I(X;U) (nats)'
    """
    order = np.argsort(np.asarray(curve.complexity))
    complexity, relevance = (np.asarray(part, np.float64)[order] for part in (curve.complexity, curve.relevance))
    points = np.asarray(quantizers, np.float64).reshape(-1, 2)
    (colour, marker, _), (other, _, _) = LOOKS["identity"], LOOKS["biased"]
    with mpl.rc_context(STYLE):
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
