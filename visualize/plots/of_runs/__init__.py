"""Pictures of one Run or several: `plot_x(runs, *, step=None, ax=None)`, less what a picture does not use."""
