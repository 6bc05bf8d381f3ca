"""Sampling: a request (problem, n, parameters, seed) goes in, a group of trajectories comes out."""
