"""`rise convert`: another tool's problem file as our own JSONL with a folder of pictures (docs/data.md)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import typer

from metis_rise.exchange.folder import new_folder
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems
from metis_rise.run import write_jsonl
from metis_rise.types import Problem
from metis_rise.verifier.gold import check_gold

FILE = "problems.jsonl"
PICTURES = "images"


def convert(source: Path, target: Path, *, skip_bad: bool) -> None:
    """Writes the problems of `source` into the new folder `target`, whole or not at all, and says how many.

    Raises:
        InputError: a `target` that exists, or what `read_problems` finds wrong; bad rows only without `skip_bad`.
    """
    dropped: Counter[str] = Counter()
    with new_folder(target) as partial:
        store = ImageStore(partial / PICTURES)
        problems = read_problems(source, store, check_gold, dropped if skip_bad else None, open_rows)
        write_jsonl(partial / FILE, (_row(problem, store) for problem in problems), checked=False)
    typer.echo(f"{target / FILE}: {len(problems)} problems")
    for reason, number in dropped.most_common():
        typer.echo(f"  {number} rows left out: {reason}")


def _row(problem: Problem, store: ImageStore) -> dict[str, Any]:
    meta = dict(problem.meta) | {"family": problem.family} | ({"level": problem.level} if problem.level else {})
    row: dict[str, Any] = {
        "id": problem.id,
        "images": [f"{PICTURES}/{store.path(key).name}" for key in problem.images],
        "question": problem.question,
        "choices": None if problem.choices is None else list(problem.choices),
        "answer": problem.answer,
        "answer_type": problem.answer_type.value,
        "solution": problem.solution,
        "source": problem.source,
        "meta": meta,
    }
    return {name: value for name, value in row.items() if value not in (None, "", [])}
