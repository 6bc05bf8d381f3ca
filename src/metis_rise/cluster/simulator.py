"""The RL loop in simulated time: servers sample, trainers update, weights are pushed.

A server adds one token to each of its rows at a time; as completions end, requests that wait take their room. Groups
are filtered, refilled and carried over as `stages/collector.py` does it. With staleness 1 the groups of the next step
are sampled while a step is trained. Of steps of very many groups a part is played through, and the rest added: so the
work is bounded whatever a recipe asks for.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis_rise.cluster.rates import Decoding

Lengths = Callable[[np.random.Generator, int], NDArray[np.float64]]
# Of stages/collector.py: a refill asks for more than is missing, by no more than this factor.
MOST_PER_MISSING = 3
# Groups of a step that are played through at least, and at most, where it has more; and how often they fill the
# samplers, where that is not more than the most: from then on each further group adds the same.
_LEAST_PLAYED, _MOST_PLAYED, _FILLS = 1 << 13, 1 << 17, 4
# Groups in all steps: the larger a step, the less chance moves it, and the fewer are needed.
_ALL_PLAYED, _FEWEST_STEPS = 1 << 19, 4
# Of a sampler's completions so many times its rows, the last, are played one by one: what is left to do when none
# waits any more does not depend on the ones before.
_LAST = 9
_DRAWN = 1 << 16


@dataclass(frozen=True, slots=True)
class Loop:
    """What is simulated.

    servers: samplers that work side by side. rows: completions that one of them can have under way.
    decoding, prompt: its speed: of a step of decoding; seconds to read a prompt.
    problem: seconds of preparation per problem, one after another.
    groups, group_size: of a step; teaching: share of groups that pass the filter.
    refills, carry: `rl.refill_rounds`, `rl.carry_steps`.
    lengths: draws completion lengths.
    update: seconds of an update on groups whose completions have so many tokens.
    push: seconds to bring new weights to the servers.
    ahead: whether the next step is sampled while one is trained.
    """

    servers: int
    rows: int
    decoding: Decoding
    prompt: float
    problem: float
    groups: int
    group_size: int
    teaching: float
    refills: int
    carry: int
    lengths: Lengths
    update: Callable[[Sequence[float]], float]
    push: float
    ahead: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over steps. step, sampling, update, push: seconds. waiting: share of it that trainers wait for samples.

    trainers, servers: share of the step that they work. sampled, trained: groups.
    """

    step: float
    sampling: float
    update: float
    push: float
    waiting: float
    trainers: float
    servers: float
    sampled: float
    trained: float

    def to_json(self) -> dict[str, Any]:
        """Rounded to what means something."""
        return {name: float(f"{getattr(self, name):.4g}") for name in self.__slots__}


@dataclass(slots=True)
class Rollouts:
    """Collects groups as `stages/collector.py` does.

    surplus: (step that it was sampled for, tokens of its completions) of groups that are left over.
    """

    loop: Loop
    random: np.random.Generator
    surplus: list[tuple[int, float]] = field(default_factory=list)

    def collect(self, step: int) -> tuple[list[float], float, float, int]:
        """Tokens of each group to train on, seconds, seconds that servers worked in the mean, groups sampled."""
        loop = self.loop
        fresh = [each for each in self.surplus if step - each[0] <= loop.carry]
        kept, self.surplus = [tokens for _, tokens in fresh[: loop.groups]], fresh[loop.groups :]
        seconds = busy = 0.0
        sampled, passed, turn = 0, 0, 0
        while len(kept) < loop.groups and turn <= loop.refills:
            missing = loop.groups - len(kept)
            factor = 1.0 if turn == 0 else min(MOST_PER_MISSING, sampled / max(passed, 1e-9))
            count = min(loop.groups, math.ceil(missing * factor))
            lengths = loop.lengths(self.random, count * loop.group_size).reshape(count, loop.group_size)
            took, worked = sample_seconds(loop, lengths)
            seconds, busy = seconds + took, busy + worked
            found = lengths.sum(1)[self.random.random(count) < loop.teaching].tolist()
            if loop.carry:
                self.surplus += [(step, tokens) for tokens in found[missing:]]
            kept += found[:missing]
            passed += len(found)
            sampled, turn = sampled + count, turn + 1
        return kept, seconds, busy, sampled


def simulate(loop: Loop, steps: int = 30, seed: int = 0) -> Outcome:
    """Means over `steps` steps after the first, whose samples nobody could draw ahead; over fewer of huge steps."""
    fills = _FILLS * loop.servers * loop.rows / loop.group_size
    groups = min(loop.groups, math.ceil(min(_MOST_PLAYED, max(_LEAST_PLAYED, fills))))
    steps = min(steps, max(_FEWEST_STEPS, _ALL_PLAYED // groups))
    seen = _played(replace(loop, groups=groups), steps, seed)
    return seen if groups == loop.groups else _larger(loop, seen, groups)


def _larger(loop: Loop, seen: Outcome, groups: int) -> Outcome:
    """What steps of `loop` take, from what was `seen` of steps of fewer `groups`."""
    times = loop.groups / groups - 1
    lengths = loop.lengths(np.random.default_rng(0), _DRAWN)
    tokens = loop.group_size * float(lengths.mean())
    full = groups * loop.group_size >= loop.servers * loop.rows
    each = loop.decoding.row + (loop.decoding.fixed / loop.rows if full else 0.0)
    more = times * seen.sampled * (loop.problem + (loop.prompt + tokens * each) / loop.servers)
    another = (loop.update([tokens] * (2 * groups)) - loop.update([tokens] * groups)) / groups
    busy, update = seen.servers * seen.step + more, seen.update + times * seen.trained * another
    # How much longer than the others the slowest server takes: by its last long completions, whatever came before, and
    # by the chance that it drew more tokens, whose variance grows.
    chance = each * float(lengths.std()) * seen.sampled * math.sqrt(loop.group_size / (groups * loop.servers))
    gap = seen.sampling - seen.servers * seen.step
    sampling = busy + math.hypot(gap, math.sqrt(times) * _most_of(loop.servers) * chance)
    waiting = max(0.0, sampling - update) if loop.ahead else sampling
    step = update + waiting + seen.push
    sampled, trained = (1 + times) * seen.sampled, (1 + times) * seen.trained
    return Outcome(step, sampling, update, seen.push, waiting / step, update / step, busy / step, sampled, trained)


def _most_of(count: int) -> float:
    """The largest of `count` standard normal values in the mean (Blom 1958); 0 of a single one."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def _played(loop: Loop, steps: int, seed: int) -> Outcome:
    collector = Rollouts(loop, np.random.default_rng(seed))
    rows: list[tuple[float, ...]] = []
    kept, sampling, busy, sampled = collector.collect(0)
    for step in range(1, steps + 1):
        update = loop.update(kept) if kept else 0.0
        push = loop.push if kept else 0.0
        trained = len(kept)
        following = collector.collect(step)
        if loop.ahead:
            work = max(update, following[1])
            total, waiting, sampling, busy, sampled = work + push, work - update, *following[1:]
        else:
            total, waiting = sampling + update + push, sampling
        rows.append((total, sampling, update, push, waiting, busy, sampled, trained))
        kept = following[0]
        if not loop.ahead:
            sampling, busy, sampled = following[1:]
    total, sampling, update, push, waiting, busy, drawn, trained_on = (
        fmean(column) for column in zip(*rows, strict=True)
    )
    return Outcome(total, sampling, update, push, waiting / total, update / total, busy / total, drawn, trained_on)


def sample_seconds(loop: Loop, lengths: NDArray[np.float64]) -> tuple[float, float]:
    """Seconds until all groups [groups, completions] have come, and those that servers worked in the mean."""
    shares = [lengths[number :: loop.servers] for number in range(loop.servers)]
    times = [_serve(loop, share) for share in shares if len(share)]
    prepared = len(lengths) * loop.problem
    return float(prepared + max(times)), float(prepared + sum(times) / loop.servers)


def _serve(loop: Loop, groups: NDArray[np.float64]) -> float:
    """Seconds that one server takes for its groups."""
    lengths, seconds = groups.ravel(), len(groups) * loop.prompt
    if len(lengths) <= loop.rows:
        ends = np.sort(lengths)
        under_way = np.arange(len(ends), 0, -1)
        steps = np.diff(ends, prepend=0.0)
        return seconds + float(steps @ (loop.decoding.fixed + loop.decoding.row * under_way))
    # Counted in decoding steps: a row that begins at step s ends at s + its length; one that waits takes its place.
    last = lengths[-_LAST * loop.rows :]
    ends_at = last[: loop.rows].tolist()
    heapq.heapify(ends_at)
    now = 0.0
    for length in last[loop.rows :].tolist():
        now = heapq.heapreplace(ends_at, ends_at[0] + length)
    left = np.sort(np.asarray(ends_at)) - now
    # All rows are under way until the last one begins.
    seconds += float(lengths.sum() - left.sum()) / loop.rows * loop.decoding.seconds(loop.rows)
    steps = np.diff(left, prepend=0.0)
    return seconds + float(steps @ (loop.decoding.fixed + loop.decoding.row * np.arange(len(left), 0, -1)))
