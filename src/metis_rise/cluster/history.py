"""Rates from what an earlier run logged: the update from its tokens and seconds, sampling from the time it waited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

from metis_rise.cluster.rates import Decoding, Rates
from metis_rise.cluster.simulator import Loop, sample_seconds_mean
from metis_rise.cluster.update import UpdateTime
from metis_rise.errors import InputError
from metis_rise.journal import read_jsonl
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

    Raises InputError for a run that sampled ahead, or has too few steps.
    """
    path = run / "metrics.jsonl"
    rows = [row["values"] for row in read_jsonl(path) if row["stage"] == "rl" and row["values"]["groups_kept"]]
    rows = rows[_WARM_UP:]
    if not rows:
        raise InputError(f"{run}: has no more than {_WARM_UP} RL steps; let it do a few more, or name another run")
    if loop.ahead:
        raise InputError(f"{run}: sampled ahead, which hides how long sampling took; name one with rl.max_staleness=0")
    waiting = fmean(row["waiting"] * row["seconds"] for row in rows)
    push = fmean(row.get("push_seconds", 0.0) for row in rows)
    updating = fmean((1 - row["waiting"]) * row["seconds"] - row.get("push_seconds", 0.0) for row in rows)
    flops = fmean(_flops(row, update, loop) for row in rows)
    # Sampling scaled as a whole: a step of decoding and all that comes with it.
    scale = waiting / sample_seconds_mean(loop)
    old = update.rates
    decoding = Decoding(old.decoding.fixed * scale, old.decoding.row * scale)
    rates = replace(old, flops=flops / updating, prompt=old.prompt * scale, problem=old.problem * scale)
    return replace(rates, decoding=decoding, source=f"as {run} did it: {len(rows)} RL steps"), push


def _flops(row: dict[str, float], update: UpdateTime, loop: Loop) -> float:
    groups = row["groups_kept"]
    completed = max(row["tokens_unique"] / groups - update.work.prompt, loop.group_size)
    return groups * update.flops(completed, loop.group_size)
