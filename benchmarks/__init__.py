"""Every figure that Glasstune quotes, and how to measure it again: `python -m benchmarks [NAME ...]`."""
