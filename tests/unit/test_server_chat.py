from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from scripted_chat import RIGHT, said
from scripted_server import FAULTS, STALL, Act, Call, ScriptedServer

from metis_rise.engines.server.chat import Answer, ChatClient, Reply, chat_body
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.settings import ServerSettings


def question_of(call: Call) -> str:
    (text,) = (part["text"] for part in call.body["messages"][-1]["content"] if part["type"] == "text")
    return str(text)


def right(call: Call) -> Act:
    return said(RIGHT)


@contextlib.contextmanager
def client_of(server: ScriptedServer, **changes: Any) -> Iterator[ChatClient]:
    quick = {"timeout_s": 20.0, "backoff_s": 0.002, "longest_pause_s": 0.01, "concurrency": 4}
    client = ChatClient(ServerSettings((f"{server.url}/v1",), **(quick | changes)), print)
    try:
        yield client
    finally:
        client.close()


def body_of(text: str) -> dict[str, Any]:
    return chat_body("m", [{"role": "user", "content": [{"type": "text", "text": text}]}], [], 1, None)


def texts_of(answers: Iterable[Answer]) -> dict[str, list[str]]:
    replies = {name: reply for name, reply in answers if isinstance(reply, Reply)}
    return {name: [said.text for said in reply.answers] for name, reply in replies.items()}


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


def test_options_are_fields_of_the_body_and_those_that_are_none_are_left_to_the_endpoint():
    bounds = {"min_pixels": 784, "max_pixels": 7840}
    body = chat_body("m", [], [], 1, None, max_tokens=64, seed=0, top_p=None, mm_processor_kwargs=bounds)
    assert body == {"model": "m", "messages": [], "n": 1, "max_tokens": 64, "seed": 0, "mm_processor_kwargs": bounds}


def test_each_question_gets_its_own_answer_once_through_thirty_percent_of_faults():
    draw = Random(3)

    def script(call: Call) -> Act:
        return draw.choice(FAULTS) if draw.random() < 0.3 else said(f"answer to {question_of(call)}")

    with ScriptedServer(script) as server, client_of(server, timeout_s=1.0) as client:
        answers = list(client.ask((f"q{i}", body_of(f"q{i}")) for i in range(50)))
    assert {call.path for call in server.calls} == {"/v1/chat/completions"}
    assert len(answers) == 50 and texts_of(answers) == {f"q{i}": [f"answer to q{i}"] for i in range(50)}


def test_a_refused_question_is_a_recorded_failure_and_the_others_go_on():
    def script(call: Call) -> Act:
        refused = Act({"error": {"message": "this picture is not allowed"}}, 400)
        return refused if question_of(call) == "q1" else said("fine")

    with ScriptedServer(script) as server, client_of(server) as client:
        answers = dict(client.ask((f"q{i}", body_of(f"q{i}")) for i in range(4)))
    assert isinstance(answers["q1"], RequestFailed) and "this picture is not allowed" in str(answers["q1"])
    assert texts_of(answers.items()) == {name: ["fine"] for name in ("q0", "q2", "q3")}


def test_a_reply_says_whether_its_answer_was_cut():
    def script(call: Call) -> Act:
        return said("all of it") if question_of(call) == "short" else said("half of", finish="length")

    with ScriptedServer(script) as server, client_of(server) as client:
        answers = dict(client.ask((name, body_of(name)) for name in ("short", "long")))
    whole = {name: reply.answers[0].whole for name, reply in answers.items() if isinstance(reply, Reply)}
    assert whole == {"short": True, "long": False}


def test_answers_without_text_are_left_out_and_replies_of_another_form_asked_again():
    replies = itertools.chain([Act({"choices": []}), Act({"error": None}), said(None, "text")])
    with ScriptedServer(lambda call: next(replies)) as server, client_of(server) as client:
        assert texts_of(client.ask([("q", body_of("q"))])) == {"q": ["text"]}
        assert len(server.calls) == 3


def test_a_stalled_answer_is_given_up_and_asked_again():
    stalling = ScriptedServer(lambda call: said("late") if call.number else STALL)
    with stalling as server, client_of(server, timeout_s=1.0) as client:
        assert texts_of(client.ask([("q", body_of("q"))])) == {"q": ["late"]}
