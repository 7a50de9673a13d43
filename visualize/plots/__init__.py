"""Pictures of a Run: one a file, `plot_x(run, *, module=None, step=None, ax=None) -> Axes`."""

from visualize.plots.answers import plot_answers
from visualize.plots.block import plot_block
from visualize.plots.crossing import plot_crossing
from visualize.plots.delta import plot_delta
from visualize.plots.disagreement import plot_disagreement
from visualize.plots.energy import plot_energy
from visualize.plots.exposure import plot_exposure
from visualize.plots.factors import plot_factors
from visualize.plots.layers import plot_layers
from visualize.plots.learning_curve import plot_learning_curve
from visualize.plots.levels import plot_levels
from visualize.plots.loss import plot_loss
from visualize.plots.memory import plot_memory
from visualize.plots.norms import plot_norms
from visualize.plots.plane import plot_plane
from visualize.plots.quantization_error import plot_quantization_error
from visualize.plots.rates import plot_rates
from visualize.plots.skills import plot_skills
from visualize.plots.spectrum import plot_spectrum
from visualize.plots.sweep import plot_sweep
from visualize.plots.tokens import plot_tokens
from visualize.plots.weight import plot_weight

__all__ = [
    "plot_answers",
    "plot_block",
    "plot_crossing",
    "plot_delta",
    "plot_disagreement",
    "plot_energy",
    "plot_exposure",
    "plot_factors",
    "plot_layers",
    "plot_learning_curve",
    "plot_levels",
    "plot_loss",
    "plot_memory",
    "plot_norms",
    "plot_plane",
    "plot_quantization_error",
    "plot_rates",
    "plot_skills",
    "plot_spectrum",
    "plot_sweep",
    "plot_tokens",
    "plot_weight",
]
