"""What `rise verify` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from metis_rise.errors import InputError
from metis_rise.problems.row import known_type
from metis_rise.verify.explain import explain
from metis_rise.verify.pairs import Outcome, judge_pairs, problem_of, read_pairs
from metis_rise.verify.show import show_outcome


def verify_file(path: Path, *, strict: bool, as_json: bool) -> None:
    """Judges the pairs of a file and prints what came out; InputError for a faulty file."""
    judged = list(judge_pairs(read_pairs(path), strict=strict))
    outcome = Outcome()
    for one in judged:
        outcome.add(one)
    if as_json:
        print(json.dumps(outcome.to_json(), ensure_ascii=False))
    else:
        show_outcome(outcome, judged, "strict" if strict else "lenient", Console())


def verify_one(
    gold: str, prediction: str, type_name: str | None, choices: Sequence[str], question: str, *, strict: bool
) -> None:
    """Explains the verdict on one prediction; InputError for an unknown type."""
    answer_type = None if type_name is None else known_type(type_name)
    if type_name is not None and answer_type is None:
        raise InputError(f"--type {type_name}: known are choice, number, text and their aliases in docs/data.md")
    problem = problem_of(gold, answer_type, choices or None, question)
    explain(problem, prediction, strict=strict, console=Console())
