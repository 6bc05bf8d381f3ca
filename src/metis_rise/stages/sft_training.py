"""Training one stage of the SFT curriculum: loss on completion tokens only, each problem's trajectories in one row."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from metis_rise.policy.forward import Row, row_logprobs, score
from metis_rise.policy.objectives import aggregate
from metis_rise.policy.optimizer import Optimizer, lr_at
from metis_rise.problems.prompt import control_token
from metis_rise.recipe.sft import SFTStage
from metis_rise.seeding import derive
from metis_rise.stages.curriculum import Example, ordered
from metis_rise.stages.dev import dev_problems, score_dev
from metis_rise.stages.experts.free import free_expert
from metis_rise.stages.figures import Mean, finite
from metis_rise.stages.workshop import Bench, Workshop

# The curve of dev scores: step N is after the Nth curriculum stage.
DEV = "sft-dev"
_HELD_OUT_ROWS = 64


def train(
    shop: Workshop,
    config: SFTStage,
    taught: Sequence[Example],
    replay: Sequence[Example],
    model: Path,
    folder: Path,
    number: int,
) -> None:
    """Trains curriculum stage `number` (0-based) from `model`, scores dev problems, then saves into `folder`."""
    sft, seed = shop.recipe.sft, derive(shop.seed, "sft-order", number)
    bench = shop.bench(model)
    optimizer = Optimizer(
        bench.policy,
        weight_decay=sft.weight_decay,
        max_grad_norm=sft.max_grad_norm,
        betas=(0.9, sft.adam_beta2),
    )
    curve = f"sft-{config.name}"
    for part in (curve, f"{curve}-heldout"):
        shop.run.truncate_metrics(part, -1)
    shop.run.truncate_metrics(DEV, number)
    shop.check_room(bench, "sft", sft.micro_tokens)
    backend = bench.policy.backend
    shop.run.log(f"SFT {config.name}: attention of packed rows: {backend.name} ({backend.reason})")
    held_out = _held_out(shop, bench)
    per_epoch = math.ceil((len(taught) + len(replay)) / config.batch_size)
    total, step = config.epochs * per_epoch, 0
    _log_held_out(shop, bench, held_out, config.name, 0)
    with tqdm(total=total, desc=f"SFT {config.name}", unit="step") as bar:
        for epoch in range(config.epochs):
            order = ordered(config, taught, replay, derive(seed, epoch))
            for start in range(0, len(order), config.batch_size):
                began = time.monotonic()
                batch = _rows(bench, order[start : start + config.batch_size])
                learning_rate = lr_at(step, config.learning_rate, sft.warmup_steps, total, config.schedule)
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
        score_dev(shop, bench, DEV, number + 1)
    bench.policy.save(folder)


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
    expert = free_expert(shop.recipe)
    solved = [(problem, expert.solve(problem)) for problem in dev_problems(shop)]
    examples = [Example(problem, text) for problem, text in solved if text is not None and not control_token(text)]
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
