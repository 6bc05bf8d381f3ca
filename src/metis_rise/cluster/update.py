"""Seconds of one policy update, and of one step of SFT: arithmetic, links and the optimizer, on the busiest rank."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metis_rise.cluster.flops import Amount, group_flops, update_factor, vision_flops
from metis_rise.cluster.gpus import BANDWIDTH_UTILISATION, LINK_UTILISATION
from metis_rise.cluster.layout import Layout
from metis_rise.cluster.memory import Trainer
from metis_rise.cluster.rates import Rates
from metis_rise.cluster.workload import Workload

_FLOAT = 4
# AdamW reads and writes masters, moments and gradients: bytes for each trained parameter.
_OPTIMIZER_BYTES = 28


@dataclass(frozen=True, slots=True)
class UpdateTime:
    """Times updates of one model on one layout.

    extra: forward passes besides those of the update itself (old log-probabilities, a reference), in updates' share.
    budget: packed tokens of one pass. seen: whether the sampler has left the features of pictures behind.
    """

    trainer: Trainer
    layout: Layout
    rates: Rates
    work: Workload
    budget: int
    extra: float
    seen: bool

    def seconds(self, completed: Sequence[float], group_size: int) -> float:
        """Of an update on groups of `group_size` completions with so many tokens together each."""
        # As ranks are balanced: the largest group goes to the rank that has least.
        groups = -np.sort(-np.asarray(completed, np.float64))
        costs = self.flops(groups, group_size)
        ranks = self.layout.sharding.ranks
        tokens, flops = [0.0] * ranks, [0.0] * ranks
        heap = [(0.0, rank) for rank in range(ranks)]
        for packed, cost in zip((self.work.prompt + groups).tolist(), costs.tolist(), strict=True):
            held, rank = heap[0]
            tokens[rank] = held + packed
            flops[rank] += cost
            heapq.heapreplace(heap, (tokens[rank], rank))
        passes = max(1, math.ceil(max(tokens) / self.budget))
        arithmetic = max(flops) / self.rates.flops
        return max(arithmetic, passes * self._links()) + self._reduce() + self._optimizer()

    def flops(self, completed: Amount, group_size: int) -> Amount:
        """Of a group in the update: its prompt once, `completed` tokens of completions."""
        facts, model = self.trainer.facts, self.trainer.model
        factor = update_factor(adapters=model.lora is not None, recompute=model.gradient_checkpointing) + self.extra
        total = factor * group_flops(facts.text, self.work.prompt, completed, group_size)
        tower = vision_flops(facts.vision, self.work.prompts.image * facts.vision.merge)
        if not model.freeze_vision:
            return total + factor * tower
        return total + (0.0 if self.seen else tower)

    def _links(self) -> float:
        """Seconds in which a pass's weights are gathered, forward and backward, and its gradients scattered.

        Each GPU takes in all of it over its link; each node takes in what other nodes hold, over all its networks.
        """
        card, shard, per_node = self.layout.card, self.layout.sharding.shard, self.layout.per_node
        if card is None or shard == 1:
            return 0.0
        size = 2 * self.trainer.computes * self.trainer.parameters.total + _FLOAT * self.trainer.trained
        within = size * (shard - 1) / shard / card.link
        between = size * max(0.0, 1 - per_node / shard) / (card.network * per_node)
        return max(within, between) / LINK_UTILISATION

    def _reduce(self) -> float:
        """Seconds in which copies of the weights on different shards add up their gradients."""
        card, sharding = self.layout.card, self.layout.sharding
        if card is None or sharding.ranks == sharding.shard:
            return 0.0
        within = sharding.ranks <= self.layout.per_node
        link = LINK_UTILISATION * (card.link if within else card.network)
        return 2 * _FLOAT * self.trainer.trained / sharding.shard / link

    def _optimizer(self) -> float:
        card = self.layout.card
        if card is None:
            return 0.0
        sharding = self.layout.sharding
        # Offloaded state is updated by the host, whose memory is about as fast as the way there.
        speed = card.link / 10 if sharding.offload else BANDWIDTH_UTILISATION * card.bandwidth
        return _OPTIMIZER_BYTES * self.trainer.trained / sharding.shard / speed
