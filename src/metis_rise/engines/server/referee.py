"""A model that is asked to judge: what it is shown is data, and what it said is kept and never asked for again."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from metis_rise.engines.server.chat import ChatClient, chat_body
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.journal import append_jsonl, read_jsonl
from metis_rise.problems.prompt import control_token
from metis_rise.recipe import JudgeConfig

SAME, OTHER = "EQUIVALENT", "DIFFERENT"
"""The replies to a question whether two answers mean the same."""

# Refusals that are about what was asked, and not about who asks or whom.
_REFUSED = (400, 413, 422)
_REPLY = re.compile(f"{SAME}|{OTHER}", re.IGNORECASE)
# Where a chat token of some model family may begin: <|im_end|>, </s>, <image>, [INST].
_TOKEN = re.compile(r"<(?=[^\s\d=])|\[(?=/?[A-Z_]+\])")


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked.

    instructions: what it has to do. data: what it has to do it with, plain JSON values. note: what the journal says of
    the question, for people.
    """

    instructions: str
    data: Mapping[str, Any]
    note: Mapping[str, Any]
    temperature: float = 0.0

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The chat messages: the data is one line of JSON, which nothing in it can end."""
        shown = _TOKEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(self.data, ensure_ascii=False))
        return [
            {"role": "system", "content": [{"type": "text", "text": self.instructions}]},
            {"role": "user", "content": [{"type": "text", "text": shown}]},
        ]


class Referee:
    """Asks the judge, and keeps every reply by the hash of all that was asked: nothing is asked twice."""

    def __init__(self, config: JudgeConfig, journal: Path, warn: Callable[[str], None]) -> None:
        """Reads what was asked before. InputError when the variable that should hold the key is not set."""
        assert config.url is not None and config.model is not None
        self.name = config.model
        self.at_once = config.concurrency
        self._journal, self._warn = journal, warn
        rows = read_jsonl(journal) if journal.exists() else []
        self._replies: dict[str, str] = {row["key"]: row["reply"] for row in rows}
        self._refused: set[str] = set()
        settings = ServerSettings(
            (config.url,), concurrency=config.concurrency, timeout_s=config.timeout_s, api_key_env=config.api_key_env
        )
        self._client = ChatClient(settings, warn)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def key(self, question: Question) -> str:
        """The hash of everything that is said to the judge."""
        asked = [self.name, question.messages, *([question.temperature] if question.temperature else [])]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()

    def reply(self, question: Question) -> str | None:
        """What the judge said, "" where that was no text or was cut off; None where it has not answered."""
        return self._replies.get(self.key(question))

    def refused(self, question: Question) -> bool:
        """Whether the judge was asked since the start of the process and will not answer this."""
        return self.key(question) in self._refused

    def ask(self, questions: Mapping[str, Question], otherwise: str) -> None:
        """Asks `questions`, which come by their keys; each reply is on disk before the next is waited for.

        Args:
            questions: none of which was answered before.
            otherwise: what becomes of those that are refused, for the warning.

        Raises:
            InputError: the judge is gone, overloaded, or has never answered anything; its replies so far are kept.
        """
        failed: list[RequestFailed] = []
        bodies = ((key, chat_body(self.name, q.messages, [], 1, q.temperature)) for key, q in questions.items())
        with closing(self._client.ask(bodies)) as results:
            for key, result in results:
                if isinstance(result, RequestFailed):
                    failed.append(result)
                    self._refused.add(key)
                    continue
                self._replies[key] = next((said.text for said in result.answers if said.whole), "")
                row = {"key": key, "model": self.name, **questions[key].note, "reply": self._replies[key]}
                append_jsonl(self._journal, [row])
        if not failed:
            return
        said = f"judge {self.name}: {len(failed)} of {len(questions)} questions failed, the first: {failed[0]}"
        if not self._replies or any(fault.status not in _REFUSED for fault in failed):
            raise InputError(f"{said}; run again when it answers: what it has said is kept")
        self._warn(f"{said}; {otherwise}")


def visible(text: str) -> str:
    """`text` without characters that nobody sees, such as those that turn the direction of writing; lines stay."""
    seen = (c for c in text if c == "\n" or unicodedata.category(c) not in ("Cf", "Co", "Cn", "Cs"))
    return "".join(" " if c != "\n" and unicodedata.category(c)[0] in "CZ" else c for c in seen)


def comparable(answer: str) -> bool:
    """Whether a judge may be asked if `answer` means the same as another: it holds no chat token and no reply."""
    return not control_token(answer) and not _REPLY.search(answer)


@cache
def instructions(name: str) -> str:
    """The shipped instructions of that name."""
    return resources.files("metis_rise").joinpath(f"templates/{name}.txt").read_text(encoding="utf-8").strip()
