"""One policy update from filtered groups: docs/design.md, "The GRPO variant" and "RL over servers"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from metis_rise.policy.forward import LogProbs, Row, row_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import Settings, TokenBatch, aggregate, group_advantages, resolve
from metis_rise.policy.optimizer import Optimizer
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.figures import Mean
from metis_rise.stages.rewarding import reward
from metis_rise.stages.workshop import Bench
from metis_rise.types import Group


class Start(Enum):
    """Whose log-probabilities probability ratios start from: the policy that clipping keeps the new one near.

    SAMPLER: the sampler's, as the trajectories carry them.
    SAMPLING: the trainer's with the weights that sampled.
    UPDATE: the trainer's with the weights that the update begins with, whatever weights sampled (the decoupled
        objective of AReaL, arXiv 2505.24298).

    What lies between the sampler and that policy is made up for by a truncated weight per token.
    """

    SAMPLER = "sampler"
    SAMPLING = "sampling"
    UPDATE = "update"


def prompt_rows(bench: Bench, group: Group) -> list[Row]:
    """The group's trajectories as (prompt, completion ids) rows."""
    prompt = bench.prompt(group.problem)
    return [(prompt, torch.tensor(t.tokens)) for t in group.trajectories]


@dataclass(frozen=True, slots=True)
class _Sample:
    """One trajectory in an update: `old` and `sampler` are its log-probabilities [C].

    own: its ratio starts from the very pass that is differentiated, not from `old`.
    compared: trainer and sampler are compared on it.
    """

    row: Row
    advantage: float
    old: Tensor
    sampler: Tensor
    own: bool
    compared: bool


class Updater:
    """Turns groups into gradient steps on one policy."""

    def __init__(
        self,
        bench: Bench,
        optimizer: Optimizer,
        config: RLConfig,
        sampling: tuple[float, int],
        reference: Policy | None = None,
        start: Start = Start.SAMPLER,
    ) -> None:
        """An updater of the policy of `bench`.

        Args:
            bench: the policy and its prompts.
            optimizer: on that policy.
            config: the recipe's part.
            sampling: temperature and max_tokens.
            reference: the frozen model of the KL penalty; None where there is no penalty, or where the policy itself
                is the reference when its adapters are off.
            start: what ratios start from. SAMPLER takes the groups' `old_logprobs`, and so does SAMPLING except for
                trajectories of the very weights that are updated: those start from the update's own pass. (A pass of
                its own, over other rows, would round differently in low precision, by more than gspo's clip range.)
        """
        self._bench, self._optimizer, self._config, self._reference = bench, optimizer, config, reference
        self._start = start
        self._temperature, self._max_tokens = sampling
        self.objective = resolve(
            config.objective, config.clip_low, config.clip_high, config.advantage_scale, config.loss_aggregation
        )

    def update(self, groups: Sequence[KeptGroup], learning_rate: float) -> dict[str, float]:
        """`minibatches` updates over `groups`; returns figures averaged over their tokens, and token counts.

        `sampler_gap`, `sampler_gap_max` and `sampler_kl` are mean and maximum of |trainer - sampler| in
        log-probability and an estimate of KL(sampler || trainer) per token. They compare what both computed with the
        same weights; with Start.UPDATE all that the first update trains on, so that staleness is in them.
        `importance_capped` is the share of tokens whose weight was cut down to `importance_cap`.
        """
        config, counts, figures = self._config, Counter[str](), Mean()
        parts = [groups[number :: config.minibatches] for number in range(min(config.minibatches, len(groups)))]
        for part, before in zip(parts, self._before(parts), strict=True):
            samples = self._samples(part, before)
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

    def _before(self, parts: Sequence[Sequence[KeptGroup]]) -> list[list[Tensor] | None]:
        """With Start.UPDATE the log-probabilities of all parts but the first, whose own pass comes before any step."""
        if self._start is not Start.UPDATE:
            return [None] * len(parts)
        policy, budget = self._bench.policy, self._config.micro_tokens
        later = [[row for kept in part for row in prompt_rows(self._bench, kept.group)] for part in parts[1:]]
        return [None, *(row_logprobs(policy, rows, self._temperature, budget) for rows in later)]

    def _samples(self, part: Sequence[KeptGroup], before: Sequence[Tensor] | None) -> list[_Sample]:
        """`before`: what ratios start from, row by row, in place of what the groups bring."""
        samples: list[_Sample] = []
        for kept in part:
            trajectories = kept.group.trajectories
            rewards = torch.tensor([[reward(t, self._config, self._max_tokens) for t in trajectories]])
            advantages = group_advantages(rewards, self.objective.advantage_scale)[0].tolist()
            rows = prompt_rows(self._bench, kept.group)
            for row, advantage, given, t in zip(rows, advantages, kept.old_logprobs, trajectories, strict=True):
                current = t.weights_version == self._bench.policy.version
                own = current if self._start is Start.SAMPLING else self._start is Start.UPDATE and before is None
                old = torch.tensor(given) if before is None else before[len(samples)]
                samples.append(_Sample(row, advantage, old, torch.tensor(t.logprobs), own, own or current))
        return samples

    def _backward(
        self, samples: Sequence[_Sample], scored: LogProbs, reference: Tensor | None, total: float, figures: Mean
    ) -> None:
        config, device = self._config, self._bench.policy.device
        lengths = torch.tensor(scored.lengths)
        advantages = torch.tensor([sample.advantage for sample in samples]).repeat_interleave(lengths).to(device)
        old = torch.cat([sample.old.to(device) for sample in samples])
        sampler = torch.cat([sample.sampler for sample in samples]).to(device)
        own, compared = (
            torch.tensor(flags).repeat_interleave(lengths).to(device)
            for flags in ([sample.own for sample in samples], [sample.compared for sample in samples])
        )
        now = scored.values.detach()
        old = torch.where(own, now, old)
        batch = TokenBatch(scored.values, old, advantages, scored.lengths, sampler, reference)
        settings = Settings(self.objective.clip_low, self.objective.clip_high, config.importance_cap, config.kl_weight)
        loss, shares = self.objective.loss(batch, settings)
        torch.autograd.backward(aggregate(loss, scored.lengths, self.objective.aggregation, total))
        capped = (old - sampler > math.log(config.importance_cap)).float().mean()
        mean = {"loss": loss.detach().mean(), "entropy": scored.entropy.mean(), "importance_capped": capped, **shares}
        figures.add({name: float(value) for name, value in mean.items()}, len(old))
        if compared.any():
            _compare(now[compared], sampler[compared], figures)

    def _reference_logprobs(self, rows: Sequence[Row]) -> list[Tensor] | None:
        if self._config.kl_weight == 0:
            return None
        budget = self._config.micro_tokens
        if self._reference is not None:
            return row_logprobs(self._reference, rows, self._temperature, budget)
        with self._bench.policy.without_adapters():
            return row_logprobs(self._bench.policy, rows, self._temperature, budget)


def _compare(trainer: Tensor, sampler: Tensor, figures: Mean) -> None:
    """Adds how far the log-probabilities [N] of the two lie apart."""
    apart = trainer - sampler
    size = apart.abs()
    # E[exp(d) - 1 - d] over what the sampler drew, d = trainer - sampler, is KL(sampler || trainer).
    means = {"sampler_gap": size.mean(), "sampler_kl": (torch.expm1(apart) - apart).mean()}
    figures.add({name: float(value) for name, value in means.items()}, len(apart))
    figures.most({"sampler_gap_max": float(size.max())})


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
