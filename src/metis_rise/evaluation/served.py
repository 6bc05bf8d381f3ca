"""A model behind an OpenAI-compatible chat API answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from metis_rise.benchmarks.base import Item
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.engines.server.chat import ChatClient, ChatEndpoint, Reply, chat_body
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import Asking, Wanted, shown
from metis_rise.evaluation.samplers import recorded
from metis_rise.problems.images import ImageStore

# Refusals that are about one question, and not about who asks or whom.
_REFUSED = (400, 413, 422)
_SHOWN_MODELS = 8


class ServedSampler:
    """Asks a model by its name, one sample a call, as many calls at once as the settings allow."""

    weights: str | None = None

    def __init__(
        self, model: str, settings: ServerSettings, asking: Asking, store: ImageStore, warn: Callable[[str], None]
    ) -> None:
        """Asks each address for its models.

        Raises:
            InputError: an address that does not answer or does not have the model, or a key that is not set.
        """
        self.asking = asking
        self._model, self._store, self._settings = model, store, settings
        _check_served(model, settings)
        self._client = ChatClient(settings, warn)

    def record(self) -> ProtocolRecord:
        """See `Sampler`; number format and the model's own pixel bounds are the server's to know."""
        return recorded(self.asking, "server", None, None)

    def answers(self, benchmark: str, wanted: Sequence[Wanted]) -> Iterator[list[Answer]]:
        """See `Sampler`, one answer at a time.

        Raises:
            InputError: a server refused who asks, or is gone; or questions were refused, once all others are answered.
        """
        calls = [(item, sample) for item, missing in wanted for sample in missing]
        bodies = ((str(number), self._body(benchmark, *call)) for number, call in enumerate(calls))
        refused: deque[tuple[str, RequestFailed]] = deque()
        with closing(self._client.ask(bodies)) as replies:
            for number, reply in replies:
                item, sample = calls[int(number)]
                if not isinstance(reply, RequestFailed):
                    yield [_answer(item, sample, reply)]
                elif reply.status in _REFUSED:
                    refused.append((item.row.place, reply))
                else:
                    raise InputError(f"{reply}; run again when the server answers: what it has said is kept") from reply
        if refused:
            place, fault = refused[0]
            raise InputError(
                f"{len(refused)} of {len(calls)} questions were refused, the first is {place}: {fault}; "
                "mend the row or the server's limits and run again: what is answered is kept"
            )

    def close(self) -> None:
        """See `Sampler`."""
        self._client.close()

    def _body(self, benchmark: str, item: Item, sample: int) -> Mapping[str, Any]:
        asking, params = self.asking, self.asking.params
        messages, keys = shown(item, asking.style, asking.system)
        pictures = [plain_png(self._store.read(key)) for key in keys]
        # Fields that change nothing are left out: some APIs refuse those they do not know.
        return chat_body(
            self._model,
            messages,
            pictures,
            1,
            params.temperature,
            max_tokens=params.max_tokens,
            top_p=None if params.top_p == 1 else params.top_p,
            top_k=params.top_k or None,
            seed=None if params.temperature == 0 else (asking.seed_of(benchmark, item) + sample) % 2**63,
            mm_processor_kwargs=_pixels(asking),
        )


def addresses(text: str) -> tuple[str, ...]:
    """The addresses of `--server URL[,URL]`, each with the path where the API begins: /v1 where none is given.

    Raises:
        InputError: one that is no http address, or the same twice.
    """
    found = []
    for url in (part.strip() for part in text.split(",")):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"--server {url!r}: not an address; give one such as http://host:8000")
        if "@" in parts.netloc or parts.query:
            raise InputError("--server: an address holds a user, password or ?; give the key with --key-env VARIABLE")
        path = parts.path.rstrip("/") or "/v1"
        found.append(f"{parts.scheme}://{parts.netloc}{path}")
    if len(set(found)) < len(found):
        raise InputError(f"--server {text}: names a server twice; give each once")
    return tuple(found)


def _pixels(asking: Asking) -> dict[str, int] | None:
    bounds = {"min_pixels": asking.min_pixels, "max_pixels": asking.max_pixels}
    return {name: bound for name, bound in bounds.items() if bound is not None} or None


def _answer(item: Item, sample: int, reply: Reply) -> Answer:
    """An endpoint that answers with anything but text (a refusal, a tool call) has said nothing."""
    if not reply.answers:
        return Answer(item.index, sample, "", ended=None)
    said = reply.answers[0]
    # JSON may carry half a surrogate pair, which no file can hold.
    return Answer(item.index, sample, said.text.encode("utf-8", "replace").decode("utf-8"), ended=said.whole)


def _check_served(model: str, settings: ServerSettings) -> None:
    loop = LoopThread()
    try:
        for url in settings.urls:
            listed = loop.run(_models(url, settings))
            if listed is not None and model not in listed:
                more = ", ..." if len(listed) > _SHOWN_MODELS else ""
                has = ", ".join(listed[:_SHOWN_MODELS]) + more if listed else "none"
                raise InputError(f"{url} has no model {model!r}; it has: {has}")
    finally:
        loop.close()


async def _models(url: str, settings: ServerSettings) -> tuple[str, ...] | None:
    endpoint = ChatEndpoint(ServerSettings((url,), api_key_env=settings.api_key_env), print)
    try:
        return await endpoint.models()
    finally:
        await endpoint.close()
