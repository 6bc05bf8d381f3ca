"""The experts of a recipe at work: checked first, then many problems at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.words import read_key
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.stages.experts.acceptance import Examiner
from metis_rise.stages.experts.answers import Answers
from metis_rise.stages.experts.budget import Budget, BudgetSpent
from metis_rise.stages.experts.endpoint import EndpointExpert
from metis_rise.stages.experts.files import ExpertFiles
from metis_rise.stages.experts.free import FREE_EXPERTS
from metis_rise.stages.experts.question import Questions
from metis_rise.stages.experts.solving import Expert, FreeExpert, Outcome, solve
from metis_rise.types import Problem, Trajectory


def check_keys(config: ExpertConfig) -> None:
    """InputError, naming the expert and the variable, unless every endpoint's key is there."""
    for entry in config.endpoints:
        try:
            if entry.api_key_env:
                read_key(entry.api_key_env)
        except InputError as error:
            raise InputError(f"expert {entry.name!r}: {error}") from error


class Session(AbstractContextManager["Session"]):
    """Holds the connections and the journal of a stage's experts, until it is left."""

    def __init__(
        self,
        config: ExpertConfig,
        files: ExpertFiles,
        attempts: Mapping[str, Sequence[Trajectory]],
        store: ImageStore,
        journal: Path,
        warn: Callable[[str], None],
        *,
        later: bool = False,
    ) -> None:
        """No call is made yet. `attempts` are the policy's, by problem id; `warn` is told of servers that go and come.

        `later`: this is not the run's first round. What earlier rounds have spent of the budget is no error then.

        Raises:
            InputError: a key that is not there, or files that cannot be used.
        """
        check_keys(config)
        self.answers = Answers(journal)
        self.questions = Questions(config, files, attempts, store)
        self._config = config
        caps = config.budget

        def note(cap: str) -> None:
            self.answers.note_end(cap, caps)

        begun = later and self.answers.asked_before
        budget = Budget(caps, self.answers.spent, self.answers.ended(caps), note, begun=begun)
        self._endpoints: dict[str, EndpointExpert] = {
            entry.name: EndpointExpert(entry, self.questions, store, self.answers, budget, warn)
            for entry in config.endpoints
        }
        self._experts: list[Expert] = [
            FreeExpert(entry.name, FREE_EXPERTS[entry.name]) if entry.free else self._endpoints[entry.name]
            for entry in config.experts
        ]
        self._loop = LoopThread()

    def check(self, problems: Sequence[Problem]) -> list[str]:
        """Ask every endpoint whether it can do the work, and make all prompts; what could not be asked, in words.

        Raises:
            InputError: what cannot be done, on one line; of all calls only those that found it out were made.
        """
        if self._endpoints:
            for problem in problems:
                self.questions(problem)
        pictured = any(problem.images for problem in problems)

        async def all_of_them() -> list[str]:
            return await asyncio.gather(*(expert.check(pictured) for expert in self._endpoints.values()))

        try:
            return [note for note in self._loop.run(all_of_them()) if note]
        except BudgetSpent:
            # An earlier process came so far; what it got is there without a call.
            return []

    def solve(self, problems: Sequence[Problem], examine: Examiner) -> Generator[Outcome, None, None]:
        """The outcome of each problem, as they come; calls of all experts overlap."""
        works = (solve(problem, self._experts, examine) for problem in problems)
        return self._loop.stream(works, max(1, sum(entry.concurrency for entry in self._config.endpoints)))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close all connections and end the thread that served them."""
        for expert in self._endpoints.values():
            self._loop.run(expert.close())
        self._loop.close()
