"""Stage 1: reinforcement learning from the base, with no cold start (paper, stage 1).

GRPO without KL, clip-higher, token-level loss, online filtering by accuracy with refill and carry-over, soft
overlong penalty, format and accuracy reward. Every draw is a function of (seed, step), so a run that is killed
goes on from its last checkpoint exactly as if nothing had happened.

With an engine that has weights of its own (servers) these are pushed after each update, and with `rl.max_staleness`
the groups of the next step are sampled while a step is trained: docs/design.md, "RL over servers".
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.policy.checkpoint import saved_version
from metis_rise.policy.checkpoint_folders import checkpoint_path, fault
from metis_rise.policy.optimizer import lr_at
from metis_rise.run import Stage, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.ahead import Batches
from metis_rise.stages.bad_updates import BadUpdates
from metis_rise.stages.collector import Collected, Collector, KeptGroup, LogProbsPerToken
from metis_rise.stages.dev import score_dev
from metis_rise.stages.figures import finite
from metis_rise.stages.hands import Hands, OptimizerSettings, Training
from metis_rise.stages.keeper import Keeper
from metis_rise.stages.passes import completions_of
from metis_rise.stages.prompt_stream import PromptStream
from metis_rise.stages.rewarding import mean_parts, reward, with_parts
from metis_rise.stages.rl_progress import Progress
from metis_rise.stages.rollouts import rollout_rows
from metis_rise.stages.serving import server_urls
from metis_rise.stages.update import Start, Updater
from metis_rise.stages.workshop import MODEL_FOLDER, Bench, Workshop, sample_judged
from metis_rise.stopping import finished_first
from metis_rise.terminal import Bar
from metis_rise.types import Group, Problem
from metis_rise.verifier.user_reward import load_reward


def run(shop: Workshop) -> dict[str, Any]:
    """Runs or resumes RL; leaves the best checkpoint's weights in the stage's `model` folder."""
    with closing(_Training(shop)) as training:
        return training.run()


class _Training:
    def __init__(self, shop: Workshop) -> None:
        recipe = shop.recipe
        self.shop, self.config = shop, recipe.rl
        self.began = time.monotonic()
        named = self.config.user_reward
        self.user_reward = None if named is None else load_reward(named)
        self.stage: Stage = shop.run.stage("rl")
        self.bench: Bench = shop.bench(shop.start_model)
        config = self.config
        factor = recipe.model.vision_lr_factor
        settings = OptimizerSettings(config.weight_decay, config.max_grad_norm, config.adam_beta2, factor)
        self.training: Training = self.bench.work.training(settings)
        stream = PromptStream(shop.sets.train, derive(shop.seed, "rl"), self.config.revisit)
        collector = Collector(self.config, stream, self._sample, self._old_logprobs)
        self.batches = Batches(collector, ahead=self.config.max_staleness > 0)
        # With adapters the policy is its own reference: they are switched off.
        apart = self.config.kl_weight > 0 and self.bench.policy.lora is None
        self.reference: Hands | None = shop.hands(recipe.model.path) if apart else None
        sampling = (recipe.sampling.temperature, shop.max_tokens)
        self.start = self._start()
        reference = None if self.reference is None else self.reference.policy
        self.bad = BadUpdates(self.stage.path, "rl", "rl", config.max_bad_updates)
        self.updater = Updater(self.bench, self.training, self.config, sampling, reference, self.start, self.bad)
        self.progress = Progress()
        kept = (config.checkpoint_every, config.checkpoint_minutes, config.keep_checkpoints)
        self.keeper = Keeper(shop.run, self.training, self.stage.path, *kept)

    def _start(self) -> Start:
        """What ratios start from. Another machine's weights may be a step behind, and its sums differ a little."""
        model, asked = self.shop.recipe.model, self.config.old_logprobs
        if self.bench.engine.remote:
            return Start.UPDATE
        # One module computes the same for sampler and trainer, but for low precision.
        same = model.dtype == "float32" and not model.autocast
        return Start.SAMPLING if asked == "trainer" or (asked == "auto" and not same) else Start.SAMPLER

    def run(self) -> dict[str, Any]:
        for part, budget in (("rl", self.config.micro_tokens), ("sft", self.shop.recipe.sft.micro_tokens)):
            self.shop.check_room(self.bench, part, budget)
        self._resume()
        self._say_how()
        self._train()
        return self._finish()

    def close(self) -> None:
        """Ends what is under way; a sampler in a thread fails when its engine closes."""
        self.bench.close()
        self.batches.close()
        if self.reference is not None:
            self.reference.close()

    def _say_how(self) -> None:
        policy, objective = self.bench.policy, self.updater.objective
        self.shop.run.log(f"RL: attention of packed rows: {policy.backend.name} ({policy.backend.reason})")
        self.shop.run.log(
            f"RL: objective {self.config.objective}, ratio clipped to [1 - {objective.clip_low}, "
            f"1 + {objective.clip_high}], advantages scaled by {objective.advantage_scale}, "
            f"loss aggregated by {objective.aggregation}"
        )
        if self.bench.engine.remote:
            ahead = "one step ahead" if self.config.max_staleness else "step by step"
            urls = ", ".join(server_urls(self.shop.recipe))
            self.shop.run.log(f"RL: sampled by {urls}, {ahead}, importance weights up to {self.config.importance_cap}")

    def _train(self) -> None:
        total = self.config.steps
        with Bar(total=total, initial=self.progress.step, desc="RL", unit="step") as bar:
            if self.progress.step == 0 and self.progress.best_score < 0:
                self._evaluate()
                self._save()
            while self.progress.step < total:
                with finished_first(self._keep):
                    bar.set_postfix(self._step())
                    bar.update()

    def _step(self) -> dict[str, str]:
        start, step, policy = time.monotonic(), self.progress.step, self.bench.policy
        waited, encoded, version = self.batches.waited, policy.encoded, policy.version
        apart, data = self.shop.waited, self.bench.work.data_waited
        collected = self.batches.take(step)
        if step + 1 < self.config.steps:
            self.batches.begin(step + 1)
        collected.drop_stale(version, lambda kept: self._most_lag(kept, step))
        values = self._values(collected)
        learning_rate = lr_at(step, self.config.learning_rate, self.config.warmup_steps)
        # While these are trained on, helpers may begin with the pictures of what is sampled next.
        self.bench.work.expect([each for kept in collected.kept for each in completions_of(kept.group)])
        self.bench.expect(self.batches.coming())
        values |= self.updater.update(collected.kept, learning_rate, step + 1) if collected.kept else {}
        collected.leave_out(self.updater.left_out)
        self.progress.step += 1
        self.progress.count(collected, self.config)
        # Nothing is sampled from here to the next step: weights may be pushed, and scored on dev.
        self.batches.wait()
        values |= self._push(version)
        values |= {"lr": learning_rate, "seconds": time.monotonic() - start}
        values["waiting"] = (self.batches.waited - waited) / values["seconds"]
        values["data_waiting"] = (self.bench.work.data_waited - data) / values["seconds"]
        if self.shop.team is not None:
            values["ranks_waiting"] = (self.shop.waited - apart) / values["seconds"]
        values["images_encoded"] = policy.encoded - encoded
        self.shop.run.metric("rl", self.progress.step, finite(values))
        write_jsonl(self._rollouts(self.progress.step), rollout_rows(collected.sampled))
        last = self.progress.step == self.config.steps
        best = (last or self.progress.step % self.config.eval_every == 0) and self._evaluate()
        if best or last or self.keeper.due(self.progress.step):
            self._save()
        return {
            "accuracy": f"{values['accuracy']:.2f}",
            "format": f"{values['format']:.2f}",
            "tokens": f"{values['length']:.0f}",
            "groups": f"{len(collected.kept)}/{self.config.prompts_per_step}",
        }

    def _most_lag(self, kept: KeptGroup, step: int) -> int:
        """Updates that the weights which sampled a group may lag behind those that it trains at `step`."""
        carried = step - kept.step
        return (self.config.max_staleness + carried) * self.config.minibatches

    def _push(self, before: int) -> Mapping[str, float]:
        """Brings an engine's own weights up to date, unless they are still those of version `before`."""
        if not self.bench.engine.remote or self.bench.policy.version == before:
            return {}
        start = time.monotonic()
        figures = self.bench.push()
        return {"push_seconds": time.monotonic() - start, **figures}

    def _sample(self, problems: Sequence[Problem], step: int, turn: int) -> Iterable[Group]:
        params, size = self.shop.sampled, self.config.group_size
        seed = self.shop.seed
        requests = [Request(p, size, params, derive(seed, "rl", step, turn, p.id)) for p in problems]
        for group in sample_judged(self.bench, requests, "rl"):
            yield with_parts(group, self.config, self.shop.max_tokens, self.user_reward)

    def _old_logprobs(self, group: Group, now: bool) -> LogProbsPerToken:
        """What ratios start from, where that is settled by now: the sampler's log-probabilities, or the trainer's.

        A group that is trained on `now`, in one update, starts from that update's own pass instead.
        """
        if self.start is not Start.SAMPLING or (now and self.config.minibatches == 1):
            return tuple(t.logprobs for t in group.trajectories)
        temperature, budget = self.shop.recipe.sampling.temperature, self.config.micro_tokens
        scores = self.bench.work.logprobs(completions_of(group), temperature, budget)
        return tuple(tuple(values.tolist()) for values in scores)

    def _values(self, collected: Collected) -> dict[str, float]:
        """Figures of what was sampled, before it is trained on."""
        drawn = [t for group in collected.sampled for t in group.trajectories]
        count = max(1, len(drawn))
        max_tokens, tokens = self.shop.max_tokens, sum(len(t.tokens) for t in drawn)
        lags = [kept.lag(self.bench.policy.version) for kept in collected.kept] or [0]
        groups = [*collected.sampled, *(kept.group for kept in collected.kept)]
        return {
            "reward": sum(reward(t, self.config, max_tokens) for t in drawn) / count,
            **mean_parts(drawn, self.config, max_tokens),
            "length": tokens / count,
            "tokens_per_second": tokens / max(collected.seconds, 1e-9),
            "groups_kept": len(collected.kept),
            "groups_sampled": len(collected.sampled),
            "filter_rate": collected.filter_rate,
            "carried": collected.carried,
            "refill_rounds": max(0, collected.rounds - 1),
            "staleness": sum(lags) / len(lags),
            "staleness_max": max(lags),
            "images_unique": len({image for group in groups for image in group.problem.images}),
        }

    def _evaluate(self) -> bool:
        """Scores dev problems greedy and sampled; whether their mean is the best so far."""
        return self.progress.better(score_dev(self.shop, self.bench, "rl-dev", self.progress.step))

    def _seconds(self) -> float:
        """Time spent on this stage, in earlier processes too as far as their last checkpoints."""
        return self.progress.seconds + time.monotonic() - self.began

    def _rollouts(self, step: int) -> Path:
        return self.stage.path / f"trajectories-{step:06d}.jsonl"

    def _save(self) -> None:
        state = {
            "progress": asdict(self.progress) | {"seconds": self._seconds()},
            "collector": self.batches.state_dict(),
        }
        self.keeper.save(self.progress.step, state, self.progress.best_step)

    def _keep(self) -> None:
        """A checkpoint of the last step, if it has none."""
        if not self.keeper.holds(self.progress.step):
            self._save()
        self.shop.run.log(f"RL: stopped after step {self.progress.step}, which is kept")

    def _resume(self) -> None:
        state = self.keeper.resume(self.shop.seed)
        if state is not None:
            self.progress = Progress(**state["progress"])
            self.batches.load_state_dict(state["collector"])
            self.shop.run.log(f"RL: going on from checkpoint-{self.progress.step}")
            if why := fault(checkpoint_path(self.stage.path, self.progress.best_step)):
                said = f"RL: the best step, {self.progress.best_step}, is not whole ({why})"
                self.shop.run.warn(f"{said}: the best of what follows counts")
                self.progress.best_step, self.progress.best_score = self.progress.step, -1.0
        # What later steps left is not of this run: they are done again.
        self.bad.resume(self.progress.step)
        for curve in ("rl", "rl-dev"):
            self.shop.run.truncate_metrics(curve, self.progress.step if state is not None else -1)
        for file in self.stage.path.glob("trajectories-*.jsonl"):
            if file > self._rollouts(self.progress.step):
                file.unlink()

    def _finish(self) -> dict[str, Any]:
        progress = self.progress
        best = self.keeper.whole(progress.best_step)
        self.bench.work.load_weights(best)
        self.bench.work.save(self.stage.path / MODEL_FOLDER)
        self.shop.run.log(f"RL: the best of {progress.step} steps on dev is step {progress.best_step}")
        for text in progress.warnings():
            self.shop.run.warn(f"RL: {text}")
        if self.training.skipped:
            said = "updates were skipped, whose loss or gradient was not finite: 1-rl/bad-updates.jsonl"
            self.shop.run.warn(f"RL: {self.training.skipped} {said}")
        return {
            "steps": progress.step,
            "best_step": progress.best_step,
            "weights_version": saved_version(best),
            "seconds": self._seconds(),
            "counts": {"problems": len(progress.problems), "used": progress.trajectories},
            "dropped": progress.dropped | {"surplus at the end": self.batches.waiting * self.config.group_size},
        }
