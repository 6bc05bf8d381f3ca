"""`python -m metis_rise`, the same as the command `rise`."""

from __future__ import annotations

from metis_rise.cli import main

main()
