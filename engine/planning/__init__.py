"""What will it need? Memory and sizes, before anything is loaded."""
