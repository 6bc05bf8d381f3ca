"""A plan as tables for people, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from metis_rise.cluster.advice import advice
from metis_rise.cluster.plan import Asked, Memory, Plan, bottleneck, notes_of
from metis_rise.cluster.scaling import USEFUL, Point, Scaling, scaling
from metis_rise.cluster.simulator import Outcome
from metis_rise.cluster.stages import stage_seconds

_GIB = 2**30
_STAGES = {"rl": "RL", "diagnose": "diagnosis", "sft": "curriculum SFT", "evaluate": "evaluation"}


@dataclass(frozen=True, slots=True)
class Result:
    """All that `rise plan` says of a plan."""

    plan: Plan
    training: Memory
    serving: Memory | None
    outcome: Outcome
    seconds: Mapping[str, float]
    advice: Sequence[str]
    scaling: Scaling | None

    @property
    def fits(self) -> bool:
        """Whether there is memory enough everywhere."""
        return self.training.fits and (self.serving is None or self.serving.fits)

    def to_json(self) -> dict[str, Any]:
        """The object of `rise plan --json` (docs/scaling.md)."""
        total = sum(self.seconds.values())
        return {
            "recipe": self.plan.recipe.name,
            "model": self.plan.recipe.model.path,
            "parameters": self.plan.trainer.parameters.total,
            "trained": self.plan.trainer.trained,
            "layout": self.plan.layout.to_json(),
            "fits": self.fits,
            "memory": {
                "trainer": self.training.to_json(),
                "server": None if self.serving is None else self.serving.to_json(),
            },
            "step": self.outcome.to_json(),
            "bottleneck": self._bottleneck(),
            "seconds": {name: float(f"{value:.4g}") for name, value in self.seconds.items()},
            "total_seconds": float(f"{total:.4g}"),
            "gpu_hours": float(f"{total * self.plan.layout.gpus / 3600:.4g}"),
            "advice": list(self.advice),
            "scaling": None if self.scaling is None else self.scaling.to_json(),
            "assumptions": list(notes_of(self.plan)),
        }

    def _bottleneck(self) -> str:
        return bottleneck(self.outcome, self.plan.recipe.rl.max_staleness > 0)

    def show(self, console: Console) -> None:
        """Print it."""

        def say(text: str) -> None:
            console.print(text, markup=False, highlight=False)

        plan, layout = self.plan, self.plan.layout
        parameters, trained = plan.trainer.parameters.total, plan.trainer.trained
        say(f"{plan.recipe.name}: {_number(parameters)} parameters, {_number(trained)} trained, on {_where(plan)}")
        console.print(_memory_table(self.training, self.serving, on_gpu=layout.gpu is not None))
        console.print(_time_table(self.outcome, self.seconds))
        say(f"bottleneck: {self._bottleneck()}")
        if layout.gpus:
            hours = sum(self.seconds.values()) * layout.gpus / 3600
            say(f"{hours:,.0f} GPU hours in all, without what experts take")
        for point in () if self.scaling is None else _scaling_lines(self.scaling):
            say(point)
        if self.scaling is not None:
            console.print(_scaling_table(self.scaling.best))
        for note in notes_of(plan):
            say(f"- {note}")
        if not self.fits:
            say("It does NOT fit. What would change that, each by itself:")
            for line in self.advice:
                say(f"  {line}")


def look(plan: Plan, asked: Asked) -> Result:
    """Works out all of a plan."""
    outcome = plan.outcome()
    return Result(
        plan,
        plan.training_memory(),
        plan.serving_memory(),
        outcome,
        stage_seconds(plan, outcome),
        advice(plan, asked),
        scaling(plan, asked),
    )


def _where(plan: Plan) -> str:
    layout = plan.layout
    if layout.gpu is None:
        return "this machine" if layout.native else f"this machine, sampled by {layout.servers} server(s)"
    shared = f"{layout.sharding.ranks} train (a copy of the weights on {layout.sharding.shard})"
    if layout.native:
        return f"{layout.gpus} x {layout.gpu}: {shared}, and sample in turn"
    apart = "GPUs of their own" if plan.recipe.cluster.server_nodes else "other machines"
    turns = "the same GPUs in turn" if layout.turns else apart
    return f"{layout.gpus} x {layout.gpu}: {shared}, {layout.servers} servers of {layout.tensor_parallel} on {turns}"


def _memory_table(training: Memory, serving: Memory | None, *, on_gpu: bool) -> Table:
    table = Table(title="memory of a GPU" if on_gpu else "memory above that of the idle process")
    table.add_column("")
    table.add_column("training", justify="right")
    if serving is not None:
        table.add_column("serving", justify="right")
    for name in dict.fromkeys([*training.parts, *(serving.parts if serving else ())]):
        if any(memory and memory.parts.get(name) for memory in (training, serving)):
            table.add_row(name, *(_size(m.parts.get(name)) for m in (training, serving) if m is not None))
    table.add_section()
    table.add_row("needed, with allowance", *(_size(m.total) for m in (training, serving) if m is not None))
    if on_gpu:
        cells = (
            f"{_size(m.limit)}, {'fits' if m.fits else 'TOO LITTLE'}" for m in (training, serving) if m is not None
        )
        table.add_row("there is", *cells)
    return table


def _time_table(outcome: Outcome, seconds: Mapping[str, float]) -> Table:
    table = Table(title="time")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("an RL step", f"{outcome.step:.3g} s")
    for name, value in (("sampling", outcome.sampling), ("update", outcome.update), ("push", outcome.push)):
        table.add_row(f"  {name}", f"{value:.3g} s")
    table.add_row("  waiting for samples", f"{outcome.waiting:.0%}")
    table.add_row("  trainers, servers at work", f"{outcome.trainers:.0%}, {outcome.servers:.0%}")
    table.add_row("  groups sampled, trained on", f"{outcome.sampled:.1f}, {outcome.trained:.1f}")
    table.add_section()
    for name, value in seconds.items():
        table.add_row(_STAGES[name], _duration(value))
    table.add_row("in all", _duration(sum(seconds.values())))
    return table


def _scaling_lines(found: Scaling) -> Sequence[str]:
    return (
        f"more servers help until {found.servers_until} nodes serve beside {found.servers[0].trainers} that train, "
        f"more trainers until {found.trainers_until} train beside {found.trainers[0].servers} that serve "
        f"(beyond, doubling them gains less than {USEFUL:.0%})",
    )


def _scaling_table(points: Sequence[Point]) -> Table:
    table = Table(title="the fastest split of more and more nodes")
    for heading in ("GPUs", "train", "serve", "step", "trainers busy", "servers busy", "memory"):
        table.add_column(heading, justify="right")
    for point in points:
        cells = (point.gpus, point.trainers, point.servers, f"{point.step:.3g} s")
        busy = (f"{point.busy_trainers:.0%}", f"{point.busy_servers:.0%}")
        table.add_row(*map(str, cells), *busy, "fits" if point.fits else "too little")
    return table


def _size(size: float | None) -> str:
    if not size:
        return "-"
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / 2**20:.0f} MiB"


def _number(count: float) -> str:
    return f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:.2f} million"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 172800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= size:
            return f"{seconds / {'days': 86400.0, 'h': 3600.0, 'min': 60.0}[unit]:.1f} {unit}"
    return f"{seconds:.1f} s"
