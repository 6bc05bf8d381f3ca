"""One verdict with everything that led to it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from metis_rise.types import Problem
from metis_rise.verifier.judge import judge
from metis_rise.verifier.normal import normal
from metis_rise.verify.show import shown


def explain(problem: Problem, prediction: str, *, strict: bool, console: Console) -> None:
    """Prints the verdict on `prediction`: what was extracted, both sides in normal form, what decided."""
    verdict = judge(problem, prediction, strict=strict)
    right = verdict.strict if strict else verdict.correct
    answer = verdict.extracted
    rows = [
        ("verdict", "right" if right else "wrong", "bold green" if right else "bold red"),
        ("reason", verdict.code, ""),
        ("decided by", verdict.reason, ""),
        ("type", problem.answer_type.value, ""),
        ("gold", problem.answer, ""),
        ("prediction", shown(prediction), ""),
        ("extracted", "nothing" if answer is None else answer, ""),
        ("rule", verdict.rule, ""),
        ("compared", "nothing" if answer is None else f"{normal(problem.answer)}   with   {normal(answer)}", ""),
        ("format", "as taught" if verdict.well_formed else f"not as taught: {verdict.fault}", ""),
    ]
    for name, value, style in rows:
        console.print(Text.assemble((f"{name:<12}", "dim"), (value, style)), soft_wrap=True)
