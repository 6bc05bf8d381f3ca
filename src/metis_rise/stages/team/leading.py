"""The leader's side of a team: what stages ask for is announced, done by all, and added up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from torch import Tensor

from metis_rise.engines.base import Request
from metis_rise.policy.model import Policy
from metis_rise.stages.hands import OptimizerSettings
from metis_rise.stages.passes import Completion, Job, Sample, Sums, Taught
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.team.balance import grouped_shares, shares
from metis_rise.stages.team.codec import pack_completions, pack_requests, pack_samples, unpack_groups
from metis_rise.stages.team.operations import END, Model, Station
from metis_rise.stages.team.wire import Message
from metis_rise.types import Group, Problem

T = TypeVar("T")


class Team:
    """All processes, as the leader sees them.

    Attributes:
        waited: seconds that a process has spent waiting for others so far, in the mean.
    """

    def __init__(self, station: Station) -> None:
        """The leader's own `station`; the others serve."""
        self.station = station
        self.size = station.channel.size
        self.waited = 0.0
        self._loaded = 0
        self._broken = False
        # Weights are pushed from another thread while the one that asked for it waits.
        self._lock = RLock()

    def load(self, model: str | Path, store: Path, system: str | None, helpers: int) -> TeamHands:
        """Loads a model by name or folder.

        Args:
            model: as `load_policy` takes it.
            store: folder of the run's pictures.
            system: as `load_policy` takes it.
            helpers: processes that cut up pictures, for each process of the team.
        """
        number, self._loaded = self._loaded, self._loaded + 1
        path = str(model.resolve()) if isinstance(model, Path) else model
        values = {"model": number, "path": path, "store": str(store.resolve()), "system": system, "helpers": helpers}
        self.do("load", values)
        return TeamHands(self, number, self.station.models[number])

    def do(self, operation: str, values: Mapping[str, Any], packed: Message | None = None) -> list[Message]:
        """What all processes reply to an operation, by rank; nothing where none has a reply."""
        return self.together(operation, values, packed, self.station.do) or []

    def together(
        self,
        operation: str,
        values: Mapping[str, Any],
        packed: Message | None,
        own: Callable[[str, Message], T],
    ) -> T:
        """What `own` returns, which is the leader's part of an operation; the others do theirs meanwhile."""
        given = Message() if packed is None else packed
        message = Message({**given.values, **values, "operation": operation}, given.tensors)
        with self._lock:
            # Whoever fails leaves the others waiting in the middle of something, where nothing can be announced.
            broken, self._broken = self._broken, True
            if broken:
                raise RuntimeError(f"{operation}: an operation before this one failed")
            self.station.channel.announce(message)
            found = own(operation, message)
            self._broken = False
            return found

    def end(self) -> None:
        """Sends the others home, unless they wait in the middle of something."""
        if not self._broken:
            self.station.channel.announce(Message({"operation": END}))

    @property
    def broken(self) -> bool:
        """Whether an operation has failed half-way, so that nothing more can be done."""
        return self._broken

    def number_of(self, policy: Policy) -> int:
        """Of a loaded model, by the leader's part of it."""
        return next(number for number, model in self.station.models.items() if model.hands.policy is policy)

    def note(self, model: Model, replies: Sequence[Message], work: Sequence[float]) -> None:
        """Counts what the others have encoded, and the time in which processes with less `work` waited for others."""
        model.hands.policy.encoded += sum(reply.values["encoded"] for reply in replies[1:])
        # All wait for the one that waits longest; the leader's own waiting is counted where it happens.
        own = replies[0].values["data_waited"]
        model.hands.prompts.waited += max(reply.values["data_waited"] for reply in replies) - own
        seconds = max(reply.values["seconds"] for reply in replies)
        self.waited += seconds * (1 - statistics.mean(work) / max(*work, 1e-9))


@dataclass(frozen=True, slots=True)
class TeamTraining:
    """Training by all processes: see `Training`."""

    team: Team
    number: int
    model: Model

    @property
    def skipped(self) -> int:
        """See `Training`."""
        return self.model.trained.skipped

    @property
    def skipped_in_row(self) -> int:
        """See `Training`."""
        return self.model.trained.skipped_in_row

    def step(self, lr: float, loss: float) -> float:
        """See `Training`."""
        (reply,) = self.team.do("step", {"model": self.number, "lr": lr, "loss": loss})
        return float(reply.values["norm"])

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """See `Training`."""
        self.team.do("save_training", {"model": self.number, "folder": str(folder.resolve()), "state": state})

    def load(self, folder: Path) -> dict[str, Any]:
        """See `Training`."""
        (reply,) = self.team.do("load_training", {"model": self.number, "folder": str(folder.resolve())})
        return dict(reply.values)


@dataclass(slots=True)
class TeamHands:
    """Work on a loaded model by all processes: see `Hands`.

    Completions of one problem go to one process. What is shared out is tokens of packed rows.
    """

    team: Team
    number: int
    model: Model
    _lengths: dict[str, int] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """The leader's part of the model."""
        return self.model.hands.policy

    @property
    def prompts(self) -> Prompts:
        """The leader's."""
        return self.model.hands.prompts

    def training(self, settings: OptimizerSettings) -> TeamTraining:
        """See `Hands`."""
        self._do("training", {"settings": asdict(settings)})
        return TeamTraining(self.team, self.number, self.model)

    @property
    def data_waited(self) -> float:
        """See `Hands`."""
        return self.prompts.waited

    def expect(self, completions: Sequence[Completion]) -> None:
        """See `Hands`."""
        if self.prompts.helped and completions:
            self._do("expect", {"shares": self._shares(completions)}, pack_completions(completions))

    def update(self, samples: Sequence[Sample], job: Job, reference: Policy | None) -> Sums:
        """See `Hands`."""
        completions = [sample.completion for sample in samples]
        values = {
            "config": job.config.model_dump(mode="json"),
            "temperature": job.temperature,
            "total": job.total,
            "reference": None if reference is None else self.team.number_of(reference),
        }
        replies = self._share("update", values, completions, pack_samples(samples))
        sums = Sums()
        for reply in replies:
            sums.add(Sums.from_json(reply.values["sums"]))
        return sums

    def teach(self, completions: Sequence[Completion], budget: int) -> Taught:
        """See `Hands`."""
        values = {"budget": budget, "total": sum(len(each.tokens) for each in completions)}
        replies = self._share("teach", values, completions, pack_completions(completions))
        taught = Taught()
        for reply in replies:
            taught.add(Taught(**reply.values["taught"]))
        return taught

    def logprobs(self, completions: Sequence[Completion], temperature: float, budget: int) -> list[Tensor]:
        """See `Hands`."""
        values = {"temperature": temperature, "budget": budget}
        dealt = self._shares(completions)
        replies = self._share("logprobs", values, completions, pack_completions(completions), dealt)
        found: dict[int, Tensor] = {}
        for reply, share in zip(replies, dealt, strict=True):
            found |= {index: reply.tensors[str(i)] for i, index in enumerate(share)}
        return [found[index] for index in range(len(completions))]

    def save(self, folder: Path) -> None:
        """See `Hands`."""
        self._do("save", {"folder": str(folder.resolve())})

    def load_weights(self, folder: Path) -> None:
        """See `Hands`."""
        self._do("load_weights", {"folder": str(folder.resolve())})

    def close(self) -> None:
        """See `Hands`; where an operation has failed the run ends anyway."""
        if not self.team.broken:
            self._do("forget", {})

    def sample(self, requests: Sequence[Request]) -> list[Group]:
        """All groups of `requests`, shared out by what they may take."""
        dealt = shares([self.expected(request) for request in requests], self.team.size)
        replies = self._do("sample", {"shares": dealt}, pack_requests(requests))
        self.team.note(self.model, replies, [reply.values["seconds"] for reply in replies])
        problems = {request.problem.id: request.problem for request in requests}
        groups = [
            group
            for reply in replies
            for group in unpack_groups(reply, [problems[key] for key in reply.values["problems"]])
        ]
        return self._in_order(groups, requests)

    def _in_order(self, groups: Sequence[Group], requests: Sequence[Request]) -> list[Group]:
        """As one process would have finished them that has room for all, whoever drew which."""
        numbers = {request.problem.id: number for number, request in enumerate(requests)}

        def finished(group: Group) -> tuple[int, int, int]:
            longest = max(len(t.tokens) for t in group.trajectories)
            # Of those that end with the same step the one read first comes first: see `Waiting`.
            return longest, -self._length(group.problem), -numbers[group.problem.id]

        return sorted(groups, key=finished)

    def push(self, own: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        """What `own` returns, which pushes the weights to servers and needs the others for it."""
        return self.team.together("push", {"model": self.number}, None, lambda operation, message: own())

    def expected(self, request: Request) -> int:
        """Tokens that a request may take."""
        return self._length(request.problem) + request.n * request.params.max_tokens

    def _do(self, operation: str, values: Mapping[str, Any], packed: Message | None = None) -> list[Message]:
        return self.team.do(operation, {**values, "model": self.number}, packed)

    def _share(
        self,
        operation: str,
        values: Mapping[str, Any],
        completions: Sequence[Completion],
        packed: Message,
        dealt: list[list[int]] | None = None,
    ) -> list[Message]:
        """Replies to an operation of which each process does the completions of its share."""
        dealt = self._shares(completions) if dealt is None else dealt
        replies = self._do(operation, {**values, "shares": dealt}, packed)
        self.team.note(self.model, replies, [self._tokens([completions[i] for i in share]) for share in dealt])
        return replies

    def _shares(self, completions: Sequence[Completion]) -> list[list[int]]:
        """Indices of completions by rank, balanced by packed tokens; those of one problem stay together."""
        seen: set[str] = set()
        weights = []
        for each in completions:
            first = each.problem.id not in seen
            seen.add(each.problem.id)
            weights.append(len(each.tokens) + (self._length(each.problem) if first else 0))
        return grouped_shares([each.problem.id for each in completions], weights, self.team.size)

    def _tokens(self, completions: Sequence[Completion]) -> int:
        prompts = {each.problem.id: each.problem for each in completions}
        return sum(len(each.tokens) for each in completions) + sum(map(self._length, prompts.values()))

    def _length(self, problem: Problem) -> int:
        if problem.id not in self._lengths:
            self._lengths[problem.id] = self.prompts.length(problem)
        return self._lengths[problem.id]
