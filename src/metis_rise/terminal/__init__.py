"""What a process says on its terminal: lines, warnings, and one live view of what is under way.

On a terminal the view is redrawn in place; elsewhere a plain line comes from time to time. Everything goes through one
place, so that no line tears the view, and so that `--quiet` and `--json` hold for all.
"""

from __future__ import annotations

from metis_rise.terminal.bar import Bar, Loop
from metis_rise.terminal.screen import say, speaking, stage_view, table_console

__all__ = ["Bar", "Loop", "say", "speaking", "stage_view", "table_console"]
