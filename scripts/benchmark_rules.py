"""Judge-free rules on real scored outputs: VLMEvalKit's and ours beside the verdicts of the benchmarks' authors.

    python scripts/benchmark_rules.py ../shared/data/fixtures

The rows are real responses with the authors' extraction (a model's for MathVista, their rules' for MATH-Vision) and
their verdict. Printed are, for each file: how often our `official` protocol says of the authors' extraction what they
said; how often VLMEvalKit's rules, which ask a judge where they find nothing, and our `rule` protocol err on the raw
response; every row where a rule differs from the authors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.base import Benchmark, Item, Row
from metis_rise.benchmarks.mathvision import MathVision
from metis_rise.benchmarks.mathvista import MathVista

Record = Mapping[str, Any]

SHOWN_CHARS = 300
"""So much of the end of a response is shown."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A response with what everybody says of it; None where VLMEvalKit would ask a judge."""

    item: Item
    response: str
    authors: bool
    official: bool
    vlmevalkit: bool | None
    ours: bool
    why: str


def mathvista(record: Record) -> tuple[dict[str, str], str]:
    """Cells of MathVista's data file, and what the authors extracted."""
    names = ("question", "question_type", "answer_type", "answer", "precision", "unit", "task")
    cells = {name: "" if record[name] is None else str(record[name]) for name in names}
    return cells | {"choices": str(record["choices"] or []), "skills": str(record["skills"])}, str(record["extraction"])


def mathvision(record: Record) -> tuple[dict[str, str], str]:
    """Cells of MathVision's data file, whose question is not in the file of outputs, and what the rules extracted."""
    cells = {name: str(record[name]) for name in ("answer", "level")}
    more = {"question": "(not in the file)", "choices": str(record["options"]), "category": record["subject"]}
    return cells | more, str(record["model_answer"])


FILES: Mapping[str, tuple[Benchmark, Callable[[Record], tuple[dict[str, str], str]]]] = {
    "mathvista_scored.jsonl": (MathVista(), mathvista),
    "mathvision_scored.jsonl": (MathVision(), mathvision),
}


def judged(file: Path) -> Iterator[Judged]:
    """Every row of one of `FILES`."""
    benchmark, read = FILES[file.name]
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        record = json.loads(line)
        cells, extraction = read(record)
        index = str(record.get("pid", record.get("id")))
        item = benchmark.item(Row(index, cells, f"{file} row {number} index {index}"))
        found = benchmark.quick(item, record["response"])
        verdict = benchmark.rule(item, record["response"])
        yield Judged(
            item,
            record["response"],
            record["true_false"],
            benchmark.official(item, extraction),
            None if found is None else benchmark.official(item, found),
            verdict.correct,
            f"{verdict.extracted!r} ({verdict.rule}; {verdict.reason})",
        )


def main(folder: Path) -> None:
    """Prints the report."""
    for name in FILES:
        rows = list(judged(folder / name))
        print(f"{name}: {len(rows)} rows, {sum(row.authors for row in rows)} right by the authors")
        print(f"  official on the authors' extraction: {sum(row.official == row.authors for row in rows)} agree")
        open_rows = sum(row.vlmevalkit is None for row in rows)
        vlmevalkit = [(row.authors, row.vlmevalkit is True) for row in rows]
        print(f"  VLMEvalKit without a judge: {_errors(vlmevalkit)}; {open_rows} left to a judge, here wrong")
        print(f"  our rule: {_errors([(row.authors, row.ours) for row in rows])}")
        for row in rows:
            if row.authors != row.ours or (row.vlmevalkit is not None and row.vlmevalkit != row.authors):
                _show(row)


def _errors(verdicts: list[tuple[bool, bool]]) -> str:
    too_kind = sum(said and not authors for authors, said in verdicts)
    too_harsh = sum(authors and not said for authors, said in verdicts)
    share = (too_kind + too_harsh) / len(verdicts)
    return f"{share:.1%} differ ({too_kind} right that the authors have wrong, {too_harsh} wrong that they have right)"


def _show(row: Judged) -> None:
    problem = row.item.problem
    names = {True: "right", False: "wrong", None: "nothing"}
    said = f"authors {names[row.authors]}, VLMEvalKit {names[row.vlmevalkit]}, ours {names[row.ours]}"
    print(f"    {row.item.index}: {said}; gold {problem.answer!r}, options {problem.choices}; ours read {row.why}")
    print(f"      ... {row.response[-SHOWN_CHARS:]!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
