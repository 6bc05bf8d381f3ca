"""A scripted OpenAI-compatible chat API: what it is asked is counted by content, what it says is looked up."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from scripted_server import Act, Call, ScriptedServer

CHAT = "/v1/chat/completions"
USAGE = (100, 20)

RIGHT = "<think> There are 7 dots. </think><answer>\\boxed{7}</answer>"
WRONG = "<think> There are 8 dots. </think><answer>\\boxed{8}</answer>"
LEAKED = "<think> As the reference solution says, there are 7. </think><answer>\\boxed{7}</answer>"


def said(*texts: str | None, usage: tuple[int, int] | None = USAGE, finish: str = "stop") -> Act:
    """A reply of these answers."""
    choices = [{"index": i, "message": {"content": text}, "finish_reason": finish} for i, text in enumerate(texts)]
    used = {} if usage is None else {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}
    return Act({"choices": choices, **used})


def refused(status: int, message: str) -> Act:
    """An error reply."""
    return Act({"error": {"message": message}}, status)


def too_many(seconds: str) -> Act:
    """A call too many; the caller is asked to wait."""
    return Act({"error": {"message": "slow down"}}, 429, {"Retry-After": seconds})


def text_of(call: Call) -> str:
    """The text of the last message."""
    return "".join(part["text"] for part in call.body["messages"][-1]["content"] if part["type"] == "text")


def pictures_of(call: Call) -> list[bytes]:
    """The pictures of all messages, decoded."""
    parts = [part for message in call.body["messages"] for part in message["content"] if part["type"] == "image_url"]
    heads, data = zip(*(p["image_url"]["url"].split(",", 1) for p in parts), strict=True) if parts else ((), ())
    assert set(heads) <= {"data:image/png;base64"}
    return [base64.b64decode(item, validate=True) for item in data]


def is_probe(call: Call) -> bool:
    """Whether this is the question that finds out if pictures are taken."""
    return "Which colour" in text_of(call)


class ChatServer(ScriptedServer):
    """Answers calls for completions by `script`, probes and the list of models by itself."""

    def __init__(
        self,
        script: Callable[[Call], Act],
        models: Sequence[str] | None = ("big",),
        probe: Act | None = None,
        port: int = 0,
    ) -> None:
        self._chat, self._models, self._probe = script, models, probe or said("red")
        super().__init__(self._reply, port)

    def _reply(self, call: Call) -> Act:
        if call.method == "GET" and call.path == "/v1/models":
            return (
                refused(404, "not found") if self._models is None else Act({"data": [{"id": m} for m in self._models]})
            )
        assert (call.method, call.path) == ("POST", CHAT)
        return self._probe if is_probe(call) else self._chat(call)

    @property
    def asked(self) -> list[Call]:
        """Calls for completions, without probes."""
        return [call for call in self.calls if call.method == "POST" and not is_probe(call)]

    @property
    def probes(self) -> list[Call]:
        """Questions with a test picture."""
        return [call for call in self.calls if call.method == "POST" and is_probe(call)]

    def contents(self) -> Counter[str]:
        """How often each content was asked."""
        return Counter(
            hashlib.sha256(json.dumps(call.body, sort_keys=True).encode()).hexdigest() for call in self.asked
        )


def bodies(calls: Sequence[Call]) -> list[dict[str, Any]]:
    """What was posted."""
    return [call.body for call in calls]
