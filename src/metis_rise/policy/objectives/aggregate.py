"""From losses per token to the one number that is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["token", "sequence", "constant"]


def aggregate(loss: Tensor, lengths: Sequence[int], mode: Mode, total: float) -> Tensor:
    """One number from losses per token [N], so that the results of micro-batches add up to the whole batch's loss.

    `lengths` are the tokens per row of this micro-batch; `total` is a count over the whole global batch:

    - "token": the mean over tokens (DAPO, arXiv 2503.14476, equation 8); `total` = all tokens.
    - "sequence": the mean over rows of each row's mean (GRPO, arXiv 2402.03300, equation 3); `total` = all rows.
    - "constant": the sum over a fixed length per row (Dr. GRPO, arXiv 2503.20783); `total` = all rows x that length.
    """
    if mode == "sequence":
        counts = torch.tensor(lengths, device=loss.device)
        loss = loss / counts.repeat_interleave(counts)
    return loss.sum() / total
