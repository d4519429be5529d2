"""The example on scikit-learn's tables, at a smaller size."""

import numpy as np
import pytest

from tests.helpers import load


def test_a_classifier_of_codes_does_worse_by_what_the_encoder_loses(figure, capsys):
    """For real data; by nothing for a relabelling, and for a shuffled Y by about nothing, whatever the encoder."""
    example = load("digits")
    found = example.main(figure, sizes={"digits": (8, 3)}, num_resamples=99)
    real, null = found["digits"], found["null"]
    loss, rise = real["loss"][0], real["rise"][0]
    relabelled, *_, network, _, constant = range(len(real["names"]))
    assert real["names"][network].startswith("hidden layer")

    assert real["agree"].all()
    assert np.sum(loss > 0.1) >= 4
    assert example.lies_in(loss, real["rise"]).all()
    assert np.abs(rise - loss).max() < 0.1 * loss[constant]
    assert loss[constant] == pytest.approx(real["I(X;Y)"], abs=1e-3)
    for of_table in (real, null):
        assert abs(of_table["loss"][0, relabelled]) < 1e-12
        assert abs(of_table["rise"][0, relabelled]) < 1e-5
        assert of_table["identity, largest gap"] < 1e-12

    assert null["agree"].all()
    assert np.abs(null["loss"][0]).max() < 0.03
    assert np.abs(null["rise"][0]).max() < 0.01
    assert real["held-out cross-entropy of all features"] < real["held-out cross-entropy of X"] < np.log(10)
    assert f"{loss[network]:.3f}" in capsys.readouterr().out
