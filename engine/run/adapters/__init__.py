"""What do an adapter's tensors do to the weights of its base? PEFT's methods and MLX's, without either."""
