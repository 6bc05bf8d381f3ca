"""Bytes that training takes of one GPU (or of one process on the CPU), and that a server has for keys and values.

Activations are what the backward pass needs: docs/scaling.md has the arithmetic, layer by layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from metis_rise.cluster.facts import ModelFacts
from metis_rise.cluster.flops import kv_values
from metis_rise.cluster.gpus import CONTEXT_BYTES, FRAGMENTATION, Gpu
from metis_rise.cluster.parameters import Parameters, count, lora_parameters
from metis_rise.recipe.model import ModelConfig

# Of policy/head.py and policy/features.py, which load torch (a test holds them together).
HEAD_POSITIONS = 512
PASS_PATCHES = 16384
FEATURE_BYTES = 2**30
# Of stages/prompts.py: pixels of the prompts used last.
PROMPT_BYTES = 256 * 2**20
# Measured on the CPU: what libraries take at first use, and what the heap holds beyond what is alive.
LIBRARY_BYTES = 50 * 2**20
HEAP = 1.15
# vLLM's --gpu-memory-utilization, and what of it one rank's activations and graphs take.
SERVER_SHARE = 0.9
SERVER_BYTES = 3 * 2**30
# What a server that sleeps keeps of each of its GPUs: context, libraries, graphs.
ASLEEP_BYTES = 3 * 2**30
_FLOAT, _HALF = 4, 2


@dataclass(frozen=True, slots=True)
class Pass:
    """The largest forward and backward pass.

    tokens: of the packed row, prompts and completions; completed: those of its completions.
    copied: keys that completions see of their prompt, of all completions (the variable-length kernel copies them).
    patches: of its pictures.
    """

    tokens: float
    completed: float
    copied: float
    patches: float


@dataclass(frozen=True, slots=True)
class Sharding:
    """ranks: processes that train. shard: ranks that share a copy of the weights. offload: keep it in the host."""

    ranks: int = 1
    shard: int = 1
    offload: bool = False


def bytes_computed(model: ModelConfig) -> int:
    """Bytes of a number in the forward passes of `model`."""
    return _FLOAT if model.dtype == "float32" and not model.autocast else _HALF


@dataclass(frozen=True, slots=True)
class Trainer:
    """A model as one rank trains it."""

    facts: ModelFacts
    model: ModelConfig
    sharding: Sharding
    cpu: bool

    @property
    def parameters(self) -> Parameters:
        """Of the whole model."""
        return count(self.facts)

    @property
    def trained(self) -> int:
        """Parameters that are trained, over all ranks."""
        if self.model.lora is not None:
            return lora_parameters(self.facts.text, self.model.lora)
        return self.parameters.total - (self.parameters.vision if self.model.freeze_vision else 0)

    @property
    def computes(self) -> int:
        """Bytes of a number in forward passes."""
        return bytes_computed(self.model)

    @property
    def _spread(self) -> bool:
        return self.sharding.ranks > 1

    @property
    def _stored(self) -> int:
        """Bytes of a weight, frozen ones among them, in one process as in several."""
        return _FLOAT if self.model.dtype == "float32" else _HALF

    @property
    def _masters_apart(self) -> bool:
        """Whether what is trained is in 16 bit and its float32 masters lie beside it; adapters are always float32."""
        return self._stored == _HALF and self.model.lora is None

    def state(self) -> dict[str, float]:
        """Weights, gradients and optimizer of a rank, by name."""
        trained, shard = self.trained, self.sharding.shard
        frozen = self.parameters.total - (0 if self.model.lora is not None else trained)
        own, masters = (_HALF, _FLOAT) if self._masters_apart else (_FLOAT, 0)
        found = {
            "weights": (own * trained + self._stored * frozen) / shard,
            "gradients": own * trained / shard,
            "optimizer": (masters + 2 * _FLOAT) * trained / shard,
        }
        return {name: 0.0 for name in found} if self.sharding.offload else found

    def gathered(self) -> float:
        """Bytes of whole weights and gradients that FSDP2 has at one time: the root, two layers, a layer's gradient."""
        if not self._spread or self.sharding.shard == 1:
            return 0.0
        parameters = self.parameters
        layer = max(parameters.layer, parameters.block)
        root_gradient = (_FLOAT + self.computes) * parameters.root if self.model.lora is None else 0
        return self.computes * (parameters.root + 2 * layer) + _FLOAT * layer + root_gradient

    def whole(self) -> float:
        """Bytes of all weights, which ranks that share a copy gather to sample with."""
        return float(self.computes * self.parameters.total) if self._spread and self.sharding.shard > 1 else 0.0

    def casts(self) -> float:
        """Bytes of the bfloat16 copies that autocast keeps of all weights for a pass."""
        return float(_HALF * self.parameters.total) if self.model.autocast and not self._spread else 0.0

    def activations(self, largest: Pass) -> float:
        """Bytes of the largest pass: what it keeps for its backward pass, and what that needs beside it."""
        text, size = self.facts.text, self.computes
        slopes = largest.tokens * size * (3 * text.intermediate + 4 * text.hidden)
        return self.kept(largest) + slopes + self._head(largest) + self._frozen_vision(largest)

    def kept(self, largest: Pass) -> float:
        """Bytes that a pass keeps for its backward pass, weights not counted."""
        text, size = self.facts.text, self.computes
        residual = _FLOAT if self.model.autocast and not self._spread else size
        norms = 0 if text.biased else text.wide + text.narrow
        attention = text.hidden * (residual + size) + size * (2 * text.wide + 2 * text.narrow + norms)
        feed_forward = text.hidden * (residual + size) + size * 3 * text.intermediate
        copies = 0 if self.cpu else 2 * size * text.narrow * largest.copied
        full = largest.tokens * (attention + feed_forward) + copies
        # The last layer's feed-forward sees completions alone.
        last = largest.tokens * attention + largest.completed * feed_forward + copies
        if self.model.gradient_checkpointing:
            layers = text.layers * largest.tokens * text.hidden * residual + full
        else:
            layers = (text.layers - 1) * full + last
        return layers + (0.0 if self.model.freeze_vision else self._trained_vision(largest))

    def _head(self, largest: Pass) -> float:
        """Logits of a few positions, their exponentials and their gradient; the gradient of a head in 16 bit."""
        text = self.facts.text
        logits = 3 * _FLOAT * min(HEAD_POSITIONS, largest.completed) * text.vocabulary
        whole = self.model.lora is None and self.computes == _HALF and not self._spread
        return logits + (_FLOAT * text.vocabulary * text.hidden if whole else 0)

    def _block(self) -> float:
        """Bytes that a vision block keeps of a patch."""
        vision = self.facts.vision
        return float(self.computes * (11 * vision.hidden + (3 if vision.gated else 2) * vision.intermediate))

    def _trained_vision(self, largest: Pass) -> float:
        vision = self.facts.vision
        pixels = vision.patch_values * self.computes
        merger = self.computes * vision.hidden * (3 + 2 * vision.levels)
        if self.model.gradient_checkpointing:
            blocks = self.computes * vision.hidden * vision.depth + self._block()
        else:
            blocks = self._block() * vision.depth
        return largest.patches * (blocks + merger + pixels)

    def _frozen_vision(self, largest: Pass) -> float:
        """A frozen tower keeps nothing: the working set of one block, and pixels."""
        if not self.model.freeze_vision:
            return 0.0
        return min(largest.patches, PASS_PATCHES) * (self._block() + self.facts.vision.patch_values * _FLOAT)

    def step(self) -> float:
        """Bytes that only the optimizer's step needs: float32 gradients of weights in 16 bit."""
        apart = self._masters_apart and not self.sharding.offload
        return _FLOAT * self.trained / self.sharding.shard if apart else 0.0

    def features(self, image_tokens: float) -> float:
        """Bytes of the cache of a frozen tower's features, of pictures with `image_tokens` in all."""
        if not self.model.freeze_vision:
            return 0.0
        whole = image_tokens * self.facts.text.hidden * self.computes * (1 + self.facts.vision.levels)
        return min(float(FEATURE_BYTES), whole)

    def kept_states(self, tokens: float) -> float:
        """Bytes of keys and values that the native sampler holds of `tokens`; buffers grow by doubling."""
        return 1.5 * tokens * kv_values(self.facts) * self.computes

    def without(self, **changes: object) -> Trainer:
        """The same with other settings of the model."""
        return replace(self, model=self.model.model_copy(update=changes))


def with_allowance(total: float) -> float:
    """What a GPU must have for `total` bytes of tensors."""
    return total * (1 + FRAGMENTATION) + CONTEXT_BYTES


def share_in_turns(trainer: Trainer, gpu: Gpu) -> float:
    """The share of a GPU's memory that a server may take beside a trainer that rests, in steps of 0.05.

    The trainer keeps its weights, gradients and optimizer, and each of the two has a context.
    """
    resting = with_allowance(sum(trainer.state().values())) + CONTEXT_BYTES
    return min(SERVER_SHARE, max(1, math.floor(20 * (1 - resting / gpu.memory))) / 20)


@dataclass(frozen=True, slots=True)
class Server:
    """A vLLM server: a model on `tensor_parallel` GPUs, of each of which it takes `share`."""

    facts: ModelFacts
    gpu: Gpu
    tensor_parallel: int
    share: float = SERVER_SHARE

    @property
    def limit(self) -> float:
        """Bytes of each GPU that it takes."""
        return self.share * self.gpu.memory

    @property
    def weights(self) -> float:
        """Bytes of weights on each GPU."""
        return _HALF * count(self.facts).total / self.tensor_parallel

    @property
    def token(self) -> float:
        """Bytes of keys and values of a token on each GPU."""
        # More GPUs than key heads hold copies of them.
        return kv_values(self.facts) * _HALF / min(self.tensor_parallel, self.facts.text.kv_heads)

    @property
    def room(self) -> float:
        """Tokens whose keys and values it has room for; negative where the weights alone do not fit."""
        return (self.limit - self.weights - SERVER_BYTES) / self.token
