"""Numbers of parameters, part by part, as `fully_shard` wraps them: decoder layers, vision blocks, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

from metis_rise.cluster.facts import ModelFacts, TextFacts, VisionFacts
from metis_rise.recipe.model import LoraConfig


@dataclass(frozen=True, slots=True)
class Parameters:
    """layer: one decoder layer; block: one vision block; vision: the whole tower, its blocks among them.

    embedding: the table of token embeddings; head: the output head, 0 where it is the embedding; total: all of them.
    """

    layer: int
    block: int
    vision: int
    embedding: int
    head: int
    total: int

    @property
    def root(self) -> int:
        """What the root unit of FSDP holds, together: embedding, head and final norm (its width is left out)."""
        return self.embedding + self.head


def count(facts: ModelFacts) -> Parameters:
    """The parameters of a model, to the last one."""
    text = facts.text
    layer, block, vision = _layer(text), _block(facts.vision), _vision(facts.vision)
    embedding = text.vocabulary * text.hidden
    head = 0 if text.tied else embedding
    return Parameters(
        layer, block, vision, embedding, head, embedding + head + text.hidden + text.layers * layer + vision
    )


def lora_parameters(text: TextFacts, config: LoraConfig) -> int:
    """Parameters of the adapters of the language model: rank x (inputs + outputs) of each target."""
    hidden, wide, narrow, inner = text.hidden, text.wide, text.narrow, text.intermediate
    widths = {
        "q_proj": hidden + wide,
        "k_proj": hidden + narrow,
        "v_proj": hidden + narrow,
        "o_proj": wide + hidden,
        "gate_proj": hidden + inner,
        "up_proj": hidden + inner,
        "down_proj": inner + hidden,
    }
    return text.layers * config.rank * sum(widths[target] for target in config.targets)


def _layer(text: TextFacts) -> int:
    attention = 2 * text.hidden * text.wide + 2 * text.hidden * text.narrow
    extras = text.wide + 2 * text.narrow if text.biased else 2 * text.head_dim
    return attention + extras + 3 * text.hidden * text.intermediate + 2 * text.hidden


def _block(vision: VisionFacts) -> int:
    hidden, inner = vision.hidden, vision.intermediate
    attention = 4 * hidden * hidden + 4 * hidden
    if vision.gated:
        return attention + 3 * hidden * inner + 2 * inner + hidden + 2 * hidden
    return attention + 2 * hidden * inner + inner + hidden + 4 * hidden


def _vision(vision: VisionFacts) -> int:
    embedding = vision.patch_values * vision.hidden + (0 if vision.gated else vision.hidden)
    positions = vision.positions * vision.hidden
    merged = vision.merge * vision.hidden
    merger = merged * merged + merged + merged * vision.out + vision.out
    norms = vision.hidden if vision.gated else 2 * vision.hidden + vision.levels * 2 * merged
    return embedding + positions + vision.depth * _block(vision) + (1 + vision.levels) * merger + norms
