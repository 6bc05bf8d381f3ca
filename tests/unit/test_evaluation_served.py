from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluating import asking, data
from fake_benchmark import Fake, in_cell, picture, write_tsv
from scripted_chat import ChatServer, pictures_of, refused, said, text_of
from scripted_server import Act, Call
from typer.testing import CliRunner

from metis_rise.benchmarks.base import Style
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.cli import app
from metis_rise.engines.base import SamplingParams
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import Asking
from metis_rise.evaluation.runner import Evaluation, Scoring
from metis_rise.evaluation.served import ServedSampler, addresses
from metis_rise.journal import read_jsonl
from metis_rise.problems.images import ImageStore


def sampler(server: ChatServer, folder: Path, how: Asking | None = None, model: str = "big") -> ServedSampler:
    settings = ServerSettings((f"{server.url}/v1",), concurrency=2, timeout_s=60.0, retries=1, backoff_s=0.002)
    return ServedSampler(model, settings, how or asking(), ImageStore(folder / "images"), print)


def answered(server: ChatServer, folder: Path, how: Asking) -> list[Answer]:
    """What the server says to the first two items."""
    wanted = [(item, tuple(range(how.samples))) for item in data(folder, 2).items]
    one = sampler(server, folder, how)
    try:
        return [answer for some in one.answers("fake", wanted) for answer in some]
    finally:
        one.close()


def number(call: Call) -> str:
    return "".join(c for c in text_of(call) if c.isdigit())


def right(call: Call) -> Act:
    return said(f"\\boxed{{{number(call)}}}")


def test_the_question_goes_out_as_it_is_shown_with_its_own_picture_and_the_settings(tmp_path: Path):
    how = Asking(Style.RISE, "Think.", SamplingParams(0.0, max_tokens=16), min_pixels=784, max_pixels=7840)
    with ChatServer(right) as server:
        answers = answered(server, tmp_path, how)
    assert {(a.index, a.text, a.ended) for a in answers} == {("0", "\\boxed{0}", True), ("1", "\\boxed{1}", True)}
    store = ImageStore(tmp_path / "images")
    for call in server.asked:
        system = call.body["messages"][0]
        assert system["content"] == [{"type": "text", "text": "Think."}]
        item = data(tmp_path, 2).items[int(number(call))]
        assert pictures_of(call) == [store.path(item.problem.images[0]).read_bytes()]
        rest = {key: value for key, value in call.body.items() if key != "messages"}
        pixels = {"min_pixels": 784, "max_pixels": 7840}
        expected = {"model": "big", "n": 1, "temperature": 0.0, "max_tokens": 16, "mm_processor_kwargs": pixels}
        assert rest == expected


def test_a_picture_that_was_changed_is_not_shown(tmp_path: Path):
    items = data(tmp_path, 2).items
    changed = ImageStore(tmp_path / "images").path(items[0].problem.images[0])
    changed.write_bytes(picture((1, 2, 3)))
    with ChatServer(right) as server:
        one = sampler(server, tmp_path)
        with pytest.raises(InputError, match=f"{changed.name}: the picture was changed or damaged"):
            list(one.answers("fake", [(item, (0,)) for item in items]))
        one.close()
        assert all(number(call) != "0" for call in server.asked)


def test_each_sample_is_a_call_with_a_seed_of_its_own_that_a_resumed_run_repeats(tmp_path: Path):
    how = Asking(Style.RISE, None, SamplingParams(1.0, 0.9, 40, 16), samples=3, seed=5)
    seeds: list[Any] = []
    for _ in range(2):
        with ChatServer(right) as server:
            answers = answered(server, tmp_path, how)
        seeds.append(sorted(call.body["seed"] for call in server.asked))
        assert sorted((a.index, a.sample) for a in answers) == [(i, n) for i in "01" for n in range(3)]
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 6
    assert all((c.body["top_p"], c.body["top_k"], c.body["temperature"]) == (0.9, 40, 1.0) for c in server.asked)


@pytest.mark.parametrize(
    ("act", "text", "ended"),
    [
        (said("half an ans", finish="length"), "half an ans", False),
        (said(None), "", None),
        (said("a\ud800b"), "a?b", True),
    ],
)
def test_cut_empty_and_odd_answers_are_what_they_are(tmp_path: Path, act: Act, text: str, ended: bool | None):
    with ChatServer(lambda call: act) as server:
        answers = answered(server, tmp_path, asking())
    assert {(a.text, a.ended) for a in answers} == {(text, ended)}


def run(folder: Path, script: Callable[[Call], Act]) -> tuple[float | None, int]:
    """Score of an evaluation over a server, and how many calls it took."""
    loaded = data(folder)
    with ChatServer(script) as server:
        one = sampler(server, folder)
        try:
            evaluation = Evaluation("big", folder / "out", one, Scoring())
            evaluation.claim("big")
            return evaluation.run(Fake(), loaded).figures.score, len(server.asked)
        finally:
            one.close()


def test_refused_questions_are_named_when_all_others_are_kept_and_then_they_alone_are_asked(tmp_path: Path):
    with pytest.raises(InputError, match=r"1 of 4 questions were refused, the first is .*row 3 index 2: .*too long"):
        run(tmp_path, lambda call: refused(400, "too long") if number(call) == "2" else right(call))
    assert len(read_jsonl(tmp_path / "out" / "fake" / "answers.jsonl")) == 3
    assert run(tmp_path, right) == (100.0, 1)
    assert run(tmp_path, right) == (100.0, 0)


def test_a_server_that_is_gone_ends_it_and_what_it_has_said_is_kept(tmp_path: Path):
    with pytest.raises(InputError, match="run again when the server answers"):
        run(tmp_path, lambda call: refused(500, "broken") if number(call) == "3" else right(call))
    assert run(tmp_path, right)[0] == 100.0


def test_a_model_that_the_server_lacks_is_told_before_anything_is_asked(tmp_path: Path):
    with ChatServer(right, models=("small", "big")) as server:
        with pytest.raises(InputError, match="has no model 'huge'; it has: small, big"):
            sampler(server, tmp_path, model="huge")
        assert server.asked == []


def test_addresses_get_the_path_where_the_api_begins():
    assert addresses("http://a:8000, https://b/openai/v1/") == ("http://a:8000/v1", "https://b/openai/v1")
    for text, said_of in (("a:8000", "not an address"), ("http://a,http://a/v1", "twice"), ("http://a,", "not an")):
        with pytest.raises(InputError, match=said_of):
            addresses(text)


def test_pictures_are_sent_as_every_reader_sees_them(tmp_path: Path):
    with ChatServer(right) as server:
        answered(server, tmp_path, asking())
    part = next(p for p in server.asked[0].body["messages"][-1]["content"] if p["type"] == "image_url")
    assert base64.b64decode(part["image_url"]["url"].partition(",")[2]).startswith(b"\x89PNG")


def test_a_served_model_and_a_judge_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THEIR_KEY", "secret-1")
    cells = [(str(n), letter, in_cell(picture((n, 0, 0)))) for n, letter in enumerate("AB", start=1)]
    table = [
        {"index": i, "image": image, "question": f"Which is number {i}?", "answer": letter, "skill": "spatial"}
        for i, letter, image in cells
    ]
    write_tsv(tmp_path / "LogicVista.tsv", table)

    def script(call: Call) -> Act:
        """The model answers in words that no rule takes a letter out of; the judge finds A in all of them."""
        return said("ANSWER: A") if call.body["model"] == "arbiter" else said("The one with the most corners, surely.")

    with ChatServer(script, models=("big",)) as server:
        asked = ("eval", "big", "-b", "logicvista", "--data", "LogicVista.tsv", "--server", server.url, "--json")
        judged = ("--protocol", "judge", "--judge-url", f"{server.url}/v1", "--judge-model", "arbiter")
        outcomes = [
            CliRunner().invoke(app, [*asked, *judged, "--key-env", "THEIR_KEY", "--style", "vlmevalkit"])
            for _ in range(2)
        ]
        calls = [(call.body["model"], call.headers.get("Authorization")) for call in server.asked]
    assert outcomes[0].exit_code == 0, outcomes[0].output
    assert calls == [("big", "Bearer secret-1")] * 2 + [("arbiter", None)] * 2
    found = json.loads(outcomes[0].stdout)
    assert (found["score"], found["n"], found["protocol"]["judge"]["model"]) == (50.0, 2, "arbiter")
    assert (found["protocol"]["engine"], found["protocol"]["style"]) == ("server", "vlmevalkit")
    assert json.loads(outcomes[1].stdout) == found
    assert (tmp_path / "evals" / "big" / "judge.jsonl").exists()
    assert "secret-1" not in "".join(f.read_text() for f in (tmp_path / "evals").rglob("*.json*"))
