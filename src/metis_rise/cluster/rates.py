"""How fast one rank trains and one sampler samples, by a GPU's data sheet (`measuring` and `history` have others)."""

from __future__ import annotations

from dataclasses import dataclass

from metis_rise.cluster.facts import ModelFacts
from metis_rise.cluster.flops import group_flops, head_flops, kv_values, token_flops, vision_flops
from metis_rise.cluster.gpus import (
    BANDWIDTH_UTILISATION,
    FLOAT32_UTILISATION,
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

_HALF, _FLOAT = 2, 4


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decoding step of n rows takes `fixed` + n x `row` seconds; it brings each row one token."""

    fixed: float
    row: float

    def seconds(self, rows: float) -> float:
        """Of one step of `rows` rows."""
        return self.fixed + rows * self.row

    def slower(self, times: float) -> Decoding:
        """The same where everything takes so many times longer."""
        return Decoding(self.fixed * times, self.row * times)


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
    computes: int = _HALF,
    utilisation: float | None = None,
) -> Rates:
    """Rates by the data sheet of the GPU `name`.

    Args:
        facts: the model.
        name: of the GPU.
        work: what is sampled.
        tensor_parallel: GPUs of one server.
        native: sampled by the native engine, in the trainers' number format, not by servers, which are sent 16 bit.
        computes: bytes of a number in the trainers' forward passes.
        utilisation: of the arithmetic in training; None for what is assumed.
    """
    gpu, text = GPUS[name], facts.text
    exact, samples = computes == _FLOAT, computes if native else _HALF
    peak = gpu.float32 if exact else gpu.flops
    reached = utilisation or (FLOAT32_UTILISATION if exact else TRAIN_UTILISATION)
    reading = FLOAT32_UTILISATION if samples == _FLOAT else PREFILL_UTILISATION
    bandwidth = BANDWIDTH_UTILISATION * gpu.bandwidth * tensor_parallel
    arithmetic = reading * (gpu.float32 if samples == _FLOAT else gpu.flops) * tensor_parallel
    parameters = count(facts)
    weights = samples * (parameters.total - parameters.vision - (0 if text.tied else parameters.embedding))
    start = NATIVE_LAYER_SECONDS if native else SERVER_LAYER_SECONDS
    reductions = 0.0 if tensor_parallel == 1 else 2 * REDUCTION_SECONDS
    fixed = weights / bandwidth + text.layers * (start + reductions)
    context = work.prompt + work.mean_tokens / 2
    attended = samples * kv_values(facts) * context / bandwidth
    computed = token_flops(text) + head_flops(text) + 4 * text.wide * text.layers * context
    return Rates(
        flops=reached * peak,
        prompt=prompt_flops(facts, work) / arithmetic,
        decoding=Decoding(fixed, attended + computed / arithmetic),
        problem=0.0,
        source=f"data sheet of {name}, assumed to be reached: {reached:.0%} of {peak / 1e12:.3g} TFLOP/s "
        f"({'float32' if exact else 'bfloat16'}) in training, {reading:.0%} in reading prompts, "
        f"{BANDWIDTH_UTILISATION:.0%} of {gpu.bandwidth / 1e12:.2f} TB/s in sampling, {LINK_UTILISATION:.0%} of the "
        "links",
    )


def prompt_flops(facts: ModelFacts, work: Workload) -> float:
    """Of reading a mean prompt once, its picture included."""
    return group_flops(facts.text, work.prompt, 0, 1) + vision_flops(
        facts.vision, work.prompts.image * facts.vision.merge
    )
