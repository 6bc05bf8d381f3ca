"""Rates from what an earlier run logged: the update from its tokens and seconds, sampling from the time it waited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

from metis_rise.cluster.logged import Step, figure, rl_steps
from metis_rise.cluster.rates import Rates
from metis_rise.cluster.simulator import Loop, simulate
from metis_rise.cluster.update import UpdateTime
from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.recipe import Recipe

# The first steps of a run load kernels and fill caches.
_WARM_UP = 2


def recipe_of(run: Path) -> Recipe:
    """The recipe of the run in folder `run`; InputError where there is none."""
    path = run / "recipe.json"
    try:
        return Recipe.model_validate(parse_json(path.read_bytes()))
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: the run's recipe cannot be read ({why}); name the folder of a run") from error


def rates_of(run: Path, update: UpdateTime, loop: Loop) -> tuple[Rates, float]:
    """What makes the plan of a run agree with what it took, and its seconds for a push.

    Args:
        run: its folder; it must have sampled step by step, so that the seconds of sampling are known.
        update: of the plan of its recipe.
        loop: likewise.

    Raises InputError for a run that sampled ahead, or has too few steps, or steps that do not say enough.
    """

    def of(step: Step, name: str) -> float:
        return figure(run, step, name)

    steps = [step for step in rl_steps(run) if of(step, "groups_kept")][_WARM_UP:]
    if not steps:
        raise InputError(f"{run}: has no more than {_WARM_UP} RL steps; let it do a few more, or name another run")
    if loop.ahead:
        raise InputError(f"{run}: sampled ahead, which hides how long sampling took; name one with rl.max_staleness=0")
    waiting = fmean(of(step, "waiting") * of(step, "seconds") for step in steps)
    # The native sampler has nothing to push to.
    push = fmean(of(step, "push_seconds") if "push_seconds" in step else 0.0 for step in steps)
    updating = fmean(of(step, "seconds") for step in steps) - waiting - push
    if min(waiting, updating) <= 0:
        raise InputError(f"{run}: its RL steps log no time for sampling, or none for updates; name another run")
    flops = fmean(_flops(of(step, "groups_kept"), of(step, "tokens_unique"), update, loop) for step in steps)
    # Sampling scaled as a whole: a step of decoding and all that comes with it.
    scale = waiting / simulate(loop).sampling
    old = update.rates
    rates = replace(old, flops=flops / updating, prompt=old.prompt * scale, problem=old.problem * scale)
    return replace(rates, decoding=old.decoding.slower(scale), source=f"as {run} did it: {len(steps)} RL steps"), push


def _flops(groups: float, tokens: float, update: UpdateTime, loop: Loop) -> float:
    completed = max(tokens / groups - update.work.prompt, loop.group_size)
    return groups * update.flops(completed, loop.group_size)
