r"""The verifier as reward functions for other trainers: TRL's `GRPOTrainer` and verl.

>>> from metis_rise.rewards import accuracy_reward, answer_reward, format_reward
>>> said = [r"<think> 2 + 2 is 4. </think><answer> \boxed{4} </answer>", r"It is \boxed{4}."]
>>> accuracy_reward(said, answer=["4", "4"])
[1.0, 0.0]
>>> answer_reward(said, answer=["4", "4"])
[1.0, 1.0]
>>> format_reward(said)
[1.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any

from metis_rise.problems.answers import MAX_CHOICES
from metis_rise.problems.row import known_type
from metis_rise.recipe.rl import RLConfig
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier import rewards
from metis_rise.verifier.format import format_fault
from metis_rise.verifier.gold import check_gold
from metis_rise.verifier.judge import judge
from metis_rise.verify.pairs import problem_of

Completions = Sequence[str | Sequence[Mapping[str, Any]]]
"""As TRL gives them: texts, or lists of chat messages, of which the last one counts."""


def accuracy_reward(completions: Completions, answer: Sequence[Any], **columns: Any) -> list[float | None]:
    """1.0 for a right answer in the format of reasoning and answer that recipes train, else 0.0.

    Args:
        completions: what the model said.
        answer: the gold answer of each, a column of the data set.
        columns: the other columns, of which `answer_type`, `choices` and `question` are used where they are there;
            without an `answer_type` the gold answer decides how it is compared (docs/data.md).

    Returns:
        A reward for each completion; None, which TRL leaves out of its sum, where there is no gold answer, or none that
        answers can be judged by.
    """
    problems = _problems(answer, columns)
    texts = map(_text, completions)
    return [
        None if problem is None else rewards.accuracy_reward(judge(problem, text))
        for problem, text in zip(problems, texts, strict=True)
    ]


def answer_reward(completions: Completions, answer: Sequence[Any], **columns: Any) -> list[float | None]:
    """`accuracy_reward` for models with another format: 1.0 for a right answer, however it is given."""
    problems = _problems(answer, columns)
    texts = map(_text, completions)
    return [
        None if problem is None else float(judge(problem, text, strict=False).correct)
        for problem, text in zip(problems, texts, strict=True)
    ]


def format_reward(completions: Completions, **columns: Any) -> list[float]:
    """1.0 for the format of reasoning and answer that recipes train, whatever the answer, else 0.0."""
    return [float(format_fault(_text(completion)) is None) for completion in completions]


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """The score of one completion for verl's `custom_reward_function`.

    Args:
        data_source: not used.
        solution_str: what the model said.
        ground_truth: the gold answer.
        extra_info: may hold `answer_type`, `choices` and `question`, as `rise export rl` writes them.

    Returns:
        `score`, accuracy and format with the weights of a recipe that says nothing else, and both by themselves.
    """
    extra = extra_info or {}
    problem = _problem(ground_truth, extra.get("answer_type"), extra.get("choices"), extra.get("question"))
    verdict = judge(problem, solution_str)
    weights = RLConfig.model_fields
    accuracy, form = rewards.accuracy_reward(verdict), rewards.format_reward(verdict)
    score = weights["accuracy_weight"].default * accuracy + weights["format_weight"].default * form
    return {"score": score, rewards.ACCURACY: accuracy, rewards.FORMAT: form}


def _problems(answers: Sequence[Any], columns: Mapping[str, Any]) -> list[Problem | None]:
    """A problem for each gold answer, None where it cannot be judged by."""
    nothing = [None] * len(answers)
    others = (columns.get(name) or nothing for name in ("answer_type", "choices", "question"))
    found = [_problem(*given) for given in zip(answers, *others, strict=True)]
    return [None if check_gold(p.answer, p.answer_type, p.choices) else p for p in found]


def _problem(answer: Any, answer_type: str | None, choices: Sequence[Any] | None, question: str | None) -> Problem:
    answer, answer_type, choices, question = map(_given, (answer, answer_type, choices, question))
    kind: AnswerType | None = known_type(answer_type) if answer_type else None
    # numpy's arrays, which verl has for lists, are neither true nor false.
    options = [str(choice) for choice in choices] if choices is not None and len(choices) else None
    if options and len(options) > MAX_CHOICES:
        answer, options = None, None  # Which a run leaves out too.
    return problem_of("" if answer is None else str(answer), kind, options, question or "")


def _given(value: Any) -> Any:
    """A value of a column, None for what pandas and numpy write where there is none."""
    return None if isinstance(value, Number) and str(value) == "nan" else value


def _text(completion: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else ""
    parts = content if isinstance(content, list) else [{"text": content}]
    return "".join(str(part.get("text") or "") for part in parts)
