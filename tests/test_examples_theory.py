"""The examples of the theorems: what they show holds at a smaller size too, and is gone under their nulls."""

from tests.helpers import load


def test_the_excess_risk_of_a_trained_decoder_tends_to_the_loss_of_its_encoder_from_above(figure, capsys):
    """Not below it at any length, on it at the largest; with nothing to learn (δ = 0) on zero, whatever the encoder."""
    sizes = {"num_encoders": 6, "lengths": (64, 4096), "num_inputs": 5, "num_relevant": 3, "num_steps": 600}
    found = load("risk_and_information_loss").main(figure, **sizes)
    assert found["least difference"] > -1e-6
    assert found["largest difference, largest n"] < 0.02
    assert found["R²"] > 0.99
    assert found["null, largest n"] < 0.02
    assert f"{found['R²']:.5f}" in capsys.readouterr().out


def test_what_a_code_keeps_and_what_it_loses_are_all_there_is(figure):
    """For sufficient encoders, finer, coarser, random and stochastic ones; without information both are zero."""
    found = load("sufficient_encoder").main(figure, length=6, num_each=8)
    information = found["I(X;Y)"]
    assert information > 0.5
    for sufficient in ("loss of the orbits", "loss of the minimal sufficient", "largest loss of the finer"):
        assert 0 <= found[sufficient] < 1e-12
    assert found["least loss of the coarser"] > 0.01
    assert found["largest |I(X;Y) − I(U;Y) − I(X;Y|U)|"] < 1e-6
    assert found["null, largest"] < 1e-12
