"""A batch over two real servers of which one dies."""

from __future__ import annotations

import pytest
from setting import Connect, World
from vllm_server import Server

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.policy.model import Policy
from metis_rise.types import StopReason

pytestmark = pytest.mark.vllm


def test_a_server_killed_in_mid_batch_loses_no_request_when_another_stands(
    base: Server, tied: Server, twin_policy: Policy, world: World, connect: Connect
):
    said: list[str] = []
    engine = connect(twin_policy, base.url, tied.url, warn=said.append, concurrency=4)
    engine.push()
    params = SamplingParams(max_tokens=200)
    requests = [Request(problem, 4, params, seed) for seed in (1, 2) for problem in world.problems]
    groups = []
    for group in engine.sample(requests):
        if not groups:
            tied.kill()
        groups.append(group)
    wanted = sorted(request.problem.id for request in requests)
    assert sorted(group.problem.id for group in groups) == wanted
    for group in groups:
        assert [t.sample for t in group.trajectories] == [0, 1, 2, 3]
        assert all(t.tokens and t.stop is not StopReason.ABORT for t in group.trajectories)
    assert len(said) == 1 and tied.url in said[0]
    # The next push goes to the one that is left.
    twin_policy.version += 1
    assert engine.push()["probe_difference"] < 1e-3
