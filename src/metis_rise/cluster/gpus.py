"""Known GPUs, and what of them is assumed to be reached.

Peaks are the vendors' data sheets (dense bfloat16, and float32 without tensor cores: torch rounds no float32 to TF32
unless it is told to, which we do not). What is reached is an assumption, stated in every plan: of the arithmetic in
training 30 % (between the 16 to 26 % that EasyR1 reports for Qwen2.5-VL on H100 and our goal of 40 %,
docs/benchmarks.md), in reading prompts 50 %, of the memory's speed in sampling 60 %, of the links 70 %; of float32
arithmetic, which takes so long that all else weighs less, 60 % in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from metis_rise.recipe.cluster import GpuName

TRAIN_UTILISATION = 0.30
PREFILL_UTILISATION = 0.50
FLOAT32_UTILISATION = 0.60
BANDWIDTH_UTILISATION = 0.60
LINK_UTILISATION = 0.70
# Starting a layer's kernels takes so long in a decoding step: vLLM replays CUDA graphs, the native sampler does not.
SERVER_LAYER_SECONDS = 15e-6
NATIVE_LAYER_SECONDS = 200e-6
# A reduction over the GPUs of a tensor-parallel server; each layer has two.
REDUCTION_SECONDS = 10e-6
# A shared file system writes and reads weights so fast, in bytes per second, where they are pushed through a folder.
DISK = 2e9
# Completions that a vLLM server has under way at most (its --max-num-seqs on GPUs below 70 GiB; larger ones do more).
SERVER_ROWS = 256
# What CUDA, its libraries and NCCL take of each GPU, and the share that the allocator leaves unused.
CONTEXT_BYTES = 2 * 2**30
FRAGMENTATION = 0.06


@dataclass(frozen=True, slots=True)
class Gpu:
    """memory: bytes. flops, float32: operations per second. bandwidth, link, network: bytes per second.

    link: to another GPU of the node, one way; network: to another node, for each GPU (as DGX systems have it: 200 Gb/s
    beside an A100, 400 beside H100 and later; 100 for the cards without NVLink).
    """

    memory: float
    flops: float
    float32: float
    bandwidth: float
    link: float
    network: float


_GIB = 2.0**30
GPUS: dict[GpuName, Gpu] = {
    "a100-40gb": Gpu(40 * _GIB, 312e12, 19.5e12, 1.555e12, 300e9, 25e9),
    "a100-80gb": Gpu(80 * _GIB, 312e12, 19.5e12, 2.039e12, 300e9, 25e9),
    "h100-80gb": Gpu(80 * _GIB, 989e12, 67e12, 3.35e12, 450e9, 50e9),
    "h200-141gb": Gpu(141e9, 989e12, 67e12, 4.8e12, 450e9, 50e9),
    "b200-180gb": Gpu(180e9, 2250e12, 75e12, 7.7e12, 900e9, 50e9),
    "l40s-48gb": Gpu(48 * _GIB, 362e12, 91.6e12, 0.864e12, 32e9, 12.5e9),
    "rtx4090-24gb": Gpu(24 * _GIB, 165e12, 82.6e12, 1.008e12, 32e9, 12.5e9),
}
