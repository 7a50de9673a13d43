"""Fine-tuning: a model, data and a method in, a Run out."""
