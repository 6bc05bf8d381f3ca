"""The leaderboard: the six benchmarks of each model beside the published table, and under which protocol."""
