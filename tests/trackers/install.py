"""Makes `.venv-trackers/`, an environment with TensorBoard, trackio and W&B, or finds it made.

Run from anywhere: python tests/trackers/install.py. Needs 0.4 GB. It is an environment of its own because trackio asks
for an older Pillow than ours; torch is not in it, which feeding a tracker does not need. With --resolve it takes the
versions that there are today, and writes them into constraints.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from separate import Environment

TRACKERS = ("tensorboard==2.21.0", "trackio==0.43.0", "wandb==0.31.0")
# What of our own dependencies the process that feeds them imports; NumPy and Pillow come with the trackers.
OURS = ("pydantic", "pyyaml", "rich", "tqdm")

ENVIRONMENT = Environment(".venv-trackers", Path(__file__).parent)


def main() -> None:
    """Install what is missing; ends with an error when it cannot."""
    if "--resolve" in sys.argv:
        ENVIRONMENT.resolve([*TRACKERS, *OURS], torch=False)
    else:
        ENVIRONMENT.make(torch=False)


if __name__ == "__main__":
    main()
