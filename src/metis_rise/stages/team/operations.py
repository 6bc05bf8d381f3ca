"""What all processes of a team do at once: one function for each operation, which every process runs on its share.

The leader runs them too. Those that give something back return it to the leader alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.push import assist
from metis_rise.errors import InputError
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.hands import OptimizerSettings, OwnHands, OwnTraining
from metis_rise.stages.models import load_policy
from metis_rise.stages.passes import Job
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.team.codec import pack_groups, unpack_completions, unpack_requests, unpack_samples
from metis_rise.stages.team.wire import Channel, Message

Replies = list[Message] | None


@dataclass(slots=True)
class Model:
    """One process's part of a loaded model, with what works on it."""

    hands: OwnHands
    engine: NativeEngine
    training: OwnTraining | None = None

    @property
    def trained(self) -> OwnTraining:
        """What `training` made."""
        assert self.training is not None
        return self.training


@dataclass(slots=True)
class Station:
    """One process of a team.

    models: those that are loaded, by the numbers that the leader gave them.
    """

    channel: Channel
    recipe: Recipe
    parallel: Parallel
    models: dict[int, Model] = field(default_factory=dict)

    def do(self, operation: str, message: Message) -> Replies:
        """Takes part in an operation; the replies of all processes, as the leader."""
        return OPERATIONS[operation](self, message)

    def model(self, message: Message) -> Model:
        """The model that an operation is about."""
        return self.models[message.values["model"]]

    def mine(self, message: Message, items: Sequence[Any]) -> list[Any]:
        """This process's share of `items`."""
        return [items[index] for index in message.values["shares"][self.channel.rank]]

    @contextmanager
    def noting(self, model: Model) -> Iterator[dict[str, Any]]:
        """Values of a reply that say what it took: `seconds`, `data_waited` of them, and `encoded` pictures."""
        policy, start = model.hands.policy, time.monotonic()
        before, waited, values = policy.encoded, model.hands.data_waited, dict[str, Any]()
        yield values
        values |= {"encoded": policy.encoded - before, "data_waited": model.hands.data_waited - waited}
        values |= {"seconds": time.monotonic() - start}


def _load(station: Station, message: Message) -> Replies:
    values, store = message.values, Path(message.values["store"])
    if not store.parent.is_dir():
        raise InputError(f"{store.parent}: rank {station.channel.rank} does not see the run's folder; all nodes must")
    policy = load_policy(station.recipe, values["path"], values["system"], station.parallel)
    prompts = Prompts(policy, ImageStore(store), policy.system, values["helpers"])
    engine = NativeEngine(policy, prompts, station.recipe.sampling.batch_tokens)
    station.models[values["model"]] = Model(OwnHands(policy, prompts), engine)
    return None


def _forget(station: Station, message: Message) -> Replies:
    station.models.pop(message.values["model"]).hands.close()
    return _make_room(station, message)


def _make_room(station: Station, message: Message) -> Replies:
    """Gives the GPU's memory that torch keeps for later back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _sample(station: Station, message: Message) -> Replies:
    model, requests = station.model(message), unpack_requests(message)
    with station.noting(model) as values, model.hands.policy.gathered():
        mine = station.mine(message, requests)
        model.hands.prompts.expect(request.problem for request in mine)
        groups = list(model.engine.sample(mine))
        values["problems"] = [group.problem.id for group in groups]
    packed = pack_groups(groups)
    return station.channel.gather(Message({**packed.values, **values}, packed.tensors))


def _training(station: Station, message: Message) -> Replies:
    model = station.model(message)
    model.training = model.hands.training(OptimizerSettings(**message.values["settings"]))
    return None


def _expect(station: Station, message: Message) -> Replies:
    station.model(message).hands.expect(station.mine(message, unpack_completions(message)))
    return None


def _update(station: Station, message: Message) -> Replies:
    model, given = station.model(message), message.values
    job = Job(RLConfig.model_validate(given["config"]), given["temperature"], given["total"])
    reference = None if given["reference"] is None else station.models[given["reference"]].hands.policy
    with station.noting(model) as values:
        values["sums"] = model.hands.update(station.mine(message, unpack_samples(message)), job, reference).to_json()
    return station.channel.gather(Message(values))


def _teach(station: Station, message: Message) -> Replies:
    model, mine = station.model(message), station.mine(message, unpack_completions(message))
    with station.noting(model) as values:
        values["taught"] = asdict(model.hands.teach_share(mine, message.values["budget"], message.values["total"]))
    return station.channel.gather(Message(values))


def _logprobs(station: Station, message: Message) -> Replies:
    model, mine = station.model(message), station.mine(message, unpack_completions(message))
    with station.noting(model) as values:
        found = model.hands.logprobs(mine, message.values["temperature"], message.values["budget"])
    return station.channel.gather(Message(values, {str(i): each.cpu() for i, each in enumerate(found)}))


def _step(station: Station, message: Message) -> Replies:
    norm = station.model(message).trained.step(message.values["lr"], message.values["loss"])
    return [Message({"norm": norm})]


def _save(station: Station, message: Message) -> Replies:
    station.model(message).hands.save(Path(message.values["folder"]))
    return None


def _load_weights(station: Station, message: Message) -> Replies:
    station.model(message).hands.load_weights(Path(message.values["folder"]))
    return None


def _save_training(station: Station, message: Message) -> Replies:
    station.model(message).trained.save(Path(message.values["folder"]), dict(message.values["state"]))
    return None


def _load_training(station: Station, message: Message) -> Replies:
    return [Message(station.model(message).trained.load(Path(message.values["folder"])))]


def _push(station: Station, message: Message) -> Replies:
    """The others' part of a push: the leader's is its engine's."""
    if not station.channel.leads:
        assist(station.recipe.engine.push, station.model(message).hands.policy)
    return None


OPERATIONS: dict[str, Callable[[Station, Message], Replies]] = {
    "load": _load,
    "forget": _forget,
    "make_room": _make_room,
    "sample": _sample,
    "training": _training,
    "expect": _expect,
    "update": _update,
    "teach": _teach,
    "logprobs": _logprobs,
    "step": _step,
    "save": _save,
    "load_weights": _load_weights,
    "save_training": _save_training,
    "load_training": _load_training,
    "push": _push,
}
END = "end"


def serve(station: Station) -> None:
    """As a process that does not lead: takes part in whatever the leader announces, until it announces the end."""
    while (message := station.channel.hear()).values["operation"] != END:
        station.do(message.values["operation"], message)
