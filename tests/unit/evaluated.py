"""Evaluation folders as `rise eval` leaves them, made up; only what the leaderboard reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.protocol import ProtocolRecord

SIX = ("mathvista", "mathvision", "mathverse", "dynamath", "wemath", "logicvista")
METIS_7B = dict(zip(SIX, (75.8, 28.7, 51.0, 27.7, 45.2, 49.7), strict=True))
RECORD = ProtocolRecord(
    protocol="rule",
    style="rise",
    system_sha="0123456789ab",
    min_pixels=3136,
    max_pixels=1003520,
    decoding={"temperature": 0.0, "samples": 1},
    max_tokens=2048,
    engine="native",
    dtype="bfloat16",
    versions={"metis-rise": "0.1"},
)


def score_file(folder: Path, benchmark: str, percent: float | None, model: str = "some/model", **known: Any) -> Path:
    """Writes a score.json with an interval of 2 points to each side; `known` are parts of the protocol record."""
    record = replace(RECORD, **known)
    headlines = {} if percent is None else {"overall": {"score": percent, "low": percent - 2, "high": percent + 2}}
    row = {
        "benchmark": benchmark,
        "model": model,
        "score": percent,
        "metrics": {"headlines": headlines},
        "protocol": record.to_json(),
        "complete": record.subset is None,
    }
    file = folder / benchmark / "score.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(row))
    return file


def evaluation(folder: Path, figures: Mapping[str, float | None], model: str = "some/model", **known: Any) -> Path:
    """An evaluation folder with these figures, all under one protocol."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text("{}")
    for benchmark, percent in figures.items():
        score_file(folder, benchmark, percent, model, **known)
    return folder


def run(folder: Path, **arms: Mapping[str, float | None]) -> Path:
    """A run folder whose models (base, rl, rise) have these figures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text("{}")
    for arm, figures in arms.items():
        evaluation(folder / "benchmarks" / arm, figures)
    return folder
