"""What estimation and the probe of networks refuse, and in which words."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax.data import MeasureSpec, measure, rank

KEY, COUNTS, X, JOINT = jax.random.key(0), np.array([3, 1]), np.array([0, 1, 1]), np.full((3, 2), 1 / 6, "f4")
SAMPLES = {"x": X, "y": X, "u": X, "shape": (2, 2, 2)}
RIGHT = {
    "estimate_entropy": {"counts": COUNTS, "method": "plug_in"},
    "estimate_mutual_information": {"counts": COUNTS[None], "method": "plug_in"},
    "estimate_information_loss": {**SAMPLES, "method": "plug_in"},
    "sufficiency_test": {"key": KEY, **SAMPLES, "num_permutations": 9},
    "loss_interval": {"key": KEY, **SAMPLES, "confidence": 0.9, "num_draws": 19},
    "bootstrap": {"key": KEY, "statistic": jnp.mean, "data": JOINT, "num_resamples": 9, "confidence": 0.9},
    "layer_losses": {"activations": lambda h: [h], "inputs": JOINT, "joint": JOINT, "bin_width": 0.1},
}
OF_COUNTS, OF_SAMPLES = list(RIGHT)[:2], list(RIGHT)[2:5]


def refused(error, message, name, **changed):
    with pytest.raises(error, match="^" + re.escape(message)):
        getattr(isjax, name)(**{**RIGHT[name], **changed})


@pytest.mark.filterwarnings("ignore:the smallest expected count")
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_refused(name):
    getattr(isjax, name)(**RIGHT[name])


@pytest.mark.parametrize("name", [*OF_COUNTS, "estimate_information_loss"])
def test_method_and_base(name):
    methods = "'plug_in', 'miller_madow', 'grassberger', 'chao_shen', 'jackknife', 'james_stein'"
    refused(ValueError, f"method must be one of {methods}, got 'inversion'", name, method="inversion")
    refused(ValueError, "base must be a number greater than 1 (None for nats, 2 for bits), got 1", name, base=1)


def test_method_of_a_measurement():
    with pytest.raises(ValueError, match=r"^method must be one of 'inversion', 'miller_madow', .*, got 'best'"):
        MeasureSpec(target="y", method="best")
    with pytest.raises(TypeError, match=r"^inputs must be a tuple of column names, got 'xy'"):
        MeasureSpec(target="y", inputs="xy")


def test_specs_of_a_ranking():
    for spec in ("y", None):
        with pytest.raises(TypeError, match=r"^spec must be a RankSpec, such as RankSpec\(target='y'\), got "):
            rank(KEY, {"x": X, "y": X}, spec)


def test_key_of_a_measurement():
    spec = MeasureSpec(target="y", inputs=("x",))
    for key in (0, jax.random.split(KEY)):
        with pytest.raises(TypeError, match=r"^key must be a key of jax.random.key, got "):
            measure(key, {"x": X, "y": X}, spec)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_integers_of_every_type_are_counted_alike(dtype):
    """Also if the alphabet has more symbols than the type has numbers."""
    options = {"shape": (300, 2, 2), "method": "plug_in"}
    x = np.array([0, 1, 1, 2])
    of_samples = isjax.estimate_information_loss(*(s.astype(dtype) for s in (x, x % 2, x // 2)), **options)
    assert of_samples == isjax.estimate_information_loss(x, x % 2, x // 2, **options)
    counts = np.array([120, 7, 0])
    of_counts = isjax.estimate_entropy(counts.astype(dtype), method="grassberger")
    assert of_counts == isjax.estimate_entropy(counts, method="grassberger")


@pytest.mark.parametrize(("name", "axes"), [(OF_COUNTS[0], "k"), (OF_COUNTS[1], "x, y")])
def test_counts(name, axes):
    right = RIGHT[name]["counts"]
    message = "counts must hold integers, how often each symbol occurs, got dtype float32"
    refused(TypeError, message, name, counts=right.astype("f4"))
    needed = f"counts must have shape [..., {axes}], no alphabet empty, got shape "
    refused(ValueError, needed + str(right[0].shape), name, counts=right[0])
    refused(ValueError, needed + str(right[..., :0].shape), name, counts=right[..., :0])
    refused(ValueError, "counts must not be negative, got -3", name, counts=-right)


@pytest.mark.parametrize("name", OF_SAMPLES)
@pytest.mark.parametrize("sample", "xyu")
def test_samples(name, sample):
    refused(TypeError, f"{sample} must hold integer symbols, got dtype float32", name, **{sample: X.astype("f4")})
    refused(ValueError, f"{sample} has symbol 2, but its alphabet is 0…1", name, **{sample: X + 1})
    refused(ValueError, f"{sample} has symbol -1, but its alphabet is 0…1", name, **{sample: X - 1})
    refused(ValueError, f"{sample} must have shape [..., n] with n at least 1, got shape (0,)", name, **{sample: X[:0]})
    refused(ValueError, "samples must have one length, got ", name, **{sample: X[:2]})


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_shape(name):
    refused(ValueError, "shape must be (|X|, |Y|, |U|), got (2, 2)", name, shape=(2, 2))
    refused(ValueError, "shape must be at least 1, got 0", name, shape=(2, 2, 0))
    refused(TypeError, "shape must be an integer, got 2.0", name, shape=(2, 2, 2.0))


def test_batches_are_mapped_over():
    batch = {name: np.stack([X, X]) for name in "xyu"}
    message = "samples must have shape [n], got (2, 3): map over a batch with jax.vmap"
    refused(ValueError, message, "sufficiency_test", **batch)
    refused(ValueError, message, "loss_interval", **batch)
    refused(ValueError, "num_permutations must be at least 1, got 0", "sufficiency_test", num_permutations=0)


def test_intervals_by_inversion():
    name = "loss_interval"
    refused(ValueError, "num_draws must be at least 19, got 18", name, num_draws=18)
    refused(ValueError, "num_draws must be at least 39, got 19", name, confidence=0.95)
    refused(TypeError, "num_draws must be an integer, got 99.0", name, num_draws=99.0)
    refused(ValueError, "confidence must lie between 0 and 1, got 95", name, confidence=95)
    refused(TypeError, "key must be a key of jax.random.key, got 0: use jax.random.key(0)", name, key=0)


def test_bootstrap():
    refused(ValueError, "num_resamples must be at least 2, got 1", "bootstrap", num_resamples=1)
    refused(ValueError, "confidence must lie between 0 and 1, got 95", "bootstrap", confidence=95)
    refused(ValueError, "confidence must lie between 0 and 1, got 1", "bootstrap", confidence=1)
    refused(ValueError, "data must hold arrays of shape [n, ...], got []", "bootstrap", data=())
    refused(ValueError, "data must hold arrays of shape [n, ...], got [(3,), ()]", "bootstrap", data=(X, 1.0))
    message = "data must hold arrays of one length, at least 1, got lengths "
    refused(ValueError, message + "[2, 3]", "bootstrap", data=(X, X[:2]))
    refused(ValueError, message + "[0]", "bootstrap", data=X[:0])
    refused(TypeError, "statistic must return floats, got dtype int32", "bootstrap", data=X, statistic=jnp.sum)


def test_layers():
    name = "layer_losses"
    refused(TypeError, "inputs must hold floating-point numbers, got dtype int32", name, inputs=X)
    refused(TypeError, "joint must hold floating-point probabilities, got dtype int32", name, joint=X[:, None])
    refused(ValueError, "joint must have shape [x, y], got shape (1, 3, 2)", name, joint=JOINT[None])
    refused(ValueError, "inputs has 2 rows, but X has 3 symbols in joint", name, inputs=JOINT[:2])
    refused(ValueError, "bin_width must be above zero, got 0", name, bin_width=0.0)
    message = "activations must give arrays of shape [3, ...], one a layer, got "
    refused(ValueError, message + "[]", name, activations=lambda h: [])
    refused(ValueError, message + "[(3, 2), (2, 2)]", name, activations=lambda h: [h, h[:2]])
    message = "activations must hold floating-point numbers, got dtype bool"
    refused(TypeError, message, name, activations=lambda h: [h > 0])


def test_modules():
    message = "module must be a flax.linen.Module or a flax.nnx.Module, got "
    with pytest.raises(TypeError, match=re.escape(message + "function")):
        isjax.module_activations(lambda h: [h], ["h"])
    with pytest.raises(TypeError, match=r"^state must hold the variables of a linen module, got None"):
        isjax.module_activations(isjax.MLP32(2), ["Dense_0"])
