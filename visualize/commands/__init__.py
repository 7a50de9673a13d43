"""What can be typed about pictures? See `engine.commands`."""
