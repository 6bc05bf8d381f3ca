"""One policy update from filtered groups: the GRPO variant of DESIGN ("The GRPO variant")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.policy.forward import Row, completion_logprobs, micro_batches
from metis_rise.policy.objectives import aggregate, group_advantages, policy_loss
from metis_rise.policy.optimizer import Optimizer
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.figures import Mean
from metis_rise.stages.workshop import Bench
from metis_rise.types import Group, Trajectory
from metis_rise.verifier.rewards import accuracy_reward, format_reward, overlong_penalty


def reward(trajectory: Trajectory, config: RLConfig, max_tokens: int) -> float:
    """Accuracy + weighted format + soft overlong penalty of a judged trajectory."""
    verdict = trajectory.verdict
    assert verdict is not None
    length = len(trajectory.tokens)
    penalty = overlong_penalty(length, max_tokens, config.overlong_buffer, config.overlong_weight)
    return accuracy_reward(verdict) + config.format_weight * format_reward(verdict) + penalty


def prompt_rows(bench: Bench, group: Group) -> list[Row]:
    """The group's trajectories as (prompt, completion ids) rows."""
    prompt = bench.prompt(group.problem)
    return [(prompt, torch.tensor(t.tokens)) for t in group.trajectories]


@dataclass(frozen=True, slots=True)
class _Sample:
    """One trajectory in an update: `old` and `sampler` are its log-probabilities [C].

    `current`: it was sampled with the very weights that the update starts from.
    """

    row: Row
    advantage: float
    old: Tensor
    sampler: Tensor
    current: bool


class Updater:
    """Turns groups into gradient steps on one policy."""

    def __init__(
        self, bench: Bench, optimizer: Optimizer, config: RLConfig, sampling: tuple[float, int], reference: Bench | None
    ) -> None:
        """`sampling` is (temperature, max_tokens); `reference` is the frozen model of the KL penalty, if any."""
        self._bench, self._optimizer, self._config, self._reference = bench, optimizer, config, reference
        self._temperature, self._max_tokens = sampling

    def update(self, groups: Sequence[KeptGroup], step: int, learning_rate: float) -> dict[str, float]:
        """`minibatches` updates over `groups`; returns figures averaged over their tokens.

        `sampler_gap` is the mean |trainer - sampler| log-probability of tokens that both saw with the same weights.
        """
        config = self._config
        figures = Mean()
        for start in range(min(config.minibatches, len(groups))):
            part = groups[start :: config.minibatches]
            samples = [s for kept in part for s in self._samples(kept, current=start == 0 and kept.step == step)]
            tokens = sum(len(sample.old) for sample in samples)
            total = {"token": tokens, "sequence": len(samples), "constant": len(samples) * self._max_tokens}
            rows = [sample.row for sample in samples]
            for batch in micro_batches(rows, config.micro_tokens):
                self._backward([samples[i] for i in batch], total[config.loss_aggregation], figures)
            figures.add({"grad_norm": self._optimizer.step(learning_rate)}, tokens)
        return figures.result()

    def _samples(self, kept: KeptGroup, current: bool) -> list[_Sample]:
        config, trajectories = self._config, kept.group.trajectories
        rewards = torch.tensor([[reward(t, config, self._max_tokens) for t in trajectories]])
        advantages = group_advantages(rewards, config.advantage_scale)[0].tolist()
        rows = prompt_rows(self._bench, kept.group)
        return [
            _Sample(row, advantage, torch.tensor(old), torch.tensor(t.logprobs), current)
            for row, advantage, old, t in zip(rows, advantages, kept.old_logprobs, trajectories, strict=True)
        ]

    def _backward(self, samples: Sequence[_Sample], total: float, figures: Mean) -> None:
        config, rows, device = self._config, [sample.row for sample in samples], self._bench.policy.device
        scored = completion_logprobs(self._bench.policy, rows, self._temperature)
        lengths = torch.tensor(scored.lengths)
        advantages = torch.tensor([sample.advantage for sample in samples]).repeat_interleave(lengths).to(device)
        old = torch.cat([sample.old for sample in samples]).to(device)
        sampler = torch.cat([sample.sampler for sample in samples]).to(device)
        loss, shares = policy_loss(
            scored.values,
            old,
            advantages,
            sampler,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            importance_cap=config.importance_cap,
            ref_logp=self._reference_logprobs(rows),
            kl_weight=config.kl_weight,
        )
        objective = aggregate(loss, scored.lengths, config.loss_aggregation, total)
        torch.autograd.backward(objective)
        mean = {"loss": loss.detach().mean(), "entropy": scored.entropy.mean(), **shares}
        figures.add({name: float(value) for name, value in mean.items()}, len(old))
        current = torch.tensor([sample.current for sample in samples]).repeat_interleave(lengths).to(device)
        if current.any():
            gap = (scored.values.detach() - sampler).abs()[current].mean()
            figures.add({"sampler_gap": float(gap)}, int(current.sum()))

    def _reference_logprobs(self, rows: Sequence[Row]) -> Tensor | None:
        if self._reference is None:
            return None
        with torch.no_grad():
            return completion_logprobs(self._reference.policy, rows, self._temperature).values
