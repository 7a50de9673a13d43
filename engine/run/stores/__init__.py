"""Runs that Glasstune did not capture: adapters, checkpoints, what a Trainer left."""
