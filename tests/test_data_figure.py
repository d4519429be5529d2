"""The figure of a bottleneck shows the curve from the origin, encoders, and what they keep in other rows."""

import functools

import jax
import numpy as np

from isjax.data import find_codes
from isjax.data.figure import bottleneck_figure


@functools.cache
def found(dependence):
    """Codes of a binary variable that agrees with another in a share 1/2 + dependence of 400 rows."""
    x = np.arange(400) % 2
    y = np.where(np.arange(400) < 400 * (0.5 + dependence), x, 1 - x)
    return find_codes(jax.random.key(0), {"x $a$": x, "y": y}, target="y", input="x $a$", num_codes=2, num_betas=5)


def test_bottleneck_figure_shows_the_curve_from_the_origin_and_the_encoders():
    codes = found(0.3)
    (axis,) = bottleneck_figure(codes).axes
    lines = {line.get_label(): line for line in axis.lines}
    complexity, relevance = lines["information bottleneck"].get_data()
    np.testing.assert_allclose(complexity, [0, *np.sort(codes.curve.complexity)])
    np.testing.assert_allclose(relevance, [0, *np.sort(codes.curve.relevance)])
    points = lines["best deterministic, K codes"].get_xydata()
    information = codes.information.plug_in
    np.testing.assert_allclose(points, [(0, 0), (np.log(2), information)], atol=1e-6)
    np.testing.assert_allclose(lines["the same, in other rows"].get_ydata(), codes.kept)
    assert set(lines["I(X;Y) in these rows"].get_ydata()) == {information}
    assert [text.get_text() for text in axis.texts] == ["1", "2"]
    assert axis.get_title() == r"X = x \$a\$, Y = y"


def test_bottleneck_figure_of_nothing_to_retain():
    (axis,) = bottleneck_figure(found(0.0)).axes
    assert axis.get_ylim()[1] > 0
