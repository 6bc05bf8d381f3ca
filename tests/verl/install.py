"""Makes `.venv-verl/`, what verl's data set and loader of rewards import beside our own packages, or finds it made.

Run from anywhere: python tests/verl/install.py. Needs 0.3 GB. Only its packages are used, laid over the environment
that the tests run in, whose torch, transformers and datasets are newer than those that all of verl would ask for: so
constraints.txt is written by hand, and `python scripts/lock_hashes.py tests/verl/constraints.txt` locks it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from separate import Environment

ENVIRONMENT = Environment(".venv-verl", Path(__file__).parent)


def main() -> None:
    """Install what is missing; ends with an error when it cannot."""
    ENVIRONMENT.make(torch=False)


if __name__ == "__main__":
    main()
