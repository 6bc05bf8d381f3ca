"""How fast sampling, updating and fine-tuning are, against what others do with the same work (docs/benchmarks.md)."""
