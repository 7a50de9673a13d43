"""What a fine-tuning left behind: the Run, its form on disk, and the stores that it is read from. No torch here."""
