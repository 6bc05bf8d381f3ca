"""What `rise bench` shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from metis_rise.bench.cases import OURS, Kind


def table(kind: Kind, rows: Sequence[dict[str, Any]]) -> Table:
    """One line per case: our seconds, the median ratio to each peer over its least and greatest, memory if measured."""
    peers = list(rows[0]["ratio"])
    out = Table(title=f"{kind}: seconds of each peer over ours (over 1: we are faster)", show_lines=True)
    for heading in ("image\ntokens", "new\ntokens", "prompts\nx group", OURS, *peers):
        out.add_column(heading, justify="right")
    for row in rows:
        case = row["case"]
        cells = [_cell(f"{row['seconds'][OURS]:.3f} s", row, OURS)]
        for peer in peers:
            least, greatest = row["spread"][peer]
            cells.append(_cell(f"{row['ratio'][peer]:.2f}x\n{least:.2f}-{greatest:.2f}", row, peer))
        group = f"{case['prompts']} x {case['group_size']}"
        out.add_row(str(case["image_tokens"]), str(case["completion_tokens"]), group, *cells)
    return out


def _cell(text: str, row: dict[str, Any], arm: str) -> str:
    peaks = row["memory_mb"]
    return f"{text}\n{peaks[arm]:.0f} MB" if peaks else text
