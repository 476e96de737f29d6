"""Pictures of conditional mixtures and of their training: one function a picture."""

from tfp_mdn.plotting.calibration import plot_coverage, plot_pit
from tfp_mdn.plotting.comparison import plot_comparison, plot_samples
from tfp_mdn.plotting.components import plot_components, plot_parameters
from tfp_mdn.plotting.conditional import plot_modes, plot_quantiles
from tfp_mdn.plotting.density import plot_density
from tfp_mdn.plotting.multivariate import plot_corner, plot_joint
from tfp_mdn.plotting.residuals import plot_residuals
from tfp_mdn.plotting.selection import plot_selection
from tfp_mdn.plotting.slices import plot_slices
from tfp_mdn.plotting.training import plot_history
from tfp_mdn.plotting.usage import plot_component_usage

__all__ = [
    "plot_comparison",
    "plot_component_usage",
    "plot_components",
    "plot_corner",
    "plot_coverage",
    "plot_density",
    "plot_history",
    "plot_joint",
    "plot_modes",
    "plot_parameters",
    "plot_pit",
    "plot_quantiles",
    "plot_residuals",
    "plot_samples",
    "plot_selection",
    "plot_slices",
]
