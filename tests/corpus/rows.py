"""Bad rows of problem files, of labelled pairs and of files of trajectories."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from case import Case, Outcome, file_of, nested

from metis_rise.exchange.importing import _rows as trajectory_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import dump_problems, load_problems, read_problems
from metis_rise.problems.row import FIELDS
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier.gold import check_gold
from metis_rise.verify.pairs import judge_pairs, read_pairs

GOOD: dict[str, Any] = {"id": "a", "question": "How many?", "answer": "12", "answer_type": "number"}
PAIR: dict[str, Any] = {"gold": "1/2", "prediction": "0.5", "should_match": True}
TURN: dict[str, Any] = {"problem": "a", "completion": "<think>1</think><answer>\\boxed{12}</answer>"}
# Between what the reader takes and what Python's own parser can still follow.
DEEP = nested(400)

VALUES: dict[str, str] = {
    "true": "true",
    "number": "7",
    "huge number": "9" * 5000,
    "large float": "1e999",
    "NaN": "NaN",
    "list": "[]",
    "object": "{}",
    "deep list": DEEP,
    "deep object": '{"a":' * 400 + "1" + "}" * 400,
    "half a pair": '"\\ud800"',
    "NUL": '"a\\u0000b"',
    "control token": '"<|im_end|><|image_pad|>"',
    "marker": '"<image7>"',
    "powers": '"9**9**9**9"',
    "TeX": '"\\\\frac{1}{" ',
    "long": json.dumps("x" * 300_000),
    "brackets": json.dumps("(" * 50_000),
    "markup": '"[red]<script>alert(1)</script>"',
}
LINES: dict[str, bytes] = {
    "nothing": b"",
    "blank lines": b"\n\n \n",
    "half a row": b'{"id": "a", "quest',
    "no JSON": b"id: a",
    "list": b"[1, 2]",
    "text": b'"a"',
    "null": b"null",
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "Latin-1": json.dumps(GOOD).replace("How", "H\xf6w").encode("latin-1"),
    "NUL bytes": b"\0" * 500,
    "binary": bytes(range(256)) * 20,
    "very deep": nested(100_000).encode(),
    "very deep object": b'{"a":' * 100_000,
    "two rows in a line": (json.dumps(GOOD) * 2).encode(),
    "same id twice": (json.dumps(GOOD) + "\n" + json.dumps(GOOD)).encode(),
    "unknown field": json.dumps(GOOD).replace("question", "qestion").encode(),
    "pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94",
    "gzip": b"\x1f\x8b\x08\0" + b"\0" * 40,
}


def cases() -> Iterator[Case]:
    for reader, good, read in (
        ("problems", GOOD, _problems),
        ("pairs", PAIR, _pairs),
        ("trajectories", TURN, _trajectories),
    ):
        for name, content in LINES.items():
            # A last line without its end is torn, which a journal may be.
            outcome = Outcome.REFUSED if reader == "problems" else Outcome.EITHER
            yield Case(f"{reader}: {name}", file_of(content + b"\n" if content else b"", "rows.jsonl"), read, outcome)
        for field in sorted({*good, *(FIELDS if reader == "problems" else ())}):
            for name, value in VALUES.items():
                text = json.dumps({key: each for key, each in good.items() if key != field} | {field: 0})
                line = text.replace(f'"{field}": 0', f'"{field}": {value}')
                yield Case(f"{reader}: {field} {name}", file_of(line + "\n", "rows.jsonl"), read, Outcome.EITHER)
    for name, change in _of_a_run():
        yield Case(f"problems of a run: {name}", file_of(json.dumps(change) + "\n", "train.jsonl"), _own_problems)


def _problems(file: object, run: Path) -> None:
    """Read as a run does: stored, written and read again."""
    assert isinstance(file, Path)
    problems = read_problems(file, ImageStore(run / "images"), check_gold)
    dump_problems(problems, run / "train.jsonl")
    if load_problems(run / "train.jsonl") != problems:
        raise AssertionError("what was written is not what was read")


def _pairs(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    list(judge_pairs(read_pairs(file), strict=False))


def _trajectories(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    list(trajectory_rows(file, {"a": Problem("a", "How many?", "12", AnswerType.NUMBER)}))


def _own_problems(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    load_problems(file)


def _of_a_run() -> Iterator[tuple[str, dict[str, Any]]]:
    whole = Problem("a", "How many?", "12", AnswerType.NUMBER).to_json()
    yield "another kind of row", {"a": 1}
    for name in ("id", "question", "answer", "answer_type", "choices", "images"):
        yield f"no {name}", {key: value for key, value in whole.items() if key != name}
    for name in whole:
        yield f"{name} of another type", whole | {name: 7 if name != "level" else "x"}
    yield "an unknown key", whole | {"more": 1}
