"""Buckets by solve rate, and journals that a kill left half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_rise.recipe import DiagnoseConfig
from metis_rise.run import append_jsonl
from metis_rise.stages.diagnose import bucket_of, read_trajectories
from metis_rise.types import Bucket, Trajectory


@pytest.mark.parametrize(
    ("rate", "bucket"),
    [(0.0, Bucket.ABSENT), (0.125, Bucket.INCONSISTENT), (0.875, Bucket.INCONSISTENT), (1.0, Bucket.MASTERED)],
)
def test_the_papers_buckets(rate: float, bucket: Bucket):
    assert bucket_of(rate, DiagnoseConfig()) is bucket


def test_thresholds_are_the_recipes():
    config = DiagnoseConfig(mastered_at=0.8, absent_at=0.2)
    assert [bucket_of(rate, config) for rate in (0.2, 0.5, 0.8)] == [
        Bucket.ABSENT,
        Bucket.INCONSISTENT,
        Bucket.MASTERED,
    ]


def test_a_group_written_twice_counts_once(tmp_path: Path):
    journal = tmp_path / "t.jsonl"
    rows = [Trajectory("p", i, f"text {i}").to_json() for i in range(4)]
    append_jsonl(journal, rows[:2])
    append_jsonl(journal, rows)
    assert [t.sample for t in read_trajectories(journal)["p"]] == [0, 1, 2, 3]
