"""The kinds of answers and when two of one kind are the same."""
