"""Choosing the next token of each row from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metis_rise.engines.base import SamplingParams


def uniforms(seed: int, sample: int, count: int) -> Tensor:
    """The first `count` random numbers [count] float64 in [0, 1) of one completion: one per token.

    Counter-based (Philox) and keyed by both numbers, so a completion's draws depend on nothing else.
    """
    key = np.array([seed % 2**64, sample], dtype=np.uint64)
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=key)).random(count))


class Chooser:
    """Draws tokens under sampling parameters, never a banned one."""

    def __init__(self, params: SamplingParams, banned: Sequence[int], device: torch.device) -> None:
        """`banned` are token ids."""
        self.params = params
        self._banned = torch.tensor(banned, dtype=torch.long, device=device)

    def __call__(self, logits: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [R] and their log-probabilities [R] float32 from logits [R, vocabulary] and draws [R] in [0, 1).

        The log-probabilities are those of the whole vocabulary at the sampling temperature, as the trainer sees it.
        """
        logits = logits.float()
        if self.params.temperature not in (0.0, 1.0):
            logits = logits / self.params.temperature
        logp = logits.log_softmax(-1)
        allowed = logp.index_fill(-1, self._banned, -torch.inf)
        greedy = self.params.temperature == 0
        tokens = allowed.argmax(-1) if greedy else _invert(self._truncate(allowed).softmax(-1), draws)
        return tokens, logp.gather(-1, tokens[:, None])[:, 0]

    def _truncate(self, logp: Tensor) -> Tensor:
        top_k, top_p = self.params.top_k, self.params.top_p
        if 0 < top_k < logp.shape[-1]:
            floor = logp.topk(top_k).values[:, -1:]
            logp = logp.masked_fill(logp < floor, -torch.inf)
        if top_p < 1:
            ordered, order = logp.softmax(-1).sort(descending=True)
            # A token goes when those before it have reached top_p already; the first one always stays.
            out = (ordered.cumsum(-1) - ordered) >= top_p
            logp = logp.masked_fill(out.scatter(-1, order, out), -torch.inf)
        return logp


def _invert(weights: Tensor, draws: Tensor) -> Tensor:
    """The token [R] at which the running sum of weights [R, vocabulary] passes draw x total.

    In double precision, and with the target strictly below the total, so that a token of weight 0 is never taken.
    """
    running = weights.cumsum(-1, dtype=torch.float64)
    total = running[:, -1]
    target = torch.minimum(draws * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(running, target[:, None], right=True)[:, 0]
