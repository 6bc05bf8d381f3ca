"""Training one stage of the SFT curriculum: loss on completion tokens only, each problem's trajectories in one row."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch

from metis_rise.policy.optimizer import lr_at
from metis_rise.problems.prompt import control_token
from metis_rise.recipe.sft import SFTStage
from metis_rise.seeding import derive
from metis_rise.stages.bad_updates import BadUpdates
from metis_rise.stages.curriculum import Example, ordered
from metis_rise.stages.dev import dev_problems, score_dev
from metis_rise.stages.experts.free import free_expert
from metis_rise.stages.figures import Mean, finite
from metis_rise.stages.hands import OptimizerSettings
from metis_rise.stages.keeper import Keeper
from metis_rise.stages.passes import Completion
from metis_rise.stages.sft_update import Teacher
from metis_rise.stages.so_far import update_said
from metis_rise.stages.workshop import Bench, Workshop
from metis_rise.stopping import finished_first
from metis_rise.terminal import Bar

# The curve of dev scores: step N is after the Nth curriculum stage.
DEV = "sft-dev"
_HELD_OUT_ROWS = 64


def train(
    shop: Workshop,
    config: SFTStage,
    taught: Sequence[Example],
    replay: Sequence[Example],
    model: str | Path,
    folder: Path,
    number: int,
) -> None:
    """Trains curriculum stage `number` (0-based) from `model`, scores dev problems, then saves into `folder`.

    Goes on from the newest checkpoint, if the run has ended within this stage before.
    """
    with closing(shop.bench(model)) as bench:
        lesson = _Lesson(shop, config, bench, folder, number)
        lesson.teach(taught, replay)
        if skipped := lesson.training.skipped:
            said = "were skipped, whose loss or gradient was not finite: 5-sft/bad-updates.jsonl"
            shop.run.warn(f"sft: {skipped} updates of stage {config.name} {said}")
        bench.push()
        score_dev(shop, bench, DEV, number + 1)
        bench.work.save(folder)
    drop_checkpoints(folder)


def drop_checkpoints(folder: Path) -> None:
    """Deletes the checkpoints of a curriculum stage whose model is in `folder`; there may be none."""
    shutil.rmtree(_checkpoints(folder), ignore_errors=True)


def _checkpoints(folder: Path) -> Path:
    return folder.with_name(f"checkpoints-{folder.name.removeprefix('model-')}")


class _Lesson:
    """A curriculum stage in training. `step` updates are done."""

    def __init__(self, shop: Workshop, config: SFTStage, bench: Bench, folder: Path, number: int) -> None:
        """See `train`."""
        sft, factor = shop.recipe.sft, shop.recipe.model.vision_lr_factor
        self.shop, self.config, self.bench, self.number = shop, config, bench, number
        self.training = bench.work.training(
            OptimizerSettings(sft.weight_decay, sft.max_grad_norm, sft.adam_beta2, factor)
        )
        kept = (sft.checkpoint_every, sft.checkpoint_minutes, sft.keep_checkpoints)
        self.keeper = Keeper(shop.run, self.training, _checkpoints(folder), *kept)
        self.bad = BadUpdates(folder.parent, f"sft-{config.name}", "sft", sft.max_bad_updates)
        self.teacher = Teacher(bench.work, self.training, sft.micro_tokens, self.bad)
        self.curve, self.seed = f"sft-{config.name}", derive(shop.seed, "sft-order", number)
        self.step = 0

    def teach(self, taught: Sequence[Example], replay: Sequence[Example]) -> None:
        """All epochs that are left; the order of each is a function of its number."""
        config, shop = self.config, self.shop
        self._resume()
        shop.check_room(self.bench, "sft", shop.recipe.sft.micro_tokens)
        backend = self.bench.policy.backend
        shop.run.log(f"SFT {config.name}: attention of packed rows: {backend.name} ({backend.reason})")
        held_out = _held_out(shop, self.bench)
        if self.step == 0:
            self._log_held_out(held_out)
        per_epoch = math.ceil((len(taught) + len(replay)) / config.batch_size)
        total = config.epochs * per_epoch
        with Bar(total=total, initial=self.step, desc=f"SFT {config.name}", unit="step") as bar:
            for epoch in range(self.step // per_epoch, config.epochs):
                order = ordered(config, taught, replay, derive(self.seed, epoch))
                done = self.step % per_epoch * config.batch_size
                before = self._clocks()
                for batch in _batches(self.bench, order[done:], config.batch_size):
                    with finished_first(self._keep):
                        bar.set_postfix(update_said(self._update(batch, total, before)))
                        bar.update()
                        if self.step % per_epoch == 0:
                            self._log_held_out(held_out)
                        # Last of all: what a checkpoint does not know is done again, or else it is lost.
                        if self.keeper.due(self.step):
                            self._save()
                    before = self._clocks()

    def _update(self, batch: Sequence[Completion], total: int, before: Sequence[float]) -> dict[str, float]:
        """Teaches a batch, one of `total`, and logs it; `before` are the clocks at its start. Returns its figures."""
        config, sft = self.config, self.shop.recipe.sft
        learning_rate = lr_at(self.step, config.learning_rate, sft.warmup_steps, total, config.schedule)
        values = self.teacher.update(batch, learning_rate, self.step + 1)
        self.step += 1
        seconds, waited, data = (now - then for now, then in zip(self._clocks(), before, strict=True))
        values |= {"seconds": seconds, "data_waiting": data / seconds}
        if self.shop.team is not None:
            values["ranks_waiting"] = waited / seconds
        self.shop.run.metric(self.curve, self.step, finite(values))
        return values

    def _clocks(self) -> tuple[float, float, float]:
        """Seconds in all, those spent waiting for other processes, and for pictures."""
        return time.monotonic(), self.shop.waited, self.bench.work.data_waited

    def _save(self) -> None:
        self.keeper.save(self.step, {"step": self.step})

    def _keep(self) -> None:
        """A checkpoint of the last step, if it has none."""
        if not self.keeper.holds(self.step):
            self._save()

    def _resume(self) -> None:
        run = self.shop.run
        if (state := self.keeper.resume(self.seed)) is not None:
            self.step = state["step"]
            run.log(f"SFT {self.config.name}: going on after step {self.step}")
        self.bad.resume(self.step)
        for part in (self.curve, f"{self.curve}-heldout"):
            run.truncate_metrics(part, self.step or -1)
        run.truncate_metrics(DEV, self.number)

    def _log_held_out(self, examples: Sequence[Example]) -> None:
        if not examples:
            return
        mean, size = Mean(), self.shop.recipe.sft.micro_tokens
        for start in range(0, len(examples), _HELD_OUT_ROWS):
            rows = _completions(self.bench, examples[start : start + _HELD_OUT_ROWS])
            values = torch.cat(self.bench.work.logprobs(rows, 1.0, size))
            mean.add({"loss": -float(values.mean())}, len(values))
        self.shop.run.metric(f"{self.curve}-heldout", self.step, finite(mean.result()))


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
