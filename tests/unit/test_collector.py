"""Online filtering, refill and carry-over, with a sampler whose accuracies are written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from metis_rise.recipe import RLConfig
from metis_rise.stages.collector import Collected, Collector, KeptGroup
from metis_rise.stages.prompt_stream import PromptStream
from metis_rise.types import AnswerType, Group, Problem, StopReason, Trajectory, Verdict


def group(problem: Problem, accuracy: float, size: int = 4) -> Group:
    right = round(accuracy * size)
    verdicts = [Verdict(i < right, True, "1", "box") for i in range(size)]
    trajectories = [
        Trajectory(problem.id, i, "t", (1, 2), (-0.1234567890123, -0.5), verdict=v) for i, v in enumerate(verdicts)
    ]
    return Group(problem, tuple(trajectories))


def logprobs(group: Group, now: bool) -> tuple[tuple[float, ...], ...]:
    return tuple(t.logprobs for t in group.trajectories)


class World:
    """Problems p0, p1, ... with fixed accuracies; remembers what was asked."""

    def __init__(self, accuracies: Sequence[float], **config: object) -> None:
        self.problems = [Problem(f"p{i}", f"q{i}", "1", AnswerType.NUMBER) for i in range(len(accuracies))]
        self.accuracy = dict(zip((p.id for p in self.problems), accuracies, strict=True))
        self.asked: list[list[str]] = []
        self.config = RLConfig(**{"prompts_per_step": 4, "refill_rounds": 2, "revisit": 1.0, **config})
        self.collector = self.make()

    def make(self) -> Collector:
        stream = PromptStream(self.problems, seed=0, revisit=self.config.revisit)
        return Collector(self.config, stream, self.sample, logprobs)

    def sample(self, problems: Sequence[Problem], step: int, turn: int) -> list[Group]:
        self.asked.append([p.id for p in problems])
        return [group(p, self.accuracy[p.id]) for p in problems]


def test_groups_all_right_or_all_wrong_are_dropped():
    world = World([0.0, 1.0, 0.5, 0.25], refill_rounds=0)
    collected = world.collector.collect(0)
    assert {kept.group.solve_rate for kept in collected.kept} == {0.5, 0.25}
    assert collected.filter_rate == 0.5
    assert +collected.dropped == {"group all wrong": 1, "group all right": 1}


def test_a_step_is_refilled_until_it_is_full():
    world = World([0.5] * 8 + [0.0] * 8)
    collected = world.collector.collect(0)
    assert len(collected.kept) == 4
    assert collected.rounds == len(world.asked) <= 3


def test_refill_stops_after_its_rounds_with_a_smaller_step_and_never_with_junk():
    world = World([0.5] + [0.0] * 40, refill_rounds=2)
    collected = world.collector.collect(0)
    assert len(world.asked) == 3
    assert len(collected.kept) <= 1
    assert all(0 < kept.group.solve_rate < 1 for kept in collected.kept)


def test_no_group_at_all_gives_an_empty_step():
    collected = World([0.0] * 10).collector.collect(0)
    assert collected.kept == []
    assert collected.filter_rate == 1.0


def test_surplus_is_trained_on_in_the_next_step_before_new_sampling():
    world = World([0.5] * 12, prompts_per_step=4)
    collector = world.collector
    collector._surplus = [KeptGroup(group(p, 0.5), 0, ((-0.1, -0.5),) * 4) for p in world.problems[:3]]
    collected = collector.collect(1)
    assert collected.carried == 3
    assert [kept.group.problem.id for kept in collected.kept[:3]] == ["p0", "p1", "p2"]
    assert len(world.asked[0]) == 1


def test_surplus_too_old_is_thrown_away():
    world = World([0.5] * 12, carry_steps=1)
    world.collector._surplus = [KeptGroup(group(p, 0.5), 0, ((-0.1, -0.5),) * 4) for p in world.problems[:3]]
    collected = world.collector.collect(2)
    assert collected.carried == 0
    assert collected.dropped["surplus grown old"] == 3
    assert all(kept.step == 2 for kept in collected.kept)


def test_a_refill_round_that_finds_more_than_is_missing_carries_the_rest():
    world = World([0.0] * 3 + [0.5] * 30, prompts_per_step=4, revisit=1.0)
    world.problems.sort(key=lambda p: world.accuracy[p.id])
    stream = PromptStream(world.problems, 0, 1.0)
    stream._order = list(range(len(world.problems)))
    collector = Collector(world.config, stream, world.sample, logprobs)
    first = collector.collect(0)
    assert len(first.kept) == 4
    second = collector.collect(1)
    assert second.carried == len(world.asked[0]) + len(world.asked[1]) - 3 - 4 > 0


def test_closed_bounds_are_the_mm_eureka_filter():
    accuracies = [0.0, 0.25, 0.75, 1.0]
    world = World(accuracies, refill_rounds=0, filter_low=0.25, filter_high=0.75, filter_bounds="closed")
    collected = world.collector.collect(0)
    assert {k.group.solve_rate for k in collected.kept} == {0.25, 0.75}
    world = World(accuracies, refill_rounds=0, filter_low=0.25, filter_high=0.75, filter_bounds="open")
    assert world.collector.collect(0).kept == []


def test_state_keeps_log_probabilities_exactly():
    world = World([0.5] * 12)
    kept = KeptGroup(group(world.problems[0], 0.5), 3, ((-0.1234567890123, -0.5),) * 4)
    world.collector._surplus = [kept]
    state = json.loads(json.dumps(world.collector.state_dict()))
    other = world.make()
    other.load_state_dict(state)
    assert other._surplus == [kept]


@pytest.mark.parametrize("carry_steps", [0, 1])
def test_without_carrying_the_surplus_is_dropped(carry_steps: int):
    world = World([0.0] * 3 + [0.5] * 30, carry_steps=carry_steps)
    stream = PromptStream(world.problems, 0, 1.0)
    stream._order = list(range(len(world.problems)))
    collector = Collector(world.config, stream, world.sample, logprobs)
    collector.collect(0)
    assert bool(collector._surplus) == bool(carry_steps)


def test_the_scorer_is_told_whether_a_group_is_trained_on_now():
    world = World([0.5] * 12, prompts_per_step=4, refill_rounds=0)
    told: dict[str, bool] = {}

    def score(group: Group, now: bool) -> tuple[tuple[float, ...], ...]:
        told[group.problem.id] = now
        return logprobs(group, now)

    # More groups than are asked for: the rest is surplus.
    collector = Collector(
        world.config,
        PromptStream(world.problems, seed=0, revisit=0),
        lambda problems, step, turn: world.sample(world.problems[:7], step, turn),
        score,
    )
    kept = {kept.group.problem.id for kept in collector.collect(0).kept}
    assert len(told) == 7 and {name for name, now in told.items() if now} == kept and len(kept) == 4


def test_what_the_sampler_gave_up_is_dropped_and_counts_as_nothing_else():
    """Neither as wrong, nor as sampled, nor as what the problem's next draw depends on."""
    world = World([0.5] * 4, refill_rounds=0)
    noted: list[str] = []
    stream = PromptStream(world.problems, seed=0, revisit=1.0)
    stream.note = lambda problem, accuracy: noted.append(problem.id)  # type: ignore[method-assign]

    def sample(problems: Sequence[Problem], step: int, turn: int) -> list[Group]:
        whole, *rest = world.sample(problems, step, turn)
        return [whole, *(Group(g.problem, (replace(g.trajectories[0], stop=StopReason.ABORT),)) for g in rest)]

    collected = Collector(world.config, stream, sample, logprobs).collect(0)
    assert len(collected.kept) == len(collected.sampled) == len(noted) == 1
    assert collected.filter_rate == 0
    assert +collected.dropped == {"given up by the sampler": 3}


def test_groups_that_lag_too_far_behind_are_dropped():
    versions = {"p0": (5, 5), "p1": (5, 3), "p2": (4, 4), "p3": (2, 5)}
    kept = []
    for name, pair in versions.items():
        whole = group(Problem(name, "q", "1", AnswerType.NUMBER), 0.5, size=2)
        sampled = tuple(replace(t, weights_version=v) for t, v in zip(whole.trajectories, pair, strict=True))
        kept.append(KeptGroup(Group(whole.problem, sampled), 7 if name == "p1" else 8, ()))
    assert [one.lag(5) for one in kept] == [0, 2, 1, 3]
    collected = Collected(kept=kept)
    collected.drop_stale(5, lambda one: 2 if one.step == 7 else 0)
    assert [one.group.problem.id for one in collected.kept] == ["p0", "p1"]
    assert collected.dropped == {"weights too old": 2}
