"""Pictures of one Run: `plot_x(run, *, module=None, step=None, ax=None)`, less what a picture does not use."""
