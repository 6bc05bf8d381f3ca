"""How fast one rank trains and one sampler samples, by a GPU's data sheet (`measuring` and `history` have others)."""

from __future__ import annotations

from dataclasses import dataclass

from metis_rise.cluster.facts import ModelFacts
from metis_rise.cluster.flops import group_flops, head_flops, kv_values, token_flops, vision_flops
from metis_rise.cluster.gpus import (
    BANDWIDTH_UTILISATION,
    GPUS,
    LINK_UTILISATION,
    NATIVE_LAYER_SECONDS,
    PREFILL_UTILISATION,
    REDUCTION_SECONDS,
    SERVER_LAYER_SECONDS,
    TRAIN_UTILISATION,
)
from metis_rise.cluster.parameters import count
from metis_rise.cluster.workload import Workload
from metis_rise.recipe.cluster import GpuName

_HALF = 2


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decoding step of n rows takes `fixed` + n x `row` seconds; it brings each row one token."""

    fixed: float
    row: float

    def seconds(self, rows: float) -> float:
        """Of one step of `rows` rows."""
        return self.fixed + rows * self.row


@dataclass(frozen=True, slots=True)
class Rates:
    """flops: per second in an update, of one rank.

    prompt: seconds in which a sampler reads a prompt, its picture included.
    decoding: of a sampler.
    problem: seconds that a problem's preparation takes of the process that does everything; 0 where others do it.
    source: where the figures are from.
    """

    flops: float
    prompt: float
    decoding: Decoding
    problem: float
    source: str


def stated(
    facts: ModelFacts,
    name: GpuName,
    work: Workload,
    *,
    tensor_parallel: int = 1,
    native: bool = False,
    utilisation: float = TRAIN_UTILISATION,
) -> Rates:
    """Rates by the data sheet of the GPU `name`.

    Args:
        facts: the model.
        name: of the GPU.
        work: what is sampled.
        tensor_parallel: GPUs of one server.
        native: sampled by the native engine, not by servers.
        utilisation: of the arithmetic in training.
    """
    gpu, text = GPUS[name], facts.text
    bandwidth = BANDWIDTH_UTILISATION * gpu.bandwidth * tensor_parallel
    arithmetic = PREFILL_UTILISATION * gpu.flops * tensor_parallel
    parameters = count(facts)
    weights = _HALF * (parameters.total - parameters.vision - (0 if text.tied else parameters.embedding))
    start = NATIVE_LAYER_SECONDS if native else SERVER_LAYER_SECONDS
    reductions = 0.0 if tensor_parallel == 1 else 2 * REDUCTION_SECONDS
    fixed = weights / bandwidth + text.layers * (start + reductions)
    context = work.prompt + work.mean_tokens / 2
    attended = _HALF * kv_values(facts) * context / bandwidth
    computed = token_flops(text) + head_flops(text) + 4 * text.wide * text.layers * context
    return Rates(
        flops=utilisation * gpu.flops,
        prompt=prompt_flops(facts, work) / arithmetic,
        decoding=Decoding(fixed, attended + computed / arithmetic),
        problem=0.0,
        source=f"data sheet of {name}, assumed to be reached: {utilisation:.0%} of {gpu.flops / 1e12:.0f} TFLOP/s in "
        f"training, {PREFILL_UTILISATION:.0%} in reading prompts, {BANDWIDTH_UTILISATION:.0%} of "
        f"{gpu.bandwidth / 1e12:.2f} TB/s in sampling, {LINK_UTILISATION:.0%} of the links",
    )


def prompt_flops(facts: ModelFacts, work: Workload) -> float:
    """Of reading a mean prompt once, its picture included."""
    return group_flops(facts.text, work.prompt, 0, 1) + vision_flops(
        facts.vision, work.prompts.image * facts.vision.merge
    )
