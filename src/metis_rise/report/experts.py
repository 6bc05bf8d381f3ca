"""What each expert was asked, gave and cost."""

from __future__ import annotations

from dataclasses import dataclass

from metis_rise.report.data import RunData


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """One expert in one round; calls, tokens and cost are None where it is free. `cost` is in the prices' currency."""

    name: str
    kept: int
    refused: int
    calls: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


def expert_rows(run: RunData) -> list[ExpertRow]:
    """The experts of all rounds, in the order in which they are asked."""
    rows = []
    for number, stages in enumerate((run.stages, *run.later_rounds), start=1):
        for name, said in (stages["4-expert"].result or {}).get("experts", {}).items():
            title = name if number == 1 else f"{name}, round {number}"
            paid = [said.get(key) for key in ("calls", "prompt_tokens", "completion_tokens", "cost")]
            rows.append(ExpertRow(title, said.get("kept", 0), sum(said.get("refused", {}).values()), *paid))
    return rows
