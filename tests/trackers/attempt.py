"""Run by the trackers' environment: python attempt.py RUN TRACKER FROM TO [killed]. One attempt at a run.

It writes the steps FROM to TO of the curves "rl" and "rl-dev", two values each; `killed`: and then dies.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from metis_rise.recipe.tracking import TrackingConfig
from metis_rise.run import Run
from metis_rise.tracking import check_trackers, tracked
from metis_rise.tracking.feed import state_file
from metis_rise.tracking.state import State

folder, name, first, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
config = TrackingConfig(to=(name,), project="metis-test")
check_trackers(config)
run = Run(folder)
with tracked(config, run):
    for step in range(first, last + 1):
        run.metric("rl", step, {"reward": step / 8, "length": 10.0 * step})
        run.metric("rl-dev", step, {"greedy": step / 16, "sampled": 0.5})
    if "killed" in sys.argv:
        while State.read(state_file(folder, name)).sent.get("rl-dev", -1) < last:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
