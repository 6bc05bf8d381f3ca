"""Which of a problem's good trajectories are taught: at most n, no two nearly the same, by a policy of the recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from statistics import median

from metis_rise.recipe.distill import DistillConfig
from metis_rise.stages.likeness import Fingerprint, fingerprint, likeness
from metis_rise.types import Trajectory

NEAR_DUPLICATE = "near duplicate"
OVER_THE_CAP = "over the cap"


def pick(
    good: Sequence[Trajectory], config: DistillConfig, most: int, rng: Random
) -> tuple[list[Trajectory], Counter[str]]:
    """At most `most` of one problem's trajectories by `config.pick`, and the others counted by reason."""
    if config.pick == "diverse":
        return _diverse(good, config.max_similarity, most)
    order = _ORDERS[config.pick](good, rng)
    chosen: list[Trajectory] = []
    prints: list[Fingerprint] = []
    dropped: Counter[str] = Counter()
    for trajectory in order:
        if len(chosen) == most:
            dropped[OVER_THE_CAP] += 1
            continue
        print_ = fingerprint(trajectory.text)
        if any(likeness(print_, other) > config.max_similarity for other in prints):
            dropped[NEAR_DUPLICATE] += 1
        else:
            chosen.append(trajectory)
            prints.append(print_)
    return chosen, dropped


def _diverse(good: Sequence[Trajectory], limit: float, most: int) -> tuple[list[Trajectory], Counter[str]]:
    """The one of median length, then always the one least like its likest among those chosen."""
    left = [(trajectory, fingerprint(trajectory.text)) for trajectory in _by_median(good)]
    # How like each one left is to its likest chosen one.
    nearest = [0.0] * len(left)
    chosen: list[Trajectory] = []
    while left and len(chosen) < most and min(nearest) <= limit:
        place = min(range(len(left)), key=nearest.__getitem__)
        trajectory, print_ = left.pop(place)
        nearest.pop(place)
        chosen.append(trajectory)
        nearest = [max(near, likeness(print_, other)) for near, (_, other) in zip(nearest, left, strict=True)]
    same = sum(near > limit for near in nearest)
    return chosen, +Counter({NEAR_DUPLICATE: same, OVER_THE_CAP: len(left) - same})


def _by_median(good: Sequence[Trajectory]) -> list[Trajectory]:
    middle = median(map(_length, good)) if good else 0
    return sorted(good, key=lambda trajectory: abs(_length(trajectory) - middle))


def _length(trajectory: Trajectory) -> int:
    return len(trajectory.tokens)


def mean_logprob(trajectory: Trajectory) -> float:
    """Mean log-probability per token; minus infinity where none were recorded (what RL sampled, an expert)."""
    values = trajectory.logprobs
    return sum(values) / len(values) if values else float("-inf")


_ORDERS: dict[str, Callable[[Sequence[Trajectory], Random], list[Trajectory]]] = {
    "shortest": lambda good, rng: sorted(good, key=_length),
    "longest": lambda good, rng: sorted(good, key=_length, reverse=True),
    "median": lambda good, rng: _by_median(good),
    "likeliest": lambda good, rng: sorted(good, key=mean_logprob, reverse=True),
    "random": lambda good, rng: rng.sample(good, len(good)),
}
