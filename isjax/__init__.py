"""What an encoder costs a learner: exact information measures, and whole training sweeps in one jitted call.

Theory and learning are here: ``isjax.mutual_information_loss``, ``isjax.sweep``. What reads, writes or prints is in
``isjax.study`` and ``isjax.data``, which are imported when they are first used and need ``pip install 'isjax[cli]'``.
"""

import importlib as _importlib
from types import ModuleType as _ModuleType

from isjax._checks import warn_of_known_bad_jaxlib as _warn_of_known_bad_jaxlib
from isjax._typing import shorten_signature as _shorten_signature
from isjax.bottleneck import Bottleneck as Bottleneck
from isjax.bottleneck import bottleneck_curve as bottleneck_curve
from isjax.bottleneck import deterministic_information_bottleneck as deterministic_information_bottleneck
from isjax.bottleneck import information_bottleneck as information_bottleneck
from isjax.cross_validation import CrossValidation as CrossValidation
from isjax.cross_validation import Sample as Sample
from isjax.cross_validation import cross_validate as cross_validate
from isjax.distributions import Draws as Draws
from isjax.distributions import check_distribution as check_distribution
from isjax.distributions import conditional_x_given_y as conditional_x_given_y
from isjax.distributions import conditional_y_given_x as conditional_y_given_x
from isjax.distributions import empirical_joint as empirical_joint
from isjax.distributions import joint_distribution as joint_distribution
from isjax.distributions import marginal_x as marginal_x
from isjax.distributions import marginal_y as marginal_y
from isjax.distributions import normalise as normalise
from isjax.distributions import product_distribution as product_distribution
from isjax.distributions import pushforward as pushforward
from isjax.distributions import sample as sample
from isjax.divergences import cross_entropy as cross_entropy
from isjax.divergences import jensen_shannon_divergence as jensen_shannon_divergence
from isjax.divergences import kl_divergence as kl_divergence
from isjax.divergences import renyi_divergence as renyi_divergence
from isjax.divergences import total_variation as total_variation
from isjax.encoders import CompactCodes as CompactCodes
from isjax.encoders import EncodedLabels as EncodedLabels
from isjax.encoders import activation_codes as activation_codes
from isjax.encoders import compact_codes as compact_codes
from isjax.encoders import compose_encoders as compose_encoders
from isjax.encoders import coordinate_encoder as coordinate_encoder
from isjax.encoders import encode_labels as encode_labels
from isjax.encoders import encoder_kernel as encoder_kernel
from isjax.encoders import minimal_sufficient_encoder as minimal_sufficient_encoder
from isjax.encoders import orbit_encoder as orbit_encoder
from isjax.encoders import random_encoder as random_encoder
from isjax.entropies import binary_entropy as binary_entropy
from isjax.entropies import conditional_entropy as conditional_entropy
from isjax.entropies import entropy as entropy
from isjax.entropies import renyi_entropy as renyi_entropy
from isjax.entropies import tsallis_entropy as tsallis_entropy
from isjax.estimation import Interval as Interval
from isjax.estimation import SufficiencyTest as SufficiencyTest
from isjax.estimation import bootstrap as bootstrap
from isjax.estimation import estimate_entropy as estimate_entropy
from isjax.estimation import estimate_information_loss as estimate_information_loss
from isjax.estimation import estimate_mutual_information as estimate_mutual_information
from isjax.estimation import loss_interval as loss_interval
from isjax.estimation import sufficiency_test as sufficiency_test
from isjax.informations import co_information as co_information
from isjax.informations import conditional_mutual_information as conditional_mutual_information
from isjax.informations import dual_total_correlation as dual_total_correlation
from isjax.informations import mutual_information as mutual_information
from isjax.informations import o_information as o_information
from isjax.informations import pointwise_mutual_information as pointwise_mutual_information
from isjax.informations import total_correlation as total_correlation
from isjax.networks import MLP as MLP
from isjax.networks import MLP32 as MLP32
from isjax.networks import MLP256 as MLP256
from isjax.networks import MLP1024 as MLP1024
from isjax.networks import EncoderDecoder as EncoderDecoder
from isjax.probe import LayerLosses as LayerLosses
from isjax.probe import layer_losses as layer_losses
from isjax.probe import module_activations as module_activations
from isjax.projection import Projection as Projection
from isjax.projection import information_projection as information_projection
from isjax.projection import iterative_proportional_fitting as iterative_proportional_fitting
from isjax.projection import sufficient_projection as sufficient_projection
from isjax.quantizers import Quantizer as Quantizer
from isjax.quantizers import kl_means_quantizer as kl_means_quantizer
from isjax.quantizers import optimal_quantizer as optimal_quantizer
from isjax.quantizers import quantizers_up_to as quantizers_up_to
from isjax.scoring import ScoringRule as ScoringRule
from isjax.scoring import brier_score as brier_score
from isjax.scoring import log_score as log_score
from isjax.scoring import scored_loss as scored_loss
from isjax.scoring import spherical_score as spherical_score
from isjax.scoring import squared_error as squared_error
from isjax.scoring import zero_one_score as zero_one_score
from isjax.sources import Problem as Problem
from isjax.sources import Source as Source
from isjax.sources import biased_encoder as biased_encoder
from isjax.sources import digital_source as digital_source
from isjax.sources import invariant_source as invariant_source
from isjax.sources import robust_source as robust_source
from isjax.sources import sparse_source as sparse_source
from isjax.sufficiency import FunctionalRepresentation as FunctionalRepresentation
from isjax.sufficiency import RiskDecomposition as RiskDecomposition
from isjax.sufficiency import drift_bound as drift_bound
from isjax.sufficiency import functional_representation as functional_representation
from isjax.sufficiency import is_sufficient as is_sufficient
from isjax.sufficiency import layerwise_loss as layerwise_loss
from isjax.sufficiency import mutual_information_loss as mutual_information_loss
from isjax.sufficiency import risk_decomposition as risk_decomposition
from isjax.sweeps import ScoredRisk as ScoredRisk
from isjax.sweeps import SweepResult as SweepResult
from isjax.sweeps import SweepSpec as SweepSpec
from isjax.sweeps import configure_cpu as configure_cpu
from isjax.sweeps import sweep as sweep
from isjax.training import Trace as Trace
from isjax.training import TrainConfig as TrainConfig
from isjax.training import train as train

__version__ = "0.1.0"

_warn_of_known_bad_jaxlib()
for _public in [each for name, each in vars().items() if not name.startswith("_")]:
    _shorten_signature(_public)


def __getattr__(name: str) -> _ModuleType:
    """Imports ``isjax.study`` and ``isjax.data`` when they are first used."""
    if name not in ("data", "study"):
        raise AttributeError(f"module 'isjax' has no attribute {name!r}")
    try:
        return _importlib.import_module(f"isjax.{name}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"isjax.{name} needs {error.name}: pip install 'isjax[cli]'", name=error.name
        ) from error
