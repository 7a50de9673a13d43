"""What can be typed about films? See `engine.commands`."""
