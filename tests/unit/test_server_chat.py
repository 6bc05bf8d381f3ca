from __future__ import annotations

import base64
import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_server import BROKEN, FAULTS, STALL, Act, Call, ScriptedServer

from metis_rise.engines.server.chat import ChatClient, chat_body
from metis_rise.engines.server.faults import NotSampled, RequestFailed
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import load_recipe
from metis_rise.run import Run
from metis_rise.stages import expert, expert_endpoint
from metis_rise.stages.expert_endpoint import ask_endpoint
from metis_rise.types import AnswerType, Bucket, Problem

KEY = "sk-very-secret-0123"
RIGHT = "<think> There are 7 dots. </think><answer>\\boxed{7}</answer>"
WRONG = "<think> There are 8 dots. </think><answer>\\boxed{8}</answer>"


def said(*texts: str | None) -> Act:
    choices = [{"index": i, "message": {"content": text}, "finish_reason": "stop"} for i, text in enumerate(texts)]
    return Act({"choices": choices})


def question_of(call: Call) -> str:
    (text,) = (part["text"] for part in call.body["messages"][-1]["content"] if part["type"] == "text")
    return str(text)


def right(call: Call) -> Act:
    return said(RIGHT)


@contextlib.contextmanager
def client_of(server: ScriptedServer, **changes: Any) -> Iterator[ChatClient]:
    quick = {"timeout_s": 0.5, "backoff_s": 0.002, "longest_pause_s": 0.01, "concurrency": 4}
    client = ChatClient(ServerSettings((f"{server.url}/v1",), **(quick | changes)), print)
    try:
        yield client
    finally:
        client.close()


def body_of(text: str) -> dict[str, Any]:
    return chat_body("m", [{"role": "user", "content": [{"type": "text", "text": text}]}], [], 1, None)


def test_a_body_holds_each_picture_where_it_stands():
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}]},
    ]
    body = chat_body("big-vlm", messages, [b"one", b"two"], 3, 0.5)
    assert (body["model"], body["n"], body["temperature"]) == ("big-vlm", 3, 0.5)
    assert body["messages"][0] == messages[0]
    first, text, second = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "and"}
    for part, picture in ((first, b"one"), (second, b"two")):
        head, _, data = part["image_url"]["url"].partition(",")
        assert (part["type"], head, base64.b64decode(data)) == ("image_url", "data:image/png;base64", picture)
    assert "temperature" not in chat_body("big-vlm", [], [], 1, None)


def test_each_question_gets_its_own_answer_once_through_thirty_percent_of_faults():
    draw = Random(3)

    def script(call: Call) -> Act:
        return draw.choice(FAULTS) if draw.random() < 0.3 else said(f"answer to {question_of(call)}")

    with ScriptedServer(script) as server, client_of(server) as client:
        answers = list(client.ask((f"q{i}", body_of(f"q{i}")) for i in range(50)))
    assert {call.path for call in server.calls} == {"/v1/chat/completions"}
    assert sorted(answers) == sorted((f"q{i}", [f"answer to q{i}"]) for i in range(50))


def test_a_refused_question_is_a_recorded_failure_and_the_others_go_on():
    def script(call: Call) -> Act:
        refused = Act({"error": {"message": "this picture is not allowed"}}, 400)
        return refused if question_of(call) == "q1" else said("fine")

    with ScriptedServer(script) as server, client_of(server) as client:
        answers = dict(client.ask((f"q{i}", body_of(f"q{i}")) for i in range(4)))
    assert isinstance(answers["q1"], RequestFailed) and "this picture is not allowed" in str(answers["q1"])
    assert [answers[name] for name in ("q0", "q2", "q3")] == [["fine"]] * 3


def test_answers_without_text_are_left_out_and_replies_of_another_form_asked_again():
    replies = itertools.chain([Act({"choices": []}), Act({"error": None}), said(None, "text")])
    with ScriptedServer(lambda call: next(replies)) as server, client_of(server) as client:
        assert list(client.ask([("q", body_of("q"))])) == [("q", ["text"])]
        assert len(server.calls) == 3


class Shop:
    """As much of a workshop as the expert stage uses."""

    def __init__(self, folder: Path, url: str, overrides: Sequence[str] = ()) -> None:
        given = ["expert.source=endpoint", f"expert.url={url}/v1", "expert.model=big", *overrides]
        self.recipe = load_recipe("tiny", given)
        self.run = Run.open(folder, "run", {})
        self.store = ImageStore(folder / "images")
        self.max_tokens = 64

    def problems(self, count: int, png: bytes) -> list[Problem]:
        key = self.store.put(png)
        return [
            Problem(f"p{i}", f"How many dots are in picture {i}?", "7", AnswerType.NUMBER, images=(key,))
            for i in range(count)
        ]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint's settings, with a short patience."""
    patient = expert_endpoint._settings

    def hasty(config: Any) -> ServerSettings:
        found = patient(config)
        quick = {"timeout_s": 5.0, "backoff_s": 0.002, "longest_pause_s": 0.01, "retries": 2}
        return ServerSettings(found.urls, found.concurrency, api_key_env=found.api_key_env, **quick)

    monkeypatch.setattr(expert_endpoint, "_settings", hasty)


def test_nothing_is_asked_twice_after_a_kill(tmp_path: Path, png: bytes):
    def dies(call: Call) -> Act:
        if call.number > 5:
            server.kill()
        return said(RIGHT)

    with ScriptedServer(dies) as server:
        shop = Shop(tmp_path, server.url, ["expert.concurrency=2"])
        problems = shop.problems(12, png)
        with pytest.raises(NotSampled, match="no server is left"):
            ask_endpoint(shop, problems)
    journal = shop.run.stage("expert").path / "answers.jsonl"
    held = {json.loads(line)["problem"] for line in journal.read_text().splitlines()}
    assert 1 <= len(held) < 12
    with journal.open("a") as file:
        file.write('{"key": "torn')
    with ScriptedServer(right) as second:
        again = Shop(tmp_path, second.url)
        answers = ask_endpoint(again, problems)
        assert answers == {problem.id: [RIGHT] for problem in problems}
        assert len(second.calls) == 12 - len(held)
        assert ask_endpoint(again, problems) == answers
        assert len(second.calls) == 12 - len(held)
        other = Shop(tmp_path, second.url, ["expert.model=bigger"])
        ask_endpoint(other, problems)
        assert len(second.calls) == 24 - len(held)


def test_failures_are_said_and_the_rest_goes_on(tmp_path: Path, png: bytes):
    def script(call: Call) -> Act:
        return BROKEN if "picture 2" in question_of(call) else said(RIGHT)

    with ScriptedServer(script) as server:
        shop = Shop(tmp_path, server.url)
        assert sorted(ask_endpoint(shop, shop.problems(4, png))) == ["p0", "p1", "p3"]
    log = (shop.run.path / "log.txt").read_text()
    assert "expert: 1 of 4 requests failed, the first for problem 'p2'" in log and "status 500" in log


def test_when_everything_fails_the_stage_ends_with_the_reason(tmp_path: Path, png: bytes):
    with ScriptedServer(lambda call: Act({"error": {"message": "no such model"}}, 404)) as server:
        shop = Shop(tmp_path, server.url)
        with pytest.raises(NotSampled, match=r"4 of 4 requests failed.*no such model"):
            ask_endpoint(shop, shop.problems(4, png))


def test_the_key_is_written_nowhere(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RISE_TEST_KEY", KEY)

    def script(call: Call) -> Act:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        return Act({"error": {"message": f"{KEY} is spent"}}, 403) if call.number % 2 else said(RIGHT)

    with ScriptedServer(script) as server:
        shop = Shop(tmp_path, server.url, ["expert.api_key_env=RISE_TEST_KEY"])
        ask_endpoint(shop, shop.problems(4, png))
    output = capsys.readouterr()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written and KEY not in output.out + output.err
    assert b"*** is spent" in written


def test_a_key_that_is_not_set_is_an_error_before_anything_is_asked(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("RISE_TEST_KEY", raising=False)
    with ScriptedServer(right) as server:
        shop = Shop(tmp_path, server.url, ["expert.api_key_env=RISE_TEST_KEY"])
        with pytest.raises(InputError, match="RISE_TEST_KEY"):
            ask_endpoint(shop, shop.problems(1, png))
        assert server.calls == []


def test_the_stage_keeps_what_is_verified(tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch):
    replies = {
        "picture 0": said(WRONG, RIGHT),
        "picture 1": said(WRONG),
        "picture 2": said("seven"),
        "picture 3": said(None),
        "picture 4": said(f"<think> {'on and on ' * 99}</think><answer>\\boxed{{7}}</answer>"),
    }

    def script(call: Call) -> Act:
        return next(act for name, act in replies.items() if name in question_of(call))

    with ScriptedServer(script) as server:
        shop = Shop(tmp_path, server.url, ["expert.samples=2", "expert.temperature=0.9"])
        problems = shop.problems(5, png)
        shop.sets = SimpleNamespace(train=problems)
        monkeypatch.setattr(expert, "buckets", lambda shop: {problem.id: Bucket.ABSENT for problem in problems})
        found = expert.run(shop)
        assert {(call.body["n"], call.body["temperature"]) for call in server.calls} == {(2, 0.9)}
    assert found["counts"] == {"problems": 5, "asked": 5, "kept": 1, "used": 1}
    reasons = ("wrong answer", "bad format", "no solution", "over sampling.max_tokens")
    assert found["dropped"] == dict.fromkeys(reasons, 1)
    (line,) = (shop.run.stage("expert").path / "trajectories-0000.jsonl").read_text().splitlines()
    assert (json.loads(line)["text"], json.loads(line)["problem_id"]) == (RIGHT, "p0")


def test_a_stalled_answer_is_given_up_and_asked_again():
    with ScriptedServer(lambda call: said("late") if call.number else STALL) as server, client_of(server) as client:
        assert list(client.ask([("q", body_of("q"))])) == [("q", ["late"])]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["expert.source=endpoint", "expert.model=m"], "expert.url = null: must be given with expert.source=endpoint"),
        (["expert.source=endpoint", "expert.url=http://h/v1"], "expert.model = null: must be given"),
        (["expert.url=http://h/v1"], "expert.url = 'http://h/v1': must be null unless expert.source=endpoint"),
        (["expert.url=h:8000"], "expert.url = 'h:8000': must match"),
    ],
)
def test_recipes_that_do_not_say_whom_to_ask_are_refused(overrides: list[str], message: str):
    with pytest.raises(InputError) as error:
        load_recipe("tiny", overrides)
    assert message in str(error.value)
