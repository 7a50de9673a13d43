"""The renderer: from a scene to a film, slides, a preview, a cell of a notebook."""
