"""A client of any OpenAI-compatible chat API: what experts are asked with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from metis_rise.engines.server.faults import BadReply, RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.pictures import data_url
from metis_rise.engines.server.settings import ServerSettings

CHAT = "/chat/completions"
Answer = tuple[str, list[str] | RequestFailed]


def chat_body(
    model: str, messages: Sequence[Mapping[str, Any]], pictures: Sequence[bytes], n: int, temperature: float | None
) -> dict[str, Any]:
    """What to post for `n` answers to `messages`, whose image parts stand for `pictures` (PNG bytes), in order.

    A `temperature` of None leaves it to the endpoint.
    """
    left = iter(pictures)

    def filled(part: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "image_url", "image_url": {"url": data_url(next(left))}} if part["type"] == "image" else part

    said = [{**message, "content": [filled(part) for part in message["content"]]} for message in messages]
    warmth = {} if temperature is None else {"temperature": temperature}
    return {"model": model, "messages": said, "n": n, **warmth}


class ChatClient:
    """Asks many questions at once; calls are bounded, spread and repeated as `Fleet` does it.

    `settings.urls` end where the API's own paths begin, usually in /v1.
    """

    def __init__(self, settings: ServerSettings, warn: Callable[[str], None]) -> None:
        """No call is made yet; InputError when the variable that should hold the key is not set."""
        self._fleet = Fleet(settings, warn)
        self._loop = LoopThread()
        self._at_once = settings.concurrency * len(settings.urls)

    def ask(self, questions: Iterable[tuple[str, Mapping[str, Any]]]) -> Generator[Answer, None, None]:
        """The texts of the answers to each of `questions` (a name and a `chat_body`), or why there are none.

        They come as they finish, by name; `questions` is advanced as room falls free.
        """
        return self._loop.stream(self._works(questions), self._at_once)

    def close(self) -> None:
        """Close all connections and end the thread that served them."""
        self._loop.run(self._fleet.close())
        self._loop.close()

    def _works(self, questions: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Coroutine[Any, Any, Answer]]:
        for name, body in questions:
            yield self._one(name, body)

    async def _one(self, name: str, body: Mapping[str, Any]) -> Answer:
        try:
            return name, await self._fleet.post(CHAT, body, _texts)
        except RequestFailed as fault:
            return name, fault


def _texts(url: str, reply: Any) -> list[str]:
    """The answers in a reply; those without text (a refusal, a tool call) are left out."""
    try:
        texts = [choice["message"].get("content") for choice in reply["choices"]]
    except (KeyError, TypeError, AttributeError) as fault:
        raise BadReply(f"JSON of another form than {CHAT} has ({type(fault).__name__}: {fault})") from fault
    if not texts:
        raise BadReply("no answer in the reply")
    return [text for text in texts if isinstance(text, str)]
