"""`rise eval --score`, with the judge that the command line names; loads no torch."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from metis_rise.benchmarks.base import Protocol
from metis_rise.evaluation.judging import Judge
from metis_rise.evaluation.score_file import score_file
from metis_rise.recipe import JudgeConfig
from metis_rise.terminal import say


def score_predictions(
    file: Path,
    benchmark: str,
    data: Path | None,
    protocol: Protocol | None,
    judge: JudgeConfig | None,
    limit: int | None,
    verdicts: Path | None,
    *,
    as_json: bool,
) -> None:
    """`score_file`; what the judge says is kept beside the predictions, in `<file>.judge.jsonl`."""
    with ExitStack() as stack:
        judging = None
        if judge is not None:
            journal = file.with_name(f"{file.name}.judge.jsonl")
            judging = stack.enter_context(closing(Judge(judge, journal, _note)))
        score_file(
            file,
            benchmark,
            data=data,
            protocol=protocol,
            judge=judging,
            limit=limit,
            verdicts=verdicts,
            as_json=as_json,
        )


def _note(text: str) -> None:
    say(f"warning: {text}", warning=True, aside=True)
