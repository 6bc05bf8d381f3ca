"""Forward and backward passes over completions: pure functions whose results add up, whoever does which part of them.

A batch may be shared out between processes: each does the passes of its part, gradients are sums over all of them, and
so are the figures. What is divided by is always a count over the whole batch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metis_rise.policy.forward import LogProbs, Row, row_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import Objective, Settings, TokenBatch, aggregate, resolve
from metis_rise.policy.prompt import Prompt
from metis_rise.policy.room import Room, Try
from metis_rise.recipe.rl import RLConfig
from metis_rise.stages.figures import Mean
from metis_rise.types import Group, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """Token ids [C] int64 of an answer to a problem."""

    problem: Problem
    tokens: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One trajectory in an update: `old` and `sampler` are its log-probabilities [C] float32.

    own: its ratio starts from the very pass that is differentiated, not from `old`.
    compared: trainer and sampler are compared on it.
    """

    completion: Completion
    advantage: float
    old: Tensor
    sampler: Tensor
    own: bool
    compared: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What the samples of one update have in common.

    config: the recipe's part.
    temperature: that they were sampled at.
    total: what the loss is divided by, counted over the whole update (see `aggregate`).
    """

    config: RLConfig
    temperature: float
    total: float


@dataclass(slots=True)
class Sums:
    """Figures and counts of some passes; those of the parts of a batch add up to those of the batch.

    left_out: problems whose completions did not fit into memory; their part of the loss is nought.
    odd: problems with a loss that is not finite.
    """

    figures: Mean = field(default_factory=Mean)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def add(self, other: Sums) -> None:
        """Counts the passes of `other` as well."""
        self.figures.join(other.figures)
        self.counts.update(other.counts)
        self.left_out += other.left_out
        self.odd += other.odd

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, exact; `from_json` reads them back."""
        lists = {"left_out": self.left_out, "odd": self.odd}
        return {"figures": self.figures.to_json(), "counts": dict(self.counts), **lists}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Sums:
        """What `to_json` wrote."""
        return cls(Mean.from_json(row["figures"]), Counter(row["counts"]), row["left_out"], row["odd"])


@dataclass(slots=True)
class Taught:
    """What SFT passes say: the loss, whose parts add up to that of the batch; the rest as in `Sums`."""

    loss: float = 0.0
    left_out: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def add(self, other: Taught) -> None:
        """Counts the passes of `other` as well."""
        self.loss += other.loss
        self.left_out += other.left_out
        self.odd += other.odd


def completions_of(group: Group) -> list[Completion]:
    """The group's trajectories, in order."""
    return [Completion(group.problem, torch.tensor(t.tokens)) for t in group.trajectories]


def rows_of(encode: Callable[[Problem], Prompt], completions: Sequence[Completion]) -> list[Row]:
    """Completions with their prompts; those of one problem have one `Prompt`, so that it is read once."""
    known: dict[str, Prompt] = {}
    rows: list[Row] = []
    for completion in completions:
        problem = completion.problem
        if problem.id not in known:
            known[problem.id] = encode(problem)
        rows.append((known[problem.id], completion.tokens))
    return rows


def objective_of(config: RLConfig) -> Objective:
    """The recipe's objective with its settings, or those of its authors."""
    return resolve(config.objective, config.clip_low, config.clip_high, config.advantage_scale, config.loss_aggregation)


def update_passes(
    policy: Policy,
    rows: Sequence[Row],
    samples: Sequence[Sample],
    references: Sequence[Tensor] | None,
    job: Job,
    room: Room,
) -> Sums:
    """The gradients of the loss of `samples`, whose `rows` these are; there were none before.

    `references` are log-probabilities under the reference of the KL penalty, row by row; None where there is none.
    `room` is what is known of what fits.
    """
    objective, budget = objective_of(job.config), job.config.micro_tokens

    def attempt(left: Sequence[int], turn: Try) -> Sums:
        sums, chosen = Sums(), [rows[index] for index in left]
        with policy.updating():
            for scored in score(policy, chosen, job.temperature, budget, turn):
                members = [left[member] for member in scored.members]
                reference = None if references is None else torch.cat([references[i] for i in members])
                _backward(policy, [samples[i] for i in members], scored.logprobs, reference, objective, job, sums)
                sums.counts["tokens_forwarded"] += scored.forwarded
        sums.counts.update(token_counts(chosen))
        return sums

    sums, lost = room.fit(policy, rows, budget, attempt)
    sums.left_out += lost
    return sums


def teach_passes(policy: Policy, rows: Sequence[Row], budget: int, total: int, room: Room) -> Taught:
    """The gradients of the negative log-likelihood of `rows` over `total` tokens; there were none before."""

    def attempt(left: Sequence[int], turn: Try) -> Taught:
        taught, chosen = Taught(), [rows[index] for index in left]
        with policy.updating():
            for scored in score(policy, chosen, token_budget=budget, turn=turn):
                loss = aggregate(-scored.logprobs.values, scored.logprobs.lengths, "token", total)
                torch.autograd.backward(loss)
                part = float(loss.detach())
                taught.loss += part
                if not math.isfinite(part):
                    problems = [chosen[member][0].problem for member in scored.members]
                    taught.odd += _odd(problems, scored.logprobs.values, scored.logprobs.lengths)
        return taught

    taught, lost = room.fit(policy, rows, budget, attempt)
    taught.left_out += lost
    return taught


def reference_logprobs(
    policy: Policy, reference: Policy | None, rows: Sequence[Row], job: Job, room: Room
) -> list[Tensor] | None:
    """Per row its log-probabilities under `reference`, or without the policy's adapters; None without a penalty."""
    if job.config.kl_weight == 0:
        return None
    if reference is not None:
        return row_logprobs(reference, rows, job.temperature, job.config.micro_tokens, room)
    with policy.without_adapters():
        return row_logprobs(policy, rows, job.temperature, job.config.micro_tokens, room)


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


def _backward(
    policy: Policy,
    samples: Sequence[Sample],
    scored: LogProbs,
    reference: Tensor | None,
    objective: Objective,
    job: Job,
    sums: Sums,
) -> None:
    config, device = job.config, policy.device
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
    settings = Settings(objective.clip_low, objective.clip_high, config.importance_cap, config.kl_weight)
    loss, shares = objective.loss(batch, settings)
    torch.autograd.backward(aggregate(loss, scored.lengths, objective.aggregation, job.total))
    capped = (old - sampler > math.log(config.importance_cap)).float().mean()
    mean = {"loss": loss.detach().mean(), "entropy": scored.entropy.mean(), "importance_capped": capped, **shares}
    values = {name: float(value) for name, value in mean.items()}
    sums.figures.add(values, len(old))
    if not math.isfinite(values["loss"]):
        sums.odd += _odd([sample.completion.problem.id for sample in samples], loss, scored.lengths)
    if compared.any():
        _compare(now[compared], sampler[compared], sums.figures)


def _odd(problems: Sequence[str], values: Tensor, lengths: Sequence[int]) -> list[str]:
    """Problems, one for each completion, with values [N] that are not finite: those of its `lengths` tokens."""
    parts = torch.split(values.detach().isfinite().cpu(), list(lengths))
    return list(dict.fromkeys(name for name, finite in zip(problems, parts, strict=True) if not finite.all()))


def _compare(trainer: Tensor, sampler: Tensor, figures: Mean) -> None:
    """Adds how far the log-probabilities [N] of the two lie apart."""
    apart = trainer - sampler
    size = apart.abs()
    # E[exp(d) - 1 - d] over what the sampler drew, d = trainer - sampler, is KL(sampler || trainer).
    means = {"sampler_gap": size.mean(), "sampler_kl": (torch.expm1(apart) - apart).mean()}
    figures.add({name: float(value) for name, value in means.items()}, len(apart))
    figures.most({"sampler_gap_max": float(size.max())})
