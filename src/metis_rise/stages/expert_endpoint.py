"""A stronger model behind an OpenAI-compatible API, as the expert: every answer is kept, so none is paid for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from tqdm import tqdm

from metis_rise.engines.server.chat import ChatClient, chat_body
from metis_rise.engines.server.faults import NotSampled, RequestFailed, ServersGone
from metis_rise.engines.server.pictures import plain_png
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.problems.prompt import RISE, build_messages, load_system
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.run import append_jsonl, read_jsonl
from metis_rise.stages.workshop import Workshop
from metis_rise.types import Problem

JOURNAL = "answers.jsonl"


def ask_endpoint(shop: Workshop, problems: Sequence[Problem]) -> dict[str, list[str]]:
    """The expert's answers by problem id; problems that got none are left out, with a warning.

    Each answer is journaled, when it comes, by the hash of what was asked: after a kill only the rest is asked.

    Raises:
        NotSampled: the endpoint is gone, or nothing was answered; what was answered before is kept.
    """
    journal = shop.run.stage("expert").path / JOURNAL
    held = {row["key"]: row["texts"] for row in read_jsonl(journal)} if journal.exists() else {}
    config = shop.recipe.expert
    keys = {problem.id: _key(config, problem) for problem in problems}
    answers = {problem.id: held[keys[problem.id]] for problem in problems if keys[problem.id] in held}
    todo = [problem for problem in problems if problem.id not in answers]
    failed: list[tuple[str, str]] = []
    stranded: list[tuple[str, str]] = []

    def questions() -> Iterator[tuple[str, dict[str, Any]]]:
        for problem in todo:
            if stranded:
                return
            yield problem.id, _body(config, shop, problem)

    with closing(ChatClient(_settings(config), shop.run.warn)) as client, closing(client.ask(questions())) as results:
        for name, result in tqdm(results, desc="expert", total=len(todo), unit="problem", leave=False):
            if isinstance(result, RequestFailed):
                (stranded if isinstance(result, ServersGone) else failed).append((name, str(result)))
                continue
            append_jsonl(journal, [{"key": keys[name], "problem": name, "texts": result}])
            answers[name] = result
    if stranded or (failed and len(failed) == len(todo)):
        raise NotSampled(stranded + failed, len(todo))
    if failed:
        shop.run.warn(f"expert: {NotSampled(failed, len(todo))}")
    return answers


def _settings(config: ExpertConfig) -> ServerSettings:
    assert config.url is not None
    return ServerSettings((config.url,), concurrency=config.concurrency, api_key_env=config.api_key_env)


def _messages(problem: Problem) -> list[dict[str, Any]]:
    """What is asked. Whatever the model that learns is told, the expert is told our format, since that is verified."""
    return build_messages(problem, load_system(RISE))


def _body(config: ExpertConfig, shop: Workshop, problem: Problem) -> dict[str, Any]:
    assert config.model is not None
    pictures = [plain_png(shop.store.path(key).read_bytes()) for key in problem.images]
    return chat_body(config.model, _messages(problem), pictures, config.samples, config.temperature)


def _key(config: ExpertConfig, problem: Problem) -> str:
    """The hash of everything that a question says; pictures are named by theirs."""
    asked = [config.model, config.samples, config.temperature, _messages(problem), list(problem.images)]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()
