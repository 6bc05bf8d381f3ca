"""A model behind an OpenAI-compatible API, as an expert: within its limits and the budget, and never paid twice."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from metis_rise.engines.server.chat import ChatEndpoint, Said, Usage, chat_body
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.limits import TokenBucket
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.recipe.expert import ExpertEntry
from metis_rise.stages.experts.answers import Answers, Paid, key_of
from metis_rise.stages.experts.budget import Budget, Spending
from metis_rise.stages.experts.estimate import answer_tokens, cost, most, prompt_tokens
from metis_rise.stages.experts.question import Question
from metis_rise.types import Problem

# A picture that any model takes, and a question that costs next to nothing.
_PROBE_SIZE = 56
_PROBE = "Which colour is this? One word."
_PROBE_TOKENS = 16


def settings_of(entry: ExpertEntry) -> ServerSettings:
    """How an endpoint is reached."""
    assert entry.url is not None
    return ServerSettings((entry.url,), entry.concurrency, entry.timeout_s, api_key_env=entry.api_key_env)


class EndpointExpert:
    """Asks one endpoint. Belongs to one asyncio loop."""

    told = True

    def __init__(
        self,
        entry: ExpertEntry,
        ask: Callable[[Problem], Question],
        store: ImageStore,
        answers: Answers,
        budget: Budget,
        warn: Callable[[str], None],
    ) -> None:
        """`ask` makes a problem's question. InputError when the variable that should hold the key is not set."""
        self.name = entry.name
        self.attempts = len(entry.temperatures)
        self._entry, self._ask, self._store = entry, ask, store
        self._answers, self._budget = answers, budget
        limits = TokenBucket(entry.requests_per_minute), TokenBucket(entry.tokens_per_minute)
        self._api = ChatEndpoint(settings_of(entry), warn, *limits)
        self._scale = _Scale()

    async def answer(self, problem: Problem, attempt: int) -> tuple[Said, ...]:
        """The answers to attempt number `attempt` (from 0), from the journal where they are there.

        Raises:
            BudgetSpent: the call might pass a cap.
            RequestFailed: refused, or no usable reply in all attempts.
        """
        question = self._ask(problem)
        temperature = self._entry.temperatures[attempt]
        key = question_key(self._entry, question, attempt)

        def pictures() -> list[bytes]:
            return [plain_png(self._store.read(name)) for name in question.images]

        def body() -> dict[str, Any]:
            made = chat_body(self._model, question.messages, pictures(), self._entry.samples, temperature)
            return made | {self._entry.max_tokens_field: self._entry.max_tokens}

        need = prompt_tokens(question.messages, question.sizes)
        return await self._paid(key, body, problem.id, attempt, len(question.images), need)

    async def check(self, pictured: bool) -> str:
        """Ask whether the model is there and, with `pictured`, whether it takes pictures; "" when all is well.

        An endpoint that cannot be asked is left to the calls, which try again: then the reason is returned.

        Raises:
            InputError: one line that says what the endpoint refuses.
            BudgetSpent: even the question with a picture might pass a cap.
        """
        try:
            listed = await self._api.models()
        except RequestFailed as fault:
            if fault.status in (401, 403):
                raise InputError(f"{self._where} {self._key_refused}: {fault}") from fault
            return f"{self._where} could not be asked for its models: {fault}"
        if listed is not None and self._model not in listed:
            raise InputError(f"{self._where} has no model {self._model!r}; it has: {_few(listed)}")
        if pictured and not self._answers.takes_pictures(self.name, self._model):
            return await self._show_a_picture()
        return ""

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    @property
    def _model(self) -> str:
        assert self._entry.model is not None
        return self._entry.model

    @property
    def _where(self) -> str:
        return f"expert {self.name!r}: {self._entry.url}"

    @property
    def _key_refused(self) -> str:
        name = self._entry.api_key_env
        return f"refuses the key in {name}" if name else "wants a key; name its variable in api_key_env"

    async def _show_a_picture(self) -> str:
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _PROBE}]}]
        buffer = io.BytesIO()
        Image.new("RGB", (_PROBE_SIZE, _PROBE_SIZE), (200, 30, 30)).save(buffer, "PNG")
        body = chat_body(self._model, messages, [buffer.getvalue()], 1, None)
        body |= {self._entry.max_tokens_field: _PROBE_TOKENS}
        need = prompt_tokens(messages, [(_PROBE_SIZE, _PROBE_SIZE)])
        try:
            await self._paid(key_of({"probe": [self.name, self._model]}), lambda: body, "", 0, 1, need)
        except RequestFailed as fault:
            if fault.status is None:
                return f"{self._where} could not be shown a picture: {fault}"
            reasons = {401: self._key_refused, 403: self._key_refused, 404: f"has no model {self._model!r}"}
            what = reasons.get(fault.status, f"model {self._model!r} refuses pictures, and the problems have some")
            raise InputError(f"{self._where} {what}: {fault}") from fault
        return ""

    async def _paid(
        self, key: str, body: Callable[[], Mapping[str, Any]], problem: str, attempt: int, pictures: int, prompt: int
    ) -> tuple[Said, ...]:
        """What the journal holds for `key`, else what is paid for now and journaled."""
        async with self._answers.asking(key):
            held = self._answers.get(key)
            if held is not None:
                return held.answers
            need, used = most(self._entry, self._scale.scaled(prompt)), Spending()
            await self._budget.grant(need)
            try:
                reply = await self._api.ask(body(), need.tokens)
                usage = reply.usage or Usage(prompt, answer_tokens(said.text for said in reply.answers))
                self._scale.learn(prompt, usage.prompt)
                price = cost(self._entry, usage.prompt, usage.completion)
                tokens = usage.prompt, usage.completion
                paid = Paid(self.name, self._model, problem, attempt, pictures, reply.answers, *tokens, price)
                used = paid.spending
                await self._answers.put(key, paid)
            finally:
                await self._budget.settle(need, used)
            return reply.answers


class _Scale:
    """Corrects guesses of prompt lengths by those that replies reported; never below the guess."""

    def __init__(self) -> None:
        self._guessed = self._true = 0

    def scaled(self, guess: int) -> int:
        return guess if not self._guessed else max(guess, -(-guess * self._true // self._guessed))

    def learn(self, guess: int, true: int) -> None:
        self._guessed += guess
        self._true += true


def question_key(entry: ExpertEntry, question: Question, attempt: int) -> str:
    """The journal's key of an attempt at a question."""
    return key_of(
        {
            "expert": [entry.name, entry.model],
            "messages": question.messages,
            "images": list(question.images),
            "sampling": [entry.temperatures[attempt], entry.samples, entry.max_tokens],
            "attempt": attempt,
        }
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
