"""The same quantities from samples: estimators with bias correction, a test of sufficiency, intervals, measurements."""

from isjax.estimation.estimators import estimate_entropy as estimate_entropy
from isjax.estimation.estimators import estimate_information_loss as estimate_information_loss
from isjax.estimation.estimators import estimate_mutual_information as estimate_mutual_information
from isjax.estimation.intervals import Interval as Interval
from isjax.estimation.intervals import bootstrap as bootstrap
from isjax.estimation.inversion import loss_interval as loss_interval
from isjax.estimation.testing import SufficiencyTest as SufficiencyTest
from isjax.estimation.testing import sufficiency_test as sufficiency_test
