"""Experts: who solves what the policy cannot, what they are told, what it may cost, and what is taken from them."""
