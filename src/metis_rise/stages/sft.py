"""Stage 5: supervised fine-tuning in curriculum stages (paper, stage 2): first what the model can already do
sometimes, then what the expert showed, each with replay of own right trajectories so that little is unlearnt.

Dev problems are scored after every stage. A stage that costs more than chance explains ends the curriculum, and the
best model so far is taken."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.recipe.sft import SFTStage
from metis_rise.report.statistics import wilson
from metis_rise.seeding import derive
from metis_rise.stages import distill
from metis_rise.stages.curriculum import Example, select
from metis_rise.stages.dev import dev_problems, dev_score
from metis_rise.stages.journals import JOURNAL, read_trajectories
from metis_rise.stages.sft_training import DEV, drop_checkpoints, train
from metis_rise.stages.workshop import MODEL_FOLDER, Workshop

RL_MODEL = "the RL model"
START_MODEL = "the model before RL"


@dataclass(frozen=True, slots=True)
class _Made:
    """A model: its folder, who made it, and its dev score (mean of greedy and sampled accuracy, 0 to 1)."""

    model: str | Path
    name: str
    score: float


def run(shop: Workshop) -> dict[str, Any]:
    """Runs the curriculum stages in order; a stage whose model folder is there is not repeated."""
    stage = shop.run.stage("sft")
    pools, results = read_pools(shop), []
    last = best = _first(shop)
    for number, config in enumerate(shop.recipe.sft.stages):
        taught, replay = select(config, pools, derive(shop.seed, "sft", number))
        result: dict[str, Any] = {"name": config.name, "examples": len(taught), "replay": len(replay)}
        if not taught:
            shop.run.warn(f"sft: stage {config.name} has no examples and was skipped")
            results.append(result)
            continue
        if config.replay and not replay:
            shop.run.warn(f"sft: stage {config.name} asks for replay, but there is nothing to replay")
        folder = stage.path / f"model-{config.name}"
        if folder.exists():
            # The run may have ended just after it was written.
            drop_checkpoints(folder)
        else:
            train(shop, config, taught, replay, last.model, folder, number)
        last = _Made(folder, f"stage {config.name}", dev_score(shop, DEV, number + 1))
        results.append(result | _figures(shop, config, number))
        if shop.recipe.sft.roll_back and (fault := _fell(shop, last, best)):
            shop.run.warn(fault)
            results[-1]["rolled_back"] = True
            last = best
            break
        best = max(last, best, key=lambda made: made.score)
    with closing(shop.hands(last.model)) as hands:
        hands.save(stage.path / MODEL_FOLDER)
    used = sum(result["examples"] + result["replay"] for result in results)
    return {"stages": results, "taken": last.name, "counts": {"used": used}, "dropped": {}}


def _first(shop: Workshop) -> _Made:
    """The model to start from; what RL scored it with on dev becomes the first point of SFT's own curve."""
    after_rl = shop.recipe.sft.start_from == "rl"
    step = shop.run.stage("rl").result()["best_step"] if after_rl else 0
    if not shop.run.metrics(DEV):
        (row,) = (row for row in shop.run.metrics("rl-dev") if row["step"] == step)
        shop.run.metric(DEV, 0, row["values"])
    model, name = (shop.model_after("rl"), RL_MODEL) if after_rl else (shop.start_model, START_MODEL)
    return _Made(model, name, dev_score(shop, DEV, 0))


def _fell(shop: Workshop, last: _Made, best: _Made) -> str:
    """What to say when `last` is below the 95 % interval of `best` on the same dev problems, else ""."""
    n = len(dev_problems(shop))
    low, _ = wilson(best.score * n, n)
    if last.score >= low:
        return ""
    return (
        f"sft: ROLLED BACK: after {last.name} {100 * last.score:.1f} % of {n} dev problems are solved, below the 95 % "
        f"interval of {best.name} ({100 * best.score:.1f} %, from {100 * low:.1f} %); the curriculum ends and "
        f"{best.name} is taken. Try a lower learning_rate, fewer epochs or more replay; sft.roll_back=false goes on"
    )


def read_pools(shop: Workshop) -> dict[str, list[Example]]:
    """The examples of each source, from what distillation and the expert left."""
    problems = {problem.id: problem for problem in shop.sets.train}
    rates = shop.run.stage("diagnose").result()["solve_rates"]

    def read(stage: str, file: str, source: str) -> list[Example]:
        found = read_trajectories(shop.run.stage(stage).path / file)
        return [Example(problems[key], t.text, source, rates[key]) for key, ts in found.items() for t in ts]

    return {
        "self": read("distill", JOURNAL, "self"),
        "mastered": read("distill", distill.REPLAY, "mastered"),
        "expert": read("expert", JOURNAL, "expert"),
    }


def _figures(shop: Workshop, config: SFTStage, number: int) -> dict[str, Any]:
    """First and last losses of a curriculum stage, and its dev scores, from its metrics."""
    found: dict[str, Any] = {}
    for key, curve in (("loss", f"sft-{config.name}"), ("heldout", f"sft-{config.name}-heldout")):
        # An update that was skipped may have no loss that is a number.
        rows = [row for row in shop.run.metrics(curve) if "loss" in row["values"]]
        if rows:
            found |= {f"{key}_first": rows[0]["values"]["loss"], f"{key}_last": rows[-1]["values"]["loss"]}
            found |= {"steps": rows[-1]["step"]}
    for row in shop.run.metrics(DEV):
        if row["step"] == number + 1:
            found |= {f"dev_{mode}": score for mode, score in row["values"].items()}
    return found
