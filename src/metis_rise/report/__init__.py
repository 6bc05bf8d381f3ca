"""A read-only view of a run folder: terminal tables and one self-contained HTML page. Imports no torch."""

from __future__ import annotations

from metis_rise.report.html import write_report
from metis_rise.report.statistics import wilson
from metis_rise.report.terminal import print_report

__all__ = ["print_report", "wilson", "write_report"]
