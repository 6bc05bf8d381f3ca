"""Training one stage of the SFT curriculum: loss on completion tokens only, each problem's trajectories in one row."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from metis_rise.policy.checkpoint import newest
from metis_rise.policy.optimizer import lr_at
from metis_rise.problems.prompt import control_token
from metis_rise.recipe.sft import SFTStage
from metis_rise.seeding import derive
from metis_rise.stages.curriculum import Example, ordered
from metis_rise.stages.dev import dev_problems, score_dev
from metis_rise.stages.experts.free import free_expert
from metis_rise.stages.figures import Mean, finite
from metis_rise.stages.hands import OptimizerSettings, Training
from metis_rise.stages.passes import Completion
from metis_rise.stages.so_far import update_said
from metis_rise.stages.workshop import Bench, Workshop
from metis_rise.stopping import finished_first
from metis_rise.terminal import Bar

# The curve of dev scores: step N is after the Nth curriculum stage.
DEV = "sft-dev"
_HELD_OUT_ROWS = 64


@dataclass(slots=True)
class _Progress:
    """How far the training of a curriculum stage is: `step` updates. A run that is stopped keeps it in `folder`."""

    training: Training
    folder: Path
    step: int = 0

    def resume(self) -> None:
        """Goes on from what `keep` wrote, if it did."""
        if (found := newest(self.folder)) is not None:
            self.step = self.training.load(found)["step"]

    def keep(self) -> None:
        """Writes what is needed to go on exactly from here."""
        self.training.save(self.folder / f"checkpoint-{self.step}", {"step": self.step})


def train(
    shop: Workshop,
    config: SFTStage,
    taught: Sequence[Example],
    replay: Sequence[Example],
    model: Path,
    folder: Path,
    number: int,
) -> None:
    """Trains curriculum stage `number` (0-based) from `model`, scores dev problems, then saves into `folder`.

    Goes on from the step after which the run was stopped, if it was stopped in this stage.
    """
    sft, seed = shop.recipe.sft, derive(shop.seed, "sft-order", number)
    bench = shop.bench(model)
    factor = shop.recipe.model.vision_lr_factor
    training = bench.work.training(OptimizerSettings(sft.weight_decay, sft.max_grad_norm, sft.adam_beta2, factor))
    progress = _Progress(training, folder.with_name(f"checkpoints-{config.name}"))
    progress.resume()
    curve = f"sft-{config.name}"
    for part in (curve, f"{curve}-heldout"):
        shop.run.truncate_metrics(part, progress.step or -1)
    shop.run.truncate_metrics(DEV, number)
    shop.check_room(bench, "sft", sft.micro_tokens)
    backend = bench.policy.backend
    shop.run.log(f"SFT {config.name}: attention of packed rows: {backend.name} ({backend.reason})")
    held_out = _held_out(shop, bench)
    per_epoch = math.ceil((len(taught) + len(replay)) / config.batch_size)
    total = config.epochs * per_epoch
    if progress.step:
        shop.run.log(f"SFT {config.name}: going on after step {progress.step}")
    else:
        _log_held_out(shop, bench, held_out, config.name, 0)
    with Bar(total=total, initial=progress.step, desc=f"SFT {config.name}", unit="step") as bar:
        for epoch in range(progress.step // per_epoch, config.epochs):
            order = ordered(config, taught, replay, derive(seed, epoch))
            done = progress.step % per_epoch * config.batch_size
            batches = _batches(bench, order[done:], config.batch_size)
            began, waited, data = time.monotonic(), shop.waited, bench.work.data_waited
            for batch in batches:
                with finished_first(progress.keep):
                    learning_rate = lr_at(progress.step, config.learning_rate, sft.warmup_steps, total, config.schedule)
                    loss = bench.work.teach(batch, sft.micro_tokens)
                    norm, tokens = training.step(learning_rate), sum(len(each.tokens) for each in batch)
                    progress.step += 1
                    values = {"loss": loss, "lr": learning_rate, "grad_norm": norm, "tokens": tokens}
                    values["seconds"] = time.monotonic() - began
                    values["data_waiting"] = (bench.work.data_waited - data) / values["seconds"]
                    if shop.team is not None:
                        values["ranks_waiting"] = (shop.waited - waited) / values["seconds"]
                    shop.run.metric(curve, progress.step, finite(values))
                    began, waited, data = time.monotonic(), shop.waited, bench.work.data_waited
                    bar.set_postfix(update_said(values))
                    bar.update()
                    if progress.step % per_epoch == 0:
                        _log_held_out(shop, bench, held_out, config.name, progress.step)
    if training.skipped:
        shop.run.warn(f"sft: {training.skipped} updates of stage {config.name} were skipped: gradient not finite")
    with closing(bench):
        bench.push()
        score_dev(shop, bench, DEV, number + 1)
        bench.work.save(folder)
    shutil.rmtree(progress.folder, ignore_errors=True)


def _batches(bench: Bench, examples: Sequence[Example], size: int) -> Iterator[list[Completion]]:
    """The completions of each batch; while one is taught, helpers may begin with the pictures of the next."""
    starts = range(0, len(examples), size)
    batches = (_completions(bench, examples[start : start + size]) for start in starts)
    batch = next(batches, None)
    while batch is not None:
        after = next(batches, None)
        bench.work.expect(batch)
        bench.work.expect(after or [])
        yield batch
        batch = after


def _completions(bench: Bench, examples: Sequence[Example]) -> list[Completion]:
    return [Completion(example.problem, bench.policy.completion_ids(example.text)) for example in examples]


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
        rows = _completions(bench, examples[start : start + _HELD_OUT_ROWS])
        values = torch.cat(bench.work.logprobs(rows, 1.0, size))
        mean.add({"loss": -float(values.mean())}, len(values))
    shop.run.metric(f"sft-{stage}-heldout", step, mean.result())
