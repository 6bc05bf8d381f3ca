"""What processes of a team send each other comes out as it went in."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.stages.figures import Mean
from metis_rise.stages.passes import Completion, Sample, Sums
from metis_rise.stages.team.codec import (
    pack_groups,
    pack_requests,
    pack_samples,
    unpack_groups,
    unpack_requests,
    unpack_samples,
)
from metis_rise.stages.team.wire import Message
from metis_rise.types import AnswerType, Group, Problem, StopReason, Trajectory

PROBLEMS = (
    Problem(
        "p\u00e4", "How many \u2211?", "B", AnswerType.CHOICE, ("0" * 64,), ("1", "2"), "so", meta={"seed": [1, 2.5]}
    ),
    Problem("q", "And here?", "0.1", AnswerType.NUMBER),
)
FLOATS = st.floats(-50, 0, allow_subnormal=False)


def sent(message: Message) -> Message:
    """As another process gets it."""
    return Message.from_bytes(message.to_bytes())


@given(st.binary(max_size=64), st.lists(st.floats(width=32, allow_nan=False), max_size=5))
def test_a_message_is_its_values_and_tensors(name: bytes, numbers: list[float]) -> None:
    tensors = {"numbers": torch.tensor(numbers), "empty": torch.empty(0, 3, dtype=torch.int64)}
    found = sent(Message({"name": name.hex(), "nothing": None, "list": numbers}, tensors))
    assert found.values == {"name": name.hex(), "nothing": None, "list": numbers}
    assert all(found.tensors[key].equal(value) for key, value in tensors.items())
    assert sent(Message({"a": 1})) == Message({"a": 1})


@st.composite
def trajectories(draw: st.DrawFn, problem: str, sample: int) -> Trajectory:
    tokens = draw(st.lists(st.integers(0, 200_000), max_size=6))
    logprobs = draw(st.lists(FLOATS, min_size=len(tokens), max_size=len(tokens)))
    stop = draw(st.sampled_from(StopReason))
    return Trajectory(problem, sample, draw(st.text(max_size=5)), tuple(tokens), tuple(logprobs), stop, "rl", 3)


@given(st.data())
def test_sampled_groups(data: Any) -> None:
    groups = [
        Group(problem, tuple(data.draw(trajectories(problem.id, i)) for i in range(data.draw(st.integers(1, 3)))))
        for problem in PROBLEMS[: data.draw(st.integers(0, 2))]
    ]
    assert unpack_groups(sent(pack_groups(groups)), [group.problem for group in groups]) == groups


def test_requests() -> None:
    requests = [
        Request(PROBLEMS[0], 1, SamplingParams(0.0, max_tokens=7), 2**63 - 1),
        Request(PROBLEMS[1], 4, SamplingParams(0.7, 0.9, 20, 99, stop=("\n", "end")), 5),
    ]
    assert unpack_requests(sent(pack_requests(requests))) == requests


@given(st.lists(st.tuples(st.sampled_from(PROBLEMS), st.lists(FLOATS, min_size=1, max_size=5)), max_size=6))
def test_samples(given_: list[tuple[Problem, list[float]]]) -> None:
    samples = [
        Sample(Completion(p, torch.arange(len(row))), 0.1 * i, torch.tensor(row), -torch.tensor(row), i > 1, i == 1)
        for i, (p, row) in enumerate(given_)
    ]
    found = unpack_samples(sent(pack_samples(samples)))
    for one, other in zip(found, samples, strict=True):
        assert one.completion.problem == other.completion.problem
        assert one.completion.tokens.equal(other.completion.tokens)
        assert (one.advantage, one.own, one.compared) == (other.advantage, other.own, other.compared)
        assert one.old.equal(other.old) and one.sampler.equal(other.sampler)


def test_sums_of_parts_are_those_of_the_whole() -> None:
    def sums(*figures: tuple[float, float]) -> Sums:
        made = Sums(Mean())
        for value, weight in figures:
            made.figures.add({"loss": value}, weight)
            made.figures.most({"gap": value})
            made.counts["tokens"] += int(weight)
        return made

    total = Sums()
    for part in (sums((1.0, 3)), sums(), sums((5.0, 1), (2.0, 4))):
        total.add(Sums.from_json(sent(Message(part.to_json())).values))  # type: ignore[arg-type]
    assert total.figures.result() == {"loss": (3.0 + 5.0 + 8.0) / 8, "gap": 5.0}
    assert total.counts == {"tokens": 8}
