"""Where the embedded base model comes from: what it was taught, the tasks it is fine-tuned on, its pretraining."""
