"""Models and files of predictions scored on benchmarks: what `rise eval --benchmark` and `rise leaderboard` do."""
