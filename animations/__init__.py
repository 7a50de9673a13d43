"""Lecture films of real runs: one film a file, its scenes in order. Needs the `film` extra."""
