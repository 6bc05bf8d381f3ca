"""The prompts of experts: a Jinja template around the problem, its pictures where the question has them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from jinja2 import Template, TemplateError

from metis_rise.errors import InputError
from metis_rise.jinja_trial import try_template
from metis_rise.jinja_trial.sandbox import compiled
from metis_rise.problems.prompt import build_messages, control_token, option_lines
from metis_rise.stages.experts.knowledge import Failed, Knowledge
from metis_rise.types import AnswerType, Problem

LONGEST_PROMPT = 200_000
_CANARY = "the question itself, canary 7f3a"


class Prompter:
    """Turns a problem, and what is known of it, into the messages that an endpoint gets."""

    def __init__(self, template: str, where: str, system: str | None) -> None:
        """`template` is Jinja text, `where` its name in errors, `system` the system prompt.

        Raises:
            InputError: it cannot be rendered, does not come to an end, leaves the question out, or holds a model's
                control token.
        """
        self._where, self._system = where, system
        problem = Problem("canary", _CANARY, "4", AnswerType.NUMBER)
        canaries = (Knowledge(), Knowledge("4", "2 + 2 = 4", ("Add.",), (Failed("5", "wrong"),)))
        # Before it is compiled: constant texts are made then.
        try_template(template, where, [_values(problem, known) | asdict(known) for known in canaries])
        self._template = _compiled(template, where)
        for known in canaries:
            if _CANARY not in self._text(problem, known):
                raise InputError(f"{where}: the prompt lacks the question; write {{{{ question }}}} where it belongs")

    def messages(self, problem: Problem, known: Knowledge) -> list[dict[str, Any]]:
        """Chat messages as `build_messages` makes them, with what is `known` in the user's.

        Raises:
            InputError: the prompt is too long or holds a model's control token.
        """
        return build_messages(replace(problem, question=self._text(problem, known), choices=None), self._system)

    def _text(self, problem: Problem, known: Knowledge) -> str:
        try:
            text = self._template.render(_values(problem, known)).strip()
        # What a template does with what it is given is the user's code: a number may be divided by zero there.
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"{self._where}: problem {problem.id}: cannot be rendered: {error}") from error
        if len(text) > LONGEST_PROMPT:
            raise InputError(f"{self._where}: problem {problem.id}: a prompt of {len(text)} characters")
        if token := control_token(text):
            raise InputError(f"{self._where}: problem {problem.id}: the prompt holds the control token {token}")
        return text


def _values(problem: Problem, known: Knowledge) -> dict[str, Any]:
    """What a template is given."""
    return {
        "question": problem.question,
        "options": option_lines(problem.choices),
        "answer": known.answer,
        "solution": known.solution,
        "hints": known.hints,
        "failed": known.failed,
    }


def _compiled(template: str, where: str) -> Template:
    try:
        return compiled(template)
    except TemplateError as error:
        raise InputError(f"{where}: no Jinja template: {error}") from error
