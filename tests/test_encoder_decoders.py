"""Encoder-decoders, any network and any optimiser: the excess risk in three parts, exactly."""

import functools
import json
import logging
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import isjax
import isjax.study
from isjax.networks import check_network
from isjax.study.checkpoints import digest_of_computation

KEY = jax.random.key(1)
MOMENTUM = functools.partial(optax.sgd, momentum=0.9)


class Residual(nn.Module):
    """A residual network of hyperbolic tangents."""

    num_classes: int
    width: int = 12

    @nn.compact
    def __call__(self, inputs):
        hidden = nn.Dense(self.width)(inputs)
        hidden = hidden + nn.tanh(nn.Dense(self.width)(hidden))
        return nn.Dense(self.num_classes)(hidden)


@functools.cache
def source(num_classes=2):
    options = {"num_inputs": 5, "num_relevant": 2, "num_classes": num_classes, "discrimination": 0.8}
    return isjax.sparse_source(jax.random.key(0), **options)


NETWORKS = {
    "residual": Residual(4),
    "mlp": isjax.MLP((8,), 4),
    "soft 2": isjax.EncoderDecoder((8,), 2, 4),
    "soft 16": isjax.EncoderDecoder((8,), 16, 4, decoder_hidden=(4,)),
    "hard 4": isjax.EncoderDecoder((8,), 4, 4, quantisation="hard"),
}
SPEC = isjax.SweepSpec(
    networks=NETWORKS,
    optimizer={name: MOMENTUM if name == "mlp" else optax.adam for name in NETWORKS},
    learning_rates=(0.02,),
    lengths=(16, math.inf),
    num_seeds=2,
    num_steps=120,
    num_evals=3,
)


@functools.cache
def swept():
    problems = [source(4).problem("biased")]
    return problems, jax.device_get(isjax.sweep(KEY, problems, SPEC))


def test_no_part_is_negative_and_a_code_loses_no_less_than_the_best_of_as_many_codes():
    problems, result = swept()
    assert (result.code_loss >= 0).all()
    assert (result.decoder_error >= 0).all()
    assert not result.code_loss[:, :2].any()
    assert (result.code_loss[:, 2] > 1e-3).any()
    for p, problem in enumerate(problems):
        joint_uy = isjax.pushforward(problem.joint, problem.codes, num_codes=len(problem.features))
        for n, network in enumerate(NETWORKS.values()):
            if isinstance(network, isjax.EncoderDecoder):
                least = isjax.kl_means_quantizer(KEY, joint_uy, num_codes=network.num_codes).loss
                assert result.code_loss[p, n].min() >= least - 1e-6


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_add_up_to_the_exact_risk_of_the_trained_network(name):
    """In double precision, by the definition of the risk, for the member that the sweep trained."""
    problems, result = swept()
    p, n, config = 0, list(NETWORKS).index(name), SPEC.train_config(name, 32)
    for i, length in enumerate(SPEC.lengths):
        key = jax.random.fold_in(KEY, 1)
        trace = isjax.train(key, problems[p], length, 0.02, network=NETWORKS[name], config=config)
        joint, log_decoder = np.asarray(problems[p].joint, float), np.asarray(trace.log_decoder, float)
        if trace.code is None:
            decoded = log_decoder[:, problems[p].codes]
        else:
            decoded = np.asarray(trace.code, float)[:, problems[p].codes] @ log_decoder
        risk = -np.sum(joint * decoded, axis=(-2, -1))
        parts = [part[p, n, 0, 0, i, 1] for part in (result.code_loss, result.decoder_error)]
        total = result.conditional_entropy[p] + result.encoder_bias[p] + sum(parts)
        np.testing.assert_allclose(total, risk, atol=1e-5)
        np.testing.assert_allclose(trace.risk.risk, risk, atol=1e-5)


def test_a_hard_code_is_deterministic_and_its_network_learns():
    problem, config = source().problem("identity"), isjax.TrainConfig(num_steps=300, num_evals=3, optimizer=optax.adam)
    network = isjax.EncoderDecoder((16,), 8, 2, quantisation="hard")
    trace = isjax.train(KEY, problem, 1024, 0.01, network=network, config=config)
    assert set(np.unique(trace.code).tolist()) == {0.0, 1.0}
    assert trace.code_loss[-1] < 0.2 * trace.code_loss[0]


def test_nothing_to_learn_is_nothing_to_lose():
    """Of a source with discrimination zero, no code and no encoder loses anything."""
    weak = (
        source(discrimination=0.0)
        if False
        else isjax.Problem(
            jnp.full((8, 2), 1 / 16), jnp.arange(8), source().problem("sufficient").features[:1].repeat(8, 0)
        )
    )
    network = {"code": isjax.EncoderDecoder((4,), 2, 2)}
    spec = isjax.SweepSpec(networks=network, lengths=(64,), num_seeds=1, num_steps=20, num_evals=2)
    result = isjax.sweep(KEY, [weak], spec)
    assert float(result.code_loss.max()) < 1e-12
    assert float(result.encoder_bias[0]) < 1e-12


def test_with_data_without_end_the_decoder_error_is_what_the_network_cannot_express():
    """An MLP expresses the sufficient code; a linear classifier stops at its floor, whatever the seed."""
    options = {"num_inputs": 10, "num_relevant": 3, "num_classes": 4, "discrimination": 0.8}
    problem = isjax.sparse_source(jax.random.key(0), **options).problem("sufficient")
    spec = isjax.SweepSpec(
        hidden=((32,), ()), lengths=(math.inf,), num_seeds=4, num_steps=4000, num_evals=2, learning_rates=(0.5,)
    )
    error = isjax.sweep(KEY, [problem], spec).decoder_error[0, :, 0, 0, 0, :, -1]
    assert float(error[0].max()) < 0.01
    assert float(error[1].min()) > 0.02
    np.testing.assert_allclose(error[1], error[1].mean(), rtol=0.02)


def test_fresh_samples_are_those_of_the_distribution_and_new_at_every_step():
    """Where a batch is smaller than the code, SGD on fresh samples reaches what SGD on the distribution does."""
    problem = source().problem("identity")
    assert problem.features.shape[0] > 8
    spec = isjax.SweepSpec(
        hidden=((16,),), batch_sizes=(8, 64), lengths=(math.inf,), num_seeds=2, num_steps=3000, num_evals=2
    )
    error = isjax.sweep(KEY, [problem], spec).decoder_error[0, 0, :, 0, 0, :, -1]
    assert float(error.max()) < 0.02


@pytest.mark.parametrize("order", [(2, 0, 1)])
def test_the_order_of_lengths_and_networks_is_that_of_the_spec(order):
    lengths, names = [(16, math.inf, 256)[i] for i in order], [("a", "b", "c")[i] for i in order]
    networks = {name: isjax.MLP((w,), 2) for name, w in zip(names, [3, 4, 5], strict=True)}
    options = {"num_seeds": 1, "num_steps": 10, "num_evals": 2}
    problem = source().problem("sufficient")
    spec = isjax.SweepSpec(networks=networks, lengths=lengths, **options)
    assert spec.network_names == tuple(names)
    result = isjax.sweep(KEY, [problem], spec)
    for n, network in enumerate(networks.values()):
        for i, length in enumerate(lengths):
            alone = isjax.train(
                jax.random.fold_in(KEY, 0),
                problem,
                length,
                0.1,
                network=network,
                config=spec.train_config(names[n], 32),
            )
            np.testing.assert_allclose(result.decoder_error[0, n, 0, 0, i, 0], alone.risk.decoder_error, atol=1e-6)


def test_networks_may_be_functions_of_the_number_of_classes():
    spec = isjax.SweepSpec(networks={"narrow": isjax.MLP32}, lengths=(16,), num_seeds=1, num_steps=5, num_evals=2)
    same = isjax.SweepSpec(hidden=((32,),), lengths=(16,), num_seeds=1, num_steps=5, num_evals=2)
    problems = [source(2).problem("biased"), source(4).problem("biased")]
    one, other = (isjax.sweep(KEY, problems, each).decoder_error for each in (spec, same))
    np.testing.assert_array_equal(one, other)


def test_equal_partials_share_a_program_and_sgd_is_optax_sgd():
    specs = [isjax.SweepSpec(num_steps=20, optimizer=functools.partial(optax.sgd, momentum=0.9)) for _ in range(2)]
    assert specs[0] == specs[1]
    assert hash(specs[0]) == hash(specs[1])
    assert "optimizer=partial(optax.sgd, momentum=0.9)" in repr(specs[0])


def test_rows_that_are_no_code_give_no_plausible_number():
    class Unnormalised(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return nn.softplus(nn.Dense(3)(inputs)), nn.Dense(2)(jnp.eye(3))

    config = isjax.TrainConfig(num_steps=4, num_evals=2)
    trace = isjax.train(KEY, source().problem("biased"), 16, 0.1, network=Unnormalised(), config=config)
    assert np.isnan(trace.code_loss).all()


@pytest.mark.parametrize("activation", ["tanh", "gelu", "sigmoid"])
def test_an_mlp_has_the_activation_that_it_is_given(activation):
    network, inputs = isjax.MLP((5,), 2, activation=activation), jnp.linspace(-2, 2, 12).reshape(4, 3)
    params = network.init(KEY, inputs)
    hidden, _ = network.apply(params, inputs, method=network.activations)
    layer = params["params"]["Dense_0"]
    np.testing.assert_allclose(hidden, getattr(nn, activation)(inputs @ layer["kernel"] + layer["bias"]), atol=1e-6)


def test_check_network_tells_the_number_of_codes():
    features = jax.ShapeDtypeStruct((6, 3), jnp.float32)
    assert check_network(isjax.MLP32(2), features, 2) is None
    assert check_network(isjax.EncoderDecoder((4,), 7, 2), features, 2) == 7


# -- studies -----------------------------------------------------------------------------------------------------------


class Changing(nn.Module):
    """A network whose call is changed by a test."""

    scale = 1.0

    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(2)(inputs) * self.scale


STUDY = isjax.SweepSpec(
    networks={"changing": Changing(), "code": isjax.EncoderDecoder((4,), 2, 2)},
    optimizer=optax.adam,
    lengths=(16, math.inf),
    num_seeds=1,
    num_steps=8,
    num_evals=2,
)


@pytest.fixture(scope="module")
def problems():
    return {("sparse", "biased"): source().problem("biased")}


def test_a_study_holds_the_code_loss_and_the_least_of_as_many_codes(problems, tmp_path):
    study = isjax.study.run(KEY, problems, STUDY, output=tmp_path / "a.nc")
    loaded = isjax.study.load(tmp_path / "a.nc")
    assert loaded.identical(study)
    assert loaded["network"].values.tolist() == ["changing", "code"]
    assert loaded["length"].values.tolist() == [16, math.inf]
    assert np.isnan(loaded["least_code_loss"].sel(network="changing")).all()
    assert float(loaded["least_code_loss"].sel(network="code").squeeze()) < 1e-6
    total = loaded["encoder_bias"] + loaded["code_loss"] + loaded["decoder_error"]
    np.testing.assert_allclose(loaded["excess_risk"], total.transpose(*loaded["excess_risk"].dims), atol=1e-6)
    described = json.loads(loaded.attrs["spec"])
    assert described["networks"]["code"] == "EncoderDecoder(hidden=(4,), num_codes=2, num_classes=2)"
    assert described["optimizer"] == "optax.adam"
    assert len(isjax.study.figure(study).axes) == 2
    assert len(isjax.study.parts_figure(study).axes) == 4


def test_a_network_whose_call_changed_is_trained_again_and_the_log_says_why(problems, tmp_path, monkeypatch, caplog):
    path = tmp_path / "study.nc"
    monkeypatch.setattr("isjax.study.checkpoints.Checkpoints.finish", _interrupted)
    with pytest.raises(RuntimeError, match="stopped"):
        isjax.study.run(KEY, problems, STUDY, output=path)
    monkeypatch.undo()
    monkeypatch.setattr(Changing, "scale", 2.0)
    with caplog.at_level(logging.DEBUG, "isjax"):
        isjax.study.run(KEY, problems, STUDY, output=path, resume=True)
    assert "block 2 of 2 is restored" in caplog.text
    assert "block 1 of 2 is restored" not in caplog.text
    assert (
        "is not used: a block of another study, with other computation of the network or the optimizer" in caplog.text
    )


def _interrupted(*_):
    raise RuntimeError("stopped")


def test_the_digest_is_of_what_is_computed():
    problem = jax.device_get(source().problem("biased"))
    seen = problem.features, problem.joint.shape[-1]

    def digest(**options):
        return digest_of_computation(isjax.SweepSpec(num_steps=20, **options), *seen)

    assert digest() is None
    digests = [
        digest(networks={"a": nn.Dense(2)}),
        digest(networks={"a": nn.Dense(2, use_bias=False)}),
        digest(networks={"a": nn.Dense(2)}, optimizer=optax.adam),
        digest(networks={"a": nn.Dense(2)}, optimizer=functools.partial(optax.adam, b1=0.8)),
        digest(optimizer=optax.adam),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == digest(networks={"a": nn.Dense(2)})
