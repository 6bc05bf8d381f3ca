"""Choosing the next token of each row from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from metis_rise.engines.base import SamplingParams

# Weights are summed up block by block first, so that only one block's running sum is needed.
BLOCK = 128


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
        """Tokens [R] and their log-probabilities [R], from float32 logits [R, vocabulary] and draws [R] in [0, 1).

        The log-probabilities are those of the whole vocabulary at the sampling temperature, as the trainer sees it.
        """
        if self.params.temperature not in (0.0, 1.0):
            logits = logits / self.params.temperature
        top = logits.amax(-1, keepdim=True)
        weights = (logits - top).exp_()
        normalizer = top[:, 0] + weights.sum(-1).log()
        if self.params.temperature == 0:
            tokens = self._allowed(logits).argmax(-1)
        else:
            weights.index_fill_(-1, self._banned, 0)
            # Banned tokens may have so much of the probability that nothing is left of the others in float32.
            if not weights.any(-1).all():
                weights = self._allowed(logits).softmax(-1)
            tokens = _invert(self._truncate(weights), draws)
        return tokens, logits.gather(-1, tokens[:, None])[:, 0] - normalizer

    def _allowed(self, logits: Tensor) -> Tensor:
        return logits.index_fill(-1, self._banned, -torch.inf)

    def _truncate(self, weights: Tensor) -> Tensor:
        top_k, top_p = self.params.top_k, self.params.top_p
        if 0 < top_k < weights.shape[-1]:
            floor = weights.topk(top_k).values[:, -1:]
            weights = weights.masked_fill(weights < floor, 0)
        if top_p < 1:
            ordered, order = weights.sort(descending=True)
            ordered /= ordered.sum(-1, keepdim=True)
            # A token goes when those before it have reached top_p already; the first one always stays.
            out = (ordered.cumsum(-1) - ordered) >= top_p
            weights = weights.masked_fill(out.scatter(-1, order, out), 0)
        return weights


def _invert(weights: Tensor, draws: Tensor) -> Tensor:
    """The token [R] at which the running sum of weights [R, vocabulary] passes draw x total.

    Sums run in double precision, and a target lies strictly below its total, so that a token of weight 0 is never
    taken.
    """
    rest = -weights.shape[-1] % BLOCK
    blocks = torch.unflatten(F.pad(weights, (0, rest)) if rest else weights, -1, (-1, BLOCK))
    running = blocks.sum(-1).cumsum(-1, dtype=torch.float64)
    target = _below(draws * running[:, -1], running)
    block = torch.searchsorted(running, target[:, None], right=True)[:, 0]
    rows = torch.arange(len(weights), device=weights.device)
    before = F.pad(running, (1, 0))[rows, block]
    running = blocks[rows, block].cumsum(-1, dtype=torch.float64)
    within = torch.searchsorted(running, _below(target - before, running)[:, None], right=True)[:, 0]
    return block * BLOCK + within


def _below(target: Tensor, running: Tensor) -> Tensor:
    total = running[:, -1]
    return torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
