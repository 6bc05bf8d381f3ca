"""Stage 1: reinforcement learning from the base, with no cold start (paper, stage 1).

GRPO without KL, clip-higher, token-level loss, online filtering by accuracy with refill and carry-over, soft
overlong penalty, format and accuracy reward. Every draw is a function of (seed, step), so a run that is killed
goes on from its last checkpoint exactly as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.engines.base import Request
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.checkpoint import load_training, load_weights, newest, prune, save_training
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.optimizer import Optimizer, lr_at
from metis_rise.run import Stage, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.collector import Collected, Collector, LogProbsPerToken
from metis_rise.stages.dev import score_dev
from metis_rise.stages.figures import finite
from metis_rise.stages.prompt_stream import PromptStream
from metis_rise.stages.update import Updater, prompt_rows, reward
from metis_rise.stages.workshop import MODEL_FOLDER, Bench, Workshop, sample_judged
from metis_rise.types import Group, Problem, mean_strict


@dataclass(slots=True)
class _Progress:
    """What a checkpoint remembers beside weights, optimizer and collector."""

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    short_steps: int = 0
    empty_steps: int = 0
    seconds: float = 0.0
    trajectories: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def run(shop: Workshop) -> dict[str, Any]:
    """Runs or resumes RL; leaves the best checkpoint's weights in the stage's `model` folder."""
    return _Training(shop).run()


class _Training:
    def __init__(self, shop: Workshop) -> None:
        recipe = shop.recipe
        self.shop, self.config = shop, recipe.rl
        self.began = time.monotonic()
        self.stage: Stage = shop.run.stage("rl")
        self.bench: Bench = shop.bench(recipe.model.path)
        self.optimizer = Optimizer(
            self.bench.policy,
            weight_decay=self.config.weight_decay,
            max_grad_norm=self.config.max_grad_norm,
            betas=(0.9, self.config.adam_beta2),
        )
        for part, budget in (("rl", recipe.rl.micro_tokens), ("sft", recipe.sft.micro_tokens)):
            shop.check_room(self.bench, part, budget)
        stream = PromptStream(shop.sets.train, derive(recipe.seed, "rl"), self.config.revisit)
        self.collector = Collector(self.config, stream, self._sample, self._old_logprobs)
        # With adapters the policy is its own reference: they are switched off.
        apart = self.config.kl_weight > 0 and self.bench.policy.lora is None
        reference = shop.bench(recipe.model.path).policy if apart else None
        sampling = (recipe.sampling.temperature, shop.max_tokens)
        self.rescore = self.config.old_logprobs == "trainer" or (
            self.config.old_logprobs == "auto" and not self._same_numbers()
        )
        self.updater = Updater(self.bench, self.optimizer, self.config, sampling, reference, self.rescore)
        self.progress = _Progress()
        self.rollouts: list[dict[str, Any]] = []

    def _same_numbers(self) -> bool:
        """Whether sampler and trainer compute the same log-probabilities: one module, and no low precision."""
        model = self.shop.recipe.model
        return isinstance(self.bench.engine, NativeEngine) and model.dtype == "float32" and not model.autocast

    def run(self) -> dict[str, Any]:
        self._resume()
        policy, objective, total = self.bench.policy, self.updater.objective, self.config.steps
        self.shop.run.log(f"RL: attention of packed rows: {policy.backend.name} ({policy.backend.reason})")
        self.shop.run.log(
            f"RL: objective {self.config.objective}, ratio clipped to [1 - {objective.clip_low}, "
            f"1 + {objective.clip_high}], advantages scaled by {objective.advantage_scale}, "
            f"loss aggregated by {objective.aggregation}"
        )
        with tqdm(total=total, initial=self.progress.step, desc="RL", unit="step") as bar:
            if self.progress.step == 0 and self.progress.best_score < 0:
                self._evaluate()
                self._save()
            while self.progress.step < total:
                bar.set_postfix(self._step())
                bar.update()
        return self._finish()

    def _step(self) -> dict[str, str]:
        start, step, encoded = time.monotonic(), self.progress.step, self.bench.policy.encoded
        collected = self.collector.collect(step)
        sampled_at = time.monotonic()
        learning_rate = lr_at(step, self.config.learning_rate, self.config.warmup_steps)
        figures = self.updater.update(collected.kept, step, learning_rate) if collected.kept else {}
        self.progress.step += 1
        self._count(collected)
        values = self._values(collected) | figures | {"lr": learning_rate, "seconds": time.monotonic() - start}
        tokens = sum(len(t.tokens) for group in collected.sampled for t in group.trajectories)
        values["tokens_per_second"] = tokens / max(sampled_at - start, 1e-9)
        groups = [*collected.sampled, *(kept.group for kept in collected.kept)]
        values["images_encoded"] = self.bench.policy.encoded - encoded
        values["images_unique"] = len({image for group in groups for image in group.problem.images})
        self.shop.run.metric("rl", self.progress.step, finite(values))
        self.rollouts += [
            t.to_json() | {"tokens": [], "logprobs": []} for g in collected.sampled for t in g.trajectories
        ]
        last = self.progress.step == self.config.steps
        best = (last or self.progress.step % self.config.eval_every == 0) and self._evaluate()
        if best or last or self.progress.step % self.config.checkpoint_every == 0:
            self._save()
        return {
            "accuracy": f"{values['accuracy']:.2f}",
            "format": f"{values['format']:.2f}",
            "tokens": f"{values['length']:.0f}",
            "groups": f"{len(collected.kept)}/{len(collected.sampled)}",
        }

    def _sample(self, problems: Sequence[Problem], step: int, turn: int) -> Iterable[Group]:
        params, size = self.shop.sampled, self.config.group_size
        seed = self.shop.recipe.seed
        requests = [Request(p, size, params, derive(seed, "rl", step, turn, p.id)) for p in problems]
        return sample_judged(self.bench.engine, requests, "rl")

    def _old_logprobs(self, group: Group, now: bool) -> LogProbsPerToken:
        """What ratios start from: the sampler's log-probabilities, or the trainer's where the two can differ.

        A group that is trained on `now`, in one update, starts from that update's own pass instead.
        """
        if not self.rescore or (now and self.config.minibatches == 1):
            return tuple(t.logprobs for t in group.trajectories)
        rows, temperature = prompt_rows(self.bench, group), self.shop.recipe.sampling.temperature
        scores = row_logprobs(self.bench.policy, rows, temperature, self.config.micro_tokens)
        return tuple(tuple(values.tolist()) for values in scores)

    def _values(self, collected: Collected) -> dict[str, float]:
        drawn = [t for group in collected.sampled for t in group.trajectories]
        count = max(1, len(drawn))
        max_tokens = self.shop.max_tokens
        return {
            "reward": sum(reward(t, self.config, max_tokens) for t in drawn) / count,
            "accuracy": mean_strict(drawn),
            "format": sum(t.verdict is not None and t.verdict.well_formed for t in drawn) / count,
            "length": sum(len(t.tokens) for t in drawn) / count,
            "groups_kept": len(collected.kept),
            "groups_sampled": len(collected.sampled),
            "filter_rate": collected.filter_rate,
            "carried": collected.carried,
            "refill_rounds": max(0, collected.rounds - 1),
        }

    def _count(self, collected: Collected) -> None:
        progress, wanted = self.progress, self.config.prompts_per_step
        for reason, groups in collected.dropped.items():
            dropped = groups * self.config.group_size
            progress.dropped[reason] = progress.dropped.get(reason, 0) + dropped
        progress.problems = sorted({*progress.problems, *(group.problem.id for group in collected.sampled)})
        progress.trajectories += sum(len(kept.group.trajectories) for kept in collected.kept)
        progress.empty_steps += not collected.kept
        progress.short_steps += 0 < len(collected.kept) < wanted

    def _evaluate(self) -> bool:
        """Scores dev problems greedy and sampled; whether their mean is the best so far."""
        score = score_dev(self.shop, self.bench, "rl-dev", self.progress.step)
        # Of equally good steps the later one: it has learnt more.
        if score < self.progress.best_score:
            return False
        self.progress.best_score, self.progress.best_step = score, self.progress.step
        return True

    def _seconds(self) -> float:
        """Time spent on this stage, in earlier processes too as far as their last checkpoints."""
        return self.progress.seconds + time.monotonic() - self.began

    def _checkpoint(self, step: int) -> Path:
        return self.stage.path / f"checkpoint-{step}"

    def _save(self) -> None:
        if self.rollouts:
            write_jsonl(self.stage.path / f"trajectories-{self.progress.step:06d}.jsonl", self.rollouts)
            self.rollouts = []
        state = {
            "progress": asdict(self.progress) | {"seconds": self._seconds()},
            "collector": self.collector.state_dict(),
        }
        save_training(self._checkpoint(self.progress.step), self.bench.policy, self.optimizer, state)
        prune(self.stage.path, self.config.keep_checkpoints, [self._checkpoint(self.progress.best_step)])

    def _resume(self) -> None:
        found = newest(self.stage.path)
        if found is not None:
            state = load_training(found, self.bench.policy, self.optimizer)
            self.progress = _Progress(**state["progress"])
            self.collector.load_state_dict(state["collector"])
            self.shop.run.log(f"RL: going on from {found.name}")
        for curve in ("rl", "rl-dev"):
            self.shop.run.truncate_metrics(curve, self.progress.step if found is not None else -1)

    def _warn(self) -> None:
        progress, warn = self.progress, self.shop.run.warn
        for number, what in ((progress.short_steps, "smaller than asked"), (progress.empty_steps, "without any group")):
            if number:
                warn(f"RL: {number} of {progress.step} steps were {what}: too few problems were solved sometimes")
        if self.optimizer.skipped:
            warn(f"RL: {self.optimizer.skipped} updates were skipped because their gradient was not finite")
        if progress.best_step == 0:
            warn("RL: no step scored as well on dev as the base, which therefore goes on to the next stage")

    def _finish(self) -> dict[str, Any]:
        progress = self.progress
        best = self._checkpoint(progress.best_step)
        load_weights(best, self.bench.policy)
        self.bench.policy.save(self.stage.path / MODEL_FOLDER)
        self.shop.run.log(f"RL: the best of {progress.step} steps on dev is step {progress.best_step}")
        self._warn()
        return {
            "steps": progress.step,
            "best_step": progress.best_step,
            "seconds": self._seconds(),
            "counts": {"problems": len(progress.problems), "used": progress.trajectories},
            "dropped": progress.dropped | {"surplus at the end": self.collector.waiting * self.config.group_size},
        }
