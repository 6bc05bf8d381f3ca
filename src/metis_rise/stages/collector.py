"""Online filtering with refill: a step is filled with groups that can teach (DAPO's dynamic sampling).

Groups that are all right or all wrong have no advantage; they are dropped by the mean of their *accuracy*, not
of their reward, since format alone must not decide what is trained on.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.prompt_stream import PromptStream
from metis_rise.types import Group, Problem, Trajectory

# A refill asks for more than is missing, by the share kept so far, but by no more than this factor.
_MOST_PER_MISSING = 3

_DROPPED = {0.0: "group all wrong", 1.0: "group all right"}

LogProbsPerToken = tuple[tuple[float, ...], ...]
Sampler = Callable[[Sequence[Problem], int, int], Iterable[Group]]
Scorer = Callable[[Group, bool], LogProbsPerToken]


@dataclass(frozen=True, slots=True)
class KeptGroup:
    """A group to train on, the step that it was sampled for, and the log-probabilities that its ratios start from."""

    group: Group
    step: int
    old_logprobs: LogProbsPerToken

    def lag(self, version: int) -> int:
        """Updates between the weights that sampled it (the oldest of them) and those of `version`."""
        return version - min(t.weights_version for t in self.group.trajectories)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that keeps every log-probability exactly."""
        return {
            "problem": self.group.problem.to_json(),
            "trajectories": [t.to_json(digits=None) for t in self.group.trajectories],
            "step": self.step,
            "old_logprobs": [list(row) for row in self.old_logprobs],
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> KeptGroup:
        """What `to_json` wrote."""
        trajectories = tuple(Trajectory.from_json(t) for t in row["trajectories"])
        group = Group(Problem.from_json(row["problem"]), trajectories)
        return cls(group, row["step"], tuple(tuple(values) for values in row["old_logprobs"]))


@dataclass(slots=True)
class Collected:
    """One step's groups: `kept` to train on, `sampled` all that were drawn for it (`passed` the filter).

    `dropped` counts groups by the reason for which they will never be trained on; those that the sampler gave up are
    there and not in `sampled`, since nobody knows what they are worth. `seconds` is how long it took to draw them.
    """

    kept: list[KeptGroup] = field(default_factory=list)
    sampled: list[Group] = field(default_factory=list)
    carried: int = 0
    rounds: int = 0
    passed: int = 0
    seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def filter_rate(self) -> float:
        """Share of the sampled groups that the filter dropped; 0 when none was sampled."""
        return 1 - self.passed / len(self.sampled) if self.sampled else 0.0

    def drop_stale(self, version: int, allowed: Callable[[KeptGroup], int]) -> None:
        """Drops groups to train on that lag more updates behind `version` than allowed."""
        fresh = [kept for kept in self.kept if kept.lag(version) <= allowed(kept)]
        self.dropped["weights too old"] += len(self.kept) - len(fresh)
        self.kept = fresh

    def leave_out(self, problems: Collection[str]) -> None:
        """Drops groups that were to be trained on and did not fit into memory, by their problems."""
        fitting = [kept for kept in self.kept if kept.group.problem.id not in problems]
        self.dropped["too large for memory"] += len(self.kept) - len(fitting)
        self.kept = fitting


class Collector:
    """Draws problems, filters their groups, refills, and carries the surplus over to later steps."""

    def __init__(self, config: RLConfig, stream: PromptStream, sample: Sampler, score: Scorer) -> None:
        """A collector of one run.

        Args:
            config: the recipe's part.
            stream: which problem comes next.
            sample: (problems, step, round) -> judged groups.
            score: (group, whether it is trained on in this very step) -> the log-probabilities its ratios start from.
        """
        self._config, self._stream, self._sample, self._score = config, stream, sample, score
        self._surplus: list[KeptGroup] = []

    def collect(self, step: int) -> Collected:
        """Up to `prompts_per_step` groups; fewer when the refill rounds are used up, never unfiltered ones."""
        began, config, wanted = time.monotonic(), self._config, self._config.prompts_per_step
        fresh_enough = [kept for kept in self._surplus if step - kept.step <= config.carry_steps]
        result = Collected(kept=fresh_enough[:wanted], carried=min(len(fresh_enough), wanted))
        result.dropped["surplus grown old"] = len(self._surplus) - len(fresh_enough)
        self._surplus = fresh_enough[wanted:]
        while len(result.kept) < wanted and result.rounds <= config.refill_rounds:
            for group in self._sample(self._stream.take(self._ask(result)), step, result.rounds):
                self._sort(group, step, result)
            result.rounds += 1
        result.seconds = time.monotonic() - began
        return result

    def coming(self) -> list[Problem]:
        """Problems that the next step will probably begin with."""
        return self._stream.coming(max(0, self._config.prompts_per_step - len(self._surplus)))

    def _ask(self, result: Collected) -> int:
        missing = self._config.prompts_per_step - len(result.kept)
        if result.rounds == 0:
            return missing
        factor = min(_MOST_PER_MISSING, 1 / max(1 - result.filter_rate, 1e-9))
        return min(self._config.prompts_per_step, math.ceil(missing * factor))

    def _sort(self, group: Group, step: int, result: Collected) -> None:
        if group.aborted:
            result.dropped["given up by the sampler"] += 1
            return
        result.sampled.append(group)
        self._stream.note(group.problem, group.solve_rate)
        if not self._teaches(group.solve_rate):
            result.dropped[_DROPPED.get(group.solve_rate, "outside the accuracy band")] += 1
            return
        result.passed += 1
        now = len(result.kept) < self._config.prompts_per_step
        if now or self._config.carry_steps > 0:
            (result.kept if now else self._surplus).append(KeptGroup(group, step, self._score(group, now)))
        else:
            result.dropped["surplus not carried"] += 1

    @property
    def waiting(self) -> int:
        """Surplus groups that no step has trained on yet."""
        return len(self._surplus)

    def _teaches(self, accuracy: float) -> bool:
        low, high = self._config.filter_low, self._config.filter_high
        return low < accuracy < high if self._config.filter_bounds == "open" else low <= accuracy <= high

    def state_dict(self) -> dict[str, Any]:
        """The prompt stream and the carried groups, plain JSON."""
        return {"stream": self._stream.state_dict(), "surplus": [kept.to_json() for kept in self._surplus]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict`."""
        self._stream.load_state_dict(state["stream"])
        self._surplus = [KeptGroup.from_json(row) for row in state["surplus"]]
