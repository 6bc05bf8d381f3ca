"""The optional model judge: of text answers that the rules call different, it may say that they mean the same.

What a model wrote is shown to another model, so it may try to talk to it. Hence: the answer is data inside JSON, whose
characters cannot end it; answers that hold a chat token or one of the two replies are not shown at all; and only the
one exact reply changes a verdict.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from metis_rise.engines.server.referee import OTHER, SAME, Question, Referee, comparable, instructions, visible
from metis_rise.engines.server.words import read_key
from metis_rise.recipe import JudgeConfig, Recipe
from metis_rise.run import Run
from metis_rise.types import AnswerType, Group, Problem, Reason, Trajectory, Verdict
from metis_rise.verifier.extraction import Shape, shape_of
from metis_rise.verifier.rewards import accuracy_reward

JOURNAL = "judge.jsonl"


def check_judge(recipe: Recipe) -> None:
    """InputError where the recipe names a judge whose key is not in the environment; nobody is asked."""
    if recipe.judge.url is not None and recipe.judge.api_key_env:
        read_key(recipe.judge.api_key_env)


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
    """Gives verdicts the judge's word, which the run keeps."""

    def __init__(self, config: JudgeConfig, run: Run) -> None:
        """Reads what was asked before. InputError when the variable that should hold the key is not set."""
        self._referee = Referee(config, run.path / JOURNAL, run.warn)

    def close(self) -> None:
        """Closes the connections."""
        self._referee.close()

    def settle(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The groups in their order; they wait until there are enough questions to keep the judge busy.

        Raises:
            InputError: the judge is gone, overloaded, or has never answered anything; its replies so far are kept.
        """
        waiting: list[Group] = []
        questions: dict[str, Question] = {}
        for group in groups:
            waiting.append(group)
            questions |= self._open(group)
            if not 0 < len(questions) < self._referee.at_once:
                self._ask(questions)
                yield from map(self._decided, waiting)
                waiting, questions = [], {}
        self._ask(questions)
        yield from map(self._decided, waiting)

    def _open(self, group: Group) -> dict[str, Question]:
        """What has to be asked about a group and was not, by key."""
        asked = (_question(group.problem, t.verdict) for t in group.trajectories)
        unknown = (question for question in asked if question is not None and self._referee.reply(question) is None)
        return {self._referee.key(question): question for question in unknown}

    def _ask(self, questions: dict[str, Question]) -> None:
        self._referee.ask(questions, otherwise="these answers stay wrong")

    def _decided(self, group: Group) -> Group:
        return replace(group, trajectories=tuple(self._with_word(group.problem, t) for t in group.trajectories))

    def _with_word(self, problem: Problem, trajectory: Trajectory) -> Trajectory:
        question = _question(problem, trajectory.verdict)
        if question is None:
            return trajectory
        assert trajectory.verdict is not None
        reply = self._referee.reply(question)
        words = {None: "no reply", SAME: "equivalent", OTHER: "different"}
        word = words.get(None if reply is None else reply.strip(), "undecided")
        reason = f"{trajectory.verdict.reason}; {_said(self._referee.name, word)}"
        verdict = replace(trajectory.verdict, reason=reason)
        if word == "equivalent":
            verdict = replace(verdict, correct=True, code=Reason.RIGHT)
            verdict = replace(verdict, parts={**verdict.parts, "accuracy": accuracy_reward(verdict)})
        return replace(trajectory, verdict=verdict)


def _said(judge: str, word: str) -> str:
    return f"judge {judge}: {word}"


def _question(problem: Problem, verdict: Verdict | None) -> Question | None:
    """What the judge is asked, None where it is not its business.

    It has no word where the format is wrong (the score is 0 whatever it says), where several answers were given, nor
    where the gold answer is anything but words: numbers, quantities, formulas and lists are the rules'.
    """
    if verdict is None or verdict.code != Reason.DIFFERENT or not verdict.well_formed or verdict.extracted is None:
        return None
    answer = " ".join(visible(unicodedata.normalize("NFKC", verdict.extracted)).split())
    in_words = problem.answer_type is AnswerType.TEXT and shape_of(problem.answer, None) is Shape.WORDS
    if not in_words or not comparable(answer):
        return None
    data = {"question": problem.question, "reference": problem.answer, "answer": answer}
    return Question(instructions("judge"), data, note=data)
