"""The optional model judge: of text answers that the rules call different, it may say that they mean the same.

What a model wrote is shown to another model, so it may try to talk to it. Hence: the answer is data inside JSON, whose
characters cannot end it; answers that hold a chat token or one of the two replies are not shown at all; and only the
one exact reply changes a verdict.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from metis_rise.engines.server.chat import ChatClient, chat_body
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.problems.prompt import control_token
from metis_rise.recipe import JudgeConfig, Recipe
from metis_rise.run import Run, append_jsonl, read_jsonl
from metis_rise.types import AnswerType, Group, Problem, Reason, Trajectory, Verdict
from metis_rise.verifier.extraction import Shape, shape_of
from metis_rise.verifier.rewards import accuracy_reward

JOURNAL = "judge.jsonl"
SAME, OTHER = "EQUIVALENT", "DIFFERENT"
# Refusals that are about what was asked, and not about who asks or whom.
_REFUSED = (400, 413, 422)
_REPLY = re.compile(f"{SAME}|{OTHER}", re.IGNORECASE)


def check_judge(recipe: Recipe) -> None:
    """InputError where the recipe names a judge whose key is not in the environment; nobody is asked."""
    if recipe.judge.url is not None:
        _client(recipe.judge, print).close()


@contextmanager
def on_call(recipe: Recipe, run: Run) -> Iterator[Callable[[Problem, Trajectory], Trajectory]]:
    """A function that gives one judged trajectory the model judge's word where that is needed; threads may share it."""
    if recipe.judge.url is None:
        yield lambda _, trajectory: trajectory
        return
    with closing(ModelJudge(recipe.judge, run)) as judge:
        yield lambda problem, trajectory: next(judge.settle([Group(problem, (trajectory,))])).trajectories[0]


def settled(recipe: Recipe, run: Run, groups: Iterable[Group]) -> Iterator[Group]:
    """The judged `groups`, in their order, with the model judge's word where the recipe has one and it is needed."""
    if recipe.judge.url is None:
        yield from groups
        return
    with closing(ModelJudge(recipe.judge, run)) as judge:
        yield from judge.settle(groups)


def accepted(verdict: Verdict | None, judge: str) -> bool:
    """Whether the answer counts as right only because the model `judge` said so."""
    return verdict is not None and verdict.correct and _said(judge, "equivalent") in verdict.reason


class ModelJudge:
    """Asks the judge, and keeps every reply in the run by the hash of what was asked: nothing is asked twice."""

    def __init__(self, config: JudgeConfig, run: Run) -> None:
        """Reads what was asked before. InputError when the variable that should hold the key is not set."""
        assert config.model is not None
        self.name = config.model
        self._at_once = config.concurrency
        self._run = run
        self._journal = run.path / JOURNAL
        rows = read_jsonl(self._journal) if self._journal.exists() else []
        self._replies: dict[str, str] = {row["key"]: row["reply"] for row in rows}
        self._client = _client(config, run.warn)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def settle(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The groups in their order; they wait until there are enough questions to keep the judge busy.

        Raises:
            InputError: the judge is gone, overloaded, or has never answered anything; its replies so far are kept.
        """
        waiting: list[Group] = []
        questions: dict[str, dict[str, str]] = {}
        for group in groups:
            waiting.append(group)
            questions |= self._open(group)
            if not 0 < len(questions) < self._at_once:
                self._ask(questions)
                yield from map(self._decided, waiting)
                waiting, questions = [], {}
        self._ask(questions)
        yield from map(self._decided, waiting)

    def _open(self, group: Group) -> dict[str, dict[str, str]]:
        """What has to be asked about a group and was not, by key."""
        asked = (_question(group.problem, t.verdict) for t in group.trajectories)
        keyed = {self._key(question): question for question in asked if question is not None}
        return {key: question for key, question in keyed.items() if key not in self._replies}

    def _ask(self, questions: Mapping[str, dict[str, str]]) -> None:
        failed: list[RequestFailed] = []
        bodies = ((key, chat_body(self.name, _messages(question), [], 1, 0.0)) for key, question in questions.items())
        with closing(self._client.ask(bodies)) as results:
            for key, result in results:
                if isinstance(result, RequestFailed):
                    failed.append(result)
                    continue
                self._replies[key] = result[0] if result else ""
                row = {"key": key, "model": self.name, **questions[key], "reply": self._replies[key]}
                append_jsonl(self._journal, [row])
        if not failed:
            return
        said = f"judge {self.name}: {len(failed)} of {len(questions)} questions failed, the first: {failed[0]}"
        if not self._replies or any(fault.status not in _REFUSED for fault in failed):
            raise InputError(f"{said}; run again when it answers: what it has said is kept")
        self._run.warn(f"{said}; these answers stay wrong")

    def _decided(self, group: Group) -> Group:
        return replace(group, trajectories=tuple(self._with_word(group.problem, t) for t in group.trajectories))

    def _with_word(self, problem: Problem, trajectory: Trajectory) -> Trajectory:
        question = _question(problem, trajectory.verdict)
        if question is None:
            return trajectory
        assert trajectory.verdict is not None
        reply = self._replies.get(self._key(question))
        words = {None: "no reply", SAME: "equivalent", OTHER: "different"}
        word = words.get(None if reply is None else reply.strip(), "undecided")
        reason = f"{trajectory.verdict.reason}; {_said(self.name, word)}"
        verdict = replace(trajectory.verdict, reason=reason)
        if word == "equivalent":
            verdict = replace(verdict, correct=True, code=Reason.RIGHT)
            verdict = replace(verdict, parts={**verdict.parts, "accuracy": accuracy_reward(verdict)})
        return replace(trajectory, verdict=verdict)

    def _key(self, question: Mapping[str, str]) -> str:
        """The hash of everything that is said to the judge."""
        asked = [self.name, _messages(question)]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()


def _client(config: JudgeConfig, warn: Callable[[str], None]) -> ChatClient:
    assert config.url is not None
    settings = ServerSettings(
        (config.url,), concurrency=config.concurrency, timeout_s=config.timeout_s, api_key_env=config.api_key_env
    )
    return ChatClient(settings, warn)


def _said(judge: str, word: str) -> str:
    return f"judge {judge}: {word}"


def _question(problem: Problem, verdict: Verdict | None) -> dict[str, str] | None:
    """What the judge is asked, None where it is not its business.

    It has no word where the format is wrong (the score is 0 whatever it says), where several answers were given, nor
    where the gold answer is anything but words: numbers, quantities, formulas and lists are the rules'.
    """
    if verdict is None or verdict.code != Reason.DIFFERENT or not verdict.well_formed or verdict.extracted is None:
        return None
    answer = _visible(verdict.extracted)
    in_words = problem.answer_type is AnswerType.TEXT and shape_of(problem.answer, None) is Shape.WORDS
    if not in_words or control_token(answer) or _REPLY.search(answer):
        return None
    return {"question": problem.question, "reference": problem.answer, "answer": answer}


def _visible(text: str) -> str:
    """`text` on one line, without characters that nobody sees, such as those that turn the direction of writing."""
    seen = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf", "Co", "Cn", "Cs"))
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in seen).split())


@cache
def _instructions() -> str:
    return resources.files("metis_rise").joinpath("templates/judge.txt").read_text(encoding="utf-8").strip()


def _messages(question: Mapping[str, str]) -> list[dict[str, Any]]:
    shown = json.dumps(question, ensure_ascii=False)
    return [
        {"role": "system", "content": [{"type": "text", "text": _instructions()}]},
        {"role": "user", "content": [{"type": "text", "text": shown}]},
    ]
