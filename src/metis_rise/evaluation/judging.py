"""Protocol `judge`: what VLMEvalKit's judge-free rules leave open, a model behind a chat API takes out of the answer.

The model only copies answers out and never sees the gold answer, except for MathVerse, where it also compares. What it
cannot be brought to say is judged by our own rules, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metis_rise.benchmarks.base import Benchmark, Item
from metis_rise.benchmarks.scoring import UNDECIDED
from metis_rise.engines.server.referee import OTHER, SAME, Question, Referee, instructions
from metis_rise.errors import InputError
from metis_rise.evaluation.judging_questions import (
    COMPARED,
    NONE,
    TEMPLATES,
    check_judged,
    comparison_question,
    conclusion,
    extraction_question,
    read_extraction,
)
from metis_rise.recipe import JudgeConfig
from metis_rise.types import Reason, Verdict
from metis_rise.verifier.format import format_fault

QUICK, BY_JUDGE = "judge-free rule", "judge"
"""Rules of verdicts: who found the answer."""

# A reply that makes no sense is asked for again, each time a little warmer.
_TEMPERATURES = (0.0, 0.5, 1.0)
# So many times what the judge takes at once is asked before verdicts are given: few waits for the slowest reply.
_WINDOW = 8
_NAMED = 5


def judge_config(url: str, model: str, key_env: str = "", concurrency: int = 8) -> JudgeConfig:
    """The judge that the flags --judge-url, --judge-model, --judge-key-env and --judge-concurrency name.

    Raises:
        InputError: a value that cannot be; its flag is named.
    """
    flags = {"url": "--judge-url", "model": "--judge-model", "concurrency": "--judge-concurrency"}
    try:
        return JudgeConfig(url=url, model=model, api_key_env=key_env, concurrency=concurrency)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].replace("Input should", "must").replace("String should", "must")
        raise InputError(f"{flags[str(first['loc'][0])]} {first['input']!r}: {message}") from error


class Judge:
    """Verdicts of protocol `judge`; replies are kept in a journal, and nothing is asked twice."""

    def __init__(self, config: JudgeConfig, journal: Path, warn: Callable[[str], None]) -> None:
        """Reads what was asked before. InputError when the variable that should hold the key is not set."""
        self._referee = Referee(config, journal, warn)
        self._warn = warn

    def close(self) -> None:
        """Closes the connections."""
        self._referee.close()

    def record(self) -> Mapping[str, Any]:
        """What the judge is, for the protocol line: the model, and a name of all that it is told."""
        told = sha256("\n".join(instructions(name) for name in TEMPLATES).encode()).hexdigest()
        return {"model": self._referee.name, "prompts": told[:12]}

    def verdicts(self, benchmark: Benchmark, answers: Iterable[tuple[Item, str]]) -> Iterator[Verdict]:
        """The verdict of each answer, in their order; at the end, those that the judge left undecided are named.

        Raises:
            InputError: the benchmark has no such protocol; or the judge is gone, overloaded, or has never answered
                anything, which says how to go on: its replies so far are kept.
        """
        check_judged(benchmark)
        count, undecided, held = 0, list[str](), list[Verdict]()
        for item, verdict in self._decided(benchmark, answers):
            yield from held
            held = [verdict]
            count += 1
            if verdict.rule == UNDECIDED:
                undecided.append(item.index)
        # Before the last one: whoever takes as many verdicts as there are answers never comes to the end.
        if undecided:
            named = ", ".join(undecided[:_NAMED]) + (", ..." if len(undecided) > _NAMED else "")
            self._warn(
                f"judge {self._referee.name}: undecided on {len(undecided)} of {count} answers of {benchmark.title}, "
                f"which our rules judged instead: index {named}"
            )
        yield from held

    def _decided(self, benchmark: Benchmark, answers: Iterable[tuple[Item, str]]) -> Iterator[tuple[Item, Verdict]]:
        """Answers wait until there are enough questions to keep the judge busy."""
        waiting: list[tuple[Item, str]] = []
        questions: dict[str, Question] = {}
        for item, text in answers:
            waiting.append((item, text))
            questions |= self._open(self._outcome(benchmark, item, text))
            if not 0 < len(questions) < _WINDOW * self._referee.at_once:
                yield from self._settled(benchmark, waiting, questions)
                waiting, questions = [], {}
        yield from self._settled(benchmark, waiting, questions)

    def _settled(
        self, benchmark: Benchmark, waiting: list[tuple[Item, str]], questions: dict[str, Question]
    ) -> Iterator[tuple[Item, Verdict]]:
        """Asks, and asks what the replies lead to, until every one of `waiting` has its verdict."""
        while questions:
            self._referee.ask(questions, otherwise="our rules judge these answers instead")
            questions = {}
            for item, text in waiting:
                questions |= self._open(self._outcome(benchmark, item, text))
        for item, text in waiting:
            outcome = self._outcome(benchmark, item, text)
            assert isinstance(outcome, Verdict)
            yield item, outcome

    def _open(self, outcome: Verdict | Question) -> dict[str, Question]:
        return {self._referee.key(outcome): outcome} if isinstance(outcome, Question) else {}

    def _outcome(self, benchmark: Benchmark, item: Item, text: str) -> Verdict | Question:
        """The verdict, or what has to be asked next for it; the replies so far say which."""
        quick = benchmark.quick(item, text)
        if quick is not None:
            return _verdict(text, quick, benchmark.judged(item, quick), QUICK)
        if not conclusion(text):
            return _verdict(text, None, False, BY_JUDGE)
        found = self._said(
            lambda temperature: extraction_question(benchmark, item, text, temperature),
            lambda reply: read_extraction(benchmark, item, reply),
        )
        if isinstance(found, Question):
            return found
        if found is None:
            return self._by_rule(benchmark, item, text)
        if found == NONE:
            return _verdict(text, None, False, BY_JUDGE)
        correct = benchmark.judged(item, found)
        if correct or benchmark.name not in COMPARED:
            return _verdict(text, found, correct, BY_JUDGE)
        return self._compared(benchmark, item, text, found)

    def _compared(self, benchmark: Benchmark, item: Item, text: str, answer: str) -> Verdict | Question:
        word = self._said(
            lambda temperature: comparison_question(benchmark, item, answer, temperature),
            lambda reply: word if (word := reply.strip()) in (SAME, OTHER) else None,
        )
        if isinstance(word, Question):
            return word
        return self._by_rule(benchmark, item, text) if word is None else _verdict(text, answer, word == SAME, BY_JUDGE)

    def _said(
        self, ask: Callable[[float], Question | None], read: Callable[[str], str | None]
    ) -> str | Question | None:
        """What is read of the first reply that makes sense; the next question to ask; None where nothing is left."""
        for question in map(ask, _TEMPERATURES):
            if question is None:
                return None
            reply = self._referee.reply(question)
            if reply is None:
                return None if self._referee.refused(question) else question
            if (found := read(reply)) is not None:
                return found
        return None

    def _by_rule(self, benchmark: Benchmark, item: Item, text: str) -> Verdict:
        ruled = benchmark.rule(item, text)
        return replace(ruled, rule=UNDECIDED, reason=f"{UNDECIDED}; by rule: {ruled.rule}; {ruled.reason}")


def _verdict(text: str, answer: str | None, correct: bool, rule: str) -> Verdict:
    fault = format_fault(text)
    code = Reason.NO_ANSWER if answer is None else Reason.RIGHT if correct else Reason.DIFFERENT
    return Verdict(correct, fault is None, answer, rule, reason=str(code), code=code, fault=fault or "")
