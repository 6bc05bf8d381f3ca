"""`rise check RUN`: whether a run folder is whole, and what the next `rise run` would do. Changes nothing, no torch."""
