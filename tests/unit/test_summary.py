"""The summary of a run outlives what damaged it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_rise.pipeline import _peak_before
from metis_rise.run import Run


@pytest.mark.parametrize(
    ("content", "peak", "warned"),
    [
        (None, 0.0, False),
        ('{"peak_memory_mb": 512.5}', 512.5, False),
        ('{"peak_memory_mb": 512}', 512.0, False),
        ("{}", 0.0, True),
        ('{"peak_memory_mb": "512"}', 0.0, True),
        ('{"peak_memory_mb": true}', 0.0, True),
        ('{"peak_memory_mb": NaN}', 0.0, True),
        ('{"peak_mem', 0.0, True),
        ("", 0.0, True),
    ],
)
def test_a_damaged_summary_is_said_and_made_anew(
    content: str | None, peak: float, warned: bool, tmp_path: Path
) -> None:
    run = Run.open(tmp_path, "mine", {})
    file = run.path / "summary.json"
    if content is not None:
        file.write_text(content)
    assert _peak_before(run, file) == peak
    assert ["summary.json: was damaged" in row["text"] for row in run.events("warning")] == [True] * warned
