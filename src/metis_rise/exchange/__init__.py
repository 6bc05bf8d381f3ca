"""Trajectories out to other tools, and in from them."""
