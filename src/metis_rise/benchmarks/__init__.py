"""The six leaderboard benchmarks, and any user's problems: load, prompt, judge, score; no torch."""
