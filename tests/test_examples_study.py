"""The study's examples do what they say, at a smaller size."""

import numpy as np
import pytest

from tests.helpers import load


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("figures") / "figure.png"
    found = load("layerwise_regularisation").main(path, lengths=(16, 64), num_inputs=4, num_seeds=4, num_steps=60)
    assert path.read_bytes().startswith(b"\x89PNG")
    return found


def test_the_cross_entropy_holds_the_layers_loss_once_already(found):
    """On the data's own joint, the cross-entropy is H(Y|X) + I(X;Y|U) + the decoder's error."""
    for _, _, *parts, cross_entropy in found.values():
        np.testing.assert_allclose(sum(parts), cross_entropy, rtol=1e-4)


def test_an_oracle_lowers_the_encoder_bias_and_there_is_none_at_the_null(found):
    """Training with the true loss lowers it; at δ = 0 the layer loses nothing under any objective."""
    bias = found["δ = 0.8"][0].mean(-1)
    assert np.all(bias[:, 2] < bias[:, 0])
    assert np.all(np.abs(found["null: δ = 0"][0]) < 1e-6)
