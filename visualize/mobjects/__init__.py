"""Manim mobjects that hold captured values. Needs the `film` extra; nothing else of Glasstune imports this."""
