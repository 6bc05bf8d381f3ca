"""Scoring by all processes at once, each with rows of its own: as many and the same passes everywhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from metis_rise.policy.features import distinct_pictures, tower_calls
from metis_rise.policy.packing import Row, RowGroup, group_rows
from metis_rise.policy.parallel.agreement import Work, agree
from metis_rise.policy.parallel.policy import SharedPolicy
from metis_rise.policy.planning import Split, Whole
from metis_rise.policy.prompt import Prompt
from metis_rise.policy.scorer import KeptPrompt, Scored, Scorer


def score_together(
    policy: SharedPolicy, rows: Sequence[Row], passes: Sequence[Whole | Split], temperature: float
) -> Iterator[Scored]:
    """`forward.score` of a policy that several processes share; `passes` are those over this process's `rows`.

    The order is the same everywhere: first the pictures of a frozen tower, then the groups above the budget (prompt
    forward, pieces forward and backward, prompt backward), then whole rows. What a process lacks it fills: a missing
    piece by a whole row of its own, anything else by a pass over one token whose gradients are zero.
    """
    splits = sorted(
        (each for each in passes if isinstance(each, Split)), key=lambda each: len(each.pieces), reverse=True
    )
    wholes = deque(each for each in passes if isinstance(each, Whole))
    prompts = [group.prompt for group in group_rows(rows)]
    fresh = policy.unknown_pictures(prompts) if policy.freeze_vision else {}
    towers = 0 if policy.freeze_vision else max(map(_tower_calls, passes), default=0)
    pieces = tuple(len(each.pieces) for each in splits)
    work = agree(Work(tower_calls(list(fresh.values())), towers, pieces, len(wholes)), policy.parallel)
    # Kept for all passes: the cache may drop some before their turn, and then nobody else would encode with us.
    known = policy.encode_together(prompts, work.encodings) if policy.freeze_vision else {}
    scorer = _Filled(policy, rows, temperature, known, work.towers)
    for number, count in enumerate(work.splits):
        mine = splits[number] if number < len(splits) else None
        kept = scorer.prompt(scorer.filler if mine is None else mine.group)
        forwarded = 0 if mine is None else len(mine.group.prompt)
        waiting = deque(() if mine is None else mine.pieces)
        for _ in range(count):
            if waiting:
                yield scorer.piece(kept, waiting.popleft(), forwarded)
                forwarded = 0
            elif wholes:
                yield scorer.whole(wholes.popleft().groups)
            else:
                scorer.fill()
        scorer.end(kept)
    for _ in range(work.wholes):
        if wholes:
            yield scorer.whole(wholes.popleft().groups)
        else:
            scorer.fill()


def _tower_calls(each: Whole | Split) -> int:
    groups = each.groups if isinstance(each, Whole) else (each.group,)
    return _calls_for(groups)


def _calls_for(groups: Sequence[RowGroup]) -> int:
    return tower_calls(list(distinct_pictures(group.prompt for group in groups).values()))


class _Filled(Scorer):
    """Passes that all run within the root's forward pass and call a trained vision tower equally often.

    Attributes:
        filler: a prompt and a completion of one token each.
    """

    def __init__(
        self, policy: SharedPolicy, rows: Sequence[Row], temperature: float, known: dict[str, Tensor], towers: int
    ) -> None:
        """`towers`: calls of the vision tower in each pass."""
        token = torch.tensor([policy.pad_id])
        prompt = Prompt(token, torch.zeros(3, 1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
        super().__init__(policy, [*rows, (prompt, token)], temperature, known)
        self.filler = RowGroup(prompt, (len(rows),), 1)
        self._shared, self._towers = policy, towers

    def fill(self) -> None:
        """A pass of no effect."""
        values = self.whole([self.filler]).logprobs.values
        if values.requires_grad:
            torch.autograd.backward(values, torch.zeros_like(values))

    def end(self, kept: KeptPrompt) -> None:
        """The prompt's backward pass, whether pieces followed it or not."""
        for leaf in kept.leaves:
            if leaf.requires_grad and leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        kept.backward()

    def run(self, groups: Sequence[RowGroup], call: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """See `Scorer.run`."""
        missing = self._towers - _calls_for(groups) if self._towers else 0

        def whole() -> tuple[Tensor, ...]:
            unused = [self._shared.blank_features() for _ in range(missing)]
            first, *others = call()
            return (_beside(first, unused), *others)

        return self._shared.at_root(whole)


def _beside(used: Tensor, unused: Sequence[Tensor]) -> Tensor:
    """A copy of `used` (FSDP must not be given a view); its backward pass also goes through `unused`, with zeros."""
    output: Tensor = _Beside.apply(used, *unused)  # type: ignore[no-untyped-call]
    return output


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, used: Tensor, *unused: Tensor) -> Tensor:
        ctx.alike = [(each.shape, each.dtype) for each in unused]
        return used.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return (grad, *(grad.new_zeros(shape, dtype=dtype) for shape, dtype in ctx.alike))
