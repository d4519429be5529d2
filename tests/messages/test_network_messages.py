"""Networks, optimisers and lengths that cannot be trained, and what the message says."""

import math
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest

import isjax

KEY = jax.random.key(1)


def problem():
    options = {"num_inputs": 5, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
    return isjax.sparse_source(jax.random.key(0), **options).problem("identity")


class WithStatistics(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(2)(nn.BatchNorm(use_running_average=False)(inputs))


class WithDropout(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=False)(inputs))


class WithoutParameters(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return inputs[:, :2]


class WrongPair(nn.Module):
    @nn.compact
    def __call__(self, inputs):
        return nn.softmax(nn.Dense(3)(inputs)), nn.Dense(2)(jnp.eye(4))


REFUSED_NETWORKS = {
    "[n, y] = (32, 2), one for each class of Y in joint, got shape (32, 3) from Dense; one with": nn.Dense(3),
    "has the variables 'batch_stats' beside its parameters": WithStatistics(),
    "draws random numbers in its call, as dropout does": WithDropout(),
    "network WithoutParameters has no parameters": WithoutParameters(),
    "must give rows [n, v] and logits [v, y=2] for n=32 inputs, got shapes (32, 3) and (4, 2)": WrongPair(),
}


@pytest.mark.parametrize("message", REFUSED_NETWORKS)
def test_a_network_that_cannot_be_trained_is_refused_and_the_message_says_why(message):
    spec = isjax.SweepSpec(networks={"mine": REFUSED_NETWORKS[message]}, lengths=(16,), num_steps=20)
    with pytest.raises(ValueError, match=re.escape(message)):
        isjax.sweep(KEY, [problem()], spec)


REFUSED_SPECS = {
    "give one of hidden and networks": (ValueError, {"hidden": ((3,),), "networks": {"a": isjax.MLP32}}),
    "networks must map names to Flax modules": (TypeError, {"networks": [isjax.MLP32]}),
    "networks must hold at least one": (ValueError, {"networks": {}}),
    "networks must hold Flax modules, such as {'narrow': isjax.MLP((32,), num_classes=4)}, got 3 for 'a'": (
        TypeError,
        {"networks": {"a": 3}},
    ),
    "networks must be named by non-empty strings": (TypeError, {"networks": {3: isjax.MLP32}}),
    "optimizer must be a function of the learning rate, such as optax.adam": (TypeError, {"optimizer": "adam"}),
    "got what one returns": (TypeError, {"optimizer": optax.adam(0.1)}),
    "optimizer must give an optax transformation": (TypeError, {"optimizer": lambda rate: rate}),
    "optimizer must be a function of the learning rate alone": (TypeError, {"optimizer": lambda: optax.sgd(1)}),
    "optimizer must have one for each network, 8, got those of 9": (
        ValueError,
        {"hidden": ((8,),), "optimizer": {"9": optax.sgd}},
    ),
    "lengths must be finite for num_epochs": (ValueError, {"lengths": (math.inf,), "num_epochs": 3, "num_steps": None}),
}


@pytest.mark.parametrize("message", REFUSED_SPECS)
def test_a_spec_that_makes_no_sense_is_refused(message):
    kind, options = REFUSED_SPECS[message]
    with pytest.raises(kind, match=re.escape(message)):
        isjax.SweepSpec(**({"num_steps": 20} | options))


def test_infinite_data_have_no_epochs():
    config = isjax.TrainConfig(num_epochs=2)
    with pytest.raises(ValueError, match="length is infinite, and has no epochs"):
        isjax.train(KEY, problem(), math.inf, 0.1, network=isjax.MLP32(2), config=config)
