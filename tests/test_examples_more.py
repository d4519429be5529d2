"""The examples of the paper's open questions and of other people's code, at a smaller size."""

import numpy as np
import pytest

from tests.helpers import load


def test_an_encoder_is_learnt_anew_when_the_source_has_drifted_and_not_before(figure):
    """No rule beats hindsight; the rule costs at most twice as much; without drift nothing is lost or learnt anew."""
    found = load("drift").main(figure, num_times=16, prices=(0.05, 0.5, 20), shown=0.5)
    costs = {name: np.asarray(row) for name, row in found["costs"].items()}
    assert all((row >= costs["best in hindsight"] - 1e-6).all() for row in costs.values())
    assert (costs["by the rule"] <= 2 * costs["best in hindsight"]).all()
    assert found["times learnt anew by the rule"] >= 1
    assert found["loss of the first encoder at the end"] > 5 * found["loss of a fresh one, at most"]
    assert found["null, largest loss"] < 1e-9
    assert found["null, times learnt anew"] == 0


def test_a_network_trained_on_the_measures_is_an_information_bottleneck(figure):
    """Never below the curve's objective, and near it; told nothing of Y it says nothing; every way to map agrees."""
    found = load("compose").main(figure, num_inputs=4, num_betas=3, num_codes=4, num_steps=300, num_encoders=8)
    assert found["objective below the curve's, at most"] < 1e-5
    assert found["objective above the curve's, at most"] < 0.01
    assert found["null, most that is said"] < 1e-3 < found["I(X;Y)"]
    assert found["ways differ by at most"] < 1e-6


def test_squared_error_is_bounded_by_the_loss_of_information_but_does_not_bound_it(figure):
    """Cells of the mean have the least error of all codes; where X moves the spread too, they lose more information."""
    found = load("bottleneck_regression").main(figure, num_means=6, num_spreads=2, nums_codes=(1, 3, 6), num_betas=3)
    assert 0 < found["largest share of the bound"] <= 1
    for families in (found["X moves the mean alone"], found["X moves mean and spread"]):
        informed, cells = families["KL-means"], families["cells of the mean"]
        assert (cells[:, 1] <= informed[:, 1] + 1e-6).all()
        assert (informed[:, 0] <= cells[:, 0] + 1e-6).all()
        np.testing.assert_allclose(cells[0], informed[0], atol=1e-6)  # of one code
    families = found["X moves mean and spread"]
    (nats, error), (nats_of_cells, error_of_cells) = families["KL-means"][-1], families["cells of the mean"][-1]
    assert error_of_cells < 0.2 * error
    assert nats_of_cells > nats + 0.01
    assert found["null, largest price"] < 1e-9


def test_a_function_of_a_code_and_of_independent_noise_has_the_law_of_y_if_the_code_is_sufficient(figure):
    """The distance of n samples falls like n^(-1/2) to zero, else to the nearest model's; at δ = 0 always to zero."""
    found = load("functional_representation").main(figure, lengths=(1000, 16000), num_inputs=4)
    for name in ("sufficient U", "biased U", "null: biased U, δ = 0"):
        divergence, loss = found[f"{name}: D(p ‖ law of f(W, U))"], found[f"{name}: I(X;Y|U)"]
        assert divergence == pytest.approx(loss, rel=1e-4, abs=1e-9)
        if name != "biased U":
            assert loss < 1e-9
            assert 2 < found["far"][name][0] / found["far"][name][1] < 8  # four
    assert found["biased U: I(X;Y|U)"] > 0.05
    assert found["far"]["biased U"][1] > 5 * found["far"]["samples of p itself"][1]


def test_learning_is_universal_if_the_encoder_grows_neither_too_fast_nor_too_slowly(figure):
    """Of bias and error the one stays, or the other, or both fall; without information there is no bias to stay."""
    found = load("universal_learning").main(figure, num_bits=10, num_seeds=2)
    slow, right, fast = (found[name] for name in ("too slow: m = 2", "m = ½ log₂ n", "too fast: m = log₂ n"))
    assert slow[0, -1] == slow[0, 0] > 10 * slow[1, -1]
    assert fast[1, -1] > 0.8 * fast[1, 0] > 10 * fast[0, -1]
    assert (right[:, -1] < 0.5 * right[:, 0]).all()
    assert right.sum(0)[-1] < min(slow.sum(0)[-1], fast.sum(0)[-1])
    nulls = [found[name] for name in found if name.startswith("null")]
    assert all(bias.max() < 1e-9 for bias, _ in nulls)
    assert nulls[0].sum(0)[-1] < min(null.sum(0)[-1] for null in nulls[1:])


def test_the_bias_stays_whatever_the_data_and_the_error_goes_sooner_for_the_sufficient_code(figure):
    """At every discrimination and width; larger where the code tells more; gone where it tells nothing."""
    sizes = {"num_inputs": 5, "nums_relevant": (2,), "widths": (16,), "lengths": (64, 2048), "batch_sizes": (32,)}
    found = load("discrimination_and_sparsity").main(figure, **sizes, num_steps=500)
    biases = {}
    for (_, delta), (bias, error) in found.items():
        identity, sufficient, biased = range(3)
        assert (bias[[identity, sufficient]] < 1e-6).all()
        assert bias[biased, 0, 0] == pytest.approx(bias[biased, 0, 1], abs=1e-6)
        assert (error[..., 1] < 0.3 * error[..., 0]).all()
        assert (error[sufficient] < error[identity]).all()
        biases[delta] = bias[biased, 0, 0]
    assert biases[0.0] < 1e-6 < 0.1 < biases[0.5] < biases[0.8]


def test_what_a_decoder_learns_tends_to_the_projection_of_the_truth(figure):
    """Pythagoras holds at every evaluation; D(p ‖ m) falls to the loss, which is zero for sufficient U and at δ = 0."""
    found = load("projection").main(figure, num_inputs=5, length=4096, num_steps=600, num_seeds=2)
    for name, of_case in found.items():
        assert of_case["Pythagoras, largest gap"] < 1e-5
        assert of_case["D(p‖μ)"] == pytest.approx(of_case["I(X;Y|U)"], rel=1e-4, abs=1e-9)
        assert (of_case["I(X;Y|U)"] > 0.1) == (name == "biased U")
        if "linear" in name:  # it cannot express p(y | u)
            assert of_case["D(μ‖m), last"] > 0.05
            continue
        assert of_case["D(μ‖m), last"] < 0.01 < of_case["D(p‖m), first"]
        assert of_case["D(p‖m), last"] == pytest.approx(of_case["I(X;Y|U)"], abs=0.01)


def test_what_layers_of_signs_lose_adds_up_and_real_numbers_lose_nothing_without_bins(figure):
    """The excess risk is never below the loss of the last layer; the inputs themselves lose nothing at any time."""
    sizes = {"num_inputs": 5, "widths": (4, 3), "num_looks": 8, "steps_a_look": 30}
    found = load("layers").main(figure, **sizes)
    own, losses = found["signs, own losses"], found["signs, losses"]
    assert found["signs, is a chain"].all()
    assert not found["real, bins of 0.5, is a chain"].all()
    np.testing.assert_allclose(own.sum(1), losses[:, -1], atol=1e-5)
    assert (own >= 0).all()
    assert losses[0, -1] > 0.1
    assert (found["signs, excess risk"] >= losses[:, -1] - 1e-5).all()
    assert losses[:, 0].max() < 1e-9
    assert found["real, losses"].max() < 1e-9 < 1e-3 < found["real, bins of 0.5, losses"].max()
