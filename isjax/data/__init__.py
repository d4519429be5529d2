"""People's own data: files of categorical columns, what they say, and their figures."""

from isjax.data.columns import Column as Column
from isjax.data.columns import Missing as Missing
from isjax.data.columns import Table as Table
from isjax.data.columns import read as read
from isjax.data.features import Samples as Samples
from isjax.data.features import samples as samples
from isjax.data.problems import problems as problems
from isjax.estimation.codes import FoundCodes as FoundCodes
from isjax.estimation.codes import find_codes as find_codes
from isjax.estimation.measurement import EncoderMeasurement as EncoderMeasurement
from isjax.estimation.measurement import Estimate as Estimate
from isjax.estimation.measurement import Measurement as Measurement
from isjax.estimation.measurement import MeasureSpec as MeasureSpec
from isjax.estimation.measurement import measure as measure
from isjax.estimation.ranking import ColumnRank as ColumnRank
from isjax.estimation.ranking import Ranking as Ranking
from isjax.estimation.ranking import RankSpec as RankSpec
from isjax.estimation.ranking import Step as Step
from isjax.estimation.ranking import rank as rank
