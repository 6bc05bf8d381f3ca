"""What a real server computes with the weights that are pushed to it, against what the trainer computes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
import torch
from setting import Connect, World
from vllm_server import Server

from metis_rise.engines.base import Request, SamplingParams, WeightsDiffer
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.probe import compare
from metis_rise.engines.server.push import renew
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt

pytestmark = pytest.mark.vllm
# 1e-5 is usual.
CLOSE = 1e-3


def change(policy: Policy, scale: float, *parts: str) -> None:
    """Moves the weights whose names hold one of `parts` (all without) by `scale` of their size, as training would."""
    torch.manual_seed(policy.version)
    with torch.no_grad():
        for name, weight in policy.model.named_parameters():
            if not parts or any(part in name for part in parts):
                weight += scale * weight.abs().mean() * torch.randn_like(weight)
    policy.version += 1


def banned_share(policy: Policy, prompt: Prompt, tokens: Sequence[int], temperature: float) -> torch.Tensor:
    """Probability [C] that each token of a completion had to be one of the banned ids."""
    prompt_ids = prompt.input_ids.tolist()
    kinds = torch.cat([prompt.mm_token_type_ids, torch.zeros(len(tokens), dtype=torch.long)])
    with torch.no_grad():
        output = policy.model(
            input_ids=torch.tensor([[*prompt_ids, *tokens]]),
            mm_token_type_ids=kinds[None],
            pixel_values=prompt.pixel_values,
            image_grid_thw=prompt.image_grid_thw,
        )
    predicting = output.logits[0, len(prompt_ids) - 1 : -1] / temperature
    return predicting.softmax(-1)[:, list(policy.banned_ids)].sum(-1)


def largest_gap(connected: Connect, policy: Policy, world: World, server: Server, temperature: float) -> float:
    """Largest difference of the log-probabilities that sampler and trainer see in sampled tokens.

    The server's are those of a distribution without the banned ids, the trainer's of the whole vocabulary.
    """
    engine = connected(policy, server.url)
    params = SamplingParams(temperature, max_tokens=48)
    requests = [Request(problem, 3, params, seed=i) for i, problem in enumerate(world.problems[:6])]
    encode, worst = world.encoder(policy), 0.0
    for group in engine.sample(requests):
        prompt = encode(group.problem)
        rows = [(prompt, torch.tensor(t.tokens)) for t in group.trajectories]
        for t, ours in zip(group.trajectories, row_logprobs(policy, rows, temperature, 4096), strict=True):
            assert t.weights_version == policy.version
            theirs = torch.tensor(t.logprobs) + torch.log1p(-banned_share(policy, prompt, t.tokens, temperature))
            worst = max(worst, float((theirs - ours).abs().max()))
    return worst


def test_sampler_and_trainer_agree_before_and_after_pushes(
    base: Server, policy: Policy, world: World, connect: Connect
):
    assert largest_gap(connect, policy, world, base, 1.0) < CLOSE
    change(policy, 0.05)
    assert largest_gap(connect, policy, world, base, 1.0) < CLOSE
    change(policy, 0.05, "visual")
    assert largest_gap(connect, policy, world, base, 0.7) < CLOSE


def test_a_push_says_how_far_apart_they_are(base: Server, policy: Policy, connect: Connect):
    change(policy, 0.05)
    figures = connect(policy, base.url).push()
    assert 0 < figures["probe_difference"] < 1e-4
    assert httpx2.get(f"{base.url}/weight_info").json() == {"weight_version": str(policy.version)}
    assert httpx2.get(f"{base.url}/is_paused").json() == {"is_paused": False}


class Direct:
    """A fleet of one server and a probe, for pushes that go wrong."""

    def __init__(self, server: Server, policy: Policy, world: World) -> None:
        self.server, self.policy = server, policy
        problem = world.probe()
        pictures = tuple(plain_png(world.picture(key)) for key in problem.images)
        self.probe = ProbeRow(world.encoder(policy)(problem), pictures)

    def skipped(self) -> None:
        """A push that does everything but load the weights."""

        async def load() -> None: ...

        asyncio.run(self._with_fleet(lambda fleet: renew(fleet, self.policy, self.probe, load)))

    def without_clearing(self, folder: Path) -> None:
        """Weights are loaded; keys and values that the server has kept of prompts stay, and the two are compared."""
        self.policy.save(folder)

        async def work(fleet: Fleet) -> None:
            arguments = {"weights_path": str(folder)}
            await fleet.post_each("/collective_rpc", {"method": "reload_weights", "kwargs": arguments})
            for cache in ("/reset_mm_cache", "/reset_encoder_cache"):
                await fleet.post_each(cache)
            await compare(fleet, self.policy, self.probe)

        asyncio.run(self._with_fleet(work))

    async def _with_fleet(self, work: object) -> None:
        fleet = Fleet(ServerSettings((self.server.url,)))
        try:
            await work(fleet)  # type: ignore[operator]
        finally:
            await fleet.close()


def test_a_skipped_push_stops_the_run_with_both_numbers(base: Server, policy: Policy, world: World, connect: Connect):
    connect(policy, base.url).push()
    change(policy, 0.02)
    with pytest.raises(WeightsDiffer, match=r"is -[\d.]+ there and -[\d.]+ here"):
        Direct(base, policy, world).skipped()
    assert httpx2.get(f"{base.url}/is_paused").json() == {"is_paused": False}


def test_a_prefix_cache_of_old_weights_is_noticed(
    base: Server, policy: Policy, world: World, connect: Connect, tmp_path: Path
):
    connect(policy, base.url).push()
    change(policy, 0.05)
    with pytest.raises(WeightsDiffer):
        Direct(base, policy, world).without_clearing(tmp_path / "new")
    connect(policy, base.url).push()


def test_a_head_that_stays_old_is_noticed(tied: Server, tied_policy: Policy, connect: Connect):
    """vLLM's CPU backend keeps a copy of a head that is tied to the embeddings, and no reload renews it."""
    engine = connect(tied_policy, tied.url)
    engine.push()
    change(tied_policy, 0.05, "layers")
    engine.push()
    change(tied_policy, 0.3, "embed_tokens")
    with pytest.raises(WeightsDiffer):
        engine.push()
