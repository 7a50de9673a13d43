"""A scene as far as its words: what it would say can be asked without drawing anything."""


def unmade(scene, **attributes):
    """An instance of this class that was never set up, with these attributes."""
    made = scene.__new__(scene)
    made.__dict__.update(attributes)
    return made
