"""What can be typed about the course? See `engine.commands`."""
