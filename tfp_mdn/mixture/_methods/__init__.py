"""The methods of mixtures by theme: each checks its arguments, then calls a kernel."""

from tfp_mdn.mixture._methods.conditioning import ConditioningMethods
from tfp_mdn.mixture._methods.density import DensityMethods
from tfp_mdn.mixture._methods.moments import MomentMethods
from tfp_mdn.mixture._methods.quantiles import QuantileMethods
from tfp_mdn.mixture._methods.sampling import SamplingMethods
from tfp_mdn.mixture._methods.scores import ScoreMethods
from tfp_mdn.mixture._methods.shape import ShapeMethods

__all__ = ["ConditioningMethods", "Mixture"]


class Mixture(
    DensityMethods, MomentMethods, QuantileMethods, ShapeMethods, ScoreMethods, SamplingMethods
):
    """What can be asked of mixtures of any components."""
