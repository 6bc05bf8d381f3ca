"""The problems whose trajectories a page shows: chosen by a rule that anybody can repeat, not by hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from metis_rise.report.data import ARMS, RunData
from metis_rise.report.movement import bucket_of
from metis_rise.types import Problem

MOST_PROBLEMS = 320
SAME_RIGHT, SAME_WRONG, LOST = "right throughout", "wrong throughout", "lost"
_STEPS = {"base": SAME_RIGHT, "rl": "gained by RL", "rise": "gained by SFT"}


def change(right: Mapping[str, bool]) -> str:
    """What became of a test problem, given whether the greedy answer of each arm is right; "" with fewer than two.

    Gained by the step from which on all arms are right; lost where the last arm is wrong and an earlier one is not.
    """
    arms = [arm for arm in ARMS if arm in right]
    if len(arms) < 2:
        return ""
    if not right[arms[-1]]:
        return LOST if any(right.values()) else SAME_WRONG
    since = arms[-1]
    for arm in reversed(arms):
        if not right[arm]:
            break
        since = arm
    return SAME_RIGHT if since == arms[0] else _STEPS[since]


def changes(run: RunData, right: Mapping[str, Mapping[str, Sequence[bool]]]) -> dict[str, str]:
    """`change` of every test problem that all arms answered, by `right[arm][problem id]`, the greedy answer first."""
    common = set.intersection(*(set(answers) for answers in right.values())) if right else set()
    return {key: change({arm: right[arm][key][0] for arm in right}) for key in run.problems["test"] if key in common}


def buckets(run: RunData) -> dict[str, str]:
    """The bucket of every train problem, as the last diagnosis left it."""
    found: dict[str, str] = {}
    for stages in (run.stages, *run.later_rounds):
        rates = (stages["2-diagnose"].result or {}).get("solve_rates", {})
        found |= {key: bucket_of(rate, run.thresholds).value for key, rate in rates.items()}
    return found


def chosen(run: RunData, met: Iterable[str], changed: Mapping[str, str], bucket: Mapping[str, str]) -> list[Problem]:
    """At most `MOST_PROBLEMS` problems with answers, those first that are to be shown if there is not room for all.

    In turns a test problem on which the arms differ, a train problem, and another test problem; each time of another
    family, and of a family each time one of which something else became (its change, or its bucket). Which of those
    comes first is drawn by its id.
    """
    same = (SAME_RIGHT, SAME_WRONG, "")
    test, train = run.problems["test"], run.problems["train"]
    lists = [
        _in_turns([(test[key], what) for key, what in changed.items() if what not in same]),
        _in_turns([(train[key], bucket.get(key, "")) for key in {**dict.fromkeys(met), **bucket} if key in train]),
        _in_turns([(test[key], what) for key, what in changed.items() if what in same]),
    ]
    return _alternate(lists)[:MOST_PROBLEMS]


def _in_turns(problems: Iterable[tuple[Problem, str]]) -> list[Problem]:
    families: defaultdict[str, defaultdict[str, list[Problem]]] = defaultdict(lambda: defaultdict(list))
    for problem, what in problems:
        families[problem.family][what].append(problem)
    return _alternate([_of_family(families[name], turn) for turn, name in enumerate(sorted(families))])


def _of_family(kinds: Mapping[str, list[Problem]], turn: int) -> list[Problem]:
    """Those of a family in turns from each kind; families begin with different kinds, by their `turn`."""
    names = sorted(kinds)
    first = turn % len(names)
    return _alternate([sorted(kinds[name], key=_draw) for name in (*names[first:], *names[:first])])


def _draw(problem: Problem) -> tuple[int, str]:
    return crc32(problem.id.encode("utf-8", "replace")), problem.id


def _alternate(lists: Sequence[Sequence[Problem]]) -> list[Problem]:
    """The first of each list, then the second of each, and so on."""
    longest = max(map(len, lists), default=0)
    return [each[turn] for turn in range(longest) for each in lists if turn < len(each)]
