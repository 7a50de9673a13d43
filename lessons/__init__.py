"""The walkthroughs: each lesson is one literate file, at once terminal tour, notebook and test."""
