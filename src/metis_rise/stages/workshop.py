"""What every stage works with: the recipe, the run, the problems, and a model that can be sampled and judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from metis_rise.engines.base import Engine, Request, SamplingParams
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import prompt_tokens
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import RISE, build_messages, load_system
from metis_rise.problems.world import check_chain
from metis_rise.recipe import Recipe
from metis_rise.run import Run
from metis_rise.seeding import derive
from metis_rise.stages.serving import Turn, make_engine
from metis_rise.types import Group, Problem, StopReason, Trajectory
from metis_rise.verifier.judge import judge

MODEL_FOLDER = "model"
AUTO = "auto"
KEPT_BYTES = 256 << 20
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

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        """Groups as they finish: see `Engine.sample`."""
        if self.turn.owner is not self.mark:
            self.push()
        return self.engine.sample(requests)

    def push(self) -> Mapping[str, float]:
        """Samples with the policy's present weights from now on: see `Engine.push`."""
        # Where a push fails half-way, nobody's weights are there.
        self.turn.owner = None
        figures = self.engine.push()
        self.turn.owner = self.mark
        return figures

    def close(self) -> None:
        """Lets go of the engine; nothing is sampled afterwards."""
        self.engine.close()

    def prompt(self, problem: Problem) -> Prompt:
        """The encoded prompt of a problem."""
        return self.prompts(problem)


@dataclass(slots=True)
class Prompts:
    """Encodes problems for one policy, and keeps the prompts used last, up to `KEPT_BYTES` of pixels."""

    policy: Policy
    store: ImageStore
    system: str | None
    _known: dict[str, Prompt] = field(default_factory=dict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, problem: Problem) -> Prompt:
        """The prompt of `problem`. Threads may call at once: one that samples, one that trains."""
        with self._lock:
            return self._prompt(problem)

    def _prompt(self, problem: Problem) -> Prompt:
        prompt = self._known.pop(problem.id, None)
        if prompt is None:
            images = [self.store.open(key) for key in problem.images]
            encoded = self.policy.encode(build_messages(problem, self.system), images)
            prompt = replace(encoded, problem=problem.id)
            self._bytes += _size(prompt)
        self._known[problem.id] = prompt
        while self._bytes > KEPT_BYTES and len(self._known) > 1:
            oldest = next(iter(self._known))
            self._bytes -= _size(self._known.pop(oldest))
        return prompt

    def length(self, problem: Problem) -> int:
        """Tokens of the prompt of `problem`, its pictures not decoded."""
        messages = build_messages(problem, self.system)
        return prompt_tokens(self.policy.processor, messages, [self.store.size(key) for key in problem.images])


def _size(prompt: Prompt) -> int:
    return 0 if prompt.pixel_values is None else prompt.pixel_values.nbytes


@dataclass(frozen=True, slots=True)
class Workshop:
    """A run at work. `max_tokens` is the longest completion, settled before the first stage (lengths.py).

    `system` is the recipe's prompt.system, a file being the run's own copy.
    """

    recipe: Recipe
    run: Run
    store: ImageStore
    sets: ProblemSets
    max_tokens: int
    system: str | None
    turn: Turn = field(default_factory=Turn)

    def bench(self, model: str | Path) -> Bench:
        """Loads a model by name or folder, and an engine on it; close the bench when it has done its work.

        Raises InputError for servers that are not there, or cannot do the run's work; they are asked once per process.
        """
        policy = self.policy(model)
        prompts = Prompts(policy, self.store, policy.system)
        engine = make_engine(self.recipe, self.run, self.sets, self.store, policy, prompts, self.turn)
        if isinstance(engine, ServerEngine) and not self.turn.checked:
            every = [problem for problems in self.sets.named().values() for problem in problems]
            engine.check(*longest_prompt(prompts, every, "servers"), self.max_tokens)
            self.turn.checked = True
        return Bench(policy, engine, prompts, self.turn)

    def policy(self, model: str | Path) -> Policy:
        """Loads a model by name or folder, without an engine; its `system` is the system prompt that it is given."""
        config = self.recipe.model
        policy = Policy.load(
            model,
            dtype=config.dtype,
            device=config.device,
            freeze_vision=config.freeze_vision,
            min_pixels=config.min_pixels,
            max_pixels=config.max_pixels,
            lora=config.lora,
            gradient_checkpointing=config.gradient_checkpointing,
            autocast=config.autocast,
            attention=config.attention,
        )
        policy.trained_with(system_prompt(policy, self.system))
        return policy

    def check_room(self, bench: Bench, part: str, micro_tokens: int) -> None:
        """InputError when the longest training prompt and a completion of `max_tokens` pass a pass's token budget.

        `part` is the recipe's section that `micro_tokens` is from.
        """
        longest, problem = longest_prompt(bench.prompts, self.sets.train, part)
        need = longest + self.max_tokens
        if need > micro_tokens:
            raise InputError(
                f"{part}.micro_tokens = {micro_tokens}: problem {problem!r} has a prompt of {longest} tokens, with "
                f"completions of up to {self.max_tokens} it needs {need}; set {part}.micro_tokens={need} or more "
                "(the run goes on with it), or start anew with a smaller model.max_pixels or sampling.max_tokens"
            )

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


def longest_prompt(prompts: Prompts, problems: Sequence[Problem], purpose: str) -> tuple[int, str]:
    """Tokens of the longest prompt, and its problem's id; `purpose` is for the progress bar."""
    bar = tqdm(problems, desc=f"{purpose}: measuring prompts", unit="problem", leave=False, delay=2)
    return max((prompts.length(problem), problem.id) for problem in bar)


def system_prompt(policy: Policy, setting: str | None) -> str | None:
    """The system prompt that a recipe's `prompt.system` means for this model.

    `AUTO` is what the model's folder says it was trained with, and ours where it says nothing.
    """
    if setting == AUTO:
        return policy.system if policy.knows_system else load_system(RISE)
    return load_system(setting)


def sample_judged(
    bench: Bench, requests: Sequence[Request], source: str, description: str | None = None
) -> Iterator[Group]:
    """Groups as they finish, every trajectory with its verdict; a progress bar when `description` is given.

    What the sampler gave up is judged as well, as what it is: a completion with no end. Ask `Group.aborted`.
    """
    groups = bench.sample(requests)
    silent = description is None
    for group in tqdm(groups, total=len(requests), desc=description, unit="problem", leave=False, disable=silent):
        trajectories = tuple(judged(group.problem, t, source) for t in group.trajectories)
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
