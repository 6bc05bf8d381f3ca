"""Writes the built model as a Hugging Face folder, with the side files that transformers and vLLM ask for."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

_MIN_PIXELS = 56 * 56
# 64 image tokens: a user's own picture stays affordable on a CPU; the world's pictures have 16.
_MAX_PIXELS = 64 * 28 * 28
_SHARED = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "merge_size": 2,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "processor_class": "Qwen2_5_VLProcessor",
    "size": {"shortest_edge": _MIN_PIXELS, "longest_edge": _MAX_PIXELS},
    "min_pixels": _MIN_PIXELS,
    "max_pixels": _MAX_PIXELS,
}
SIDE_FILES = {
    "metis_rise.json": {"system": None},
    "preprocessor_config.json": {**_SHARED, "image_processor_type": "Qwen2VLImageProcessor"},
    "video_preprocessor_config.json": {**_SHARED, "video_processor_type": "Qwen2VLVideoProcessor"},
}
MODEL_CARD = """\
---
license: apache-2.0
---
# Tiny base
A {parameters:,}-parameter Qwen2.5-VL (random initialisation, trained by `scripts/build_base.py`) that ships with
metis-rise so that the whole method runs on a laptop. It is built to be an unreliable reasoner: it sees the
procedural world's pictures nearly perfectly and can reason in four families, but mostly guesses; of the two
held-back families it has never seen a question. It knows nothing else. docs/tiny-world.md has its figures.
"""


EXPERT_CARD = """\
# Tiny expert
A {parameters:,}-parameter Qwen2.5-VL, grown from metis-rise's tiny base by `scripts/build_expert.py`: it solves most
problems of the two families that the base never learnt, and errs in ways that knowledge mends. docs/data-engine.md has
its figures.
"""


def export(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    card: str = MODEL_CARD,
) -> None:
    """Writes config, half-precision safetensors, tokenizer, chat template and processor settings to `folder`.

    `card` becomes its README; `{parameters}` in it their number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: value.half() for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=half)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _write(folder / "config.json", {**config, "dtype": str(torch.float16).removeprefix("torch.")})
    tokenizer.save_pretrained(folder)
    for name, content in SIDE_FILES.items():
        _write(folder / name, content)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    (folder / "README.md").write_text(card.format(parameters=parameters), encoding="utf-8")


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
