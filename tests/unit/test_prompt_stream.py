"""The order of problems in RL."""

from __future__ import annotations

import json

from metis_rise.stages.prompt_stream import PromptStream
from metis_rise.types import AnswerType, Problem

PROBLEMS = [Problem(f"p{i}", f"question {i}", "1", AnswerType.NUMBER) for i in range(10)]


def ids(problems: list[Problem]) -> list[str]:
    return [problem.id for problem in problems]


def test_an_epoch_shows_every_problem_once():
    stream = PromptStream(PROBLEMS, seed=1, revisit=1.0)
    seen = [*ids(stream.take(4)), *ids(stream.take(4)), *ids(stream.take(2))]
    assert sorted(seen) == sorted(ids(PROBLEMS))


def test_epochs_and_seeds_are_shuffled_differently():
    stream = PromptStream(PROBLEMS, seed=1, revisit=1.0)
    assert ids(stream.take(10)) != ids(stream.take(10))
    assert ids(PromptStream(PROBLEMS, 1, 1.0).take(10)) != ids(PromptStream(PROBLEMS, 2, 1.0).take(10))


def test_no_problem_twice_in_one_take_and_never_more_than_there_are():
    stream = PromptStream(PROBLEMS, seed=1, revisit=1.0)
    stream.take(7)
    assert len(set(ids(stream.take(10)))) == 10
    assert len(stream.take(50)) == 10


def test_settled_problems_come_back_by_chance_only():
    stream = PromptStream(PROBLEMS, seed=1, revisit=0.25)
    for problem in PROBLEMS[:5]:
        stream.note(problem, 1.0)
    drawn = [name for _ in range(200) for name in ids(stream.take(2))]
    settled = sum(drawn.count(p.id) for p in PROBLEMS[:5]) / 5
    open_ones = sum(drawn.count(p.id) for p in PROBLEMS[5:]) / 5
    assert 0.15 < settled / open_ones < 0.35


def test_a_settled_problem_that_is_solved_sometimes_again_is_open():
    stream = PromptStream(PROBLEMS[:2], seed=1, revisit=0.0)
    stream.note(PROBLEMS[0], 0.0)
    assert {name for _ in range(5) for name in ids(stream.take(1))} == {"p1"}
    stream.note(PROBLEMS[0], 0.5)
    assert {name for _ in range(8) for name in ids(stream.take(1))} == {"p0", "p1"}


def test_it_never_hangs_when_everything_is_settled():
    stream = PromptStream(PROBLEMS, seed=1, revisit=0.0)
    for problem in PROBLEMS:
        stream.note(problem, 1.0)
    assert len(stream.take(4)) == 4
    assert PromptStream(PROBLEMS[:1], 1, 0.0).take(1) == PROBLEMS[:1]


def test_it_goes_on_exactly_from_its_state():
    stream = PromptStream(PROBLEMS, seed=3, revisit=0.5)
    stream.take(13 % 10)
    stream.note(PROBLEMS[0], 0.0)
    state = json.loads(json.dumps(stream.state_dict()))
    rest = [ids(stream.take(3)) for _ in range(20)]
    other = PromptStream(PROBLEMS, seed=3, revisit=0.5)
    other.load_state_dict(state)
    assert [ids(other.take(3)) for _ in range(20)] == rest
