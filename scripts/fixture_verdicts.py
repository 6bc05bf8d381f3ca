"""Our verdicts on the benchmarks' own scored outputs: agreement, and every row that differs.

    python scripts/fixture_verdicts.py ../shared/data/fixtures

The rows are real responses of models with the verdict of the benchmark's authors, which their own extraction (a model
for MathVista, rules for MATH-Vision) led to. We judge the raw response, leniently, and do not look at theirs. The
differences are classed in docs/verifier.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.problems.answers import option_letter
from metis_rise.types import AnswerType, Problem, Verdict
from metis_rise.verifier.gold import infer_type
from metis_rise.verifier.judge import judge

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """A response with the authors' verdict and ours."""

    problem: Problem
    response: str
    extraction: str
    official: bool
    verdict: Verdict

    @property
    def differs(self) -> bool:
        """Whether the two verdicts are not the same."""
        return self.official != self.verdict.correct


def mathvista(row: Row) -> tuple[Problem, str]:
    """The problem of a row of MathVista, and what its authors extracted; an option's text becomes its letter."""
    choices = tuple(row["choices"]) if row["choices"] else None
    gold = str(row["answer"])
    if choices:
        gold = option_letter(gold, choices) or gold
        return Problem(row["pid"], row["question"], gold, AnswerType.CHOICE, choices=choices), str(row["extraction"])
    numbers = row["answer_type"] in ("integer", "float")
    kind = AnswerType.NUMBER if numbers else AnswerType.TEXT
    return Problem(row["pid"], row["question"], gold, kind), str(row["extraction"])


def mathvision(row: Row) -> tuple[Problem, str]:
    """The problem of a row of MATH-Vision, whose question the file does not hold, and what its authors' rule found."""
    choices = tuple(row["options"]) or None
    kind = AnswerType.CHOICE if choices else infer_type(row["answer"])
    return Problem(row["id"], "", row["answer"], kind, choices=choices), str(row["model_answer"])


FILES: Mapping[str, Callable[[Row], tuple[Problem, str]]] = {
    "mathvista_scored.jsonl": mathvista,
    "mathvision_scored.jsonl": mathvision,
}


def scored(file: Path) -> Iterator[Scored]:
    """Every row of one of `FILES`, judged."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        problem, extraction = FILES[file.name](row)
        verdict = judge(problem, row["response"], strict=False)
        yield Scored(problem, row["response"], extraction, row["true_false"], verdict)


def main(folder: Path) -> None:
    """Prints the report."""
    for name in FILES:
        found = list(scored(folder / name))
        differ = [one for one in found if one.differs]
        print(f"{name}: {len(found) - len(differ)} of {len(found)} verdicts agree")
        for one in differ:
            verdict = one.verdict
            print(f"  {one.problem.id}: official {'right' if one.official else 'wrong'}, ours {verdict.reason}")
            print(f"    gold {one.problem.answer}, choices {one.problem.choices}")
            print(f"    theirs {one.extraction!r}, ours {verdict.extracted!r} ({verdict.rule})")
            print(f"    response {one.response!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
