"""The figure of a bottleneck shows the curve from the origin, and deterministic encoders."""

import functools

import jax
import numpy as np

import isjax
from isjax.data.figure import bottleneck_figure
from isjax.quantizers import quantizers_up_to

KEY = jax.random.key(0)


@functools.cache
def solved(dependence):
    """Curve and quantizers of two binary variables."""
    joint = np.array([[0.25, 0.25], [0.25, 0.25]], "f4") + dependence * np.array([[1, -1], [-1, 1]], "f4")
    betas = np.array([9.0, 1.2, 3.5], "f4")
    curve = isjax.bottleneck_curve(KEY, joint, betas, num_codes=2, num_restarts=2)
    return curve, jax.device_get(quantizers_up_to(KEY, joint, num_codes=2)), float(isjax.mutual_information(joint))


def test_bottleneck_figure_shows_the_curve_from_the_origin_and_the_encoders():
    curve, quantizers, information = solved(0.15)
    figure = bottleneck_figure(curve, quantizers, information=information, title="X and Y")
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.lines}
    complexity, relevance = lines["information bottleneck"].get_data()
    np.testing.assert_allclose(complexity, [0, *np.sort(curve.complexity)])
    np.testing.assert_allclose(relevance, [0, *np.sort(curve.relevance)])
    points = lines["best deterministic, K codes"].get_xydata()
    np.testing.assert_allclose(points, [(0, 0), (np.log(2), information)], atol=1e-6)
    assert set(lines["I(X;Y)"].get_ydata()) == {information}
    assert [text.get_text() for text in axis.texts] == ["1", "2"]
    assert axis.get_title() == "X and Y"


def test_bottleneck_figure_of_nothing_to_retain():
    curve, quantizers, _ = solved(0.0)
    (axis,) = bottleneck_figure(curve, quantizers, information=0.0).axes
    assert axis.get_ylim()[1] > 0
