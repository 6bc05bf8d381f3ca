"""Passes that do not fit into memory: cut up and done again, and in the end left out.

Gradients of a pass that has failed half-way cannot be told from those of the passes before it. So what has failed is
done anew from its beginning, without any of its gradients; the result is that of passes which had fit at once, up to
rounding.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import Row, RowGroup
from metis_rise.policy.parallel.policy import SharedPolicy
from metis_rise.policy.planning import Split, Whole

log = logging.getLogger(__name__)
T = TypeVar("T")

# The CPU's allocator, cuBLAS and the driver have no class of their own for it.
_WORDS = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there was no memory left, on a GPU or for this process."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


@dataclass(slots=True)
class Try:
    """One try at passes over rows.

    limit: passes of more tokens are cut up, as far as they can be; None where the budget alone decides.
    under_way: the pass that was begun last; None before the first and after the last.
    """

    limit: int | None = None
    under_way: Whole | Split | None = None


class Room:
    """How large passes may be, as far as this process has found out.

    Attributes:
        tokens: the limit of passes to come; None as long as everything has fit.
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self.tokens: int | None = None

    def fit(
        self, policy: Policy, rows: Sequence[Row], budget: int, attempt: Callable[[Sequence[int], Try], T]
    ) -> tuple[T, list[str]]:
        """What `attempt` returns, given indices of `rows` and how to try; and the problems that were left out.

        A pass that runs out of memory is halved, and all is done again; a group whose completions do not even fit one
        by one is left out. Gradients that `attempt` adds up are lost when it is done again, with those from before it.

        Raises:
            InputError: pictures of a trained vision tower do not fit, or the policy is shared: other processes wait in
                the middle of a pass for one that has failed in it.
        """
        left, limit = list(range(len(rows))), self.tokens
        lost: list[str] = []
        while True:
            turn = Try(limit)
            try:
                return attempt(left, turn), lost
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                failed = turn.under_way
                if failed is None or isinstance(policy, SharedPolicy):
                    raise InputError(_mend(policy, rows, budget)) from error
            # Not within the block above: a traceback holds the tensors of its frames.
            _let_go(policy)
            groups = failed.groups if isinstance(failed, Whole) else (failed.group,)
            if _divisible(failed, groups):
                tokens = min(sum(group.tokens for group in groups), budget, limit or budget)
                limit = self.tokens = max(1, tokens // 2)
                said = "out of memory in a pass of %d tokens: again in passes of %d; %s"
                log.warning(said, tokens, limit, _avoid(rows, limit, tokens))
                continue
            # Smaller passes would not help it, and others need none.
            out = {left[index] for group in groups for index in group.members}
            names = ", ".join(repr(group.prompt.problem) for group in groups)
            log.warning("out of memory in a pass of %d tokens: left out: %s", _longest(rows, out), names)
            left = [index for index in left if index not in out]
            lost += [group.prompt.problem for group in groups]


def _divisible(failed: Whole | Split, groups: Sequence[RowGroup]) -> bool:
    """Whether there are smaller passes for the same rows."""
    pieces = 1 if isinstance(failed, Whole) else len(failed.pieces)
    return pieces < sum(len(group.members) for group in groups)


def _let_go(policy: Policy) -> None:
    if torch.is_grad_enabled():
        for _, value in policy.named_trainable():
            value.grad = None
    # Graphs hang in reference cycles.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _longest(rows: Sequence[Row], which: Iterable[int]) -> int:
    """Tokens of the longest prompt with one of its completions: a pass cannot be smaller."""
    return max((len(rows[index][0]) + len(rows[index][1]) for index in which), default=1)


def _avoid(rows: Sequence[Row], wanted: int, now: int) -> str:
    """What would have avoided it: a budget of `wanted` tokens, unless a prompt with a completion needs more."""
    less = max(wanted, _longest(rows, range(len(rows))))
    if less < now:
        return f"micro_tokens={less} would avoid it"
    return "a smaller model.max_pixels or sampling.max_tokens would avoid it: one prompt with a completion is as large"


def _mend(policy: Policy, rows: Sequence[Row], budget: int) -> str:
    if isinstance(policy, SharedPolicy):
        what = "out of memory in a pass over the model (rl.micro_tokens or sft.micro_tokens"
        return f"{what}, {budget} now): {_avoid(rows, budget // 2, budget)}; the run goes on from its last checkpoint"
    return (
        "out of memory while pictures went through the vision tower that is trained: start a run with a smaller "
        "model.max_pixels, fewer rl.prompts_per_step (sft.stages.N.batch_size), or model.freeze_vision=true"
    )
