"""The plan of a recipe: what it takes of each GPU, how long its parts take, what holds it up, what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metis_rise.cluster.crowding import crowding
from metis_rise.cluster.facts import ModelFacts, find_facts
from metis_rise.cluster.gpus import DISK, LINK_UTILISATION, SERVER_ROWS
from metis_rise.cluster.history import rates_of, recipe_of
from metis_rise.cluster.layout import Layout, layout_of
from metis_rise.cluster.memory import (
    ASLEEP_BYTES,
    HEAP,
    LIBRARY_BYTES,
    PROMPT_BYTES,
    SERVER_BYTES,
    SERVER_SHARE,
    Pass,
    Server,
    Trainer,
    bytes_computed,
    share_in_turns,
    with_allowance,
)
from metis_rise.cluster.parameters import count
from metis_rise.cluster.rates import Rates, stated
from metis_rise.cluster.simulator import Loop, Outcome, simulate
from metis_rise.cluster.update import UpdateTime
from metis_rise.cluster.workload import Workload, workload_of
from metis_rise.recipe import Recipe

Measure = Callable[[Recipe, ModelFacts, Workload], Rates]
_HALF, _FLOAT = 2, 4


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says beside the recipe.

    completion: mean tokens of a completion. teaching: share of groups that pass the filter.
    utilisation: of the arithmetic in training, None for what is assumed. like: a run's folder, whose figures are taken.
    """

    completion: float | None = None
    teaching: float | None = None
    utilisation: float | None = None
    like: Path | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """parts: bytes by what they are for. total: what is needed, allowance included. limit: what is there, if known."""

    parts: Mapping[str, float]
    total: float
    limit: float | None

    @property
    def fits(self) -> bool:
        """Whether there is enough."""
        return self.limit is None or self.total <= self.limit

    def to_json(self) -> dict[str, Any]:
        """In MB of 2**20 bytes."""
        parts = {name: round(size / 2**20, 1) for name, size in self.parts.items()}
        limit = None if self.limit is None else round(self.limit / 2**20, 1)
        return {"parts_mb": parts, "total_mb": round(self.total / 2**20, 1), "limit_mb": limit, "fits": self.fits}


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with its model, layout, workload and rates, and what follows from them."""

    recipe: Recipe
    facts: ModelFacts
    layout: Layout
    work: Workload
    rates: Rates
    push: float

    @property
    def trainer(self) -> Trainer:
        """The model as one rank trains it."""
        model = self.recipe.model
        on_cpu = self.layout.gpu is None and model.device != "cuda"
        return Trainer(self.facts, model, self.layout.sharding, on_cpu)

    def update(self) -> UpdateTime:
        """Times RL's updates."""
        rl = self.recipe.rl
        extra = (1.0 if rl.kl_weight else 0.0) + (0.0 if self.layout.native else (rl.minibatches - 1) / rl.minibatches)
        # What sampled has left features of pictures behind where it is the trainer itself.
        return self._timed(rl.micro_tokens, extra, self.layout.native)

    def tuning(self) -> UpdateTime:
        """Times SFT's steps."""
        return self._timed(self.recipe.sft.micro_tokens, 0.0, False)

    def _timed(self, budget: int, extra: float, seen: bool) -> UpdateTime:
        return UpdateTime(self.trainer, self.layout, self.rates, self.work, budget, extra, seen)

    def loop(self) -> Loop:
        """Its RL loop, for the simulator."""
        rl, update = self.recipe.rl, self.update()
        return Loop(
            servers=self.layout.servers,
            rows=self.rows,
            decoding=self.rates.decoding.slower(self.crowding),
            prompt=self.rates.prompt * self.crowding,
            problem=self.rates.problem,
            groups=rl.prompts_per_step,
            group_size=rl.group_size,
            teaching=self.work.teaching,
            refills=rl.refill_rounds,
            carry=rl.carry_steps,
            lengths=self.work.lengths,
            update=lambda completed: update.seconds(completed, rl.group_size),
            push=self.push,
            ahead=rl.max_staleness > 0,
        )

    @property
    def crowding(self) -> float:
        """How many times longer servers take because they share this machine's cores; 1 elsewhere."""
        return 1.0 if self.layout.gpu is not None else crowding(self.recipe.engine)

    @property
    def fits(self) -> bool:
        """Whether there is memory enough everywhere."""
        serving = self.serving_memory()
        return self.training_memory().fits and (serving is None or serving.fits)

    @property
    def rows(self) -> int:
        """Completions that one sampler has under way at most."""
        size, work = self.recipe.rl.group_size, self.work
        if self.layout.native:
            of_group = work.prompts.longest + size * work.max_tokens
            return size * max(1, int(self.recipe.sampling.batch_tokens / of_group))
        rows = min(self.recipe.engine.concurrency * size, SERVER_ROWS)
        server = self.server
        if server is None:
            return rows
        return max(1, min(rows, int(server.room / (work.mean_tokens + work.prompt / size))))

    @property
    def server(self) -> Server | None:
        """One of its vLLM servers, on GPUs that are named; None where there are none."""
        card, layout = self.layout.card, self.layout
        if layout.native or card is None:
            return None
        share = share_in_turns(self.trainer, card) if layout.turns else SERVER_SHARE
        return Server(self.facts, card, layout.tensor_parallel, share)

    def outcome(self) -> Outcome:
        """The simulated RL loop."""
        return simulate(self.loop())

    def training_memory(self) -> Memory:
        """Of one rank that trains, and samples where it does that too; of the two phases the larger one."""
        trainer, card, prompts = self.trainer, self.layout.card, self.work.prompts
        parts = dict(trainer.state())
        update = {
            "gathered weights": trainer.gathered() + trainer.casts(),
            "activations": max(trainer.step(), *map(trainer.activations, self.largest_passes())),
        }
        if card is None:
            update["activations"] *= HEAP
        phases: list[dict[str, float]] = [update]
        if self.layout.native:
            states = trainer.kept_states(self._held())
            phases.append({"weights to sample with": trainer.whole(), "keys and values": states})
        larger = max(phases, key=lambda phase: sum(phase.values()))
        parts |= larger
        parts["picture features"] = trainer.features(prompts.train * prompts.image / self.layout.sharding.ranks)
        if card is not None:
            total = with_allowance(sum(parts.values()))
            if self.recipe.engine.colocated:
                parts["server asleep"] = ASLEEP_BYTES
                total += ASLEEP_BYTES
            return Memory(parts, total, card.memory)
        pixels = prompts.image * self.facts.vision.merge * self.facts.vision.patch_values * 4
        parts["prompts"] = min(float(PROMPT_BYTES), (prompts.train + self.recipe.rl.eval_problems) * pixels)
        parts["libraries"] = LIBRARY_BYTES
        return Memory(parts, sum(parts.values()), None)

    def serving_memory(self) -> Memory | None:
        """Of one GPU of a vLLM server: its weights, and keys and values of one group of the longest completions."""
        server = self.server
        if server is None:
            return None
        needed = {
            "weights": server.weights,
            "activations": float(SERVER_BYTES),
            "keys and values": self.longest_group * server.token,
        }
        return Memory(needed, sum(needed.values()), server.limit)

    @property
    def longest_group(self) -> float:
        """Tokens of the longest prompt with a group of the longest completions."""
        return self.work.prompts.longest + self.recipe.rl.group_size * self.work.max_tokens

    def largest_passes(self) -> Sequence[Pass]:
        """The largest pass of RL, and of SFT."""
        rl, sft = self.recipe.rl, self.recipe.sft
        batch = max(stage.batch_size for stage in sft.stages)
        return [
            self._largest(rl.micro_tokens, rl.prompts_per_step, rl.group_size),
            self._largest(sft.micro_tokens, batch, 1),
        ]

    def _largest(self, budget: int, groups: int, group_size: int) -> Pass:
        """A pass of an update: the token budget where a rank's share of it reaches that."""
        work = self.work
        group = work.prompt + group_size * work.mean_tokens
        # One group of the longest completions may be all of it.
        longest = work.prompts.longest + group_size * work.max_tokens
        tokens = min(float(budget), max(longest, group * groups / self.layout.sharding.ranks))
        prompts = tokens * work.prompt / group
        patches = tokens / group * work.prompts.image * self.facts.vision.merge
        return Pass(tokens, tokens - prompts, tokens + prompts * (group_size - 1), patches)

    def _held(self) -> float:
        """Tokens whose keys and values the native sampler holds."""
        groups = max(1.0, self.recipe.rl.prompts_per_step / self.layout.sharding.ranks)
        return min(float(self.recipe.sampling.batch_tokens), groups * self.longest_group)


def make_plan(recipe: Recipe, asked: Asked, measure: Measure) -> Plan:
    """The plan of `recipe`; `measure` finds the rates of this machine where no GPU is named and no run is like it.

    Raises InputError for a model without a config here, for problem files that cannot be read, and for layouts that
    contradict themselves.
    """
    facts = find_facts(recipe.model.path)
    work = workload_of(recipe, facts.vision, completion=asked.completion, teaching=asked.teaching, run=asked.like)
    return plan_work(recipe, facts, work, asked, measure)


def plan_work(recipe: Recipe, facts: ModelFacts, work: Workload, asked: Asked, measure: Measure) -> Plan:
    """`make_plan` for a workload that is known."""
    layout = layout_of(recipe)
    if layout.gpu is not None:
        rates = _stated(recipe, facts, layout, work, asked.utilisation)
        return Plan(recipe, facts, layout, work, rates, push_seconds(recipe, facts, layout))
    plan = Plan(recipe, facts, layout, work, measure(recipe, facts, work), push_seconds(recipe, facts, layout))
    if asked.like is None:
        return plan
    before = recipe_of(asked.like)
    past = replace(plan, recipe=before, layout=layout_of(before))
    rates, push = rates_of(asked.like, past.update(), past.loop())
    return replace(plan, rates=rates, push=0.0 if layout.native else push)


def relaid(plan: Plan, asked: Asked, **cluster: object) -> Plan:
    """The same plan on GPUs laid out otherwise: `cluster` are settings of that part of the recipe."""
    recipe = plan.recipe.model_copy(update={"cluster": plan.recipe.cluster.model_copy(update=cluster)})
    layout = layout_of(recipe)
    rates = _stated(recipe, plan.facts, layout, plan.work, asked.utilisation)
    return Plan(recipe, plan.facts, layout, plan.work, rates, push_seconds(recipe, plan.facts, layout))


def _stated(recipe: Recipe, facts: ModelFacts, layout: Layout, work: Workload, utilisation: float | None) -> Rates:
    assert layout.gpu is not None
    return stated(
        facts,
        layout.gpu,
        work,
        tensor_parallel=layout.tensor_parallel,
        native=layout.native,
        computes=bytes_computed(recipe.model),
        utilisation=utilisation,
    )


def push_seconds(recipe: Recipe, facts: ModelFacts, layout: Layout) -> float:
    """Seconds to bring 16-bit weights to the samplers: through a folder twice, or over the slowest link once."""
    if layout.native:
        return 0.0
    weights = _HALF * count(facts).total
    if recipe.engine.push == "disk" or layout.card is None:
        return 2 * weights / DISK
    link = layout.card.link if layout.turns else layout.card.network
    return weights / (LINK_UTILISATION * link)


def bottleneck(outcome: Outcome, ahead: bool) -> str:
    """What a step's time is spent on most, in a sentence."""
    parts = {"sampling": outcome.sampling, "the update": outcome.update, "pushing weights": outcome.push}
    name = max(parts, key=lambda part: parts[part])
    if ahead:
        return f"{name}: {parts[name]:.3g} of {outcome.step:.3g} s a step, sampling and training side by side"
    return f"{name}: {parts[name] / outcome.step:.0%} of a step"


def notes_of(plan: Plan) -> Sequence[str]:
    """What the plan rests on."""
    model, notes = plan.recipe.model, [f"model: {plan.facts.source}", f"rates: {plan.rates.source}"]
    if plan.layout.gpu is not None and model.device == "cpu":
        notes.append("model.device=cpu: planned for GPUs all the same; a run needs auto or cuda")
    if plan.layout.gpu is not None and plan.trainer.computes == _FLOAT:
        notes.append("computed in float32: many times slower than bfloat16 (model.autocast=true)")
    if plan.crowding > 1:
        notes.append(f"servers on this machine share its cores, so that each takes {plan.crowding:.2g} times as long")
    return (*notes, *plan.work.notes)
