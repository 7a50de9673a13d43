"""Pictures of what was measured by running a model: `plot_x(table, *, ax=None)`; the measuring is in engine."""
