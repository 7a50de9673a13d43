"""Pictures of a Run: one theme, plots for pages, mobjects for films."""
