"""Numbers as people read them, one way for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from metis_rise.report.data import ARMS, MODES, RunData, Score, Summary
from metis_rise.run import round_name

NONE = "-"
_STEP_NAMES = {"rl": "RL", "rise": "Targeted SFT"}


def percent(share: float, digits: int = 1) -> str:
    """0.463 as "46.3 %"."""
    return f"{100 * share:.{digits}f} %"


def interval(score: Score) -> str:
    """The 95 % interval in percent, "42.7 to 50.0"."""
    return f"{100 * score.low:.1f} to {100 * score.high:.1f}"


def number(value: float | None) -> str:
    """Three significant digits, thousands with commas, no needless zeros; a dash where it is not known."""
    if value is None:
        return NONE
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    if seconds is None:
        return NONE
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: int | None) -> str:
    """A whole number with commas, or a dash where it is not known."""
    return NONE if value is None else f"{value:,}"


def dropped(reasons: Mapping[str, int]) -> str:
    """Counts with their reasons, as in "12 chain wrong, 5 duplicate"; the most frequent first."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {reason}" for reason, n in ranked)


def modes(scores: Mapping[str, float]) -> str:
    """Accuracies in percent, greedy then sampled, "41.7 / 38.0"; a dash where there are none."""
    return " / ".join(f"{100 * scores[mode]:.1f}" for mode in MODES if mode in scores) or NONE


def mode_label(mode: str, recipe: Mapping[str, Any] | None) -> str:
    """greedy, or sampled with the recipe's temperature."""
    temperature = (recipe or {}).get("sampling", {}).get("temperature")
    return mode if mode == "greedy" or temperature is None else f"{mode}, T={temperature:g}"


def direction(before: Score, after: Score) -> int:
    """1 where `after` lies above `before` outside the intervals of both, -1 where below, 0 within the noise."""
    return (after.low > before.high) - (after.high < before.low)


def verdict_sentences(summary: Summary) -> list[tuple[int, str]]:
    """Per mode and step between neighbouring arms: its `direction` and the sentence that says so."""
    found = []
    for mode in MODES:
        scores = summary.mode(mode)
        for before, after in pairwise(scores):
            step = "The whole run" if (before, after) == ("base", "rise") else _STEP_NAMES[after]
            found.append(_verdict(f"{mode} accuracy", step, scores[before], scores[after]))
    return found


def _verdict(what: str, step: str, before: Score, after: Score) -> tuple[int, str]:
    way = direction(before, after)
    span = f"from {percent(before.accuracy)} to {percent(after.accuracy)}"
    if way == 0:
        return way, f"{step} did not change {what} beyond noise: {span} (intervals overlap)."
    return way, f"{step} {'raised' if way > 0 else 'lowered'} {what} {span} (intervals do not overlap)."


def sampling_sentence(diagnosis: Mapping[str, Any] | None) -> str | None:
    """What adaptive sampling spared, of the diagnosis' result; None where it spared nothing or is not known."""
    sampling = (diagnosis or {}).get("sampling", {})
    if not sampling or sampling["drawn"] == sampling["fixed"]:
        return None
    reused = f", {sampling['reused']:,} were RL's own" if sampling["reused"] else ""
    share = percent(1 - sampling["drawn"] / sampling["fixed"], 0)
    drawn, fixed = f"{sampling['drawn']:,}", f"{sampling['fixed']:,}"
    return f"{drawn} samples were drawn{reused}; the most for every problem would be {fixed}: {share} saved."


def expert_sentence(stage: Mapping[str, Any] | None) -> str | None:
    """What each paid expert was asked, gave and cost, of the expert stage's result; None where none was asked."""
    paid = {name: said for name, said in (stage or {}).get("experts", {}).items() if said.get("calls")}
    parts = [
        f"{name} {said['calls']:,} calls, {said['kept']:,} answers kept, "
        f"{said['prompt_tokens'] + said['completion_tokens']:,} tokens, cost {said['cost']:.4g}"
        for name, said in paid.items()
    ]
    return f"Experts: {'; '.join(parts)}." if parts else None


def judge_sentence(summary: Summary) -> str | None:
    """Which model was asked about text answers, and what came of it; None where none was."""
    scores = [score for modes in summary.scores.values() for score in modes.values() if score.judge is not None]
    if not scores:
        return None
    by_judge, total = sum(score.by_judge for score in scores), sum(score.n for score in scores)
    return f"Judged with {scores[0].judge} beside the rules: {by_judge} of {total} answers are right by its word alone."


def standing(run: RunData) -> str:
    """How far a run that is not finished has come: "RL: step 20 of 50", "round 2, expert: unfinished"."""
    assert run.next_stage is not None, "it is not finished"
    turn, stage = run.next_stage
    label, curve = (stage.label, "rl") if turn == 1 else (f"round {turn}, {stage.label}", f"{round_name(turn)}/rl")
    steps = [metric.step for metric in run.metrics if metric.stage == curve]
    wanted = (run.recipe or {}).get("rl", {}).get("steps")
    if stage.folder == "1-rl" and steps:
        return f"{label}: step {steps[-1]:,}" + (f" of {wanted:,}" if isinstance(wanted, int) else "")
    if stage.state == "done":
        there, scores = run.scores
        return f"{label}: {there:,} of {scores:,} scores on benchmarks"
    return f"{label}: {stage.state}"


def headline(summary: Summary) -> str:
    """The verdict in one line, falls included."""
    ways = [way for way, _ in verdict_sentences(summary)]
    if not ways:
        only = ", ".join(ARMS[arm] for arm in summary.scores) or "nothing"
        return f"There is nothing to compare yet: {only} evaluated."
    if all(way > 0 for way in ways):
        return "Every step rose beyond noise."
    rose, fell = ways.count(1), ways.count(-1)
    verdict = f"{rose} of {len(ways)} comparisons rose beyond noise" if rose else "No step rose beyond noise"
    return f"{verdict}, {fell} fell." if fell else f"{verdict}."
