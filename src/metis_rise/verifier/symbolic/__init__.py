"""Symbolic sameness by math-verify in worker processes that a hard deadline kills.

math-verify cannot be trusted to come back: its own time-out is a signal to the main thread, which does not fire while
one big-integer power is computed. So it runs elsewhere, and what does not answer is killed and replaced.
"""

from metis_rise.verifier.symbolic.pool import SymbolicPool, shared_pool, symbolic_same

__all__ = ["SymbolicPool", "shared_pool", "symbolic_same"]
