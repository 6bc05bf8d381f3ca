"""What came out, arm by arm: accuracy with intervals, what it cost, and paired comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from metis_rise.ablation.arms import Arm
from metis_rise.ablation.results import Row
from metis_rise.ablation.statistics import Estimate, difference, estimate, pass_at
from metis_rise.errors import InputError

MODES = ("greedy", "sampled")
Reading = Literal["above", "below", "level", "open"]
MARGIN = 0.02
"""Two arms are level when the interval of their difference lies within so much of 0, either way."""

FEWEST_CELLS = 3
"""With fewer cells an interval says little of what another seed would give, and no verdict is given."""

TARGETS = (0.6, 0.7, 0.8, 0.9)
"""Accuracies of which is said how many expert traces each line needs for them."""


@dataclass(frozen=True, slots=True)
class Summary:
    """An arm over its cells.

    costs: means of a cell. scores: by split and mode. families, kinds: shares of the first split, greedy.
    """

    label: str
    title: str
    group: str
    line: str | None
    cells: int
    costs: Mapping[str, float]
    scores: Mapping[str, Mapping[str, Estimate]]
    families: Mapping[str, float]
    kinds: Mapping[str, float]
    entropy: float | None
    pass_at: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """The rows of two arms with the same bases and seeds, in the same order."""

    arm: str
    against: str
    second: Sequence[Row]
    first: Sequence[Row]

    @property
    def bases(self) -> list[str]:
        """The base of each pair of rows."""
        return [row.base for row in self.first]

    def of_base(self, base: str) -> Pair:
        """Those of one base."""
        return Pair(
            self.arm, self.against, *([row for row in rows if row.base == base] for rows in (self.second, self.first))
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better an arm is than another one, on the same problems, bases and seeds."""

    arm: str
    against: str
    split: str
    mode: str
    found: Estimate

    @property
    def verdict(self) -> Reading:
        """above or below: the interval leaves out 0. level: it lies within the margin. open: neither, or few cells."""
        if self.found.cells < FEWEST_CELLS:
            return "open"
        if self.found.low > 0:
            return "above"
        if self.found.high < 0:
            return "below"
        return "level" if self.found.low > -MARGIN and self.found.high < MARGIN else "open"


def shared_settings(rows: Sequence[Row]) -> tuple[str, ...]:
    """What the command line set in all rows alike."""
    return tuple(each for each in rows[0].settings if all(each in row.settings for row in rows))


def summaries(rows: Sequence[Row], arms: Mapping[str, Arm]) -> list[Summary]:
    """The arms in the order of `arms`, then those of the results that are not among them."""
    found: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        found.setdefault((row.arm, row.settings), []).append(row)
    places = {name: place for place, name in enumerate(arms)}
    keys = sorted(found, key=lambda key: (places.get(key[0], len(places)), key))
    shared = shared_settings(rows)
    return [_summary(found[key], arms.get(key[0]), shared) for key in keys]


def _summary(rows: Sequence[Row], arm: Arm | None, shared: Sequence[str]) -> Summary:
    name, suffix = rows[0].arm, _suffix(rows[0], shared)
    _belong_together(rows)
    splits = list(rows[0].raw["scores"])
    raw = [row.raw["scores"][splits[0]] for row in rows]
    entropies = [score["sampled"]["entropy"] for score in raw]
    return Summary(
        name + suffix,
        (arm.title if arm else name) + suffix,
        arm.group if arm else "",
        arm.line if arm else None,
        len(rows),
        _costs(rows),
        {split: {mode: _estimate(rows, split, mode) for mode in MODES} for split in splits},
        _means([score["greedy"]["families"] for score in raw]),
        _means([{kind: n / s["greedy"]["n"] for kind, n in s["greedy"]["kinds"].items()} for s in raw]),
        None if None in entropies else fmean(entropies),
        _pass_at(rows, splits[0]),
    )


def _belong_together(rows: Sequence[Row]) -> None:
    """InputError where rows of one arm's name are of two arms, or are scored on other problems."""
    first = rows[0]
    for row in rows:
        place = f"results of {row.arm}: base {row.base}, seed {row.seed}"
        there = f"base {first.base}, seed {first.seed}"
        if row.identity != first.identity:
            said = f"did something else than {there} ({row.identity}, {first.identity})"
            raise InputError(f"{place} {said}; delete the lines of what is out of date")
        splits = [", ".join(each.raw["scores"]) for each in (row, first)]
        if splits[0] != splits[1]:
            raise InputError(f"{place} is scored on {splits[0]}, {there} on {splits[1]}; keep them in different files")


def _suffix(row: Row, shared: Sequence[str]) -> str:
    """The settings that are not those of all."""
    own = [each for each in row.settings if each not in shared]
    return f" [{', '.join(own)}]" if own else ""


def _estimate(rows: Sequence[Row], split: str, mode: str) -> Estimate:
    _same_problems(rows, split)
    return estimate([row.rights(split, mode) for row in rows], [row.base for row in rows])


def _same_problems(rows: Sequence[Row], split: str) -> None:
    asked = {row.raw["scores"][split]["greedy"]["problems"]: row for row in rows}
    if len(asked) > 1:
        one, two = list(asked.values())[:2]
        raise InputError(
            f"results of {one.arm} ({one.base}, seed {one.seed}) and of {two.arm} ({two.base}, seed {two.seed}) are of "
            f"other {split} problems; they cannot be compared"
        )


def _costs(rows: Sequence[Row]) -> dict[str, float]:
    def mean(kind: str, *names: str) -> float:
        return fmean(sum(row.raw[kind].get(name, 0) for name in (names or row.raw[kind])) for row in rows)

    expert = {name: mean("expert", name) for name in ("calls", "traces", "taught", "tokens", "money")}
    computed = {kind: mean(kind) for kind in ("generated", "trained", "seconds")}
    return {f"expert_{name}": value for name, value in expert.items()} | computed


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in found for name in each)
    return {name: fmean(each.get(name, 0.0) for each in found) for name in names}


def _samples(rows: Sequence[Row], split: str) -> int:
    return min(int(row.raw["scores"][split]["sampled"]["samples"]) for row in rows)


def _pass_at(rows: Sequence[Row], split: str) -> dict[int, float]:
    """pass@k for powers of two, where every cell has several samples."""
    least = _samples(rows, split)
    powers = [1 << power for power in range(least.bit_length())] if least > 1 else []
    each = [(row.rights(split, "sampled"), _samples([row], split)) for row in rows]
    return {k: fmean(pass_at(rates, samples, k) for rates, samples in each) for k in powers}


def pairs(rows: Sequence[Row], arms: Mapping[str, Arm]) -> Iterator[Pair]:
    """Each arm with those that its file names, where both have cells of the same base, seed and settings."""
    shared = shared_settings(rows)
    for settings in dict.fromkeys(row.settings for row in rows):
        by_arm: dict[str, dict[tuple[str, int], Row]] = {}
        for row in rows:
            if row.settings == settings:
                by_arm.setdefault(row.arm, {})[row.cell] = row
        for arm in arms.values():
            for other in arm.against:
                name = _nearest(other, by_arm)
                mine, theirs = by_arm.get(arm.name, {}), by_arm.get(name, {})
                if both := sorted(mine.keys() & theirs.keys()):
                    label = arm.name + _suffix(mine[both[0]], shared)
                    yield Pair(label, name, [mine[cell] for cell in both], [theirs[cell] for cell in both])


def _nearest(name: str, there: Mapping[str, object]) -> str:
    """An arm of a sweep is compared with that of the same value, else with the one arm of that name."""
    return name if name in there else name.partition("@")[0]


def compared(pair: Pair) -> Iterator[Comparison]:
    """The difference in each split and mode that both are scored on."""
    rows = [*pair.first, *pair.second]
    for split in pair.first[0].raw["scores"]:
        if all(split in row.raw["scores"] for row in rows):
            yield from (comparison(pair, split, mode) for mode in MODES)


def comparison(pair: Pair, split: str, mode: str, families: Sequence[str] = ()) -> Comparison:
    """The difference in one split and mode, of all problems or of those of some families."""
    _same_problems([*pair.first, *pair.second], split)
    one, two = ([row.rights(split, mode, families) for row in rows] for rows in (pair.first, pair.second))
    return Comparison(pair.arm, pair.against, split, mode, difference(one, two, pair.bases))


def transitions(pair: Pair) -> dict[tuple[str, str], float]:
    """Shares of problems by what they are for the first arm and for the second, where both have several samples."""
    split = next(iter(pair.first[0].raw["scores"]))
    if min(_samples(pair.first, split), _samples(pair.second, split)) < 2:
        return {}
    found: Counter[tuple[str, str]] = Counter()
    for one, two in zip(pair.first, pair.second, strict=True):
        rates = zip(one.rights(split, "sampled"), two.rights(split, "sampled"), strict=True)
        found.update((_bucket(before), _bucket(after)) for before, after in rates)
    return {change: count / found.total() for change, count in found.items()}


def _bucket(rate: float) -> str:
    return "absent" if rate == 0 else "mastered" if rate == 1 else "inconsistent"


def needed(found: Sequence[Summary], mode: str) -> dict[str, list[float | None]]:
    """Expert traces that each line needs for the accuracies in `TARGETS`, between its points on a straight line.

    None where the line does not come so high.
    """
    lines: dict[str, list[tuple[float, float]]] = {}
    for one in found:
        if one.line is not None:
            score = next(iter(one.scores.values()))[mode]
            lines.setdefault(one.line, []).append((one.costs["expert_traces"], score.mean))
    return {line: [_crossing(sorted(points), target) for target in TARGETS] for line, points in lines.items()}


def _crossing(points: Sequence[tuple[float, float]], target: float) -> float | None:
    if points[0][1] >= target:
        return points[0][0]
    for (x, y), (later, higher) in pairwise(points):
        if y < target <= higher:
            return x + (target - y) / (higher - y) * (later - x)
    return None
