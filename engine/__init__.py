"""Real fine-tuning, and its capture. What is used most can be imported from `glasstune`."""
