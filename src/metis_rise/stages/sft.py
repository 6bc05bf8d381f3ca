"""Stage 5: supervised fine-tuning in curriculum stages (paper, stage 2): first what the model can already do
sometimes, then what the expert showed, each with replay of own right trajectories so that little is unlearnt."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from metis_rise.policy.forward import Row, row_logprobs, score
from metis_rise.policy.objectives import aggregate
from metis_rise.policy.optimizer import Optimizer, lr_at
from metis_rise.recipe.sft import SFTStage
from metis_rise.seeding import derive
from metis_rise.stages import distill
from metis_rise.stages.dev import dev_problems, score_dev
from metis_rise.stages.diagnose import JOURNAL, read_trajectories
from metis_rise.stages.expert_sources import make_expert
from metis_rise.stages.figures import Mean, finite
from metis_rise.stages.workshop import MODEL_FOLDER, Bench, Workshop
from metis_rise.types import Problem

_HELD_OUT_ROWS = 64


@dataclass(frozen=True, slots=True)
class Example:
    """A problem and the completion that is taught for it."""

    problem: Problem
    text: str


def run(shop: Workshop) -> dict[str, Any]:
    """Runs the curriculum stages in order; a stage whose model folder is there is not repeated."""
    stage = shop.run.stage("sft")
    pools = _pools(shop)
    model, results = shop.model_after("rl"), []
    for number, config in enumerate(shop.recipe.sft.stages):
        folder = stage.path / f"model-{config.name}"
        examples, replay = curriculum(config, pools, derive(shop.recipe.seed, "sft", number))
        if config.replay and examples and not replay:
            shop.run.warn(f"sft: stage {config.name} asks for replay, but there is nothing to replay")
        result: dict[str, Any] = {"name": config.name, "examples": len(examples), "replay": len(replay)}
        if not examples:
            shop.run.warn(f"sft: stage {config.name} has no examples and was skipped")
        else:
            if not folder.exists():
                _train(shop, config, [*examples, *replay], model, folder, number)
            model = folder
        results.append(result | _figures(shop, config))
    shop.policy(model).save(stage.path / MODEL_FOLDER)
    used = sum(result["examples"] + result["replay"] for result in results)
    return {"stages": results, "counts": {"used": used}, "dropped": {}}


def curriculum(config: SFTStage, pools: dict[str, list[Example]], seed: int) -> tuple[list[Example], list[Example]]:
    """The examples of one curriculum stage and its replay, drawn from what the stage itself does not teach."""
    examples = [example for name in config.data for example in pools[name]]
    rest = [example for name in ("mastered", "self") if name not in config.data for example in pools[name]]
    count = min(len(rest), round(config.replay * len(examples)))
    return examples, Random(seed).sample(rest, count)


def _pools(shop: Workshop) -> dict[str, list[Example]]:
    problems = {problem.id: problem for problem in shop.sets.train}

    def read(stage: str, file: str) -> list[Example]:
        found = read_trajectories(shop.run.stage(stage).path / file)
        return [Example(problems[key], t.text) for key, trajectories in found.items() for t in trajectories]

    return {
        "self": read("distill", JOURNAL),
        "mastered": read("distill", distill.REPLAY),
        "expert": read("expert", JOURNAL),
    }


def _train(
    shop: Workshop, config: SFTStage, examples: Sequence[Example], model: Path, folder: Path, number: int
) -> None:
    sft, seed = shop.recipe.sft, derive(shop.recipe.seed, "sft-order", number)
    bench = shop.bench(model)
    optimizer = Optimizer(
        bench.policy,
        weight_decay=sft.weight_decay,
        max_grad_norm=sft.max_grad_norm,
        betas=(0.9, sft.adam_beta2),
    )
    curve = f"sft-{config.name}"
    for part in (curve, f"{curve}-heldout", f"{curve}-dev"):
        shop.run.truncate_metrics(part, -1)
    shop.check_room(bench, "sft", sft.micro_tokens)
    backend = bench.policy.backend
    shop.run.log(f"SFT {config.name}: attention of packed rows: {backend.name} ({backend.reason})")
    held_out = _held_out(shop, bench)
    per_epoch = math.ceil(len(examples) / config.batch_size)
    total, step = config.epochs * per_epoch, 0
    _log_held_out(shop, bench, held_out, config.name, 0)
    with tqdm(total=total, desc=f"SFT {config.name}", unit="step") as bar:
        for epoch in range(config.epochs):
            order = shuffled(examples, derive(seed, epoch))
            for start in range(0, len(order), config.batch_size):
                began = time.monotonic()
                batch = _rows(bench, order[start : start + config.batch_size])
                learning_rate = lr_at(step, config.learning_rate, sft.warmup_steps, total)
                loss = _backward(bench, batch, sft.micro_tokens)
                norm, tokens, step = optimizer.step(learning_rate), sum(len(c) for _, c in batch), step + 1
                values = {"loss": loss, "lr": learning_rate, "grad_norm": norm, "tokens": tokens}
                shop.run.metric(curve, step, finite(values | {"seconds": time.monotonic() - began}))
                bar.set_postfix(loss=f"{loss:.3f}")
                bar.update()
            _log_held_out(shop, bench, held_out, config.name, step)
    if optimizer.skipped:
        shop.run.warn(f"sft: {optimizer.skipped} updates of stage {config.name} were skipped: gradient not finite")
    with closing(bench):
        bench.push()
        score_dev(shop, bench, f"{curve}-dev", step)
    bench.policy.save(folder)


def shuffled(examples: Sequence[Example], seed: int) -> list[Example]:
    """The examples in random order of their problems; those of one problem stay together and share its prompt."""
    by_problem: dict[str, list[Example]] = {}
    for example in examples:
        by_problem.setdefault(example.problem.id, []).append(example)
    random, groups = Random(seed), list(by_problem.values())
    random.shuffle(groups)
    for group in groups:
        random.shuffle(group)
    return [example for group in groups for example in group]


def _rows(bench: Bench, examples: Sequence[Example]) -> list[Row]:
    return [(bench.prompt(example.problem), bench.policy.completion_ids(example.text)) for example in examples]


def _backward(bench: Bench, batch: Sequence[Row], micro_tokens: int) -> float:
    """Gradients of the mean negative log-likelihood per token of `batch`; returns that mean."""
    tokens, loss = sum(len(completion) for _, completion in batch), 0.0
    with bench.policy.updating():
        for scored in score(bench.policy, batch, token_budget=micro_tokens):
            objective: Tensor = aggregate(-scored.logprobs.values, scored.logprobs.lengths, "token", tokens)
            torch.autograd.backward(objective)
            loss += float(objective.detach())
    return loss


def _held_out(shop: Workshop, bench: Bench) -> list[Example]:
    """Expert solutions of dev problems: their loss says whether what is taught carries over."""
    expert = make_expert(shop.recipe)
    solved = [(problem, expert.solve(problem)) for problem in dev_problems(shop)]
    examples = [Example(problem, text) for problem, text in solved if text is not None]
    return [e for e in examples if len(bench.policy.completion_ids(e.text)) <= shop.max_tokens]


def _log_held_out(shop: Workshop, bench: Bench, examples: Sequence[Example], stage: str, step: int) -> None:
    if not examples:
        return
    mean, size = Mean(), shop.recipe.sft.micro_tokens
    for start in range(0, len(examples), _HELD_OUT_ROWS):
        rows = _rows(bench, examples[start : start + _HELD_OUT_ROWS])
        values = torch.cat(row_logprobs(bench.policy, rows, 1.0, size))
        mean.add({"loss": -float(values.mean())}, len(values))
    shop.run.metric(f"sft-{stage}-heldout", step, mean.result())


def _figures(shop: Workshop, config: SFTStage) -> dict[str, Any]:
    """First and last losses of a curriculum stage, and its dev scores, from its metrics."""
    found: dict[str, Any] = {}
    for key, curve in (("loss", f"sft-{config.name}"), ("heldout", f"sft-{config.name}-heldout")):
        rows = shop.run.metrics(curve)
        if rows:
            found |= {f"{key}_first": rows[0]["values"]["loss"], f"{key}_last": rows[-1]["values"]["loss"]}
            found |= {"steps": rows[-1]["step"]}
    for row in shop.run.metrics(f"sft-{config.name}-dev"):
        found |= {f"dev_{mode}": score for mode, score in row["values"].items()}
    return found
