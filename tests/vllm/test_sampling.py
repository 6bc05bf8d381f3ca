"""Sampling parameters at a real server, against the native engine where both must give the same."""

from __future__ import annotations

import pytest
from setting import Connect, World
from vllm_server import Server

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.policy.model import Policy
from metis_rise.types import StopReason, Trajectory

pytestmark = pytest.mark.vllm
GREEDY = SamplingParams(temperature=0.0, max_tokens=160)


@pytest.fixture
def engine(base: Server, policy: Policy, connect: Connect) -> ServerEngine:
    return connect(policy, base.url)


def sampled(
    engine: ServerEngine | NativeEngine, world: World, params: SamplingParams, n: int = 1, seed: int = 0
) -> dict[str, tuple[Trajectory, ...]]:
    requests = [Request(problem, n, params, seed) for problem in world.problems[:12]]
    return {group.problem.id: group.trajectories for group in engine.sample(requests)}


def essence(groups: dict[str, tuple[Trajectory, ...]]) -> dict[str, list[tuple[object, ...]]]:
    return {name: [(t.sample, t.tokens, t.text, t.stop) for t in ts] for name, ts in groups.items()}


@pytest.mark.parametrize(
    "params",
    [
        GREEDY,
        SamplingParams(temperature=0.0, max_tokens=12),
        SamplingParams(temperature=0.0, max_tokens=160, stop=("</think>", "never said")),
        SamplingParams(temperature=0.0, max_tokens=160, stop=("wer>\\box",)),
    ],
    ids=["to the end", "cut", "stop string", "stop string across tokens"],
)
def test_greedy_completions_are_those_of_the_native_engine(
    engine: ServerEngine, policy: Policy, world: World, params: SamplingParams
):
    native = sampled(NativeEngine(policy, world.encoder(policy)), world, params)
    assert essence(sampled(engine, world, params)) == essence(native)


def test_the_cases_above_end_in_every_way(engine: ServerEngine, world: World):
    def ends(params: SamplingParams) -> set[StopReason]:
        return {t.stop for ts in sampled(engine, world, params).values() for t in ts}

    assert StopReason.EOS in ends(GREEDY)
    assert StopReason.LENGTH in ends(SamplingParams(temperature=0.0, max_tokens=12))
    assert StopReason.STOP in ends(SamplingParams(temperature=0.0, max_tokens=160, stop=("</think>",)))


@pytest.mark.parametrize(
    "params",
    [SamplingParams(top_k=1, max_tokens=40), SamplingParams(top_p=1e-6, max_tokens=40)],
    ids=["top-k", "top-p"],
)
def test_of_one_token_that_is_left_the_greedy_one_is_drawn(engine: ServerEngine, world: World, params: SamplingParams):
    greedy = sampled(engine, world, SamplingParams(temperature=0.0, max_tokens=40))
    drawn = sampled(engine, world, params, n=2)
    assert all([t.tokens for t in drawn[name]] == [greedy[name][0].tokens] * 2 for name in greedy)


def test_a_seed_repeats_its_completions_and_another_gives_others(engine: ServerEngine, world: World):
    params = SamplingParams(max_tokens=32)
    first = essence(sampled(engine, world, params, n=3, seed=5))
    assert essence(sampled(engine, world, params, n=3, seed=5)) == first
    assert essence(sampled(engine, world, params, n=3, seed=6)) != first
    assert any(len({tokens for _, tokens, _, _ in group}) > 1 for group in first.values())
