"""What the journal keeps of RL's rollouts: every text, and of a few the tokens."""

from __future__ import annotations

from metis_rise.stages.rollouts import WITH_TOKENS, rollout_rows
from metis_rise.types import AnswerType, Group, Problem, Trajectory


def test_the_first_of_the_first_groups_keep_their_tokens_and_all_keep_their_text():
    problems = [Problem(f"p{n}", "q", "1", AnswerType.NUMBER) for n in range(WITH_TOKENS + 3)]
    groups = [
        Group(problem, tuple(Trajectory(problem.id, k, f"text {k}", (5, 6), (-0.12345, -1.0)) for k in range(4)))
        for problem in problems
    ]
    rows = rollout_rows(groups)
    assert [(row["problem_id"], row["sample"], row["text"]) for row in rows] == [
        (problem.id, k, f"text {k}") for problem in problems for k in range(4)
    ]
    told = [row for row in rows if row["tokens"]]
    assert [(row["problem_id"], row["sample"]) for row in told] == [(p.id, 0) for p in problems[:WITH_TOKENS]]
    assert all(row["tokens"] == [5, 6] and row["logprobs"] == [-0.123, -1.0] for row in told)
    assert all(not row["logprobs"] for row in rows if not row["tokens"])
    assert [Trajectory.from_json(row).text for row in rows] == [row["text"] for row in rows]
