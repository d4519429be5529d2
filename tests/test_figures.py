"""The figure shows what the study holds: a line an encoder, its spread, and the floors."""

import jax
import matplotlib.collections
import numpy as np
import pytest

import isjax
import isjax.study
from isjax._shell import style


def with_values(study, **values):
    """A study with other values of some variables."""
    return study.assign({name: (study[name].dims, value) for name, value in values.items()})


@pytest.fixture(scope="module")
def study():
    source = isjax.sparse_source(jax.random.key(0), num_inputs=4, num_relevant=2, num_classes=4, discrimination=0.8)
    problems = {("a", encoder): source.problem(encoder) for encoder in ("identity", "sufficient", "biased")}
    problems["b", "mine"] = source.problem(np.arange(16) % 3)
    spec = isjax.SweepSpec(hidden=((8,), (4, 4)), lengths=(16, 64), num_seeds=3, num_steps=20, num_evals=3)
    return isjax.study.run(jax.random.key(1), problems, spec)


def test_a_panel_for_each_network_and_source_with_a_line_for_each_encoder(study):
    figure = isjax.study.figure(study)
    assert len(figure.axes) == 4
    risk = study["best_excess_risk"].isel(batch_size=0)
    first = figure.axes[0]
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    assert [axis.get_ylabel() for axis in figure.axes] == ["MLP 8", "", "MLP 4,4", ""]
    lines = {line.get_label(): line for line in first.lines}
    for label, encoder in (("X itself", "identity"), ("sufficient U", "sufficient"), ("biased U", "biased")):
        mean = risk.sel(source="a", encoder=encoder, network="8").mean("seed")
        np.testing.assert_allclose(lines[label].get_ydata(), mean)
        np.testing.assert_array_equal(lines[label].get_xdata(), study["length"])
    floors = [line for line in first.lines if len(set(line.get_ydata())) == 1]
    assert [float(line.get_ydata()[0]) for line in floors] == pytest.approx([float(study["encoder_bias"][2])])
    assert first.get_xscale() == first.get_yscale() == "log"
    assert sum(isinstance(c, matplotlib.collections.PolyCollection) for c in first.collections) == 3


def test_all_lines_and_floors_lie_inside_the_axes(study):
    figure = isjax.study.figure(study)
    low, high = figure.axes[0].get_ylim()
    risk = study["best_excess_risk"].mean("seed")
    assert low < float(risk.min())
    assert float(risk.max()) < high


def test_legend_and_labels_are_whole_and_apart_however_few_the_panels(study):
    for part in (study, study.sel(source="a"), study.sel(encoder="mine", network=["8"])):
        figure = isjax.study.figure(part)
        figure.canvas.draw()
        beside = [axis.yaxis.get_tightbbox() for axis in figure.axes]
        above = [axis.title.get_window_extent() for axis in figure.axes]
        below = [axis.xaxis.get_tightbbox() for axis in figure.axes]
        legend = figure.legends[0].get_window_extent()
        length, risk = (label.get_window_extent() for label in figure.texts)
        inside = [legend, length, risk, *(box for box in (*beside, *below) if box)]
        assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in inside)
        assert all(figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1 for box in inside)
        assert all(box.y1 <= legend.y0 for box in above)
        assert all(risk.x1 <= box.x0 for box in beside if box)
        assert all(length.y1 <= box.y0 for box in below if box)


def test_a_floor_of_zero_is_not_drawn(study):
    nothing_lost = with_values(study, encoder_bias=np.zeros(4))
    labels = [text.get_text() for text in isjax.study.figure(nothing_lost).legends[0].get_texts()]
    assert labels == ["X itself", "sufficient U", "biased U", "mine", "least along a run"]


def test_risks_of_less_than_a_decade_have_ticks_too(study):
    axis = isjax.study.figure(
        with_values(study, best_excess_risk=0.12 + 0.2 * study["best_excess_risk"].values.clip(0, 1))
    ).axes[0]
    low, high = axis.get_ylim()
    assert high < 10 * low
    assert sum(low <= tick <= high for tick in axis.get_yticks()) >= 2


def test_risks_of_zero_are_no_trouble_to_log_axes(study):
    nothing_left = with_values(study, best_excess_risk=np.zeros(study["best_excess_risk"].shape))
    low, high = isjax.study.figure(nothing_left).axes[0].get_ylim()
    assert 0 < low < high


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_figure_is_written_whole(study, tmp_path, ending):
    path = style.save(isjax.study.figure(study), tmp_path / f"study.{ending}")
    assert path.stat().st_size > 5000
    assert list(tmp_path.iterdir()) == [path]
