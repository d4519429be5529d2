"""What the examples claim holds at a smaller size, and not under their nulls."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import load


def test_what_a_code_retains_and_what_it_loses_add_up_to_the_information(figure):
    """For sufficient, finer, coarser, random and stochastic encoders; both are zero at δ = 0."""
    found = load("sufficient_encoder").main(figure, length=6, num_each=8)
    information = found["I(X;Y)"]
    assert information > 0.5
    for sufficient in ("loss of the orbits", "loss of the minimal sufficient", "largest loss of the finer"):
        assert 0 <= found[sufficient] < 1e-12
    assert found["least loss of the coarser"] > 0.01
    assert found["largest |I(X;Y) − I(U;Y) − I(X;Y|U)|"] < 1e-6
    assert found["null, largest"] < 1e-12


def test_the_excess_risk_of_a_trained_decoder_tends_to_the_loss_of_its_encoder_from_above(figure, capsys):
    """Not below it at any length, near it at the largest; at δ = 0 near zero for every encoder."""
    sizes = {"num_encoders": 6, "lengths": (64, 4096), "num_inputs": 5, "num_relevant": 3, "num_steps": 600}
    found = load("risk_and_information_loss").main(figure, **sizes)
    assert found["least difference"] > -1e-6
    assert found["largest difference, largest n"] < 0.02
    assert found["R²"] > 0.99
    assert found["null, largest n"] < 0.02
    assert f"{found['R²']:.5f}" in capsys.readouterr().out


def test_sufficiency_does_not_depend_on_the_scoring_rule_unless_it_is_not_strict(figure, capsys):
    """Codes of the best guess and of the mean lose nothing under their rule alone; a shuffled Y is never lost."""
    found = load("scoring_rules").main(figure, num_random=40, lengths=(16, 4096), num_seeds=8)
    rules = "log", "brier", "zero_one", "squared_error"
    assert max(found[f"{rule}, sufficient codes"] for rule in rules) < 1e-6
    for rule in rules:
        assert (found[f"{rule}, of the best guess codes"] < 1e-6) == (rule == "zero_one")
        assert (found[f"{rule}, of the mean codes"] < 1e-6) == (rule == "squared_error")
        assert rule == "log" or 0.1 < found[f"{rule}, largest share of its bound"] <= 1
    least, encoder, decoder = np.moveaxis(found["parts"], -1, 0)
    assert (least > 0.1).all()
    assert (encoder[[0, 1, 3]] > 0.01).all()
    np.testing.assert_array_equal(encoder[2], 0)
    np.testing.assert_allclose(encoder[:, 0], encoder[:, 1])
    assert (decoder[:, 1] < 0.05 * decoder[:, 0]).all()
    assert found["largest gap between a risk and its parts"] < 2e-6
    assert found["null, largest loss"] < 1e-9
    assert f"null, largest loss: {found['null, largest loss']:.3g}" in capsys.readouterr().out


def test_the_learned_decoder_tends_to_the_projection_of_the_truth(figure):
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


def test_the_encoder_bias_is_constant_and_the_decoder_error_falls_sooner_for_the_sufficient_code(figure):
    """The bias grows with the discrimination and is zero at δ = 0."""
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


def test_a_function_of_a_sufficient_code_and_independent_noise_has_the_distribution_of_y(figure):
    """The distance of n samples falls like n^(-1/2) to zero, or to that of the nearest model for a biased code."""
    found = load("functional_representation").main(figure, lengths=(1000, 16000), num_inputs=4)
    for name in ("sufficient U", "biased U", "null: biased U, δ = 0"):
        divergence, loss = found[f"{name}: D(p ‖ law of f(W, U))"], found[f"{name}: I(X;Y|U)"]
        assert divergence == pytest.approx(loss, rel=1e-4, abs=1e-9)
        if name != "biased U":
            assert loss < 1e-9
            assert 2 < found["far"][name][0] / found["far"][name][1] < 8  # four
    assert found["biased U: I(X;Y|U)"] > 0.05
    assert found["far"]["biased U"][1] > 5 * found["far"]["samples of p itself"][1]


def test_the_risk_of_a_decoder_that_cannot_represent_p_rises_more_often_only_because_it_has_less_to_learn(
    figure, capsys
):
    """It does where p(y | u) is uniform, and nothing is to be learned; with exact gradients a linear one never does."""
    sizes = {"decoders": ("linear", "2"), "rates": (0.1,), "num_steps": 200, "num_seeds": 6, "fit_steps": 500}
    found = load("instability").main(figure, **sizes)
    errors, rises, spread = (found[name] for name in ("approximation error", "rises", "spread"))
    assert errors["linear"] > errors["2"] > 0.5
    for name in errors:
        information, of_null = found["information"][name]
        assert of_null == pytest.approx(information, rel=1e-3)
        exact, sampled = np.moveaxis(rises[name][:, :, 0].mean(-1), 1, 0)  # p(y | u), representable, δ = 0
        assert exact.max() < 0.05
        assert sampled[0] > sampled[1] + 0.1
        assert sampled[2] > sampled[1] + 0.1
        assert (spread[name][2, :, 0] < 2e-3).all()
    assert (rises["linear"][:, 0] == 0).all()
    assert f"decoder linear: approximation error {errors['linear']:.4f} nats" in capsys.readouterr().out


def test_the_losses_of_sign_layers_add_up_and_real_activations_lose_nothing_without_bins(figure):
    """The excess risk is never below the loss of the last layer; the inputs themselves lose nothing at any time."""
    sizes = {"num_inputs": 5, "widths": (4, 3), "num_probes": 8, "steps_per_probe": 30, "bin_widths": (0.5,)}
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


def test_exact_coordinates_bound_those_of_bins_and_the_inputs_do_not_move_in_the_information_plane(figure, capsys):
    """I(T;Y) is at most I(X;Y), I(X;T) at most H(X), and bins lose more; of an independent Y nothing is known."""
    sizes = {"num_inputs": 6, "widths": (5, 2), "num_seeds": 2, "num_steps": 200, "num_probes": 3}
    example = load("information_plane")
    found = example.main(figure, **sizes)
    entropy, information = found["H(X)"], found["I(X;Y)"]
    assert entropy == pytest.approx(6)
    for units in ("tanh", "ReLU"):
        (exact, binned) = np.moveaxis(found[units], -2, 0)  # [layer, seed, probe, (I(X;T), I(T;Y), null)]
        assert exact.shape == (3, 2, 4, 3)
        np.testing.assert_allclose(exact[0, ..., :2], np.broadcast_to([entropy, information], (2, 4, 2)), rtol=1e-5)
        assert (binned[..., :2] <= exact[..., :2] + 1e-5).all()
        assert binned[1:, ..., 0].min() < entropy - 1
        assert (exact[..., 1] <= information + 1e-5).all()
        assert (example.compression(found[units])[0] < 1e-5).all()
        assert found[f"{units}, excess risk"][:, -1].mean() < found[f"{units}, excess risk"][:, 0].mean()
    exact, binned = np.moveaxis(example.compression(found["tanh"])[1:], -1, 0)
    assert exact.mean() < 0.3 * binned.mean()
    assert found["null, largest"] < 1e-9 < 0.1 < information
    assert f"I(X;Y) = {information:.3f} bits" in capsys.readouterr().out


@pytest.mark.fast
def test_rows_share_a_code_just_when_they_are_equal():
    rows = np.random.default_rng(0).integers(-2, 3, (500, 3))
    codes = np.asarray(load("information_plane").codes_of_rows(jnp.asarray(rows)))
    np.testing.assert_array_equal(codes[:, None] == codes, (rows[:, None] == rows).all(-1))
    assert codes.max() + 1 == len(np.unique(rows, axis=0))


def test_the_empirical_loss_is_in_the_cross_entropy_and_an_oracle_lowers_the_encoder_bias(figure, capsys):
    """H(Y|X) + I(X;Y|U) + the decoder's error of the data is their cross-entropy, in any depth; at δ = 0 no bias."""
    sizes = {"lengths": (16, 64), "num_inputs": 4, "num_seeds": 4, "num_steps": 60}
    example = load("layerwise_regularisation")
    found = example.main(figure, **sizes)
    assert len(found) == 6
    for name, (bias, _, *parts, cross_entropy) in found.items():
        np.testing.assert_allclose(sum(parts), cross_entropy, rtol=1e-4)
        if name.startswith("null"):
            assert np.all(np.abs(bias) < 1e-6)
            assert np.all(np.abs(example.excess_minus_plain(found[name])[:, -1]) < 1e-6)  # nothing to leak
        else:
            assert np.all(bias.mean(-1)[:, -1] < bias.mean(-1)[:, 0])
    assert "null, oracle: 0 of 2 differences below zero" in capsys.readouterr().out


def test_differences_below_zero_are_counted_with_and_without_correction():
    """One clear difference of three, one that the correction does not keep, one above zero."""
    noise = np.random.default_rng(0).normal(size=16)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    differences = np.stack([noise - 3, noise - 0.58, noise + 3])  # t = -12, -2.3 and 12
    assert load("layerwise_regularisation").num_below(differences) == (2, 1, 3)


def test_no_learned_encoder_loses_less_than_the_optimal_quantizer(figure, capsys):
    """The best of several restarts loses little more; of a shuffled Y nothing is lost."""
    found = load("learned_encoder").main(figure, num_inputs=12, num_codes=3, num_restarts=16, num_steps=400)
    least = found["optimal quantizer"]
    assert least > 0
    assert found.pop("null, largest") < 1e-9
    assert all(value >= least * (1 - 1e-4) for value in found.values())
    assert math.isclose(found["Adam, best restart"], least, rel_tol=0.1)
    assert math.isclose(found["KL-means"], least, rel_tol=1e-4)
    assert f"{least:.6f}" in capsys.readouterr().out


def test_a_learner_of_codes_has_a_risk_higher_by_what_the_encoder_loses(figure, capsys):
    """On real data; encoder-decoders lose against a direct network; nothing is lost by a relabelling or about noise."""
    example = load("digits")
    spec = dataclasses.replace(example.SPEC, learning_rates=(0.01,), num_steps=300, num_seeds=1)
    found = example.main(figure, sizes={"digits": (8, 3)}, spec=spec, num_resamples=99)
    real, null = found["digits"], found["null"]
    loss, rise, over_features = real["loss"], real["rise over the cells"], real["rise over the features"]

    assert all(example.agree(loss[name], rise[name]) for name in loss)
    assert sum(low > 0.1 for _, low, _ in loss.values()) >= 4
    assert loss["constant"][0] == pytest.approx(real["I(X;Y)"], abs=1e-3)
    assert rise["constant"][0] == pytest.approx(real["H(Y)"] - real["risk"]["cells"], abs=0.01)
    assert np.abs([rise[name][0] - loss[name][0] for name in loss]).max() < 0.1 * real["I(X;Y)"]

    learned = [name for name in over_features if name.startswith("encoder-decoder")]
    assert len(learned) == 2
    for name in (*learned, "cells", "principal components", "second layer"):
        assert over_features[name][1] > 0.05
    assert real["risk"]["features"] < real["risk"]["cells"] < 2.3

    for of_table in (real, null):
        assert abs(of_table["loss"]["X relabelled"][0]) < 1e-12
        for over, relabelled in (("cells", "X relabelled"), ("features", "features in another order")):
            estimate, low, high = of_table[f"rise over the {over}"][relabelled]
            assert low <= 0 <= high
            assert abs(estimate) < 0.05
        assert of_table["identity, largest gap"] < 1e-12
    assert max(estimate for estimate, *_ in null["loss"].values()) < 0.03
    for over in ("cells", "features"):
        assert max(estimate for estimate, *_ in null[f"rise over the {over}"].values()) < 0.05
    # Nothing can be learned from a shuffled Y; what learners lose by trying is less for codes than for features.
    assert min(null["risk"].values()) > null["H(Y)"] - 0.02
    assert max(null["risk"].values()) < null["H(Y)"] + 0.2
    assert f"{loss['KL-means'][0]:.3f}" in capsys.readouterr().out


def test_losses_and_rises_agree_if_one_is_in_the_interval_of_the_other():
    """Even if only one is; not if neither is."""
    agree = load("digits").agree
    wide, narrow, far = (0.0, -1.0, 1.0), (0.5, 0.4, 0.6), (2.0, 1.5, 2.5)
    assert agree(wide, narrow)
    assert agree(narrow, wide)
    assert not agree(wide, far)
    assert not agree(far, narrow)


def test_an_encoder_is_updated_only_if_the_source_drifts(figure, capsys):
    """By those who know the distribution, and by those who watch a window, whose rule costs little more.

    The ski-rental rule costs at most twice as much as the best schedule in hindsight.
    """
    sizes = {"num_times": 24, "prices": (0.05, 0.5, 20), "shown": 0.5, "per_step": 400, "num_steps": 4}
    found = load("drift").main(figure, **sizes)
    costs = {name: np.asarray(row) for name, row in found["costs"].items()}
    best = costs["best in hindsight"]
    assert all((costs[name] >= best - 1e-6).all() for name in ("never", "at every step", "rule, p known"))
    assert (costs["rule, p known"] <= 2 * best).all()
    assert costs["rule, window"][1] < 0.7 * min(costs["never"][1], costs["at every step"][1])
    assert costs["rule, window"][2] == pytest.approx(costs["never"][2])
    assert 1 <= found["updates, window"] <= 5
    assert found["loss of the first encoder at the end"] > 5 * found["largest loss of one learned from a window"]
    assert 0 < found["largest share of the drift bound"] <= 1
    assert found["intervals that cover, drift"] > 0.9
    assert found["intervals that cover, null"] > 0.9
    for kind in ("p known", "window"):
        assert found[f"null, largest loss, {kind}"] < 1e-9
        assert found[f"null, updates, {kind}"] == 0
    assert f"updates, window: {found['updates, window']}" in capsys.readouterr().out


def test_learning_is_universal_if_the_encoder_grows_neither_too_fast_nor_too_slowly(figure):
    """Otherwise the bias or the error does not decrease; without information there is no bias."""
    found = load("universal_learning").main(figure, num_bits=10, num_seeds=2)
    slow, right, fast = (found[name] for name in ("too slow: m = 2", "m = ½ log₂ n", "too fast: m = log₂ n"))
    assert slow[0, -1] == slow[0, 0] > 10 * slow[1, -1]
    assert fast[1, -1] > 0.8 * fast[1, 0] > 10 * fast[0, -1]
    assert (right[:, -1] < 0.5 * right[:, 0]).all()
    assert right.sum(0)[-1] < min(slow.sum(0)[-1], fast.sum(0)[-1])
    nulls = [found[name] for name in found if name.startswith("null")]
    assert all(bias.max() < 1e-9 for bias, _ in nulls)
    assert nulls[0].sum(0)[-1] < min(null.sum(0)[-1] for null in nulls[1:])


def test_squared_error_is_bounded_by_the_loss_of_information_but_does_not_bound_it(figure):
    """Cells of the mean have the least error; where X changes the spread too, they lose more information."""
    found = load("bottleneck_regression").main(figure, num_means=6, num_spreads=2, nums_codes=(1, 6), num_betas=3)
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


def test_planning_with_codes_that_lose_no_information_loses_no_value(figure, capsys):
    """Nor do KL-means of as many codes as positions; the value that others lose is below Pinsker's bound."""
    found = load("state_abstraction").main(figure, nums_codes=(2, 9), num_random=6, side=3, num_weathers=3)
    assert found["null, the position: loss"] < 1e-9
    assert abs(found["null, the position: value lost"]) < 1e-5
    (loss, worst, mean, bound, by_loss), *_ = found["reward and next code"][::-1]  # of nine codes
    assert loss < 1e-6
    assert abs(worst) < 1e-5
    for name in ("random", "reward alone", "reward and next code"):
        loss, worst, mean, bound, by_loss = found[name].T
        assert (mean <= worst + 1e-6).all()
        assert (worst <= bound + 1e-5).all()
        assert (bound <= by_loss + 1e-4).all()
    assert found["random"][:, 2].min() > 0.1
    assert 0.01 < found["largest share of the bound by I(S;Y|U,A)"] < found["largest share of Pinsker's bound"] <= 1
    assert f"{found['best value, mean over states']:.3g}" in capsys.readouterr().out


def test_a_network_trained_on_the_measures_attains_the_information_bottleneck(figure):
    """Never below the curve's objective, and near it; with a shuffled Y the code carries no information."""
    found = load("compose").main(figure, num_inputs=4, num_betas=3, num_codes=4, num_steps=300, num_encoders=8)
    assert found["objective below the curve's, at most"] < 1e-5
    assert found["objective above the curve's, at most"] < 0.01
    assert found["null, most information in the code"] < 1e-3 < found["I(X;Y)"]
    assert found["largest difference between the four"] < 1e-6


def test_with_many_data_what_a_learned_code_lost_is_nearly_all_of_the_excess_risk(figure, capsys):
    """With few it is not. No part is negative, no code keeps more than the bottleneck allows; δ = 0 loses nothing."""
    sizes = {"num_inputs": 6, "numbers": (4, 16), "lengths": (32, 4096), "num_seeds": 2, "num_steps": 800}
    found = load("learned_codes").main(figure, **sizes)
    assert found["share of the code in the excess risk, n=4096"] > 0.8
    assert found["share of the code in the excess risk, n=32"] < 0.7
    assert (
        found["Adam, soft, 16 codes, n=4096: code loss"] < 0.3 * found["SGD, soft, 16 codes, n=4096: code loss"] + 0.05
    )
    assert found["least of parts"] >= 0
    assert found["largest excess over the bottleneck's curve"] < 1e-3
    assert found["null, largest code loss"] < 1e-9
    assert f"null, largest code loss: {found['null, largest code loss']:.3g}" in capsys.readouterr().out
