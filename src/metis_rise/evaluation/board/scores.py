"""One figure of one benchmark, as score.json holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.errors import InputError
from metis_rise.journal import parse_object
from metis_rise.run_format import read_format

AGAIN = "score again with the command that made it"
_TYPES = {
    "benchmark": (str,),
    "model": (str, NoneType),
    "score": (int, float, NoneType),
    "protocol": (dict,),
    "metrics": (dict,),
    "complete": (bool,),
}
"""What of a score.json is read, and the types that JSON gives it."""


@dataclass(frozen=True, slots=True)
class Score:
    """A benchmark's figure in percent, with its 95 % interval where it is known.

    protocol: how it came about; None for a published figure, of which nobody wrote it down.
    partial: what keeps it from being the whole benchmark's, in a few words; None where nothing does.
    """

    percent: float
    low: float | None = None
    high: float | None = None
    protocol: ProtocolRecord | None = None
    partial: str | None = None

    @property
    def data_md5(self) -> str | None:
        """Of the data file, where it is known."""
        return None if self.protocol is None else self.protocol.data_md5

    @property
    def truncated(self) -> float | None:
        """Share of answers that were cut at the longest allowed, where it is known."""
        return None if self.protocol is None else self.protocol.truncated

    def comparable(self, other: Score) -> bool:
        """Whether both were measured alike, on the same rows of the same file, as far as the records say."""
        if self.protocol is None or other.protocol is None or self.protocol.differences(other.protocol):
            return False
        return (self.partial, self.data_md5) == (other.partial, other.data_md5)


@dataclass(frozen=True, slots=True)
class ModelScores:
    """The figures of one model by benchmark; `model` is its name where the files say it."""

    model: str | None = None
    by_benchmark: Mapping[str, Score] = field(default_factory=dict)


def read_scores(folder: Path) -> ModelScores:
    """The score.json files of an evaluation folder, each in its benchmark's folder; none where there is no folder.

    Raises:
        InputError: a file that is no score, two of one benchmark, or a folder of a newer version.
    """
    read_format(folder)
    model: str | None = None
    found: dict[str, Score] = {}
    for file in sorted(folder.glob("*/score.json")):
        row = _row(file)
        if row["benchmark"] in found:
            raise InputError(f"{file}: a second score of {row['benchmark']} in {folder}; move one of the two away")
        if row["score"] is not None:
            found[row["benchmark"]] = _score(row, file)
        model = model or row["model"]
    return ModelScores(model, found)


def _row(file: Path) -> dict[str, Any]:
    row = parse_object(file.read_bytes())
    if row is None:
        raise InputError(f"{file}: not a JSON object; {AGAIN}")
    for key, types in _TYPES.items():
        if key not in row or type(row[key]) not in types:
            raise InputError(f"{file}: {key} is {row[key]!r}; {AGAIN}" if key in row else f"{file}: no {key}; {AGAIN}")
    if row["score"] is not None and not (math.isfinite(row["score"]) and 0 <= row["score"] <= 100):
        raise InputError(f"{file}: score is {row['score']!r}, which is no percentage; {AGAIN}")
    return row


def _score(row: Mapping[str, Any], file: Path) -> Score:
    protocol = ProtocolRecord.from_json(row["protocol"], f"{file}, protocol")
    first: Mapping[str, float] = next(iter(row["metrics"].get("headlines", {}).values()), {})
    partial = f"subset {protocol.subset}" if protocol.subset else None if row["complete"] else "rows left out"
    return Score(row["score"], first.get("low"), first.get("high"), protocol, partial)
