from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import tiny
import torch
from PIL import Image
from scripted_server import Act, Call, ScriptedServer

from metis_rise.engines.base import WeightsDiffer
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pictures import picture_parts
from metis_rise.engines.server.probe import compare, probe_completion
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy

# Needs to be made smaller and to a multiple of 28 pixels.
PICTURE = tiny.picture(3, 700, 450)


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture(scope="module")
def probe(policy: Policy) -> ProbeRow:
    prompt = policy.encode(tiny.message("How many dots?", 1), [PICTURE])
    return ProbeRow(prompt, (png(PICTURE),))


class Scorer:
    """A server that scores tokens with its own copy of the policy, as vLLM does: in an answer's form, not by vLLM.

    `change` may alter the log-probabilities of the completion's tokens, `cached` that of the last one, read otherwise.
    """

    def __init__(
        self,
        policy: Policy,
        probe: ProbeRow,
        change: Callable[[list[float]], list[float]] = lambda values: values,
        cached: float = 0.0,
    ) -> None:
        completion = probe_completion(policy)
        (values,) = row_logprobs(policy, [(probe.prompt, completion)], 1.0, 10_000)
        self.values = change(values.tolist())
        self.last = self.values[-1] + cached
        self.length = len(probe.prompt)
        self.expects = completion.tolist()

    def answer(self, call: Call) -> Act:
        asked, ids = call.body["sampling_params"], call.body["token_ids"]
        if "prompt_logprobs" in asked:
            assert ids[-len(self.expects) :] == self.expects
            steps = [{str(token): {"logprob": value}} for token, value in zip(self.expects, self.values, strict=True)]
            return Act({"prompt_logprobs": [None] * self.length + steps})
        assert ids[-len(self.expects) + 1 :] == self.expects[:-1]
        assert asked["logprob_token_ids"][0] == self.expects[-1]
        top = [{"token_id": 5, "logprob": -0.1}, {"token_id": self.expects[-1], "logprob": self.last}]
        return Act({"choices": [{"logprobs": {"content": [{"token_id": 5, "top_logprobs": top}]}}]})


def compared(policy: Policy, probe: ProbeRow, *scripts: Callable[[Call], Act]) -> float:
    servers = [ScriptedServer(script) for script in scripts]

    async def work() -> float:
        fleet = Fleet(ServerSettings(tuple(server.url for server in servers), timeout_s=20.0))
        try:
            return await compare(fleet, policy, probe)
        finally:
            await fleet.close()

    for server in servers:
        server.__enter__()
    try:
        return asyncio.run(work())
    finally:
        for server in servers:
            server.kill()


def test_servers_that_compute_what_the_policy_computes_pass(policy: Policy, probe: ProbeRow):
    well = Scorer(policy, probe, lambda values: [value + 4e-4 for value in values])
    assert compared(policy, probe, Scorer(policy, probe).answer, well.answer) == pytest.approx(4e-4, rel=0.01)


def test_one_token_of_one_server_that_differs_stops_the_run_with_both_numbers(policy: Policy, probe: ProbeRow):
    def change(values: list[float]) -> list[float]:
        return [*values[:9], values[9] - 0.002, *values[10:]]

    bad = Scorer(policy, probe, change)
    with pytest.raises(WeightsDiffer) as caught:
        compared(policy, probe, Scorer(policy, probe).answer, bad.answer)
    right = bad.values[9] + 0.002
    assert f"{bad.values[9]:.6g} there and {right:.6g} here" in str(caught.value)
    assert str(bad.expects[9]) in str(caught.value)


def test_a_value_that_is_no_number_stops_the_run(policy: Policy, probe: ProbeRow):
    bad = Scorer(policy, probe, lambda values: [*values[:-1], float("nan")])
    with pytest.raises(WeightsDiffer, match="nan there"):
        compared(policy, probe, bad.answer)


def test_what_comes_through_the_prefix_cache_is_compared_too(policy: Policy, probe: ProbeRow):
    with pytest.raises(WeightsDiffer):
        compared(policy, probe, Scorer(policy, probe, cached=0.01).answer)


def test_in_16_bit_rounding_passes_and_other_weights_do_not(
    policy: Policy, probe: ProbeRow, monkeypatch: pytest.MonkeyPatch
):
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)).tolist()

    def noisy(scale: float) -> Scorer:
        return Scorer(policy, probe, lambda values: [v + scale * n for v, n in zip(values, noise, strict=False)], 0.3)

    scorers = noisy(0.05), noisy(0.3)
    monkeypatch.setattr(Policy, "computes_in", torch.bfloat16)
    compared(policy, probe, scorers[0].answer)
    with pytest.raises(WeightsDiffer, match="in the mean"):
        compared(policy, probe, scorers[1].answer)


def test_a_server_that_reads_the_prompt_otherwise_is_named(policy: Policy, probe: ProbeRow):
    other = Scorer(policy, probe)
    other.length += 3
    with pytest.raises(WeightsDiffer, match=r"resizes pictures"):
        compared(policy, probe, other.answer)


@pytest.mark.parametrize("reply", [{}, {"prompt_logprobs": None, "choices": []}, [1]])
def test_replies_of_another_form_are_a_fault_of_the_server(policy: Policy, probe: ProbeRow, reply: Any):
    with pytest.raises(RequestFailed, match="JSON without"):
        compared(policy, probe, lambda call: Act(reply))


def test_the_completion_is_fixed_and_holds_nothing_that_no_completion_may_hold(policy: Policy):
    completion = probe_completion(policy)
    assert torch.equal(completion, probe_completion(policy))
    assert not set(completion.tolist()) & {*policy.banned_ids, *policy.eos_ids}
    assert len(set(completion.tolist())) > 16


def test_pictures_are_sent_in_the_size_and_with_the_pixels_that_the_policy_sees(policy: Policy):
    fitting = tiny.picture(4, 112, 140)
    pictures = [PICTURE, fitting]
    prompt = policy.encode(tiny.message("Compare.", 2), pictures)
    parts = picture_parts(policy, prompt, [png(picture) for picture in pictures])
    sent = [base64.b64decode(part["url"].removeprefix("data:image/png;base64,")) for part in parts]
    assert sent[1] == png(fitting)
    assert sent[0] != png(PICTURE)
    again = policy.encode(tiny.message("Compare.", 2), [Image.open(BytesIO(each)) for each in sent])
    assert again.pixel_values is not None and prompt.pixel_values is not None
    assert torch.equal(again.pixel_values, prompt.pixel_values)
