"""Our own reader of expressions, and their comparison: exactly where that is possible, else to 40 digits."""

from metis_rise.verifier.algebra.compare import Constant, Expression, constant, proportional, read, same

__all__ = ["Constant", "Expression", "constant", "proportional", "read", "same"]
