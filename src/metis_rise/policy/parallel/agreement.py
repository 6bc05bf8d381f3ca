"""What the processes tell each other before they score, so that all run forward and backward equally often.

FSDP gathers weights in every forward and backward pass and adds up gradients in every backward pass: processes whose
passes differ in number or kind would wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from metis_rise.policy.parallel.mesh import Parallel


@dataclass(frozen=True, slots=True)
class Work:
    """What one process has to do, or what all of them do.

    encodings: calls of a frozen vision tower, before everything else.
    towers: calls of a trained vision tower in each forward pass.
    splits: per group above the budget the number of its pieces, most pieces first.
    wholes: passes over rows of whole groups.
    """

    encodings: int = 0
    towers: int = 0
    splits: tuple[int, ...] = ()
    wholes: int = 0


def agree(own: Work, parallel: Parallel) -> Work:
    """The work that all processes do, given that of each (collective)."""
    heads = _gather([own.encodings, own.towers, own.wholes, len(own.splits)], parallel)
    longest = max(count for *_, count in heads)
    splits = _gather([*own.splits, *[0] * (longest - len(own.splits))], parallel) if longest else [[] for _ in heads]
    works = [
        Work(encodings, towers, tuple(pieces[:count]), wholes)
        for (encodings, towers, wholes, count), pieces in zip(heads, splits, strict=True)
    ]
    return combine(works)


def combine(works: Sequence[Work]) -> Work:
    """The least work that has room for that of each.

    While one process does the pieces of a group, another one's whole rows may take their place.
    """
    count = max(len(work.splits) for work in works)
    splits = tuple(max(work.splits[i] for work in works if i < len(work.splits)) for i in range(count))
    return Work(
        max(work.encodings for work in works),
        max(work.towers for work in works),
        splits,
        max(max(0, work.wholes - (sum(splits) - sum(work.splits))) for work in works),
    )


def _gather(numbers: Sequence[int], parallel: Parallel) -> list[list[int]]:
    own = torch.tensor(numbers, device=parallel.device)
    found = [torch.empty_like(own) for _ in range(parallel.size)]
    dist.all_gather(found, own)
    return [each.tolist() for each in found]
