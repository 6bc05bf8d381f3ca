"""Recording the updates of an RL run, and doing them again with a team."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from metis_rise.engines.base import Request
from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.probe import probe_completion
from metis_rise.opening import open_workshop
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.policy.planning import Split, plan
from metis_rise.recipe import Recipe
from metis_rise.seeding import derive
from metis_rise.stages import rl
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.hands import OptimizerSettings
from metis_rise.stages.passes import Completion, Job, Sample, completions_of, rows_of
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.team.leading import Team
from metis_rise.stages.team.operations import Station, serve
from metis_rise.stages.team.sampling import LedServers
from metis_rise.stages.team.wire import Channel, Message
from metis_rise.stages.update import Start, Updater
from metis_rise.stages.workshop import Bench, Workshop
from metis_rise.types import AnswerType, Group, Problem


@dataclass(frozen=True, slots=True)
class Step:
    """One update of a run: what it was given, and the figures that it returned."""

    groups: list[dict[str, Any]]
    learning_rate: float
    figures: dict[str, float]


def record(recipe: Recipe, root: Path) -> list[Step]:
    """The updates of a run of one process."""
    steps: list[Step] = []
    real = Updater.update

    def update(self: Updater, groups: Sequence[KeptGroup], learning_rate: float, step: int) -> dict[str, float]:
        figures = real(self, groups, learning_rate, step)
        steps.append(Step([kept.to_json() for kept in groups], learning_rate, figures))
        return figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "update", update)
        rl.run(open_workshop(recipe, root, recipe.name))
    return steps


def replay(rank: int, recipe: Recipe, root: Path, steps: Sequence[Step], split: bool) -> list[dict[str, float]] | None:
    """The figures of the same updates by a team, as its leader; in a process of `Ranks`.

    With `split` the budget of each step is that of its second largest group, so that the largest is split, on the one
    process that has it; `splits` among the figures says how many were.
    """
    with _team(recipe) as team:
        if team is None:
            return None
        shop = replace(open_workshop(recipe, root, recipe.name), team=team)
        with closing(shop.bench(recipe.model.path)) as bench:
            return list(_updates(shop, bench, steps, split))


def everything(rank: int, recipe: Recipe, root: Path, folder: Path) -> dict[str, Any] | None:
    """Figures of all that can be done with a model, by a team, as its leader; see `figures_of_all`."""
    with _team(recipe) as team:
        if team is None:
            return None
        return figures_of_all(replace(open_workshop(recipe, root, recipe.name), team=team), folder)


def figures_of_all(shop: Workshop, folder: Path) -> dict[str, Any]:
    """Log-probabilities, SFT, an update with a reference model, and two ways back; `folder` takes a checkpoint."""
    config, budget, found = shop.recipe.rl, 500, dict[str, Any]()
    with closing(shop.bench(shop.recipe.model.path)) as bench, closing(shop.hands(shop.recipe.model.path)) as reference:
        work, training = bench.work, bench.work.training(OptimizerSettings(0.1, 0.5, 0.99))
        texts = [(problem, "and so on " * (1 + (5 * i) % 7)) for i, problem in enumerate(shop.sets.train) for _ in "ab"]
        completions = [Completion(problem, bench.policy.completion_ids(text)) for problem, text in texts]

        def said() -> list[float]:
            return [float(values.sum()) for values in work.logprobs(completions, 0.9, budget)]

        def taught() -> tuple[float, float]:
            loss = work.teach(completions, budget).loss
            return loss, training.step(1e-3, loss)

        found["said"] = said()
        training.save(folder, {"at": 3})
        found["taught"] = [taught() for _ in range(2)]
        found["said later"] = said()
        samples = [
            Sample(
                each, (-1.0) ** i, torch.full((len(each.tokens),), -1.0), torch.full((len(each.tokens),), -1.1), *own
            )
            for i, (each, own) in enumerate(
                zip(completions, itertools.cycle([(True, True), (False, True), (False, False)]))
            )
        ]
        job = Job(config, 0.9, sum(len(each.tokens) for each in completions))
        sums = work.update(samples, job, reference.policy)
        found |= {"sums": sums.figures.result(), "counts": dict(sums.counts), "norm": training.step(1e-3, 0.0)}
        found["state"] = training.load(folder)
        found["said again"] = said()
        found["taught again"] = taught()
        work.load_weights(folder)
        found["said at last"] = said()
    return found


def sample(rank: int, recipe: Recipe, root: Path, size: int) -> list[Group] | None:
    """Groups of `size` completions of all training problems, by a team of the present processes."""
    with _team(recipe) as team:
        if team is None:
            return None
        shop = replace(open_workshop(recipe, root, recipe.name), team=team)
        with closing(shop.bench(recipe.model.path)) as bench:
            return list(bench.sample(requests(shop, size)))


def replies_late(rank: int, patience: float) -> str:
    """What the leader says when the other process is later with its reply than `patience` seconds."""
    group = dist.new_group(backend="gloo", timeout=timedelta(seconds=patience))
    channel = Channel(None, group)
    if not channel.leads:
        time.sleep(2 * patience)
        return ""
    with pytest.raises(RuntimeError) as failed:
        channel.gather(Message({"mine": 1}))
    return str(failed.value)


def sample_remotely(rank: int, recipe: Recipe, root: Path, size: int, folder: Path) -> list[Group] | None:
    """The same from a copy of the model's weights that is pushed through `folder`."""
    with _team(recipe) as team:
        if team is None:
            return None
        shop = replace(open_workshop(recipe, root, recipe.name), team=team)
        hands = team.load(recipe.model.path, shop.store.folder, shop.system, shop.helpers)
        with closing(hands):
            engine = LedServers(hands, _Copy(hands.policy, hands.prompts, folder))
            assert engine.push() == {"probe_difference": pytest.approx(0, abs=1e-5)}
            return list(engine.sample(requests(shop, size)))


class _Copy:
    """An engine elsewhere, which takes up weights as `DiskPush` has servers do it."""

    remote = True

    def __init__(self, policy: Policy, prompts: Prompts, folder: Path) -> None:
        self._policy, self._prompts, self._folder = policy, prompts, folder

    def push(self) -> dict[str, float]:
        self._policy.save(self._folder, "float32")
        self._copy = Policy.load(self._folder)
        completion = probe_completion(self._policy)
        problem = Problem("probe", "How many?", "1", AnswerType.NUMBER)
        row = (self._prompts(problem), completion)
        ours, theirs = (row_logprobs(policy, [row], 1.0, 4096)[0] for policy in (self._policy, self._copy))
        return {"probe_difference": float((ours - theirs).abs().max())}

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        return NativeEngine(self._copy, self._prompts).sample(requests)

    def close(self) -> None:
        pass


def requests(shop: Workshop, size: int) -> list[Request]:
    """For `size` completions of each training problem, greedy where it is one."""
    params = shop.greedy if size == 1 else shop.sampled
    return [Request(problem, size, params, derive(7, problem.id)) for problem in shop.sets.train]


@contextmanager
def _team(recipe: Recipe) -> Iterator[Team | None]:
    """The team as its leader; another process serves until it ends and gets None."""
    torch.set_num_threads(1)
    station = Station(Channel(), recipe, Parallel.over_world(recipe.parallel, torch.device("cpu")))
    if not station.channel.leads:
        serve(station)
        yield None
        return
    team = Team(station)
    try:
        yield team
    finally:
        team.end()


def _updates(shop: Workshop, bench: Bench, steps: Sequence[Step], split: bool) -> Iterator[dict[str, float]]:
    config, factor = shop.recipe.rl, shop.recipe.model.vision_lr_factor
    settings = OptimizerSettings(config.weight_decay, config.max_grad_norm, config.adam_beta2, factor)
    training = bench.work.training(settings)
    for step in steps:
        groups = [KeptGroup.from_json(row) for row in step.groups]
        budget, splits = _budget(bench, groups) if split else (config.micro_tokens, 0)
        changed = config.model_copy(update={"micro_tokens": budget})
        sampling = (shop.recipe.sampling.temperature, shop.max_tokens)
        updater = Updater(bench, training, changed, sampling, None, Start.SAMPLER)
        yield updater.update(groups, step.learning_rate) | {"splits": splits}


def _budget(bench: Bench, groups: Sequence[KeptGroup]) -> tuple[int, int]:
    """Tokens of the second largest group, and how many groups that splits."""
    sizes = [
        bench.prompts.length(kept.group.problem) + sum(len(t.tokens) for t in kept.group.trajectories)
        for kept in groups
    ]
    budget = sorted(sizes)[-2]
    rows = rows_of(bench.prompts, [each for kept in groups for each in completions_of(kept.group)])
    return budget, sum(isinstance(each, Split) for each in plan(rows, budget))
