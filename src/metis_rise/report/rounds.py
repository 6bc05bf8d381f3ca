"""What each round of RL, diagnosis and SFT came to, where a run has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metis_rise.report.data import MODES, Metric, RunData, StageRecord
from metis_rise.run import round_name


@dataclass(frozen=True, slots=True)
class Round:
    """A round: dev accuracy per mode after its RL and after its SFT (empty while unknown), buckets, and examples."""

    number: int
    after_rl: Mapping[str, float]
    buckets: Mapping[str, int]
    examples: int | None
    after_sft: Mapping[str, float]
    taken: str


def rounds(run: RunData) -> list[Round]:
    """The rounds that have begun; none for a run of a single round, which the other tables show."""
    every = [run.stages, *run.later_rounds]
    return [_round(run, number, stages) for number, stages in enumerate(every, 1)] if run.later_rounds else []


def _round(run: RunData, number: int, stages: Mapping[str, StageRecord]) -> Round:
    prefix = "" if number == 1 else f"{round_name(number)}/"
    best = (stages["1-rl"].result or {}).get("best_step")
    # A stage that was rolled back is not what the round ended with.
    kept = [
        {mode: phase[f"dev_{mode}"] for mode in MODES}
        for phase in stages["5-sft"].phases
        if "dev_greedy" in phase and not phase.get("rolled_back")
    ]
    return Round(
        number,
        _dev(run.metrics, f"{prefix}rl-dev", best),
        (stages["2-diagnose"].result or {}).get("buckets", {}),
        stages["5-sft"].used,
        kept[-1] if kept else {},
        str((stages["5-sft"].result or {}).get("taken", "")),
    )


def _dev(metrics: Sequence[Metric], curve: str, step: int | None) -> Mapping[str, float]:
    return next((m.values for m in metrics if m.stage == curve and m.step == step), {})
