"""What an evaluation's folder holds, for those who write, check and read it.

OUT/evaluation.json  the settings;  OUT/format.json  the format, as of runs
OUT/images/          the pictures (of a run: shared by its models; without --out: by all in evals/)
OUT/judge.jsonl      with a model that judges: its replies
OUT/BENCHMARK/       answers.jsonl (the journal), predictions, score.json, verdicts.jsonl
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metis_rise.errors import InputError

FILE = "evaluation.json"
IMAGES = "images"
JUDGE_JOURNAL = "judge.jsonl"
ANSWERS = "answers.jsonl"
VERDICTS = "verdicts.jsonl"
SCORE = "score.json"
ASKED = "asked"
"""Beside an answer in its journal: the hash of what was asked."""

_KINDS: dict[str, type | tuple[type, ...]] = {
    "index": str,
    "sample": int,
    "text": str,
    "ended": (bool, type(None)),
    ASKED: str,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One text of a model.

    ended: False where it was cut at the longest allowed, None where that is not known.
    """

    index: str
    sample: int
    text: str
    ended: bool | None

    def to_json(self, asked: str) -> dict[str, Any]:
        """The journal's row of an answer to what `asked` is the hash of."""
        return {**asdict(self), ASKED: asked}


def read_answer(row: Mapping[str, Any], place: str) -> tuple[Answer, str]:
    """What `Answer.to_json` made, and the hash; InputError, which names `place`, for anything else."""
    if row.keys() != _KINDS.keys() or not all(isinstance(row[name], kind) for name, kind in _KINDS.items()):
        raise InputError(f"{place}: not an answer with {', '.join(_KINDS)}; delete this line, it is asked again")
    return Answer(**{name: value for name, value in row.items() if name != ASKED}), row[ASKED]
