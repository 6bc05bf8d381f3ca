"""How fast sampling and updating are, against what one would write with transformers alone (docs/bench.md)."""
