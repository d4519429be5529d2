"""What the theory refuses, and in which words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from isjax import _checks
from tests.helpers import refused

P, P_X, JOINT, TRIPLE = (
    np.full(4, 0.25, "f4"),
    np.full(3, 1 / 3, "f4"),
    np.full((3, 2), 1 / 6, "f4"),
    np.full((2, 2, 2), 1 / 8, "f4"),
)
CODES, ROWS = np.array([0, 1, 1]), np.full((3, 2), 0.5, "f4")
KEY = jax.random.key(0)
LOG_Q = np.log(np.full((2, 2), 0.5, "f4"))


# Every name with what it takes, which is right: the tests put one wrong thing in the place of one of these.
RIGHT = {
    "marginal_x": {"joint": JOINT},
    "marginal_y": {"joint": JOINT},
    "conditional_y_given_x": {"joint": JOINT},
    "conditional_x_given_y": {"joint": JOINT},
    "joint_distribution": {"p_x": P_X, "p_y_given_x": ROWS},
    "product_distribution": {"p_x": P, "p_y": P},
    "pushforward": {"joint": JOINT, "encoder": CODES},
    "sample": {"key": KEY, "joint": JOINT, "num_samples": 3},
    "check_distribution": {"p": P},
    "entropy": {"p": P},
    "binary_entropy": {"p": P},
    "renyi_entropy": {"p": P, "order": 2},
    "tsallis_entropy": {"p": P, "order": 2},
    "cross_entropy": {"p": P, "q": P},
    "kl_divergence": {"p": P, "q": P},
    "jensen_shannon_divergence": {"p": P, "q": P},
    "renyi_divergence": {"p": P, "q": P, "order": 2},
    "total_variation": {"p": P, "q": P},
    "conditional_entropy": {"joint": JOINT},
    "mutual_information": {"joint": JOINT},
    "pointwise_mutual_information": {"joint": JOINT},
    "conditional_mutual_information": {"joint": TRIPLE},
    "total_correlation": {"joint": TRIPLE},
    "dual_total_correlation": {"joint": TRIPLE},
    "co_information": {"joint": TRIPLE},
    "o_information": {"joint": TRIPLE},
    "mutual_information_loss": {"joint": JOINT, "encoder": CODES},
    "is_sufficient": {"joint": JOINT, "encoder": CODES},
    "risk_decomposition": {"joint": JOINT, "log_decoder": LOG_Q, "encoder": CODES},
    "scored_loss": {"joint": JOINT, "encoder": CODES, "rule": isjax.brier_score},
    "minimal_sufficient_encoder": {"joint": JOINT},
    "layerwise_loss": {"joint": JOINT, "encoders": np.stack([CODES, CODES])},
}
PROBABILITIES = [
    (f, arg)
    for f, args in RIGHT.items()
    for arg in args
    if arg in ("p", "q", "p_x", "p_y", "joint", "p_y_given_x", "log_decoder")
]
WITH_AXIS = [
    f
    for f in RIGHT
    if f.split("_")[-1] in ("entropy", "divergence", "variation") and f not in ("binary_entropy", "conditional_entropy")
] + ["check_distribution"]
WITH_BASE = [
    f
    for f in RIGHT
    if f.split("_")[-1] in ("entropy", "divergence", "information", "correlation", "loss", "decomposition")
    and f not in ("tsallis_entropy", "layerwise_loss", "scored_loss")
]
OF_VARIABLES = ["total_correlation", "dual_total_correlation", "co_information", "o_information"]
WITH_CODES = ["pushforward", "mutual_information_loss", "is_sufficient", "scored_loss"]


def call(name, **changed):
    return getattr(isjax, name)(**{**RIGHT[name], **changed})


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_not_refused(name):
    options = {"axis": 0} if name in WITH_AXIS else {}
    options |= {"base": 2} if name in WITH_BASE else {}
    jax.eval_shape(lambda: (call(name), call(name, **options)))  # checks values, compiles nothing


def test_concrete_values_are_checked_under_jit_too():
    joint, broken = JOINT, np.array([[0, 0, 1], [0, 1, 1]])
    message = "encoders must form a chain, but layer 1 is not a function of layer 0"
    refused(ValueError, message, jax.jit(lambda: call("layerwise_loss", joint=joint, encoders=broken)))
    refused(ValueError, "p must not be negative, got -1", jax.jit(lambda: isjax.check_distribution(-P * 4)))
    message = "permutations must hold permutations of 0…1, but row 0 is not one"
    refused(ValueError, message, jax.jit(lambda: isjax.orbit_encoder(np.zeros((1, 2), int))))


@pytest.mark.parametrize(("name", "argument"), PROBABILITIES)
@pytest.mark.parametrize("dtype", [int, bool, complex])
def test_probabilities_that_are_no_floats(name, argument, dtype):
    got = jnp.asarray(np.zeros(1, dtype)).dtype
    what = "numbers" if argument == "log_decoder" else "probabilities"
    counts = ": for counts use isjax.normalise" if got == jnp.asarray(1).dtype and what == "probabilities" else ""
    message = f"{argument} must hold floating-point {what}, got dtype {got}{counts}"
    refused(TypeError, message, call, name, **{argument: np.zeros_like(RIGHT[name][argument], dtype)})


@pytest.mark.parametrize(("name", "argument"), PROBABILITIES)
def test_too_few_axes(name, argument):
    right = RIGHT[name][argument]
    if argument in ("p", "q"):
        if name == "binary_entropy":
            assert call(name, p=np.float32(0.5)).shape == ()
            return
        refused(
            ValueError,
            "axis=-1 is not an axis of an array of shape ()",
            call,
            name,
            **{argument: np.float32(1)},
            axis=-1,
        )
    elif name in OF_VARIABLES:
        message = "joint must have an axis for each of two or more variables, got shape (2,)"
        refused(ValueError, message, call, name, joint=right[0, 0])
    else:
        letters = {"log_decoder": "u, y", "p_x": "x", "p_y": "y"}.get(argument, ["x, y", "x, y, z"][right.ndim - 2])
        small = right[0]
        message = f"{argument} must have shape [..., {letters}], got shape {small.shape}"
        refused(ValueError, message, call, name, **{argument: small})


@pytest.mark.parametrize(("name", "argument"), [(f, a) for f, a in PROBABILITIES if a not in ("p", "q")])
def test_empty_alphabet(name, argument):
    empty = RIGHT[name][argument][..., :0]
    if name in OF_VARIABLES:
        message = f"joint has a variable with an empty alphabet: shape {empty.shape}"
        refused(ValueError, message, call, name, joint=empty)
        return
    letter = {"p_x": "x", "conditional_mutual_information": "z"}.get(argument if argument == "p_x" else name, "y")
    message = f"{argument} has an empty alphabet {letter}: shape {empty.shape}"
    refused(ValueError, message, call, name, **{argument: empty})


@pytest.mark.parametrize("name", WITH_AXIS)
def test_axis(name):
    refused(ValueError, "axis=1 is not an axis of an array of shape (4,)", call, name, axis=1)
    refused(ValueError, "axis=(-1, -3) is not an axis of an array of shape (4,)", call, name, axis=(-1, -3))
    refused(ValueError, "axis must name each axis once and at least one, got (0, -1)", call, name, axis=(0, -1))
    refused(ValueError, "axis must name each axis once and at least one, got ()", call, name, axis=())


@pytest.mark.parametrize("name", WITH_BASE)
@pytest.mark.parametrize("base", [1, -2, float("nan"), "2"])
def test_base(name, base):
    message = f"base must be a number greater than 1 (None for nats, 2 for bits), got {base!r}"
    refused(ValueError, message, call, name, base=base)


@pytest.mark.parametrize("name", ["renyi_entropy", "tsallis_entropy", "renyi_divergence"])
def test_order(name):
    refused(ValueError, "order must be at least 0, got -1", call, name, order=-1)
    refused(ValueError, "order must be at least 0, got nan", call, name, order=float("nan"))
    message = "order is being traced, but it chooses a formula: give a number"
    refused(TypeError, message, jax.jit(lambda order: call(name, order=order)), 2.0)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weight(weight):
    message = f"weight must lie in [0, 1], got {weight}"
    refused(ValueError, message, call, "jensen_shannon_divergence", weight=weight)
    refused(ValueError, "weight must lie in [0, 1], got", call, "jensen_shannon_divergence", weight=jnp.array(weight))


def test_weight_is_a_scalar():
    message = "weight must be a scalar, got shape (2,)"
    refused(ValueError, message, call, "jensen_shannon_divergence", weight=jnp.array([0.5, 0.5]))


@pytest.mark.parametrize("name", [f for f, args in RIGHT.items() if "q" in args])
def test_alphabets_that_differ(name):
    message = "p and q must share an alphabet, got sizes (4,) in p and (3,) in q"
    refused(ValueError, message, call, name, q=P[:3])
    message = "axis=0 means different axes of p, shape (4,), and q, shape (4, 4): count from the end"
    refused(ValueError, message, call, name, q=np.full((4, 4), 0.25, "f4"), axis=0)
    message = "batch axes must broadcast, got (2,) in p and (3,) in q"
    refused(ValueError, message, call, name, p=np.full((2, 4), 0.25, "f4"), q=np.full((3, 4), 0.25, "f4"))


def test_rows_of_a_channel():
    message = "p_y_given_x has 2 rows, but X has 3 symbols in p_x"
    refused(ValueError, message, call, "joint_distribution", p_y_given_x=ROWS[:2])
    message = "batch axes must broadcast, got (2,) in p_x and (3,) in p_y"
    refused(ValueError, message, call, "product_distribution", p_x=np.stack([P] * 2), p_y=np.stack([P] * 3))


@pytest.mark.parametrize("name", [*WITH_CODES, "risk_decomposition"])
def test_encoders(name):
    message = "encoder has 4 rows, but X has 3 symbols in joint of shape (3, 2)"
    refused(ValueError, message, call, name, encoder=np.array([0, 1, 1, 0]))
    refused(ValueError, message, call, name, encoder=np.full((4, 2), 0.5, "f4"))
    refused(ValueError, "encoder must have shape [..., x], got shape ()", call, name, encoder=np.array(0))
    message = "encoder of floats must have shape [..., x, u], got shape (3,)"
    refused(ValueError, message, call, name, encoder=P_X)
    message = "encoder must hold integer codes or floating-point rows, got dtype bool"
    refused(TypeError, message, call, name, encoder=np.array([True, False, True]))
    batches = {"joint": np.stack([JOINT, JOINT]), "encoder": np.stack([CODES] * 3)}
    refused(ValueError, "batch axes must broadcast, got (2,) in joint and (3,) in encoder", call, name, **batches)


@pytest.mark.parametrize("name", WITH_CODES)
def test_codes(name):
    refused(ValueError, "encoder has code 2, but codes must lie in 0…1", call, name, encoder=CODES + 1, num_codes=2)
    refused(ValueError, "encoder has code 3, but codes must lie in 0…2", call, name, encoder=np.array([0, 3, 1]))
    refused(ValueError, "encoder has code -1, but codes must lie in 0…1", call, name, encoder=CODES - 1, num_codes=2)
    beyond = np.array([0, 2**32 + 1, 2**64 - 1], np.uint64)
    refused(ValueError, "encoder has code 4294967297, but codes must lie in 0…2", call, name, encoder=beyond)
    refused(ValueError, "num_codes must be at least 1, got 0", call, name, num_codes=0)
    refused(TypeError, "num_codes must be an integer, got 2.0", call, name, num_codes=2.0)
    refused(TypeError, "num_codes must be an integer, got True", call, name, num_codes=True)
    message = "num_codes=3, but encoder has rows over 2 codes"
    refused(ValueError, message, call, name, encoder=ROWS, num_codes=3)


@pytest.mark.parametrize(
    ("encoders", "error", "message"),
    [
        (ROWS[None], TypeError, "encoders must hold integer codes, got dtype float32"),
        (CODES, ValueError, "encoders must have shape [..., layer, x], got shape (3,)"),
        (np.zeros((0, 3), int), ValueError, "encoders must have shape [..., layer, x], got shape (0, 3)"),
        (np.zeros((2, 4), int), ValueError, "encoders has 4 rows, but X has 3 symbols in joint of shape (3, 2)"),
        (np.array([[0, 1, 3]]), ValueError, "encoders has code 3, but codes must lie in 0…2"),
        (
            np.array([[0, 0, 1], [0, 1, 1]]),
            ValueError,
            "encoders must form a chain, but layer 1 is not a function of layer 0",
        ),
    ],
)
def test_layers(encoders, error, message):
    refused(error, message, call, "layerwise_loss", encoders=encoders)


@pytest.mark.parametrize(
    ("f", "args", "options", "error", "message"),
    [
        ("encoder_kernel", [CODES + 1], {"num_codes": 2}, ValueError, "encoder has code 2, but codes must lie in 0…1"),
        ("encoder_kernel", [ROWS], {"num_codes": 3}, ValueError, "num_codes=3, but encoder has rows over 2 codes"),
        ("encoder_kernel", [P > 0], {"num_codes": 3}, TypeError, "encoder must hold integer codes or floating-point"),
        ("encoder_kernel", [P], {"num_codes": 3}, ValueError, "encoder of floats must have shape [..., x, u]"),
        ("compose_encoders", [CODES, CODES[:1]], {}, ValueError, "first has code 1, but codes must lie in 0…0"),
        ("compose_encoders", [ROWS, CODES], {}, ValueError, "second has 3 rows, but first has 2 codes, shape (3, 2)"),
        ("compose_encoders", [CODES, np.array([0, 5])], {}, ValueError, "second has code 5, but codes must lie in 0…1"),
        ("compose_encoders", [CODES, np.array(0)], {}, ValueError, "second must have shape [..., x], got shape ()"),
        ("compact_codes", [P], {}, TypeError, "codes must hold integer codes, got dtype float32"),
        ("compact_codes", [np.array(3)], {}, ValueError, "codes must have shape [..., x] with x at least 1, got shape"),
        ("orbit_encoder", [P[None]], {}, TypeError, "permutations must hold integer symbols, got dtype float32"),
        ("orbit_encoder", [CODES], {}, ValueError, "permutations must have shape [g, x], got shape (3,)"),
        (
            "orbit_encoder",
            [np.array([[1, 0, 2], [0, 0, 1]])],
            {},
            ValueError,
            "permutations must hold permutations of 0…2, but row 1 is not one",
        ),
        ("random_encoder", [KEY, 3, 4], {}, ValueError, "num_codes=4, but there are only num_symbols=3 symbols"),
        ("random_encoder", [KEY, 3, 0], {}, ValueError, "num_codes must be at least 1, got 0"),
        (
            "minimal_sufficient_encoder",
            [JOINT],
            {"tolerance": -1.0},
            ValueError,
            "tolerance must be at least 0, got",
        ),
        ("activation_codes", [CODES[None]], {}, TypeError, "activations must hold floating-point numbers, got"),
        ("activation_codes", [P], {}, ValueError, "activations must have shape [..., x, d], got shape (4,)"),
        ("activation_codes", [TRIPLE], {}, ValueError, "activations must have shape [x, d], got shape (2, 2, 2)"),
        ("functional_representation", [P], {}, ValueError, "kernel must have shape [..., u, y], got shape (4,)"),
        ("functional_representation", [CODES], {}, TypeError, "kernel must hold floating-point probabilities, got"),
    ],
)
def test_encoders_and_representations(f, args, options, error, message):
    refused(error, message, getattr(isjax, f), *args, **options)


def test_traced_codes_outside_their_alphabet_give_nan():
    values = jax.jit(lambda codes: isjax.mutual_information_loss(JOINT, codes, num_codes=2))(CODES + 1)
    assert np.isnan(values)
    values = jax.vmap(lambda codes: isjax.mutual_information_loss(JOINT, codes, num_codes=2))(
        np.stack([CODES, CODES - 1])
    )
    np.testing.assert_array_equal(np.isnan(values), [False, True])


def test_decoders():
    message = "log_decoder has 3 columns, but Y has 2 symbols in joint"
    refused(ValueError, message, call, "risk_decomposition", log_decoder=np.zeros((2, 3), "f4"))
    message = "log_decoder has 2 rows, but X has 3 symbols in joint"
    refused(ValueError, message, call, "risk_decomposition", encoder=None)
    message = "log_decoder has 2 rows, but encoder has 3 codes"
    refused(ValueError, message, call, "risk_decomposition", encoder=np.full((3, 3), 1 / 3, "f4"))
    message = "encoder has code 2, but codes must lie in 0…1"
    refused(ValueError, message, call, "risk_decomposition", encoder=CODES + 1)
    message = "batch axes must broadcast, got (2,) in joint and (3,) in log_decoder"
    batches = {"joint": np.stack([JOINT, JOINT]), "log_decoder": np.stack([LOG_Q] * 3)}
    refused(ValueError, message, call, "risk_decomposition", **batches)


@pytest.mark.parametrize("name", ["scored_loss", "risk_decomposition"])
def test_rules(name):
    message = "rule must be a ScoringRule, such as isjax.brier_score, got 'brier'"
    refused(TypeError, message, call, name, rule="brier")
    refused(TypeError, "rule must be a ScoringRule, such as isjax.brier_score, got None", call, name, rule=None)
    message = "rule must be a ScoringRule, such as isjax.squared_error(values), got a function"
    refused(TypeError, message, call, name, rule=isjax.squared_error)
    message = "rule has 3 values, but Y has 2 symbols in joint of shape (3, 2)"
    refused(ValueError, message, call, name, rule=isjax.squared_error([0, 1, 2]))


def test_rules_of_distributions():
    rule = isjax.squared_error([0, 1, 2])
    refused(ValueError, "rule has 3 values, but Y has 4 symbols in p of shape (4,)", rule.entropy, P)
    refused(ValueError, "rule has 3 values, but Y has 4 symbols in p of shape (4,)", rule.divergence, P, P)
    refused(ValueError, "p sums to 2, not 1", isjax.brier_score.entropy, 2 * P)
    refused(ValueError, "q must not be negative, got -0.25", isjax.brier_score.divergence, P, -P)
    message = "p and q must share an alphabet, got sizes (4,) in p and (3,) in q"
    refused(ValueError, message, isjax.brier_score.divergence, P, P[:3])
    refused(TypeError, "p must hold floating-point probabilities", isjax.zero_one_score.entropy, CODES)


def test_a_unit_of_a_rule_that_has_none():
    message = "base is the unit of log_score, but rule is 'brier', which has no unit"
    refused(ValueError, message, call, "risk_decomposition", rule=isjax.brier_score, base=2)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ("abc", TypeError, "values must be an array of numbers, one for each symbol of Y, got 'abc'"),
        (None, TypeError, "values must be an array of numbers, one for each symbol of Y, got None"),
        ([True, False], TypeError, "values must be an array of numbers, one for each symbol of Y, got a list"),
        (np.zeros((2, 2)), ValueError, "values must have shape [y], one for each symbol of Y, got shape (2, 2)"),
        ([], ValueError, "values must have shape [y], one for each symbol of Y, got shape (0,)"),
        (3.0, ValueError, "values must have shape [y], one for each symbol of Y, got shape ()"),
        ([0.0, np.inf], ValueError, "values must be finite, got inf at [1]"),
    ],
)
def test_values(values, error, message):
    refused(error, message, isjax.squared_error, values)


def test_distances():
    refused(ValueError, "total_variation must lie in [0, 1], got 1.5", isjax.drift_bound, 1.5, 2)
    refused(TypeError, "num_classes must be an integer, got 2.0", isjax.drift_bound, 0.1, 2.0)
    refused(ValueError, "num_classes must be at least 1, got 0", isjax.drift_bound, 0.1, 0)


def test_samples():
    refused(ValueError, "num_samples must be at least 0, got -1", call, "sample", num_samples=-1)
    refused(TypeError, "num_samples must be an integer, got 2.5", call, "sample", num_samples=2.5)
    message = "joint must have shape [x, y], got shape (2, 2, 2): map over a batch with jax.vmap"
    refused(ValueError, message, call, "sample", joint=TRIPLE)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"x": np.array([0.0, 1.0])}, TypeError, "x must hold integer symbols, got dtype float32"),
        ({"y": np.array([True, False])}, TypeError, "y must hold integer symbols, got dtype bool"),
        ({"x": np.array(1)}, ValueError, "x must have shape [..., n] with n at least 1, got shape ()"),
        ({"x": np.array([], int)}, ValueError, "x must have shape [..., n] with n at least 1, got shape (0,)"),
        ({"x": np.array([0, 2])}, ValueError, "x has symbol 2, but its alphabet is 0…1"),
        ({"y": np.array([-1, 2])}, ValueError, "y has symbol -1, but its alphabet is 0…2"),
        ({"y": np.array([0, 1, 2])}, ValueError, "samples must have one length, got 2 in x, 3 in y"),
        ({"x": np.array([0, 2**32 + 1])}, ValueError, "x has symbol 4294967297, but its alphabet is 0…1"),
        ({"y": np.array([0, 255], np.uint8)}, ValueError, "y has symbol 255, but its alphabet is 0…2"),
        ({"y": np.array([0, -1], np.int8)}, ValueError, "y has symbol -1, but its alphabet is 0…2"),
        (
            {"shape": (2**20, 2**20)},
            ValueError,
            "shape=(1048576, 1048576) has 1099511627776 cells, more than int32 can index",
        ),
        ({"shape": (2, 3, 4)}, ValueError, "shape must be (|X|, |Y|), got (2, 3, 4)"),
        ({"shape": (2.0, 3)}, TypeError, "shape must be an integer, got 2.0"),
        ({"shape": (0, 3)}, ValueError, "shape must be at least 1, got 0"),
        ({"weights": np.array([1, 1])}, TypeError, "weights must hold floating-point"),
        ({"weights": np.ones(3, "f4")}, ValueError, "samples must have one length, got 2 in x, 2 in y, 3 in weights"),
    ],
)
def test_empirical_joint(changed, error, message):
    right = {"x": np.array([0, 1]), "y": np.array([0, 2]), "shape": (2, 3)}
    isjax.empirical_joint(**right)
    refused(error, message, isjax.empirical_joint, **{**right, **changed})


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (np.array([0.5, 0.6], "f4"), "p_x sums to 1.1, not 1: isjax.normalise(p_x) divides by the sum"),
        (np.array([1.5, -0.5], "f4"), "p_x must not be negative, got -0.5"),
        (np.array([0.5, np.nan], "f4"), "p_x must be finite, got nan"),
        (np.array([0.5, np.inf], "f4"), "p_x must be finite, got inf at [1]"),
        (
            np.array([[0.5, 0.5], [0.5, 0.4]], "f4"),
            "p_x sums to 1.9, not 1: for counts use isjax.empirical_joint or isjax.normalise",
        ),
        (np.zeros((2, 0), "f4"), "p_x sums to 0, not 1: for counts use isjax.empirical_joint or isjax.normalise"),
    ],
)
def test_check_distribution(p, message):
    refused(ValueError, message, isjax.check_distribution, p, name="p_x")


def test_check_distribution_needs_values():
    message = "p is being traced: check_distribution needs values, so call it outside jit and vmap"
    refused(TypeError, message, jax.jit(lambda p: isjax.check_distribution(p)), P)


@pytest.mark.parametrize(
    ("sizes", "kept", "error", "message"),
    [
        ((), (), ValueError, "alphabet_sizes must name at least one coordinate, got none"),
        ((2, 0), (0,), ValueError, "alphabet_sizes must be at least 1, got 0"),
        ((2, 2.5), (0,), TypeError, "alphabet_sizes must be an integer, got 2.5"),
        ((2, 2), (2,), ValueError, "kept must name coordinates 0…1, each once, got [2]"),
        ((2, 2), (0, 0), ValueError, "kept must name coordinates 0…1, each once, got [0, 0]"),
        ((2, 2), (-1,), ValueError, "kept must be at least 0, got -1"),
    ],
)
def test_coordinate_encoder(sizes, kept, error, message):
    refused(error, message, isjax.coordinate_encoder, sizes, kept)


@pytest.mark.parametrize("method", ["plug-in", ""])
def test_one_of(method):
    message = f"method must be one of 'plug_in', 'grassberger', got {method!r}"
    refused(ValueError, message, _checks.check_one_of, method, "method", ("plug_in", "grassberger"))


@pytest.mark.parametrize(("got", "num_epochs"), [("both", 2), ("neither", None)])
def test_exactly_one(got, num_epochs):
    counts = {"num_steps": num_epochs, "num_epochs": num_epochs}
    refused(ValueError, f"give one of num_steps and num_epochs, got {got}", _checks.check_exactly_one, **counts)
