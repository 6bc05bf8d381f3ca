"""What the expert stage would ask and what that would cost, found out without a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from metis_rise.recipe.expert import ExpertConfig, ExpertEntry
from metis_rise.stages.experts.acceptance import Examiner
from metis_rise.stages.experts.answers import Answers
from metis_rise.stages.experts.endpoint import question_key
from metis_rise.stages.experts.estimate import cost, prompt_tokens
from metis_rise.stages.experts.free import FREE_EXPERTS
from metis_rise.stages.experts.question import Questions
from metis_rise.types import Problem

# Where no reply is known yet: so many calls give an accepted one, and an answer takes this share of max_tokens.
ASSUMED_ACCEPTANCE = 0.5
ASSUMED_LENGTH = 0.25


@dataclass(slots=True)
class Line:
    """One expert's part. Expected figures are means; `most` is with every reply refused and of full length.

    `kept` problems are solved without a call: by a free expert, or by an answer that is in the journal.
    """

    entry: ExpertEntry
    acceptance: float = ASSUMED_ACCEPTANCE
    answer_tokens: float = 0.0
    measured: int = 0
    kept: int = 0
    calls: float = 0.0
    calls_most: int = 0
    prompt: float = 0.0
    prompt_most: int = 0

    @property
    def completion(self) -> float:
        """Expected answer tokens."""
        return self.calls * self.answer_tokens

    @property
    def completion_most(self) -> int:
        """Answer tokens at most."""
        return self.calls_most * self.entry.samples * self.entry.max_tokens

    @property
    def cost(self) -> float | None:
        """Expected cost; None where the recipe names no prices."""
        return None if self._unpriced else cost(self.entry, self.prompt, self.completion)

    @property
    def cost_most(self) -> float | None:
        """Cost at most; None where the recipe names no prices."""
        return None if self._unpriced else cost(self.entry, self.prompt_most, self.completion_most)

    @property
    def _unpriced(self) -> bool:
        return not self.entry.free and (self.entry.price_in is None or self.entry.price_out is None)


@dataclass(frozen=True, slots=True)
class Plan:
    """A line per expert, in order. `diagnosed` is False where every training problem was counted as absent."""

    problems: int
    diagnosed: bool
    config: ExpertConfig
    held: Answers
    lines: list[Line] = field(default_factory=list)


def make_plan(
    config: ExpertConfig,
    problems: Sequence[Problem],
    questions: Questions,
    held: Answers,
    examine: Examiner,
    *,
    diagnosed: bool,
) -> Plan:
    """Follows each problem through the experts; what is in the journal (`held`) is free, and says what to expect."""
    lines = [_measured(Line(entry), problems, questions, held, examine) for entry in config.experts]
    for problem in problems:
        _follow(problem, lines, questions, held, examine)
    return Plan(len(problems), diagnosed, config, held, lines)


def _measured(line: Line, problems: Sequence[Problem], questions: Questions, held: Answers, examine: Examiner) -> Line:
    """`line` with what the journal says of its expert's replies."""
    entry, accepted = line.entry, 0
    line.answer_tokens = ASSUMED_LENGTH * entry.samples * entry.max_tokens
    if entry.free:
        return line
    by_id = {problem.id: problem for problem in problems}
    paid = [call for call in held.known() if call.expert == entry.name and call.problem in by_id]
    for call in paid:
        accepted += _accepted(by_id[call.problem], [(a.text, a.whole) for a in call.answers], examine)
    if paid:
        line.measured, line.acceptance = len(paid), accepted / len(paid)
        line.answer_tokens = sum(call.completion_tokens for call in paid) / len(paid)
    return line


def _accepted(problem: Problem, answers: Sequence[tuple[str, bool]], examine: Examiner) -> bool:
    return any(not examine(problem, text, whole=whole, told=True)[0] for text, whole in answers)


def _follow(problem: Problem, lines: Sequence[Line], questions: Questions, held: Answers, examine: Examiner) -> None:
    """Adds what `problem` may need to `lines`."""
    likely = 1.0
    for line in lines:
        if line.entry.free:
            replies = FREE_EXPERTS[line.entry.name].replies(problem)
            if any(not examine(problem, text, whole=True, told=False)[0] for text in replies):
                line.kept += 1
                return
            continue
        question = questions(problem)
        tokens = prompt_tokens(question.messages, question.sizes)
        for attempt in range(len(line.entry.temperatures)):
            paid = held.get(question_key(line.entry, question, attempt))
            if paid is not None:
                if _accepted(problem, [(a.text, a.whole) for a in paid.answers], examine):
                    line.kept += 1
                    return
                continue
            line.calls += likely
            line.calls_most += 1
            line.prompt += likely * tokens
            line.prompt_most += tokens
            likely *= 1 - line.acceptance
