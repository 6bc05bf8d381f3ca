"""What went wrong in a run, or otherwise than asked: warnings, fallbacks, interruptions, data that was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from metis_rise.report.data import RunData
from metis_rise.report.text import dropped

MOST_WARNINGS = 200


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that a reader should know of; `time` is "" where it is not of a moment."""

    time: str
    text: str


@dataclass(frozen=True, slots=True)
class Troubles:
    """The three lists of the page's section; `more` warnings are not shown."""

    warnings: list[Trouble]
    more: int
    fallbacks: list[Trouble]
    dropped: list[tuple[str, int, str]]
    """(stage, trajectories, reasons)"""

    def __bool__(self) -> bool:
        return bool(self.warnings or self.fallbacks or self.dropped)


def troubles(run: RunData) -> Troubles:
    """All of them, oldest first; of very many warnings the last ones."""
    said = [Trouble(_time(event), str(event.get("text", ""))) for event in run.warnings]
    return Troubles(
        warnings=said[-MOST_WARNINGS:],
        more=max(0, len(said) - MOST_WARNINGS),
        fallbacks=[*_interruptions(run), *_left_out(run), *_otherwise(run)],
        dropped=list(_dropped(run)),
    )


def _time(event: Mapping[str, Any]) -> str:
    return str(event.get("time", ""))[:19].replace("T", " ")


def _interruptions(run: RunData) -> Iterator[Trouble]:
    for before, after in pairwise(run.starts):
        there, here = before.get("environment") or {}, after.get("environment") or {}
        changed = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        said = f"; changed since: {', '.join(changed)}" if changed else ""
        yield Trouble(_time(after), f"The run was interrupted and taken up again{said}.")


def _left_out(run: RunData) -> Iterator[Trouble]:
    for event in run.events:
        if event.get("kind") == "skipped rows":
            reasons = event.get("reasons") or {}
            yield Trouble(_time(event), f"{event.get('file')}: rows left out: {dropped(reasons)}.")
        if event.get("kind") == "import" and event.get("refused"):
            yield Trouble(_time(event), f"{event.get('file')}: imported answers refused: {dropped(event['refused'])}.")


def _otherwise(run: RunData) -> Iterator[Trouble]:
    """Where a stage ended with something else than what it was to make."""
    for number, stages in enumerate((run.stages, *run.later_rounds), start=1):
        of = "" if number == 1 else f"Round {number}: "
        if (stages["1-rl"].result or {}).get("best_step") == 0:
            yield Trouble("", f"{of}RL: no step was better than its start, which went on to the next stage.")
        for phase in stages["5-sft"].phases:
            if phase.get("rolled_back"):
                yield Trouble("", f"{of}SFT: stage {phase.get('name')} made the model worse and was rolled back.")


def _dropped(run: RunData) -> Iterator[tuple[str, int, str]]:
    for number, stages in enumerate((run.stages, *run.later_rounds), start=1):
        of = "" if number == 1 else f"round {number}: "
        for stage in stages.values():
            if stage.dropped:
                yield f"{of}{stage.label}", sum(stage.dropped.values()), dropped(stage.dropped)
