"""How does Glasstune say that the user, not the program, has to change something?"""


class InputError(ValueError):
    """One clear sentence: what is wrong, where, and what to do. Command lines print it without a traceback."""
