"""Capturing: from the weights of a model in training to the files of a Run."""
