"""One policy update from filtered groups: docs/design.md, "The GRPO variant" and "RL over servers"."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor

from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import group_advantages
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.bad_updates import BadUpdates
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.hands import Training
from metis_rise.stages.passes import Job, Sample, Sums, completions_of, objective_of
from metis_rise.stages.rewarding import reward
from metis_rise.stages.workshop import Bench


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


class Updater:
    """Turns groups into gradient steps on one policy."""

    def __init__(
        self,
        bench: Bench,
        training: Training,
        config: RLConfig,
        sampling: tuple[float, int],
        reference: Policy | None = None,
        start: Start = Start.SAMPLER,
        bad: BadUpdates | None = None,
    ) -> None:
        """An updater of the policy of `bench`.

        Args:
            bench: the policy and its prompts.
            training: of that policy.
            config: the recipe's part.
            sampling: temperature and max_tokens.
            reference: the frozen model of the KL penalty; None where there is no penalty, or where the policy itself
                is the reference when its adapters are off.
            start: what ratios start from. SAMPLER takes the groups' `old_logprobs`, and so does SAMPLING except for
                trajectories of the very weights that are updated: those start from the update's own pass. (A pass of
                its own, over other rows, would round differently in low precision, by more than gspo's clip range.)
            bad: where updates that are skipped are written down, and when they are too many; None to do neither.
        """
        self._bench, self._training, self._config, self._reference = bench, training, config, reference
        self._start, self._bad = start, bad
        self._temperature, self._max_tokens = sampling
        self.objective = objective_of(config)
        self.left_out: frozenset[str] = frozenset()

    def update(self, groups: Sequence[KeptGroup], learning_rate: float, step: int = 0) -> dict[str, float]:
        """`minibatches` updates over `groups`; returns figures averaged over their tokens, and counts.

        `sampler_gap`, `sampler_gap_max` and `sampler_kl` are mean and maximum of |trainer - sampler| in
        log-probability and an estimate of KL(sampler || trainer) per token. They compare what both computed with the
        same weights; with Start.UPDATE all that the first update trains on, so that staleness is in them.
        `importance_capped` is the share of tokens whose weight was cut down to `importance_cap`. `updates_skipped` are
        updates whose loss or gradient was not finite; `left_out` are then the problems that did not fit into memory,
        `groups_left_out` their groups. `tokens_trained` are those of all completions.

        Raises:
            InputError: too many updates in a row were skipped, of which `step` names the last.
        """
        config, sums, skipped = self._config, Sums(), self._training.skipped
        parts = [groups[number :: config.minibatches] for number in range(min(config.minibatches, len(groups)))]
        for part, before in zip(parts, self._before(parts), strict=True):
            samples = self._samples(part, before)
            tokens = sum(len(sample.old) for sample in samples)
            total = {"token": tokens, "sequence": len(samples), "constant": len(samples) * self._max_tokens}
            job = Job(config, self._temperature, total[self.objective.aggregation])
            sums.add(self._step(part, samples, job, learning_rate, step))
            sums.counts["tokens_trained"] += tokens
        self.left_out = frozenset(sums.left_out)
        sums.counts["updates_skipped"] = self._training.skipped - skipped
        sums.counts["groups_left_out"] = sum(kept.group.problem.id in self.left_out for kept in groups)
        return sums.figures.result() | {name: float(count) for name, count in sums.counts.items()}

    def _step(
        self, part: Sequence[KeptGroup], samples: Sequence[Sample], job: Job, learning_rate: float, step: int
    ) -> Sums:
        """One update, of the `part` of all groups whose `samples` these are."""
        sums = self._bench.work.update(samples, job, self._reference)
        loss = sums.figures.result().get("loss")
        if loss is None:
            # Everything was left out: there is nothing to learn from.
            return sums
        norm = self._training.step(learning_rate, loss)
        sums.figures.add({"grad_norm": norm}, sum(len(sample.old) for sample in samples))
        if self._bad is not None:
            problems = [kept.group.problem.id for kept in part]
            self._bad.note(step, loss, norm, problems, sums.odd, self._training.skipped_in_row)
        return sums

    def _before(self, parts: Sequence[Sequence[KeptGroup]]) -> list[list[Tensor] | None]:
        """With Start.UPDATE the log-probabilities of all parts but the first, whose own pass comes before any step."""
        if self._start is not Start.UPDATE:
            return [None] * len(parts)
        work, budget = self._bench.work, self._config.micro_tokens
        later = [[each for kept in part for each in completions_of(kept.group)] for part in parts[1:]]
        return [None, *(work.logprobs(completions, self._temperature, budget) for completions in later)]

    def _samples(self, part: Sequence[KeptGroup], before: Sequence[Tensor] | None) -> list[Sample]:
        """`before`: what ratios start from, row by row, in place of what the groups bring."""
        samples: list[Sample] = []
        for kept in part:
            trajectories = kept.group.trajectories
            rewards = torch.tensor([[reward(t, self._config, self._max_tokens) for t in trajectories]])
            advantages = group_advantages(rewards, self.objective.advantage_scale)[0].tolist()
            each = zip(completions_of(kept.group), advantages, kept.old_logprobs, trajectories, strict=True)
            for completion, advantage, given, t in each:
                current = t.weights_version == self._bench.policy.version
                own = current if self._start is Start.SAMPLING else self._start is Start.UPDATE and before is None
                old = torch.tensor(given) if before is None else before[len(samples)]
                samples.append(Sample(completion, advantage, old, torch.tensor(t.logprobs), own, own or current))
        return samples
