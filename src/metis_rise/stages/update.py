"""One policy update from filtered groups: the GRPO variant of DESIGN ("The GRPO variant")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.policy.forward import LogProbs, Row, row_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import Settings, TokenBatch, aggregate, group_advantages, resolve
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
        self,
        bench: Bench,
        optimizer: Optimizer,
        config: RLConfig,
        sampling: tuple[float, int],
        reference: Policy | None = None,
        rescored: bool = False,
    ) -> None:
        """An updater of the policy of `bench`.

        Args:
            bench: the policy and its prompts.
            optimizer: on that policy.
            config: the recipe's part.
            sampling: temperature and max_tokens.
            reference: the frozen model of the KL penalty; None where there is no penalty, or where the policy itself
                is the reference when its adapters are off.
            rescored: ratios start from the trainer's log-probabilities; those of trajectories that the very weights
                of an update have sampled are then taken from its own pass. (A pass of its own, over other rows, would
                round differently in low precision, by more than gspo's clip range.)
        """
        self._bench, self._optimizer, self._config, self._reference = bench, optimizer, config, reference
        self._rescored = rescored
        self._temperature, self._max_tokens = sampling
        self.objective = resolve(
            config.objective, config.clip_low, config.clip_high, config.advantage_scale, config.loss_aggregation
        )

    def update(self, groups: Sequence[KeptGroup], step: int, learning_rate: float) -> dict[str, float]:
        """`minibatches` updates over `groups`; returns figures averaged over their tokens, and token counts.

        `sampler_gap` is the mean |trainer - sampler| log-probability of tokens that both saw with the same weights.
        """
        config, counts = self._config, Counter[str]()
        figures = Mean()
        for start in range(min(config.minibatches, len(groups))):
            part = groups[start :: config.minibatches]
            samples = [s for kept in part for s in self._samples(kept, current=start == 0 and kept.step == step)]
            rows = [sample.row for sample in samples]
            references = self._reference_logprobs(rows)
            tokens = sum(len(sample.old) for sample in samples)
            total = {"token": tokens, "sequence": len(samples), "constant": len(samples) * self._max_tokens}
            with self._bench.policy.updating():
                for scored in score(self._bench.policy, rows, self._temperature, config.micro_tokens):
                    chosen = [samples[i] for i in scored.members]
                    reference = None if references is None else torch.cat([references[i] for i in scored.members])
                    self._backward(chosen, scored.logprobs, reference, total[self.objective.aggregation], figures)
                    counts["tokens_forwarded"] += scored.forwarded
            counts.update(token_counts(rows))
            figures.add({"grad_norm": self._optimizer.step(learning_rate)}, tokens)
        return figures.result() | {name: float(count) for name, count in counts.items()}

    def _samples(self, kept: KeptGroup, current: bool) -> list[_Sample]:
        config, trajectories = self._config, kept.group.trajectories
        rewards = torch.tensor([[reward(t, config, self._max_tokens) for t in trajectories]])
        advantages = group_advantages(rewards, self.objective.advantage_scale)[0].tolist()
        rows = prompt_rows(self._bench, kept.group)
        return [
            _Sample(row, advantage, torch.tensor(old), torch.tensor(t.logprobs), current)
            for row, advantage, old, t in zip(rows, advantages, kept.old_logprobs, trajectories, strict=True)
        ]

    def _backward(
        self, samples: Sequence[_Sample], scored: LogProbs, reference: Tensor | None, total: float, figures: Mean
    ) -> None:
        config, device = self._config, self._bench.policy.device
        lengths = torch.tensor(scored.lengths)
        advantages = torch.tensor([sample.advantage for sample in samples]).repeat_interleave(lengths).to(device)
        old = torch.cat([sample.old for sample in samples]).to(device)
        sampler = torch.cat([sample.sampler for sample in samples]).to(device)
        current = torch.tensor([sample.current for sample in samples]).repeat_interleave(lengths).to(device)
        if self._rescored:
            old = torch.where(current, scored.values.detach(), old)
        batch = TokenBatch(scored.values, old, advantages, scored.lengths, sampler, reference)
        settings = Settings(self.objective.clip_low, self.objective.clip_high, config.importance_cap, config.kl_weight)
        loss, shares = self.objective.loss(batch, settings)
        torch.autograd.backward(aggregate(loss, scored.lengths, self.objective.aggregation, total))
        mean = {"loss": loss.detach().mean(), "entropy": scored.entropy.mean(), **shares}
        figures.add({name: float(value) for name, value in mean.items()}, len(old))
        if current.any():
            gap = (scored.values.detach() - sampler).abs()[current].mean()
            figures.add({"sampler_gap": float(gap)}, int(current.sum()))

    def _reference_logprobs(self, rows: Sequence[Row]) -> list[Tensor] | None:
        if self._config.kl_weight == 0:
            return None
        budget = self._config.micro_tokens
        if self._reference is not None:
            return row_logprobs(self._reference, rows, self._temperature, budget)
        with self._bench.policy.without_adapters():
            return row_logprobs(self._bench.policy, rows, self._temperature, budget)


def token_counts(rows: Sequence[Row]) -> dict[str, int]:
    """What the rows would cost otherwise.

    `tokens_unique` counts each problem's prompt once and each completion; `tokens_repeated` is a batch that repeats
    the prompt for every completion and pads each group to its longest.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[0].problem, []).append(row)
    unique = sum(len(group[0][0]) + sum(len(c) for _, c in group) for group in groups.values())
    repeated = sum(len(group) * (len(group[0][0]) + max(len(c) for _, c in group)) for group in groups.values())
    return {"tokens_unique": unique, "tokens_repeated": repeated}
