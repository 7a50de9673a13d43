"""What lessons are made with: the walk through a file, questions, pictures, exercises, progress, notebooks."""
