"""What every stage works with: the recipe, the run, the problems, and a model that can be sampled and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metis_rise.engines.base import Engine, Request, SamplingParams
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import check_chain
from metis_rise.recipe import Recipe
from metis_rise.run import Run
from metis_rise.seeding import derive
from metis_rise.stages.hands import Hands, OwnHands
from metis_rise.stages.longest import Longest
from metis_rise.stages.models import load_policy
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.serving import Turn, make_engine
from metis_rise.stages.so_far import SoFar
from metis_rise.stages.team.leading import Team, TeamHands
from metis_rise.stages.team.sampling import team_engine
from metis_rise.terminal import Loop
from metis_rise.types import Group, Problem, StopReason, Trajectory
from metis_rise.verifier.judge import judge

MODEL_FOLDER = "model"
# How often problems are asked that the sampler gives up.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """One loaded model with the prompts it has seen and the engine that samples it.

    Benches with one set of servers share a `turn`: each pushes its weights before it samples after another one.
    """

    policy: Policy
    engine: Engine
    prompts: Prompts
    turn: Turn = field(default_factory=Turn)
    mark: object = field(default_factory=object)
    hands: Hands | None = None

    @property
    def work(self) -> Hands:
        """Who does the passes and keeps the model: this process alone where nobody else was named."""
        return OwnHands(self.policy, self.prompts) if self.hands is None else self.hands

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """Groups as they finish: see `Engine.sample`."""
        if self.turn.owner is not self.mark:
            self.push()
        self.expect(request.problem for request in requests)
        return self.engine.sample(requests)

    def expect(self, problems: Iterable[Problem]) -> None:
        """Says what will be sampled next, so that its pictures are there by then."""
        # Who of a team reads which prompt is settled when it samples.
        if self.engine.remote or not isinstance(self.work, TeamHands):
            self.prompts.expect(problems)

    def push(self) -> Mapping[str, float]:
        """Samples with the policy's present weights from now on: see `Engine.push`."""
        # Where a push fails half-way, nobody's weights are there.
        self.turn.owner = None
        figures = self.engine.push()
        self.turn.owner = self.mark
        return figures

    def close(self) -> None:
        """Lets go of the engine and the model; nothing is sampled afterwards."""
        self.engine.close()
        self.work.close()

    def prompt(self, problem: Problem) -> Prompt:
        """The encoded prompt of a problem."""
        return self.prompts(problem)


@dataclass(frozen=True, slots=True)
class Workshop:
    """A run at work. `max_tokens` is the longest completion, settled before the first stage (lengths.py).

    `system` is the recipe's prompt.system, a file being the run's own copy. `team` are the processes that do the work
    on models; None where there is only this one. `helpers` cut up pictures for each of them.
    """

    recipe: Recipe
    run: Run
    store: ImageStore
    sets: ProblemSets
    max_tokens: int
    system: str | None
    turn: Turn = field(default_factory=Turn)
    team: Team | None = None
    helpers: int = 0
    # By split, where somebody has asked.
    longest: dict[str, Longest] = field(default_factory=dict)

    def bench(self, model: str | Path) -> Bench:
        """Loads a model by name or folder, and an engine on it; close the bench when it has done its work.

        Raises InputError for servers that are not there, or cannot do the run's work; they are asked once per process.
        """
        hands = self.hands(model)
        policy, prompts = hands.policy, hands.prompts
        engine = make_engine(self.recipe, self.run, self.sets, self.store, policy, prompts, self.turn)
        if isinstance(engine, ServerEngine) and not self.turn.checked:
            found = [self._longest(prompts, split).measured(prompts) for split in self.sets.named()]
            engine.check(*max(found), self.max_tokens)
            self.turn.checked = True
        if isinstance(hands, TeamHands):
            engine = team_engine(hands, engine)
        return Bench(policy, engine, prompts, self.turn, hands=hands)

    def hands(self, model: str | Path) -> Hands:
        """Loads a model by name or folder, without an engine; close it when it has done its work."""
        if self.team is not None:
            return self.team.load(model, self.store.folder, self.system, self.helpers)
        policy = load_policy(self.recipe, model, self.system)
        return OwnHands(policy, Prompts(policy, self.store, policy.system, self.helpers))

    @property
    def waited(self) -> float:
        """Seconds that a process of the team has spent waiting for others so far; 0 without a team."""
        return 0.0 if self.team is None else self.team.waited

    def check_room(self, bench: Bench, part: str, micro_tokens: int) -> None:
        """InputError when the longest training prompt and a completion of `max_tokens` pass a pass's token budget.

        `part` is the recipe's section that `micro_tokens` is from.
        """
        train = self._longest(bench.prompts, "train")
        if train.within(micro_tokens - self.max_tokens):
            return
        longest, problem = train.measured(bench.prompts)
        need = longest + self.max_tokens
        if need > micro_tokens:
            raise InputError(
                f"{part}.micro_tokens = {micro_tokens}: problem {problem!r} has a prompt of {longest} tokens, with "
                f"completions of up to {self.max_tokens} it needs {need}; set {part}.micro_tokens={need} or more "
                "(the run goes on with it), or start anew with a smaller model.max_pixels or sampling.max_tokens"
            )

    def _longest(self, prompts: Prompts, split: str) -> Longest:
        if split not in self.longest:
            self.longest[split] = Longest(prompts, self.sets.named()[split], split)
        return self.longest[split]

    def model_after(self, stage: str) -> Path:
        """The folder of the model that `stage` ("rl" or "sft") of this round made."""
        return self.run.stage(stage).path / MODEL_FOLDER

    @property
    def start_model(self) -> str | Path:
        """What this round's RL starts from: the recipe's model, later what the round before made."""
        if self.run.number == 1:
            return self.recipe.model.path
        return self.in_round(self.run.number - 1).model_after("sft")

    def in_round(self, number: int) -> Workshop:
        """The same work at another round (from 1)."""
        return replace(self, run=self.run.in_round(number))

    @property
    def seed(self) -> int:
        """Seed of this round's draws; what is compared across rounds (dev and test) is drawn from the recipe's."""
        seed, number = self.recipe.seed, self.run.number
        return seed if number == 1 else derive(seed, "round", number)

    @property
    def sampled(self) -> SamplingParams:
        """The recipe's sampling settings."""
        config = self.recipe.sampling
        return SamplingParams(config.temperature, config.top_p, config.top_k, self.max_tokens)

    @property
    def greedy(self) -> SamplingParams:
        """The likeliest completion, as long as the recipe allows."""
        return SamplingParams(temperature=0.0, max_tokens=self.max_tokens)


def sample_judged(
    bench: Bench, requests: Sequence[Request], source: str, description: str = "sampling"
) -> Iterator[Group]:
    """Groups as they finish, every trajectory with its verdict; a bar of the live view says how they are so far.

    What the sampler gave up is judged as well, as what it is: a completion with no end. Ask `Group.aborted`.
    """
    bar, so_far = Loop(bench.sample(requests), total=len(requests), desc=description, unit="problem"), SoFar()
    for group in bar:
        trajectories = tuple(judged(group.problem, t, source) for t in group.trajectories)
        bar.set_postfix(so_far.add(trajectories))
        yield Group(group.problem, trajectories)


def sample_whole(bench: Bench, requests: Sequence[Request], source: str, description: str) -> Iterator[Group]:
    """`sample_judged` for scores: problems that the sampler gave up are asked again, and never count as wrong.

    Raises:
        InputError: the sampler gave up some of them `ATTEMPTS` times; all others have come by then.
    """
    left = {request.problem.id: request for request in requests}
    for _ in range(ATTEMPTS):
        for group in sample_judged(bench, list(left.values()), source, description):
            if not group.aborted:
                del left[group.problem.id]
                yield group
        if not left:
            return
    raise InputError(
        f"{description}: the sampler gave up {len(left)} of {len(requests)} problems {ATTEMPTS} times, the first is "
        f"{next(iter(left))!r}; see the servers' logs, then run again: what is done is kept"
    )


def judged(problem: Problem, trajectory: Trajectory, source: str) -> Trajectory:
    """The trajectory with the verifier's verdict, its chain checked where the problem has a checker."""
    verdict = judge(problem, trajectory.text, ended=trajectory.stop in (StopReason.EOS, StopReason.STOP))
    fault = check_chain(problem, trajectory.text)
    return trajectory.judged(verdict, source, fault)
