"""Pictures of conditional mixtures and of their training: one function a picture."""

from tfp_mdn.plotting.comparison import plot_comparison, plot_samples
from tfp_mdn.plotting.components import plot_components, plot_parameters
from tfp_mdn.plotting.density import plot_density
from tfp_mdn.plotting.training import plot_history

__all__ = [
    "plot_comparison",
    "plot_components",
    "plot_density",
    "plot_history",
    "plot_parameters",
    "plot_samples",
]
