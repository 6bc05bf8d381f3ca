"""A client of any OpenAI-compatible chat API: what experts and judges are asked with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metis_rise.engines.server.faults import BadReply, RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.limits import TokenBucket
from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.pictures import data_url
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.redaction import redacted

CHAT = "/chat/completions"
MODELS = "/models"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call is charged for."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; `whole` unless the limit of tokens cut it off."""

    text: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of a call that have a text, and its usage, None where the endpoint does not say."""

    answers: tuple[Said, ...]
    usage: Usage | None


Answer = tuple[str, Reply | RequestFailed]


def chat_body(
    model: str,
    messages: Sequence[Mapping[str, Any]],
    pictures: Sequence[bytes],
    n: int,
    temperature: float | None,
    **options: Any,
) -> dict[str, Any]:
    """What to post for `n` answers to `messages`, whose image parts stand for `pictures` (PNG bytes), in order.

    `options` are further fields by the API's own names, such as `max_tokens`, `seed`, `top_p`, or vLLM's `top_k` and
    `mm_processor_kwargs`. A `temperature` or option of None leaves it to the endpoint.
    """
    left = iter(pictures)

    def filled(part: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "image_url", "image_url": {"url": data_url(next(left))}} if part["type"] == "image" else part

    said = [{**message, "content": [filled(part) for part in message["content"]]} for message in messages]
    given = {name: value for name, value in {"temperature": temperature, **options}.items() if value is not None}
    return {"model": model, "messages": said, "n": n, **given}


class ChatEndpoint:
    """One API on an asyncio loop; calls are bounded, spread and repeated as `Fleet` does it, and kept within limits.

    `settings.urls` end where the API's own paths begin, usually in /v1.
    """

    def __init__(
        self,
        settings: ServerSettings,
        warn: Callable[[str], None],
        requests: TokenBucket | None = None,
        tokens: TokenBucket | None = None,
    ) -> None:
        """No call is made yet; InputError when the variable that should hold the key is not set."""
        self._fleet = Fleet(settings, warn)
        self._requests = requests or TokenBucket(None)
        self._tokens = tokens or TokenBucket(None)

    async def ask(self, body: Mapping[str, Any], tokens: int = 0) -> Reply:
        """The reply to a `chat_body` that may take up to `tokens` tokens, answers included.

        Raises:
            RequestFailed: refused, or no usable reply in all attempts.
        """

        async def admit() -> None:
            await self._requests.take(1)
            await self._tokens.take(tokens)

        reply = await self._fleet.post(CHAT, body, _reply, admit)
        if reply.usage is not None:
            self._tokens.give_back(tokens - reply.usage.prompt - reply.usage.completion)
        return reply

    async def models(self) -> tuple[str, ...] | None:
        """Names of the models that the endpoint lists; None where it has no such list.

        Raises:
            RequestFailed: not reached, or refused; asked once.
        """
        (url,) = self._fleet.settings.urls
        try:
            listed = await self._fleet.ask(url, "GET", MODELS)
            return tuple(str(entry["id"]) for entry in listed["data"])
        except RequestFailed as fault:
            if fault.status in (404, 405, 501):
                return None
            raise
        except (KeyError, TypeError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._fleet.close()


class ChatClient:
    """Asks many questions at once, from code that is not asynchronous, as `ChatEndpoint` does it."""

    def __init__(self, settings: ServerSettings, warn: Callable[[str], None]) -> None:
        """No call is made yet; InputError when the variable that should hold the key is not set."""
        self._endpoint = ChatEndpoint(settings, warn)
        self._loop = LoopThread()
        self._at_once = settings.concurrency * len(settings.urls)

    def ask(self, questions: Iterable[tuple[str, Mapping[str, Any]]]) -> Generator[Answer, None, None]:
        """The reply to each of `questions` (a name and a `chat_body`), or why there is none.

        They come as they finish, by name; `questions` is advanced as room falls free.
        """
        return self._loop.stream(self._works(questions), self._at_once)

    def close(self) -> None:
        """Close all connections and end the thread that served them."""
        self._loop.run(self._endpoint.close())
        self._loop.close()

    def _works(self, questions: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Coroutine[Any, Any, Answer]]:
        for name, body in questions:
            yield self._one(name, body)

    async def _one(self, name: str, body: Mapping[str, Any]) -> Answer:
        try:
            return name, await self._endpoint.ask(body)
        except RequestFailed as fault:
            return name, fault


def _reply(url: str, reply: Any) -> Reply:
    """Read a reply; answers without text (a refusal, a tool call) are left out.

    Lone surrogates, which UTF-8 has no bytes for, are replaced, and our key should it be repeated: whatever is said can
    be written to a file.
    """
    try:
        choices = [(choice["message"].get("content"), choice.get("finish_reason")) for choice in reply["choices"]]
        usage = reply.get("usage")
        used = None if usage is None else Usage(int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0))
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise BadReply(f"JSON of another form than {CHAT} has ({type(fault).__name__}: {fault})") from fault
    if not choices:
        raise BadReply("no answer in the reply")
    texts = [
        (redacted(text.encode("utf-8", "replace").decode()), ended) for text, ended in choices if isinstance(text, str)
    ]
    return Reply(tuple(Said(text, ended != "length") for text, ended in texts), used)
