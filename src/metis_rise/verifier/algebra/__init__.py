"""Algebra."""

from metis_rise.verifier.algebra.compare import Constant, Expression, constant, proportional, read, same

__all__ = ["Constant", "Expression", "constant", "proportional", "read", "same"]
