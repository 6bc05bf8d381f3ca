"""The tiny base in the package is what docs/tiny-world.md says it is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import pytest
from transformers import Qwen2_5_VLForConditionalGeneration

REPOSITORY = Path(__file__).parents[2]
BASE = Path(str(resources.files("metis_rise") / "assets" / "tiny_base"))
pytestmark = pytest.mark.slow


def test_it_is_the_real_class_and_small():
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(BASE)
    assert 1_000_000 <= model.num_parameters() <= 2_000_000
    assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()
    assert sum(path.stat().st_size for path in BASE.iterdir()) < 5 * 2**20


def test_it_has_the_files_that_transformers_and_vllm_ask_for():
    names = {path.name for path in BASE.iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
    }


def test_it_passes_the_gate_that_it_was_shipped_with(monkeypatch: pytest.MonkeyPatch):
    """Measures anew what the builder measured: the shipped weights, not the builder's word, must pass."""
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    from base_builder.gate import measure

    report = asdict(measure(BASE))
    assert report["faults"] == []
    written = json.loads((BASE / "gate.json").read_text())
    for name in ("captions", "forced_chain_greedy", "greedy"):
        assert report[name] == pytest.approx(written[name], abs=0.04), name
    assert report["sampled_all"] == pytest.approx(written["sampled_all"], abs=0.04)
