"""Pictures: one a file, in three families by what they are given.

    of_run    plot_x(run, *, module, step, ax)    one Run, or its folder
    of_runs   plot_x(runs, *, step, ax)           one or several; a mapping gives them labels
    of_table  plot_x(table, *, ax)                what was measured by running a model

None takes an argument that it does not use, and none loads a model. Each returns the Axes, or the Figure where there
are several.
"""

from visualize.plots.of_run.answers import plot_answers
from visualize.plots.of_run.block import plot_block
from visualize.plots.of_run.delta import plot_delta
from visualize.plots.of_run.factors import plot_factors
from visualize.plots.of_run.layers import plot_layers
from visualize.plots.of_run.levels import plot_levels
from visualize.plots.of_run.norms import plot_norms
from visualize.plots.of_run.quantization_error import plot_quantization_error
from visualize.plots.of_run.skills import plot_skills
from visualize.plots.of_run.spectrum import plot_spectrum
from visualize.plots.of_run.weight import plot_weight
from visualize.plots.of_runs.crossing import plot_crossing
from visualize.plots.of_runs.disagreement import plot_disagreement
from visualize.plots.of_runs.energy import plot_energy
from visualize.plots.of_runs.forgetting import plot_forgetting
from visualize.plots.of_runs.learning_curve import plot_learning_curve
from visualize.plots.of_runs.loss import plot_loss
from visualize.plots.of_runs.plane import plot_plane
from visualize.plots.of_runs.rates import plot_rates
from visualize.plots.of_runs.sweep import plot_sweep
from visualize.plots.of_table.adapters import plot_adapters
from visualize.plots.of_table.exposure import plot_exposure
from visualize.plots.of_table.memory import plot_memory
from visualize.plots.of_table.tokens import plot_tokens

__all__ = [
    "plot_adapters",
    "plot_answers",
    "plot_block",
    "plot_crossing",
    "plot_delta",
    "plot_disagreement",
    "plot_energy",
    "plot_exposure",
    "plot_factors",
    "plot_forgetting",
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
