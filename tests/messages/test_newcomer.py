"""The mistakes of a first hour: each gets one message that names the argument, what it got and what to do."""

import pathlib
import traceback

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import isjax

J, P = np.float32([[0.5, 0], [0, 0.25], [0.125, 0.125]]), np.float32([0.5, 0.25, 0.25])
C, X, Y = np.array([0, 1, 1]), np.array([0, 1, 1, 0]), np.array([0, 1, 0, 1])
K = jax.random.key(0)
SOURCE_OPTIONS = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
SOURCE = isjax.sparse_source(K, **SOURCE_OPTIONS)
PROBLEM = SOURCE.problem("biased")
SPEC = isjax.SweepSpec(hidden=((4,),), lengths=(8,), num_seeds=1, num_steps=2, num_evals=1)
CONFIG = isjax.TrainConfig(num_steps=2, num_evals=1)
MLP = isjax.MLP((4,), num_classes=2)
FEATURES = np.float32([[0], [1], [2]])


class Nnx(nnx.Module):
    """A module of the other library of Flax."""


def train(**changed):
    right = {"key": K, "problem": PROBLEM, "length": 8, "learning_rate": 0.1, "network": MLP, "config": CONFIG}
    right |= changed
    return isjax.train(right.pop("key"), right.pop("problem"), right.pop("length"), right.pop("learning_rate"), **right)


def run(*arguments, **options):
    return isjax.study.run(*arguments, **options)


MISTAKES = {
    # a key
    "a seed": (lambda: isjax.sample(0, J, 3), "key must be a key of jax.random.key, got 0: use jax.random.key(0)"),
    "an old key": (
        lambda: isjax.sample(jax.random.PRNGKey(0), J, 3),
        "key must be a key of jax.random.key, got an array",
    ),
    "two keys": (
        lambda: isjax.sample(jax.random.split(K), J, 3),
        "got keys of shape (2,): map over them with jax.vmap",
    ),
    "no key": (lambda: isjax.sparse_source(None, **SOURCE_OPTIONS), "got None: use jax.random.key(0)"),
    "a seed of a sweep": (lambda: isjax.sweep(7, [PROBLEM], SPEC), "got 7: use jax.random.key(7)"),
    "a seed of a study": (lambda: run(0, {("a", "b"): PROBLEM}, SPEC), "got 0: use jax.random.key(0)"),
    "a seed of training": (lambda: train(key=0), "got 0: use jax.random.key(0)"),
    # distributions
    "counts": (lambda: isjax.mutual_information(np.array([[3, 1], [0, 4]])), "joint must hold floating-point"),
    "counts in floats": (lambda: isjax.mutual_information(J * 200), "joint sums to 200, not 1: for counts use"),
    "rows": (lambda: isjax.mutual_information(J / J.sum(1, keepdims=True)), "isjax.joint_distribution"),
    "no distribution": (lambda: isjax.entropy([3.0, 4.0, 5.0]), "p sums to 12, not 1: isjax.normalise(p)"),
    "logits": (lambda: isjax.is_sufficient(J, np.float32([[1, -1], [2, 0], [0, 1]])), "become probabilities by jax.nn"),
    "a decoder of probabilities": (
        lambda: isjax.risk_decomposition(J, np.full((3, 2), 0.5, "f4")),
        "log_decoder must hold log-probabilities",
    ),
    "strings": (
        lambda: isjax.entropy(["a"]),
        "p must be an array of floating-point probabilities, got a list of strings",
    ),
    "None": (lambda: isjax.entropy(None), "p must be an array of floating-point probabilities, got None"),
    "a dictionary": (
        lambda: isjax.entropy({"a": 0.5}),
        "p must be an array of floating-point probabilities, got a dict",
    ),
    "lists of unequal lengths": (lambda: isjax.mutual_information([[0.5, 0.5], [0.1]]), "joint must be an array"),
    "complex": (lambda: isjax.entropy(np.array([1j])), "p must hold floating-point probabilities, got dtype complex64"),
    "a distribution of X alone": (lambda: isjax.mutual_information(P), "joint must have shape [..., x, y], got"),
    "swapped": (lambda: isjax.mutual_information_loss(C, J), "joint must hold floating-point probabilities"),
    # options
    "bits": (lambda: isjax.entropy(P, base="bits"), "base must be a number greater than 1 (None for nats, 2 for bits)"),
    "base 1": (lambda: isjax.mutual_information(J, base=1), "base must be a number greater than 1"),
    "a named axis": (lambda: isjax.entropy(P, axis="x"), "axis must be an integer or a tuple of integers, got 'x'"),
    "no such axis": (lambda: isjax.entropy(P, axis=5), "axis=5 is not an axis of an array of shape (3,)"),
    "an order in quotes": (lambda: isjax.renyi_entropy(P, "2"), "order must be a number, got '2'"),
    "a tolerance in words": (
        lambda: isjax.is_sufficient(J, C, tolerance="low"),
        "tolerance must be a number, got 'low'",
    ),
    "tolerance of a solver": (
        lambda: isjax.information_projection(P, FEATURES, np.float32([1]), tolerance="low"),
        "tolerance must be a number, got 'low'",
    ),
    "codes as a float": (lambda: isjax.optimal_quantizer(J, num_codes=2.0), "num_codes must be an integer, got 2.0"),
    "codes in quotes": (lambda: isjax.kl_means_quantizer(K, J, num_codes="2"), "num_codes must be an integer, got '2'"),
    "beta in quotes": (lambda: isjax.information_bottleneck(K, J, "1", num_codes=2), "beta must be a number, got '1'"),
    "several betas": (
        lambda: isjax.information_bottleneck(K, J, [1.0, 2.0], num_codes=2),
        "map over a batch with jax.vmap",
    ),
    "draws as a float": (lambda: isjax.sample(K, J, 1e3), "num_samples must be an integer, got 1000.0"),
    # encoders and labels
    "codes in words": (lambda: isjax.is_sufficient(J, ["a", "b", "b"]), "isjax.encode_labels turns labels into codes"),
    "labels": (lambda: isjax.empirical_joint(["a"], ["b"], shape=(1, 1)), "isjax.encode_labels turns labels into"),
    "labels of numpy": (
        lambda: isjax.sufficiency_test(K, np.array(["a", "b"]), Y[:2], Y[:2], shape=(2, 2, 2)),
        "isjax.encode_labels turns labels into integers",
    ),
    "symbols as floats": (lambda: isjax.empirical_joint(X * 1.0, Y, shape=(2, 2)), "x must hold integer symbols, got"),
    "one size": (lambda: isjax.empirical_joint(X, Y, shape=2), "shape must be (|X|, |Y|), got 2"),
    "too short a code": (lambda: isjax.mutual_information_loss(J, C[:2]), "encoder has 2 rows, but X has 3 symbols in"),
    "a code too large": (
        lambda: isjax.mutual_information_loss(J, C + 6),
        "encoder has code 6, but codes must lie in 0…2",
    ),
    "one coordinate": (lambda: isjax.coordinate_encoder(4, kept=[0]), "alphabet_sizes must be a sequence of integers"),
    "float counts": (lambda: isjax.estimate_entropy(P, method="plug_in"), "counts must hold integers, how often"),
    "mixed labels": (
        lambda: isjax.encode_labels(np.array([1, "a"], object)),
        "labels must be of one type, got int, str",
    ),
    # projections
    "features of one axis": (
        lambda: isjax.information_projection(P, FEATURES[:, 0], np.float32([1])),
        "features must have shape [..., x, k], got shape (3,)",
    ),
    "one moment": (
        lambda: isjax.information_projection(P, FEATURES, 1.0),
        "moments must have shape [..., k], got shape ()",
    ),
    "one marginal": (
        lambda: isjax.iterative_proportional_fitting(J, P, [0]),
        "marginals must be a list, with an entry",
    ),
    "one axis": (
        lambda: isjax.iterative_proportional_fitting(J, [P], 0),
        "axes must be a list, with an entry for each",
    ),
    # sources
    "an unknown encoder": (
        lambda: SOURCE.problem("good"),
        'encoder must be "identity", "sufficient", "biased" or codes',
    ),
    "a word for a number": (
        lambda: isjax.sparse_source(K, **SOURCE_OPTIONS | {"discrimination": "high"}),
        "discrimination must be a number in [0, 1], got 'high'",
    ),
    "a source whose code loses": (
        lambda: isjax.Source(J, np.eye(3, dtype="f4"), np.array([0, 0, 1]), C),
        "codes must be a sufficient encoder, but they lose",
    ),
    "a source with few features": (
        lambda: isjax.Source(J, np.eye(2, dtype="f4"), np.arange(3), C),
        "features must have shape (3, d), a row for each symbol of X in joint, got (2, 2)",
    ),
    # specs and sweeps
    "a width for a network": (
        lambda: isjax.SweepSpec(hidden=(32,), num_steps=16),
        "hidden must hold a sequence of widths for each network, such as ((32,),), got 32",
    ),
    "one width": (
        lambda: isjax.SweepSpec(hidden=32, num_steps=16),
        "hidden must be a sequence, such as ((32,), (64, 64))",
    ),
    "one length": (
        lambda: isjax.SweepSpec(lengths=64, num_steps=16),
        "lengths must be a sequence, such as (32, 64), got 64",
    ),
    "one rate": (
        lambda: isjax.SweepSpec(learning_rates=0.1, num_steps=16),
        "learning_rates must be a sequence, such as",
    ),
    "no steps": (
        lambda: isjax.SweepSpec(),
        "give one of num_steps and num_epochs, got neither, such as num_steps=2000",
    ),
    "named seeds": (
        lambda: isjax.SweepSpec(num_steps=16, num_seeds=(0, 1)),
        "num_seeds must be an integer, got (0, 1)",
    ),
    "one problem": (lambda: isjax.sweep(K, PROBLEM, SPEC), "problems must be a sequence of Problem, such as [problem]"),
    "problems by name": (lambda: isjax.sweep(K, {"a": PROBLEM}, SPEC), "problems must be a sequence of Problem"),
    "sources": (lambda: isjax.sweep(K, [SOURCE], SPEC), "a Source gives one by source.problem('identity')"),
    "the class of a spec": (lambda: isjax.sweep(K, [PROBLEM], isjax.SweepSpec), "spec must be a SweepSpec, such as"),
    "integer features": (
        lambda: isjax.sweep(K, [isjax.Problem(J, C, np.eye(2, dtype=int))], SPEC),
        "features must hold floating-point numbers, got dtype int32",
    ),
    "too few features": (
        lambda: isjax.sweep(K, [isjax.Problem(J, C, np.ones((1, 1), "f4"))], SPEC),
        "codes has code 1, but codes must lie in 0…0",
    ),
    "a joint times 3": (
        lambda: isjax.sweep(K, [isjax.Problem(3 * J, C, np.eye(2, dtype="f4"))], SPEC),
        "joint sums to 3, not 1",
    ),
    # training
    "an nnx module": (lambda: train(network=Nnx()), "flax.nnx.bridge.ToLinen makes one of an nnx module"),
    "the class of a network": (lambda: train(network=isjax.MLP), "got the class MLP: give an instance"),
    "another number of classes": (
        lambda: train(network=isjax.MLP((4,), num_classes=5)),
        "network must give logits of shape [n, y] = ",
    ),
    "one hidden width": (
        lambda: isjax.MLP(32, num_classes=2),
        "hidden must be a sequence of widths, such as (32,), got 32",
    ),
    "a rate in quotes": (lambda: train(learning_rate="0.1"), "learning_rate must be one number, got '0.1'"),
    "a rate below zero": (lambda: train(learning_rate=-1.0), "learning_rate must be positive and finite, got -1"),
    "no config": (
        lambda: train(config=None),
        "config must be a TrainConfig, such as isjax.TrainConfig(num_steps=2000)",
    ),
    "half a sample": (lambda: train(length=8.5), "length must be an integer, got 8.5"),
    # studies and files
    "a list of problems": (lambda: run(K, [PROBLEM], SPEC), "problems must map (source, encoder) to a Problem"),
    "names that are no pairs": (
        lambda: run(K, {"a": PROBLEM}, SPEC),
        "problems must be named by pairs (source, encoder)",
    ),
    "a source in a study": (
        lambda: run(K, {("a", "b"): SOURCE}, SPEC),
        "a Source gives one by source.problem('identity')",
    ),
    "no spec": (lambda: run(K, {("a", "b"): PROBLEM}, None), "spec must be a SweepSpec, such as isjax.SweepSpec("),
    "a number for a file": (lambda: run(K, {("a", "b"): PROBLEM}, SPEC, output=3), "output must be the path of a file"),
    "no file": (lambda: isjax.study.load("/nowhere.nc"), "there is no file /nowhere.nc"),
    "a figure of a file's name": (
        lambda: isjax.study.figure("study.nc"),
        "study must be a dataset, as isjax.study.run",
    ),
    "a statistic in words": (lambda: isjax.bootstrap(K, "entropy", X), "statistic must be a function of the data, got"),
    "no spec of a measurement": (lambda: isjax.data.measure(K, {"x": X}, None), "spec must be a MeasureSpec, such as"),
    "cores in quotes": (lambda: isjax.configure_cpu("2"), "num_devices must be an integer, got '2'"),
}


def test_there_are_at_least_fifty():
    assert len(MISTAKES) >= 50


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_message_of_our_own(name):
    call, message = MISTAKES[name]
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    *_, last = traceback.extract_tb(caught.value.__traceback__)
    assert pathlib.Path(last.filename).is_relative_to(pathlib.Path(isjax.__file__).parent)
    assert caught.value.__cause__ is None


def test_what_is_right_is_not_refused():
    train()
    train(network=nn.Dense(2))
    assert isjax.entropy(P, axis=np.int64(0)) > 0
    jax.jit(lambda key: isjax.sweep(key, [isjax.Problem(J, C, np.eye(2, dtype="f4"))], SPEC))(K)  # numpy arrays
    with jax.enable_x64(True):
        isjax.sweep(K, [isjax.Problem(jnp.asarray(J, jnp.float32), C, np.eye(2))], SPEC)  # float64 beside float32
