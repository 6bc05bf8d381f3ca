"""Keys that were read, or that the environment holds, are shown and kept nowhere."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from expert_shop import Shop, endpoint
from scripted_chat import RIGHT, ChatServer, refused, said
from scripted_server import Act, Call

from metis_rise import redaction
from metis_rise.attempt import recorded
from metis_rise.cli.app import exit_codes
from metis_rise.engines.server.chat import ChatClient, Reply
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.engines.server.words import read_key
from metis_rise.errors import InputError
from metis_rise.evaluation.folder import claim
from metis_rise.redaction import hide, hide_environment, redacted, redacted_values
from metis_rise.run import Run

KEY = 'sk-"quoted"-4711'
PASSWORD = "pass-word-0815"
SECRETS = {"RISE_FAKE_API_KEY": KEY, "http_proxy": f"http://me:{PASSWORD}@proxy:1"}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test hides is not hidden in the next."""
    monkeypatch.setattr(redaction, "_known", {})


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [InputError, RuntimeError])
def test_a_key_that_was_read_is_in_no_error(
    debug: bool, kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    with pytest.raises(typer.Exit), exit_codes(debug):
        raise kind(f"the server said: Bearer {read_key('SOME_KEY')} is not known")
    said = capsys.readouterr()
    assert "Bearer *** is not known" in said.err
    assert KEY not in said.err + said.out


def test_a_key_within_json_is_found_too() -> None:
    hide(KEY)
    assert redacted('{"key": "sk-\\"quoted\\"-4711"}') == '{"key": "***"}'
    assert redacted("nothing") == "nothing"


def test_a_key_in_place_of_its_variable_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        read_key("sk-hunter22")
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET", "DB_PASSWORD", "my_key", "GH_CREDENTIALS", "PGPASS", "GH_PAT"),
        *("API_KEYS", "TOKENS", "API_KEY_2", "hf_token2", "SECRETS_10"),
    ],
)
def test_variables_are_secret_by_their_names(name: str) -> None:
    hide_environment({name: " abcd-1234\n", "KEY_PATH": "other-1234", "KEYBOARD": "us-qwerty-1"})
    assert redacted("abcd-1234 other-1234 us-qwerty-1") == "*** other-1234 us-qwerty-1"


def test_placeholders_and_paths_are_no_secrets(tmp_path: Path) -> None:
    hide_environment({"OPENAI_API_KEY": "EMPTY", "SSH_KEY": str(tmp_path), "HF_TOKEN": "short"})
    assert redacted(f"EMPTY {tmp_path} short") == f"EMPTY {tmp_path} short"


def test_who_logs_in_is_in_no_address() -> None:
    token = "ghp_lonely_token_1"
    hide_environment(
        {
            "HTTPS_PROXY": f"http://me:{PASSWORD}@proxy:1",
            "INDEX": f"https://{token}@host/a b://x@y",
            "C": "c://d?e=f:g@h",
        }
    )
    assert redacted(f"proxy said {PASSWORD}, {token}") == "proxy said ***, ***"
    assert redacted("git+https://a:b@host/x and ftp://c@host:1") == "git+https://***@host/x and ftp://***@host:1"
    assert redacted("mail a@b, http://host/x@y, 1://2") == "mail a@b, http://host/x@y, 1://2"


@pytest.mark.parametrize("user", ["researcher", "researcher-at-our-institute", "me2"])
def test_who_logs_in_without_a_password_is_no_secret(user: str, tmp_path: Path) -> None:
    hide_environment({"GIT_REMOTE": f"ssh://{user}@host:22/a:b@c"})
    assert redacted(f"by {user}") == f"by {user}"
    Run.open(tmp_path, "mine", {"name": user})


def test_a_password_ends_at_the_last_at_sign() -> None:
    hide_environment({"HTTP_PROXY": "http://me@work:p@ssw0rd@long@proxy:3128/a@b"})
    assert redacted("p@ssw0rd@long") == "***"
    assert redacted("http://u:p@other-w0rd@proxy:3128/a@b") == "http://***@proxy:3128/a@b"


@pytest.mark.parametrize("word", ["ollama", "lm-studio", "localhost", "EMPTY", "sk-1234"])
def test_a_word_in_a_keys_place_is_no_secret(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", word)
    hide_environment({"OPENAI_API_KEY": word, "SVC_TOKEN": word, "PROXY": f"http://me:{word}@proxy:1"})
    assert read_key("OPENAI_API_KEY") == word
    assert redacted(f"an answer with {word}") == f"an answer with {word}"
    Run.open(tmp_path, "mine", {"expert": {"url": f"http://{word}/v1"}})


def test_settings_may_hold_a_secrets_letters_within_a_word(tmp_path: Path) -> None:
    hide("20240101", "DATE_KEY")
    Run.open(tmp_path, "mine", {"train": "rows202401010.jsonl"})
    for text in ("20240101", "rows-20240101.jsonl", "a\n20240101\tb"):
        with pytest.raises(InputError, match="DATE_KEY"):
            Run.open(tmp_path, "other", {"a": [{text: 1}]})


def test_values_are_redacted_within_each_other() -> None:
    hide(KEY)
    assert redacted_values({"a": [KEY, 1, None, {"b": (KEY,)}]}) == {"a": ["***", 1, None, {"b": ["***"]}]}


def holders(folder: Path) -> list[str]:
    """Files that hold a secret, as it is or as JSON has it."""
    secrets = [text.encode() for text in (KEY, KEY.replace('"', '\\"'), PASSWORD)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    return [path.name for path in files if any(secret in path.read_bytes() for secret in secrets)]


def test_no_file_of_a_run_holds_a_secret_wherever_it_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    address = f"https://me:{PASSWORD}@host/rows.jsonl"
    monkeypatch.setattr(sys, "argv", ["rise", "run", "tiny", f"problems.train={address}", f"judge.model={KEY}"])
    with pytest.raises(RuntimeError), recorded() as begin:
        run = Run.open(tmp_path, "mine", {})
        begin(run.path)
        for text in (f"asked with {KEY}", address, f"two lines\nand {PASSWORD}"):
            run.log(text)
            run.warn(text)
            run.in_round(2).warn(text)
            run.event("odd", said=text, more={"inner": [text]})
            logging.getLogger("some.library").warning("sent %s", text)
        raise RuntimeError(f"the proxy {SECRETS['http_proxy']} refused Bearer {KEY}")
    assert holders(run.path) == []
    for file in ("log.txt", "manifest.jsonl", "logs/0001.txt"):
        assert "***" in (run.path / file).read_text()
    # What was said once is known, though it is kept without the key.
    before = len(run.events("warning"))
    run.warn(f"asked with {KEY}")
    assert len(run.events("warning")) == before


@pytest.mark.parametrize("settings", [{"judge": {"model": KEY}}, {"a": [{"b": f"http://h/{PASSWORD}"}]}])
def test_settings_that_hold_a_secret_are_refused_before_anything_is_written(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    hide_environment(SECRETS)
    for keep in (lambda: Run.open(tmp_path / "runs", "mine", settings), lambda: claim(tmp_path / "out", "m", settings)):
        with pytest.raises(
            InputError, match=r"holds the value of (RISE_FAKE_API_KEY|http_proxy), and is kept"
        ) as caught:
            keep()
        assert KEY not in str(caught.value) and PASSWORD not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_repeats_the_key_brings_it_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISE_FAKE_API_KEY", KEY)

    def parrot(call: Call) -> Act:
        sent = call.headers["Authorization"]
        return said(f"You said {sent}") if call.body["n"] == 1 else Act({"error": {"message": sent}}, 400)

    warned: list[str] = []
    with ChatServer(parrot) as server:
        client = ChatClient(ServerSettings((f"{server.url}/v1",), api_key_env="RISE_FAKE_API_KEY"), warned.append)
        body = {"model": "big", "messages": [{"role": "user", "content": []}]}
        found = dict(client.ask([("answer", body | {"n": 1}), ("refusal", body | {"n": 2})]))
        client.close()
    answer = found["answer"]
    assert isinstance(answer, Reply) and answer.answers[0].text == "You said Bearer ***"
    assert "Bearer ***" in str(found["refusal"]) and KEY not in f"{found!r}{warned}"


def test_an_expert_that_repeats_the_key_brings_it_into_no_file_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISE_FAKE_API_KEY", KEY)

    def parrot(call: Call) -> Act:
        sent = call.headers["Authorization"]
        return (
            refused(400, f"not for {sent}") if call.number % 3 == 2 else said(RIGHT.replace("There", f"{sent}. There"))
        )

    with ChatServer(parrot) as server:
        shop = Shop(tmp_path, [endpoint(server.url, api_key_env="RISE_FAKE_API_KEY")])
        shop.do()
    assert holders(shop.run.path) == []
    assert "Bearer ***" in (shop.run.path / "4-expert" / "answers.jsonl").read_text()
