"""Tells TensorBoard, trackio or Weights & Biases of a run, beside the run's own journals.

The journals come first: trackers are fed from them by processes of their own (`process`), so a run needs none of them,
waits for none, and goes on without one that fails. What each has been sent is kept in the run's folder (`state`), and
the next attempt continues the same tracked run.
"""

from metis_rise.tracking.watching import check_trackers, tracked

__all__ = ["check_trackers", "tracked"]
