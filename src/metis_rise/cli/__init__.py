"""The command `rise`: parse and dispatch, nothing else. Heavy imports wait until a command needs them."""

from __future__ import annotations

from metis_rise.cli import (
    ablate,
    board,
    check,
    data,
    evaluation,
    exchange,
    launch,
    look,
    measure,
    models,
    plan,
    runs,
    start,
)
from metis_rise.cli.app import app

__all__ = [
    "ablate",
    "app",
    "board",
    "check",
    "data",
    "evaluation",
    "exchange",
    "launch",
    "look",
    "main",
    "measure",
    "models",
    "plan",
    "runs",
    "start",
]


def main() -> None:
    """Entry point of the command `rise`."""
    app(prog_name="rise")
