"""How is the course handed out, handed in and graded? Lessons as notebooks, answers as a file, grades as a table."""
