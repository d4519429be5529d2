"""What an encoder costs a learner: exact information measures, and whole training sweeps in one jitted call."""

from isjax._checks import warn_of_known_bad_jaxlib
from isjax.bottleneck import (
    Bottleneck,
    Quantizer,
    bottleneck_curve,
    deterministic_information_bottleneck,
    information_bottleneck,
    kl_means_quantizer,
    optimal_quantizer,
)
from isjax.distributions import (
    check_distribution,
    conditional_x_given_y,
    conditional_y_given_x,
    empirical_joint,
    joint_distribution,
    marginal_x,
    marginal_y,
    product_distribution,
    pushforward,
    sample,
)
from isjax.encoders import coordinate_encoder
from isjax.measures import (
    binary_entropy,
    co_information,
    conditional_entropy,
    conditional_mutual_information,
    cross_entropy,
    dual_total_correlation,
    entropy,
    jensen_shannon_divergence,
    kl_divergence,
    mutual_information,
    o_information,
    pointwise_mutual_information,
    renyi_divergence,
    renyi_entropy,
    total_correlation,
    total_variation,
    tsallis_entropy,
)
from isjax.networks import MLP, MLP32, MLP256, MLP1024
from isjax.sources import Problem, Source, sparse_source
from isjax.sufficiency import RiskDecomposition, is_sufficient, mutual_information_loss, risk_decomposition
from isjax.sweeps import SweepResult, SweepSpec, configure_cpu, sweep
from isjax.training import Trace, TrainConfig, train

warn_of_known_bad_jaxlib()

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "MLP32",
    "MLP256",
    "MLP1024",
    "Bottleneck",
    "Problem",
    "Quantizer",
    "RiskDecomposition",
    "Source",
    "SweepResult",
    "SweepSpec",
    "Trace",
    "TrainConfig",
    "binary_entropy",
    "bottleneck_curve",
    "check_distribution",
    "co_information",
    "conditional_entropy",
    "conditional_mutual_information",
    "conditional_x_given_y",
    "conditional_y_given_x",
    "configure_cpu",
    "coordinate_encoder",
    "cross_entropy",
    "deterministic_information_bottleneck",
    "dual_total_correlation",
    "empirical_joint",
    "entropy",
    "information_bottleneck",
    "is_sufficient",
    "jensen_shannon_divergence",
    "joint_distribution",
    "kl_divergence",
    "kl_means_quantizer",
    "marginal_x",
    "marginal_y",
    "mutual_information",
    "mutual_information_loss",
    "o_information",
    "optimal_quantizer",
    "pointwise_mutual_information",
    "product_distribution",
    "pushforward",
    "renyi_divergence",
    "renyi_entropy",
    "risk_decomposition",
    "sample",
    "sparse_source",
    "sweep",
    "total_correlation",
    "total_variation",
    "train",
    "tsallis_entropy",
]
