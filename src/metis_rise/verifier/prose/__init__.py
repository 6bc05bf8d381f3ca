"""Reading the answer out of free text, for models that were never taught a format."""
