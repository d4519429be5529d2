"""A call of every public function that computes arrays: what ``python -m benchmarks eager`` times and a test counts.

A case is a function of arrays alone, its options bound once, and the arrays that it is called with: of one shape and
dtype for every seed. Values that enter a shape or choose a formula are options.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import isjax

NUM_INPUTS, NUM_CLASSES, NUM_CODES, NUM_SAMPLES = 16, 4, 8, 2048


class Call(NamedTuple):
    """A public function with its options bound, and its arguments by seed."""

    function: Callable[..., Any]
    arguments: Callable[[int], tuple[Any, ...]]
    traceable: bool = True
    """Whether the arguments may be traced; sources and their encoders are searched for with concrete values."""


def distribution(seed: int, *shape: int, alphabet_axes: int = 1) -> jax.Array:
    mass = np.random.default_rng(seed).random(shape, np.float32)
    return jnp.asarray(mass / mass.sum(tuple(range(-alphabet_axes, 0)), keepdims=True))


def joint(seed: int) -> jax.Array:
    return distribution(seed, NUM_INPUTS, NUM_CLASSES, alphabet_axes=2)


def codes(seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).permutation(NUM_INPUTS) % NUM_CODES)


def rows(seed: int) -> jax.Array:
    return distribution(seed, NUM_INPUTS, NUM_CODES)


def symbols(seed: int, alphabet_size: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(0, alphabet_size, NUM_SAMPLES))


def counts(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).integers(1, 100, shape))


def pair(seed: int) -> tuple[jax.Array, jax.Array]:
    return distribution(seed, NUM_INPUTS), distribution(seed + 100, NUM_INPUTS)


def joint_and_codes(seed: int) -> tuple[jax.Array, jax.Array]:
    return joint(seed), codes(seed)


def key_and_joint(seed: int) -> tuple[jax.Array, jax.Array]:
    return jax.random.key(seed), joint(seed)


def samples(seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    x = symbols(seed, NUM_INPUTS)
    return x, symbols(seed + 100, NUM_CLASSES), codes(seed)[x]


def three_variables(seed: int) -> tuple[jax.Array]:
    return (distribution(seed, 4, 4, 4, alphabet_axes=3),)


def cyclic_shifts(seed: int) -> tuple[jax.Array]:
    return (jnp.roll(jnp.arange(NUM_INPUTS), 1 + 2 * (seed % 4))[None],)


def chain(seed: int) -> tuple[jax.Array, jax.Array]:
    first = codes(seed)
    return joint(seed), jnp.stack([first, first // 2])


def source(seed: int) -> isjax.Source:
    return isjax.sparse_source(jax.random.key(seed), **_SPARSE)


def problem(seed: int) -> isjax.Problem:
    return source(seed).problem("sufficient")


def loss_of_samples(data: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, y = data
    return isjax.estimate_information_loss(x, y, x // 2, shape=_SHAPE, method="plug_in")


def two_layers(inputs: jax.Array) -> list[jax.Array]:
    return [inputs, jnp.sign(inputs[:, :2])]


_SHAPE = (NUM_INPUTS, NUM_CLASSES, NUM_CODES)
_SOURCE = {"num_classes": NUM_CLASSES, "discrimination": 0.8}
_SPARSE = {"num_inputs": 4, "num_relevant": 3, **_SOURCE}
_NETWORK = isjax.MLP((8,), num_classes=NUM_CLASSES)
_CONFIG = isjax.TrainConfig(num_steps=20, num_evals=4)
_SPEC_OF_ROWS = isjax.SweepSpec(hidden=((8,),), lengths=(20,), num_seeds=1, num_steps=20, num_evals=2)
_SPEC = isjax.SweepSpec(hidden=((8,),), lengths=(16, 64), num_seeds=2, num_steps=20, num_evals=4)


def case(function: Callable[..., Any], arguments: Callable[[int], tuple[Any, ...]], **options: Any) -> Call:
    return Call(functools.partial(function, **options), arguments)


def source_case(function: Callable[..., isjax.Source], **options: Any) -> Call:
    return case(function, lambda seed: (jax.random.key(seed),), **options)._replace(traceable=False)


# By the name of the function, and what else is particular after a comma.
CALLS = {
    # distributions
    "marginal_x": case(isjax.marginal_x, lambda seed: (joint(seed),)),
    "marginal_y": case(isjax.marginal_y, lambda seed: (joint(seed),)),
    "conditional_y_given_x": case(isjax.conditional_y_given_x, lambda seed: (joint(seed),)),
    "conditional_x_given_y": case(isjax.conditional_x_given_y, lambda seed: (joint(seed),)),
    "joint_distribution": case(
        isjax.joint_distribution, lambda seed: (distribution(seed, NUM_INPUTS), distribution(seed, NUM_INPUTS, 4))
    ),
    "product_distribution": case(isjax.product_distribution, pair),
    "normalise": case(isjax.normalise, lambda seed: (100 * joint(seed),)),
    "pushforward": case(isjax.pushforward, joint_and_codes, num_codes=NUM_CODES),
    "empirical_joint": case(isjax.empirical_joint, lambda seed: samples(seed)[:2], shape=_SHAPE[:2]),
    "sample": case(isjax.sample, key_and_joint, num_samples=NUM_SAMPLES),
    # encoders
    "encoder_kernel": case(isjax.encoder_kernel, lambda seed: (codes(seed),), num_codes=NUM_CODES),
    "compose_encoders": case(
        isjax.compose_encoders, lambda seed: (codes(seed), codes(seed)[:NUM_CODES] % 2), num_codes=2
    ),
    "compact_codes": case(isjax.compact_codes, lambda seed: (codes(seed),)),
    "orbit_encoder": case(isjax.orbit_encoder, cyclic_shifts),
    "random_encoder": case(
        isjax.random_encoder, lambda seed: (jax.random.key(seed),), num_symbols=NUM_INPUTS, num_codes=NUM_CODES
    ),
    "minimal_sufficient_encoder": case(isjax.minimal_sufficient_encoder, lambda seed: (joint(seed),)),
    "activation_codes": case(isjax.activation_codes, lambda seed: (rows(seed),)),
    # entropies
    "entropy": case(isjax.entropy, lambda seed: (distribution(seed, NUM_INPUTS),)),
    "binary_entropy": case(isjax.binary_entropy, lambda seed: (distribution(seed, NUM_INPUTS),)),
    "renyi_entropy": case(isjax.renyi_entropy, lambda seed: (distribution(seed, NUM_INPUTS),), order=2),
    "tsallis_entropy": case(isjax.tsallis_entropy, lambda seed: (distribution(seed, NUM_INPUTS),), order=2),
    "conditional_entropy": case(isjax.conditional_entropy, lambda seed: (joint(seed),)),
    # divergences
    "cross_entropy": case(isjax.cross_entropy, pair),
    "kl_divergence": case(isjax.kl_divergence, pair),
    "jensen_shannon_divergence": case(isjax.jensen_shannon_divergence, pair),
    "renyi_divergence": case(isjax.renyi_divergence, pair, order=2),
    "total_variation": case(isjax.total_variation, pair),
    # informations
    "mutual_information": case(isjax.mutual_information, lambda seed: (joint(seed),)),
    "pointwise_mutual_information": case(isjax.pointwise_mutual_information, lambda seed: (joint(seed),)),
    "conditional_mutual_information": case(isjax.conditional_mutual_information, three_variables),
    "total_correlation": case(isjax.total_correlation, three_variables),
    "dual_total_correlation": case(isjax.dual_total_correlation, three_variables),
    "co_information": case(isjax.co_information, three_variables),
    "o_information": case(isjax.o_information, three_variables),
    # sufficiency
    "mutual_information_loss": case(isjax.mutual_information_loss, joint_and_codes, num_codes=NUM_CODES, base=2),
    "mutual_information_loss, rows": case(isjax.mutual_information_loss, lambda seed: (joint(seed), rows(seed))),
    "is_sufficient": case(isjax.is_sufficient, joint_and_codes),
    "layerwise_loss": case(isjax.layerwise_loss, chain),
    "drift_bound": case(isjax.drift_bound, lambda seed: (distribution(seed, NUM_INPUTS),), num_classes=NUM_CLASSES),
    "functional_representation": case(
        isjax.functional_representation, lambda seed: (distribution(seed, NUM_CODES, NUM_CLASSES),)
    ),
    "risk_decomposition": case(
        isjax.risk_decomposition,
        lambda seed: (joint(seed), jnp.log(distribution(seed, NUM_CODES, NUM_CLASSES)), codes(seed)),
    ),
    # scoring
    "scored_loss": case(isjax.scored_loss, joint_and_codes, rule=isjax.brier_score, num_codes=NUM_CODES),
    "scored_loss, rows": case(isjax.scored_loss, lambda seed: (joint(seed), rows(seed)), rule=isjax.spherical_score),
    "scored_loss, values": case(
        lambda joint, codes, values: isjax.scored_loss(joint, codes, isjax.squared_error(values)),
        lambda seed: (joint(seed), codes(seed), distribution(seed, NUM_CLASSES)),
    ),
    "squared_error": case(isjax.squared_error, lambda seed: (distribution(seed, NUM_CLASSES),)),
    "risk_decomposition, zero-one": case(
        isjax.risk_decomposition,
        lambda seed: (joint(seed), jnp.log(distribution(seed, NUM_CODES, NUM_CLASSES)), codes(seed)),
        rule=isjax.zero_one_score,
    ),
    # projections, quantizers, bottlenecks
    "sufficient_projection": case(isjax.sufficient_projection, joint_and_codes, num_codes=NUM_CODES),
    "information_projection": case(
        isjax.information_projection,
        lambda seed: (distribution(seed, NUM_INPUTS), rows(seed)[:, :2], jnp.array([0.1, 0.12])),
    ),
    "iterative_proportional_fitting": case(
        isjax.iterative_proportional_fitting,
        lambda seed: (joint(seed), (distribution(seed, NUM_INPUTS), distribution(seed, NUM_CLASSES))),
        axes=(0, 1),
    ),
    "optimal_quantizer": case(
        isjax.optimal_quantizer, lambda seed: (distribution(seed, NUM_INPUTS, 2, alphabet_axes=2),), num_codes=4
    ),
    "kl_means_quantizer": case(isjax.kl_means_quantizer, key_and_joint, num_codes=4),
    "quantizers_up_to": case(isjax.quantizers_up_to, key_and_joint, num_codes=4),
    "information_bottleneck": case(
        isjax.information_bottleneck, lambda seed: (*key_and_joint(seed), jnp.asarray(2.0 + seed)), num_codes=4
    ),
    "bottleneck_curve": case(
        isjax.bottleneck_curve, lambda seed: (*key_and_joint(seed), jnp.linspace(1, 5 + seed, 4)), num_codes=4
    ),
    "deterministic_information_bottleneck": case(
        isjax.deterministic_information_bottleneck,
        lambda seed: (*key_and_joint(seed), jnp.asarray(2.0 + seed)),
        num_codes=4,
    ),
    # estimation
    "estimate_entropy": case(isjax.estimate_entropy, lambda seed: (counts(seed, 8),), method="chao_shen"),
    "estimate_mutual_information": case(
        isjax.estimate_mutual_information, lambda seed: (counts(seed, 8, 4),), method="miller_madow"
    ),
    "estimate_information_loss": case(isjax.estimate_information_loss, samples, shape=_SHAPE, method="grassberger"),
    "bootstrap": case(
        lambda key, data: isjax.bootstrap(key, loss_of_samples, data, num_resamples=99),
        lambda seed: (jax.random.key(seed), samples(seed)[:2]),
    ),
    "loss_interval": case(
        isjax.loss_interval, lambda seed: (jax.random.key(seed), *samples(seed)), shape=_SHAPE, num_draws=39
    ),
    "sufficiency_test": case(
        isjax.sufficiency_test, lambda seed: (jax.random.key(seed), *samples(seed)), shape=_SHAPE, num_permutations=99
    ),
    # sources
    "sparse_source": source_case(isjax.sparse_source, **_SPARSE),
    "invariant_source": source_case(isjax.invariant_source, length=4, **_SOURCE),
    "robust_source": source_case(isjax.robust_source, **_SOURCE),
    "digital_source": source_case(isjax.digital_source, grid=8, num_cells=5, **_SOURCE),
    "biased_encoder": case(isjax.biased_encoder, lambda seed: (source(seed),), loss=0.1)._replace(traceable=False),
    # learning
    "train": case(
        lambda key, problem: isjax.train(key, problem, 64, 0.1, network=_NETWORK, config=_CONFIG),
        lambda seed: (jax.random.key(seed), problem(seed)),
    ),
    "sweep": case(isjax.sweep, lambda seed: (jax.random.key(seed), [problem(seed)], _SPEC)),
    "cross_validate": case(
        lambda key, features, targets: isjax.cross_validate(
            key, {"raw": isjax.Sample(features, targets)}, _SPEC_OF_ROWS, num_classes=NUM_CLASSES
        ),
        lambda seed: (jax.random.key(seed), distribution(seed, 60, 3), jnp.arange(60) % NUM_CLASSES),
    ),
    "layer_losses": case(
        functools.partial(isjax.layer_losses, two_layers), lambda seed: (source(seed).features, joint(seed))
    ),
}
