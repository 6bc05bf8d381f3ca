"""A recipe so small that the whole method takes seconds, and a way to run it as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MICRO = (
    "threads=1",
    "problems.world.train_per_level=2",
    "problems.world.dev_per_level=1",
    "problems.world.test_per_level=2",
    "sampling.max_tokens=80",
    "rl.steps=4",
    "rl.prompts_per_step=4",
    "rl.group_size=4",
    "rl.refill_rounds=1",
    "rl.eval_every=2",
    "rl.eval_problems=6",
    "rl.checkpoint_every=1",
    "diagnose.samples=3",
    "sft.stages.0.epochs=1",
    "sft.stages.1.epochs=1",
)
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


def command(*arguments: str) -> list[str]:
    """The command line of `rise ARGUMENTS`."""
    return [sys.executable, "-m", "metis_rise", *arguments]


def rise(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `rise ARGUMENTS` in `cwd` to its end."""
    return subprocess.run(command(*arguments), cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def ok(cwd: Path, *arguments: str) -> str:
    """Runs `rise ARGUMENTS`, which must succeed; returns what it printed."""
    done = rise(cwd, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
