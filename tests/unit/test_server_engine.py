from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tiny
from fake_vllm import FakeVllm, Labeller
from PIL import Image
from scripted_server import BROKEN, FAULTS, Act, Call, Script, ScriptedServer

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.engines.server.faults import NotSampled, RequestFailed, ServersGone
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.engines.server.wire import GENERATE
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.images import ImageStore
from metis_rise.types import AnswerType, Group, Problem, StopReason, Trajectory

PARAMS = SamplingParams(temperature=0.7, top_p=0.9, top_k=5, max_tokens=12)
PICTURES = {"a": tiny.picture(1), "b": tiny.picture(2, 57, 120)}
PROBLEMS = {
    "none": Problem("none", "What does the clock say?", "1", AnswerType.NUMBER),
    "one": Problem("one", "How many dots?", "1", AnswerType.NUMBER, images=("a",)),
    "two": Problem("two", "Compare.", "1", AnswerType.NUMBER, images=("a", "b")),
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def _version(policy: Policy) -> Iterator[None]:
    policy.version = 0
    yield


def stored(key: str) -> bytes:
    buffer = BytesIO()
    PICTURES[key].save(buffer, "PNG")
    return buffer.getvalue()


def encoder(policy: Policy) -> Callable[[Problem], Prompt]:
    def encode(problem: Problem) -> Prompt:
        pictures = [PICTURES[key] for key in problem.images]
        return policy.encode(tiny.message(problem.question, len(pictures)), pictures)

    return encode


@contextlib.contextmanager
def engine_on(
    policy: Policy, *scripts: Script, warn: Callable[[str], None] = print, **changes: Any
) -> Iterator[tuple[ServerEngine, list[ScriptedServer]]]:
    quick = {"timeout_s": 20.0, "backoff_s": 0.002, "longest_pause_s": 0.01, "concurrency": 4, "strikes": 2}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ScriptedServer(script)) for script in scripts]
        settings = ServerSettings(tuple(server.url for server in servers), **(quick | changes))
        engine = ServerEngine(policy, encoder(policy), stored, settings, Labeller(), PROBLEMS["one"], warn)
        try:
            yield engine, servers
        finally:
            engine.close()


def sample_one(policy: Policy, change: Callable[[FakeVllm, dict[str, Any]], Any], request: Request) -> Trajectory:
    """The only trajectory of `request` where the server's reply is what `change` makes of a good one."""
    fake = FakeVllm(policy)

    def script(call: Call) -> Act:
        act = fake.answer(call)
        return Act(change(fake, act.body)) if call.path == GENERATE else act

    with engine_on(policy, script, retries=0) as (engine, _):
        (group,) = engine.sample([request])
        return group.trajectories[0]


def requests_of(count: int, n: int = 3) -> list[Request]:
    """`count` requests, each of a problem of its own name."""
    base = list(PROBLEMS.values())
    problems = [
        Problem(f"p{i}", base[i % 3].question, "1", AnswerType.NUMBER, images=base[i % 3].images) for i in range(count)
    ]
    return [Request(problem, n, PARAMS, seed) for seed, problem in enumerate(problems)]


def names(groups: Sequence[Group]) -> list[str]:
    return sorted(group.problem.id for group in groups)


def test_a_request_is_one_call_with_each_picture_once(policy: Policy):
    with engine_on(policy, FakeVllm(policy).answer) as (engine, (server,)):
        (group,) = engine.sample([Request(PROBLEMS["two"], 8, PARAMS, 77)])
    calls = [call.body for call in server.calls if call.path == GENERATE]
    assert len(calls) == 1 and len(group.trajectories) == 8
    sent = calls[0]
    image = policy.placeholder_ids[0]
    assert sent["token_ids"].count(image) == 2 == len(sent["content_parts"])
    params = sent["sampling_params"]
    asked = {"n": 8, "seed": 77, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "max_tokens": 12, "logprobs": 0}
    assert params.items() >= asked.items()
    assert {int(token) for token, bias in params["logit_bias"].items() if bias == -100} == set(policy.banned_ids)
    assert params["stop_token_ids"] == list(policy.eos_ids)


def test_tokens_and_log_probabilities_are_the_servers_own(policy: Policy):
    tokens = [37, 11, policy.eos_ids[0]]
    request = Request(PROBLEMS["one"], 1, PARAMS)
    got = sample_one(policy, lambda fake, reply: reply | {"choices": [fake.choice(0, tokens)]}, request)
    assert got.tokens == tuple(tokens)
    assert got.logprobs == tuple(token / -1000 for token in tokens)
    assert got.text == policy.tokenizer.decode(tokens[:2])
    assert got.stop is StopReason.EOS


def test_stop_reasons(policy: Policy):
    body = policy.tokenizer.encode("The red dots number 3", add_special_tokens=False)
    request = Request(PROBLEMS["none"], 1, SamplingParams(stop=("dots", "number")))

    def ended(tokens: Sequence[int], finish: str, stop: str | int | None) -> Trajectory:
        return sample_one(
            policy,
            lambda fake, reply: reply | {"choices": [fake.choice(0, tokens, finish_reason=finish, stop_reason=stop)]},
            request,
        )

    end = policy.eos_ids[-1]
    assert ended([*body, end], "stop", end).stop is StopReason.EOS
    assert ended(body, "length", None).stop is StopReason.LENGTH
    stopped = ended(body, "stop", "number")
    assert (stopped.stop, stopped.text, stopped.tokens) == (StopReason.STOP, "The red ", tuple(body))


def shortened(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    return reply | {"choices": reply["choices"][:-1]}


def twice(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    return reply | {"choices": [reply["choices"][0]] * 3}


def aborted(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    return reply | {"choices": [*reply["choices"][:-1], fake.choice(2, [30], finish_reason="abort")]}


def unscored(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    reply["choices"][1]["logprobs"]["content"].pop()
    return reply


def not_a_number(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    reply["choices"][1]["logprobs"]["content"][0]["logprob"] = float("nan")
    return reply


def stopped_elsewhere(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    return reply | {"choices": [*reply["choices"][:-1], fake.choice(2, [30], stop_reason=30)]}


def unread(fake: FakeVllm, reply: dict[str, Any]) -> Any:
    return reply | {"prompt_token_ids": None}


@pytest.mark.parametrize(
    "spoil",
    [
        unread,
        shortened,
        twice,
        aborted,
        unscored,
        not_a_number,
        stopped_elsewhere,
        lambda fake, reply: {},
        lambda fake, reply: [1, "x"],
    ],
    ids=["unread", "short", "twice", "aborted", "unscored", "not a number", "stopped elsewhere", "empty", "list"],
)
def test_replies_that_are_not_whole_are_asked_again(policy: Policy, spoil: Callable[[FakeVllm, dict[str, Any]], Any]):
    fake = FakeVllm(policy)
    spoilt = threading.Event()

    def script(call: Call) -> Act:
        act = fake.answer(call)
        if call.path != GENERATE or spoilt.is_set():
            return act
        spoilt.set()
        return Act(spoil(fake, act.body))

    with engine_on(policy, script) as (engine, (server,)):
        (group,) = engine.sample([Request(PROBLEMS["one"], 3, PARAMS)])
    assert sum(call.path == GENERATE for call in server.calls) == 2
    assert [t.sample for t in group.trajectories] == [0, 1, 2]
    assert all(t.stop is StopReason.EOS and len(t.tokens) == len(t.logprobs) for t in group.trajectories)


def test_thirty_percent_of_faults_end_every_request_once(policy: Policy):
    draw = Random(4)

    def faulty(fake: FakeVllm) -> Script:
        def script(call: Call) -> Act:
            return draw.choice(FAULTS) if call.path == GENERATE and draw.random() < 0.3 else fake.answer(call)

        return script

    requests = requests_of(60)
    with engine_on(policy, faulty(FakeVllm(policy)), faulty(FakeVllm(policy)), timeout_s=2.0) as (engine, servers):
        groups = list(engine.sample(requests))
    assert names(groups) == sorted(request.problem.id for request in requests)
    assert not any(group.aborted for group in groups)
    assert sum(call.path == GENERATE for server in servers for call in server.calls) > 65


def test_the_completions_of_a_request_are_its_own_whatever_was_repeated(policy: Policy):
    """The fake answers as a function of the request, so a reply given to another request would show."""
    fake = FakeVllm(policy)
    flaky = Random(2)
    requests = requests_of(30)

    def sampled(script: Script) -> dict[str, tuple[Trajectory, ...]]:
        with engine_on(policy, script) as (engine, _):
            return {group.problem.id: group.trajectories for group in engine.sample(requests)}

    def sometimes(call: Call) -> Act:
        return BROKEN if call.path == GENERATE and flaky.random() < 0.3 else fake.answer(call)

    assert sampled(sometimes) == sampled(fake.answer)


def test_a_server_killed_in_mid_batch_loses_no_request(policy: Policy):
    said: list[str] = []
    fake = FakeVllm(policy)

    def dies(call: Call) -> Act:
        if call.path == GENERATE and call.number > 6:
            servers[0].kill()
        return fake.answer(call)

    requests = requests_of(40)
    with engine_on(policy, dies, FakeVllm(policy).answer, warn=said.append) as (engine, servers):
        groups = list(engine.sample(requests))
    assert names(groups) == sorted(request.problem.id for request in requests)
    assert not any(group.aborted for group in groups)
    assert len(said) <= 1


def test_a_request_that_fails_alone_is_an_aborted_group_and_said(policy: Policy):
    said: list[str] = []
    fake = FakeVllm(policy)

    def script(call: Call) -> Act:
        if call.path == GENERATE and call.body["sampling_params"]["seed"] in (2, 5):
            return Act({"error": {"message": "cannot read the picture"}}, 400)
        return fake.answer(call)

    requests = requests_of(8)
    with engine_on(policy, script, warn=said.append) as (engine, _):
        groups = list(engine.sample(requests))
    assert names(groups) == sorted(request.problem.id for request in requests)
    lost = [group for group in groups if group.aborted]
    assert names(lost) == ["p2", "p5"]
    assert [(t.sample, t.stop, t.tokens) for t in lost[0].trajectories] == [(i, StopReason.ABORT, ()) for i in range(3)]
    assert len(said) == 1
    assert said[0].startswith("2 of 8 requests failed") and "cannot read the picture" in said[0]


def test_when_all_requests_fail_sampling_ends_with_the_reason(policy: Policy):
    fake = FakeVllm(policy)

    def script(call: Call) -> Act:
        return BROKEN if call.path == GENERATE else fake.answer(call)

    failed = pytest.raises(NotSampled, match=r"5 of 5 requests failed, the first for problem 'p.': .*status 500")
    with engine_on(policy, script) as (engine, _), failed:
        list(engine.sample(requests_of(5)))


def test_a_request_that_fails_alone_does_not_end_sampling(policy: Policy):
    fake = FakeVllm(policy)

    def script(call: Call) -> Act:
        return BROKEN if call.path == GENERATE else fake.answer(call)

    with engine_on(policy, script) as (engine, _):
        (lost,) = list(engine.sample(requests_of(1)))
    assert lost.aborted


def test_when_the_last_server_goes_what_was_answered_is_given_and_the_rest_is_named(policy: Policy):
    fake = FakeVllm(policy)

    def dies(call: Call) -> Act:
        if call.path == GENERATE and call.number > 12:
            servers[0].kill()
        return fake.answer(call)

    requests = requests_of(40)
    groups = []
    with engine_on(policy, dies) as (engine, servers), pytest.raises(NotSampled, match="no server is left") as gone:
        for group in engine.sample(requests):
            groups.append(group)
    assert 5 <= len(groups) < 40
    failed = [problem for problem, _ in gone.value.failures]
    assert any(reason.startswith("not asked") for _, reason in gone.value.failures)
    assert sorted(names(groups) + failed) == sorted(request.problem.id for request in requests)


def test_requests_are_accounted_for_when_one_is_refused_after_the_last_server_went(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
):
    requests = requests_of(20)
    ends = iter([ServersGone("no server is left"), RequestFailed("refused")])

    async def post(fleet: Fleet, path: str, body: Any, read: Any) -> Group:
        raise next(ends)

    monkeypatch.setattr(Fleet, "post", post)
    groups = []
    with (
        engine_on(policy, FakeVllm(policy).answer, concurrency=1) as (engine, _),
        pytest.raises(NotSampled, match="no server is left") as gone,
    ):
        for group in engine.sample(requests):
            groups.append(group)
    assert names(groups) == ["p1"] and groups[0].aborted
    assert sorted(problem for problem, _ in gone.value.failures) == sorted(r.problem.id for r in requests)


def test_trajectories_carry_the_version_that_sampled_them(policy: Policy):
    policy.version = 7
    with engine_on(policy, FakeVllm(policy).answer) as (engine, _):
        assert engine.push() == {"seconds": 0.5}
        policy.version = 8
        (group,) = engine.sample(requests_of(1))
        assert {t.weights_version for t in group.trajectories} == {7}
        engine.push()
        (group,) = engine.sample(requests_of(1))
        assert {t.weights_version for t in group.trajectories} == {8}


def test_nothing_is_sampled_before_a_push(policy: Policy):
    with engine_on(policy, FakeVllm(policy, version="41").answer) as (engine, (server,)):
        list(engine.sample(requests_of(2)))
        list(engine.sample(requests_of(2)))
        (probe,) = engine.pusher.probes
    assert [call.path for call in server.calls if call.path != GENERATE] == ["/health", "/label"]
    assert probe.pictures == (stored("a"),) and len(probe.prompt.pictures()) == 1


# Newer than the policy ever was: another run's, or left by the one before.
@pytest.mark.parametrize("label", ["default", "2", "60"])
def test_a_server_with_other_weights_than_were_pushed_is_out(policy: Policy, label: str):
    said: list[str] = []
    policy.version = 3
    stale = FakeVllm(policy)
    with engine_on(policy, stale.answer, FakeVllm(policy).answer, warn=said.append) as (engine, servers):
        engine.push()
        stale.version = label
        groups = list(engine.sample(requests_of(20)))
        assert names(groups) == sorted(f"p{i}" for i in range(20))
        assert {t.weights_version for group in groups for t in group.trajectories} == {3}
        assert len(said) == 1 and servers[0].url in said[0] and label in said[0]
        engine.push()
        before = len(servers[0].calls)
        list(engine.sample(requests_of(20)))
        assert len(servers[0].calls) > before


def test_a_prompt_that_the_server_reads_otherwise_ends_at_once_with_both_lengths(policy: Policy):
    ours = len(encoder(policy)(PROBLEMS["one"]))

    def longer(fake: FakeVllm, reply: dict[str, Any]) -> Any:
        return reply | {"prompt_token_ids": [*reply["prompt_token_ids"], 5]}

    with pytest.raises(InputError, match=rf"prompt of {ours + 1} tokens, ours has {ours}.*3136.*200704"):
        sample_one(policy, longer, Request(PROBLEMS["one"], 1, PARAMS))

    def other(fake: FakeVllm, reply: dict[str, Any]) -> Any:
        return reply | {"prompt_token_ids": [5, *reply["prompt_token_ids"][1:]]}

    with pytest.raises(InputError, match="other tokens"):
        sample_one(policy, other, Request(PROBLEMS["one"], 1, PARAMS))


def test_pictures_are_sent_as_the_policy_sees_them(tmp_path: Path):
    """A server heeds EXIF and clips 16-bit grey; the policy does neither, its pictures stand upright in the store."""
    store = ImageStore(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 1
    grey = Image.fromarray(np.full((60, 90), 40000, dtype=np.uint16))
    for picture, changed in (
        (tiny.picture(1, 90, 60), False),
        (tiny.picture(1, 90, 60), True),
        (grey, True),
        (Image.new("RGBA", (90, 60), (255, 0, 0, 128)), True),
    ):
        buffer = BytesIO()
        picture.save(buffer, "PNG", exif=exif if changed and picture.mode == "RGB" else None)
        key = store.put(buffer.getvalue())
        stored = store.path(key).read_bytes()
        sent = plain_png(stored)
        assert (sent != stored) is changed
        plain = Image.open(BytesIO(sent))
        assert plain.mode == "RGB" and not plain.getexif()
        assert np.array_equal(np.asarray(plain), np.asarray(store.open(key)))


def test_groups_come_as_they_finish(policy: Policy):
    fake = FakeVllm(policy)
    held = threading.Event()

    def script(call: Call) -> Act:
        if call.path == GENERATE and call.body["sampling_params"]["seed"] == 0:
            held.wait(20)
        return fake.answer(call)

    with engine_on(policy, script) as (engine, _):
        order = []
        for group in engine.sample(requests_of(12)):
            order.append(group.problem.id)
            if len(order) == 11:
                held.set()
    assert order[-1] == "p0" and len(set(order)) == 12


def test_a_consumer_that_stops_leaves_a_working_engine(policy: Policy):
    with engine_on(policy, FakeVllm(policy).answer) as (engine, _):
        groups = engine.sample(requests_of(30))
        next(groups)
        groups.close()
        assert len(list(engine.sample(requests_of(5)))) == 5


def test_check_accepts_servers_that_can_do_the_work(policy: Policy):
    with engine_on(policy, FakeVllm(policy, max_model_len=120).answer) as (engine, (server,)):
        engine.check(100, "p", 20)
        assert not any(call.path == GENERATE for call in server.calls)


def test_check_names_both_numbers_where_there_is_no_room(policy: Policy):
    with (
        engine_on(policy, FakeVllm(policy, max_model_len=120).answer) as (engine, _),
        pytest.raises(InputError, match=r"room for 120 tokens; problem 'p9' has a prompt of 101.* 20 it needs 121"),
    ):
        engine.check(101, "p9", 20)


def test_check_finds_another_tokenizer(policy: Policy):
    fake = FakeVllm(policy)

    def other(call: Call) -> Act:
        return Act({"tokens": [1, 2]}) if call.path == "/tokenize" else fake.answer(call)

    with engine_on(policy, other) as (engine, _), pytest.raises(InputError, match="tokenizer is not that of the model"):
        engine.check(10, "p", 20)


def test_check_refuses_log_probabilities_without_the_temperature(policy: Policy):
    fake = FakeVllm(policy)
    fake.logprobs_mode = "raw_logprobs"
    refused = pytest.raises(InputError, match=r"raw_logprobs.*--logprobs-mode processed_logprobs")
    with engine_on(policy, fake.answer) as (engine, _), refused:
        engine.check(10, "p", 20)


def test_check_refuses_a_server_that_takes_no_weights(policy: Policy):
    fake = FakeVllm(policy)

    def closed(call: Call) -> Act:
        return Act({"detail": "Not Found"}, 404) if call.path.startswith("/server_info") else fake.answer(call)

    refused = pytest.raises(InputError, match=r"takes no weights.*404.*rise serve")
    with engine_on(policy, closed) as (engine, _), refused:
        engine.check(10, "p", 20)


def test_check_names_the_address_that_does_not_answer_and_the_mend(policy: Policy):
    with engine_on(policy, FakeVllm(policy).answer, FakeVllm(policy).answer) as (engine, servers):
        servers[1].kill()
        with pytest.raises(InputError) as error:
            engine.check(10, "p", 20)
    assert servers[1].url in str(error.value) and "rise serve MODEL --port" in str(error.value)
    assert "\n" not in str(error.value)


def test_check_refuses_what_is_no_vllm_server(policy: Policy):
    other = pytest.raises(InputError, match="is it a vLLM server")
    with engine_on(policy, lambda call: Act({"data": []})) as (engine, _), other:
        engine.check(10, "p", 20)
