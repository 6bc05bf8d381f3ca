"""What an expert is told besides the problem: its answer, its solution, hints, and how the policy failed at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metis_rise.errors import InputError
from metis_rise.problems.prompt import control_token, without_markers
from metis_rise.problems.world import is_world
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.recipe.yaml_text import parse_yaml
from metis_rise.types import Problem, StopReason, Trajectory

LONGEST_HINT = 2000
_LONGEST_FAULT = 200
_KEYS = ("subject", "topic", "category")
_CHAIN = "chain: "

Hints = Mapping[str, tuple[str, ...]]
"""Hints by subject or family, in lower case."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt of the policy and what is wrong with it."""

    text: str
    fault: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What an expert is told of one problem; empty where a recipe does not want it, or it is not there."""

    answer: str = ""
    solution: str = ""
    hints: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()


def parse_hints(text: str, where: str) -> Hints:
    """Hints of a YAML text: a mapping from a subject or a family to a text or a list of texts.

    Raises:
        InputError: it is something else, or a hint is too long or holds a model's control token; names `where`.
    """
    raw = parse_yaml(text, where)
    if not isinstance(raw, dict):
        raise InputError(f"{where}: must map subjects or families to a hint or a list of hints")
    return {str(key).casefold(): _checked(key, value, where) for key, value in raw.items()}


def _checked(key: object, value: object, where: str) -> tuple[str, ...]:
    found = []
    for hint in value if isinstance(value, list) else [value]:
        if not isinstance(hint, str) or not hint.strip():
            raise InputError(f"{where}: {key}: must be a text or a list of texts")
        if len(hint) > LONGEST_HINT:
            raise InputError(f"{where}: {key}: a hint has {len(hint)} characters; at most {LONGEST_HINT} are allowed")
        if token := control_token(hint):
            raise InputError(f"{where}: {key}: a hint holds the control token {token}; take it out")
        found.append(without_markers(hint.strip()))
    return tuple(found)


def knowledge_of(problem: Problem, config: ExpertConfig, hints: Hints, attempts: Sequence[Trajectory]) -> Knowledge:
    """What the recipe wants told of `problem`; `attempts` are the policy's, from the diagnosis."""
    told = config.knowledge
    return Knowledge(
        answer=problem.answer if "reference_answer" in told else "",
        solution=_solution(problem) if "reference_solution" in told else "",
        hints=_hints(problem, hints) if "hints" in told else (),
        failed=_failed(attempts, config) if "failed_attempts" in told else (),
    )


def _solution(problem: Problem) -> str:
    # The world's problems carry no solution text; their chain is one.
    text = str(problem.meta["chain"]) if is_world(problem) else problem.solution or ""
    return without_markers(text.strip())


def _hints(problem: Problem, hints: Hints) -> tuple[str, ...]:
    names = [problem.family, *(str(problem.meta.get(key, "")) for key in _KEYS)]
    keys = dict.fromkeys(name.casefold() for name in names)
    return tuple(dict.fromkeys(hint for key in keys for hint in hints.get(key, ())))


def _failed(attempts: Sequence[Trajectory], config: ExpertConfig) -> tuple[Failed, ...]:
    """Failed attempts with different answers, in the order in which they were drawn."""
    found: dict[str | None, Failed] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.sample):
        verdict = attempt.verdict
        # What a policy wrote may look like a chat's own tokens, which no prompt may hold.
        if verdict is None or attempt.strict or control_token(attempt.text):
            continue
        found.setdefault(verdict.extracted, Failed(_cut(attempt.text, config.failed_characters), fault_of(attempt)))
    return tuple(found.values())[: config.failed_attempts]


def fault_of(attempt: Trajectory) -> str:
    """What the verifier found wrong with a trajectory, in words."""
    verdict = attempt.verdict
    assert verdict is not None
    faults = []
    if attempt.stop is StopReason.LENGTH:
        faults.append("it did not come to an end")
    elif not verdict.well_formed:
        faults.append("its format is broken")
    if verdict.extracted is None:
        faults.append("it has no answer")
    elif not verdict.correct:
        faults.append(f"its answer {verdict.extracted} is wrong")
    _, found, chain = verdict.reason.partition(_CHAIN)
    if found:
        faults.append(chain)
    return _cut(without_markers("; ".join(faults)), _LONGEST_FAULT)


def _cut(text: str, most: int) -> str:
    text = without_markers(text.strip())
    return text if len(text) <= most else text[:most].rstrip() + " ..."
