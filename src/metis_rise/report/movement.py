"""Where problems stand, absent, inconsistent or mastered, and how they move from stage to stage.

Train problems: when RL first met them, as diagnosis found them after RL, and in later rounds. Test problems: the base,
RL and RISE, by their greedy and sampled answers (none right: absent; all right: mastered).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from metis_rise.report.data import ARMS, MODES, RunData
from metis_rise.report.reading import opening_files, outcomes
from metis_rise.types import Bucket

ORDER = (Bucket.MASTERED, Bucket.INCONSISTENT, Bucket.ABSENT)


def bucket_of(rate: float, thresholds: tuple[float, float]) -> Bucket:
    """The bucket of a solve rate, by the rates up to which a problem is absent and from which it is mastered."""
    absent_at, mastered_at = thresholds
    return Bucket.MASTERED if rate >= mastered_at else Bucket.ABSENT if rate <= absent_at else Bucket.INCONSISTENT


@dataclass(frozen=True, slots=True)
class Flow:
    """Problems in their buckets at several moments: `links[i]` counts those that go from a bucket to one at i + 1."""

    columns: Sequence[str]
    links: Sequence[Mapping[tuple[Bucket, Bucket], int]]
    problems: int

    def standing(self, column: int) -> Mapping[Bucket, int]:
        """Problems per bucket at a moment."""
        found: Counter[Bucket] = Counter()
        for (source, target), n in self.links[min(column, len(self.links) - 1)].items():
            found[source if column < len(self.links) else target] += n
        return found


@dataclass(frozen=True, slots=True)
class FirstMet:
    """Solve rates in the first group that RL sampled of each problem.

    updates: how many the weights had seen by then, in the middle one of these groups.
    """

    rates: Mapping[str, float]
    updates: int


def first_met(run: RunData) -> FirstMet:
    """Reads RL's rollouts, of the first round; of very many those that came first."""
    groups: dict[str, tuple[int, dict[int, bool]]] = {}
    for one in (one for file in opening_files(run.path / "1-rl") for one in outcomes(file)):
        version, samples = groups.setdefault(one.problem_id, (one.weights_version, {}))
        # A later group of the problem has newer weights, or has a sample twice.
        if one.weights_version == version:
            samples.setdefault(one.sample, one.right)
    rates = {key: sum(samples.values()) / len(samples) for key, (_, samples) in groups.items()}
    updates = int(median(version for version, _ in groups.values())) if groups else 0
    return FirstMet(rates, updates)


def train_flow(run: RunData, met: FirstMet) -> Flow | None:
    """Of the train problems that every moment knows; None where there are fewer than two moments."""
    moments = [("first met", met.rates)]
    for number, stages in enumerate([run.stages, *run.later_rounds], start=1):
        rates = (stages["2-diagnose"].result or {}).get("solve_rates", {})
        moments.append(("after RL" if number == 1 else f"round {number}", rates))
    return _flow([(name, _buckets(rates, run.thresholds)) for name, rates in moments])


def check_flow(answers: Mapping[str, Mapping[str, Sequence[bool]]]) -> Flow | None:
    """Of the test problems by `answers[arm][problem id]`, whether each answer was right; None with fewer than 2 arms.

    With greedy answers alone no problem can be inconsistent.
    """
    shares = {arm: {key: sum(right) / len(right) for key, right in of.items()} for arm, of in answers.items()}
    return _flow([(_ARM_NAMES[arm], _buckets(shares.get(arm, {}), (0.0, 1.0))) for arm in ARMS])


_ARM_NAMES = {"base": "base", "rl": "RL", "rise": "RISE"}


def right_by_arm(run: RunData) -> dict[str, dict[str, list[bool]]]:
    """Whether the answers of each arm to each test problem are right and well formed, in the order of `MODES`."""
    found: dict[str, dict[str, list[bool]]] = {arm: {} for arm in ARMS}
    for arm in ARMS:
        for mode in MODES:
            for one in outcomes(run.path / "6-evaluate" / f"{arm}-{mode}.jsonl"):
                found[arm].setdefault(one.problem_id, []).append(one.right)
    return {arm: answers for arm, answers in found.items() if answers}


def _buckets(rates: Mapping[str, float], thresholds: tuple[float, float]) -> dict[str, Bucket]:
    return {key: bucket_of(rate, thresholds) for key, rate in rates.items()}


def _flow(moments: Iterable[tuple[str, Mapping[str, Bucket]]]) -> Flow | None:
    known = [(name, buckets) for name, buckets in moments if buckets]
    if len(known) < 2:
        return None
    common = set.intersection(*(set(buckets) for _, buckets in known))
    if not common:
        return None
    links = [Counter((before[key], after[key]) for key in common) for (_, before), (_, after) in pairwise(known)]
    return Flow([name for name, _ in known], links, len(common))
